#include "bind.h"

_Atomic uint64_t *fk_words_at(PyObject *self, Py_ssize_t i); /* words_type.c */

enum { META_OBJECT = 0 }; /* put_bytes' callers use numbers of their own */

/* Messages are copied here without the GIL; then into Python objects. */
#define BUFFER_SIZE (4 * FK_INLINE_MAX)
#define TAKE_MOST 256
static _Thread_local uint8_t *tls_buffer;

/* An entry of the hold table that waits for a large message's block. Per thread, because the
 * entry is filled while the GIL is not held. */
static _Thread_local uint32_t tls_hold = FK_NO_HOLD;
static _Thread_local fk_owner tls_hold_of;

static int ready_to_take(fk_take *t)
{
    if (!tls_buffer && !(tls_buffer = PyMem_RawMalloc(BUFFER_SIZE))) {
        PyErr_NoMemory();
        return -1;
    }
    if (tls_hold == FK_NO_HOLD || tls_hold_of != fk_family.me) {
        fk_status st = fk_hold_new(&fk_family, 0, &tls_hold);
        if (st != FK_OK) {
            tls_hold = FK_NO_HOLD;
            fk_raise(st, "receiving");
            return -1;
        }
        tls_hold_of = fk_family.me;
    }
    t->buffer = tls_buffer;
    t->capacity = BUFFER_SIZE;
    t->block_hold = fk_hold_at(&fk_family, tls_hold);
    return 0;
}

/* The entry has been filled: it is the message's now. */
static uint32_t pass_hold(void)
{
    uint32_t hold = tls_hold;
    tls_hold = FK_NO_HOLD;
    return hold;
}

static fk_queue *open_queue(fk_handle *h)
{
    fk_queue *q = fk_handle_data(h);
    if (q && h->closed) {
        PyObject *error = PyObject_CallMethod((PyObject *)h, "_closed_error", NULL);
        if (error)
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_XDECREF(error);
        return NULL;
    }
    return q;
}

/* ---- put --------------------------------------------------------------------------------------- */

typedef struct put_call {
    fk_queue *q;
    fk_put put;
    uint64_t seq;
} put_call;

static fk_status do_put(void *arg, fk_wait *w)
{
    put_call *c = arg;
    w->grows = true;
    return fk_queue_put(&fk_family, c->q, &c->put, &c->seq, w);
}

/* 0: put. 1: full. -1: exception. */
static int put_call_of(fk_handle *h, put_call *c, fk_wait *w)
{
    fk_status st;
    if (fk_blocking(do_put, c, w, FK_OP_QUEUE_PUT, h->off, &st) < 0)
        return -1;
    if (st == FK_OK)
        return 0;
    if (st == FK_AGAIN || st == FK_TIMEOUT)
        return 1;
    fk_raise(st, "putting into a queue");
    return -1;
}

static int put_data(fk_handle *h, PyObject *data, PyObject *extras, put_call *c, fk_wait *w)
{
    uint32_t hold = FK_NO_HOLD;
    if (extras || c->q->redeliver ||
        (uint64_t)PyBytes_GET_SIZE(data) + c->put.head_size > FK_INLINE_MAX) {
        if (fk_block_pack(data, extras, &c->put.block, &hold) < 0)
            return -1;
    } else {
        c->put.data = PyBytes_AS_STRING(data);
        c->put.data_size = (uint32_t)PyBytes_GET_SIZE(data);
    }
    int r = put_call_of(h, c, w);
    if (hold != FK_NO_HOLD)
        fk_hold_drop(&fk_family, hold);
    return r;
}

/* An object as put_data takes it: bytes that are too large to stand in the queue travel as they are. */
static PyObject *to_message(PyObject *obj, PyObject **extras)
{
    if (!PyBytes_CheckExact(obj) || PyBytes_GET_SIZE(obj) <= FK_INLINE_MAX)
        return fk_pickle(obj, extras);
    *extras = Py_NewRef(Py_None);
    return Py_NewRef(obj);
}

/* Pickle it, and put that. As put_data. */
static int put_pickled(fk_handle *h, PyObject *obj, put_call *c, fk_wait *w)
{
    PyObject *extras, *data = to_message(obj, &extras);
    if (!data)
        return -1;
    int r = put_data(h, data, extras, c, w);
    Py_DECREF(data);
    Py_XDECREF(extras);
    return r;
}

static PyObject *Queue_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    fk_handle *h = (fk_handle *)self;
    put_call c = {.q = open_queue(h)};
    if (!c.q)
        return NULL;
    PyObject *obj = nargs ? args[0] : NULL;
    for (Py_ssize_t i = 0; !obj && kwnames && i < PyTuple_GET_SIZE(kwnames); i++)
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), "obj") == 0)
            obj = args[nargs + i];
    if (!obj) {
        PyErr_SetString(PyExc_TypeError, "put() missing 1 required argument: 'obj'");
        return NULL;
    }
    fk_wait w;
    if (fk_parse_wait(args, nargs, kwnames, 1, &w) < 0)
        return NULL;
    uint8_t plain[FK_PLAIN_MOST];
    c.put.meta = META_OBJECT;
    c.put.data = plain;
    c.put.data_size = c.q->redeliver ? 0 : fk_plain_write(obj, plain, sizeof plain);
    int r = c.put.data_size ? put_call_of(h, &c, &w) : put_pickled(h, obj, &c, &w);
    if (r < 0)
        return NULL;
    if (r > 0) {
        fk_raise_of_queue("Full");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* A message of put_bytes and put_many: bytes, or (bytes, list of buffers). As put_data, and never full. */
static int put_message(fk_handle *h, PyObject *message, put_call *c)
{
    PyObject *data = message, *extras = NULL;
    if (PyTuple_CheckExact(message) && PyTuple_GET_SIZE(message) == 2 &&
        PyList_CheckExact(PyTuple_GET_ITEM(message, 1))) {
        data = PyTuple_GET_ITEM(message, 0);
        extras = message;
    }
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "bytes expected, or a tuple of bytes and a list");
        return -1;
    }
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    return put_data(h, data, extras, c, &w);
}

static PyObject *Queue_put_bytes(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    fk_handle *h = (fk_handle *)self;
    put_call c = {.q = fk_handle_data(h)};
    if (!c.q)
        return NULL;
    if (nargs != 2 || !PyLong_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "a message and a number expected");
        return NULL;
    }
    c.put.meta = PyLong_AsUnsignedLongLongMask(args[1]);
    if (put_message(h, args[0], &c) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(c.seq);
}

static PyObject *Queue_put_many(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    fk_queue *q = fk_handle_data(h);
    unsigned long long meta, first = 0;
    PyObject *list;
    if (!q || !PyArg_ParseTuple(args, "O!K", &PyList_Type, &list, &meta))
        return NULL;
    uint32_t n = 0;
    int r = 0;
    for (Py_ssize_t i = 0; r == 0 && i < PyList_GET_SIZE(list); i++) {
        put_call c = {.q = q, .put = {.meta = meta, .quiet = true}};
        PyObject *message = Py_NewRef(PyList_GET_ITEM(list, i));
        r = put_message(h, message, &c);
        Py_DECREF(message);
        if (r == 0 && n++ == 0)
            first = c.seq;
    }
    fk_queue_wake(q, n);
    return r < 0 ? NULL : PyLong_FromUnsignedLongLong(first);
}

/* ---- get ----------------------------------------------------------------------------------------- */

typedef struct take_call {
    fk_queue *q;
    fk_take take;
    fk_taken *out;
    uint32_t max, n;
} take_call;

static fk_status do_take(void *arg, fk_wait *w)
{
    take_call *c = arg;
    w->grows = true;
    return fk_queue_take(&fk_family, c->q, &c->take, c->out, c->max, &c->n, w);
}

/* 0: taken. 1: empty. -1: exception. */
static int take(fk_handle *h, take_call *c, fk_wait *w, uint32_t op, int standing)
{
    fk_status st;
    if (ready_to_take(&c->take) < 0)
        return -1;
    if (fk_blocking_on(do_take, c, w, op, h->off, &st, standing) < 0)
        return -1;
    if (st == FK_OK)
        return 0;
    if (st == FK_AGAIN || st == FK_TIMEOUT)
        return 1;
    fk_raise(st, "getting from a queue");
    return -1;
}

static PyObject *bytes_of(const take_call *c, const fk_taken *t)
{
    return PyBytes_FromStringAndSize((char *)c->take.buffer + t->at, (Py_ssize_t)t->size);
}

/* What is in the thread's buffer as an object, which may run anything: also another get. */
static PyObject *object_of(const take_call *c, const fk_taken *t)
{
    const uint8_t *from = c->take.buffer + t->at;
    if (fk_plain_is(from, t->size) && t->size <= FK_PLAIN_MOST) {
        uint8_t plain[FK_PLAIN_MOST];
        memcpy(plain, from, t->size);
        return fk_plain_read(plain, t->size);
    }
    PyObject *data = bytes_of(c, t);
    PyObject *obj = data ? fk_unpickle(data, NULL) : NULL;
    Py_XDECREF(data);
    return obj;
}

static PyObject *Queue_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    fk_handle *h = (fk_handle *)self;
    fk_taken out;
    take_call c = {.q = open_queue(h), .out = &out, .max = 1};
    fk_wait w;
    if (!c.q || fk_parse_wait(args, nargs, kwnames, 0, &w) < 0)
        return NULL;
    c.take.hold = c.q->joinable ? fk_handle_hold(h) : NULL;
    int r = take(h, &c, &w, FK_OP_QUEUE_GET, FK_ONE_WAIT);
    if (r < 0)
        return NULL;
    if (r > 0) {
        fk_raise_of_queue("Empty");
        return NULL;
    }
    return out.block ? fk_block_unpack(pass_hold(), false) : object_of(&c, &out);
}

/* (seq, meta, data); takes `data` over. */
static PyObject *triple(uint64_t seq, uint64_t meta, PyObject *data)
{
    PyObject *item = PyTuple_New(3), *first = PyLong_FromUnsignedLongLong(seq),
             *second = PyLong_FromUnsignedLongLong(meta);
    if (!item || !first || !second) {
        Py_XDECREF(item);
        Py_XDECREF(first);
        Py_XDECREF(second);
        Py_DECREF(data);
        return NULL;
    }
    PyTuple_SET_ITEM(item, 0, first);
    PyTuple_SET_ITEM(item, 1, second);
    PyTuple_SET_ITEM(item, 2, data);
    return item;
}

/* Append (seq, meta, bytes) of each message to the list. 0, or -1 with an exception. */
static int append_all(PyObject *list, const take_call *c)
{
    uint32_t hold = c->out[c->n - 1].block ? pass_hold() : FK_NO_HOLD;
    for (uint32_t i = 0; i < c->n; i++) {
        const fk_taken *t = &c->out[i];
        PyObject *data = t->block ? fk_block_message(hold) : bytes_of(c, t);
        if (t->block)
            hold = FK_NO_HOLD;
        PyObject *item = data ? triple(t->seq, t->meta, data) : NULL;
        int r = item ? PyList_Append(list, item) : -1;
        Py_XDECREF(item);
        if (r < 0) {
            if (hold != FK_NO_HOLD)
                fk_hold_drop(&fk_family, hold);
            return -1;
        }
    }
    return 0;
}

static PyObject *Queue_take_bytes(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    /* into, max, timeout, claim, index, op, standing */
    long number[7] = {[1] = 1, [5] = FK_OP_QUEUE_GET, [6] = FK_ONE_WAIT};
    fk_handle *h = (fk_handle *)self;
    fk_taken out[TAKE_MOST];
    take_call c = {.q = fk_handle_data(h), .out = out};
    fk_wait w;
    if (!c.q)
        return NULL;
    if (nargs < 3 || nargs > 7 || !PyList_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a list, a number and a timeout expected");
        return NULL;
    }
    for (Py_ssize_t i = 1; i < nargs; i++)
        if (i != 2 && i != 3 && (number[i] = PyLong_AsLong(args[i])) == -1 && PyErr_Occurred())
            return NULL;
    if (fk_parse_timeout(args[2], &w) < 0 ||
        (nargs > 3 && args[3] != Py_None && !(c.take.claim = fk_words_at(args[3], number[4]))))
        return NULL;
    c.max = number[1] < 1 ? 1 : number[1] > TAKE_MOST ? TAKE_MOST : (uint32_t)number[1];
    int r = take(h, &c, &w, (uint32_t)number[5], (int)number[6]);
    if (r > 0)
        return PyLong_FromLong(0);
    if (r < 0 || append_all(args[0], &c) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(c.n);
}

/* ---- many at once ---------------------------------------------------------------------------------- */

enum { WAKE_EVERY = 64 }; /* consumers start on a long batch before it is all inside */

/* The exception that is set stands in line behind the first one. */
typedef struct first_error {
    PyObject *type, *value, *trace;
} first_error;

static void note_error(first_error *e)
{
    if (e->type)
        PyErr_Clear();
    else
        PyErr_Fetch(&e->type, &e->value, &e->trace);
}

typedef struct packed {
    PyObject *data, *extras;
} packed;

static PyObject *pack(const fk_queue *q, PyObject *obj, PyObject **extras)
{
    *extras = NULL;
    PyObject *data = q->redeliver ? Py_NewRef(Py_None) : fk_plain_bytes(obj, NULL);
    if (data != Py_None)
        return data;
    Py_DECREF(data);
    return to_message(obj, extras);
}

/* Put one of several; `quiet` counts those that nobody has been woken for. As put_data. */
static int put_one(fk_handle *h, fk_queue *q, const packed *p, uint32_t *quiet, fk_wait *w)
{
    fk_wait no_wait = FK_WAIT_UNTIL(0);
    put_call c = {.q = q, .put = {.meta = META_OBJECT, .quiet = true}};
    int r = put_data(h, p->data, p->extras, &c, q->maxsize ? &no_wait : w);
    if (r == 0 && ++*quiet < WAKE_EVERY)
        return 0;
    fk_queue_wake(q, *quiet); /* also before we wait for them to make room */
    *quiet = 0;
    if (r <= 0 || w->deadline_ns == 0)
        return r;
    c = (put_call){.q = q, .put = {.meta = META_OBJECT}};
    return put_data(h, p->data, p->extras, &c, w);
}

static PyObject *Queue_put_each(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    fk_queue *q = open_queue(h);
    PyObject *list, *timeout;
    fk_wait w;
    if (!q || !PyArg_ParseTuple(args, "O!O", &PyList_Type, &list, &timeout) ||
        fk_parse_timeout(timeout, &w) < 0)
        return NULL;
    Py_ssize_t n = PyList_GET_SIZE(list), ready = 0, put = 0;
    packed *all = PyMem_Calloc((size_t)n + 1, sizeof *all);
    if (!all)
        return PyErr_NoMemory();
    for (; ready < n && ready < PyList_GET_SIZE(list); ready++)
        if (!(all[ready].data = pack(q, PyList_GET_ITEM(list, ready), &all[ready].extras)))
            break;
    int r = ready < n ? -1 : 0;
    if (r < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "the list became shorter while it was put");
    uint32_t quiet = 0;
    while (r == 0 && put < n && (r = put_one(h, q, &all[put], &quiet, &w)) == 0)
        put++;
    fk_queue_wake(q, quiet);
    for (Py_ssize_t i = 0; i < ready; i++) {
        Py_DECREF(all[i].data);
        Py_XDECREF(all[i].extras);
    }
    PyMem_Free(all);
    if (r > 0)
        fk_raise_of_queue("Full");
    first_error e = {0};
    note_error(&e);
    if (PyList_SetSlice(list, 0, put, NULL) < 0)
        PyErr_Clear();
    PyErr_Restore(e.type, e.value, e.trace);
    return r ? NULL : Py_NewRef(Py_None);
}

/* Append the objects of what was taken. 0, or -1: some could not be rebuilt; the first error is in `e`. */
static int rebuild_all(PyObject *list, const take_call *c, first_error *e)
{
    /* All of them out of the thread's buffer and entry first: to rebuild one may use a queue as well. */
    bool last = c->out[c->n - 1].block != 0;
    uint32_t hold = last ? pass_hold() : FK_NO_HOLD;
    Py_ssize_t n = (Py_ssize_t)c->n - last, made = 0;
    PyObject *raw[TAKE_MOST];
    while (made < n && (raw[made] = bytes_of(c, &c->out[made])))
        made++;
    if (made < n)
        note_error(e);
    for (Py_ssize_t i = 0; i < made + last; i++) {
        PyObject *obj = i < made ? fk_rebuild(raw[i], 0) : fk_block_unpack(hold, false);
        if (!obj || PyList_Append(list, obj) < 0)
            note_error(e);
        Py_XDECREF(obj);
        if (i < made)
            Py_DECREF(raw[i]);
    }
    return e->type ? -1 : 0;
}

static PyObject *Queue_get_each(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    fk_queue *q = open_queue(h);
    PyObject *list, *timeout;
    Py_ssize_t most;
    fk_taken out[TAKE_MOST];
    fk_wait w;
    if (!q || !PyArg_ParseTuple(args, "O!nO", &PyList_Type, &list, &most, &timeout) ||
        fk_parse_timeout(timeout, &w) < 0)
        return NULL;
    first_error e = {0};
    uint64_t left = most > 0 ? (uint64_t)most : UINT64_MAX, taken = 0;
    while (left) {
        take_call c = {.q = q, .out = out, .max = left < TAKE_MOST ? (uint32_t)left : TAKE_MOST};
        c.take.hold = q->joinable ? fk_handle_hold(h) : NULL;
        int r = take(h, &c, &w, FK_OP_QUEUE_GET, FK_ONE_WAIT);
        if (r > 0 && !taken)
            fk_raise_of_queue("Empty");
        else if (r < 0 && taken && PyErr_ExceptionMatches(fk_hooks.shut_down))
            PyErr_Clear(); /* the next call will say so */
        if (r) {
            if (PyErr_Occurred())
                note_error(&e);
            break;
        }
        w.deadline_ns = 0;
        taken += c.n;
        left -= c.n;
        if (rebuild_all(list, &c, &e) < 0)
            break;
        if (most <= 0 && left > fk_queue_size(q))
            left = fk_queue_size(q);
    }
    if (!e.type)
        Py_RETURN_NONE;
    PyErr_Restore(e.type, e.value, e.trace);
    return NULL;
}

/* ---- the rest --------------------------------------------------------------------------------------- */

static PyObject *Queue_qsize(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_queue *q = fk_handle_data((fk_handle *)self);
    return q ? PyLong_FromUnsignedLongLong(fk_queue_size(q)) : NULL;
}

static uint64_t unfinished(const fk_queue *q)
{
    return q->joinable || q->redeliver ? fk_queue_unfinished(q) : 0;
}

static PyObject *Queue_counts(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_queue *q = fk_handle_data((fk_handle *)self);
    return q ? Py_BuildValue("KKK", (unsigned long long)fk_queue_size(q),
                             (unsigned long long)q->maxsize, (unsigned long long)unfinished(q))
             : NULL;
}

static unsigned waiting(uint64_t object, uint32_t op)
{
    unsigned n = 0;
    uint32_t high = atomic_load(&fk_head(&fk_family)->board_high);
    fk_seen s;
    for (uint32_t i = 0; i < high; i++)
        n += fk_board_see(&fk_family, i, &s) && s.object == object && s.op == op;
    return n;
}

static PyObject *Queue_look(PyObject *self, PyObject *unused)
{
    (void)unused;
    uint64_t off = ((fk_handle *)self)->off;
    fk_queue *q = fk_handle_data((fk_handle *)self);
    if (!q)
        return NULL;
    unsigned long long size = fk_queue_size(q), put = fk_queue_put_in_all(q);
    return Py_BuildValue("KKKKKKIIII", size, (unsigned long long)q->maxsize, put, put - size,
                         (unsigned long long)unfinished(q),
                         (unsigned long long)fk_queue_lost(&fk_family, q),
                         waiting(off, FK_OP_QUEUE_GET), waiting(off, FK_OP_QUEUE_PUT),
                         waiting(off, FK_OP_QUEUE_JOIN), atomic_load(&q->shut));
}

static PyObject *Queue_redelivers(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_queue *q = fk_handle_data((fk_handle *)self);
    return q ? PyLong_FromUnsignedLong(q->redeliver) : NULL;
}

static PyObject *Queue_shutdown(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    fk_queue *q = fk_handle_data((fk_handle *)self);
    Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (!q)
        return NULL;
    if (nargs + nkw > 1 ||
        (nkw && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "immediate") != 0)) {
        PyErr_SetString(PyExc_TypeError, "shutdown() takes at most one argument: immediate");
        return NULL;
    }
    int immediate = nargs + nkw ? PyObject_IsTrue(args[0]) : 0;
    if (immediate < 0)
        return NULL;
    fk_queue_shutdown(&fk_family, q, immediate);
    Py_RETURN_NONE;
}

static PyObject *Queue_task_done(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_handle *h = (fk_handle *)self;
    fk_queue *q = fk_handle_data(h);
    if (!q)
        return NULL;
    if (fk_queue_done(&fk_family, q, fk_handle_hold(h)) != FK_OK) {
        PyErr_SetString(PyExc_ValueError,
                        q->redeliver ? "task_done() called too many times: this thread has no item "
                                       "of the queue in hand (with redeliver, who took it says so)"
                                     : "task_done() called too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

typedef struct join_call {
    fk_queue *q;
    uint64_t lost;
} join_call;

static fk_status do_join(void *arg, fk_wait *w)
{
    join_call *c = arg;
    w->grows = true;
    return fk_queue_join(&fk_family, c->q, &c->lost, w);
}

static PyObject *Queue_join(PyObject *self, PyObject *timeout)
{
    fk_handle *h = (fk_handle *)self;
    join_call c = {.q = fk_handle_data(h)};
    fk_wait w;
    fk_status st;
    if (!c.q || fk_parse_timeout(timeout, &w) < 0 ||
        fk_blocking(do_join, &c, &w, FK_OP_QUEUE_JOIN, h->off, &st) < 0)
        return NULL;
    if (st == FK_OK)
        Py_RETURN_TRUE;
    if (st == FK_AGAIN || st == FK_TIMEOUT)
        Py_RETURN_FALSE;
    if (st != FK_OWNER_DIED)
        return fk_raise(st, "joining a queue");
    PyObject *e = PyObject_CallFunction(fk_hooks.lost, "OK", self, (unsigned long long)c.lost);
    if (e) {
        PyErr_SetObject((PyObject *)Py_TYPE(e), e);
        Py_DECREF(e);
    }
    return NULL;
}

static PyObject *Queue_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    ((fk_handle *)self)->closed = true;
    Py_RETURN_NONE;
}

static PyObject *Queue_closed(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(((fk_handle *)self)->closed);
}

static PyObject *Queue_create(PyObject *self, PyObject *args)
{
    fk_handle *h = (fk_handle *)self;
    long long maxsize;
    int joinable;
    unsigned int redeliver = 0;
    if (!PyArg_ParseTuple(args, "Lp|I", &maxsize, &joinable, &redeliver) ||
        fk_handle_create(h, sizeof(fk_queue), FK_KIND_QUEUE) < 0)
        return NULL;
    fk_status st =
        fk_queue_init(&fk_family, h->data, maxsize > 0 ? (uint64_t)maxsize : 0, joinable);
    if (st == FK_OK && redeliver)
        st = fk_queue_redeliver(&fk_family, h->data, redeliver);
    if (st != FK_OK)
        return fk_raise(st, "making a queue");
    Py_RETURN_NONE;
}

_Static_assert(FK_OP_QUEUE_GET == 6, "the signature of _take_bytes says so");

static PyMethodDef methods[] = {
    FK_METHOD(
        "put", Queue_put,
        "put($self, /, obj, block=True, timeout=None)\n--\n\nAppend an object. It is pickled here "
        "and now: "
        "what cannot be pickled raises here, and when\nput returns any process can get it.\n\n"
        "Raises:\n    queue.Full: no room (in that time).\n    ShutDown: the queue was shut "
        "down.\n    ValueError: this handle was closed."),
    FK_METHOD("get", Queue_get,
              "get($self, /, block=True, timeout=None)\n--\n\nTake the first object.\n\nRaises:\n  "
              "  queue.Empty: "
              "nothing there (in that time).\n    ShutDown: the queue was shut down and is "
              "empty.\n    ValueError: this handle was closed."),
    {"_put_bytes", (PyCFunction)(void (*)(void))Queue_put_bytes, METH_FASTCALL,
     "_put_bytes($self, message, meta, /)\n--\n\nAppend bytes, or (bytes, list of buffers), as "
     "they are "
     "and return their sequence number."},
    {"_put_many", Queue_put_many, METH_VARARGS,
     "_put_many($self, list, meta, /)\n--\n\nAppend each of the messages in the list, then wake "
     "whoever waits for "
     "them. Return the number of the\nfirst; they follow one another if nobody else puts."},
    {"_take_bytes", (PyCFunction)(void (*)(void))Queue_take_bytes, METH_FASTCALL,
     "_take_bytes($self, into, max, timeout, claim=None, index=0, op=6, "
     "standing=0, /)\n--\n\nTake up to max messages that "
     "_put_bytes put, at once; append (seq, meta, message) of each to the list\n`into` (so that no "
     "signal handler can come between taking and having) and return how many; 0\nafter the "
     "timeout. Word `index` of `claim` is set to the last seq + 1 before the take commits. "
     "op and standing\nsay what the wait is on the board."},
    {"_put_each", Queue_put_each, METH_VARARGS,
     "_put_each($self, objs, timeout, /)\n--\n\nPickle the objects of a list, then append each; "
     "take "
     "off the list what was put, also when this raises\nqueue.Full."},
    {"_get_each", Queue_get_each, METH_VARARGS,
     "_get_each($self, into, most, timeout, /)\n--\n\nTake up to `most` objects (0: those that are "
     "inside), and wait for the first. What could be rebuilt is\nin the list, also when this "
     "raises."},
    {"qsize", Queue_qsize, METH_NOARGS,
     "qsize($self, /)\n--\n\nReturn how many objects are inside."},
    {"_counts", Queue_counts, METH_NOARGS,
     "_counts($self, /)\n--\n\nReturn (size, maxsize, unfinished)."},
    {"_look", Queue_look, METH_NOARGS,
     "_look($self, /)\n--\n\nReturn (size, maxsize, put, taken, unfinished, lost, getting, "
     "putting, "
     "joining, shut)."},
    {"_redelivers", Queue_redelivers, METH_NOARGS,
     "_redelivers($self, /)\n--\n\nReturn how often an item may be given to another consumer."},
    FK_METHOD("shutdown", Queue_shutdown,
              "shutdown($self, /, immediate=False)\n--\n\nLet no more in; get() raises ShutDown "
              "once the queue is "
              "empty, at once if immediate."),
    {"_task_done", Queue_task_done, METH_NOARGS,
     "_task_done($self, /)\n--\n\nOne item has been dealt with."},
    {"_join", Queue_join, METH_O,
     "_join($self, timeout, /)\n--\n\nWait until all items are done; return whether they are."},
    {"_close", Queue_close, METH_NOARGS,
     "_close($self, /)\n--\n\nLet put() and get() of this handle raise."},
    {"_is_closed", Queue_closed, METH_NOARGS,
     "_is_closed($self, /)\n--\n\nReturn whether it was closed."},
    {"_create", Queue_create, METH_VARARGS,
     "_create($self, maxsize, joinable, /)\n--\n\nMake a new shared queue."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "__class_getitem__($type, item, /)\n--\n\nFor annotations: Queue[int]."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, fk_handle_new},
    {Py_tp_dealloc, fk_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A queue of messages in shared memory."},
    {0, NULL},
};

PyType_Spec fk_queue_spec = {.name = "forkful._native.Queue",
                             .basicsize = sizeof(fk_handle),
                             .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                             .slots = slots};
