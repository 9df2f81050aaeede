/* A standstill: every thread of every process of the family waits, without a deadline, for what only
 * another thread of the family could do. Then none of them ever goes on.
 *
 * Here is what shared memory tells of it. What it cannot tell (that a process has no other threads, and
 * no signal handlers) is for the caller to find out. The argument, and what it leans on, is
 * docs/design/deadlock.md. */
#ifndef FK_STANDSTILL_H
#define FK_STANDSTILL_H

#include "board.h"

#define FK_STILL_AFTER_NS UINT64_C(1000000000) /* no wait counts that is younger */
#define FK_QUIET_AFTER_NS UINT64_C(500000000)  /* who waits so long says whether it is quiet */
#define FK_LOOK_EVERY_NS UINT64_C(1000000000)
#define FK_LOOKER_NS UINT64_C(3000000000) /* a looker that has not looked for so long is none */

/* Whether this process is to look now: nobody of the family has within FK_LOOK_EVERY_NS, and no other
 * process has begun to look and is to look again. Makes it the looker. */
bool fk_still_turn(fk_arena *a);

/* The looker has found nothing, and that took it `cost_ns`: whoever comes first is the next, but not
 * so soon that the looking takes more than 2 % of a processor. */
void fk_still_pass(fk_arena *a, uint64_t cost_ns);

/* Whether what this entry's thread waits for has not come: the noun says so, and nobody has woken
 * the thread. For an object that vanishes at the same time the answer means nothing; the look is safe.
 * Works on a peeked arena. */
bool fk_still_blocks(const fk_arena *a, const fk_seen *s);

/* Look at entry `index` of the board until its thread sleeps, or counts as asleep because it is the
 * caller's: at most *patience milliseconds, which are taken from it.
 * FK_OK: a wait without a deadline, old enough, quiet, asleep, blocked; FK_AGAIN: it waits for nothing;
 * FK_TIMEOUT: another wait. *seen is a copy of it save in the second case. */
fk_status fk_still_wait(const fk_arena *a, uint32_t index, fk_seen *seen, int *patience);
#define FK_STILL_PATIENCE 50 /* for all that are awake together */

/* Whether each process of the family lives, has threads on the board or is a fork server, and each entry
 * of the board is a wait as above: without a deadline, old enough, quiet, asleep, blocked. The calling
 * thread counts as asleep. Who is awake may be so only between two slices, and is given some milliseconds.
 * True only of a standstill as far as the board goes, false when in doubt. */
bool fk_still_family(const fk_arena *a);

#endif
