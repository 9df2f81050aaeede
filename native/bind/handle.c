#include "bind.h"

#include <structmember.h>
#include <unistd.h>

PyObject *fk_handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* a subclass's __init__ has its own */
    fk_handle *h = (fk_handle *)type->tp_alloc(type, 0);
    if (h)
        h->hold = FK_NO_HOLD;
    return (PyObject *)h;
}

void fk_handle_dealloc(PyObject *self)
{
    fk_handle *h = (fk_handle *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (h->hold != FK_NO_HOLD)
        fk_hold_drop(&fk_family, h->hold);
    else if (h->stower && h->stower == getpid())
        fk_block_unref(&fk_family, h->off, FK_REF_TRANSIT);
    type->tp_free(self);
    Py_DECREF(type);
}

int fk_handle_create(fk_handle *h, uint64_t size, uint32_t kind)
{
    if (h->data) {
        PyErr_SetString(PyExc_ValueError, "the handle has a shared object already");
        return -1;
    }
    if (fk_need_family() < 0)
        return -1;
    uint64_t off;
    fk_status st = fk_block_new(&fk_family, size, kind, &off);
    if (st == FK_OK) {
        void *data = fk_block_data(&fk_family, off);
        memset(data, 0, size);
        st = fk_hold_new(&fk_family, off, &h->hold);
        if (st == FK_OK) {
            h->off = off;
            h->tag = atomic_load(&fk_block_at(&fk_family, off)->tag);
            h->data = data;
            h->maker = fk_family.me;
            return 0;
        }
        fk_block_unref(&fk_family, off, FK_REF_HOLD);
    }
    fk_raise(st, "making a shared object");
    return -1;
}

FK_COLD void fk_handle_complain(fk_handle *h)
{
    PyErr_Format(PyExc_ValueError,
                 "%s object has not been initialised (was __init__ of the base class called?)",
                 Py_TYPE(h)->tp_name);
}

static PyObject *attach(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    unsigned long long off, tag;
    unsigned int kind;
    if (!PyArg_ParseTuple(args, "KKI", &off, &tag, &kind))
        return NULL;
    if (h->data) {
        PyErr_SetString(PyExc_ValueError, "the handle has a shared object already");
        return NULL;
    }
    if (!fk_family.base)
        return fk_raise(FK_STALE, "attaching to a shared object");
    fk_status st = fk_block_arrive(&fk_family, off, tag, kind);
    if (st != FK_OK)
        return fk_raise(st, "attaching to a shared object");
    st = fk_hold_new(&fk_family, off, &h->hold);
    if (st != FK_OK) {
        fk_block_unref(&fk_family, off, FK_REF_HOLD);
        return fk_raise(st, "attaching to a shared object");
    }
    h->off = off;
    h->tag = tag;
    h->data = fk_block_data(&fk_family, off);
    h->maker = fk_family.me;
    Py_RETURN_NONE;
}

static PyObject *ident(fk_handle *h, uint32_t departed)
{
    if (!fk_handle_data(h))
        return NULL;
    return Py_BuildValue("KKI", (unsigned long long)h->off, (unsigned long long)h->tag,
                         fk_block_at(&fk_family, h->off)->kind | departed);
}

static PyObject *identity(PyObject *self, PyObject *unused)
{
    (void)unused;
    return ident((fk_handle *)self, 0);
}

static PyObject *leave(fk_handle *h, uint32_t departed)
{
    PyObject *id = ident(h, departed);
    if (id)
        atomic_store(&fk_block_at(&fk_family, h->off)->travelled, 1);
    return id;
}

static PyObject *embark(PyObject *self, PyObject *unused)
{
    (void)unused;
    return leave((fk_handle *)self, 0);
}

static PyObject *depart(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_handle *h = (fk_handle *)self;
    PyObject *id = leave(h, FK_DEPARTED);
    if (id)
        fk_block_ref(&fk_family, h->off, FK_REF_TRANSIT);
    return id;
}

static PyObject *stow(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_handle *h = (fk_handle *)self;
    if (!fk_handle_data(h))
        return NULL;
    if (h->hold != FK_NO_HOLD) {
        fk_block_ref(&fk_family, h->off, FK_REF_TRANSIT);
        fk_hold_drop(&fk_family, h->hold);
        h->hold = FK_NO_HOLD;
        h->stower = getpid();
    }
    Py_RETURN_NONE;
}

static PyObject *let_go(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_handle *h = (fk_handle *)self;
    if (h->hold != FK_NO_HOLD)
        fk_hold_drop(&fk_family, h->hold);
    h->hold = FK_NO_HOLD;
    h->data = NULL;
    Py_RETURN_NONE;
}

PyMethodDef fk_handle_methods[] = {
    {"_let_go", let_go, METH_NOARGS,
     "_let_go($self, /)\n--\n\nHold the object no longer, though the handle stays: it cannot be "
     "used."},
    {"_stow", stow, METH_NOARGS,
     "_stow($self, /)\n--\n\nKeep the object for this process alone: those that it forks from now "
     "on "
     "do not keep it alive,\nand must not use it. For what a process has many of, as each fork "
     "copies "
     "what it holds.\nIf it is killed, the object stays until the family ends."},
    {"_attach", attach, METH_VARARGS,
     "_attach($self, off, tag, kind, /)\n--\n\nBecome a handle of the shared object that another "
     "handle's "
     "_identity() or _depart() named.\n\nRaises:\n    LookupError: no process holds it any more."},
    {"_identity", identity, METH_NOARGS,
     "_identity($self, /)\n--\n\nReturn (off, tag, kind): valid while somebody holds the object."},
    {"_embark", embark, METH_NOARGS,
     "_embark($self, /)\n--\n\nLike _identity(), for bytes that are not only for a child that is "
     "being "
     "started."},
    {"_depart", depart, METH_NOARGS,
     "_depart($self, /)\n--\n\nLike _embark(), and keep the object alive until one _attach() has "
     "used it."},
    {NULL, NULL, 0, NULL},
};
