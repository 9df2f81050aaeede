#include "hands.h"

#include <limits.h>
#include <string.h>

#define NO_SEQ UINT64_MAX

/* ---- the table ------------------------------------------------------------------------------------ */

static fk_hand_chunk *chunk_at(const fk_arena *a, const _Atomic uint64_t *link)
{
    uint64_t block = atomic_load(link);
    return block ? (fk_hand_chunk *)fk_at(a, block + FK_BLOCK_HEAD, sizeof(fk_hand_chunk)) : NULL;
}

static fk_status chunk_new(fk_arena *a, _Atomic uint64_t *link)
{
    uint64_t off;
    fk_status st = fk_block_new(a, sizeof(fk_hand_chunk), FK_KIND_RAW, &off);
    if (st != FK_OK)
        return st;
    memset(fk_block_data(a, off), 0, sizeof(fk_hand_chunk));
    fk_point("hands.unlinked");
    atomic_store(link, off);
    return FK_OK;
}

/* All places, one after the other. */
typedef struct walk {
    fk_hand_chunk *chunk;
    uint32_t index;
} walk;

static walk from_first(const fk_arena *a, const fk_queue *q)
{
    return (walk){chunk_at(a, &q->hands), 0};
}

static fk_hand *next_place(const fk_arena *a, walk *w)
{
    if (w->chunk && w->index == FK_HANDS_PER_CHUNK)
        *w = (walk){chunk_at(a, &w->chunk->next), 0};
    return w->chunk ? &w->chunk->hand[w->index++] : NULL;
}

static fk_hand *next_hand(const fk_arena *a, walk *w)
{
    for (fk_hand *h; (h = next_place(a, w));)
        if (atomic_load(&h->block))
            return h;
    return NULL;
}

static fk_owner owner_of(const fk_hand *h)
{
    return (uint32_t)atomic_load(&h->taker) & FK_OWNER_MASK;
}

static uint32_t times_of(const fk_hand *h) { return (uint32_t)(atomic_load(&h->taker) >> 32); }

static uint64_t taker(const fk_arena *a, uint32_t times) { return (uint64_t)times << 32 | a->me; }

static bool is_orphan(const fk_arena *a, const fk_hand *h)
{
    fk_owner owner = owner_of(h);
    return owner != a->me && !fk_slot_alive(a, owner);
}

static bool may_be_given(const fk_arena *a, const fk_queue *q, const fk_hand *h)
{
    return times_of(h) <= q->redeliver && is_orphan(a, h);
}

/* ---- looking ---------------------------------------------------------------------------------------- */

uint64_t fk_hands_count(const fk_arena *a, const fk_queue *q)
{
    uint64_t n = 0;
    for (walk w = from_first(a, q); next_hand(a, &w);)
        n++;
    return n;
}

bool fk_hands_any(const fk_arena *a, const fk_queue *q)
{
    walk w = from_first(a, q);
    for (fk_hand *h; (h = next_hand(a, &w));)
        if (may_be_given(a, q, h))
            return true;
    return false;
}

bool fk_hands_others(const fk_arena *a, const fk_queue *q, fk_owner who)
{
    bool others = false;
    walk w = from_first(a, q);
    for (fk_hand *h; (h = next_hand(a, &w));) {
        if (owner_of(h) == who)
            return false;
        others = others || times_of(h) <= q->redeliver; /* alive or not: it may die meanwhile */
    }
    return others;
}

uint64_t fk_hands_lost(const fk_arena *a, const fk_queue *q)
{
    uint64_t n = 0;
    bool no_more = atomic_load(&q->shut) == 2;
    walk w = from_first(a, q);
    for (fk_hand *h; (h = next_hand(a, &w));)
        n += is_orphan(a, h) && (no_more || times_of(h) > q->redeliver);
    return n;
}

/* ---- taking ------------------------------------------------------------------------------------------- */

fk_status fk_queue_redeliver(fk_arena *a, fk_queue *q, uint32_t times)
{
    q->joinable = 0;
    q->redeliver = times;
    return chunk_new(a, &q->hands);
}

static fk_hand *free_place(const fk_arena *a, const fk_queue *q)
{
    walk w = from_first(a, q);
    fk_hand *h;
    while ((h = next_place(a, &w)) && atomic_load(&h->block)) {
    }
    return h;
}

fk_status fk_hands_room(fk_arena *a, fk_queue *q)
{
    if (free_place(a, q))
        return FK_OK;
    fk_hand_chunk *last = chunk_at(a, &q->hands);
    for (fk_hand_chunk *c = last; c; c = chunk_at(a, &c->next))
        last = c;
    return chunk_new(a, last ? &last->next : &q->hands);
}

void fk_hands_begin(fk_arena *a, fk_queue *q, uint64_t block, uint64_t seq, uint64_t meta)
{
    fk_hand *h = free_place(a, q);
    atomic_store(&h->taker, taker(a, 1));
    atomic_store(&h->seq, seq);
    atomic_store(&h->meta, meta);
    atomic_store(&h->tid, fk_tid(a));
    atomic_store(&q->txn, fk_off(a, h));
    fk_point("hands.begun");
    atomic_store(&h->block, block);
    fk_point("hands.filled");
}

void fk_hands_end(fk_queue *q) { atomic_store(&q->txn, 0); }

bool fk_hands_again(fk_arena *a, fk_queue *q, const fk_take *t, fk_taken *out)
{
    fk_hand *oldest = NULL;
    uint64_t seq = NO_SEQ;
    walk w = from_first(a, q);
    for (fk_hand *h; (h = next_hand(a, &w));)
        if (atomic_load(&h->seq) < seq && may_be_given(a, q, h))
            seq = atomic_load(&(oldest = h)->seq);
    if (!oldest || atomic_load(&q->shut) == 2)
        return false;
    uint64_t block = atomic_load(&oldest->block);
    fk_block_ref(a, block, FK_REF_HOLD);
    fk_point("hands.referred");
    atomic_store(&t->block_hold->off, block);
    atomic_store(&oldest->tid, fk_tid(a)); /* until the next store nobody looks at it */
    fk_point("hands.given");
    atomic_store(&oldest->taker, taker(a, times_of(oldest) + 1));
    fk_point("hands.again");
    *out = (fk_taken){.seq = seq, .meta = atomic_load(&oldest->meta), .block = block};
    return true;
}

/* ---- done --------------------------------------------------------------------------------------------- */

/* Whatever died before it had counted: what counts is the table. */
static void count(const fk_arena *a, fk_queue *q, uint64_t seq)
{
    atomic_store(&q->tally[0].done, seq - fk_hands_count(a, q));
}

static uint64_t head_seq(const fk_queue *q)
{
    return atomic_load(&q->head.cursor[atomic_load(&q->head.version) & 1].seq);
}

/* Free the place, and give its block up; all of it or, by fk_hands_settle, nothing. */
static void empty_hand(fk_arena *a, fk_queue *q, fk_hand *h, uint64_t seq)
{
    atomic_store(&q->txn, fk_off(a, h));
    atomic_store(&q->head.log_segment, 0);
    atomic_store(&q->head.log_block, atomic_load(&h->block));
    atomic_store(&q->head.log_seq, seq);
    fk_point("hands.logged");
    atomic_store(&h->block, 0);
    fk_point("hands.emptied");
    count(a, q, seq);
    fk_point("hands.counted");
    fk_queue_settle_head(a, q);
    atomic_store(&q->txn, 0);
}

void fk_hands_settle(fk_arena *a, fk_queue *q, uint64_t seq)
{
    uint64_t txn = atomic_load(&q->txn);
    fk_hand *h = txn ? fk_at(a, txn, sizeof *h) : NULL;
    if (h && atomic_load(&h->block)) {
        if (atomic_load(&h->seq) >= seq) /* was being taken, and was not */
            atomic_store(&h->block, 0);
        else if (atomic_load(&h->block) == atomic_load(&q->head.log_block)) /* nor done */
            atomic_store(&q->head.log_block, 0);
    }
    count(a, q, seq);
    atomic_store(&q->txn, 0);
}

static fk_hand *oldest_of_this_thread(const fk_arena *a, const fk_queue *q)
{
    fk_hand *oldest = NULL;
    uint64_t seq = NO_SEQ;
    uint32_t tid = fk_tid(a);
    walk w = from_first(a, q);
    for (fk_hand *h; (h = next_hand(a, &w));)
        if (owner_of(h) == a->me && atomic_load(&h->tid) == tid && atomic_load(&h->seq) < seq)
            seq = atomic_load(&(oldest = h)->seq);
    return oldest;
}

static bool is_joined(const fk_arena *a, const fk_queue *q)
{
    return fk_queue_unfinished(q) <= fk_hands_lost(a, q);
}

fk_status fk_hands_done(fk_arena *a, fk_queue *q)
{
    fk_queue_lock_head(a, q);
    fk_hand *h = oldest_of_this_thread(a, q);
    if (h)
        empty_hand(a, q, h, head_seq(q));
    fk_lock_release(&q->head.lock);
    if (!h)
        return FK_OVERFLOW;
    if (is_joined(a, q))
        fk_ec_notify(&q->done_ec, INT_MAX);
    if (atomic_load(&q->shut)) /* who waits for what may come back */
        fk_ec_notify(&q->head.ec, INT_MAX);
    return FK_OK;
}

/* Forget the orphans that have been taken too often, or all, or only the others. */
static uint64_t forget(fk_arena *a, fk_queue *q, uint64_t seq, bool worn, bool others)
{
    uint64_t n = 0;
    walk w = from_first(a, q);
    for (fk_hand *h; (h = next_hand(a, &w));)
        if ((times_of(h) > q->redeliver ? worn : others) && is_orphan(a, h)) {
            empty_hand(a, q, h, seq);
            n++;
        }
    return n;
}

void fk_hands_drop(fk_arena *a, fk_queue *q, uint64_t seq)
{
    forget(a, q, seq, false, true);
    count(a, q, seq);
}

fk_status fk_hands_join(fk_arena *a, fk_queue *q, uint64_t *lost, fk_wait *w)
{
    for (;;) {
        uint32_t e = fk_ec_prepare(&q->done_ec);
        *lost = 0;
        fk_queue_lock_head(a, q); /* who died at the table may not have counted */
        uint64_t unfinished = fk_queue_unfinished(q);
        if (unfinished && unfinished <= fk_hands_lost(a, q))
            *lost = forget(a, q, head_seq(q), true, atomic_load(&q->shut) == 2);
        fk_lock_release(&q->head.lock);
        if (*lost) {
            fk_ec_notify(&q->done_ec, INT_MAX);
            return FK_OWNER_DIED;
        }
        if (unfinished == 0)
            return FK_OK;
        if (w->deadline_ns == 0)
            return FK_AGAIN;
        fk_status st = fk_futex_wait(&q->done_ec.word, e, w);
        if (st != FK_OK)
            return st;
    }
}

void fk_hands_destroy(fk_arena *a, fk_queue *q)
{
    walk w = from_first(a, q);
    for (fk_hand *h; (h = next_hand(a, &w));) {
        uint64_t block = atomic_exchange(&h->block, 0);
        fk_point("hands.struck");
        fk_block_unqueue(a, block);
    }
    for (fk_hand_chunk *c; (c = chunk_at(a, &q->hands));) {
        uint64_t off = atomic_exchange(&q->hands, atomic_load(&c->next));
        fk_point("hands.struck");
        fk_block_unref(a, off, FK_REF_HOLD);
    }
}
