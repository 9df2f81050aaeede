/* What plain.c and opcodes.c have in common: to write a small object into little room, and to read one. */
#ifndef FK_SMALL_H
#define FK_SMALL_H

#include "bind.h"

#define FK_SMALL_DEEPEST 8 /* deeper nesting is the pickler's */
#define FK_SMALL_SHARED 8  /* containers that somebody else refers to as well */

typedef struct fk_writer {
    uint8_t *at, *end;
    PyObject *shared[FK_SMALL_SHARED];
    int n_shared;
} fk_writer;

static inline bool fk_add(fk_writer *w, const void *data, size_t size)
{
    if (size > (size_t)(w->end - w->at))
        return false;
    memcpy(w->at, data, size);
    w->at += size;
    return true;
}

static inline bool fk_add_tag(fk_writer *w, uint8_t tag) { return fk_add(w, &tag, 1); }

/* A size is a byte: what has more than 255 of something is the pickler's. */
static inline bool fk_add_size(fk_writer *w, uint8_t tag, Py_ssize_t size)
{
    uint8_t head[] = {tag, (uint8_t)size};
    return head[1] == size && fk_add(w, head, sizeof head);
}

/* Whether a container is seen for the first time. What stands in an object twice, or in itself, is one
 * thing for the receiver as well: that is the pickler's to see to. Such a one has two references. */
static inline bool fk_is_first(fk_writer *w, PyObject *container)
{
    if (Py_REFCNT(container) == 1)
        return true;
    for (int i = 0; i < w->n_shared; i++)
        if (w->shared[i] == container)
            return false;
    if (w->n_shared == FK_SMALL_SHARED)
        return false;
    w->shared[w->n_shared++] = container;
    return true;
}

typedef struct fk_reader {
    const uint8_t *at, *end;
} fk_reader;

/* The next bytes; NULL if there are not so many. */
static inline const uint8_t *fk_next(fk_reader *r, size_t size)
{
    if (size > (size_t)(r->end - r->at))
        return NULL;
    r->at += size;
    return r->at - size;
}

#endif
