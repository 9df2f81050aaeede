/* Messages over sockets and pipes. */
#include "bind.h"
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

static PyObject *stream_take(PyObject *m, PyObject *arg)
{
    (void)m;
    transfer t = {.fd = (int)PyLong_AsLong(arg)};
    if (t.fd == -1 && PyErr_Occurred())
        return NULL;
    fk_status st;
    while ((st = fk_stream_look(t.fd, &t.size)) == FK_AGAIN) {
        Py_BEGIN_ALLOW_THREADS
            st = fk_stream_watch(t.fd, &t.size);
        Py_END_ALLOW_THREADS
        if (st != FK_AGAIN)
            break;
        int r = wait_for_message(&t);
        if (r > 0)
            Py_RETURN_NONE;
        if (r < 0)
            return NULL;
    }
    if (st != FK_OK)
        return failed(st, false);
    PyObject *data = t.size <= PY_SSIZE_T_MAX ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)t.size)
                                              : PyErr_NoMemory();
    if (!data)
        return NULL;
    t.data = PyBytes_AS_STRING(data);
    Py_BEGIN_ALLOW_THREADS
        st = fk_stream_try_read(t.fd, t.data, t.size, &t.done);
    Py_END_ALLOW_THREADS
    if (st == FK_AGAIN && fk_sleeping(do_read, &t, FK_OP_RECV, (uint64_t)t.fd, &st) < 0)
        Py_CLEAR(data);
    else if (st != FK_OK) {
        failed(st, true);
        Py_CLEAR(data);
    }
    return data;
}

static PyObject *stream_wait(PyObject *m, PyObject *arg)
{
    (void)m;
    transfer t = {.fd = (int)PyLong_AsLong(arg)};
    if ((t.fd == -1 && PyErr_Occurred()) || wait_for_message(&t) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *stream_put(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "stream_put(fd, data)");
        return NULL;
    }
    transfer t = {.fd = (int)PyLong_AsLong(args[0])};
    Py_buffer data;
    if ((t.fd == -1 && PyErr_Occurred()) || PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    t.data = data.buf;
    t.size = (uint64_t)data.len;
    fk_status st;
    Py_BEGIN_ALLOW_THREADS
        st = fk_stream_try_write(t.fd, t.data, t.size, &t.done);
    Py_END_ALLOW_THREADS
    int r = st == FK_AGAIN ? fk_sleeping(do_write, &t, FK_OP_SEND, (uint64_t)t.fd, &st) : 0;
    PyBuffer_Release(&data);
    if (r < 0)
        return NULL;
    return st == FK_OK ? Py_NewRef(Py_None) : failed(st, true);
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
     "stream_put($module, fd, data, /)\n--\n\nSend less than 2 GiB as one message; waits for room. "
     "Raises OSError."},
    {NULL, NULL, 0, NULL},
};
