/* A flag that processes wait for. No lock: nothing can be left half done. */
#ifndef FK_EVENT_H
#define FK_EVENT_H

#include "futex.h"
#include "layout.h"

void fk_event_set(fk_event *e);
void fk_event_clear(fk_event *e);

static inline bool fk_event_is_set(const fk_event *e)
{
    return atomic_load_explicit(&e->word, memory_order_acquire) & 1; /* acquire: event.set */
}

/* How often it was set, modulo 2^30. */
static inline uint32_t fk_event_epoch(const fk_event *e)
{
    return atomic_load_explicit(&e->word, memory_order_relaxed) >> 2;
}

/* Wait until the event is set, or was set since `*epoch` was taken. Start with *epoch = 0.
 * FK_OK, FK_AGAIN (deadline 0), FK_TIMEOUT, FK_INTR (call again with the same epoch). */
fk_status fk_event_wait(fk_event *e, uint32_t *epoch, fk_wait *w);

#endif
