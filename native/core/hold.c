#include "hold.h"

#include <stdlib.h>
#include <string.h>

static fk_hold_chunk *chunk_at(const fk_arena *a, uint64_t block)
{
    return block ? (fk_hold_chunk *)fk_at(a, block + FK_BLOCK_HEAD, sizeof(fk_hold_chunk)) : NULL;
}

static fk_status chunk_new(fk_arena *a, _Atomic uint64_t *link, fk_hold_chunk **chunk)
{
    uint64_t off;
    fk_status st = fk_block_new(a, sizeof(fk_hold_chunk), FK_KIND_RAW, &off);
    if (st != FK_OK)
        return st;
    *chunk = chunk_at(a, off);
    memset(*chunk, 0, sizeof **chunk);
    atomic_store(link, off); /* from here the reaper finds it */
    return FK_OK;
}

/* Know a further chunk in this process; its free entries are usable from the lowest. */
static fk_status chunk_learn(fk_arena *a, fk_hold_chunk *chunk)
{
    uint32_t n = a->n_chunks + 1, entries = n * FK_HOLDS_PER_CHUNK;
    if (n > FK_MAX_CHUNKS)
        return FK_NOMEM;
    if (entries > a->cap_free) {
        uint32_t *free_holds = realloc(a->free_holds, entries * sizeof *free_holds);
        if (!free_holds)
            return FK_NOMEM;
        a->free_holds = free_holds;
        a->cap_free = entries;
    }
    a->chunks[a->n_chunks] = chunk;
    for (uint32_t i = FK_HOLDS_PER_CHUNK; i-- > 0;)
        if (atomic_load(&chunk->hold[i].off) == 0)
            a->free_holds[a->n_free++] = a->n_chunks * FK_HOLDS_PER_CHUNK + i;
    a->n_chunks = n;
    return FK_OK;
}

/* Where the chunk after the last one of this process's table is named. */
static _Atomic uint64_t *last_link(const fk_arena *a)
{
    for (uint32_t n = a->n_chunks; n > 0; n--)
        if (a->chunks[n - 1])
            return &a->chunks[n - 1]->next;
    return &a->slot->holds;
}

fk_hold *fk_hold_at(const fk_arena *a, uint32_t index)
{
    uint32_t c = index / FK_HOLDS_PER_CHUNK;
    fk_hold_chunk *chunk = c < FK_MAX_CHUNKS ? a->chunks[c] : NULL;
    return chunk ? &chunk->hold[index % FK_HOLDS_PER_CHUNK] : NULL;
}

fk_status fk_hold_new(fk_arena *a, uint64_t off, uint32_t *index)
{
    fk_status st = FK_OK;
    pthread_mutex_lock(&a->local);
    if (a->n_free == 0) {
        _Atomic uint64_t *link = last_link(a);
        fk_hold_chunk *chunk = chunk_at(a, atomic_load(link)); /* learnt not, for want of memory */
        if (!chunk)
            st = chunk_new(a, link, &chunk);
        if (st == FK_OK)
            st = chunk_learn(a, chunk);
    }
    if (st == FK_OK) {
        *index = a->free_holds[--a->n_free];
        fk_hold *e = fk_hold_at(a, *index);
        atomic_store(&e->claim, 0);
        atomic_store(&e->taken, 0);
        atomic_store(&e->finished, 0);
        atomic_store(&e->dropping, 0);
        atomic_store(&e->off, off);
    }
    pthread_mutex_unlock(&a->local);
    return st;
}

/* Mark the entry; what it names. */
static uint64_t begin_drop(const fk_arena *a, fk_hold *e)
{
    uint64_t off = atomic_load(&e->off);
    fk_block *b = fk_block_at(a, off);
    atomic_store(&e->claim, b ? atomic_load(&b->tag) : 0);
    atomic_store(&e->dropping, FK_DROPPING);
    return off;
}

static void give_up(fk_arena *a, fk_hold *e, uint64_t off)
{
    fk_point("hold.dropping"); /* who dies here loses the ref: it must not be given up twice */
    if (off && fk_block_was_last(a, off, FK_REF_HOLD)) {
        atomic_store(&e->dropping, FK_DESTROYING);
        fk_block_finish(a, off, atomic_load(&e->claim));
    }
    fk_point("hold.dropped");
}

static void end_drop(fk_hold *e)
{
    atomic_store(&e->off, 0);
    atomic_store(&e->claim, 0);
    atomic_store(&e->dropping, 0);
}

void fk_hold_end(fk_arena *a, fk_hold *e)
{
    switch (atomic_load(&e->dropping)) {
    case 0:
        give_up(a, e, begin_drop(a, e));
        break;
    case FK_DESTROYING:
        fk_block_finish(a, atomic_load(&e->off), atomic_load(&e->claim));
        break;
    default: /* given up, or lost */
        break;
    }
    end_drop(e);
}

void fk_hold_drop(fk_arena *a, uint32_t index)
{
    fk_hold *e = fk_hold_at(a, index);
    if (!e)
        return;
    pthread_mutex_lock(&a->local); /* fk_hold_copy sees the ref, or that it goes */
    uint64_t off = begin_drop(a, e);
    pthread_mutex_unlock(&a->local);
    give_up(a, e, off);
    pthread_mutex_lock(&a->local);
    end_drop(e);
    a->free_holds[a->n_free++] = index;
    pthread_mutex_unlock(&a->local);
}

void fk_hold_release(fk_arena *a, uint32_t index)
{
    fk_hold *e = fk_hold_at(a, index);
    if (!e)
        return;
    pthread_mutex_lock(&a->local);
    atomic_store(&e->off, 0);
    a->free_holds[a->n_free++] = index;
    pthread_mutex_unlock(&a->local);
}

bool fk_hold_count(const fk_arena *a, const fk_slot *s, uint64_t off, uint64_t *entries,
                   uint64_t *taken)
{
    uint64_t at = atomic_load(&s->holds);
    for (uint32_t n = 0; at && n < FK_MAX_CHUNKS; n++) { /* bounded, should memory have a circle */
        fk_hold_chunk *c = chunk_at(a, at);
        if (!c)
            return false;
        for (uint32_t i = 0; i < FK_HOLDS_PER_CHUNK; i++) {
            if (atomic_load_explicit(&c->hold[i].off, memory_order_acquire) != off)
                continue;
            if (atomic_load(&c->hold[i].dropping))
                return false;
            ++*entries;
            *taken += atomic_load(&c->hold[i].taken);
        }
        at = atomic_load(&c->next);
    }
    return true;
}

fk_status fk_hold_copy(fk_arena *a, fk_owner child)
{
    fk_slot *s = fk_slot_of(a, child);
    if (!s)
        return FK_STALE;
    _Atomic uint64_t *link = &s->holds;
    for (uint32_t c = 0; c < a->n_chunks; c++) {
        fk_hold_chunk *copy;
        fk_status st = chunk_new(a, link, &copy);
        if (st != FK_OK)
            return st;
        link = &copy->next;
        for (uint32_t i = 0; a->chunks[c] && i < FK_HOLDS_PER_CHUNK; i++) {
            const fk_hold *e = &a->chunks[c]->hold[i];
            uint64_t off = atomic_load(&e->off);
            if (off && !atomic_load(&e->dropping)) {
                fk_block_ref(a, off, FK_REF_HOLD);
                fk_point("hold.referred");
                atomic_store(&copy->hold[i].off, off);
            }
        }
        fk_point("hold.copied");
    }
    return FK_OK;
}

fk_status fk_hold_adopt(fk_arena *a)
{
    uint32_t parents = a->n_chunks;
    fk_status st = FK_OK;
    memset(a->chunks, 0, parents * sizeof *a->chunks);
    a->n_chunks = 0;
    a->n_free = 0;
    for (fk_hold_chunk *c = chunk_at(a, atomic_load(&a->slot->holds)); c && st == FK_OK;
         c = chunk_at(a, atomic_load(&c->next)))
        st = chunk_learn(a, c);
    /* What could not be copied keeps its indices: they are in handles that this process has. */
    if (a->n_chunks < parents)
        a->n_chunks = parents;
    return st;
}
