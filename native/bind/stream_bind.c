/* Messages over sockets and pipes. */
#include "bind.h"
#include "lift.h"
#include "stream.h"

static PyObject *failed(fk_status st, bool begun)
{
    if (st != FK_SHUTDOWN)
        return st == FK_CORRUPT ? PyErr_Format(PyExc_OSError, "bad message length")
                                : fk_raise(st, "a pipe");
    if (begun)
        PyErr_SetString(PyExc_OSError, "got end of file during message");
    else
        PyErr_SetNone(PyExc_EOFError);
    return NULL;
}

/* What is read or written, for calls that sleep. */
typedef struct transfer {
    int fd;
    char *data;
    uint64_t size, done;
} transfer;

/* Whether a message is transferred with the GIL held: to copy so few bytes takes no longer than to let go of it
 * and to take it again. But a thread that always finds a message would never let others run. */
static bool keeps_gil(const transfer *t)
{
    static _Thread_local unsigned turn;
    return t->size <= 4096 && ++turn % 8 != 0;
}

static fk_status do_await(void *arg) { return fk_stream_await(((transfer *)arg)->fd); }

static fk_status do_read(void *arg)
{
    transfer *t = arg;
    return fk_stream_read(t->fd, t->data, t->size, &t->done);
}

static fk_status do_write(void *arg)
{
    transfer *t = arg;
    return fk_stream_write(t->fd, t->data, t->size, &t->done);
}

/* Wait on the board until a message begins. 0; 1: the descriptor is one that never waits; -1. */
static int wait_for_message(transfer *t)
{
    if (fk_stream_never_waits(t->fd))
        return 1;
    fk_status st;
    if (fk_sleeping(do_await, t, FK_OP_RECV, (uint64_t)t->fd, &st) < 0)
        return -1;
    if (st == FK_OK)
        return 0;
    fk_raise(st, "a pipe");
    return -1;
}

/* Wait until a message begins, and tell its size. 1; 0: none has, and the descriptor is one that never waits;
 * -1. */
static int begin(transfer *t, PyObject *fd)
{
    t->fd = (int)PyLong_AsLong(fd);
    if (t->fd == -1 && PyErr_Occurred())
        return -1;
    fk_stream_head head = {.done = 0};
    fk_status st;
    while ((st = fk_stream_look(t->fd, &head)) == FK_AGAIN) {
        Py_BEGIN_ALLOW_THREADS
            st = fk_stream_watch(t->fd, &head);
        Py_END_ALLOW_THREADS
        if (st != FK_AGAIN)
            break;
        int r = wait_for_message(t);
        if (r != 0)
            return r < 0 ? -1 : 0;
    }
    t->size = head.size;
    if (st == FK_OK)
        return 1;
    failed(st, head.done > 0);
    return -1;
}

/* After a try that came to `st`: let `rest` do what is left, which may sleep. 0 or -1. */
static int complete(transfer *t, fk_status st, fk_status (*rest)(void *), uint32_t op)
{
    if (st == FK_AGAIN && fk_sleeping(rest, t, op, (uint64_t)t->fd, &st) < 0)
        return -1;
    if (st == FK_OK)
        return 0;
    failed(st, true);
    return -1;
}

/* Read it, all of it, to t->data. 0 or -1. */
static int finish(transfer *t)
{
    fk_status st;
    if (keeps_gil(t)) {
        st = fk_stream_try_read(t->fd, t->data, t->size, &t->done);
    } else {
        Py_BEGIN_ALLOW_THREADS
            st = fk_stream_try_read(t->fd, t->data, t->size, &t->done);
        Py_END_ALLOW_THREADS
    }
    return complete(t, st, do_read, FK_OP_RECV);
}

static PyObject *finish_bytes(transfer *t)
{
    PyObject *data = fk_fresh(t->size, true, &t->data);
    if (data && finish(t) < 0)
        Py_CLEAR(data);
    return data;
}

static PyObject *stream_take(PyObject *m, PyObject *fd)
{
    (void)m;
    transfer t = {0};
    int r = begin(&t, fd);
    if (r > 0)
        return finish_bytes(&t);
    return r == 0 ? Py_NewRef(Py_None) : NULL;
}

/* A message from which large bytes are lifted, for calls that sleep. */
typedef struct arrival {
    int fd;
    fk_lift lift;
} arrival;

static fk_status do_go_on(void *arg)
{
    arrival *a = arg;
    return fk_lift_go_on(&a->lift, a->fd, fk_stream_read);
}

/* Go on until an object has to be made, or to the end. 0 or -1. */
static int go_on(arrival *a)
{
    fk_status st;
    Py_BEGIN_ALLOW_THREADS
        st = fk_lift_go_on(&a->lift, a->fd, fk_stream_try_read);
    Py_END_ALLOW_THREADS
    if (st == FK_AGAIN && (PyErr_CheckSignals() < 0 || /* what came meanwhile ends no sleep */
                           fk_sleeping(do_go_on, a, FK_OP_RECV, (uint64_t)a->fd, &st) < 0))
        return -1;
    if (st == FK_OK)
        return 0;
    if (st == FK_NOMEM)
        PyErr_NoMemory();
    else
        failed(st, true);
    return -1;
}

/* The object that is lifted next, empty, in the list of all; 0 or -1. */
static int make_place(fk_lift *l, PyObject *lifted)
{
    char *data;
    PyObject *o = fk_fresh(l->large, l->fixed, &data);
    if (!o)
        return -1;
    fk_lift_to(l, data);
    int r = PyList_Append(lifted, o);
    Py_DECREF(o);
    return r;
}

/* Read a large message, all of it, and make the object. */
static PyObject *finish_large(const transfer *t)
{
    arrival a = {.fd = t->fd, .lift = {.left = t->size}};
    fk_lift *l = &a.lift;
    PyObject *lifted = PyList_New(0), *obj = NULL;
    int r = lifted ? go_on(&a) : -1;
    while (r == 0 && l->large > 0) {
        r = make_place(l, lifted);
        if (r == 0)
            r = go_on(&a);
    }
    if (r == 0) {
        PyObject *kept = PyMemoryView_FromMemory((char *)l->kept, (Py_ssize_t)l->have, PyBUF_READ);
        obj = kept ? fk_unpickle(kept, PyList_GET_SIZE(lifted) > 0 ? lifted : NULL) : NULL;
        Py_XDECREF(kept);
    }
    Py_XDECREF(lifted);
    free(l->kept);
    return obj;
}

static PyObject *stream_recv(PyObject *m, PyObject *fd)
{
    (void)m;
    transfer t = {0};
    int r = begin(&t, fd);
    if (r <= 0) {
        errno = EAGAIN;
        return r == 0 ? PyErr_SetFromErrno(PyExc_OSError) : NULL;
    }
    PyObject *data = NULL, *obj = NULL;
    if (t.size <= FK_PLAIN_MOST) {
        char small[FK_PLAIN_MOST];
        t.data = small;
        if (finish(&t) < 0)
            return NULL;
        obj = fk_opcodes_read(small, t.size);
        data = obj ? NULL : PyBytes_FromStringAndSize(small, (Py_ssize_t)t.size);
    } else if (t.size > FK_LIFT_LEAST) {
        return finish_large(&t);
    } else {
        data = finish_bytes(&t);
    }
    if (data)
        obj = fk_unpickle(data, NULL);
    Py_XDECREF(data);
    return obj;
}

static PyObject *stream_wait(PyObject *m, PyObject *arg)
{
    (void)m;
    transfer t = {.fd = (int)PyLong_AsLong(arg)};
    if ((t.fd == -1 && PyErr_Occurred()) || wait_for_message(&t) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Write a message, t->data. 0 or -1. */
static int write_all(transfer *t)
{
    fk_status st = FK_AGAIN;
    if (keeps_gil(t))
        st = fk_stream_try_send(t->fd, t->data, t->size, &t->done);
    if (st == FK_AGAIN) {
        Py_BEGIN_ALLOW_THREADS
            st = fk_stream_try_write(t->fd, t->data, t->size, &t->done);
        Py_END_ALLOW_THREADS
    }
    return complete(t, st, do_write, FK_OP_SEND);
}

/* What is written in parts, for calls that sleep. */
typedef struct parcel {
    int fd;
    struct iovec *parts;
    size_t n;
} parcel;

static fk_status do_write_parts(void *arg)
{
    parcel *p = arg;
    return fk_stream_write_parts(p->fd, &p->parts, &p->n);
}

/* Write a message of any length that is n buffers. 0 or -1. */
static int write_parts(int fd, const Py_buffer *buffers, Py_ssize_t n)
{
    struct iovec *parts = PyMem_New(struct iovec, n + 1);
    if (!parts) {
        PyErr_NoMemory();
        return -1;
    }
    unsigned char head[12];
    uint64_t size = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        parts[1 + i] = (struct iovec){buffers[i].buf, (size_t)buffers[i].len};
        size += (uint64_t)buffers[i].len;
    }
    parts[0] = (struct iovec){head, fk_stream_make_head(head, size)};
    parcel p = {fd, parts, (size_t)n + 1};
    fk_status st;
    int r = fk_sleeping(do_write_parts, &p, FK_OP_SEND, (uint64_t)fd, &st);
    if (r == 0 && st != FK_OK) {
        failed(st, true);
        r = -1;
    }
    PyMem_Free(parts);
    return r;
}

/* Write a message that is what the objects of a list hold. 0 or -1. */
static int write_list(int fd, PyObject *list)
{
    Py_ssize_t n = 0, most = PyList_GET_SIZE(list);
    Py_buffer *buffers = PyMem_New(Py_buffer, most);
    if (!buffers) {
        PyErr_NoMemory();
        return -1;
    }
    while (n < most && PyObject_GetBuffer(PyList_GET_ITEM(list, n), &buffers[n], PyBUF_SIMPLE) == 0)
        n++;
    int r = n == most ? write_parts(fd, buffers, n) : -1;
    while (n > 0)
        PyBuffer_Release(&buffers[--n]);
    PyMem_Free(buffers);
    return r;
}

static PyObject *stream_put(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "stream_put(fd, data)");
        return NULL;
    }
    transfer t = {.fd = (int)PyLong_AsLong(args[0])};
    if (t.fd == -1 && PyErr_Occurred())
        return NULL;
    PyObject *whole = args[1];
    if (PyList_Check(whole)) {
        if (PyList_GET_SIZE(whole) != 1)
            return write_list(t.fd, whole) == 0 ? Py_NewRef(Py_None) : NULL;
        whole = PyList_GET_ITEM(whole, 0);
    }
    Py_buffer data;
    if (PyObject_GetBuffer(whole, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    t.data = data.buf;
    t.size = (uint64_t)data.len;
    int r = t.size <= INT32_MAX ? write_all(&t) : write_parts(t.fd, &data, 1);
    PyBuffer_Release(&data);
    return r == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *stream_send(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "stream_send(fd, obj)");
        return NULL;
    }
    char small[FK_PLAIN_MOST];
    transfer t = {.fd = (int)PyLong_AsLong(args[0]), .data = small};
    if (t.fd == -1 && PyErr_Occurred())
        return NULL;
    t.size = fk_opcodes_write(args[1], (uint8_t *)small, sizeof small);
    if (t.size == 0)
        Py_RETURN_FALSE;
    return write_all(&t) == 0 ? Py_NewRef(Py_True) : NULL;
}

PyMethodDef fk_stream_methods[] = {
    {"stream_take", stream_take, METH_O,
     "stream_take($module, fd, /)\n--\n\nThe bytes of the next message that comes through a socket "
     "or pipe; waits for it, on the board.\nNone: none has begun to come, and the descriptor is "
     "one that "
     "does not block.\nRaises EOFError: no more will come; OSError."},
    {"stream_wait", stream_wait, METH_O,
     "stream_wait($module, fd, /)\n--\n\nWait, on the board, until something can be read, or never "
     "will; not if it does not block."},
    {"stream_put", (PyCFunction)(void (*)(void))stream_put, METH_FASTCALL,
     "stream_put($module, fd, data, /)\n--\n\nSend a buffer, or those of a list one after the "
     "other, "
     "as one message; waits for room.\nRaises OSError."},
    {"stream_recv", stream_recv, METH_O,
     "stream_recv($module, fd, /)\n--\n\nThe object whose pickle is the next message that comes; "
     "waits for it, on the board.\nRaises EOFError: no more will come; BlockingIOError: none has "
     "begun to come, and the descriptor is one that does not block; OSError; what unpickling "
     "does."},
    {"stream_send", (PyCFunction)(void (*)(void))stream_send, METH_FASTCALL,
     "stream_send($module, fd, obj, /)\n--\n\nSend a small object of exact builtin types, pickled; "
     "waits for room. Returns False, and sends\nnothing, if it is no such object. Raises OSError."},
    {NULL, NULL, 0, NULL},
};
