#include "here.h"

PyTypeObject *fk_lock_type, *fk_rlock_type;

static fk_status lock_acquire(void *arg, fk_wait *w)
{
    return fk_lock_acquire(&fk_family, &((fk_user_lock *)((fk_handle *)arg)->data)->lock, w);
}

static fk_status rlock_acquire(void *arg, fk_wait *w)
{
    return fk_rlock_acquire(&fk_family, ((fk_handle *)arg)->data, w);
}

/* An fk_rlock begins with one. */
static fk_user_lock *user(fk_handle *h) { return h->data; }

/* The caller holds the lock now: say where it stands. */
static inline void say_where(fk_user_lock *l)
{
    atomic_store_explicit(&l->place, fk_here(), memory_order_relaxed);
}

static PyObject *acquire(fk_handle *h, fk_wait_fn fn, uint32_t op, fk_wait *w)
{
    fk_status st;
    do {
        if (fk_blocking(fn, h, w, op, h->off, &st) < 0)
            return NULL;
        if (st == FK_OWNER_DIED) {
            fk_owner owner = fk_lock_owner(&user(h)->lock);
            uint32_t place = atomic_load(&user(h)->place);
            if (owner && !fk_slot_alive(&fk_family, owner))
                return fk_raise_owner_died(h, owner, place);
        }
    } while (st == FK_OWNER_DIED); /* recovered by somebody in between */
    if (st == FK_OK) {
        if (op == FK_OP_LOCK || atomic_load(&((fk_rlock *)h->data)->count) == 1)
            say_where(user(h));
        Py_RETURN_TRUE;
    }
    if (st == FK_AGAIN || st == FK_TIMEOUT)
        Py_RETURN_FALSE;
    if (st == FK_OVERFLOW) {
        PyErr_SetString(PyExc_OverflowError, "lock acquired too many times");
        return NULL;
    }
    return fk_raise(st, "acquiring a lock");
}

static PyObject *Lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    fk_handle *h = (fk_handle *)self;
    fk_user_lock *l = fk_handle_data(h);
    if (!l)
        return NULL;
    if (FK_LIKELY(nargs == 0 && !kwnames && fk_lock_try(&fk_family, &l->lock) == FK_OK)) {
        say_where(l);
        Py_RETURN_TRUE;
    }
    fk_wait w;
    if (fk_parse_wait(args, nargs, kwnames, 0, &w) < 0)
        return NULL;
    return acquire(h, lock_acquire, FK_OP_LOCK, &w);
}

static PyObject *Lock_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_user_lock *l = fk_handle_data((fk_handle *)self);
    if (!l)
        return NULL;
    if (!fk_user_release(l)) {
        PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Whether a `with` block ends that does not hold its lock: Condition.wait() has raised LockOwnerDied in it, and
 * the lock is a dead process's, or of whoever has recovered it since. Or the block is the parent's, and this
 * process was forked in it: the lock is the parent's, or somebody else's by now. */
static bool is_anothers(PyObject *self, bool raised)
{
    fk_handle *h = (fk_handle *)self;
    fk_owner owner = h->data ? fk_lock_owner(&user(h)->lock) : 0;
    return owner && owner != fk_family.me &&
           (raised || fk_handle_inherited(h) || !fk_slot_alive(&fk_family, owner));
}

/* The same, and the parent has released the lock already. */
static bool was_parents(PyObject *self)
{
    fk_handle *h = (fk_handle *)self;
    return h->data && fk_handle_inherited(h) && !fk_lock_owner(&user(h)->lock);
}

static bool has_raised(PyObject *const *args, Py_ssize_t nargs)
{
    return nargs > 0 && args[0] != Py_None;
}

static PyObject *Lock_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    bool raised = has_raised(args, nargs); /* what says more than that it was free already */
    if (is_anothers(self, raised) || (raised && was_parents(self)))
        Py_RETURN_NONE;
    return Lock_release(self, NULL);
}

static PyObject *Lock_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Lock_acquire(self, NULL, 0, NULL);
}

static PyObject *Lock_recover(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_user_lock *l = fk_handle_data((fk_handle *)self);
    if (!l)
        return NULL;
    bool taken = fk_lock_take_over(&fk_family, &l->lock) == FK_OK;
    if (taken)
        say_where(l);
    return PyBool_FromLong(taken);
}

static PyObject *owner(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_handle *h = (fk_handle *)self;
    return fk_handle_data(h) ? PyLong_FromUnsignedLong(fk_lock_owner(&user(h)->lock)) : NULL;
}

static PyObject *taken(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_user_lock *l = fk_handle_data((fk_handle *)self);
    return l ? fk_place_text(&fk_family, atomic_load(&l->place)) : NULL;
}

static PyObject *locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_handle *h = (fk_handle *)self;
    return fk_handle_data(h) ? PyBool_FromLong(fk_lock_owner(&user(h)->lock) != 0) : NULL;
}

static PyObject *RLock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames)
{
    fk_handle *h = (fk_handle *)self;
    fk_rlock *l = fk_handle_data(h);
    if (!l)
        return NULL;
    fk_wait w = {.deadline_ns = 0};
    if (FK_LIKELY(nargs == 0 && !kwnames && fk_rlock_acquire(&fk_family, l, &w) == FK_OK)) {
        if (atomic_load_explicit(&l->count, memory_order_relaxed) == 1)
            say_where(&l->user);
        Py_RETURN_TRUE;
    }
    if (fk_parse_wait(args, nargs, kwnames, 0, &w) < 0)
        return NULL;
    return acquire(h, rlock_acquire, FK_OP_RLOCK, &w);
}

static PyObject *RLock_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_rlock *l = fk_handle_data((fk_handle *)self);
    if (!l)
        return NULL;
    if (fk_rlock_release(&fk_family, l) != FK_OK) {
        PyErr_SetString(PyExc_AssertionError,
                        "attempt to release recursive lock not owned by thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *RLock_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    fk_rlock *l = ((fk_handle *)self)->data;
    if (FK_LIKELY(l && fk_rlock_release(&fk_family, l) == FK_OK))
        Py_RETURN_NONE;
    if (is_anothers(self, has_raised(args, nargs)) || was_parents(self))
        Py_RETURN_NONE;
    return RLock_release(self, NULL);
}

static PyObject *RLock_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return RLock_acquire(self, NULL, 0, NULL);
}

PyObject *fk_lock_enter(PyObject *lock, uint32_t kind)
{
    return kind == FK_KIND_RLOCK ? RLock_enter(lock, NULL) : Lock_enter(lock, NULL);
}

PyObject *fk_lock_exit(PyObject *lock, uint32_t kind, PyObject *const *args, Py_ssize_t nargs)
{
    return kind == FK_KIND_RLOCK ? RLock_exit(lock, args, nargs) : Lock_exit(lock, args, nargs);
}

static PyObject *RLock_recover(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_rlock *l = fk_handle_data((fk_handle *)self);
    if (!l)
        return NULL;
    bool taken = fk_rlock_take_over(&fk_family, l) == FK_OK;
    if (taken)
        say_where(&l->user);
    return PyBool_FromLong(taken);
}

/* (is this thread the owner, how often it holds it) */
static PyObject *RLock_mine(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_rlock *l = fk_handle_data((fk_handle *)self);
    if (!l)
        return NULL;
    bool mine = fk_rlock_is_mine(&fk_family, l);
    return Py_BuildValue("NI", PyBool_FromLong(mine), mine ? (unsigned)atomic_load(&l->count) : 0u);
}

/* What it means to others than the owner is a matter of the moment. */
static PyObject *RLock_depth(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_rlock *l = fk_handle_data((fk_handle *)self);
    return l ? PyLong_FromUnsignedLong(atomic_load(&l->count)) : NULL;
}

static PyObject *Lock_depth(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_user_lock *l = fk_handle_data((fk_handle *)self);
    return l ? PyLong_FromLong(fk_lock_owner(&l->lock) != 0) : NULL;
}

static PyObject *Lock_create(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (fk_handle_create((fk_handle *)self, sizeof(fk_user_lock), FK_KIND_LOCK) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *RLock_create(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (fk_handle_create((fk_handle *)self, sizeof(fk_rlock), FK_KIND_RLOCK) < 0)
        return NULL;
    Py_RETURN_NONE;
}

#define ACQUIRE_DOC                                                                                \
    "acquire($self, /, block=True, timeout=None)\n--\n\nTake the lock; wait for it unless block "  \
    "is false, at "                                                                                \
    "most timeout seconds.\n\nReturns:\n    True: held. False: not, in that time.\n\nRaises:\n"    \
    "    LockOwnerDied: the process that holds it is gone; see recover()."
#define RECOVER_DOC                                                                                \
    "recover($self, /)\n--\n\nTake the lock over from an owner that died. Check what it guards, "  \
    "then "                                                                                        \
    "release() it.\n\nReturns:\n    True: the caller holds it now. False: its owner lives, or it " \
    "is free (somebody\n    else recovered it first): acquire() it."

static PyMethodDef lock_methods[] = {
    FK_METHOD("acquire", Lock_acquire, ACQUIRE_DOC),
    {"release", Lock_release, METH_NOARGS,
     "release($self, /)\n--\n\nFree the lock; any process may."},
    {"recover", Lock_recover, METH_NOARGS, RECOVER_DOC},
    {"locked", locked, METH_NOARGS,
     "locked($self, /)\n--\n\nReturn whether somebody holds the lock."},
    {"_owner", owner, METH_NOARGS, "_owner($self, /)\n--\n\nReturn the owner word; 0: free."},
    {"_taken", taken, METH_NOARGS,
     "_taken($self, /)\n--\n\nReturn where the owner has taken the lock, or None."},
    {"_depth", Lock_depth, METH_NOARGS, "_depth($self, /)\n--\n\nReturn how often it is held."},
    {"_create", Lock_create, METH_NOARGS, "_create($self, /)\n--\n\nMake a new shared lock."},
    {"__enter__", Lock_enter, METH_NOARGS, FK_ENTER_DOC},
    {"__exit__", (PyCFunction)(void (*)(void))Lock_exit, METH_FASTCALL, FK_EXIT_DOC},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    FK_METHOD("acquire", RLock_acquire, ACQUIRE_DOC),
    {"release", RLock_release, METH_NOARGS,
     "release($self, /)\n--\n\nFree the lock once; only its owner may."},
    {"recover", RLock_recover, METH_NOARGS, RECOVER_DOC},
    {"locked", locked, METH_NOARGS,
     "locked($self, /)\n--\n\nReturn whether somebody holds the lock."},
    {"_owner", owner, METH_NOARGS, "_owner($self, /)\n--\n\nReturn the owner word; 0: free."},
    {"_taken", taken, METH_NOARGS,
     "_taken($self, /)\n--\n\nReturn where the owner has taken the lock, or None."},
    {"_mine", RLock_mine, METH_NOARGS,
     "_mine($self, /)\n--\n\nReturn (held by this thread, how often)."},
    {"_depth", RLock_depth, METH_NOARGS, "_depth($self, /)\n--\n\nReturn how often it is held."},
    {"_create", RLock_create, METH_NOARGS, "_create($self, /)\n--\n\nMake a new shared lock."},
    {"__enter__", RLock_enter, METH_NOARGS, FK_ENTER_DOC},
    {"__exit__", (PyCFunction)(void (*)(void))RLock_exit, METH_FASTCALL, FK_EXIT_DOC},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, lock_methods},
    {Py_tp_doc, "A lock in shared memory that knows its owner."},
    {0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, rlock_methods},
    {Py_tp_doc, "A re-entrant lock in shared memory."},
    {0, NULL},
};

PyType_Spec fk_lock_spec = {.name = "forkful._native.Lock",
                            .basicsize = sizeof(fk_handle),
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                            .slots = lock_slots};
PyType_Spec fk_rlock_spec = {.name = "forkful._native.RLock",
                             .basicsize = sizeof(fk_handle),
                             .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             .slots = rlock_slots};
