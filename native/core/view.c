#include "view.h"

#include <string.h>
#include <sys/mman.h>

#define TO_COPY 63 /* messages, after one that was written to: then we look again */

/* ---- the blocks that this process has seen: fk_arena.views, the one seen last at the end --------- */

static void forget_first(fk_arena *a)
{
    fk_view *first = a->views;
    if (first->map) {
        munmap(first->map, first->span);
        a->views_kept -= first->span;
    }
    memmove(first, first + 1, --a->n_views * sizeof *first);
}

/* NULL: not seen, or too long ago. */
static fk_view *find(fk_arena *a, uint64_t off)
{
    for (uint32_t i = a->n_views; i-- > 0;)
        if (a->views[i].off == off)
            return &a->views[i];
    return NULL;
}

/* Of blocks that come in turn the table has all, or none is found when it comes again. */
static void add(fk_arena *a, uint64_t off, uint64_t span)
{
    uint64_t all = span;
    for (uint32_t i = 0; i < a->n_views; i++)
        all += a->views[i].span;
    while (a->n_views == FK_MAX_VIEWS || (a->n_views && all > FK_KEEP_VIEWS)) {
        all -= a->views[0].span;
        forget_first(a);
    }
    a->views[a->n_views++] = (fk_view){.off = off, .span = span};
}

static fk_view *move_to_end(fk_arena *a, fk_view *v)
{
    fk_view seen = *v, *last = &a->views[a->n_views - 1];
    memmove(v, v + 1, (size_t)(last - v) * sizeof *v);
    *last = seen;
    return last;
}

/* See a block. FK_OK: by *map, or if that is NULL a new view. FK_AGAIN: it is to be copied. */
static fk_status see(fk_arena *a, uint64_t off, uint64_t span, uint8_t **map)
{
    fk_view *v = find(a, off);
    if (!v) {
        add(a, off, span);
        return span <= FK_COPY_FIRST ? FK_AGAIN : FK_OK;
    }
    v = move_to_end(a, v);
    v->again = true;
    if (v->to_copy) {
        v->to_copy--;
        return FK_AGAIN;
    }
    *map = v->map;
    if (v->map)
        a->views_kept -= span;
    v->map = NULL;
    return FK_OK;
}

/* ---- open and close ------------------------------------------------------------------------------ */

fk_status fk_view_open(fk_arena *a, uint64_t off, fk_view *v)
{
    const fk_block *b = fk_block_at(a, off);
    uint64_t span = b && b->klass < FK_CLASSES ? UINT64_C(1) << b->klass : 0;
    if (span < FK_PAGE || off % FK_PAGE || !fk_at(a, off, span))
        return FK_STALE;
    *v = (fk_view){.off = off, .span = span};
    if (span <= FK_KEEP_VIEWS) {
        pthread_mutex_lock(&a->local);
        fk_status st = see(a, off, span, &v->map);
        pthread_mutex_unlock(&a->local);
        if (st != FK_OK || v->map)
            return st;
    }
    if (!fk_arena_fd_is_good(a))
        return FK_SYS;
    /* All that the block may ever have: the next message in it may be longer. Pages are mapped as they are
     * read, some at a time, which takes less time than to ask for all at once. */
    void *p =
        mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, a->fd, (off_t)off);
    if (p == MAP_FAILED)
        return FK_SYS;
    v->map = p;
    return FK_OK;
}

/* Whether each page is still the block's own, and none a copy that was made as it was written to: a word
 * of it that is changed in the block is seen to change. */
static bool is_unwritten(const fk_arena *a, const fk_view *v)
{
    uint64_t size = FK_BLOCK_HEAD + fk_block_at(a, v->off)->size;
    for (uint64_t page = 0; page < v->span && page < size; page += FK_PAGE) {
        uint64_t last = page + FK_PAGE - sizeof(uint64_t);
        volatile uint64_t *block = (volatile uint64_t *)(a->base + v->off + last);
        uint64_t other = ~*block;
        *block = other;
        if (*(volatile uint64_t *)(v->map + last) != other)
            return false;
    }
    return true;
}

/* Whether nobody will ever look into the block again, once this process lets go of it. A message has one
 * receiver; of a handle that was pickled, bytes may be anywhere, and arrive at any time. */
static bool is_ours_alone(const fk_arena *a, uint64_t off, uint32_t hold)
{
    const fk_hold *h =
        fk_hold_at(a, hold); /* none: what the parent had before a fork is not ours */
    const fk_block *b = fk_block_at(a, off);
    return h && atomic_load(&h->off) == off && atomic_load(&b->refs) == FK_REF_HOLD &&
           !atomic_load(&b->travelled) &&
           b->kind == FK_KIND_RAW; /* a parcel begins with what is to be given up */
}

void fk_view_close(fk_arena *a, const fk_view *v, uint32_t hold)
{
    bool kept = false;
    pthread_mutex_lock(&a->local);
    const fk_view *known = find(a, v->off);
    bool again = known && known->again; /* to look at each page pays only for what comes again */
    pthread_mutex_unlock(&a->local);
    if (again && is_ours_alone(a, v->off, hold)) {
        bool unwritten = is_unwritten(a, v);
        pthread_mutex_lock(&a->local);
        fk_view *seen = find(a, v->off);
        if (seen && !unwritten) {
            seen->to_copy = TO_COPY;
        } else if (seen && !seen->map) {
            seen->map = v->map;
            a->views_kept += v->span;
            kept = true;
        }
        pthread_mutex_unlock(&a->local);
    }
    if (!kept)
        munmap(v->map, v->span);
}
