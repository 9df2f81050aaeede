#include "lock.h"

#include <sys/syscall.h>
#include <unistd.h>

FK_COLD fk_status fk_lock_wait(const fk_arena *a, fk_lock *l, fk_wait *w)
{
    /* Load only while spinning, so as not to take the line from the owner. */
    for (int i = fk_spins; i > 0 && w->deadline_ns; i--) {
        if (atomic_load_explicit(&l->word, memory_order_relaxed) == 0 && fk_lock_try(a, l) == FK_OK)
            return FK_OK;
        fk_spin(i);
    }
    for (;;) {
        uint32_t v = atomic_load_explicit(&l->word, memory_order_relaxed);
        if (v == 0) {
            /* Contended, because others may sleep: one wake-up too many is the price. */
            uint32_t mine = w->deadline_ns ? a->me | FK_CONTENDED : a->me;
            /* acquire: lock.word */
            if (atomic_compare_exchange_weak_explicit(&l->word, &v, mine, memory_order_acquire,
                                                      memory_order_relaxed))
                return FK_OK;
            continue;
        }
        if (!fk_slot_alive(a, v)) {
            if (atomic_load(&l->word) == v)
                return FK_OWNER_DIED;
            continue;
        }
        if (w->deadline_ns == 0)
            return FK_AGAIN;
        if (!(v & FK_CONTENDED) &&
            !atomic_compare_exchange_weak_explicit(&l->word, &v, v | FK_CONTENDED,
                                                   memory_order_relaxed, memory_order_relaxed))
            continue;
        fk_status st = fk_futex_wait(&l->word, v | FK_CONTENDED, w);
        if (st != FK_OK)
            return st;
    }
}

fk_status fk_lock_take_over(const fk_arena *a, fk_lock *l)
{
    uint32_t v = atomic_load(&l->word);
    if (v == 0 || fk_slot_alive(a, v))
        return FK_AGAIN;
    return atomic_compare_exchange_strong(&l->word, &v, a->me | (v & FK_CONTENDED)) ? FK_OK
                                                                                    : FK_AGAIN;
}

fk_status fk_lock_force(const fk_arena *a, fk_lock *l)
{
    if (FK_LIKELY(fk_lock_try(a, l) == FK_OK))
        return FK_OK;
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    for (;;) {
        fk_status st = fk_lock_wait(a, l, &w);
        if (st == FK_OK)
            return FK_OK;
        if (st == FK_OWNER_DIED && fk_lock_take_over(a, l) == FK_OK)
            return FK_OWNER_DIED;
    }
}

static _Thread_local uint32_t tls_tid;
static _Thread_local fk_owner tls_tid_of; /* a forked child's only thread has a new id */

uint32_t fk_tid(const fk_arena *a)
{
    if (FK_UNLIKELY(tls_tid_of != a->me || tls_tid == 0)) {
        tls_tid = (uint32_t)syscall(SYS_gettid);
        tls_tid_of = a->me;
    }
    return tls_tid;
}

static uint64_t holder_word(const fk_arena *a) { return (uint64_t)a->me << 32 | fk_tid(a); }

bool fk_rlock_is_mine(const fk_arena *a, const fk_rlock *l)
{
    /* What another thread writes here is never this thread's word, so no order is needed. */
    return atomic_load_explicit(&l->holder, memory_order_relaxed) == holder_word(a);
}

static void begin_hold(const fk_arena *a, fk_rlock *l)
{
    atomic_store_explicit(&l->count, 1, memory_order_relaxed);
    atomic_store_explicit(&l->holder, holder_word(a), memory_order_relaxed);
}

fk_status fk_rlock_acquire(const fk_arena *a, fk_rlock *l, fk_wait *w)
{
    if (fk_rlock_is_mine(a, l)) {
        uint32_t n = atomic_load_explicit(&l->count, memory_order_relaxed);
        if (n == UINT32_MAX)
            return FK_OVERFLOW;
        atomic_store_explicit(&l->count, n + 1, memory_order_relaxed);
        return FK_OK;
    }
    fk_status st = fk_lock_acquire(a, &l->lock, w);
    if (st == FK_OK)
        begin_hold(a, l);
    return st;
}

fk_status fk_rlock_take_over(const fk_arena *a, fk_rlock *l)
{
    fk_status st = fk_lock_take_over(a, &l->lock);
    if (st == FK_OK)
        begin_hold(a, l);
    return st;
}

fk_status fk_rlock_release(const fk_arena *a, fk_rlock *l)
{
    if (!fk_rlock_is_mine(a, l))
        return FK_NOT_OWNER;
    uint32_t n = atomic_load_explicit(&l->count, memory_order_relaxed);
    if (n > 1) {
        atomic_store_explicit(&l->count, n - 1, memory_order_relaxed);
        return FK_OK;
    }
    atomic_store_explicit(&l->count, 0, memory_order_relaxed);
    atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
    fk_point("rlock.empty");
    fk_lock_release(&l->lock);
    return FK_OK;
}
