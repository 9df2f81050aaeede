#include "bind.h"

PyObject *fk_raise(fk_status st, const char *doing)
{
    switch (st) {
    case FK_SHUTDOWN:
        PyErr_SetNone(fk_hooks.shut_down);
        return NULL;
    case FK_NOMEM:
        PyErr_Format(PyExc_MemoryError, "%s: the family's shared memory has no room left", doing);
        return NULL;
    case FK_STALE:
        PyErr_Format(PyExc_LookupError,
                     "%s: the shared object is gone: no process holds it any more (keep it in a "
                     "variable at least until the receiver has it)",
                     doing);
        return NULL;
    case FK_CORRUPT:
        PyErr_Format(PyExc_RuntimeError, "%s: shared memory holds what forkful never writes there",
                     doing);
        return NULL;
    case FK_SYS:
        return PyErr_SetFromErrno(PyExc_OSError);
    default:
        PyErr_Format(PyExc_RuntimeError, "%s: unexpected status %d", doing, (int)st);
        return NULL;
    }
}

PyObject *fk_raise_owner_died(fk_handle *h, fk_owner owner, uint32_t place)
{
    uint32_t pid = 0;
    char name[64] = "";
    fk_slot_describe(&fk_family, owner, &pid, name);
    PyObject *where = fk_place_text(&fk_family, place);
    PyObject *e =
        where ? PyObject_CallFunction(fk_hooks.owner_died, "OIsN", (PyObject *)h, pid, name, where)
              : NULL;
    if (e) {
        PyErr_SetObject((PyObject *)Py_TYPE(e), e);
        Py_DECREF(e);
    }
    return NULL;
}

int fk_need_family(void)
{
    if (fk_family.base)
        return 0;
    fk_status st = fk_family_found(&fk_family);
    if (st == FK_OK)
        return 0;
    fk_raise(st, "making the family's shared memory");
    return -1;
}

void fk_raise_of_queue(const char *name)
{
    static PyObject *module;
    if (!module && !(module = PyImport_ImportModule("queue")))
        return;
    PyObject *kind = PyObject_GetAttrString(module, name);
    if (kind)
        PyErr_SetNone(kind);
    Py_XDECREF(kind);
}
