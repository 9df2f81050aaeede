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
        atomic_store(&e->off, off);
    }
    pthread_mutex_unlock(&a->local);
    return st;
}

/* Forget the entry; what it named. */
static uint64_t forget(fk_arena *a, uint32_t index)
{
    pthread_mutex_lock(&a->local);
    fk_hold *e = fk_hold_at(a, index);
    uint64_t off = e ? atomic_load(&e->off) : 0;
    if (e) {
        atomic_store(&e->off, 0);
        a->free_holds[a->n_free++] = index;
    }
    pthread_mutex_unlock(&a->local);
    return off;
}

void fk_hold_release(fk_arena *a, uint32_t index) { forget(a, index); }

void fk_hold_drop(fk_arena *a, uint32_t index)
{
    uint64_t off = forget(a, index);
    fk_point("hold.forgotten");
    if (off)
        fk_block_unref(a, off, FK_REF_HOLD);
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
            uint64_t off = atomic_load(&a->chunks[c]->hold[i].off);
            if (off) {
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
