/* Bytes that all processes of the family see and change, for ctypes and the like. Nothing guards them. */
#include "bind.h"

static int Memory_buffer(PyObject *self, Py_buffer *view, int flags)
{
    fk_handle *h = (fk_handle *)self;
    fk_memory *m = fk_handle_data(h);
    view->obj = NULL;
    if (!m)
        return -1;
    if (m->size > fk_block_at(&fk_family, h->off)->size - sizeof *m) {
        fk_raise(FK_CORRUPT, "opening shared memory");
        return -1;
    }
    return PyBuffer_FillInfo(view, self, m->bytes, (Py_ssize_t)m->size, 0, flags);
}

static PyObject *Memory_create(PyObject *self, PyObject *arg)
{
    Py_ssize_t size = PyLong_AsSsize_t(arg);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "a size must not be negative");
        return NULL;
    }
    fk_handle *h = (fk_handle *)self;
    if (fk_handle_create(h, sizeof(fk_memory) + (uint64_t)size, FK_KIND_MEMORY) < 0)
        return NULL;
    ((fk_memory *)h->data)->size = (uint64_t)size;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_create", Memory_create, METH_O,
     "_create($self, size, /)\n--\n\nMake so many shared bytes, all 0."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_bf_getbuffer, Memory_buffer},
    {Py_tp_doc, "Bytes in shared memory, offered as a writable buffer."},
    {0, NULL},
};

PyType_Spec fk_memory_spec = {.name = "forkful._native.Memory",
                              .basicsize = sizeof(fk_handle),
                              .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                              .slots = slots};
