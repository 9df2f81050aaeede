/* A circle: processes of which each waits for a lock that the next one holds, while others run. Here
 * is what shared memory tells; what is a proof and what is not, docs/design/deadlock.md says. */
#ifndef FK_CIRCLE_H
#define FK_CIRCLE_H

#include "board.h"

/* Whether it may be that this process waits, in the end, for itself: the lock at `object`, which this
 * thread waits for, is held by one that waits without a deadline for a lock or the end of one that ...
 * of this one. A look of some microseconds that may be wrong both ways. */
bool fk_circle_suspected(const fk_arena *a, uint64_t object);

/* The processes that have a handle of the object at `off`, if nobody else has one or can get one unless
 * one of these gives it away. `count` is how many there are, at most `most`.
 *
 * FK_OK; FK_AGAIN: that cannot be told. A handle was pickled into bytes that may be anywhere, a process
 * is being born that may be given one, or somebody takes or drops one at this moment.
 * FK_NOMEM: there are more than `most`. */
fk_status fk_circle_users(const fk_arena *a, uint64_t off, fk_owner *users, uint32_t most,
                          uint32_t *count);

#endif
