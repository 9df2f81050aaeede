/* A handle of an object that was packed into a block once (block_type.c), and is made from there by each process
 * that wants it, as often as it does. Nothing is written to the block once there is a handle. */
#include "bind.h"

static PyObject *Packed_create(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    if (!PyTuple_Check(args) || PyTuple_GET_SIZE(args) != 3 ||
        !PyBytes_CheckExact(PyTuple_GET_ITEM(args, 0)) ||
        !PyList_CheckExact(PyTuple_GET_ITEM(args, 1)) ||
        !PyList_CheckExact(PyTuple_GET_ITEM(args, 2))) {
        PyErr_SetString(PyExc_TypeError, "bytes, a list of buffers and a list of handles expected");
        return NULL;
    }
    if (h->data) {
        PyErr_SetString(PyExc_ValueError, "the handle has a shared object already");
        return NULL;
    }
    uint64_t off;
    uint32_t hold;
    if (fk_need_family() < 0 || fk_block_pack(PyTuple_GET_ITEM(args, 0), args, &off, &hold) < 0)
        return NULL;
    h->off = off;
    h->hold = hold;
    h->tag = atomic_load(&fk_block_at(&fk_family, off)->tag);
    h->data = fk_block_data(&fk_family, off);
    Py_RETURN_NONE;
}

static PyObject *Packed_load(PyObject *self, PyObject *arg)
{
    fk_handle *h = (fk_handle *)self;
    int shared = PyObject_IsTrue(arg);
    if (shared < 0 || !fk_handle_data(h))
        return NULL;
    /* of its own: what is made may live longer than this handle */
    uint32_t hold;
    fk_block_ref(&fk_family, h->off, FK_REF_HOLD);
    fk_status st = fk_hold_new(&fk_family, h->off, &hold);
    if (st != FK_OK) {
        fk_block_unref(&fk_family, h->off, FK_REF_HOLD);
        return fk_raise(st, "opening a shared object");
    }
    return fk_block_unpack(hold, shared);
}

static PyMethodDef methods[] = {
    {"_create", Packed_create, METH_VARARGS,
     "_create($self, data, buffers, handles, /)\n--\n\nStore a pickle, the buffers that it leaves "
     "out, and a hold of each handle in it."},
    {"_load", Packed_load, METH_O,
     "_load($self, shared, /)\n--\n\nMake the object. Its large buffers are the process's own "
     "(writable, and copied page by\npage as they are written to), or if `shared` the memory that "
     "all see, and read-only."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "An object in shared memory, written once."},
    {0, NULL},
};

PyType_Spec fk_packed_spec = {.name = "forkful._native.Packed",
                              .basicsize = sizeof(fk_handle),
                              .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                              .slots = slots};
