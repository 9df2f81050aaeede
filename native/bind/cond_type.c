#include "bind.h"

static fk_status node_wait(void *arg, fk_wait *w)
{
    w->grows = true;
    if (w->deadline_ns == 0) {
        fk_node *n = arg;
        return atomic_load(&n->state) == FK_NODE_WAITING ? FK_AGAIN : FK_OK;
    }
    return fk_cond_wait(arg, w);
}

static int is_lock(PyObject *o)
{
    if (PyObject_TypeCheck(o, fk_lock_type) || PyObject_TypeCheck(o, fk_rlock_type))
        return 1;
    PyErr_SetString(PyExc_TypeError, "a Condition's lock must be a forkful Lock or RLock");
    return 0;
}

/* Of a Lock only the process is known that holds it, of an RLock the thread. */
static bool is_mine(fk_handle *lock)
{
    if (PyObject_TypeCheck((PyObject *)lock, fk_lock_type))
        return fk_lock_owner(lock->data) == fk_family.me;
    return fk_rlock_is_mine(&fk_family, lock->data);
}

/* Free the lock, which is the caller's, as often as it is held; return how often. */
static long unlock(fk_handle *lock)
{
    if (PyObject_TypeCheck((PyObject *)lock, fk_lock_type)) {
        fk_user_release(lock->data);
        return 1;
    }
    fk_rlock *l = lock->data;
    long n = atomic_load(&l->count);
    atomic_store(&l->count, 1);
    fk_rlock_release(&fk_family, l);
    return n;
}

/* Through the method, so that a dead owner and signals are treated as everywhere. */
static int relock(PyObject *lock, long times)
{
    while (times-- > 0) {
        PyObject *r = PyObject_CallMethod(lock, "acquire", NULL);
        if (!r)
            return -1;
        Py_DECREF(r);
    }
    return 0;
}

static PyObject *Cond_wait(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    PyObject *lock, *timeout;
    int standing = FK_ONE_WAIT;
    fk_wait w;
    fk_cond *c = fk_handle_data(h);
    if (!c || !PyArg_ParseTuple(args, "OO|i", &lock, &timeout, &standing) || !is_lock(lock) ||
        !fk_handle_data((fk_handle *)lock) || fk_parse_timeout(timeout, &w) < 0)
        return NULL;
    if (!is_mine((fk_handle *)lock)) {
        PyErr_SetString(PyExc_AssertionError, "must acquire() condition before using wait()");
        return NULL;
    }
    fk_node *node;
    fk_status st = fk_cond_begin(&fk_family, c, &node);
    if (st != FK_OK)
        return fk_raise(st, "waiting on a condition");
    long times = unlock((fk_handle *)lock);
    int raised = fk_blocking_on(node_wait, node, &w, FK_OP_CONDITION, h->off, &st, standing);
    bool notified = fk_cond_end(node);
    if (raised < 0) { /* the lock first, then what the signal handler raised */
        PyObject *type, *value, *tb;
        PyErr_Fetch(&type, &value, &tb);
        if (relock(lock, times) < 0)
            PyErr_Clear();
        PyErr_Restore(type, value, tb);
        return NULL;
    }
    if (relock(lock, times) < 0)
        return NULL;
    return PyBool_FromLong(notified);
}

static PyObject *Cond_notify(PyObject *self, PyObject *arg)
{
    fk_cond *c = fk_handle_data((fk_handle *)self);
    if (!c)
        return NULL;
    long long n = PyLong_AsLongLong(arg);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromUnsignedLongLong(fk_cond_notify(&fk_family, c, n < 0 ? 0 : (uint64_t)n));
}

static PyObject *Cond_waiters(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_cond *c = fk_handle_data((fk_handle *)self);
    return c ? PyLong_FromUnsignedLongLong(fk_cond_waiters(&fk_family, c)) : NULL;
}

static PyObject *Cond_create(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (fk_handle_create((fk_handle *)self, sizeof(fk_cond), FK_KIND_COND) < 0)
        return NULL;
    fk_cond_init(((fk_handle *)self)->data);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_wait", Cond_wait, METH_VARARGS,
     "_wait($self, lock, timeout, standing=0, /)\n--\n\nFree the lock, wait to be notified, take "
     "the lock again. standing: 1 and 2 are for the first\nand the further parts of a wait that is "
     "made of many.\n\n"
     "Returns:\n    Whether the caller was notified."},
    {"_notify", Cond_notify, METH_O,
     "_notify($self, n, /)\n--\n\nWake up to n waiters, the longest waiting first; the caller "
     "holds the lock."},
    {"_waiters", Cond_waiters, METH_NOARGS, "_waiters($self, /)\n--\n\nReturn how many wait."},
    {"_create", Cond_create, METH_NOARGS, "_create($self, /)\n--\n\nMake a new shared condition."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Waiters of a condition variable in shared memory."},
    {0, NULL},
};

PyType_Spec fk_cond_spec = {.name = "forkful._native.Condition",
                            .basicsize = sizeof(fk_handle),
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                            .slots = slots};
