/* The family as one process of it sees it: joining, forking, starting children. */
#ifndef FK_FAMILY_H
#define FK_FAMILY_H

#include "board.h"
#include "reap.h"

/* Make a family with this process as its root. FK_OK, FK_SYS, FK_NOMEM. */
fk_status fk_family_found(fk_arena *a);

/* Join the family behind `fd`; `me` is the slot that the parent reserved, or 0.
 * FK_OK; else nothing has changed, and fd is the caller's. */
fk_status fk_family_join(fk_arena *a, int fd, fk_owner me);

/* Round a fork: `before` says that the child which this thread forks next is to be a member, and
 * `after` is called in both processes. What there is to do is done inside fork() itself (by
 * handlers of pthread_atfork): `local` is held then, and a caller that runs code of others on both
 * sides of fork(), as Python does, must not hold it. */
void fk_family_before_fork(fk_arena *a);
fk_owner fk_family_after_fork_parent(fk_arena *a); /* the child's owner word; 0: none reserved */
void fk_family_after_fork_child(fk_arena *a);

/* What is done inside. `prepare` reserves the child's slot and gives it a copy of the hold table;
 * it may fail for want of room, and the child then joins with holds of nothing: its handles stay
 * usable as long as the parent keeps theirs. */
void fk_fork_prepare(fk_arena *a);
fk_owner fk_fork_parent(fk_arena *a);
void fk_fork_child(fk_arena *a);

/* A child that was reserved a slot did not come to be: give the slot back. */
void fk_family_abandon(fk_arena *a, fk_owner child);

#endif
