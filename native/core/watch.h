/* The watch: of all the threads of a family that sleep in slices that grow, one keeps its slices short,
 * and so the family's dead are found soon, while the others may sleep for a second.
 *
 * Which one is of no matter. One that has slept for a slice takes the watch if nobody has it, and when
 * it waits no more, wakes another one to take it. Should its process be killed or stopped, the next
 * whose slice is over sees to it. */
#ifndef FK_WATCH_H
#define FK_WATCH_H

#include "board.h"
#include "futex.h"

/* Let this wait take the watch when it may. Not in a family of one process: nobody else can die. */
void fk_watch_offer(fk_arena *a, fk_wait *w);

/* After a slice: reap the dead, and let the watch of a dead one be taken. */
void fk_watch_look(fk_arena *a);

/* The wait is over: if it has the watch, let another sleeper take it. */
void fk_watch_end(fk_arena *a, fk_wait *w);

#endif
