/* Runs: where small blocks lie, those of one class side by side.
 *
 * A run starts at a multiple of its span and its first slot is its head (fk_run), so a block's run is found from its
 * offset. It belongs to its class for good, so no offset is ever a block's head and later amid another block. A run
 * all of whose blocks are free gives its pages back to the kernel, where those of its class keep FK_KEEP_RUNS and
 * another one has room.
 *
 * All functions want the heap's lock. A process may be killed at any store of them: who takes the lock over
 * calls fk_runs_settle(). */
#ifndef FK_RUN_H
#define FK_RUN_H

#include "arena.h"

#define FK_MIN_CLASS 7

/* Empty runs of a class keep their pages up to this sum. Each class has its own: else what a burst of another size
 * has left would make each block of this one be given back and faulted in again, from then on. */
#define FK_KEEP_RUNS (UINT64_C(16) << 20)

/* Take a block of class `k` (FK_MIN_CLASS to FK_LARGE_CLASS - 1). Returns false when the arena is full. */
bool fk_run_take(fk_arena *a, uint32_t k, uint64_t *off);

/* Give a block of class `k` back. */
void fk_run_give(fk_arena *a, uint32_t k, uint64_t off);

/* After the death of the lock's owner: put in order what it was at. */
void fk_runs_settle(fk_arena *a);

#endif
