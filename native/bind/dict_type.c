#include "container.h"

static const char SETTING[] = "setting an item of a shared dict";

/* The row of a key; FK_NO_ROW: it is not there. */
static uint64_t find(const fk_table *t, const fk_key *k)
{
    return k->there ? fk_table_find(&fk_family, t, k->bytes, k->size, k->hash) : FK_NO_ROW;
}

/* Whether what was found out of an odd key, without the lock, holds no more. */
static bool is_outdated(const fk_table *t, const fk_key *k, uint64_t row)
{
    return k->odd && row == FK_NO_ROW && (k->there || atomic_load(&t->odd) != k->added);
}

static PyObject *missing(PyObject *key)
{
    PyObject *args = PyTuple_Pack(1, key); /* a key may be a tuple */
    if (args)
        PyErr_SetObject(PyExc_KeyError, args);
    Py_XDECREF(args);
    return NULL;
}

/* What is under `key`, also its item's tag if that is asked for; taken out of the dict with `take`.
 * 1: *value, a new reference; 0: nothing there; -1: an exception. */
static int look_up(PyObject *self, PyObject *key, bool take, uint64_t *tag, PyObject **value)
{
    fk_key k;
    fk_copy copy;
    if (fk_key_begin(self, key, &k) < 0)
        return -1;
    fk_table *t = fk_enter(self);
    uint64_t row = t ? find(t, &k) : FK_NO_ROW;
    const fk_item *item = row == FK_NO_ROW ? NULL : fk_table_item(&fk_family, t, row);
    int r = item ? fk_copy_value(item, &copy) : 0;
    if (item && tag)
        *tag = fk_table_tag(&fk_family, t, row);
    if (item && take && r == 0)
        fk_table_strike(&fk_family, t, row);
    if (t)
        fk_table_unlock(t);
    fk_key_end(&k);
    if (!t)
        return -1;
    if (r < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (!item)
        return 0;
    *value = fk_copy_object(&copy);
    return *value ? 1 : -1;
}

/* Under the lock: the value becomes that of the key, which is in `row` or nowhere. */
static fk_status put(fk_table *t, const fk_key *k, const fk_value *v, uint64_t row)
{
    fk_entry e = {.key = k->bytes, .key_size = k->size, .odd = k->odd};
    fk_value_entry(v, &e);
    const fk_item *old = row == FK_NO_ROW ? NULL : fk_table_item(&fk_family, t, row);
    if (!old) {
        if (k->given) {
            e.given = PyBytes_AS_STRING(k->given);
            e.given_size = (uint32_t)PyBytes_GET_SIZE(k->given);
        }
        return fk_table_add(&fk_family, t, &e, k->hash);
    }
    e.given = old->bytes + old->key_size; /* a dict keeps the key that came first */
    e.given_size = old->given_size;
    return fk_table_replace(&fk_family, t, row, &e);
}

/* How to write: in any case; unless something is there; if the item there has that tag (0: if none is). */
enum { ALWAYS, IF_ABSENT, IF_SAME };

/* 1: written; 0: not, and with IF_ABSENT `*copy` is what is there; with IF_SAME, FK_OWN: not, as this thread itself has
 * written meanwhile; -1: an exception. */
static int store(PyObject *self, PyObject *key, PyObject *value, int how, uint64_t tag,
                 fk_copy *copy)
{
    fk_value v;
    if (fk_value_begin(self, value, &v) < 0)
        return -1;
    int r = -1;
    for (bool again = true; again;) {
        fk_key k;
        if (fk_key_begin(self, key, &k) < 0)
            break;
        fk_table *t = fk_key_give(key, &k) < 0 ? NULL : fk_enter(self);
        if (!t) {
            fk_key_end(&k);
            break;
        }
        fk_status st = FK_OK;
        uint64_t row = find(t, &k);
        again = is_outdated(t, &k, row);
        if (!again) {
            uint64_t now = how == IF_SAME ? fk_table_tag(&fk_family, t, row) : tag;
            if (now != tag)
                r = fk_table_is_own(now) ? FK_OWN : 0;
            else if (how == IF_ABSENT && row != FK_NO_ROW)
                r = fk_copy_value(fk_table_item(&fk_family, t, row), copy);
            else if ((st = put(t, &k, &v, row)) == FK_OK)
                r = 1;
        }
        fk_table_unlock(t);
        fk_key_end(&k);
        if (!again && r < 0)
            fk_raise(st == FK_OK ? FK_NOMEM : st, SETTING);
    }
    fk_value_end(&v);
    return r;
}

/* Under the lock: all pairs, the keys of which are different if they are odd. 1: written; 0: none is, for
 * what was found out of an odd key holds no more; -1: of the pairs those before the one that *st is about. */
static int put_all(fk_table *t, const fk_key *k, const fk_value *v, Py_ssize_t n, fk_status *st)
{
    for (Py_ssize_t i = 0; i < n; i++)
        if (k[i].odd && is_outdated(t, &k[i], find(t, &k[i])))
            return 0;
    for (Py_ssize_t i = 0; i < n; i++)
        if ((*st = put(t, &k[i], &v[i], find(t, &k[i]))) != FK_OK)
            return -1;
    return 1;
}

/* Once: keys from `pairs`, values from `v`. 1: written; 0: again; -1: an exception. */
static int try_all(PyObject *self, PyObject *pairs, fk_key *k, const fk_value *v)
{
    Py_ssize_t n = PyList_GET_SIZE(pairs), keys = 0;
    bool ready = true;
    while (ready && keys < n) {
        PyObject *key = PyTuple_GET_ITEM(PyList_GET_ITEM(pairs, keys), 0);
        ready = fk_key_begin(self, key, &k[keys]) == 0;
        if (ready)
            ready = fk_key_give(key, &k[keys++]) == 0;
    }
    fk_table *t = ready ? fk_enter(self) : NULL;
    fk_status st = FK_OK;
    int r = -1;
    if (t) {
        r = put_all(t, k, v, n, &st);
        fk_table_unlock(t);
    }
    if (st != FK_OK)
        fk_raise(st, SETTING);
    while (keys-- > 0)
        fk_key_end(&k[keys]);
    return r;
}

/* All pairs of a list, which nobody changes meanwhile, in one step for whoever looks on. 0; -1: an exception. */
static int store_all(PyObject *self, PyObject *pairs)
{
    Py_ssize_t n = PyList_GET_SIZE(pairs), values = 0;
    fk_key *k = PyMem_Calloc((size_t)n + 1, sizeof *k);
    fk_value *v = PyMem_Calloc((size_t)n + 1, sizeof *v);
    int r = k && v ? 0 : -1;
    if (r < 0)
        PyErr_NoMemory();
    for (; r == 0 && values < n; values++) {
        PyObject *pair = PyList_GET_ITEM(pairs, values);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "a list of pairs expected");
            r = -1;
        } else {
            r = fk_value_begin(self, PyTuple_GET_ITEM(pair, 1), &v[values]);
        }
        if (r < 0)
            break;
    }
    while (r == 0)
        r = try_all(self, pairs, k, v);
    while (values-- > 0)
        fk_value_end(&v[values]);
    PyMem_Free(k);
    PyMem_Free(v);
    return r < 0 ? -1 : 0;
}

/* 1: struck out; 0: it was not there; -1: an exception. */
static int strike(PyObject *self, PyObject *key)
{
    fk_key k;
    if (fk_key_begin(self, key, &k) < 0)
        return -1;
    fk_table *t = fk_enter(self);
    uint64_t row = t ? find(t, &k) : FK_NO_ROW;
    if (row != FK_NO_ROW)
        fk_table_strike(&fk_family, t, row);
    if (t)
        fk_table_unlock(t);
    fk_key_end(&k);
    return t ? row != FK_NO_ROW : -1;
}

/* ---- what Python sees ------------------------------------------------------------------------------------- */

static PyObject *Dict_subscript(PyObject *self, PyObject *key)
{
    PyObject *value = NULL;
    return look_up(self, key, false, NULL, &value) == 0 ? missing(key) : value;
}

static int Dict_ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    if (value)
        return store(self, key, value, ALWAYS, 0, NULL) < 0 ? -1 : 0;
    int r = strike(self, key);
    if (r == 0)
        missing(key);
    return r > 0 ? 0 : -1;
}

static int Dict_contains(PyObject *self, PyObject *key)
{
    fk_key k;
    if (fk_key_begin(self, key, &k) < 0)
        return -1;
    fk_table *t = fk_enter(self);
    int r = t ? find(t, &k) != FK_NO_ROW : -1;
    if (t)
        fk_table_unlock(t);
    fk_key_end(&k);
    return r;
}

static PyObject *Dict_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (fk_check_nargs("get", nargs, 1, 2) < 0)
        return NULL;
    PyObject *value = NULL;
    if (look_up(self, args[0], false, NULL, &value) != 0)
        return value;
    return Py_NewRef(nargs > 1 ? args[1] : Py_None);
}

static PyObject *Dict_pop(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (fk_check_nargs("pop", nargs, 1, 2) < 0)
        return NULL;
    PyObject *value = NULL;
    if (look_up(self, args[0], true, NULL, &value) != 0)
        return value;
    return nargs > 1 ? Py_NewRef(args[1]) : missing(args[0]);
}

static PyObject *Dict_setdefault(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (fk_check_nargs("setdefault", nargs, 1, 2) < 0)
        return NULL;
    PyObject *value = NULL, *given = nargs > 1 ? args[1] : Py_None;
    if (look_up(self, args[0], false, NULL, &value) != 0)
        return value;
    fk_copy copy;
    int r = store(self, args[0], given, IF_ABSENT, 0, &copy);
    if (r < 0)
        return NULL;
    return r ? Py_NewRef(given) : fk_copy_object(&copy);
}

static PyObject *Dict_popitem(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_table *t = fk_enter(self);
    if (!t)
        return NULL;
    uint64_t row = fk_table_last(&fk_family, t);
    const fk_item *item = row == FK_NO_ROW ? NULL : fk_table_item(&fk_family, t, row);
    fk_copy copy;
    PyObject *key_bytes = NULL, *key = NULL, *value = NULL;
    bool given = false;
    int r = 0;
    if (item) {
        given = item->given_size != 0;
        key_bytes =
            PyBytes_FromStringAndSize((const char *)item->bytes + (given ? item->key_size : 0),
                                      (Py_ssize_t)(given ? item->given_size : item->key_size));
        PyErr_Clear();
        r = key_bytes ? fk_copy_value(item, &copy) : -1;
        if (r == 0)
            fk_table_strike(&fk_family, t, row);
    }
    fk_table_unlock(t);
    if (!item) {
        PyErr_SetString(PyExc_KeyError, "popitem(): dictionary is empty");
        return NULL;
    }
    if (r < 0) {
        Py_XDECREF(key_bytes);
        return PyErr_NoMemory();
    }
    key = given ? fk_unpickle(key_bytes, NULL)
                : fk_key_object((const uint8_t *)PyBytes_AS_STRING(key_bytes),
                                (uint32_t)PyBytes_GET_SIZE(key_bytes));
    if (key)
        value = fk_copy_object(&copy);
    else
        fk_copy_drop(&copy);
    PyObject *pair = value ? PyTuple_Pack(2, key, value) : NULL;
    Py_DECREF(key_bytes);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return pair;
}

static PyObject *Dict_clear(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_table *t = fk_enter(self);
    if (!t)
        return NULL;
    fk_status st = fk_table_clear(&fk_family, t);
    fk_table_unlock(t);
    if (st != FK_OK)
        return fk_raise(st, "clearing a shared dict");
    Py_RETURN_NONE;
}

static PyObject *Dict_snapshot(PyObject *self, PyObject *what)
{
    long w = PyLong_AsLong(what);
    if (w == -1 && PyErr_Occurred())
        return NULL;
    if (w < FK_KEYS || w > FK_ODD_KEYS) {
        PyErr_SetString(PyExc_ValueError, "0: keys, 1: values, 2: pairs, 3: odd keys");
        return NULL;
    }
    return fk_snapshot(self, (int)w, 0, UINT64_MAX);
}

static PyObject *Dict_peek(PyObject *self, PyObject *key)
{
    PyObject *value = NULL;
    uint64_t tag = 0;
    int r = look_up(self, key, false, &tag, &value);
    if (r == 0)
        Py_RETURN_NONE;
    return r < 0 ? NULL : Py_BuildValue("KN", (unsigned long long)tag, value);
}

static PyObject *Dict_swap(PyObject *self, PyObject *args)
{
    PyObject *key, *value;
    unsigned long long tag;
    if (!PyArg_ParseTuple(args, "OKO", &key, &tag, &value))
        return NULL;
    return fk_swapped(store(self, key, value, IF_SAME, tag, NULL));
}

static PyObject *Dict_set_all(PyObject *self, PyObject *pairs)
{
    if (!PyList_CheckExact(pairs)) {
        PyErr_SetString(PyExc_TypeError, "a list of pairs expected");
        return NULL;
    }
    PyObject *own = PyList_GetSlice(pairs, 0, PyList_GET_SIZE(pairs));
    int r = own ? store_all(self, own) : -1;
    Py_XDECREF(own);
    return r < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Dict_create(PyObject *self, PyObject *unused)
{
    (void)unused;
    return fk_container_create(self, true);
}

static PyMethodDef methods[] = {
    {"get", (PyCFunction)(void (*)(void))Dict_get, METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\nReturn a copy of what is under key; the default if "
     "nothing is."},
    {"pop", (PyCFunction)(void (*)(void))Dict_pop, METH_FASTCALL,
     "pop($self, key, default=<unrepresentable>, /)\n--\n\nTake what is under key out of the dict "
     "and "
     "return it. If nothing is: the default, or KeyError."},
    {"setdefault", (PyCFunction)(void (*)(void))Dict_setdefault, METH_FASTCALL,
     "setdefault($self, key, default=None, /)\n--\n\nReturn what is under key; if nothing is, put "
     "the "
     "default there first. One step for all processes."},
    {"popitem", Dict_popitem, METH_NOARGS,
     "popitem($self, /)\n--\n\nTake the pair that was added last out of the dict and return it.\n\n"
     "Raises:\n    KeyError: the dict is empty."},
    {"clear", Dict_clear, METH_NOARGS, "clear($self, /)\n--\n\nTake everything out of the dict."},
    {"_snapshot", Dict_snapshot, METH_O,
     "_snapshot($self, what, /)\n--\n\nReturn (version, list) of one moment: the keys (0), values "
     "(1), "
     "pairs (2), or the bytes of the odd\nkeys (3), of which the version is a count of its own."},
    {"_peek", Dict_peek, METH_O,
     "_peek($self, key, /)\n--\n\nReturn (tag, value), or None: the tag stands for this one "
     "setting of "
     "the key."},
    {"_swap", Dict_swap, METH_VARARGS,
     "_swap($self, key, tag, value, /)\n--\n\nSet the key if what is there still has that tag; if "
     "nothing is there, with tag 0. Return whether it was; None: not, as this thread itself has "
     "set it "
     "meanwhile."},
    {"_set_all", Dict_set_all, METH_O,
     "_set_all($self, pairs, /)\n--\n\nSet all pairs of a list in one step. Odd keys in it must "
     "differ."},
    {"_end_with", fk_container_end_with, METH_O, FK_END_WITH_DOC},
    {"_create", Dict_create, METH_NOARGS, "_create($self, /)\n--\n\nMake a new shared dict."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "__class_getitem__($type, item, /)\n--\n\nFor annotations: Dict[str, int]."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_mp_length, fk_container_len},
    {Py_mp_subscript, Dict_subscript},
    {Py_mp_ass_subscript, Dict_ass_subscript},
    {Py_sq_contains, Dict_contains},
    {Py_tp_doc, "A dict in shared memory."},
    {0, NULL},
};

PyType_Spec fk_dict_spec = {.name = "forkful._native.Dict",
                            .basicsize = sizeof(fk_container),
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                            .slots = slots};
