/* A message that is a pickle, read so that its large bytes need not be copied out of it: the caller says where
 * each is to stay, and it is read to there. What is kept is a pickle that asks for them in their order, as
 * protocol 5 does for buffers that travel beside it.
 *
 * The whole message is read before anything is made of it, so whatever unpickling does finds the stream at the
 * beginning of the next one: a reader that runs code halfway could wait for what the writer has when this has
 * written all. */
#ifndef FK_LIFT_H
#define FK_LIFT_H

#include "base.h"

#define FK_LIFT_LEAST 65536 /* bytes: picklers write as large ones outside of their frames */

/* All 0 at first, save `left`: the size of the message. */
typedef struct fk_lift {
    uint64_t left;       /* bytes of the message that are not read */
    unsigned char *kept; /* the pickle without what is lifted; malloc'd, and the caller's to free */
    uint64_t room, have; /* so many bytes can be there, and are */
    uint64_t at, want;   /* those before `at` are understood; to go on, so many must be there */
    uint64_t least;      /* smaller ones are not lifted */
    uint64_t large;      /* bytes that are to be lifted; 0: none */
    bool fixed;          /* whether they are a `bytes`, and no `bytearray` */
    char *to;            /* where they stay; NULL: the caller has not said so */
    uint64_t done;       /* so many of them are there */
} fk_lift;

/* fk_stream_read or fk_stream_try_read */
typedef fk_status (*fk_lift_read)(int fd, void *to, uint64_t n, uint64_t *done);

/* Go on reading.
 *
 * FK_OK: l->large bytes are to be lifted, call fk_lift_to and then this again; or, if that is 0, all is read,
 * and l->kept has l->have bytes. FK_NOMEM. Else what `read` gave: after FK_AGAIN and FK_INTR call again. */
fk_status fk_lift_go_on(fk_lift *l, int fd, fk_lift_read read);

/* Say where the l->large bytes stay. */
void fk_lift_to(fk_lift *l, char *to);

#endif
