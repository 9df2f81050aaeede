/* Private views of large blocks: what a receiver writes is its own, also after a fork.
 *
 * A view is a private mapping of a block. To map its pages and unmap them again takes longer than to copy
 * what is in them. So a view through which nothing was written is kept, and serves the next message that
 * comes in the same block: the heap uses again what was freed last. */
#ifndef FK_VIEW_H
#define FK_VIEW_H

#include "hold.h"

/* Blocks up to this sum are remembered, and views of them kept. It is twice what the heap keeps of pages, as
 * a block may be half empty. A view costs page tables, and no pages. */
#define FK_KEEP_VIEWS (2 * FK_KEEP_BYTES)

/* A block up to this size is copied when it is seen for the first time (in a while): memory for that is mostly
 * at hand. */
#define FK_COPY_FIRST (UINT64_C(4) << 20)

/* See the block at `off`, which this process holds: its head is at `v->map`. Returns
 *   FK_OK
 *   FK_AGAIN  a copy takes less time: FK_COPY_FIRST, or what comes in the block is written to, and the
 *             kernel would copy it page by page
 *   FK_STALE  it does not start on a page, as blocks of 128 KiB and more do
 *   FK_SYS    it cannot be mapped (errno) */
fk_status fk_view_open(fk_arena *a, uint64_t off, fk_view *v);

/* End the view of a block that the entry `hold` of this process names, and that the caller drops next: if
 * nobody else has the block, what is in it is lost. */
void fk_view_close(fk_arena *a, const fk_view *v, uint32_t hold);

#endif
