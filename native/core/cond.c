#include "cond.h"

#include <string.h>

void fk_cond_init(fk_cond *c) { memset(c, 0, sizeof *c); }

/* Calls visit(node, arg) on each node until it returns true; returns that node. */
typedef bool visitor(fk_arena *a, fk_node *n, void *arg);

static fk_node *each(fk_arena *a, fk_cond *c, visitor *visit, void *arg)
{
    for (size_t i = 0; i < sizeof c->node / sizeof *c->node; i++)
        if (visit(a, &c->node[i], arg))
            return &c->node[i];
    for (uint64_t at = atomic_load(&c->chunks); at;) {
        fk_node_chunk *chunk = fk_at(a, at + FK_BLOCK_HEAD, sizeof *chunk);
        if (!chunk)
            break;
        for (size_t i = 0; i < FK_NODES_PER_CHUNK; i++)
            if (visit(a, &chunk->node[i], arg))
                return &chunk->node[i];
        at = atomic_load(&chunk->next);
    }
    return NULL;
}

/* Take a node that is free, or left by a dead process. */
static bool claim(fk_arena *a, fk_node *n, void *arg)
{
    (void)arg;
    uint32_t owner = atomic_load(&n->owner);
    if (owner != 0 && fk_slot_alive(a, owner))
        return false;
    fk_point("cond.found");
    return atomic_compare_exchange_strong(&n->owner, &owner, a->me);
}

fk_status fk_cond_begin(fk_arena *a, fk_cond *c, fk_node **node)
{
    fk_node *n = each(a, c, claim, NULL);
    if (!n) {
        uint64_t off;
        fk_status st = fk_block_new(a, sizeof(fk_node_chunk), FK_KIND_RAW, &off);
        if (st != FK_OK)
            return st;
        fk_node_chunk *chunk = fk_block_data(a, off);
        memset(chunk, 0, sizeof *chunk);
        n = &chunk->node[0];
        atomic_store(&n->owner, a->me);
        uint64_t next = atomic_load(&c->chunks);
        do {
            atomic_store(&chunk->next, next);
        } while (!atomic_compare_exchange_weak(&c->chunks, &next, off));
    }
    fk_point("cond.claimed");
    atomic_store(&n->ticket, atomic_fetch_add(&c->next_ticket, 1));
    atomic_store(&n->state, FK_NODE_WAITING);
    *node = n;
    return FK_OK;
}

fk_status fk_cond_wait(fk_node *n, fk_wait *w)
{
    while (atomic_load(&n->state) == FK_NODE_WAITING) {
        fk_status st = fk_futex_wait(&n->state, FK_NODE_WAITING, w);
        if (st != FK_OK)
            return atomic_load(&n->state) == FK_NODE_NOTIFIED ? FK_OK : st;
    }
    return FK_OK;
}

bool fk_cond_end(fk_node *n)
{
    bool notified = atomic_exchange(&n->state, FK_NODE_FREE) == FK_NODE_NOTIFIED;
    atomic_store(&n->owner, 0);
    return notified;
}

typedef struct oldest {
    uint64_t ticket;
    fk_node *node;
} oldest;

static bool find_oldest(fk_arena *a, fk_node *n, void *arg)
{
    oldest *o = arg;
    if (atomic_load(&n->state) != FK_NODE_WAITING || atomic_load(&n->ticket) >= o->ticket)
        return false;
    if (!fk_slot_alive(a, atomic_load(&n->owner)))
        return false;
    o->ticket = atomic_load(&n->ticket);
    o->node = n;
    return false;
}

static bool notify_one(fk_node *n)
{
    uint32_t waiting = FK_NODE_WAITING;
    if (!atomic_compare_exchange_strong(&n->state, &waiting, FK_NODE_NOTIFIED))
        return false; /* it has just given up */
    fk_point("cond.notified");
    fk_futex_wake(&n->state, 1);
    return true;
}

static bool notify_any(fk_arena *a, fk_node *n, void *arg)
{
    if (atomic_load(&n->state) == FK_NODE_WAITING && fk_slot_alive(a, atomic_load(&n->owner)))
        *(uint64_t *)arg += notify_one(n);
    return false;
}

uint64_t fk_cond_notify(fk_arena *a, fk_cond *c, uint64_t n)
{
    uint64_t done = 0;
    if (n >= FK_MAX_PARKED) { /* all */
        each(a, c, notify_any, &done);
        return done;
    }
    while (done < n) {
        oldest o = {.ticket = UINT64_MAX, .node = NULL};
        each(a, c, find_oldest, &o);
        if (!o.node)
            break;
        done += notify_one(o.node);
    }
    return done;
}

static bool count(fk_arena *a, fk_node *n, void *arg)
{
    if (atomic_load(&n->state) == FK_NODE_WAITING && fk_slot_alive(a, atomic_load(&n->owner)))
        ++*(uint64_t *)arg;
    return false;
}

uint64_t fk_cond_waiters(fk_arena *a, fk_cond *c)
{
    uint64_t n = 0;
    each(a, c, count, &n);
    return n;
}

void fk_cond_destroy(fk_arena *a, uint64_t off)
{
    fk_cond *c = fk_block_data(a, off);
    uint64_t at = c ? atomic_load(&c->chunks) : 0;
    while (at) {
        fk_node_chunk *chunk = fk_block_data(a, at);
        uint64_t next = chunk ? atomic_load(&chunk->next) : 0;
        atomic_store(&c->chunks, next);
        fk_point("cond.struck");
        fk_block_unref(a, at, FK_REF_HOLD);
        at = next;
    }
}
