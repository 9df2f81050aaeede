/* The queue: bytes in, bytes out, any number of producers and consumers, whole after any death.
 *
 * A message of up to FK_INLINE_MAX bytes is copied into a segment; a larger one is written by
 * the producer into a block of its own, of which the queue passes on the ownership.
 *
 * What dies with a process: a message that it had not committed, and one that it had taken.
 * Nothing else, and no state in between. */
#ifndef FK_QUEUE_H
#define FK_QUEUE_H

#include "hold.h"
#include "sema.h"

#define FK_INLINE_MAX UINT32_C(16384)

/* Set up a queue in a block of kind FK_KIND_QUEUE. maxsize 0: no bound. FK_OK, FK_NOMEM. */
fk_status fk_queue_init(fk_arena *a, fk_queue *q, uint64_t maxsize, bool joinable);

/* Right after that, before anybody else knows of the queue: let it give an item whose taker died before
 * fk_queue_done to another one, up to `times` (at least 1) times. Of such a queue each message is a
 * block. FK_OK, FK_NOMEM. */
fk_status fk_queue_redeliver(fk_arena *a, fk_queue *q, uint32_t times);

typedef struct fk_put {
    const void *head; /* two pieces, so that a caller's header needs no copy of its own */
    uint32_t head_size;
    const void *data;
    uint32_t data_size;
    uint64_t block; /* not 0: the message is this block, which the caller holds, instead of bytes */
    uint64_t meta;  /* any number: comes out with the message, unread */
    bool quiet;     /* wake nobody: the caller will, after several (fk_queue_wake) */
} fk_put;

/* Append a message. *seq (may be NULL) becomes its number, from 0.
 * FK_OK; FK_AGAIN (full, deadline 0); FK_TIMEOUT; FK_INTR; FK_SHUTDOWN; FK_NOMEM; FK_OVERFLOW: more
 * than FK_INLINE_MAX bytes, or a block that is in a queue already; FK_STALE: no such block;
 * FK_CORRUPT. */
fk_status fk_queue_put(fk_arena *a, fk_queue *q, const fk_put *p, uint64_t *seq, fk_wait *w);

/* Wake consumers for `n` messages that were put quietly. A message that was not announced is found
 * all the same, after a slice. */
void fk_queue_wake(fk_queue *q, uint32_t n);

typedef struct fk_taken {
    uint64_t seq;
    uint64_t meta;
    uint64_t block; /* not 0: recorded in the caller's `slot_hold`, whose it is now */
    uint32_t at;    /* else: where in the caller's buffer, and how many bytes */
    uint32_t size;
} fk_taken;

/* How to take. `hold`: this process's entry of a joinable queue (counts items in hand).
 * `claim`: a word that is set to seq + 1 before the take commits (a pool's worker tells its task).
 * `block_hold`: an entry (fk_hold_new with off 0) that receives a large message's block. */
typedef struct fk_take {
    uint8_t *buffer;
    uint32_t capacity; /* at least FK_INLINE_MAX */
    fk_hold *hold;
    _Atomic uint64_t *claim;
    fk_hold *block_hold;
} fk_take;

/* Take up to `max` messages in order, at once; as many as are there, at least one. A large one
 * only comes alone or last. *n is how many. A redelivering queue first gives what has come back from
 * the dead, the oldest first; after a shutdown a thread of a process that has nothing in hand waits there for
 * what others have, as it may come back.
 * FK_OK; FK_AGAIN (empty, deadline 0); FK_TIMEOUT; FK_INTR; FK_SHUTDOWN; FK_CORRUPT; redelivering:
 * FK_NOMEM. */
fk_status fk_queue_take(fk_arena *a, fk_queue *q, const fk_take *t, fk_taken *out, uint32_t max,
                        uint32_t *n, fk_wait *w);

uint64_t fk_queue_size(const fk_queue *q);
uint64_t fk_queue_put_in_all(const fk_queue *q);

/* No more puts; `immediate`: no more gets either, and what is inside is dropped. Wakes everybody. */
void fk_queue_shutdown(fk_arena *a, fk_queue *q, bool immediate);

/* Joinable: one item taken has been dealt with. FK_OK, FK_OVERFLOW (more than were put).
 * Redelivering: the oldest that this thread has in hand. FK_OK, FK_OVERFLOW (it has none). */
fk_status fk_queue_done(fk_arena *a, fk_queue *q, fk_hold *hold);

/* Joinable: wait until every item put is done.
 * FK_OK; FK_OWNER_DIED: all that is left was in the hands of processes that died: *lost items,
 * which count as done from now on; FK_AGAIN (deadline 0), FK_TIMEOUT, FK_INTR. Of a redelivering queue
 * those count that have been taken too often, and after an immediate shutdown all that died. */
fk_status fk_queue_join(fk_arena *a, fk_queue *q, uint64_t *lost, fk_wait *w);

uint64_t fk_queue_unfinished(const fk_queue *q);

/* Items that a join will report as lost. */
uint64_t fk_queue_lost(const fk_arena *a, const fk_queue *q);

/* Whether a get, a put, a join that is asleep has nothing to wake up for. Without a lock: right when
 * nobody changes the queue meanwhile. */
bool fk_queue_get_blocks(const fk_arena *a, const fk_queue *q, fk_owner who);
bool fk_queue_put_blocks(const fk_queue *q);
bool fk_queue_join_blocks(const fk_arena *a, const fk_queue *q);

/* Settle what a dead process left half done at the ends, and count what its entry had in hand as
 * lost, or wake those who may take it; called by the reaper. */
void fk_queue_give_back(fk_arena *a, fk_queue *q, fk_hold *hold);

#endif
