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
    FK_OP_PROCESS, /* the object is the owner word of the process waited for */
    FK_OPS,
};

/* Say what this thread is about to wait for; only for who is about to sleep. Without effect when
 * the board is full. `file` may be NULL. */
void fk_board_enter(fk_arena *a, uint32_t op, uint64_t object, uint64_t deadline_ns,
                    const char *file, uint32_t line);
void fk_board_leave(fk_arena *a);

/* A copy of entry `index` as its thread has written it. False: not waiting. */
typedef struct fk_seen {
    fk_owner owner;
    uint32_t tid, op, line, waits;
    uint64_t object, since_ns, deadline_ns;
    char file[80];
} fk_seen;

bool fk_board_see(const fk_arena *a, uint32_t index, fk_seen *seen);

/* Free the entries of a dead process. */
void fk_board_forget(fk_arena *a, fk_owner dead);

#endif
