/* What this process holds: the table that is given back when it dies. */
#ifndef FK_HOLD_H
#define FK_HOLD_H

#include "heap.h"

#define FK_NO_HOLD UINT32_MAX

/* Record a ref of the block that the caller already has (off 0: of one that is filled in later).
 * *index names the entry, in this process and in every child forked from it.
 * Returns FK_OK, FK_NOMEM (the ref stays the caller's). */
fk_status fk_hold_new(fk_arena *a, uint64_t off, uint32_t *index);

/* Give the entry's ref up and forget the entry. */
void fk_hold_drop(fk_arena *a, uint32_t index);

/* Forget the entry; its ref is the caller's again. */
void fk_hold_release(fk_arena *a, uint32_t index);

/* The entry. NULL, which drop and release leave alone, in a child that could not be given a copy
 * of it: such a child holds nothing of what its parent held. */
fk_hold *fk_hold_at(const fk_arena *a, uint32_t index);

/* The same with an entry of a dead process, which may have been at it; called by the reaper. */
void fk_hold_end(fk_arena *a, fk_hold *e);

/* What the table of any process says of a block, living or dead: entries, and the permits in them that
 * were taken. False: just now it cannot be told (an entry is being dropped). */
bool fk_hold_count(const fk_arena *a, const fk_slot *s, uint64_t off, uint64_t *entries,
                   uint64_t *taken);

/* Before a fork: give the reserved slot `child` a copy of this process's table, the same indices,
 * each with a ref of its own and nothing taken. `local` is held. Returns FK_OK, FK_NOMEM. */
fk_status fk_hold_copy(fk_arena *a, fk_owner child);

/* In a forked child, once it has its slot: use that slot's table. FK_OK, FK_NOMEM. */
fk_status fk_hold_adopt(fk_arena *a);

#endif
