/* The reaper: gives back what dead processes held. Anybody may run it, at any time. */
#ifndef FK_REAP_H
#define FK_REAP_H

#include "queue.h"
#include "table.h"

#define FK_REAP_EVERY_NS                                                                           \
    UINT64_C(40000000) /* less than a slice: each sleeper's look may find more */

/* Reap one process if it is dead. True: it is gone, and all it held has been given back. */
bool fk_reap(fk_arena *a, fk_owner dead);

/* Reap all dead processes of the family, unless somebody did so a moment ago.
 * Returns how many were reaped. */
uint32_t fk_reap_all(fk_arena *a);

#endif
