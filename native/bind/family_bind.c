/* The family's functions: joining, children, statistics. */
#include "bind.h"

fk_arena fk_family;

static _Thread_local fk_owner tls_last_child;

static PyObject *found(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (fk_need_family() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *identity(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (!fk_family.base)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((char *)fk_head(&fk_family)->id, 16);
}

static PyObject *fd(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (fk_need_family() < 0)
        return NULL;
    if (!fk_arena_fd_is_good(&fk_family)) {
        PyErr_SetString(PyExc_OSError, "the descriptor of forkful's shared memory was closed by "
                                       "this program: it cannot start processes by spawn or "
                                       "forkserver any more");
        return NULL;
    }
    return PyLong_FromLong(fk_family.fd);
}

static PyObject *join(PyObject *m, PyObject *args)
{
    (void)m;
    int fd;
    unsigned int me;
    if (!PyArg_ParseTuple(args, "iI", &fd, &me))
        return NULL;
    if (fk_family.base) {
        PyErr_SetString(PyExc_RuntimeError, "this process belongs to a forkful family already");
        return NULL;
    }
    fk_status st = fk_family_join(&fk_family, fd, me);
    if (st != FK_OK)
        return fk_raise(st, "joining the family");
    Py_RETURN_NONE;
}

static PyObject *me(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    return PyLong_FromUnsignedLong(fk_family.me);
}

static PyObject *reserve(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (fk_need_family() < 0)
        return NULL;
    fk_owner child;
    fk_status st = fk_slot_reserve(&fk_family, &child);
    return st == FK_OK ? PyLong_FromUnsignedLong(child) : fk_raise(st, "starting a process");
}

static PyObject *set_pid(PyObject *m, PyObject *args)
{
    (void)m;
    unsigned int child, pid;
    if (!PyArg_ParseTuple(args, "II", &child, &pid))
        return NULL;
    fk_slot_set_pid(&fk_family, child, pid);
    Py_RETURN_NONE;
}

static PyObject *set_name(PyObject *m, PyObject *arg)
{
    (void)m;
    const char *name = PyUnicode_AsUTF8(arg);
    if (!name) { /* not to be written down: lone surrogates */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return NULL;
        PyErr_Clear();
        name = "?";
    }
    if (fk_family.base)
        fk_slot_set_name(&fk_family, name);
    Py_RETURN_NONE;
}

static PyObject *settle(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    fk_slot_settle(&fk_family);
    Py_RETURN_NONE;
}

static PyObject *set_serves(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    fk_slot_set_serves(&fk_family);
    Py_RETURN_NONE;
}

/* One argument: an owner word. */
static int owner_arg(PyObject *arg, fk_owner *owner)
{
    unsigned long v = PyLong_AsUnsignedLong(arg);
    if (v == (unsigned long)-1 && PyErr_Occurred())
        return -1;
    *owner = (fk_owner)v;
    return 0;
}

static PyObject *alive(PyObject *m, PyObject *arg)
{
    (void)m;
    fk_owner o;
    if (owner_arg(arg, &o) < 0)
        return NULL;
    return PyBool_FromLong(fk_family.base && fk_slot_alive(&fk_family, o));
}

static PyObject *abandon(PyObject *m, PyObject *arg)
{
    (void)m;
    fk_owner o;
    if (owner_arg(arg, &o) < 0)
        return NULL;
    if (fk_family.base)
        fk_family_abandon(&fk_family, o);
    Py_RETURN_NONE;
}

static PyObject *reap(PyObject *m, PyObject *arg)
{
    (void)m;
    fk_owner o;
    if (owner_arg(arg, &o) < 0)
        return NULL;
    return PyBool_FromLong(fk_family.base && fk_reap(&fk_family, o));
}

static PyObject *describe(PyObject *m, PyObject *arg)
{
    (void)m;
    fk_owner o;
    uint32_t pid;
    char name[64];
    if (owner_arg(arg, &o) < 0)
        return NULL;
    if (!fk_family.base || !fk_slot_describe(&fk_family, o, &pid, name))
        Py_RETURN_NONE;
    return Py_BuildValue("Is", pid, name);
}

static PyObject *find(PyObject *m, PyObject *arg)
{
    (void)m;
    unsigned long pid = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred())
        return NULL;
    return PyLong_FromUnsignedLong(fk_family.base ? fk_slot_find(&fk_family, (uint32_t)pid) : 0);
}

static PyObject *before_fork(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (fk_family.base)
        fk_family_before_fork(&fk_family);
    Py_RETURN_NONE;
}

static PyObject *after_fork_parent(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    tls_last_child = fk_family.base ? fk_family_after_fork_parent(&fk_family) : 0;
    fk_tied();
    Py_RETURN_NONE;
}

static PyObject *after_fork_child(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (fk_family.base)
        fk_family_after_fork_child(&fk_family);
    fk_cut_ties();
    fk_renew_files();
    fk_lastwords_after_fork();
    fk_sigterm_after_fork();
    fk_disown_after_fork();
    Py_RETURN_NONE;
}

static PyObject *last_child(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    fk_owner child = tls_last_child;
    tls_last_child = 0;
    return PyLong_FromUnsignedLong(child);
}

static PyObject *statistics(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (!fk_family.base)
        return PyDict_New();
    fk_header *h = fk_head(&fk_family);
    uint32_t live = 0;
    for (uint32_t i = 0; i < atomic_load(&h->slot_high); i++)
        live += atomic_load(&fk_slot_at(&fk_family, i)->state) != FK_SLOT_FREE;
    return Py_BuildValue("{s:K,s:K,s:I,s:I}", "reserve", (unsigned long long)fk_family.reserve,
                         "used", (unsigned long long)atomic_load(&h->heap_used), "slots", live,
                         "reaped", (unsigned int)atomic_load(&h->reaped));
}

static PyObject *reap_all(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    return PyLong_FromUnsignedLong(fk_family.base ? fk_reap_all(&fk_family) : 0);
}

PyMethodDef fk_family_methods[] = {
    {"found", found, METH_NOARGS,
     "found($module, /)\n--\n\nMake this process a family's root if it is in none."},
    {"identity", identity, METH_NOARGS,
     "identity($module, /)\n--\n\nReturn the family's 16 bytes, or None."},
    {"fd", fd, METH_NOARGS,
     "fd($module, /)\n--\n\nReturn the descriptor of the family's shared memory."},
    {"join", join, METH_VARARGS,
     "join($module, fd, owner, /)\n--\n\nJoin a family; owner is the slot that the parent "
     "reserved, or 0."},
    {"me", me, METH_NOARGS,
     "me($module, /)\n--\n\nReturn this process's owner word; 0: in no family."},
    {"reserve", reserve, METH_NOARGS,
     "reserve($module, /)\n--\n\nReserve a slot for a child that will join() with it; return its "
     "owner word."},
    {"set_pid", set_pid, METH_VARARGS,
     "set_pid($module, owner, pid, /)\n--\n\nTell which pid a child got."},
    {"set_name", set_name, METH_O,
     "set_name($module, name, /)\n--\n\nName this process for the others."},
    {"settle", settle, METH_NOARGS,
     "settle($module, /)\n--\n\nSay that this process has unpickled all that it was started with."},
    {"set_serves", set_serves, METH_NOARGS,
     "set_serves($module, /)\n--\n\nSay that this process is a fork server: by itself it does "
     "nothing."},
    {"alive", alive, METH_O,
     "alive($module, owner, /)\n--\n\nReturn whether that process lives; a zombie does not."},
    {"find", find, METH_O,
     "find($module, pid, /)\n--\n\nReturn the owner word of the living member of that pid; 0: "
     "there "
     "is none."},
    {"abandon", abandon, METH_O,
     "abandon($module, owner, /)\n--\n\nGive back a slot whose child never started."},
    {"reap", reap, METH_O,
     "reap($module, owner, /)\n--\n\nGive back what that process held, if it is dead."},
    {"reap_all", reap_all, METH_NOARGS,
     "reap_all($module, /)\n--\n\nReap all dead processes; return how many."},
    {"describe", describe, METH_O,
     "describe($module, owner, /)\n--\n\nReturn (pid, name), or None if unknown."},
    {"before_fork", before_fork, METH_NOARGS,
     "before_fork($module, /)\n--\n\nFor os.register_at_fork."},
    {"after_fork_parent", after_fork_parent, METH_NOARGS,
     "after_fork_parent($module, /)\n--\n\nFor os.register_at_fork."},
    {"after_fork_child", after_fork_child, METH_NOARGS,
     "after_fork_child($module, /)\n--\n\nFor os.register_at_fork."},
    {"last_child", last_child, METH_NOARGS,
     "last_child($module, /)\n--\n\nReturn the owner word of the child that this thread forked "
     "last, once."},
    {"statistics", statistics, METH_NOARGS,
     "statistics($module, /)\n--\n\nReturn the family's reserve and used bytes, slots in use, "
     "processes reaped."},
    {NULL, NULL, 0, NULL},
};
