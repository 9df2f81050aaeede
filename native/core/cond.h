/* Condition: a place where processes wait, each on a word of its own, until they are notified.
 *
 * The caller's lock guards it: begin and notify are called by who holds that lock. Waiters are
 * notified in the order of arrival. One that has died is passed over, so a notification never
 * goes to a dead process while a live one waits. */
#ifndef FK_COND_H
#define FK_COND_H

#include "heap.h"

void fk_cond_init(fk_cond *c);

/* Become a waiter (under the lock; then release the lock and call fk_cond_wait).
 * *node is this waiter's. Returns FK_OK, FK_NOMEM. */
fk_status fk_cond_begin(fk_arena *a, fk_cond *c, fk_node **node);

/* Sleep until notified. FK_OK; FK_TIMEOUT; FK_INTR: call again, or end. */
fk_status fk_cond_wait(fk_node *node, fk_wait *w);

/* Stop waiting, in every case. True if the waiter was notified (perhaps at the last moment). */
bool fk_cond_end(fk_node *node);

/* Notify up to n waiters (under the lock); returns how many. */
uint64_t fk_cond_notify(fk_arena *a, fk_cond *c, uint64_t n);

/* How many live processes' threads wait. */
uint64_t fk_cond_waiters(fk_arena *a, fk_cond *c);

#endif
