/* The wait board: which thread of which process waits for what, since when, from which line. */
#ifndef FK_BOARD_H
#define FK_BOARD_H

#include "slot.h"

enum {
    FK_OP_NONE,
    FK_OP_LOCK,
    FK_OP_RLOCK,
    FK_OP_SEMAPHORE,
    FK_OP_EVENT,
    FK_OP_CONDITION,
    FK_OP_QUEUE_GET,
    FK_OP_QUEUE_PUT,
    FK_OP_QUEUE_JOIN,
    FK_OP_PROCESS, /* the object is the owner word of the process waited for, or FK_BY_PID and its pid */
    FK_OP_TASK,    /* an idle worker of a pool waits for a task */
    FK_OP_RESULTS, /* a pool's parent waits for answers, */
    FK_OP_RESULT,  /* or for another of its threads, which does: an event */
    FK_OP_POOL,    /* a thread of the pool itself has nothing to do: an event */
    FK_OP_TABLE,   /* for whoever is just changing a shared dict or list */
    /* For the other end of a pipe or socket. The object is the descriptor. Who is in one of these is never
     * taken for a part of a standstill: the other end may be anybody's. */
    FK_OP_RECV,
    FK_OP_SEND,
    FK_OP_POLL,
    FK_OP_ACCEPT,
    FK_OP_WAIT, /* for any of several; the object is 0 */
    FK_OPS,
};

#define FK_BY_PID (UINT64_C(1) << 32)

static inline bool fk_op_is_for_a_pipe(uint32_t op) { return op >= FK_OP_RECV && op < FK_OPS; }

/* Say what this thread is about to wait for; only for who is about to sleep. `file` may be NULL.
 * Returns where the thread tells that it sleeps, for fk_wait.nap; NULL: the board is full, and the
 * call has had no effect. */
fk_nap *fk_board_enter(fk_arena *a, uint32_t op, uint64_t object, uint64_t deadline_ns,
                       const char *file, uint32_t line);
void fk_board_leave(fk_arena *a);

/* Which wait this thread's entry tells of: its number, or 0 when it tells of none. Another wait,
 * in a signal handler, takes the entry and leaves it empty. */
uint32_t fk_board_wait(const fk_arena *a);

/* A standing wait is made of many short ones, with a look round after each, and counts as one wait
 * without a deadline. `again`: nothing has happened since this thread left its last standing wait,
 * and it goes on with that one; if it has waited for something else since, it is a new one. */
fk_nap *fk_board_stand(fk_arena *a, bool again, uint32_t op, uint64_t object, const char *file,
                       uint32_t line);

/* Whether nothing but others can rouse this process from the wait that this thread is in. */
void fk_board_tell_quiet(const fk_arena *a, bool quiet);
uint64_t fk_board_since(const fk_arena *a); /* when that wait began */
fk_nap *fk_board_nap(const fk_arena *a);    /* NULL: in none */

/* A copy of entry `index` as its thread has written it. False: not waiting. Works on a peeked arena. */
typedef struct fk_seen {
    fk_owner owner;
    uint32_t tid, op, line, waits;
    uint64_t object, since_ns, deadline_ns;
    char file[80];
    bool asleep, quiet;
    uint64_t word; /* where the futex is that it sleeps on; 0: on none, or awake */
    uint32_t expected;
} fk_seen;

bool fk_board_see(const fk_arena *a, uint32_t index, fk_seen *seen);

/* Whose end an FK_OP_PROCESS entry waits for: an owner word; 0: it has no slot, or not yet. Works on a
 * peeked arena. */
fk_owner fk_board_joined(const fk_arena *a, const fk_seen *seen);

/* Its owner, operation, object and deadline only, and perhaps not of one moment: for who wants to know
 * whether a better look is worth while. False: not waiting. */
bool fk_board_glance(const fk_arena *a, uint32_t index, fk_seen *seen);

/* Free the entries of a dead process. */
void fk_board_forget(fk_arena *a, fk_owner dead);

#endif
