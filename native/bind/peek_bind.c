/* A look at the arena of another family, which stays as it is. */
#include "bind.h"
#include "queue.h"

#include <sys/syscall.h>
#include <unistd.h>

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* (owner, pid, parent, name, running, serves, alive, space), or None: the slot is free. */
static PyObject *member(const fk_arena *a, uint32_t index)
{
    fk_slot *s = fk_slot_at(a, index);
    fk_owner owner = fk_owner_word(index, atomic_load(&s->generation));
    uint32_t state = atomic_load(&s->state), pid = 0;
    char name[64] = "";
    bool alive = fk_slot_alive(a, owner);
    if ((state != FK_SLOT_RESERVED && state != FK_SLOT_RUNNING) ||
        !fk_slot_describe(a, owner, &pid, name) || fk_slot_of(a, owner) != s)
        Py_RETURN_NONE;
    PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
    return text ? Py_BuildValue("(IIINNNNK)", owner, pid, atomic_load(&s->parent), text,
                                PyBool_FromLong(state == FK_SLOT_RUNNING),
                                PyBool_FromLong(atomic_load(&s->flags) & FK_SLOT_SERVES),
                                PyBool_FromLong(alive),
                                (unsigned long long)atomic_load(&s->pid_space))
                : NULL;
}

/* How full the queue is that an entry waits for, and its bound; -1: it waits for none. */
static void queue_of(const fk_arena *a, const fk_seen *s, long long *size, long long *bound)
{
    *size = *bound = -1;
    if (s->op == FK_OP_PROCESS || fk_op_is_for_a_pipe(s->op))
        return;
    fk_block *b = fk_block_at(a, s->object);
    fk_queue *q = b ? fk_at(a, s->object + FK_BLOCK_HEAD, sizeof *q) : NULL;
    if (!q || b->kind != FK_KIND_QUEUE || atomic_load(&b->tag) == 0)
        return;
    bool joins = s->op == FK_OP_QUEUE_JOIN;
    *size = (long long)(joins ? fk_queue_unfinished(q) : fk_queue_size(q));
    *bound = (long long)q->maxsize;
}

/* (owner, tid, number, since_ns, deadline_ns, operation, object, file, line, blocked, holder, taken,
 * size, bound), or None: nobody waits here. */
static PyObject *wait_of(const fk_arena *a, uint32_t index)
{
    fk_seen s;
    if (!fk_board_see(a, index, &s) || s.op >= FK_OPS)
        Py_RETURN_NONE;
    uint64_t object = s.object;
    if (s.op == FK_OP_PROCESS)
        object = fk_board_joined(a, &s);
    else if (!fk_op_is_for_a_pipe(s.op) && s.object % FK_CACHE_LINE != 0)
        object = s.object = 0; /* where no block is */
    long long size, bound;
    queue_of(a, &s, &size, &bound);
    uint32_t place;
    fk_owner holder = fk_holder_of(a, &s, &place);
    PyObject *file = PyUnicode_DecodeUTF8(s.file, (Py_ssize_t)strlen(s.file), "replace");
    return file ? Py_BuildValue("(IIIKKsKNININLL)", s.owner, s.tid, s.waits,
                                (unsigned long long)s.since_ns, (unsigned long long)s.deadline_ns,
                                fk_op_name(s.op), (unsigned long long)object, file, s.line,
                                PyBool_FromLong(fk_still_blocks(a, &s)), holder,
                                fk_place_text(a, place), size, bound)
                : NULL;
}

/* The rows that are not None. */
static PyObject *rows(const fk_arena *a, PyObject *(*row_at)(const fk_arena *, uint32_t),
                      uint32_t n)
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < n; i++) {
        PyObject *row = row_at(a, i);
        if (!row || (row != Py_None && PyList_Append(list, row) < 0))
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

static PyObject *peek(PyObject *m, PyObject *arg)
{
    (void)m;
    int fd = (int)PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    fk_arena a;
    fk_status st = fk_arena_peek(&a, fd);
    if (st != FK_OK)
        return fk_raise(st, "looking at a family's shared memory");
    fk_slot_peek(&a);
    const fk_header *h = fk_head(&a);
    PyObject *waits = rows(&a, wait_of, least(atomic_load(&h->board_high), FK_MAX_PARKED));
    PyObject *members =
        waits ? rows(&a, member, least(atomic_load(&h->slot_high), FK_MAX_SLOTS)) : NULL;
    PyObject *id = PyBytes_FromStringAndSize((const char *)h->id, sizeof h->id);
    fk_arena_unmap(&a);
    if (id && members)
        return Py_BuildValue("(NNN)", id, members, waits);
    Py_XDECREF(id);
    Py_XDECREF(members);
    Py_XDECREF(waits);
    return NULL;
}

static PyObject *signal_thread(PyObject *m, PyObject *args)
{
    (void)m;
    int pid, tid, signal;
    if (!PyArg_ParseTuple(args, "iii", &pid, &tid, &signal))
        return NULL;
    if (syscall(SYS_tgkill, pid, tid, signal) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyMethodDef fk_peek_methods[] = {
    {"signal_thread", signal_thread, METH_VARARGS,
     "signal_thread($module, pid, tid, signal, /)\n--\n\nSend a signal to one thread of a "
     "process."},
    {"peek", peek, METH_O,
     "peek($module, fd, /)\n--\n\nLook at the arena of any family without joining or changing it: "
     "(identity,\n[(owner, pid, parent, name, running, serves, alive, pid_space), ...],\n[(owner, "
     "tid, number, since_ns, deadline_ns, operation, object, file, line, blocked, holder, "
     "taken, size, bound), ...]).\nRaises RuntimeError: not an arena of this version of forkful."},
    {NULL, NULL, 0, NULL},
};
