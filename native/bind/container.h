/* What shared dicts and lists have in common: keys, values, and their way in and out of a table. */
#ifndef FK_CONTAINER_H
#define FK_CONTAINER_H

#include "bind.h"
#include "table.h"

/* key.c */
typedef struct fk_key {
    uint8_t *bytes;
    uint32_t size, capacity;
    bool exact; /* the bytes tell the object that was given; else it goes along, pickled */
    bool odd, there;
    uint64_t added; /* of an odd key that is not there: how many had been added by then */
    uint64_t hash;
    PyObject *given;
    uint8_t small[128];
} fk_key;

/* The key that `o` is in the dict `self`. 0, or -1 with an exception; then there is nothing to end. */
int fk_key_begin(PyObject *self, PyObject *o, fk_key *k);
/* Make it ready to be added. 0, or -1 with an exception. */
int fk_key_give(PyObject *o, fk_key *k);
void fk_key_end(fk_key *k);
/* The object that a key's bytes stand for. */
PyObject *fk_key_object(const uint8_t *bytes, uint32_t size);

/* container.c */

/* A handle of a table, which may be of use only as long as another process lives: a manager's server. */
typedef struct fk_container {
    fk_handle handle;
    fk_owner server; /* 0: none */
} fk_container;

/* Hold the table's lock, and the GIL: no Python code may run, and nothing may be waited for, until
 * fk_table_unlock. NULL with an exception. */
fk_table *fk_enter(PyObject *self);

/* A value on its way in: 0, or -1 with an exception, and then there is nothing to end. */
typedef struct fk_value {
    PyObject *data;
    uint64_t block;
    uint32_t hold;
} fk_value;

int fk_value_begin(PyObject *self, PyObject *o, fk_value *v);
void fk_value_end(fk_value *v);
void fk_value_entry(const fk_value *v, fk_entry *e);

/* A value on its way out: copied (or held) while the lock is held, made an object after it. 0, or -1 and
 * no exception: no memory. fk_copy_object takes the copy over, also when it fails. */
typedef struct fk_copy {
    PyObject *data;
    uint32_t hold;
} fk_copy;

int fk_copy_value(const fk_item *item, fk_copy *c);
PyObject *fk_copy_object(fk_copy *c);
void fk_copy_drop(fk_copy *c);

/* (version, list) of the rows from `start` up to `stop`, at one moment. */
enum { FK_KEYS, FK_VALUES, FK_ITEMS, FK_ODD_KEYS };
PyObject *fk_snapshot(PyObject *self, int what, uint64_t start, uint64_t stop);

/* What `_swap` returns, of: 1, set; 0, not; FK_OWN, not, as this thread itself has set it meanwhile; below 0, an
 * exception. */
#define FK_OWN 2
PyObject *fk_swapped(int r);

/* As builtins complain of their positional arguments. 0, or -1 with an exception. */
int fk_check_nargs(const char *name, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most);

PyObject *fk_container_create(PyObject *self, bool indexed);
PyObject *fk_container_end_with(PyObject *self, PyObject *owner);
#define FK_END_WITH_DOC                                                                            \
    "_end_with($self, owner, /)\n--\n\nBe of use only as long as that process lives: then each "   \
    "call raises what _raise_ended()\nraises."
Py_ssize_t fk_container_len(PyObject *self);

extern PyType_Spec fk_dict_spec, fk_list_spec;

#endif
