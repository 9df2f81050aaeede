/* Whole messages over a socket or a pipe, framed as multiprocessing.connection frames them: the
 * length as 4 bytes, or as -1 in 4 bytes and the length in 8; most significant byte first.
 *
 * Nothing is kept when a message is there: an end may be given away, and the other end be another program's. Of
 * several readers of one end, or writers, only one may be at it at a time, as with the stdlib's. */
#ifndef FK_STREAM_H
#define FK_STREAM_H

#include "base.h"

#include <sys/uio.h>

/* What of a message's length has come; all 0 at first. It takes four bytes, or twelve (after -1). */
typedef struct fk_stream_head {
    unsigned char bytes[12];
    uint64_t done; /* so many of them */
    uint64_t size; /* the length */
} fk_stream_head;

/* Look for a message, but do not sleep. A look that finds one saves a sleep and a wake-up, which take ten times
 * as long; one that finds none takes time from the other end, if that has to run on this very CPU. So a
 * thread watches as long as that has helped lately, and not at all where it has not, or on one CPU.
 *
 * FK_OK: one of h->size bytes begins. They are for fk_stream_read to take, before all else.
 * FK_AGAIN: not all of its length is there: call again with the same head, later. FK_SHUTDOWN: no more will come.
 * FK_CORRUPT: no length. FK_SYS: see errno. */
fk_status fk_stream_look(int fd, fk_stream_head *h);  /* once */
fk_status fk_stream_watch(int fd, fk_stream_head *h); /* for some microseconds */

/* Sleep until a look will find something, or the end. FK_OK, FK_INTR, FK_SYS. */
fk_status fk_stream_await(int fd);

/* Read n bytes more, of which *done are there already; waits for them.
 *
 * FK_OK: all. FK_INTR: a signal came; call again. FK_SHUTDOWN: the end came first. FK_SYS. */
fk_status fk_stream_read(int fd, void *to, uint64_t n, uint64_t *done);

/* Write a message, its length first; *done counts both from 0. Waits for room. n < 2^31.
 *
 * FK_OK: all. FK_INTR: a signal came; call again. FK_SYS: see errno; EPIPE where nobody can read it. */
fk_status fk_stream_write(int fd, const void *data, uint64_t n, uint64_t *done);

/* The same two as far as they go without a sleep; FK_AGAIN: call the other one for the rest. */
fk_status fk_stream_try_read(int fd, void *to, uint64_t n, uint64_t *done);
fk_status fk_stream_try_write(int fd, const void *data, uint64_t n, uint64_t *done);

/* The same, but FK_AGAIN for all that is no socket. It never sleeps, whereas a pipe that several write to may be
 * full again when it is written to. */
fk_status fk_stream_try_send(int fd, const void *data, uint64_t n, uint64_t *done);

/* The head of a message of n bytes; how long the head is. */
uint64_t fk_stream_make_head(unsigned char head[12], uint64_t n);

/* Write the *n parts that begin at *parts; waits for room. What is written is taken from both, and from the part
 * that it ends in.
 *
 * As fk_stream_write. */
fk_status fk_stream_write_parts(int fd, struct iovec **parts, size_t *n);

/* Whether its user has said that no call shall wait (O_NONBLOCK). */
bool fk_stream_never_waits(int fd);

#endif
