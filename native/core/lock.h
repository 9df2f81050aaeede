/* The lock that every other structure stands on: a futex word that names its owner. */
#ifndef FK_LOCK_H
#define FK_LOCK_H

#include "futex.h"
#include "slot.h"

/* Slow path of fk_lock_acquire. */
fk_status fk_lock_wait(const fk_arena *a, fk_lock *l, fk_wait *w);

/* One try. FK_OK: held (acquire: pairs with the release of fk_lock_release). FK_AGAIN: not free. */
static inline fk_status fk_lock_try(const fk_arena *a, fk_lock *l)
{
    uint32_t free = 0; /* acquire: lock.word */
    return atomic_compare_exchange_strong_explicit(&l->word, &free, a->me, memory_order_acquire,
                                                   memory_order_relaxed)
               ? FK_OK
               : FK_AGAIN;
}

/* Wait for the lock.
 *
 * FK_OK: held. FK_OWNER_DIED: not held, and held by nobody who lives: fk_lock_take_over.
 * FK_AGAIN (deadline 0), FK_TIMEOUT, FK_INTR: not held; after FK_INTR call again. A dead owner is
 * found before the first sleep, or within a slice. */
static inline fk_status fk_lock_acquire(const fk_arena *a, fk_lock *l, fk_wait *w)
{
    if (FK_LIKELY(fk_lock_try(a, l) == FK_OK))
        return FK_OK;
    return fk_lock_wait(a, l, w);
}

/* Make the lock that a dead process holds the caller's. FK_OK: held, and the caller looks after
 * what it guards. FK_AGAIN: its owner lives, or it is free. */
fk_status fk_lock_take_over(const fk_arena *a, fk_lock *l);

/* Wait for the lock, not to be interrupted: only for locks that are held for a few instructions.
 * FK_OK, or FK_OWNER_DIED: held too, but taken over from a dead owner: recover. */
fk_status fk_lock_force(const fk_arena *a, fk_lock *l);

/* Any process may release, as with multiprocessing's Lock. False: it was free. */
static inline bool fk_lock_release(fk_lock *l)
{
    uint32_t was = atomic_exchange(&l->word, 0); /* release: lock.word */
    fk_point("lock.released");
    if (FK_UNLIKELY(was & FK_CONTENDED))
        fk_futex_wake(&l->word, 1);
    return was != 0;
}

static inline fk_owner fk_lock_owner(const fk_lock *l)
{
    return atomic_load_explicit(&l->word, memory_order_relaxed) & FK_OWNER_MASK;
}

/* The same for a lock of the user's, which says where it was taken. */
static inline bool fk_user_release(fk_user_lock *l)
{
    atomic_store_explicit(&l->place, 0, memory_order_relaxed); /* before the next owner writes it */
    return fk_lock_release(&l->lock);
}

/* This thread, as fk_rlock.holder has it: without a system call after the first time in a process.
 * initial-exec: nor a call to find the variable, which a shared library makes else. */
extern _Thread_local uint64_t fk_thread __attribute__((tls_model("initial-exec")));
uint64_t fk_thread_learn(const fk_arena *a);

static inline uint64_t fk_thread_word(const fk_arena *a)
{
    uint64_t word = fk_thread;
    return FK_LIKELY(word >> 32 == a->me && word) ? word : fk_thread_learn(a);
}

/* This thread's id. */
static inline uint32_t fk_tid(const fk_arena *a) { return (uint32_t)fk_thread_word(a); }

/* Re-entrant: the owner is a thread of a process. As fk_lock_acquire, and FK_OVERFLOW: held
 * UINT32_MAX times. After a take-over the lock is held once. */
fk_status fk_rlock_take_over(const fk_arena *a, fk_rlock *l);

static inline bool fk_rlock_is_mine(const fk_arena *a, const fk_rlock *l)
{
    /* What another thread writes here is never this thread's word, so no order is needed. */
    return atomic_load_explicit(&l->holder, memory_order_relaxed) == fk_thread_word(a);
}

static inline void fk_rlock_begin(const fk_arena *a, fk_rlock *l)
{
    atomic_store_explicit(&l->count, 1, memory_order_relaxed);
    atomic_store_explicit(&l->holder, fk_thread_word(a), memory_order_relaxed);
}

/* Once more by the thread that holds it. FK_OK, FK_NOT_OWNER, FK_OVERFLOW. */
static inline fk_status fk_rlock_again(const fk_arena *a, fk_rlock *l)
{
    if (!fk_rlock_is_mine(a, l))
        return FK_NOT_OWNER;
    uint32_t n = atomic_load_explicit(&l->count, memory_order_relaxed);
    if (n == UINT32_MAX)
        return FK_OVERFLOW;
    atomic_store_explicit(&l->count, n + 1, memory_order_relaxed);
    return FK_OK;
}

static inline fk_status fk_rlock_acquire(const fk_arena *a, fk_rlock *l, fk_wait *w)
{
    fk_status st = fk_rlock_again(a, l);
    if (st != FK_NOT_OWNER)
        return st;
    st = fk_lock_acquire(a, &l->user.lock, w);
    if (st == FK_OK)
        fk_rlock_begin(a, l);
    return st;
}

/* FK_OK, FK_NOT_OWNER. */
static inline fk_status fk_rlock_release(const fk_arena *a, fk_rlock *l)
{
    if (!fk_rlock_is_mine(a, l))
        return FK_NOT_OWNER;
    uint32_t n = atomic_load_explicit(&l->count, memory_order_relaxed);
    atomic_store_explicit(&l->count, n - 1, memory_order_relaxed);
    if (n > 1)
        return FK_OK;
    atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
    fk_point("rlock.empty");
    fk_user_release(&l->user);
    return FK_OK;
}

#endif
