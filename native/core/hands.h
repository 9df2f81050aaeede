/* Redelivery: who has which item of a queue in hand, and what becomes of it when that one dies.
 *
 * A table of fk_hand (layout.h) that each consumer reads and writes under head.lock. Nobody brings an
 * item back: the next consumer finds that its taker is dead, and takes it over. What a dead process did
 * not finish at the table is settled by the lock's next owner. Used by queue.c only. */
#ifndef FK_HANDS_H
#define FK_HANDS_H

#include "queue.h"

/* Of queue.c: take head.lock and settle what a dead owner left. Give up a done item's block. */
void fk_queue_lock_head(fk_arena *a, fk_queue *q);
void fk_queue_settle_head(fk_arena *a, fk_queue *q);

/* ---- with head.lock held -------------------------------------------------------------------------- */

/* Let there be a free place. FK_OK, FK_NOMEM. */
fk_status fk_hands_room(fk_arena *a, fk_queue *q);

/* This thread is about to take the message `seq` from the head. After that has committed: end. */
void fk_hands_begin(fk_arena *a, fk_queue *q, uint64_t block, uint64_t seq, uint64_t meta);
void fk_hands_end(fk_queue *q);

/* Take over the oldest item that has come back from the dead. False: there is none to be had. */
bool fk_hands_again(fk_arena *a, fk_queue *q, const fk_take *t, fk_taken *out);

/* Settle for a dead owner of head.lock, when the head is at `seq`. */
void fk_hands_settle(fk_arena *a, fk_queue *q, uint64_t seq);

/* An immediate shutdown: forget what has come back. */
void fk_hands_drop(fk_arena *a, fk_queue *q, uint64_t seq);

void fk_hands_destroy(fk_arena *a, fk_queue *q);

/* ---- without it: a hint ---------------------------------------------------------------------------- */

/* Whether an item has come back. */
bool fk_hands_any(const fk_arena *a, const fk_queue *q);

/* Whether `who` has nothing in hand, and others have what may come back, or has. */
bool fk_hands_others(const fk_arena *a, const fk_queue *q, fk_owner who);

/* How many items nobody will ever get: taken too often, or no more takes. */
uint64_t fk_hands_lost(const fk_arena *a, const fk_queue *q);

uint64_t fk_hands_count(const fk_arena *a, const fk_queue *q);

/* fk_queue_done and fk_queue_join of a redelivering queue. */
fk_status fk_hands_done(fk_arena *a, fk_queue *q);
fk_status fk_hands_join(fk_arena *a, fk_queue *q, uint64_t *lost, fk_wait *w);

#endif
