#include "bind.h"

typedef struct call {
    fk_handle *h;
    fk_hold *hold;
} call;

static fk_status sema_acquire(void *arg, fk_wait *w)
{
    call *c = arg;
    w->grows = true;
    return fk_sema_acquire(&fk_family, c->h->data, c->hold, w);
}

static PyObject *acquire(call *c, fk_wait *w)
{
    fk_status st;
    if (fk_blocking(sema_acquire, c, w, FK_OP_SEMAPHORE, c->h->off, &st) < 0)
        return NULL;
    if (st == FK_OK)
        Py_RETURN_TRUE;
    if (st == FK_AGAIN || st == FK_TIMEOUT)
        Py_RETURN_FALSE;
    return fk_raise(st, "acquiring a semaphore");
}

static PyObject *Sema_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    call c = {.h = (fk_handle *)self};
    fk_wait w = {.deadline_ns = 0};
    if (!fk_handle_data(c.h))
        return NULL;
    if (FK_LIKELY(nargs == 0 && !kwnames &&
                  fk_sema_acquire(&fk_family, c.h->data, NULL, &w) == FK_OK))
        Py_RETURN_TRUE;
    if (fk_parse_wait(args, nargs, kwnames, 0, &w) < 0)
        return NULL;
    return acquire(&c, &w);
}

static PyObject *release(fk_handle *h, fk_hold *hold)
{
    fk_status st = fk_sema_release(&fk_family, h->data, hold);
    if (st == FK_OVERFLOW) {
        PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *Sema_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_handle *h = (fk_handle *)self;
    return fk_handle_data(h) ? release(h, NULL) : NULL;
}

/* A permit taken by `with` is known to be this process's, and returns if it dies. */
static PyObject *Sema_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    call c = {.h = (fk_handle *)self};
    if (!fk_handle_data(c.h))
        return NULL;
    c.hold = fk_handle_hold(c.h);
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    return acquire(&c, &w);
}

static PyObject *Sema_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    fk_handle *h = (fk_handle *)self;
    if (!fk_handle_data(h))
        return NULL;
    fk_hold *hold = fk_handle_hold(h);
    /* A block that this process was forked in ends: the permit is the parent's. */
    if (FK_UNLIKELY(fk_handle_inherited(h)) && atomic_load(&hold->taken) == 0)
        Py_RETURN_NONE;
    return release(h, hold);
}

static PyObject *Sema_value(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_sema *s = fk_handle_data((fk_handle *)self);
    return s ? PyLong_FromUnsignedLong(fk_sema_value(s)) : NULL;
}

static PyObject *Sema_returned(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_sema *s = fk_handle_data((fk_handle *)self);
    return s ? PyLong_FromUnsignedLong(atomic_load(&s->returned)) : NULL;
}

static PyObject *Sema_create(PyObject *self, PyObject *args)
{
    long long value, max;
    if (!PyArg_ParseTuple(args, "LL", &value, &max))
        return NULL;
    if (value < 0 || value > max || max > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "invalid value");
        return NULL;
    }
    if (fk_handle_create((fk_handle *)self, sizeof(fk_sema), FK_KIND_SEMA) < 0)
        return NULL;
    fk_sema_init(((fk_handle *)self)->data, (uint32_t)value, (uint32_t)max);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    FK_METHOD("acquire", Sema_acquire,
              "acquire($self, /, block=True, timeout=None)\n--\n\nTake a permit; wait for one "
              "unless block is "
              "false, at most timeout seconds.\n\nReturns:\n    True: taken. False: none, in that "
              "time.\n\nA permit taken so is nobody's in particular: another process may give it "
              "back.\nOne taken by `with` returns by itself if the process dies."),
    {"release", Sema_release, METH_NOARGS, "release($self, /)\n--\n\nGive a permit."},
    {"get_value", Sema_value, METH_NOARGS,
     "get_value($self, /)\n--\n\nReturn how many permits are free."},
    {"_returned", Sema_returned, METH_NOARGS,
     "_returned($self, /)\n--\n\nReturn how many permits came back from processes that died."},
    {"_create", Sema_create, METH_VARARGS,
     "_create($self, value, max, /)\n--\n\nMake a new shared semaphore."},
    {"__enter__", Sema_enter, METH_NOARGS, FK_ENTER_DOC},
    {"__exit__", (PyCFunction)(void (*)(void))Sema_exit, METH_FASTCALL, FK_EXIT_DOC},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A counting semaphore in shared memory."},
    {0, NULL},
};

PyType_Spec fk_sema_spec = {.name = "forkful._native.Semaphore",
                            .basicsize = sizeof(fk_handle),
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                            .slots = slots};
