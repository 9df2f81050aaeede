/* A parent's ends of the pipes between it and a child: see launch/parent.py. */
#include "bind.h"

#include <unistd.h>

/* The ties of this process, a bit for each descriptor, under the GIL. A set of Python's would do, but not
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

void fk_cut_ties(void)
{
    for (size_t i = 0; i < words; i++) {
        while (ties[i]) {
            int bit = __builtin_ctzll(ties[i]);
            ties[i] &= ties[i] - 1;
            close((int)(i * 64) + bit); /* EBADF: the program itself has closed it */
        }
    }
}

typedef struct {
    PyObject_HEAD int sentinel, tie;
    pid_t owner; /* who has to close them; 0: they are closed */
} fk_ends;

static void close_ends(fk_ends *e)
{
    if (e->owner && e->owner == getpid()) { /* in a child the numbers mean something else */
        forget(e->tie);
        close(e->tie);
        close(e->sentinel);
    }
    e->owner = 0;
}

static PyObject *Ends_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int sentinel, tie;
    if (kwargs && PyDict_GET_SIZE(kwargs))
        return PyErr_Format(PyExc_TypeError, "Ends takes no keyword arguments");
    if (!PyArg_ParseTuple(args, "ii:Ends", &sentinel, &tie))
        return NULL;
    if (sentinel < 0 || tie < 0)
        return PyErr_Format(PyExc_ValueError, "not a descriptor");
    fk_ends *e = (fk_ends *)type->tp_alloc(type, 0);
    if (!e)
        return NULL;
    if (remember(tie) < 0) {
        Py_DECREF(e);
        return PyErr_NoMemory();
    }
    *e = (fk_ends){.ob_base = e->ob_base, .sentinel = sentinel, .tie = tie, .owner = getpid()};
    return (PyObject *)e;
}

static PyObject *Ends_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    close_ends((fk_ends *)self);
    Py_RETURN_NONE;
}

static void Ends_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    close_ends((fk_ends *)self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_new, Ends_new},
    {Py_tp_call, Ends_call},
    {Py_tp_dealloc, Ends_dealloc},
    {Py_tp_doc, "Ends(sentinel, tie, /)\n--\n\nTwo descriptors of a parent, closed when they are "
                "called or gone.\n\n"
                "Args:\n    sentinel: Ready when the child has ended.\n    tie: What children that "
                "are forked meanwhile close at once."},
    {0, NULL},
};

PyType_Spec fk_ends_spec = {.name = "forkful._native.Ends",
                            .basicsize = sizeof(fk_ends),
                            .flags = Py_TPFLAGS_DEFAULT,
                            .slots = slots};
