#include "lock.h"

#include <sys/syscall.h>
#include <unistd.h>

FK_COLD fk_status fk_lock_wait(const fk_arena *a, fk_lock *l, fk_wait *w)
{
    /* Load only while spinning, so as not to take the line from the owner. */
    fk_spin spin = fk_spin_of(w, FK_BRIEFLY);
    do {
        if (atomic_load_explicit(&l->word, memory_order_relaxed) == 0 && fk_lock_try(a, l) == FK_OK)
            return FK_OK;
    } while (fk_spin_on(&spin));
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

_Thread_local uint64_t fk_thread;

FK_COLD uint64_t fk_thread_learn(const fk_arena *a)
{
    fk_thread = (uint64_t)a->me << 32 | (uint32_t)syscall(SYS_gettid);
    return fk_thread;
}

fk_status fk_rlock_take_over(const fk_arena *a, fk_rlock *l)
{
    fk_status st = fk_lock_take_over(a, &l->user.lock);
    if (st == FK_OK)
        fk_rlock_begin(a, l);
    return st;
}
