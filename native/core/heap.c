#include "heap.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __SSE2__
#include <x86intrin.h>
#endif

#include "run.h"

#define FILL_FROM 65536
#define STREAM_FROM 65536
#define PROBE 8192
#define FILL_MOST (UINT64_C(1) << 20) /* at once: who gives pages back waits for it */

static uint32_t class_of(uint64_t size)
{
    uint64_t span = size + FK_BLOCK_HEAD;
    uint32_t k = FK_MIN_CLASS;
    while (k < FK_CLASSES && (UINT64_C(1) << k) < span)
        k++;
    return k;
}

static uint32_t pages_of(uint64_t size)
{
    return (uint32_t)((size + FK_BLOCK_HEAD + FK_PAGE - 1) / FK_PAGE);
}

/* Each change of a stack is one store, so a dead owner leaves the stacks whole; only the sum may be behind. */
static void lock_heap(fk_arena *a, fk_header *h)
{
    if (fk_lock_force(a, &h->heap_lock) != FK_OWNER_DIED)
        return;
    fk_runs_settle(a);
    uint64_t kept = 0;
    for (uint32_t k = FK_LARGE_CLASS; k < FK_CLASSES; k++)
        for (fk_block *b = fk_block_at(a, atomic_load(&h->heap_free[k])); b;
             b = fk_block_at(a, atomic_load(&b->next)))
            kept += b->pages;
    atomic_store(&h->heap_kept, kept);
}

/* Under the heap's lock. NULL: the stack is empty. */
static fk_block *pop(fk_arena *a, _Atomic uint64_t *stack, uint64_t *off)
{
    *off = atomic_load(stack);
    fk_block *b = fk_block_at(a, *off);
    if (b) {
        fk_point("heap.pop");
        atomic_store(stack, atomic_load(&b->next));
        fk_point("heap.popped");
    }
    return b;
}

/* The same: a large block with its pages, without, or from the top. */
static bool take_large(fk_arena *a, uint32_t k, uint64_t *off)
{
    fk_header *h = fk_head(a);
    fk_block *b = pop(a, &h->heap_free[k], off);
    if (b) {
        atomic_fetch_sub(&h->heap_kept, b->pages);
        return true;
    }
    if (pop(a, &h->heap_bare[k], off))
        return true;
    /* It starts on a page, so that all of its pages can be given back. */
    *off = (atomic_load(&h->heap_top) + FK_PAGE - 1) & ~(FK_PAGE - 1);
    if (!fk_at(a, *off, UINT64_C(1) << k))
        return false;
    atomic_store(&h->heap_top, *off + (UINT64_C(1) << k));
    return true;
}

fk_status fk_block_new(fk_arena *a, uint64_t size, uint32_t kind, uint64_t *off)
{
    fk_header *h = fk_head(a);
    uint32_t k = class_of(size);
    if (size > a->reserve || k >= FK_CLASSES)
        return FK_NOMEM;
    uint64_t at;
    lock_heap(a, h);
    bool found = k < FK_LARGE_CLASS ? fk_run_take(a, k, &at) : take_large(a, k, &at);
    fk_lock_release(&h->heap_lock);
    fk_block *b = found ? fk_block_at(a, at) : NULL;
    if (!b)
        return FK_NOMEM;

    fk_point("heap.taken");
    atomic_fetch_add(&h->heap_used, UINT64_C(1) << k);
    b->klass = k;
    b->kind = kind;
    b->fresh = k >= FK_LARGE_CLASS && b->pages < pages_of(size);
    if (b->fresh)
        b->pages = pages_of(size);
    b->size = size;
    atomic_store_explicit(&b->travelled, 0, memory_order_relaxed);
    atomic_store(&b->refs, FK_REF_HOLD);
    atomic_store(&b->tag, atomic_fetch_add(&h->next_tag, 1));
    *off = at;
    return FK_OK;
}

static void block_free(fk_arena *a, uint64_t off, fk_block *b)
{
    fk_header *h = fk_head(a);
    uint32_t k = b->klass;
    if (k < FK_MIN_CLASS || k >= FK_CLASSES || !fk_at(a, off, UINT64_C(1) << k))
        return;
    uint64_t span = UINT64_C(1) << k;
    if (atomic_exchange(&b->tag, 0) == 0)
        return; /* freed before */
    atomic_fetch_sub(&h->heap_used, span);
    fk_point("heap.freed");
    if (k < FK_LARGE_CLASS) {
        lock_heap(a, h);
        fk_run_give(a, k, off);
        fk_lock_release(&h->heap_lock);
        return;
    }
    bool bare = atomic_load(&h->heap_kept) + b->pages > FK_KEEP_BYTES / FK_PAGE;
    if (bare) {
        /* All but the first page, which has the head. */
        madvise(a->base + off + FK_PAGE, span - FK_PAGE, MADV_REMOVE);
        b->pages = 1;
    }
    _Atomic uint64_t *stack = bare ? &h->heap_bare[k] : &h->heap_free[k];
    lock_heap(a, h);
    atomic_store(&b->next, atomic_load(stack));
    fk_point("heap.push");
    atomic_store(stack, off);
    fk_point("heap.pushed");
    if (!bare)
        atomic_fetch_add(&h->heap_kept, b->pages);
    fk_lock_release(&h->heap_lock);
}

void *fk_block_data(const fk_arena *a, uint64_t off)
{
    fk_block *b = fk_block_at(a, off);
    return b ? fk_at(a, off + FK_BLOCK_HEAD, b->size) : NULL;
}

void fk_copy_past_caches(uint8_t *to, const uint8_t *from, uint64_t size)
{
#ifdef __SSE2__
    uint64_t head = -(uintptr_t)to % sizeof(__m128i);
    if (head < size) {
        memcpy(to, from, head);
        for (; size - head >= sizeof(__m128i); head += sizeof(__m128i))
            _mm_stream_si128((__m128i *)(to + head),
                             _mm_loadu_si128((const __m128i *)(from + head)));
        _mm_sfence(); /* who finds the message finds what is in it */
        to += head, from += head, size -= head;
    }
#endif
    memcpy(to, from, size);
}

/* What was in a block may still be in the cache of the process that has read it. Then an ordinary store waits for
 * its line to come from there, only to be overwritten. Where both processes have a cache in common that is
 * quick, else it takes ten times as long as to go past it: so we try. */
static void copy(uint8_t *to, const uint8_t *from, uint64_t size)
{
    uint64_t done = 0;
#ifdef __SSE2__
    if (size >= STREAM_FROM) {
        uint64_t begun = __rdtsc();
        memcpy(to, from, PROBE);
        _mm_sfence();
        uint64_t half = __rdtsc();
        fk_copy_past_caches(to + PROBE, from + PROBE, PROBE);
        done = UINT64_C(2) * PROBE;
        if (half - begun > 2 * (__rdtsc() - half)) {
            fk_copy_past_caches(to + done, from + done, size - done);
            return;
        }
    }
#endif
    memcpy(to + done, from + done, size - done);
}

/* Whether the kernel may write into the arena: not when a limit of file sizes is in the way, as it would
 * send SIGXFSZ. */
static bool is_writable(const fk_arena *a)
{
    struct rlimit most;
    return fk_arena_fd_is_good(a) && getrlimit(RLIMIT_FSIZE, &most) == 0 &&
           (most.rlim_cur == RLIM_INFINITY || most.rlim_cur >= a->reserve);
}

/* Of those that write at once the kernel would let one wait for the other: one asks it, the others copy. */
static bool begin_fill(const fk_arena *a, fk_lock *l)
{
    return fk_lock_try(a, l) == FK_OK ||
           (!fk_slot_alive(a, fk_lock_owner(l)) && fk_lock_take_over(a, l) == FK_OK);
}

void fk_block_fill(const fk_arena *a, uint64_t off, void *to, const void *from, uint64_t size)
{
    const fk_block *b = fk_block_at(a, off);
    fk_lock *l = &fk_head(a)->fill_lock;
    uint64_t done = 0;
    if (b && b->fresh && size >= FILL_FROM && is_writable(a) && begin_fill(a, l)) {
        fk_point("heap.filling");
        while (done < size) {
            uint64_t some = size - done < FILL_MOST ? size - done : FILL_MOST;
            ssize_t n =
                pwrite(a->fd, (const uint8_t *)from + done, some, (off_t)(fk_off(a, to) + done));
            if (n <= 0)
                break;
            done += (uint64_t)n;
        }
        fk_lock_release(l);
    }
    copy((uint8_t *)to + done, (const uint8_t *)from + done, size - done);
}

void fk_block_ref(fk_arena *a, uint64_t off, uint64_t ref)
{
    fk_block *b = fk_block_at(a, off);
    if (b)
        atomic_fetch_add(&b->refs, ref);
}

static void parcel_destroy(fk_arena *a, fk_block *b, uint64_t off)
{
    fk_parcel *p = fk_block_data(a, off);
    if (!p || b->size < sizeof *p || p->n > (b->size - sizeof *p) / sizeof *p->off)
        return;
    for (uint64_t i = 0; i < p->n; i++) {
        uint64_t inside = atomic_exchange(&p->off[i], 0);
        fk_point("parcel.forgotten");
        if (inside)
            fk_block_unref(a, inside, FK_REF_HOLD);
    }
}

/* What the kind holds inside, then the block. */
static void destroy_one(fk_arena *a, uint64_t off, fk_block *b)
{
    if (b->kind == FK_KIND_QUEUE)
        fk_queue_destroy(a, off);
    else if (b->kind == FK_KIND_COND)
        fk_cond_destroy(a, off);
    else if (b->kind == FK_KIND_PARCEL)
        parcel_destroy(a, b, off);
    else if (b->kind == FK_KIND_TABLE)
        fk_table_destroy(a, off);
    else if (b->kind == FK_KIND_ITEM)
        fk_item_destroy(a, off);
    block_free(a, off, b);
}

#define DEEPEST 64 /* blocks within blocks that are destroyed within one another */
static _Thread_local int depth;
static _Thread_local uint64_t
    doomed; /* blocks further down, without refs, linked by their `next` */

/* The last ref is gone. What goes with a block goes as soon as it is struck out, so that who dies at it leaves
 * little; but a long chain would need too much of the stack. */
static void destroy(fk_arena *a, uint64_t off, fk_block *b)
{
    if (depth == DEEPEST) {
        atomic_store(&b->next, doomed);
        doomed = off;
        return;
    }
    depth++;
    destroy_one(a, off, b);
    while (depth == 1 && doomed && (b = fk_block_at(a, off = doomed)) != NULL) {
        doomed = atomic_load(&b->next);
        destroy_one(a, off, b);
    }
    depth--;
}

bool fk_block_was_last(fk_arena *a, uint64_t off, uint64_t ref)
{
    fk_block *b = fk_block_at(a, off);
    return b && atomic_fetch_sub(&b->refs, ref) == ref;
}

void fk_block_finish(fk_arena *a, uint64_t off, uint64_t tag)
{
    fk_block *b = fk_block_at(a, off);
    if (b && tag && atomic_load(&b->tag) == tag && atomic_load(&b->refs) == 0)
        destroy(a, off, b);
}

void fk_block_unref(fk_arena *a, uint64_t off, uint64_t ref)
{
    if (fk_block_was_last(a, off, ref))
        destroy(a, off, fk_block_at(a, off));
}

fk_status fk_block_arrive(fk_arena *a, uint64_t off, uint64_t tag, uint32_t kind)
{
    fk_block *b = fk_block_at(a, off);
    uint64_t least = kind & FK_DEPARTED ? FK_REF_TRANSIT : UINT64_MAX;
    kind &= ~FK_DEPARTED;
    if (!b || (off & 63) || tag == 0 || atomic_load(&b->tag) != tag)
        return FK_STALE;
    uint64_t refs = atomic_load(&b->refs), transit;
    do {
        if (refs == 0)
            return FK_STALE;
        transit = refs >= least ? FK_REF_TRANSIT : 0;
    } while (!atomic_compare_exchange_weak(&b->refs, &refs, refs + FK_REF_HOLD - transit));
    /* The block may have been freed and used again in between: then this is somebody else's. */
    if (atomic_load(&b->tag) == tag && (kind == 0 || b->kind == kind))
        return FK_OK;
    if (transit)
        fk_block_ref(a, off, transit);
    fk_block_unref(a, off, FK_REF_HOLD);
    return FK_STALE;
}

void fk_block_queue(fk_arena *a, uint64_t off)
{
    fk_block *b = fk_block_at(a, off);
    if (b)
        atomic_fetch_or(&b->refs, FK_REF_QUEUED);
}

void fk_block_unqueue(fk_arena *a, uint64_t off)
{
    fk_block *b = fk_block_at(a, off);
    if (b && atomic_fetch_and(&b->refs, ~FK_REF_QUEUED) == FK_REF_QUEUED)
        destroy(a, off, b);
}
