/* Counting semaphore. A permit taken for a hold entry is given back if its process dies. */
#ifndef FK_SEMA_H
#define FK_SEMA_H

#include "hold.h"

void fk_sema_init(fk_sema *s, uint32_t value, uint32_t max);

/* Take a permit. `hold` is this process's entry for the semaphore when the permit is to return
 * if the process dies (`with`), else NULL (a permit may be a signal that somebody else gives).
 * FK_OK, FK_AGAIN (deadline 0), FK_TIMEOUT, FK_INTR. */
fk_status fk_sema_acquire(fk_arena *a, fk_sema *s, fk_hold *hold, fk_wait *w);

/* Give a permit. FK_OK, FK_OVERFLOW (value is at max). */
fk_status fk_sema_release(fk_arena *a, fk_sema *s, fk_hold *hold);

/* Give back what a dead process's entry has taken; called by the reaper. */
void fk_sema_give_back(fk_arena *a, fk_sema *s, fk_hold *hold);

uint32_t fk_sema_value(const fk_sema *s);

/* The event count's two sides; here because the semaphore is the simplest to use it.
 *
 * Sleeper:  e = fk_ec_prepare(ec); look once more; fk_futex_wait(&ec->word, e, w)
 * Waker:    change something (seq_cst); fk_ec_notify(ec, n)
 *
 * Both look after they have told: of two that meet, at least one sees the other. The bit is cleared
 * by a waker that finds nobody asleep. A sleeper that was woken, and then gives up although there is
 * something (its deadline passes as it waits for the lock), notifies another. */
static inline uint32_t fk_ec_prepare(fk_ec *ec)
{
    return atomic_fetch_or(&ec->word, 1) | 1; /* seq_cst: ec.word */
}

void fk_ec_wake(fk_ec *ec, int n);

static inline void fk_ec_notify(fk_ec *ec, int n)
{
    if (FK_UNLIKELY(atomic_load(&ec->word) & 1)) /* seq_cst: ec.word */
        fk_ec_wake(ec, n);
}

#endif
