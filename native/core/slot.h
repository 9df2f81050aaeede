/* Process slots: who is in the family, and who of them lives. */
#ifndef FK_SLOT_H
#define FK_SLOT_H

#include "arena.h"

/* A newborn whose parent is dead, and which nobody has told a pid of, has so long to come forward. */
#define FK_NEWBORN_NS UINT64_C(10000000000)

/* Take a slot for this process and mark it RUNNING. For the family's root, and for a process
 * whose parent did not reserve one. Sets a->me. Returns FK_OK, FK_NOMEM (all slots in use). */
fk_status fk_slot_join(fk_arena *a);

/* Reserve a slot for a child that is about to be started. Returns FK_OK, FK_NOMEM. */
fk_status fk_slot_reserve(fk_arena *a, fk_owner *child);

/* In the child: take the reserved slot over. Falls back to fk_slot_join when it was given up
 * meanwhile (the parent died long before the child got here): then a->me is not `me`. */
fk_status fk_slot_adopt(fk_arena *a, fk_owner me);

/* Remember when this thread forked last: its child has not begun before that. */
void fk_slot_before_fork(void);

/* Tell the pid of a child that was started into `child`: until it adopts its slot it is dead
 * when that pid is. */
void fk_slot_set_pid(fk_arena *a, fk_owner child, uint32_t pid);

/* The slot of an owner word, or NULL if it belongs to another process by now. */
fk_slot *fk_slot_of(const fk_arena *a, fk_owner owner);

/* Whether that process lives. No system call in the common case; a zombie is dead. Works on a
 * peeked arena once fk_slot_peek has been called, and then always asks /proc. */
bool fk_slot_alive(const fk_arena *a, fk_owner owner);

/* Whether that process has ended, told by two words: at once where the kernel marks its life, else as
 * fk_slot_alive tells. For hot paths: no clock is read while it lives. */
bool fk_slot_ended(const fk_arena *a, fk_owner owner);

/* Become the keeper of a slot, who alone may change its state. False: somebody who lives is.
 * Never held for long, and given up by fk_slot_unkeep. */
bool fk_slot_keep(const fk_arena *a, fk_slot *s);
void fk_slot_unkeep(fk_slot *s);

/* For a peeked arena: learn this process's PID namespace, of which pids are compared. */
void fk_slot_peek(fk_arena *a);

/* Pid and name of a process, living or lately dead. False: not known any more. Works on a peeked
 * arena. */
bool fk_slot_describe(const fk_arena *a, fk_owner owner, uint32_t *pid, char name[64]);

/* The owner word of the living member of that pid, in this PID namespace; 0: there is none. */
fk_owner fk_slot_find(const fk_arena *a, uint32_t pid);

void fk_slot_set_name(fk_arena *a, const char *name);

/* This process is a fork server: by itself it does nothing. */
void fk_slot_set_serves(fk_arena *a);

/* This process has unpickled what it was started with. A founder has none, and a forked child has what
 * its parent has; who joins says so when it is done. */
void fk_slot_settle(fk_arena *a);

/* Start time of a process in clock ticks; 0: there is none, or it is a zombie;
 * FK_PID_UNKNOWN: cannot be told just now (no descriptor left, no /proc). */
#define FK_PID_UNKNOWN UINT64_MAX
uint64_t fk_pid_started(uint32_t pid);

static inline fk_slot *fk_slot_at(const fk_arena *a, uint32_t index)
{
    return (fk_slot *)(a->base + FK_SLOTS_AT + (uint64_t)index * FK_SLOT_STRIDE);
}

static inline uint32_t fk_owner_index(fk_owner o) { return (o & 0xffff) - 1; }

static inline fk_owner fk_owner_word(uint32_t index, uint32_t generation)
{
    return ((generation & 0x7fff) << 16) | (index + 1);
}

#endif
