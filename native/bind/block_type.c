/* A large message: bytes and out-of-band buffers in one block of the arena.
 *
 *   u64 n            number of buffers
 *   u64 size[n + 1]  of the pickle, then of each buffer; with COPIED, if it is that of a bytes object
 *   the pickle, then the buffers, each from a multiple of 64
 *
 * Or n is WHOLE, and a bytes object stands where the pickle would.
 *
 * The receiver's objects are backed by the block until the last of them goes. Big blocks are seen
 * through a private view, so that what the receiver writes is its own, also after a fork; from
 * smaller ones, and where a view takes longer, it is copied out. Or all see the block itself, and none
 * may write to it; so it is also where all buffers are those of bytes, which are copied as they are made again. */
#include "bind.h"

#include "view.h"

#define VIEW_FROM (512u * 1024u)
#define WHOLE UINT64_MAX
#define COPIED (UINT64_C(1) << 63)
#define ALIGN(x) (((x) + 63) & ~UINT64_C(63))

PyTypeObject *fk_block_type;

typedef struct block {
    PyObject_HEAD uint32_t hold; /* FK_NO_HOLD: a copy */
    fk_view view;                /* of what is held; without a map: it is seen where it lies */
    uint8_t *copy;               /* or malloc'ed */
    uint8_t *data;               /* the block's bytes in either */
    uint64_t size;
} block;

static void block_dealloc(PyObject *self)
{
    block *b = (block *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (b->hold != FK_NO_HOLD) {
        if (b->view.map)
            fk_view_close(&fk_family, &b->view, b->hold);
        fk_hold_drop(&fk_family, b->hold);
    } else {
        PyMem_RawFree(b->copy);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static int block_buffer(PyObject *self, Py_buffer *view, int flags)
{
    block *b = (block *)self;
    int read_only = b->hold != FK_NO_HOLD && !b->view.map;
    return PyBuffer_FillInfo(view, self, b->data, (Py_ssize_t)b->size, read_only, flags);
}

static PyType_Slot slots[] = {
    {Py_tp_dealloc, block_dealloc},
    {Py_bf_getbuffer, block_buffer},
    {Py_tp_doc, "Received bytes, backed by shared memory."},
    {0, NULL},
};

PyType_Spec fk_block_spec = {.name = "forkful._native.Block",
                             .basicsize = sizeof(block),
                             .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             .slots = slots};

/* Bytes that the list of the handles takes up before all else. */
static uint64_t parcel_size(uint64_t handles)
{
    return handles ? ALIGN(sizeof(fk_parcel) + handles * sizeof(uint64_t)) : 0;
}

/* The block takes a ref of each handle's object, one by one: whoever is killed in between leaves a
 * block that tells what it has. */
static void take_along(PyObject *handles, fk_parcel *p)
{
    uint64_t n = (uint64_t)PyList_GET_SIZE(handles);
    for (uint64_t i = 0; i < n; i++)
        atomic_store(&p->off[i], 0);
    p->n = n;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t off = ((fk_handle *)PyList_GET_ITEM(handles, (Py_ssize_t)i))->off;
        fk_block_ref(&fk_family, off, FK_REF_HOLD);
        atomic_store(&p->off[i], off);
    }
}

int fk_block_pack(PyObject *data, PyObject *extras, uint64_t *off, uint32_t *hold)
{
    uint64_t whole = extras == Py_None ? WHOLE : 0;
    if (whole)
        extras = NULL;
    PyObject *buffers = extras ? PyTuple_GET_ITEM(extras, 1) : NULL;
    PyObject *handles = extras && PyTuple_GET_SIZE(extras) > 2 ? PyTuple_GET_ITEM(extras, 2) : NULL;
    uint64_t parcel = parcel_size(handles ? (uint64_t)PyList_GET_SIZE(handles) : 0);
    Py_ssize_t n = buffers ? PyList_GET_SIZE(buffers) : 0;
    Py_buffer *views = PyMem_Calloc((size_t)n + 1, sizeof *views);
    uint64_t *sizes = PyMem_Calloc((size_t)n + 1, sizeof *sizes);
    if (!views || !sizes) {
        PyMem_Free(views);
        PyMem_Free(sizes);
        PyErr_NoMemory();
        return -1;
    }
    int result = -1;
    Py_ssize_t got = 0;
    for (; got <= n; got++) {
        PyObject *o = got ? PyList_GET_ITEM(buffers, got - 1) : data;
        if (PyObject_GetBuffer(o, &views[got], PyBUF_ANY_CONTIGUOUS) < 0)
            goto done;
        sizes[got] = (uint64_t)views[got].len;
        if (got && views[got].obj && PyBytes_CheckExact(views[got].obj))
            sizes[got] |= COPIED;
    }
    uint64_t head = ALIGN(8 + 8 * ((uint64_t)n + 1)), total = head;
    for (Py_ssize_t i = 0; i <= n; i++)
        total += ALIGN((uint64_t)views[i].len);
    /* RAW until it is known what is inside: fk_parcel is read when the block goes. */
    fk_status st = fk_block_new(&fk_family, parcel + total, FK_KIND_RAW, off);
    if (st == FK_OK && (st = fk_hold_new(&fk_family, *off, hold)) != FK_OK)
        fk_block_unref(&fk_family, *off, FK_REF_HOLD);
    if (st != FK_OK) {
        fk_raise(st, "making room for a large object");
        goto done;
    }
    uint8_t *to = fk_block_data(&fk_family, *off);
    if (parcel) {
        ((fk_parcel *)to)->n = 0;
        fk_block_at(&fk_family, *off)->kind = FK_KIND_PARCEL;
        take_along(handles, (fk_parcel *)to);
        to += parcel;
    }
    memcpy(to, &(uint64_t){whole ? whole : (uint64_t)n}, 8);
    memcpy(to + 8, sizes, 8 * ((size_t)n + 1));
    Py_BEGIN_ALLOW_THREADS
        uint64_t at = head;
        for (Py_ssize_t i = 0; i <= n; i++) {
            fk_block_fill(&fk_family, *off, to + at, views[i].buf, (uint64_t)views[i].len);
            at += ALIGN((uint64_t)views[i].len);
        }
    Py_END_ALLOW_THREADS
    result = 0;
done:
    while (got-- > 0)
        PyBuffer_Release(&views[got]);
    PyMem_Free(views);
    PyMem_Free(sizes);
    return result;
}

/* How far into a block its message begins. */
static uint64_t skipped(uint64_t off, const uint8_t *data, uint64_t size)
{
    if (fk_block_at(&fk_family, off)->kind != FK_KIND_PARCEL)
        return 0;
    uint64_t n = size < sizeof(fk_parcel) ? UINT64_MAX : ((const fk_parcel *)data)->n;
    return n > size / sizeof(uint64_t) ? UINT64_MAX : parcel_size(n);
}

/* The block that an entry of the hold table names; 0 when there is no such entry. */
static uint64_t held(uint32_t hold)
{
    fk_hold *h = fk_hold_at(&fk_family, hold);
    return h ? atomic_load(&h->off) : 0;
}

/* Whether all buffers of a message will be copied. */
static bool all_copied(const uint8_t *data, uint64_t size)
{
    uint64_t n = 0, each;
    if (size >= 16)
        memcpy(&n, data, 8);
    if (n > (size - 16) / 8)
        return false; /* not sound, or whole */
    for (uint64_t i = 1; i <= n; i++) {
        memcpy(&each, data + 8 + 8 * i, 8);
        if (!(each & COPIED))
            return false;
    }
    return n > 0;
}

/* A Block over (or a copy of) what the hold names; takes the hold over. */
static PyObject *block_open(uint32_t hold, bool shared)
{
    uint64_t off = held(hold);
    uint8_t *data = fk_block_data(&fk_family, off);
    block *b = data ? (block *)fk_block_type->tp_alloc(fk_block_type, 0) : NULL;
    if (!b) {
        fk_hold_drop(&fk_family, hold);
        return PyErr_Occurred() ? NULL : fk_raise(FK_CORRUPT, "receiving a large object");
    }
    b->hold = FK_NO_HOLD;
    b->size = fk_block_at(&fk_family, off)->size;
    uint64_t skip = skipped(off, data, b->size);
    if (skip > b->size) {
        Py_DECREF(b);
        fk_hold_drop(&fk_family, hold);
        return fk_raise(FK_CORRUPT, "receiving a large object");
    }
    b->size -= skip;
    data += skip;
    if (shared || all_copied(data, b->size)) {
        b->data = data;
        b->hold = hold;
        return (PyObject *)b;
    }
    if (b->size >= VIEW_FROM && fk_view_open(&fk_family, off, &b->view) == FK_OK) {
        b->data = b->view.map + FK_BLOCK_HEAD + skip;
        b->hold = hold;
        return (PyObject *)b;
    }
    b->copy = b->data = PyMem_RawMalloc(b->size);
    if (b->copy)
        memcpy(b->copy, data, b->size);
    fk_hold_drop(&fk_family, hold);
    if (!b->copy) {
        Py_DECREF(b);
        return PyErr_NoMemory();
    }
    return (PyObject *)b;
}

/* The parts of a block: a list of memoryviews, the pickle first. */
static PyObject *parts(PyObject *opened)
{
    block *b = (block *)opened;
    uint64_t n = 0;
    if (b->size >= 16)
        memcpy(&n, b->data, 8);
    if (b->size < 16 || n > (b->size - 16) / 8)
        return fk_raise(FK_CORRUPT, "receiving a large object");
    PyObject *whole = PyMemoryView_FromObject(opened);
    PyObject *list = whole ? PyList_New((Py_ssize_t)n + 1) : NULL;
    uint64_t at = ALIGN(8 + 8 * (n + 1));
    for (uint64_t i = 0; list && i <= n; i++) {
        uint64_t size;
        memcpy(&size, b->data + 8 + 8 * i, 8);
        size &= ~COPIED;
        PyObject *part = NULL;
        if (at > b->size || size > b->size - at)
            fk_raise(FK_CORRUPT, "receiving a large object");
        else
            part = PySequence_GetSlice(whole, (Py_ssize_t)at, (Py_ssize_t)(at + size));
        if (!part)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, part);
        at += ALIGN(size);
    }
    Py_XDECREF(whole);
    return list;
}

/* A further hold of the block whose handles have not all been made yet; or FK_NO_HOLD. */
static uint32_t keep_parcel(uint32_t hold)
{
    uint64_t off = held(hold);
    fk_block *b = fk_block_at(&fk_family, off);
    uint32_t kept = FK_NO_HOLD;
    if (b && b->kind == FK_KIND_PARCEL) {
        fk_block_ref(&fk_family, off, FK_REF_HOLD);
        if (fk_hold_new(&fk_family, off, &kept) != FK_OK) {
            fk_block_unref(&fk_family, off, FK_REF_HOLD);
            kept = FK_NO_HOLD;
        }
    }
    return kept;
}

/* What there is of a message without buffers, where it lies; NULL: it has buffers, or is not sound.
 * *whole: it is a bytes object, and no pickle. */
static const uint8_t *find_alone(uint32_t hold, uint64_t *size, bool *whole)
{
    uint64_t off = held(hold), n;
    const uint8_t *data = fk_block_data(&fk_family, off);
    uint64_t left = data ? fk_block_at(&fk_family, off)->size : 0;
    uint64_t skip = data ? skipped(off, data, left) : 0, head = ALIGN(16);
    if (skip > left || left - skip < head)
        return NULL;
    memcpy(&n, data + skip, 8);
    memcpy(size, data + skip + 8, 8);
    *whole = n == WHOLE;
    return (n == 0 || *whole) && *size <= left - skip - head ? data + skip + head : NULL;
}

static PyObject *copy_bytes(const uint8_t *from, uint64_t size)
{
    char *to;
    PyObject *bytes = fk_fresh(size, true, &to);
    if (!bytes)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
        memcpy(to, from, size);
    Py_END_ALLOW_THREADS
    return bytes;
}

PyObject *fk_block_unpack(uint32_t hold, bool shared)
{
    uint64_t size;
    bool whole;
    const uint8_t *alone = find_alone(hold, &size, &whole);
    if (alone) { /* it is copied as it is read */
        PyObject *view =
            whole ? NULL
                  : PyMemoryView_FromMemory((char *)(uintptr_t)alone, (Py_ssize_t)size, PyBUF_READ);
        PyObject *obj = whole ? copy_bytes(alone, size) : view ? fk_unpickle(view, NULL) : NULL;
        Py_XDECREF(view);
        fk_hold_drop(&fk_family, hold);
        return obj;
    }
    uint32_t kept = keep_parcel(hold);
    PyObject *opened = block_open(hold, shared);
    PyObject *list = opened ? parts(opened) : NULL;
    PyObject *buffers = list ? PyList_GetSlice(list, 1, PyList_GET_SIZE(list)) : NULL;
    PyObject *obj = buffers ? fk_unpickle(PyList_GET_ITEM(list, 0), buffers) : NULL;
    Py_XDECREF(buffers);
    Py_XDECREF(list);
    Py_XDECREF(opened);
    if (kept != FK_NO_HOLD)
        fk_hold_drop(&fk_family, kept);
    return obj;
}

PyObject *fk_block_message(uint32_t hold)
{
    uint64_t size;
    bool whole;
    const uint8_t *alone = find_alone(hold, &size, &whole);
    if (alone) {
        PyObject *data = copy_bytes(alone, size);
        fk_hold_drop(&fk_family, hold);
        return data;
    }
    PyObject *opened = block_open(hold, false);
    PyObject *list = opened ? parts(opened) : NULL;
    PyObject *data = list ? PyBytes_FromObject(PyList_GET_ITEM(list, 0)) : NULL;
    PyObject *buffers = data ? PyList_GetSlice(list, 1, PyList_GET_SIZE(list)) : NULL;
    PyObject *message = buffers ? PyTuple_Pack(2, data, buffers) : NULL;
    Py_XDECREF(buffers);
    Py_XDECREF(data);
    Py_XDECREF(list);
    Py_XDECREF(opened);
    return message;
}
