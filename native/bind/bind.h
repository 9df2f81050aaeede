/* The only folder that includes Python.h. No algorithm here: arguments in, core call, result out.
 *
 * A type of this module is a handle: a Python object for a shared object. It is made empty by
 * __new__, then given its shared object once, by _create() or _attach(). */
#ifndef FK_BIND_H
#define FK_BIND_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "circle.h"
#include "cond.h"
#include "event.h"
#include "family.h"
#include "place.h"
#include "standstill.h"
#include "watch.h"

/* The one family of this process; base is NULL before it has one. */
extern fk_arena fk_family;

/* What the Python layer hands over by configure(). All are callables or classes, never NULL after. */
typedef struct fk_bind_hooks {
    PyObject *dumps;      /* dumps(obj) -> (bytes, [PickleBuffer], [handle]) */
    PyObject *owner_died; /* (handle, pid, name, where) -> exception instance; where: str or None */
    PyObject *shut_down;  /* exception class */
    PyObject *lost;       /* (handle, items) -> exception instance */
    PyObject *quiet;      /* () -> whether only others can rouse this process */
    PyObject *examine; /* () -> an exception instance: a deadlock; None: perhaps, look again; False:
                          none. Both are None when nobody is to look. */
    PyObject *circle;  /* () -> the same for a circle of locks that this thread is in */
    PyObject *homes;   /* tuple of str: folders of frames that are no user's, with a slash */
    PyObject *pickle_dumps, *pickle_loads; /* the C functions of _pickle */
} fk_bind_hooks;

extern fk_bind_hooks fk_hooks;

typedef struct fk_handle {
    PyObject_HEAD uint64_t off, tag;
    uint32_t hold;
    bool closed;    /* queues */
    void *data;     /* in the arena; NULL: no shared object yet */
    pid_t stower;   /* the process whose ref is in none's table; 0: there is no such */
    fk_owner maker; /* the process that has made the handle: a fork copies it, as it is */
} fk_handle;

/* handle.c */
extern PyMethodDef fk_handle_methods[]; /* shared by all handle types */
PyObject *fk_handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
void fk_handle_dealloc(PyObject *self);
/* Give the handle a new block of `size` bytes. 0, or -1 with an exception. */
int fk_handle_create(fk_handle *h, uint64_t size, uint32_t kind);
/* h->data, or NULL with an exception. */
void fk_handle_complain(fk_handle *h);
static inline void *fk_handle_data(fk_handle *h)
{
    if (FK_UNLIKELY(!h->data))
        fk_handle_complain(h);
    return h->data;
}
uint32_t fk_handle_kind(PyTypeObject *type);
/* Whether this process has the handle by a fork, and with it perhaps the end of a `with` block that is not its
 * own. */
static inline bool fk_handle_inherited(const fk_handle *h) { return h->maker != fk_family.me; }
static inline fk_hold *fk_handle_hold(fk_handle *h) { return fk_hold_at(&fk_family, h->hold); }

/* errors.c: the one way out for a status that is not FK_OK. Sets an exception, returns NULL. */
PyObject *fk_raise(fk_status st, const char *doing);
/* An exception of the module `queue`, which is imported for it: few programs need it. */
void fk_raise_of_queue(const char *name);
PyObject *fk_raise_owner_died(fk_handle *h, fk_owner owner, uint32_t place);
/* Make this process a family's root if it is in none. 0, or -1 with an exception. */
int fk_need_family(void);

/* detach.c */
typedef fk_status (*fk_wait_fn)(void *arg, fk_wait *w);

/* Call fn(arg, w) until it has an answer, first without waiting and with the GIL held; then
 * without the GIL, on the board, looking at signals and dead processes after each slice.
 * 0: *st is the answer (never FK_INTR; FK_AGAIN only if w->deadline_ns was 0); -1: a signal
 * handler raised, or the whole family is deadlocked. */
int fk_blocking(fk_wait_fn fn, void *arg, fk_wait *w, uint32_t op, uint64_t object, fk_status *st);

/* The same as a part of a standing wait (board.h): the caller calls again after each timeout, and does
 * nothing in between but to look round. */
enum { FK_ONE_WAIT, FK_STANDING_FIRST, FK_STANDING_AGAIN };
int fk_blocking_on(fk_wait_fn fn, void *arg, fk_wait *w, uint32_t op, uint64_t object,
                   fk_status *st, int standing);

/* fk_still_family without the GIL. */
bool fk_is_standstill(void);

/* In a wait without a deadline, which is on the board: say there whether this process is quiet.
 * 0, or -1 with an exception. */
int fk_tell_quiet(void);

/* Where the caller stands, for the board: the end of the path of the innermost file that is not forkful's
 * own, and the line; 0 if there is none. */
uint32_t fk_site(char *file, size_t size);

/* (block=True, timeout=None) as multiprocessing understands them, from position `first` on.
 * 0, or -1 with an exception. */
int fk_parse_wait(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, Py_ssize_t first,
                  fk_wait *w);
/* A timeout in seconds or None. */
int fk_parse_timeout(PyObject *timeout, fk_wait *w);

/* lock_type.c: __enter__ and __exit__ of a handle of that kind, FK_KIND_LOCK or FK_KIND_RLOCK. */
PyObject *fk_lock_enter(PyObject *lock, uint32_t kind);
PyObject *fk_lock_exit(PyObject *lock, uint32_t kind, PyObject *const *args, Py_ssize_t nargs);

/* with.c: let `with` call the type's __enter__ and __exit__ in less time. 0 or -1. */
int fk_hasten_with(PyTypeObject *type);

/* here.c: the innermost frame that is not forkful's own; if all are, the innermost one. A new
 * reference; NULL: there is none. */
PyFrameObject *fk_callers_frame(void);

/* pickle.c */
/* bytes; *extras: NULL, or (bytes, buffers, handles) if any of the latter two go with them */
PyObject *fk_pickle(PyObject *obj, PyObject **extras);
PyObject *fk_pickle_plain(PyObject *obj); /* bytes; None if it is not of plain types */
/* The same as plain.c writes it, if it does; behind `head` (bytes or NULL). For fk_rebuild. */
PyObject *fk_dumps_plain(PyObject *obj, PyObject *head);
PyObject *fk_unpickle(PyObject *data, PyObject *buffers /* or NULL */);
/* The object in bytes from `at` on, be they a pickle or plain.c's. */
PyObject *fk_rebuild(PyObject *data, Py_ssize_t at);

/* plain.c */
#define FK_PLAIN_MOST 512 /* bytes: for larger objects a pickler is worth its price */
/* Write an object; how many bytes, 0: it is none that can be written so (in that room). */
uint32_t fk_plain_write(PyObject *obj, uint8_t *to, uint32_t room);
/* bytes that begin with those of `head` (bytes or NULL); None if it cannot be written so */
PyObject *fk_plain_bytes(PyObject *obj, PyObject *head);
/* Runs no code, but for what a collection of garbage may run: `data` must last. */
PyObject *fk_plain_read(const void *data, size_t size);
/* Whether a message was written so: each pickle begins with this byte. */
static inline bool fk_plain_is(const uint8_t *data, size_t size)
{
    return size == 0 || data[0] != 0x80;
}

/* opcodes.c */
/* Write the pickle of an object; how many bytes, 0: it is none of these, or larger than that room. */
uint32_t fk_opcodes_write(PyObject *obj, uint8_t *to, uint32_t room);
/* The object of a pickle; NULL without an exception: pickle must read it. Runs no code, as above. */
PyObject *fk_opcodes_read(const void *data, size_t size);

/* fresh.c */
/* A new `bytes`, or if not `fixed` a new bytearray, and where the caller is to write what it has. */
PyObject *fk_fresh(uint64_t size, bool fixed, char **data);

/* block_type.c */
/* Pack bytes and what goes with them, (bytes, list of buffers[, list of handles]) or NULL, into a new block,
 * which the caller then holds by *hold. None goes with bytes that are the object, and no pickle. 0 or -1. */
int fk_block_pack(PyObject *data, PyObject *extras, uint64_t *off, uint32_t *hold);
/* The object in a block that was packed so; takes the hold over in every case. Its buffers are private to this
 * process, or if `shared` read-only and the block itself. */
PyObject *fk_block_unpack(uint32_t hold, bool shared);
/* What was packed: bytes, or (bytes, list of buffers) if there are any; takes the hold over. */
PyObject *fk_block_message(uint32_t hold);

/* one spec for each *_type.c */
extern PyType_Spec fk_lock_spec, fk_rlock_spec, fk_sema_spec, fk_event_spec, fk_cond_spec,
    fk_queue_spec, fk_words_spec, fk_memory_spec, fk_packed_spec, fk_block_spec, fk_guard_spec,
    fk_guarded_spec, fk_items_spec, fk_attribute_spec, fk_ends_spec;
extern PyTypeObject *fk_lock_type, *fk_rlock_type, *fk_block_type, *fk_guard_type, *fk_guarded_type;
extern PyMethodDef fk_family_methods[], fk_board_methods[], fk_peek_methods[], fk_stream_methods[],
    fk_ending_methods[], fk_files_methods[], fk_lastwords_methods[], fk_disown_methods[];

/* files.c */
typedef struct fk_identity { /* what tells a file from all others */
    unsigned long long dev, ino;
} fk_identity;
bool fk_identify(int fd, fk_identity *id);
/* Whether a descriptor still is the file that it was: a program may close what it does not know. */
bool fk_is_still(int fd, fk_identity was);
/* The same file by another number than those of the standard streams; closes fd. -1 with errno. */
int fk_above_streams(int fd);

/* What a newborn does before any Python code of it runs, a part of each file. Not in Python, as each object of
 * the parent's that is touched is a page to be copied. */
void fk_cut_ties(void);             /* ties.c: close what it must not keep */
void fk_renew_files(void);          /* files.c: its own in the place of the parent's */
void fk_disown_after_fork(void);    /* disown.c: what is the parent's alone */
void fk_lastwords_after_fork(void); /* lastwords.c: it has no children that could leave any */
void fk_sigterm_after_fork(void);   /* ending.c: nor any to be ended before it */

/* In a parent once it has forked. */
void fk_tied(void); /* ties.c */

/* ending.c */
int fk_add_ending_constants(PyObject *m);

/* disown.c */
int fk_add_disowned(void);

/* board_bind.c */
/* Call fn(arg), which sleeps in the kernel, without the GIL, on the board, until it gives something else than
 * FK_INTR. 0; -1: a signal handler raised. */
typedef fk_status (*fk_sleep_fn)(void *arg);
int fk_sleeping(fk_sleep_fn fn, void *arg, uint32_t op, uint64_t object, fk_status *st);
const char *fk_op_name(uint32_t op);
/* Who holds the lock that an entry waits for, and the number of the place where it was taken: an owner
 * word, 0: nobody or not known. Works on a peeked arena. */
fk_owner fk_holder_of(const fk_arena *a, const fk_seen *s, uint32_t *place);
/* A place as people read it, "main.py:12 in transfer": a new str, or None if there is none of that
 * number. Works on a peeked arena. */
PyObject *fk_place_text(const fk_arena *a, uint32_t number);

/* Each text begins with a signature as inspect and help() read it. */
#define FK_ENTER_DOC "__enter__($self, /)\n--\n\nacquire()"
#define FK_EXIT_DOC "__exit__($self, /, *exc)\n--\n\nrelease()"
#define FK_METHOD(name, fn, doc)                                                                   \
    {name, (PyCFunction)(void (*)(void))fn, METH_FASTCALL | METH_KEYWORDS, doc}

#endif
