#include "container.h"

#define NOT_COMPARED UINT64_MAX /* a version that no table has */

#define PATCHED_MAX 1024 /* bytes of a value that can be patched */

static const char CHANGING[] = "changing a shared list";

/* A place as a slice says it: from the end if negative, inside in any case. */
static uint64_t place(Py_ssize_t i, uint64_t used)
{
    if (i < 0)
        i += (Py_ssize_t)used;
    return i < 0 ? 0 : (uint64_t)i > used ? used : (uint64_t)i;
}

/* The row of an index; FK_NO_ROW: out of range. */
static uint64_t row_at(const fk_table *t, Py_ssize_t i)
{
    uint64_t used = fk_table_used(&fk_family, t);
    if (i < 0)
        i += (Py_ssize_t)used;
    return i < 0 || (uint64_t)i >= used ? FK_NO_ROW : (uint64_t)i;
}

static void take_out(fk_table *t, uint64_t row, fk_status *st)
{
    if (row + 1 == fk_table_used(&fk_family, t))
        fk_table_drop_last(&fk_family, t);
    else
        *st = fk_table_splice(&fk_family, t, row, row + 1, NULL, 0);
}

/* What is at an index, also its item's tag if that is asked for; taken out with `take`. NULL: an
 * exception; `range` is the text of the one for an index that is not there. */
static PyObject *look_at(PyObject *self, Py_ssize_t i, bool take, uint64_t *tag, const char *range)
{
    fk_copy copy;
    fk_table *t = fk_enter(self);
    if (!t)
        return NULL;
    uint64_t row = row_at(t, i);
    bool empty = fk_table_used(&fk_family, t) == 0;
    const fk_item *item = row == FK_NO_ROW ? NULL : fk_table_item(&fk_family, t, row);
    fk_status st = item && fk_copy_value(item, &copy) < 0 ? FK_NOMEM : FK_OK;
    bool copied = item && st == FK_OK;
    if (copied && tag)
        *tag = fk_table_tag(&fk_family, t, row);
    if (copied && take)
        take_out(t, row, &st);
    fk_table_unlock(t);
    if (st != FK_OK) {
        if (copied)
            fk_copy_drop(&copy);
        return fk_raise(st, "reading a shared list");
    }
    if (!item) {
        PyErr_SetString(PyExc_IndexError, take && empty ? "pop from empty list" : range);
        return NULL;
    }
    return fk_copy_object(&copy);
}

/* With `same`, only if the item there has that tag. 1: set; 0: not; FK_OWN: not, as this thread itself has set it
 * meanwhile; -1: an exception. */
static int set_at(PyObject *self, Py_ssize_t i, PyObject *value, bool same, uint64_t tag)
{
    fk_value v;
    if (fk_value_begin(self, value, &v) < 0)
        return -1;
    fk_table *t = fk_enter(self);
    uint64_t row = t ? row_at(t, i) : FK_NO_ROW;
    fk_status st = FK_OK;
    uint64_t now = row != FK_NO_ROW && same ? fk_table_tag(&fk_family, t, row) : tag;
    int r = now != tag && fk_table_is_own(now) ? FK_OWN : row != FK_NO_ROW && now == tag;
    if (r == 1) {
        fk_entry e = {0};
        fk_value_entry(&v, &e);
        st = fk_table_replace(&fk_family, t, row, &e);
    }
    if (t)
        fk_table_unlock(t);
    fk_value_end(&v);
    if (!t)
        return -1;
    if (st != FK_OK) {
        fk_raise(st, CHANGING);
        return -1;
    }
    if (row == FK_NO_ROW && !same) {
        PyErr_SetString(PyExc_IndexError, "list assignment index out of range");
        return -1;
    }
    return r;
}

static int delete_at(PyObject *self, Py_ssize_t i)
{
    fk_table *t = fk_enter(self);
    if (!t)
        return -1;
    uint64_t row = row_at(t, i);
    fk_status st = FK_OK;
    if (row != FK_NO_ROW)
        take_out(t, row, &st);
    fk_table_unlock(t);
    if (row == FK_NO_ROW)
        PyErr_SetString(PyExc_IndexError, "list assignment index out of range");
    else if (st != FK_OK)
        fk_raise(st, CHANGING);
    return row != FK_NO_ROW && st == FK_OK ? 0 : -1;
}

/* ---- what Python sees ------------------------------------------------------------------------------------- */

static int index_of(PyObject *key, Py_ssize_t *i)
{
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %.200s",
                     Py_TYPE(key)->tp_name);
        return -1;
    }
    *i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    return *i == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *List_subscript(PyObject *self, PyObject *key)
{
    Py_ssize_t i;
    if (PySlice_Check(key))
        return PyObject_CallMethod(self, "_get_slice", "(O)", key);
    return index_of(key, &i) < 0 ? NULL : look_at(self, i, false, NULL, "list index out of range");
}

static int List_ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    Py_ssize_t i;
    if (PySlice_Check(key)) {
        PyObject *r = value ? PyObject_CallMethod(self, "_set_slice", "OO", key, value)
                            : PyObject_CallMethod(self, "_delete_slice", "(O)", key);
        Py_XDECREF(r);
        return r ? 0 : -1;
    }
    if (index_of(key, &i) < 0)
        return -1;
    if (!value)
        return delete_at(self, i);
    return set_at(self, i, value, false, 0) < 0 ? -1 : 0;
}

static PyObject *List_append(PyObject *self, PyObject *value)
{
    fk_value v;
    if (fk_value_begin(self, value, &v) < 0)
        return NULL;
    fk_table *t = fk_enter(self);
    fk_status st = FK_OK;
    if (t) {
        fk_entry e = {0};
        fk_value_entry(&v, &e);
        st = fk_table_append(&fk_family, t, &e);
        fk_table_unlock(t);
    }
    fk_value_end(&v);
    if (!t)
        return NULL;
    if (st != FK_OK)
        return fk_raise(st, CHANGING);
    Py_RETURN_NONE;
}

static PyObject *List_pop(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t i = -1;
    if (fk_check_nargs("pop", nargs, 0, 1) < 0)
        return NULL;
    if (nargs) {
        PyObject *index = PyNumber_Index(args[0]);
        i = index ? PyNumber_AsSsize_t(index, PyExc_IndexError) : -1;
        Py_XDECREF(index);
        if (i == -1 && PyErr_Occurred())
            return NULL;
    }
    return look_at(self, i, true, NULL, "pop index out of range");
}

static PyObject *List_clear(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_table *t = fk_enter(self);
    if (!t)
        return NULL;
    fk_status st = fk_table_clear(&fk_family, t);
    fk_table_unlock(t);
    if (st != FK_OK)
        return fk_raise(st, CHANGING);
    Py_RETURN_NONE;
}

static PyObject *List_snapshot(PyObject *self, PyObject *args)
{
    unsigned long long start = 0, stop = UINT64_MAX;
    if (!PyArg_ParseTuple(args, "|KK", &start, &stop))
        return NULL;
    return fk_snapshot(self, FK_VALUES, start, stop);
}

static PyObject *List_version(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_table *t = fk_enter(self);
    if (!t)
        return NULL;
    uint64_t version = atomic_load(&t->version), used = fk_table_used(&fk_family, t);
    fk_table_unlock(t);
    return Py_BuildValue("KK", (unsigned long long)version, (unsigned long long)used);
}

static bool is_as_seen(const fk_table *t, uint64_t version)
{
    return version == NOT_COMPARED || atomic_load(&t->version) == version;
}

/* Version and what else `format` says; None is NOT_COMPARED. */
static int parse_version(PyObject *o, uint64_t *version)
{
    *version = o == Py_None ? NOT_COMPARED : PyLong_AsUnsignedLongLong(o);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *List_splice(PyObject *self, PyObject *args)
{
    PyObject *seen, *list;
    Py_ssize_t start, stop;
    uint64_t version;
    if (!PyArg_ParseTuple(args, "OnnO!", &seen, &start, &stop, &PyList_Type, &list) ||
        parse_version(seen, &version) < 0)
        return NULL;
    Py_ssize_t n = PyList_GET_SIZE(list), got = 0;
    fk_value *v = PyMem_Calloc((size_t)n + 1, sizeof *v);
    fk_entry *e = PyMem_Calloc((size_t)n + 1, sizeof *e);
    fk_table *t = NULL;
    if (!v || !e)
        PyErr_NoMemory();
    for (; v && e && got < n && got < PyList_GET_SIZE(list); got++) {
        PyObject *o = Py_NewRef(PyList_GET_ITEM(list, got));
        int r = fk_value_begin(self, o, &v[got]);
        Py_DECREF(o);
        if (r < 0)
            break;
        fk_value_entry(&v[got], &e[got]);
    }
    fk_status st = FK_OK;
    bool same = true;
    if (v && e && got == n && (t = fk_enter(self))) {
        uint64_t used = fk_table_used(&fk_family, t);
        uint64_t from = place(start, used), to = place(stop, used);
        same = is_as_seen(t, version);
        if (same && (n || from < to))
            st = fk_table_splice(&fk_family, t, from, to < from ? from : to, e, (uint64_t)n);
        fk_table_unlock(t);
    }
    while (got-- > 0)
        fk_value_end(&v[got]);
    PyMem_Free(v);
    PyMem_Free(e);
    if (!t) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_RuntimeError, "list changed size while it was pickled");
        return NULL;
    }
    return st == FK_OK ? PyBool_FromLong(same) : fk_raise(st, CHANGING);
}

static PyObject *List_select(PyObject *self, PyObject *args)
{
    PyObject *seen, *list;
    uint64_t version;
    if (!PyArg_ParseTuple(args, "OO!", &seen, &PyList_Type, &list) ||
        parse_version(seen, &version) < 0)
        return NULL;
    Py_ssize_t n = PyList_GET_SIZE(list);
    uint64_t *order = PyMem_Calloc((size_t)n + 1, sizeof *order);
    if (!order)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n && !PyErr_Occurred(); i++)
        order[i] = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(list, i));
    fk_table *t = PyErr_Occurred() ? NULL : fk_enter(self);
    fk_status st = FK_OK;
    bool same = false;
    if (t) {
        same = is_as_seen(t, version);
        if (same)
            st = fk_table_select(&fk_family, t, order, (uint64_t)n);
        fk_table_unlock(t);
    }
    PyMem_Free(order);
    if (!t)
        return NULL;
    return st == FK_OK ? PyBool_FromLong(same) : fk_raise(st, CHANGING);
}

static PyObject *List_peek(PyObject *self, PyObject *index)
{
    Py_ssize_t i;
    uint64_t tag = 0;
    if (index_of(index, &i) < 0)
        return NULL;
    PyObject *value = look_at(self, i, false, &tag, "list index out of range");
    return value ? Py_BuildValue("KN", (unsigned long long)tag, value) : NULL;
}

static PyObject *List_swap(PyObject *self, PyObject *args)
{
    Py_ssize_t i;
    PyObject *value;
    unsigned long long tag;
    if (!PyArg_ParseTuple(args, "nKO", &i, &tag, &value))
        return NULL;
    return fk_swapped(set_at(self, i, value, true, tag));
}

static PyObject *List_patch(PyObject *self, PyObject *args)
{
    Py_ssize_t i, at;
    PyObject *start, *bytes;
    if (!PyArg_ParseTuple(args, "nSnS", &i, &start, &at, &bytes))
        return NULL;
    size_t start_size = (size_t)PyBytes_GET_SIZE(start), size = (size_t)PyBytes_GET_SIZE(bytes);
    uint8_t value[PATCHED_MAX];
    fk_table *t = fk_enter(self);
    if (!t)
        return NULL;
    uint64_t row = row_at(t, i);
    const fk_item *item = row == FK_NO_ROW ? NULL : fk_table_item(&fk_family, t, row);
    if (item && atomic_load(&item->value_block))
        item = NULL;
    size_t there = item ? item->value_size : 0;
    bool done = false;
    fk_status st = FK_OK;
    if (item && there >= start_size && there <= sizeof value && at >= 0 && (size_t)at <= there &&
        size <= there - (size_t)at) {
        memcpy(value, item->bytes + item->key_size + item->given_size, there);
        if (memcmp(value, PyBytes_AS_STRING(start), start_size) == 0) {
            memcpy(value + at, PyBytes_AS_STRING(bytes), size);
            fk_entry e = {.value = value, .value_size = (uint32_t)there};
            st = fk_table_replace(&fk_family, t, row, &e);
            done = st == FK_OK;
        }
    }
    fk_table_unlock(t);
    return st == FK_OK ? PyBool_FromLong(done) : fk_raise(st, CHANGING);
}

static PyObject *List_create(PyObject *self, PyObject *unused)
{
    (void)unused;
    return fk_container_create(self, false);
}

static PyMethodDef methods[] = {
    {"append", List_append, METH_O, "append($self, value, /)\n--\n\nAdd a value at the end."},
    {"pop", (PyCFunction)(void (*)(void))List_pop, METH_FASTCALL,
     "pop($self, index=-1, /)\n--\n\nTake the value at an index out of the list and return it.\n\n"
     "Raises:\n    IndexError: nothing is there."},
    {"clear", List_clear, METH_NOARGS, "clear($self, /)\n--\n\nTake everything out of the list."},
    {"_snapshot", List_snapshot, METH_VARARGS,
     "_snapshot($self, start=0, stop=2**64-1, /)\n--\n\nReturn (version, values) of one moment."},
    {"_version", List_version, METH_NOARGS,
     "_version($self, /)\n--\n\nReturn (version, length) of one moment."},
    {"_splice", List_splice, METH_VARARGS,
     "_splice($self, version, start, stop, values, /)\n--\n\nPut the values in the place of "
     "[start:stop], if "
     "the list still has that version, or in any case with\nNone. Return whether it was done."},
    {"_select", List_select, METH_VARARGS,
     "_select($self, version, order, /)\n--\n\nKeep the values at these indices, in this order, "
     "each once at "
     "most. Version and result as of _splice."},
    {"_peek", List_peek, METH_O,
     "_peek($self, index, /)\n--\n\nReturn (tag, value): the tag stands for this one setting of "
     "it."},
    {"_swap", List_swap, METH_VARARGS,
     "_swap($self, index, tag, value, /)\n--\n\nSet the value at an index if what is there still "
     "has that tag. Return whether it was; None: not, as this thread itself has set it meanwhile."},
    {"_patch", List_patch, METH_VARARGS,
     "_patch($self, index, start, at, bytes, /)\n--\n\nPut bytes at a place in the pickle of the "
     "value at an index, if that pickle begins with `start` and has no more than 1024\nbytes. "
     "Return "
     "whether it was done."},
    {"_end_with", fk_container_end_with, METH_O, FK_END_WITH_DOC},
    {"_create", List_create, METH_NOARGS, "_create($self, /)\n--\n\nMake a new shared list."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "__class_getitem__($type, item, /)\n--\n\nFor annotations: List[int]."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_mp_length, fk_container_len},
    {Py_mp_subscript, List_subscript},
    {Py_mp_ass_subscript, List_ass_subscript},
    {Py_tp_doc, "A list in shared memory."},
    {0, NULL},
};

PyType_Spec fk_list_spec = {.name = "forkful._native.List",
                            .basicsize = sizeof(fk_container),
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                            .slots = slots};
