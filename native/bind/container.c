#include "container.h"

/* Wait until the lock is free, and leave it so: it is not held while one waits for the GIL. */
static fk_status pass(void *arg, fk_wait *w)
{
    fk_status st = fk_table_lock(&fk_family, arg, w);
    if (st == FK_OK)
        fk_table_unlock(arg);
    return st;
}

/* h->data, or NULL with an exception: also when the process that it ends with has ended. */
static fk_table *table_of(PyObject *self)
{
    fk_container *c = (fk_container *)self;
    if (FK_LIKELY(!c->server || !fk_slot_ended(&fk_family, c->server)))
        return fk_handle_data(&c->handle);
    PyObject *r = PyObject_CallMethod(self, "_raise_ended", NULL);
    if (r)
        PyErr_SetString(PyExc_SystemError, "_raise_ended() must raise");
    Py_XDECREF(r);
    return NULL;
}

PyObject *fk_container_end_with(PyObject *self, PyObject *owner)
{
    unsigned long server = PyLong_AsUnsignedLong(owner);
    if (PyErr_Occurred())
        return NULL;
    ((fk_container *)self)->server = (fk_owner)server;
    Py_RETURN_NONE;
}

fk_table *fk_enter(PyObject *self)
{
    fk_handle *h = (fk_handle *)self;
    fk_table *t = table_of(self);
    while (t) {
        if (FK_LIKELY(fk_lock_try(&fk_family, &t->lock) == FK_OK))
            return t;
        fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
        fk_spin spin = fk_spin_of(&w, FK_BRIEFLY);
        while (fk_spin_on(&spin))
            if (fk_lock_try(&fk_family, &t->lock) == FK_OK)
                return t;
        fk_status st;
        if (fk_blocking(pass, t, &w, FK_OP_TABLE, h->off, &st) < 0)
            return NULL;
        if (st != FK_OK) {
            fk_raise(st, "using a shared container");
            return NULL;
        }
    }
    return NULL;
}

PyObject *fk_swapped(int r)
{
    if (r == FK_OWN)
        Py_RETURN_NONE;
    return r < 0 ? NULL : PyBool_FromLong(r);
}

int fk_check_nargs(const char *name, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most)
{
    if (least <= nargs && nargs <= most)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s expected %s %zd argument%s, got %zd", name,
                 nargs < least ? "at least" : "at most", nargs < least ? least : most,
                 (nargs < least ? least : most) == 1 ? "" : "s", nargs);
    return -1;
}

Py_ssize_t fk_container_len(PyObject *self)
{
    fk_table *t = table_of(self);
    if (t && fk_lock_owner(&t->lock)) { /* perhaps by one that died before it had counted */
        t = fk_enter(self);
        if (t)
            fk_table_unlock(t);
    }
    return t ? (Py_ssize_t)fk_table_live(t) : -1;
}

PyObject *fk_container_create(PyObject *self, bool indexed)
{
    fk_handle *h = (fk_handle *)self;
    if (fk_handle_create(h, sizeof(fk_table), FK_KIND_TABLE) < 0)
        return NULL;
    fk_status st = fk_table_init(&fk_family, h->data, indexed);
    if (st != FK_OK)
        return fk_raise(st, "making a shared container");
    Py_RETURN_NONE;
}

/* ---- values in ------------------------------------------------------------------------------------------ */

static const char OF_A_PROXY[] = "RebuildProxy";

static bool may_hold_proxies(PyObject *data)
{
    return memmem(PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), OF_A_PROXY,
                  sizeof OF_A_PROXY - 1) != NULL;
}

int fk_value_begin(PyObject *self, PyObject *o, fk_value *v)
{
    *v = (fk_value){.hold = FK_NO_HOLD};
    PyObject *extras = NULL;
    v->data = fk_pickle(o, &extras);
    if (v->data && may_hold_proxies(v->data)) {
        PyObject *buffers = extras ? PyTuple_GET_ITEM(extras, 1) : Py_None;
        PyObject *r = PyObject_CallMethod(self, "_keep_proxies", "OO", v->data, buffers);
        if (!r)
            Py_CLEAR(v->data);
        Py_XDECREF(r);
    }
    int r = v->data ? 0 : -1;
    if (r == 0 && (extras || PyBytes_GET_SIZE(v->data) > FK_VALUE_MAX))
        r = fk_block_pack(v->data, extras, &v->block, &v->hold);
    Py_XDECREF(extras);
    if (r < 0)
        Py_CLEAR(v->data);
    return r;
}

void fk_value_end(fk_value *v)
{
    Py_CLEAR(v->data);
    if (v->hold != FK_NO_HOLD)
        fk_hold_drop(&fk_family, v->hold);
    v->hold = FK_NO_HOLD;
}

void fk_value_entry(const fk_value *v, fk_entry *e)
{
    e->value_block = v->block;
    if (!v->block) {
        e->value = PyBytes_AS_STRING(v->data);
        e->value_size = (uint32_t)PyBytes_GET_SIZE(v->data);
    }
}

/* ---- values out ----------------------------------------------------------------------------------------- */

/* A hold of the block that the item's value is; FK_NO_HOLD: no room for one. */
static uint32_t hold_value(uint64_t block)
{
    uint32_t hold;
    fk_block_ref(&fk_family, block, FK_REF_HOLD);
    if (fk_hold_new(&fk_family, block, &hold) == FK_OK)
        return hold;
    fk_block_unref(&fk_family, block, FK_REF_HOLD);
    return FK_NO_HOLD;
}

int fk_copy_value(const fk_item *item, fk_copy *c)
{
    *c = (fk_copy){.hold = FK_NO_HOLD};
    uint64_t block = atomic_load_explicit(&item->value_block, memory_order_relaxed);
    if (block) {
        c->hold = hold_value(block);
        return c->hold == FK_NO_HOLD ? -1 : 0;
    }
    const uint8_t *value = item->bytes + item->key_size + item->given_size;
    c->data = PyBytes_FromStringAndSize((const char *)value, (Py_ssize_t)item->value_size);
    if (!c->data)
        PyErr_Clear();
    return c->data ? 0 : -1;
}

void fk_copy_drop(fk_copy *c)
{
    Py_CLEAR(c->data);
    if (c->hold != FK_NO_HOLD)
        fk_hold_drop(&fk_family, c->hold);
    c->hold = FK_NO_HOLD;
}

PyObject *fk_copy_object(fk_copy *c)
{
    if (c->hold != FK_NO_HOLD) {
        uint32_t hold = c->hold;
        c->hold = FK_NO_HOLD;
        return fk_block_unpack(hold, false);
    }
    PyObject *o = fk_unpickle(c->data, NULL);
    Py_CLEAR(c->data);
    return o;
}

/* ---- all of it at one moment ----------------------------------------------------------------------------- */

/* A row as it is copied under the lock; its bytes follow it. */
typedef struct row_copy {
    uint32_t key_size, given_size, value_size;
    uint32_t hold;
} row_copy;

static size_t span(size_t size) { return sizeof(row_copy) + ((size + 7) & ~(size_t)7); }

static bool is_wanted(const fk_item *item, int what)
{
    return item && (what != FK_ODD_KEYS || item->odd);
}

/* Under the lock. The copies one after another, `*n` of them; NULL: no memory, and nothing is held. */
static uint8_t *copy_rows(const fk_table *t, int what, uint64_t start, uint64_t stop, size_t *n)
{
    size_t size = 0, most = 0;
    for (uint64_t i = start; i < stop; i++) {
        const fk_item *item = fk_table_item(&fk_family, t, i);
        if (is_wanted(item, what)) {
            size += span((size_t)item->key_size + item->given_size + item->value_size);
            most++;
        }
    }
    uint8_t *copies = PyMem_RawMalloc(size + 1), *to = copies;
    *n = 0;
    for (uint64_t i = start; copies && i < stop && *n < most; i++) {
        const fk_item *item = fk_table_item(&fk_family, t, i);
        if (!is_wanted(item, what))
            continue;
        row_copy *c = (row_copy *)to;
        *c = (row_copy){item->key_size, item->given_size, item->value_size, FK_NO_HOLD};
        uint64_t block = atomic_load_explicit(&item->value_block, memory_order_relaxed);
        if (block && (what == FK_VALUES || what == FK_ITEMS) &&
            (c->hold = hold_value(block)) == FK_NO_HOLD)
            c->value_size = UINT32_MAX; /* for want of memory: told below */
        size_t bytes = (size_t)item->key_size + item->given_size + item->value_size;
        memcpy(to + sizeof *c, item->bytes, bytes);
        to += span(bytes);
        ++*n;
    }
    return copies;
}

static PyObject *key_of(const row_copy *c)
{
    const uint8_t *bytes = (const uint8_t *)(c + 1);
    if (c->given_size == 0)
        return fk_key_object(bytes, c->key_size);
    PyObject *data =
        PyBytes_FromStringAndSize((const char *)bytes + c->key_size, (Py_ssize_t)c->given_size);
    PyObject *key = data ? fk_unpickle(data, NULL) : NULL;
    Py_XDECREF(data);
    return key;
}

static PyObject *value_of(row_copy *c)
{
    fk_copy value = {.hold = c->hold};
    c->hold = FK_NO_HOLD;
    if (value.hold == FK_NO_HOLD) {
        if (c->value_size == UINT32_MAX)
            return fk_raise(FK_NOMEM, "reading a shared container");
        const char *bytes = (const char *)(c + 1) + c->key_size + c->given_size;
        value.data = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)c->value_size);
        if (!value.data)
            return NULL;
    }
    return fk_copy_object(&value);
}

static PyObject *object_of(row_copy *c, int what)
{
    if (what == FK_ODD_KEYS)
        return PyBytes_FromStringAndSize((const char *)(c + 1), (Py_ssize_t)c->key_size);
    if (what == FK_VALUES)
        return value_of(c);
    PyObject *key = key_of(c);
    if (what == FK_KEYS || !key)
        return key;
    PyObject *value = value_of(c);
    PyObject *pair = value ? PyTuple_Pack(2, key, value) : NULL;
    Py_DECREF(key);
    Py_XDECREF(value);
    return pair;
}

PyObject *fk_snapshot(PyObject *self, int what, uint64_t start, uint64_t stop)
{
    fk_table *t = fk_enter(self);
    if (!t)
        return NULL;
    size_t n = 0;
    uint64_t used = fk_table_used(&fk_family, t);
    uint64_t version = atomic_load(what == FK_ODD_KEYS ? &t->odd : &t->version);
    bool none = what == FK_ODD_KEYS && version == 0;
    uint8_t *copies = copy_rows(t, what, start, none ? start : stop < used ? stop : used, &n);
    fk_table_unlock(t);
    if (!copies)
        return PyErr_NoMemory();
    PyObject *list = PyList_New(0);
    uint8_t *at = copies;
    for (size_t i = 0; i < n; i++) {
        row_copy *c = (row_copy *)at;
        uint32_t value_size = c->value_size == UINT32_MAX ? 0 : c->value_size;
        at += span((size_t)c->key_size + c->given_size + value_size);
        PyObject *o = list ? object_of(c, what) : NULL;
        if (c->hold != FK_NO_HOLD) /* after an error */
            fk_hold_drop(&fk_family, c->hold);
        if (list && (!o || PyList_Append(list, o) < 0))
            Py_CLEAR(list);
        Py_XDECREF(o);
    }
    PyMem_RawFree(copies);
    return list ? Py_BuildValue("KN", (unsigned long long)version, list) : NULL;
}
