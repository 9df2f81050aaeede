/* Blocks of the arena: allocation, who keeps a block alive, and its end.
 *
 * Sizes are powers of two. Large blocks (from FK_LARGE_CLASS) have a stack of free ones for each size; small ones lie
 * in runs (run.h). What was never used comes from the top. No block is ever joined with another or split: address
 * space is plentiful. What is free keeps its pages, large blocks up to FK_KEEP_BYTES in all and each class of small ones
 * up to FK_KEEP_RUNS; what is beyond goes back to the kernel, and what has its pages is used first. Each change commits with one store under `heap_lock`. A process
 * killed between taking a block and recording it, or between striking out a ref and giving it up, leaves that block
 * unused until the family ends: what is struck out before it is given up is lost at the worst, and never given up
 * twice. */
#ifndef FK_HEAP_H
#define FK_HEAP_H

#include "lock.h"

/* Free large blocks keep their pages up to this sum: giving pages back and faulting them in
 * again costs more than copying a message into them. */
#define FK_KEEP_BYTES (UINT64_C(64) << 20)

/* A new block of `size` usable bytes with one ref, the caller's. The bytes are not cleared.
 * *off is the block's offset. Returns FK_OK, FK_NOMEM. */
fk_status fk_block_new(fk_arena *a, uint64_t size, uint32_t kind, uint64_t *off);

static inline fk_block *fk_block_at(const fk_arena *a, uint64_t off)
{
    return (fk_block *)fk_at(a, off, FK_BLOCK_HEAD);
}

/* The usable bytes of the block at `off`; NULL when the block is not sound. */
void *fk_block_data(const fk_arena *a, uint64_t off);

/* Copy `size` bytes to where `to` points in the block at `off`, which is new and for another process to read. Where
 * it has no pages yet the kernel does it, in half of the time: it need not clear them, nor be asked for each. */
void fk_block_fill(const fk_arena *a, uint64_t off, void *to, const void *from, uint64_t size);

/* Copy by stores that do not fetch what they overwrite. */
void fk_copy_past_caches(uint8_t *to, const uint8_t *from, uint64_t size);

/* fk_block.refs: a live hold, a queued message, a pickled copy under way */
#define FK_REF_HOLD UINT64_C(1)
#define FK_REF_QUEUED (UINT64_C(1) << 31) /* not for fk_block_ref and _unref */
#define FK_REF_TRANSIT (UINT64_C(1) << 32)

void fk_block_ref(fk_arena *a, uint64_t off, uint64_t ref);

/* Give a ref up. The last one destroys the block: what its kind holds inside, then the block. */
void fk_block_unref(fk_arena *a, uint64_t off, uint64_t ref);

/* The same in two steps, for who can tell others that it is at it: give a ref up, and whether it
 * was the last; then destroy the block of that tag, or what a dead process has left of it. */
bool fk_block_was_last(fk_arena *a, uint64_t off, uint64_t ref);
void fk_block_finish(fk_arena *a, uint64_t off, uint64_t tag);

/* With a kind: the bytes with the handle are a copy under way, which has a ref of its own (FK_REF_TRANSIT). */
#define FK_DEPARTED (UINT32_C(1) << 31)

/* Turn a pickled handle (off, tag) into a hold ref. A copy under way may be loaded more than once:
 * the later ones find none under way, and succeed while somebody else keeps the block alive, as all other
 * handles do.
 * Returns FK_OK; FK_STALE when the block is gone or of another kind (kind 0: any). */
fk_status fk_block_arrive(fk_arena *a, uint64_t off, uint64_t tag, uint32_t kind);

/* Let a queued message (or a table) own the block, and end that (without effect when none does). A
 * block has at most one such owner. */
void fk_block_queue(fk_arena *a, uint64_t off);
void fk_block_unqueue(fk_arena *a, uint64_t off);

/* What a kind does when its last ref goes; set by the files of the kinds. What is given up is struck
 * out first, so that it can be begun again where a dead process has left it. */
void fk_queue_destroy(fk_arena *a, uint64_t off);
void fk_cond_destroy(fk_arena *a, uint64_t off);
void fk_table_destroy(fk_arena *a, uint64_t off);
void fk_item_destroy(fk_arena *a, uint64_t off);

#endif
