/* What tells a child of its parent's end, and the parent of the child's: see launch/parent.py.
 *
 * All children that a process forks itself, or lets its fork server fork, have the read end of one pipe, whose
 * write end it alone has: their tie. It is there while one of them is known, and takes two descriptors however
 * many they are. One by spawn has the pipe for its tie that it is told through what it is to do. */
#include "bind.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NONE (-1)

static struct {
    int r, w;
    fk_identity id;      /* of the pipe: a program may close what it does not know */
    size_t shares;       /* children that have it; 0: there is no pipe */
    uint64_t generation; /* of the pipe */
} common;

/* Whether this thread forks a child that is to have the common tie. */
static _Thread_local bool starting;

static bool common_is_there(void)
{
    return common.shares && fk_is_still(common.r, common.id) && fk_is_still(common.w, common.id);
}

static void close_common(void)
{
    if (fk_is_still(common.w, common.id))
        close(common.w);
    if (fk_is_still(common.r, common.id))
        close(common.r);
    common.shares = 0;
}

static bool take_share(void)
{
    int ends[2];
    if (!common_is_there()) {
        if (common.shares)
            close_common(); /* what is left of it */
        if (pipe2(ends, O_CLOEXEC) < 0)
            return false;
        common.r = fk_above_streams(ends[0]);
        common.w = fk_above_streams(ends[1]);
        if (common.r < 0 || common.w < 0 || !fk_identify(common.r, &common.id)) {
            int e = errno;
            close(common.r);
            close(common.w);
            errno = e;
            return false;
        }
        common.generation++;
    }
    common.shares++;
    return true;
}

static void give_share_back(uint64_t generation)
{
    if (generation == common.generation && common.shares && --common.shares == 0)
        close_common();
}

/* The other ties of this process, a bit for each descriptor, under the GIL. A set of Python's would do, but not
 * in the moment after a fork: each page that a newborn writes to is copied, and looking at a set writes to
 * its members. */
static uint64_t *ties;
static size_t words;

static int remember(int fd)
{
    size_t need = (size_t)fd / 64 + 1;
    if (need > words) {
        need += need / 2;
        uint64_t *more = PyMem_RawRealloc(ties, need * sizeof *ties);
        if (!more)
            return -1;
        memset(more + words, 0, (need - words) * sizeof *ties);
        ties = more;
        words = need;
    }
    ties[fd / 64] |= UINT64_C(1) << fd % 64;
    return 0;
}

static void forget(int fd) { ties[fd / 64] &= ~(UINT64_C(1) << fd % 64); }

void fk_tied(void) { starting = false; }

void fk_cut_ties(void)
{
    if (common.shares) {
        int r = common.r;
        if (starting)
            common.r = NONE;
        close_common();
        common.r = r;
    }
    starting = false;
    for (size_t i = 0; i < words; i++) {
        while (ties[i]) {
            int bit = __builtin_ctzll(ties[i]);
            ties[i] &= ties[i] - 1;
            close((int)(i * 64) + bit); /* EBADF: the program itself has closed it */
        }
    }
}

typedef struct {
    PyObject_HEAD int tie; /* of its own; NONE: it has a share of the common one */
    int sentinel;          /* NONE: nobody has asked for it */
    pid_t owner;           /* who has to close them; 0: they are closed */
    uint64_t generation;   /* of the common tie that it has a share of */
} fk_ends;

static void close_ends(fk_ends *e)
{
    if (e->owner && e->owner == getpid()) { /* in a child the numbers mean something else */
        if (e->tie == NONE) {
            give_share_back(e->generation);
        } else {
            forget(e->tie);
            close(e->tie);
        }
        if (e->sentinel != NONE)
            close(e->sentinel);
    }
    e->owner = 0;
}

static PyObject *Ends_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int tie = NONE, sentinel = NONE;
    if (kwargs && PyDict_GET_SIZE(kwargs))
        return PyErr_Format(PyExc_TypeError, "Ends takes no keyword arguments");
    if (!PyArg_ParseTuple(args, "|ii:Ends", &tie, &sentinel))
        return NULL;
    fk_ends *e = (fk_ends *)type->tp_alloc(type, 0);
    if (!e)
        return NULL;
    e->owner = 0;
    if (tie != NONE && remember(tie) < 0) {
        Py_DECREF(e);
        return PyErr_NoMemory();
    }
    if (tie == NONE && !take_share()) {
        Py_DECREF(e);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    e->tie = tie, e->sentinel = sentinel, e->owner = getpid();
    e->generation = common.generation;
    return (PyObject *)e;
}

static PyObject *Ends_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    close_ends((fk_ends *)self);
    Py_RETURN_NONE;
}

static PyObject *Ends_childs(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyLong_FromLong(common.r);
}

static PyObject *Ends_for_fork(PyObject *self, PyObject *unused)
{
    starting = true;
    return Ends_childs(self, unused);
}

/* Ready for ever. */
static int of_the_dead(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    close(ends[1]);
    return ends[0];
}

static PyObject *Ends_sentinel(PyObject *self, PyObject *arg)
{
    fk_ends *e = (fk_ends *)self;
    long pid = PyLong_AsLong(arg);
    if (pid == -1 && PyErr_Occurred())
        return NULL;
    if (e->sentinel == NONE && e->owner) { /* in a forked child, too: it is never closed there */
        int fd = pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : of_the_dead();
        if (fd < 0 && errno == ESRCH)
            fd = of_the_dead();
        if ((fd = fk_above_streams(fd)) < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
        e->sentinel = fd;
    }
    return PyLong_FromLong(e->sentinel);
}

static void Ends_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    close_ends((fk_ends *)self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"childs", Ends_childs, METH_NOARGS,
     "childs($self, /)\n--\n\nReturn the child's end of the common tie."},
    {"for_fork", Ends_for_fork, METH_NOARGS,
     "for_fork($self, /)\n--\n\nReturn the child's end of the common tie, and let the child that "
     "this "
     "thread forks next keep it."},
    {"sentinel", Ends_sentinel, METH_O,
     "sentinel($self, pid, /)\n--\n\nReturn a descriptor that is ready when that child has ended: "
     "the one that was given, or one that is\nmade now. pid 0: it has ended, and its number may be "
     "another's. Raises OSError."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, Ends_new},
    {Py_tp_call, Ends_call},
    {Py_tp_dealloc, Ends_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc,
     "Ends(tie=-1, sentinel=-1, /)\n--\n\nA parent's ends of what ties a child to it, closed when "
     "called or gone.\n\n"
     "Args:\n    tie: What children that are forked meanwhile close at once; -1: a share of the "
     "one "
     "that all forked\n        children of this process have.\n"
     "    sentinel: Ready when the child has ended; -1: made when asked for."},
    {0, NULL},
};

PyType_Spec fk_ends_spec = {.name = "forkful._native.Ends",
                            .basicsize = sizeof(fk_ends),
                            .flags = Py_TPFLAGS_DEFAULT,
                            .slots = slots};
