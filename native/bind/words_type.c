#include "bind.h"

typedef struct fk_words {
    uint64_t n;
    _Atomic uint64_t word[];
} fk_words;

static _Atomic uint64_t *at(PyObject *self, Py_ssize_t i)
{
    fk_words *w = fk_handle_data((fk_handle *)self);
    if (!w)
        return NULL;
    if (i < 0 || (uint64_t)i >= w->n) {
        PyErr_SetString(PyExc_IndexError, "no such word");
        return NULL;
    }
    return &w->word[i];
}

static PyObject *Words_load(PyObject *self, PyObject *index)
{
    Py_ssize_t i = PyLong_AsSsize_t(index);
    if (i == -1 && PyErr_Occurred())
        return NULL;
    _Atomic uint64_t *w = at(self, i);
    return w ? PyLong_FromUnsignedLongLong(atomic_load(w)) : NULL;
}

/* (index, value), both unsigned */
static _Atomic uint64_t *parse(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               uint64_t *value)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "(index, value) expected");
        return NULL;
    }
    Py_ssize_t i = PyLong_AsSsize_t(args[0]);
    if (i == -1 && PyErr_Occurred())
        return NULL;
    *value = PyLong_AsUnsignedLongLongMask(args[1]);
    if (*value == UINT64_MAX && PyErr_Occurred())
        return NULL;
    return at(self, i);
}

static PyObject *Words_store(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    uint64_t value;
    _Atomic uint64_t *w = parse(self, args, nargs, &value);
    if (!w)
        return NULL;
    atomic_store(w, value);
    Py_RETURN_NONE;
}

static PyObject *Words_stamp(PyObject *self, PyObject *index)
{
    Py_ssize_t i = PyLong_AsSsize_t(index);
    if (i == -1 && PyErr_Occurred())
        return NULL;
    _Atomic uint64_t *w = at(self, i);
    if (!w)
        return NULL;
    atomic_store(w, fk_now_ns());
    Py_RETURN_NONE;
}

static PyObject *Words_add(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    uint64_t value;
    _Atomic uint64_t *w = parse(self, args, nargs, &value);
    return w ? PyLong_FromUnsignedLongLong(atomic_fetch_add(w, value) + value) : NULL;
}

static PyObject *Words_create(PyObject *self, PyObject *arg)
{
    Py_ssize_t n = PyLong_AsSsize_t(arg);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (n < 1 || n > 1000000) {
        PyErr_SetString(PyExc_ValueError, "1 to 1000000 words");
        return NULL;
    }
    uint64_t size = sizeof(fk_words) + (uint64_t)n * sizeof(uint64_t);
    if (fk_handle_create((fk_handle *)self, size, FK_KIND_WORDS) < 0)
        return NULL;
    ((fk_words *)((fk_handle *)self)->data)->n = (uint64_t)n;
    Py_RETURN_NONE;
}

/* For queue_type.c: the address of one word, or NULL with an exception. */
_Atomic uint64_t *fk_words_at(PyObject *self, Py_ssize_t i) { return at(self, i); }

static PyMethodDef methods[] = {
    {"load", Words_load, METH_O, "load($self, i, /)\n--\n\nReturn word i."},
    {"store", (PyCFunction)(void (*)(void))Words_store, METH_FASTCALL,
     "store($self, i, value, /)\n--\n\nSet word i."},
    {"stamp", Words_stamp, METH_O,
     "stamp($self, i, /)\n--\n\nSet word i to the time: monotonic, in nanoseconds."},
    {"add", (PyCFunction)(void (*)(void))Words_add, METH_FASTCALL,
     "add($self, i, value, /)\n--\n\nAdd to word i at once and return the sum (modulo 2**64)."},
    {"_create", Words_create, METH_O, "_create($self, n, /)\n--\n\nMake n shared words, all 0."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "An array of unsigned 64-bit words in shared memory, each read and changed at "
                "once."},
    {0, NULL},
};

PyType_Spec fk_words_spec = {.name = "forkful._native.Words",
                             .basicsize = sizeof(fk_handle),
                             .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             .slots = slots};
