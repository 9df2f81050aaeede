#include "queue.h"

#include <limits.h>
#include <string.h>

#include "hands.h"

#define FIRST_SEGMENT (4096 - FK_BLOCK_HEAD - sizeof(fk_segment))
#define LARGEST_SEGMENT UINT64_C(1048576)
#define MSG_HEAD ((uint64_t)sizeof(fk_msg))

static uint64_t msg_span(uint64_t size) { return MSG_HEAD + ((size + 15) & ~UINT64_C(15)); }

/* ---- cursors -------------------------------------------------------------------------------- */

typedef struct position {
    uint64_t seq, seg, pos;
} position;

/* Under the end's lock. */
static position read_cursor(fk_end *e)
{
    fk_cursor *c = &e->cursor[atomic_load_explicit(&e->version, memory_order_relaxed) & 1];
    return (position){atomic_load_explicit(&c->seq, memory_order_relaxed),
                      atomic_load_explicit(&c->seg, memory_order_relaxed),
                      atomic_load_explicit(&c->pos, memory_order_relaxed)};
}

/* Under the end's lock: the commit. */
static void write_cursor(fk_end *e, position p)
{
    uint64_t v = atomic_load_explicit(&e->version, memory_order_relaxed) + 1;
    fk_cursor *c = &e->cursor[v & 1];
    /* release: queue.seq - who sees this seq sees the version that made its cursor invalid */
    atomic_store_explicit(&c->seq, p.seq, memory_order_release);
    atomic_store_explicit(&c->seg, p.seg, memory_order_relaxed);
    atomic_store_explicit(&c->pos, p.pos, memory_order_relaxed);
    fk_point("queue.cursor");
    FK_CARRIED_ON(e);
    /* release: queue.version - and seq_cst, for the event count's sake (sema.h) */
    atomic_store(&e->version, v);
}

/* How far an end is, from outside. */
static uint64_t peek_seq(const fk_end *e)
{
    for (;;) {
        uint64_t v = atomic_load(&e->version); /* acquire: queue.version */
        /* acquire: queue.seq */
        uint64_t seq = atomic_load_explicit(&e->cursor[v & 1].seq, memory_order_acquire);
        if (FK_LIKELY(atomic_load_explicit(&e->version, memory_order_relaxed) == v))
            return seq;
    }
}

/* How many messages there are; perhaps more than there ever were at once, and never fewer than
 * there are all the while. */
static uint64_t peek_size(const fk_queue *q)
{
    uint64_t head = peek_seq(&q->head);
    return peek_seq(&q->tail) - head;
}

/* Under the head's lock: how many messages there are, as far as it matters to who wants `most`. */
static uint64_t count(fk_queue *q, uint64_t head, uint64_t most)
{
    /* acquire: queue.other - what a consumer has seen that may have been killed before it gave up the lock */
    uint64_t there = atomic_load_explicit(&q->head.other, memory_order_acquire) - head;
    if (there >= most) {
        FK_TAKEN_ON(&q->tail);
        return there;
    }
    uint64_t tail = peek_seq(&q->tail);
    /* release: queue.other - and with it what the producers have written so far */
    atomic_store_explicit(&q->head.other, tail, memory_order_release);
    return tail - head;
}

/* Whether there is a message, or was one just now. */
static bool has_any(const fk_queue *q)
{
    uint64_t head = peek_seq(&q->head);
    return atomic_load_explicit(&q->head.other, memory_order_relaxed) > head ||
           peek_seq(&q->tail) > head;
}

uint64_t fk_queue_put_in_all(const fk_queue *q) { return peek_seq(&q->tail); }

uint64_t fk_queue_size(const fk_queue *q)
{
    for (;;) {
        uint64_t head = peek_seq(&q->head), tail = peek_seq(&q->tail);
        if (peek_seq(&q->head) == head)
            return tail - head;
    }
}

/* ---- segments --------------------------------------------------------------------------------- */

static fk_segment *segment_at(const fk_arena *a, uint64_t off)
{
    fk_segment *s = off && !(off & 63) ? fk_at(a, off + FK_BLOCK_HEAD, sizeof *s) : NULL;
    return s && fk_at(a, off + FK_BLOCK_HEAD + sizeof *s, s->size) ? s : NULL;
}

static fk_status segment_new(fk_arena *a, uint64_t size, uint64_t *off)
{
    fk_status st = fk_block_new(a, sizeof(fk_segment) + size, FK_KIND_RAW, off);
    if (st == FK_OK) {
        fk_segment *s = fk_block_data(a, *off);
        s->size = size;
        atomic_store(&s->next, 0);
    }
    return st;
}

/* The segment after `from`, under the tail's lock. One that a producer linked before it died is
 * there already. */
static fk_status segment_after(fk_arena *a, fk_queue *q, fk_segment *from, uint64_t *off)
{
    *off = atomic_load(&from->next);
    if (*off == 0) {
        fk_segment *s = segment_at(a, *off = atomic_load(&q->spare));
        if (s) {
            atomic_store(&s->next, 0);
        } else {
            uint64_t size = 2 * (from->size + sizeof *from + FK_BLOCK_HEAD);
            if (size > LARGEST_SEGMENT)
                size = LARGEST_SEGMENT;
            if (size < 2 * FK_INLINE_MAX)
                size = 2 * FK_INLINE_MAX;
            fk_status st = segment_new(a, size - sizeof *from - FK_BLOCK_HEAD, off);
            if (st != FK_OK)
                return st;
            fk_point("queue.unlinked");
        }
        atomic_store(&from->next, *off);
        fk_point("queue.linked");
    }
    uint64_t spare = *off; /* in use now, if it was the spare */
    atomic_compare_exchange_strong(&q->spare, &spare, 0);
    return FK_OK;
}

/* Give a drained segment away: to the producers as the spare, or back to the heap. */
static void segment_retire(fk_arena *a, fk_queue *q, uint64_t off)
{
    fk_segment *s = segment_at(a, off);
    if (!s)
        return;
    uint64_t none = 0;
    if (s->size < FK_INLINE_MAX || !atomic_compare_exchange_strong(&q->spare, &none, off))
        fk_block_unref(a, off, FK_REF_HOLD);
}

fk_status fk_queue_init(fk_arena *a, fk_queue *q, uint64_t maxsize, bool joinable)
{
    memset(q, 0, sizeof *q);
    uint64_t off;
    fk_status st = segment_new(a, FIRST_SEGMENT, &off);
    if (st != FK_OK)
        return st;
    q->maxsize = maxsize;
    q->joinable = joinable;
    atomic_store(&q->head.cursor[0].seg, off);
    atomic_store(&q->tail.cursor[0].seg, off);
    return FK_OK;
}

static fk_msg *head_at(fk_segment *s, uint64_t pos)
{
    bool fits = s && s->size >= MSG_HEAD && pos <= s->size - MSG_HEAD && !(pos & 15);
    return fits ? (fk_msg *)(s->data + pos) : NULL;
}

/* Read the message at `p` and move `p` behind it. A jump sets *drained to the segment left. */
static fk_status message_at(fk_arena *a, position *p, fk_msg **msg, uint64_t *drained)
{
    fk_segment *s = segment_at(a, p->seg);
    fk_msg *m = head_at(s, p->pos);
    if (m && m->kind == FK_MSG_JUMP) {
        *drained = p->seg;
        p->seg = atomic_load(&s->next);
        p->pos = 0;
        s = segment_at(a, p->seg);
        m = head_at(s, 0);
    }
    if (!m || m->size > FK_INLINE_MAX || msg_span(m->size) > s->size - p->pos ||
        (m->kind != FK_MSG_INLINE && (m->kind != FK_MSG_BLOCK || m->size != sizeof(fk_msg_block))))
        return FK_CORRUPT;
    p->pos += msg_span(m->size);
    p->seq++;
    *msg = m;
    return FK_OK;
}

/* ---- locks and what a dead owner left ------------------------------------------------------------ */

/* Struck out first: what has been given up may be in use again, and is given up once only. */
static uint64_t strike_out(_Atomic uint64_t *logged)
{
    uint64_t off = atomic_load(logged);
    atomic_store(logged, 0);
    fk_point("queue.struck");
    return off;
}

static void head_settle(fk_arena *a, fk_queue *q)
{
    fk_end *e = &q->head;
    uint64_t off;
    if ((off = strike_out(&e->log_block)))
        fk_block_unqueue(a, off);
    if ((off = strike_out(&e->log_segment)))
        segment_retire(a, q, off);
    atomic_store(&e->log_seq, 0);
}

static void head_end_log(fk_arena *a, fk_queue *q)
{
    uint64_t log_seq = atomic_load(&q->head.log_seq);
    if (log_seq && read_cursor(&q->head).seq >= log_seq)
        head_settle(a, q);
    atomic_store(&q->head.log_seq, 0);
}

static void drain(fk_arena *a, fk_queue *q)
{
    position at = read_cursor(&q->head);
    for (uint64_t left = peek_seq(&q->tail) - at.seq; left > 0; left--) {
        uint64_t drained = 0;
        fk_msg *m;
        if (message_at(a, &at, &m, &drained) != FK_OK)
            return;
        uint64_t block = m->kind == FK_MSG_BLOCK ? ((fk_msg_block *)(m + 1))->off : 0;
        atomic_store(&q->head.log_segment, drained);
        atomic_store(&q->head.log_block, block);
        atomic_store(&q->head.log_seq, at.seq);
        write_cursor(&q->head, at);
        head_settle(a, q);
    }
}

/* The second half of an immediate shutdown, which whoever comes there ends for one that died. */
static void drop_all(fk_arena *a, fk_queue *q)
{
    uint64_t none = 0;
    atomic_compare_exchange_strong(&q->cut, &none, read_cursor(&q->head).seq + 1);
    fk_point("queue.cut");
    drain(a, q);
    if (q->redeliver)
        fk_hands_drop(a, q, read_cursor(&q->head).seq);
}

static void head_recover(fk_arena *a, fk_queue *q)
{
    if (q->redeliver)
        fk_hands_settle(a, q, read_cursor(&q->head).seq);
    head_end_log(a, q);
    uint64_t seq = read_cursor(&q->head).seq;
    uint64_t txn = atomic_load(&q->txn);
    fk_hold *hold = txn ? fk_at(a, txn, sizeof *hold) : NULL;
    if (hold) {
        uint64_t claim = atomic_load(&hold->claim);
        if (claim && seq >= claim)
            atomic_store(&hold->taken, atomic_load(&hold->pending));
        atomic_store(&hold->claim, 0);
    }
    atomic_store(&q->txn, 0);
    if (atomic_load(&q->shut) == 2)
        drop_all(a, q);
}

static void tail_recover(fk_arena *a, fk_queue *q)
{
    fk_end *e = &q->tail;
    uint64_t log_seq = atomic_load(&e->log_seq);
    uint64_t block = strike_out(&e->log_block);
    atomic_store(&e->log_seq, 0);
    if (block && log_seq && read_cursor(e).seq < log_seq)
        fk_block_unqueue(a, block);
}

void fk_queue_lock_head(fk_arena *a, fk_queue *q)
{
    if (fk_lock_force(a, &q->head.lock) == FK_OWNER_DIED)
        head_recover(a, q);
}

void fk_queue_settle_head(fk_arena *a, fk_queue *q) { head_settle(a, q); }

static fk_status lock_end(fk_arena *a, fk_queue *q, fk_end *e, fk_wait *w)
{
    /* It is held for a few instructions: a try that does not want to wait waits for that. */
    fk_wait a_slice = FK_WAIT_UNTIL(FK_NEVER);
    fk_status st = fk_lock_acquire(a, &e->lock, w->deadline_ns ? w : &a_slice);
    if (FK_LIKELY(st == FK_OK))
        return FK_OK;
    if (st == FK_OWNER_DIED) {
        if (fk_lock_take_over(a, &e->lock) != FK_OK)
            return FK_INTR;
        if (e == &q->head)
            head_recover(a, q);
        else
            tail_recover(a, q);
        return FK_OK;
    }
    return st;
}

/* ---- put ------------------------------------------------------------------------------------------- */

static bool is_full(const fk_queue *q, uint64_t tail_seq)
{
    return q->maxsize && tail_seq - peek_seq(&q->head) >= q->maxsize;
}

/* Until there is room. Without the lock: only a hint. */
static fk_status wait_room(fk_queue *q, fk_wait *w)
{
    for (;;) {
        if (atomic_load(&q->shut))
            return FK_SHUTDOWN;
        if (peek_size(q) < q->maxsize)
            return FK_OK;
        if (w->deadline_ns == 0)
            return FK_AGAIN;
        uint32_t e = fk_ec_prepare(&q->tail.ec);
        if (peek_size(q) < q->maxsize || atomic_load(&q->shut))
            continue;
        fk_status st = fk_futex_wait(&q->tail.ec.word, e, w);
        if (st != FK_OK)
            return st;
    }
}

/* Write the message behind `p`, under the tail's lock; nothing of it is visible yet. */
static fk_status write_message(fk_arena *a, fk_queue *q, const fk_put *p, position *at)
{
    uint32_t size = p->block ? sizeof(fk_msg_block) : p->head_size + p->data_size;
    fk_segment *s = segment_at(a, at->seg);
    fk_msg *m = head_at(s, at->pos);
    if (!m)
        return FK_CORRUPT;
    /* Every segment keeps room for the head of a jump. */
    if (at->pos + msg_span(size) + MSG_HEAD > s->size) {
        uint64_t next;
        fk_status st = segment_after(a, q, s, &next);
        if (st != FK_OK)
            return st;
        s = segment_at(a, next);
        if (!s || msg_span(size) + MSG_HEAD > s->size)
            return FK_CORRUPT;
        *m = (fk_msg){.kind = FK_MSG_JUMP};
        m = (fk_msg *)s->data;
        at->seg = next;
        at->pos = 0;
    }
    *m = (fk_msg){.size = size, .kind = p->block ? FK_MSG_BLOCK : FK_MSG_INLINE, .meta = p->meta};
    uint8_t *to = (uint8_t *)(m + 1);
    if (p->block) {
        fk_block *b = fk_block_at(a, p->block);
        *(fk_msg_block *)to = (fk_msg_block){p->block, atomic_load(&b->tag)};
        /* The queue's claim, which a death before the commit takes back (tail_recover). */
        atomic_store(&q->tail.log_block, p->block);
        atomic_store(&q->tail.log_seq, at->seq + 1);
        fk_block_queue(a, p->block);
    } else {
        if (p->head_size)
            memcpy(to, p->head, p->head_size);
        if (p->data_size)
            memcpy(to + p->head_size, p->data, p->data_size);
    }
    fk_point("queue.written");
    at->pos += msg_span(size);
    at->seq++;
    return FK_OK;
}

fk_status fk_queue_put(fk_arena *a, fk_queue *q, const fk_put *p, uint64_t *seq, fk_wait *w)
{
    if (p->block) {
        fk_block *b = fk_block_at(a, p->block);
        if (!b || !atomic_load(&b->tag))
            return FK_STALE;
        if (atomic_load(&b->refs) & FK_REF_QUEUED)
            return FK_OVERFLOW;
    } else if ((uint64_t)p->head_size + p->data_size > FK_INLINE_MAX || q->redeliver) {
        return FK_OVERFLOW;
    }
    for (;;) {
        fk_status st = q->maxsize ? wait_room(q, w) : FK_OK;
        if (st != FK_OK)
            return st;
        st = lock_end(a, q, &q->tail, w);
        if (FK_UNLIKELY(st != FK_OK)) {
            fk_ec_notify(&q->tail.ec, 1); /* who gives up here may have been woken: see sema.h */
            return st;
        }
        position at = read_cursor(&q->tail);
        if (FK_UNLIKELY(atomic_load_explicit(&q->shut, memory_order_relaxed)))
            st = FK_SHUTDOWN;
        else if (is_full(q, at.seq))
            st = FK_AGAIN;
        else
            st = write_message(a, q, p, &at);
        if (st == FK_OK) {
            write_cursor(&q->tail, at);
            fk_point("queue.put");
        }
        if (p->block)
            atomic_store(&q->tail.log_seq, 0);
        fk_lock_release(&q->tail.lock);
        if (st == FK_AGAIN && w->deadline_ns)
            continue; /* somebody else filled it */
        if (st == FK_OK) {
            if (seq)
                *seq = at.seq - 1;
            if (!p->quiet)
                fk_ec_notify(&q->head.ec, 1);
        }
        return st;
    }
}

void fk_queue_wake(fk_queue *q, uint32_t n)
{
    if (n)
        fk_ec_notify(&q->head.ec, n > INT_MAX ? INT_MAX : (int)n);
}

/* ---- take ------------------------------------------------------------------------------------------ */

/* Of a redelivering queue in which nothing is inside: what came back, or may do so. */
static FK_COLD fk_status look_at_hands(const fk_arena *a, const fk_queue *q, uint32_t shut)
{
    if (fk_hands_any(a, q))
        return FK_OK;
    return shut && !fk_hands_others(a, q, a->me) ? FK_SHUTDOWN : FK_AGAIN;
}

/* Until there is something. Without the lock: only a hint. */
static fk_status wait_item(const fk_arena *a, fk_queue *q, fk_wait *w)
{
    for (fk_spin spin = fk_spin_of(w, FK_PATIENTLY);;) {
        /* acquire: queue.shut - what was put before the shutdown is seen below */
        uint32_t shut = atomic_load_explicit(&q->shut, memory_order_acquire);
        if (shut == 2)
            return FK_SHUTDOWN;
        if (has_any(q)) {
            fk_spin_paid(&spin);
            return FK_OK;
        }
        if (FK_UNLIKELY(q->redeliver)) {
            fk_status st = look_at_hands(a, q, shut);
            if (st != FK_AGAIN)
                return st;
        } else if (shut) {
            return FK_SHUTDOWN;
        }
        if (w->deadline_ns == 0)
            return FK_AGAIN;
        if (fk_spin_on(&spin))
            continue;
        uint32_t e = fk_ec_prepare(&q->head.ec);
        uint32_t shut_now = atomic_load(&q->shut);
        if (has_any(q) ||
            (q->redeliver ? look_at_hands(a, q, shut_now) != FK_AGAIN || shut_now != shut
                          : shut_now))
            continue;
        fk_status st = fk_futex_wait(&q->head.ec.word, e, w);
        if (st != FK_OK)
            return st;
    }
}

/* Copy messages from `at` on, under the head's lock, and log what else must follow the commit. */
static fk_status read_messages(fk_arena *a, fk_queue *q, const fk_take *t, fk_taken *out,
                               uint32_t max, uint32_t *n, position *at)
{
    uint64_t there = count(q, at->seq, max), segment = 0, block = 0;
    uint32_t used = 0;
    *n = 0;
    while (*n < max && *n < there) {
        position next = *at;
        uint64_t drained = 0;
        fk_msg *m;
        fk_status st = message_at(a, &next, &m, &drained);
        if (st != FK_OK)
            return st;
        if (drained && segment)
            break; /* the log has room for one */
        fk_taken *o = &out[*n];
        *o = (fk_taken){.seq = at->seq, .meta = m->meta};
        if (m->kind == FK_MSG_BLOCK) {
            fk_msg_block mb = *(fk_msg_block *)(m + 1);
            fk_block *b = fk_block_at(a, mb.off);
            if (!b || !t->block_hold || atomic_load(&b->tag) != mb.tag)
                return FK_CORRUPT;
            o->block = block = mb.off;
        } else {
            if (m->size > t->capacity - used)
                break;
            memcpy(t->buffer + used, m + 1, m->size);
            o->at = used;
            o->size = m->size;
            used += (m->size + 15) & ~15u;
            if (used > t->capacity)
                used = t->capacity;
        }
        if (drained)
            segment = drained;
        *at = next;
        ++*n;
        if (block)
            break;
    }
    if (segment || block) {
        atomic_store(&q->head.log_segment, segment);
        atomic_store(&q->head.log_block,
                     q->redeliver ? 0 : block); /* stays the queue's till done */
        atomic_store(&q->head.log_seq, at->seq);
        if (block) { /* ours before it is no longer the queue's */
            fk_block_ref(a, block, FK_REF_HOLD);
            fk_point("queue.referred");
            atomic_store(&t->block_hold->off, block);
        }
    }
    return FK_OK;
}

static void commit_take(fk_arena *a, fk_queue *q, const fk_take *t, const fk_taken *out,
                        position at, uint32_t n)
{
    if (t->claim)
        atomic_store(t->claim, at.seq);
    if (FK_UNLIKELY(q->redeliver)) {
        fk_hands_begin(a, q, out->block, out->seq, out->meta);
    } else if (q->joinable && t->hold) {
        atomic_store(&t->hold->pending, atomic_load(&t->hold->taken) + n);
        atomic_store(&q->txn, fk_off(a, t->hold));
        atomic_store(&t->hold->claim, at.seq);
    }
    fk_point("queue.claimed");
    write_cursor(&q->head, at);
    fk_point("queue.taken");
    if (FK_UNLIKELY(q->redeliver)) {
        fk_hands_end(q);
    } else if (q->joinable && t->hold) {
        atomic_store(&t->hold->taken, atomic_load(&t->hold->pending));
        atomic_store(&t->hold->claim, 0);
        atomic_store(&q->txn, 0);
    }
    if (FK_UNLIKELY(atomic_load_explicit(&q->head.log_seq, memory_order_relaxed)))
        head_settle(a, q);
}

fk_status fk_queue_take(fk_arena *a, fk_queue *q, const fk_take *t, fk_taken *out, uint32_t max,
                        uint32_t *n, fk_wait *w)
{
    for (;;) {
        fk_status st = wait_item(a, q, w);
        if (st != FK_OK)
            return st;
        st = lock_end(a, q, &q->head, w);
        if (FK_UNLIKELY(st != FK_OK)) {
            fk_ec_notify(&q->head.ec, 1); /* who gives up here may have been woken: see sema.h */
            return st;
        }
        position at = read_cursor(&q->head);
        st = FK_UNLIKELY(q->redeliver) ? fk_hands_room(a, q) : FK_OK;
        if (FK_UNLIKELY(q->redeliver && st == FK_OK && fk_hands_again(a, q, t, out))) {
            *n = 1;
        } else if (st == FK_OK) {
            st = read_messages(a, q, t, out, max, n, &at);
            if (st == FK_OK && *n)
                commit_take(a, q, t, out, at, *n);
        }
        fk_lock_release(&q->head.lock);
        if (st != FK_OK)
            return st;
        if (*n) {
            if (q->maxsize)
                fk_ec_notify(&q->tail.ec, (int)*n);
            return FK_OK;
        }
        if (w->deadline_ns == 0)
            return FK_AGAIN;
    }
}

/* ---- joinable: what became of the items ----------------------------------------------------------- */

typedef struct tally {
    uint64_t done, lost;
} tally;

static tally read_tally(fk_queue *q)
{
    fk_tally *t = &q->tally[atomic_load(&q->done_version) & 1];
    return (tally){atomic_load(&t->done), atomic_load(&t->lost)};
}

/* Under done_lock: the commit, and with it the entry's `finished`. */
static void write_tally(fk_arena *a, fk_queue *q, tally to, fk_hold *hold, uint32_t finished)
{
    uint64_t v = atomic_load(&q->done_version) + 1;
    if (hold) {
        atomic_store(&q->log_hold, fk_off(a, hold));
        atomic_store(&q->log_finished, finished);
        atomic_store(&q->log_version, v);
    }
    fk_tally *t = &q->tally[v & 1];
    atomic_store(&t->done, to.done);
    atomic_store(&t->lost, to.lost);
    fk_point("queue.tally");
    atomic_store(&q->done_version, v);
    fk_point("queue.tallied");
    if (hold) {
        atomic_store(&hold->finished, finished);
        atomic_store(&q->log_version, 0);
    }
}

static void lock_done(fk_arena *a, fk_queue *q)
{
    if (fk_lock_force(a, &q->done_lock) != FK_OWNER_DIED)
        return;
    uint64_t v = atomic_load(&q->log_version);
    fk_hold *hold = v ? fk_at(a, atomic_load(&q->log_hold), sizeof *hold) : NULL;
    if (hold && atomic_load(&q->done_version) >= v)
        atomic_store(&hold->finished, atomic_load(&q->log_finished));
    atomic_store(&q->log_version, 0);
}

/* How many items are not done that somebody can have done yet. More may have been reported than an
 * immediate shutdown left to be done: who reports an item need not have taken it. */
static uint64_t left_of(const fk_queue *q, uint64_t done)
{
    uint64_t cut = q->redeliver ? 0 : atomic_load(&q->cut);
    uint64_t all = cut ? cut - 1 : peek_seq(&q->tail);
    return all > done ? all - done : 0;
}

uint64_t fk_queue_unfinished(const fk_queue *q)
{
    for (;;) {
        uint64_t v = atomic_load(&q->done_version);
        uint64_t done = atomic_load(&q->tally[v & 1].done);
        if (atomic_load(&q->done_version) == v)
            return left_of(q, done);
    }
}

fk_status fk_queue_done(fk_arena *a, fk_queue *q, fk_hold *hold)
{
    if (q->redeliver)
        return fk_hands_done(a, q);
    lock_done(a, q);
    tally t = read_tally(q);
    uint64_t unfinished = left_of(q, t.done);
    if (unfinished) {
        uint32_t finished = hold ? atomic_load(&hold->finished) : 0;
        if (hold && finished == atomic_load(&hold->taken))
            hold = NULL; /* reported by another process than the one that took it */
        write_tally(a, q, (tally){t.done + 1, t.lost}, hold, finished + 1);
    }
    fk_lock_release(&q->done_lock);
    if (unfinished == 0)
        return FK_OVERFLOW;
    if (unfinished - 1 <= t.lost) /* no more to come: a join has its answer */
        fk_ec_notify(&q->done_ec, INT_MAX);
    return FK_OK;
}

fk_status fk_queue_join(fk_arena *a, fk_queue *q, uint64_t *lost, fk_wait *w)
{
    if (atomic_load(&q->shut) == 2 && peek_size(q)) { /* who shut it down has died */
        fk_queue_lock_head(a, q);
        drop_all(a, q);
        fk_lock_release(&q->head.lock);
    }
    if (q->redeliver)
        return fk_hands_join(a, q, lost, w);
    for (;;) {
        *lost = 0;
        uint32_t e = fk_ec_prepare(&q->done_ec);
        if (fk_queue_unfinished(q) == 0)
            return FK_OK;
        lock_done(a, q);
        tally t = read_tally(q);
        uint64_t unfinished = left_of(q, t.done);
        if (unfinished && unfinished <= t.lost) {
            write_tally(a, q, (tally){t.done + unfinished, 0}, NULL, 0);
            *lost = unfinished;
        }
        fk_lock_release(&q->done_lock);
        if (*lost) {
            fk_ec_notify(&q->done_ec, INT_MAX);
            return FK_OWNER_DIED;
        }
        if (unfinished == 0) /* who reported the last may not know it: the cut came meanwhile */
            return FK_OK;
        if (w->deadline_ns == 0)
            return FK_AGAIN;
        fk_status st = fk_futex_wait(&q->done_ec.word, e, w);
        if (st != FK_OK)
            return st;
    }
}

static bool has_dead_owner(const fk_arena *a, const fk_lock *l)
{
    fk_owner owner = fk_lock_owner(l);
    return owner && !fk_slot_alive(a, owner);
}

void fk_queue_give_back(fk_arena *a, fk_queue *q, fk_hold *hold)
{
    /* What it left half done at an end may be large. Of a joinable queue the entry must be settled,
     * also when somebody else is just at that. */
    if (has_dead_owner(a, &q->tail.lock)) {
        if (fk_lock_force(a, &q->tail.lock) == FK_OWNER_DIED)
            tail_recover(a, q);
        fk_lock_release(&q->tail.lock);
    }
    if (q->joinable || has_dead_owner(a, &q->head.lock)) {
        fk_queue_lock_head(a, q);
        fk_lock_release(&q->head.lock);
    }
    if (q->redeliver) { /* what it had in hand has come back, or is lost */
        fk_ec_notify(&q->head.ec, INT_MAX);
        fk_ec_notify(&q->done_ec, INT_MAX);
    }
    if (!q->joinable)
        return;
    lock_done(a, q);
    tally t = read_tally(q);
    uint32_t taken = atomic_load(&hold->taken);
    uint64_t in_hand = taken - atomic_load(&hold->finished);
    if (in_hand) /* in one change with the entry: a reaper that dies here reports nothing twice */
        write_tally(a, q, (tally){t.done, t.lost + in_hand}, hold, taken);
    fk_lock_release(&q->done_lock);
    if (in_hand)
        fk_ec_notify(&q->done_ec, INT_MAX);
}

/* ---- is there anything to wait for? -------------------------------------------------------------- */

bool fk_queue_get_blocks(const fk_arena *a, const fk_queue *q, fk_owner who)
{
    uint32_t shut = atomic_load(&q->shut);
    if (peek_size(q) > 0 || shut == 2)
        return false;
    if (!q->redeliver)
        return !shut;
    return !fk_hands_any(a, q) && (!shut || fk_hands_others(a, q, who));
}

bool fk_queue_put_blocks(const fk_queue *q)
{
    return q->maxsize && peek_size(q) >= q->maxsize && !atomic_load(&q->shut);
}

uint64_t fk_queue_lost(const fk_arena *a, const fk_queue *q)
{
    return q->redeliver ? fk_hands_lost(a, q)
                        : atomic_load(&q->tally[atomic_load(&q->done_version) & 1].lost);
}

bool fk_queue_join_blocks(const fk_arena *a, const fk_queue *q)
{
    return fk_queue_unfinished(q) > fk_queue_lost(a, q);
}

/* ---- the end ----------------------------------------------------------------------------------------- */

void fk_queue_shutdown(fk_arena *a, fk_queue *q, bool immediate)
{
    uint32_t to = immediate ? 2 : 1;
    /* Under the producers' lock: no put that is let in is still on its way afterwards. */
    if (fk_lock_force(a, &q->tail.lock) == FK_OWNER_DIED)
        tail_recover(a, q);
    if (atomic_load(&q->shut) < to)
        atomic_store(&q->shut, to); /* release: queue.shut */
    fk_lock_release(&q->tail.lock);
    fk_point("queue.shut");
    if (immediate) {
        fk_queue_lock_head(a, q);
        drop_all(a, q);
        fk_lock_release(&q->head.lock);
    }
    fk_ec_notify(&q->head.ec, INT_MAX);
    fk_ec_notify(&q->tail.ec, INT_MAX);
    fk_ec_notify(&q->done_ec, INT_MAX);
}

void fk_queue_destroy(fk_arena *a, uint64_t off)
{
    fk_queue *q = fk_block_data(a, off);
    if (!q)
        return;
    tail_recover(a, q); /* who died at an end, and nobody has come there since */
    if (q->redeliver)
        fk_hands_settle(a, q, read_cursor(&q->head).seq);
    head_end_log(a, q);
    drain(a, q);
    if (q->redeliver)
        fk_hands_destroy(a, q);
    for (position at = read_cursor(&q->head); at.seg;) {
        fk_segment *s = segment_at(a, at.seg);
        uint64_t segment = at.seg, spare = segment;
        /* A producer may have died as it took the spare into use. */
        atomic_compare_exchange_strong(&q->spare, &spare, 0);
        at = (position){at.seq, s ? atomic_load(&s->next) : 0, 0};
        write_cursor(&q->head, at);
        fk_point("queue.struck");
        fk_block_unref(a, segment, FK_REF_HOLD);
    }
    uint64_t spare = strike_out(&q->spare);
    if (spare)
        fk_block_unref(a, spare, FK_REF_HOLD);
}
