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
    fk_hold_chunk **chunks = realloc(a->chunks, n * sizeof *chunks);
    if (!chunks)
        return FK_NOMEM;
    a->chunks = chunks;
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

fk_hold *fk_hold_at(const fk_arena *a, uint32_t index)
{
    return &a->chunks[index / FK_HOLDS_PER_CHUNK]->hold[index % FK_HOLDS_PER_CHUNK];
}

fk_status fk_hold_new(fk_arena *a, uint64_t off, uint32_t *index)
{
    fk_status st = FK_OK;
    pthread_mutex_lock(&a->local);
    if (a->n_free == 0) {
        _Atomic uint64_t *link =
            a->n_chunks ? &a->chunks[a->n_chunks - 1]->next : &a->slot->holds;
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

void fk_hold_release(fk_arena *a, uint32_t index)
{
    pthread_mutex_lock(&a->local);
    atomic_store(&fk_hold_at(a, index)->off, 0);
    a->free_holds[a->n_free++] = index;
    pthread_mutex_unlock(&a->local);
}

void fk_hold_drop(fk_arena *a, uint32_t index)
{
    uint64_t off = atomic_load(&fk_hold_at(a, index)->off);
    fk_hold_release(a, index);
    fk_point("hold.forgotten");
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
        for (uint32_t i = 0; i < FK_HOLDS_PER_CHUNK; i++) {
            uint64_t off = atomic_load(&a->chunks[c]->hold[i].off);
            if (off) {
                fk_block_ref(a, off, FK_REF_HOLD);
                atomic_store(&copy->hold[i].off, off);
            }
        }
    }
    return FK_OK;
}

fk_status fk_hold_adopt(fk_arena *a)
{
    a->n_chunks = 0;
    a->n_free = 0;
    for (fk_hold_chunk *c = chunk_at(a, atomic_load(&a->slot->holds)); c;
         c = chunk_at(a, atomic_load(&c->next))) {
        fk_status st = chunk_learn(a, c);
        if (st != FK_OK)
            return st;
    }
    return FK_OK;
}
