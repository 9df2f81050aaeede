#include "run.h"

#include <sys/mman.h>

#include "heap.h"

/* Of the smallest blocks, so many fit into a run that few of them keep much memory; of the larger ones, so many
 * that a run is worth a system call. */
#define SMALL_SPAN (UINT64_C(1) << 17)
#define LARGE_SPAN (UINT64_C(1) << 20)
#define LARGER_CLASS 14

static uint64_t span_of(uint32_t k) { return k < LARGER_CLASS ? SMALL_SPAN : LARGE_SPAN; }

static uint32_t slots_of(uint32_t k) { return (uint32_t)(span_of(k) >> k); }

static fk_run *run_at(const fk_arena *a, uint64_t at)
{
    return (fk_run *)fk_at(a, at, sizeof(fk_run));
}

static bool has_room(const fk_run *r)
{
    return atomic_load(&r->free) || atomic_load(&r->carved) < slots_of(r->klass);
}

/* ---- the list of a class's runs with room -------------------------------------------------------- */

static void link_run(fk_arena *a, uint64_t at, fk_run *r)
{
    _Atomic uint64_t *first = &fk_head(a)->heap_free[r->klass];
    fk_run *next = run_at(a, atomic_load(first));
    atomic_store(&r->next, atomic_load(first));
    atomic_store(&r->prev, 0);
    if (next)
        atomic_store(&next->prev, at);
    atomic_store(first, at);
    atomic_store(&r->listed, 1);
}

static void unlink_run(fk_arena *a, fk_run *r)
{
    fk_run *prev = run_at(a, atomic_load(&r->prev)), *next = run_at(a, atomic_load(&r->next));
    atomic_store(prev ? &prev->next : &fk_head(a)->heap_free[r->klass], atomic_load(&r->next));
    if (next)
        atomic_store(&next->prev, atomic_load(&r->prev));
    atomic_store(&r->listed, 0);
}

/* ---- pages of empty runs --------------------------------------------------------------------------- */

static void keep_pages(_Atomic uint64_t *sum, fk_run *r, uint32_t pages)
{
    atomic_store(sum, atomic_load(sum) - atomic_load(&r->kept) + pages);
    atomic_store(&r->kept, pages);
}

/* Of a run that is in no list: give back all pages but the first, which has the head. */
static void strip(fk_arena *a, uint64_t at, fk_run *r)
{
    _Atomic uint64_t *stack = &fk_head(a)->heap_bare[r->klass];
    atomic_store(&r->bare, 1);
    fk_point("run.bare");
    atomic_store(&r->carved, 1);
    atomic_store(&r->free, 0);
    madvise(a->base + at + FK_PAGE, span_of(r->klass) - FK_PAGE, MADV_REMOVE);
    fk_point("run.stripped");
    atomic_store(&r->next, atomic_load(stack));
    atomic_store(stack, at);
}

/* The last block in use was given back. A class keeps the last run with room as it is, so that it is not made
 * anew for each block. */
static void has_emptied(fk_arena *a, uint64_t at, fk_run *r)
{
    _Atomic uint64_t *kept = &fk_head(a)->heap_runs_kept[r->klass];
    uint32_t pages = (uint32_t)(((uint64_t)atomic_load(&r->carved) << r->klass) / FK_PAGE);
    if (!atomic_load(&r->prev) && !atomic_load(&r->next))
        return;
    if (atomic_load(kept) + pages <= FK_KEEP_RUNS / FK_PAGE) {
        keep_pages(kept, r, pages);
        return;
    }
    unlink_run(a, r);
    strip(a, at, r);
}

/* ---- take and give ----------------------------------------------------------------------------------- */

/* One whose pages the kernel has, or one from the top. Returns its offset; 0: the arena is full. */
static uint64_t new_run(fk_arena *a, uint32_t k)
{
    fk_header *h = fk_head(a);
    uint64_t at = atomic_load(&h->heap_bare[k]), span = span_of(k);
    fk_run *r = run_at(a, at);
    if (r) {
        atomic_store(&h->heap_at, at);
        atomic_store(&h->heap_bare[k], atomic_load(&r->next));
        fk_point("run.dressed");
        atomic_store(&r->bare, 0);
    } else {
        at = (atomic_load(&h->heap_top) + span - 1) & ~(span - 1);
        if (!fk_at(a, at, span))
            return 0;
        r = run_at(a, at);
        r->klass = k;
        atomic_store(&r->carved, 1);
        atomic_store(&r->older, atomic_load(&h->heap_runs[k]));
        atomic_store(&h->heap_at, at);
        fk_point("run.begun");
        atomic_store(&h->heap_top, at + span);
        fk_point("run.new");
        atomic_store(&h->heap_runs[k], at);
    }
    link_run(a, at, r);
    return at;
}

bool fk_run_take(fk_arena *a, uint32_t k, uint64_t *off)
{
    fk_header *h = fk_head(a);
    uint64_t at = atomic_load(&h->heap_free[k]);
    fk_run *r = run_at(a, at);
    if (!r && !(r = run_at(a, at = new_run(a, k))))
        return false;
    atomic_store(&h->heap_at, at);
    fk_block *b = fk_block_at(a, atomic_load(&r->free));
    fk_point("heap.pop");
    if (b) {
        *off = atomic_load(&r->free);
        atomic_store(&r->free, atomic_load(&b->next));
    } else {
        uint32_t slot = atomic_load(&r->carved);
        *off = at + ((uint64_t)slot << k);
        atomic_store(&r->carved, slot + 1);
    }
    fk_point("heap.popped");
    atomic_store(&r->used, atomic_load(&r->used) + 1);
    if (atomic_load(&r->kept))
        keep_pages(&h->heap_runs_kept[k], r, 0);
    if (!has_room(r))
        unlink_run(a, r);
    return true;
}

void fk_run_give(fk_arena *a, uint32_t k, uint64_t off)
{
    fk_header *h = fk_head(a);
    uint64_t at = off & ~(span_of(k) - 1);
    fk_run *r = run_at(a, at);
    fk_block *b = fk_block_at(a, off);
    if (!r || !b || r->klass != k || off == at)
        return;
    atomic_store(&h->heap_at, at);
    atomic_store(&b->next, atomic_load(&r->free));
    fk_point("heap.push");
    atomic_store(&r->free, off);
    fk_point("heap.pushed");
    uint32_t used = atomic_load(&r->used) - 1;
    atomic_store(&r->used, used);
    if (!atomic_load(&r->listed))
        link_run(a, at, r);
    if (!used)
        has_emptied(a, at, r);
}

/* ---- after a death ------------------------------------------------------------------------------------- */

/* How many are in use follows from what was carved and what is free. */
static void count(const fk_arena *a, fk_run *r)
{
    uint32_t used = atomic_load(&r->carved) - 1;
    const fk_block *b = fk_block_at(a, atomic_load(&r->free));
    for (; b && used; b = fk_block_at(a, atomic_load(&b->next)))
        used--;
    atomic_store(&r->used, used);
    atomic_store(&r->kept, 0);
}

/* Both lists of the class follow from its runs. */
static void list_anew(fk_arena *a, uint32_t k)
{
    fk_header *h = fk_head(a);
    atomic_store(&h->heap_free[k], 0);
    atomic_store(&h->heap_bare[k], 0);
    fk_run *r;
    for (uint64_t at = atomic_load(&h->heap_runs[k]); (r = run_at(a, at)) != NULL;
         at = atomic_load(&r->older)) {
        atomic_store(&r->listed, 0);
        if (atomic_load(&r->bare))
            strip(a, at, r);
        else if (has_room(r))
            link_run(a, at, r);
    }
}

void fk_runs_settle(fk_arena *a)
{
    fk_header *h = fk_head(a);
    fk_run *r = run_at(a, atomic_load(&h->heap_at));
    if (r && r->klass >= FK_MIN_CLASS && r->klass < FK_LARGE_CLASS) {
        uint32_t k = r->klass;
        count(a, r);
        list_anew(a, k);
        uint64_t kept = 0;
        for (r = run_at(a, atomic_load(&h->heap_runs[k])); r; r = run_at(a, atomic_load(&r->older)))
            kept += atomic_load(&r->kept);
        atomic_store(&h->heap_runs_kept[k], kept);
    }
    /* One that was about to be made is none yet: in its place there may be a large block next time. */
    atomic_store(&h->heap_at, 0);
}
