#include "bind.h"

typedef struct call {
    fk_event *event;
    uint32_t epoch;
} call;

static fk_status event_wait(void *arg, fk_wait *w)
{
    call *c = arg;
    w->grows = true;
    return fk_event_wait(c->event, &c->epoch, w);
}

static PyObject *Event_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    fk_handle *h = (fk_handle *)self;
    call c = {.event = fk_handle_data(h)};
    PyObject *timeout = nargs ? args[0] : Py_None;
    if (!c.event)
        return NULL;
    if (nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) > 1) {
        PyErr_SetString(PyExc_TypeError, "wait() takes at most one argument: timeout");
        return NULL;
    }
    if (kwnames && PyTuple_GET_SIZE(kwnames)) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "timeout") != 0) {
            PyErr_SetString(PyExc_TypeError, "wait() takes one argument: timeout");
            return NULL;
        }
        timeout = args[0];
    }
    fk_wait w;
    if (fk_parse_timeout(timeout, &w) < 0)
        return NULL;
    fk_status st;
    if (fk_blocking(event_wait, &c, &w, FK_OP_EVENT, h->off, &st) < 0)
        return NULL;
    if (st == FK_OK)
        Py_RETURN_TRUE;
    if (st == FK_AGAIN || st == FK_TIMEOUT)
        Py_RETURN_FALSE;
    return fk_raise(st, "waiting for an event");
}

static PyObject *Event_stand(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    call c = {.event = fk_handle_data(h)};
    PyObject *timeout;
    unsigned int op;
    int standing;
    fk_wait w;
    fk_status st;
    if (!c.event || !PyArg_ParseTuple(args, "OIi", &timeout, &op, &standing) ||
        fk_parse_timeout(timeout, &w) < 0 ||
        fk_blocking_on(event_wait, &c, &w, op, h->off, &st, standing) < 0)
        return NULL;
    if (st != FK_OK && st != FK_AGAIN && st != FK_TIMEOUT)
        return fk_raise(st, "waiting for an event");
    return PyBool_FromLong(st == FK_OK);
}

static PyObject *Event_set(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_event *e = fk_handle_data((fk_handle *)self);
    if (!e)
        return NULL;
    fk_event_set(e);
    Py_RETURN_NONE;
}

static PyObject *Event_clear(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_event *e = fk_handle_data((fk_handle *)self);
    if (!e)
        return NULL;
    fk_event_clear(e);
    Py_RETURN_NONE;
}

static PyObject *Event_is_set(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_event *e = fk_handle_data((fk_handle *)self);
    return e ? PyBool_FromLong(fk_event_is_set(e)) : NULL;
}

static PyObject *Event_times_set(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_event *e = fk_handle_data((fk_handle *)self);
    return e ? PyLong_FromUnsignedLong(fk_event_epoch(e)) : NULL;
}

static PyObject *Event_create(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (fk_handle_create((fk_handle *)self, sizeof(fk_event), FK_KIND_EVENT) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    FK_METHOD("wait", Event_wait,
              "wait($self, /, timeout=None)\n--\n\nWait until the event is set, at most timeout "
              "seconds.\n\n"
              "Returns:\n    True: it was set (even if it has been cleared again since). False: "
              "not in that time."),
    {"_stand", Event_stand, METH_VARARGS,
     "_stand($self, timeout, op, standing, /)\n--\n\nThe same as wait; op and standing say what "
     "the "
     "wait is on the board."},
    {"set", Event_set, METH_NOARGS,
     "set($self, /)\n--\n\nSet the event; wake all that wait for it."},
    {"clear", Event_clear, METH_NOARGS, "clear($self, /)\n--\n\nUnset the event."},
    {"is_set", Event_is_set, METH_NOARGS,
     "is_set($self, /)\n--\n\nReturn whether the event is set."},
    {"_times_set", Event_times_set, METH_NOARGS,
     "_times_set($self, /)\n--\n\nReturn how often it was set, modulo 2**30."},
    {"_create", Event_create, METH_NOARGS, "_create($self, /)\n--\n\nMake a new shared event."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A flag in shared memory that processes wait for."},
    {0, NULL},
};

PyType_Spec fk_event_spec = {.name = "forkful._native.Event",
                             .basicsize = sizeof(fk_handle),
                             .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             .slots = slots};
