#include "event.h"

#include <limits.h>

#define SET 1u
#define SLEEPERS 2u
#define EPOCH 4u

void fk_event_set(fk_event *e)
{
    uint32_t v = atomic_load(&e->word);
    do {
        if (v & SET)
            return;
        /* release: event.set */
    } while (!atomic_compare_exchange_weak(&e->word, &v, ((v | SET) & ~SLEEPERS) + EPOCH));
    fk_point("event.set");
    if (v & SLEEPERS)
        fk_futex_wake(&e->word, INT_MAX);
}

void fk_event_clear(fk_event *e) { atomic_fetch_and(&e->word, ~SET); }

fk_status fk_event_wait(fk_event *e, uint32_t *epoch, fk_wait *w)
{
    if (*epoch == 0) /* bit 0 tells an epoch that was taken from one that was not */
        *epoch = (atomic_load(&e->word) & ~3u) | 1;
    for (fk_spin spin = fk_spin_of(w, FK_PATIENTLY);;) {
        uint32_t v = atomic_load_explicit(&e->word, memory_order_acquire); /* acquire: event.set */
        if ((v & SET) || (v & ~3u) != (*epoch & ~3u)) {
            fk_spin_paid(&spin);
            return FK_OK;
        }
        if (w->deadline_ns == 0)
            return FK_AGAIN;
        if (fk_spin_on(&spin))
            continue;
        if (!(v & SLEEPERS) && !atomic_compare_exchange_weak(&e->word, &v, v | SLEEPERS))
            continue;
        fk_status st = fk_futex_wait(&e->word, v | SLEEPERS, w);
        if (st != FK_OK)
            return st;
    }
}
