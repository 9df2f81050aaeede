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

static PyObject *stream_take(PyObject *m, PyObject *arg)
{
    (void)m;
    int fd = (int)PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    uint64_t size, done = 0;
    fk_status st = fk_stream_look(fd, &size);
    if (st == FK_AGAIN) {
        Py_BEGIN_ALLOW_THREADS
            st = fk_stream_watch(fd, &size);
        Py_END_ALLOW_THREADS
    }
    if (st == FK_AGAIN)
        Py_RETURN_NONE;
    if (st != FK_OK)
        return failed(st, false);
    PyObject *data = size <= PY_SSIZE_T_MAX ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size)
                                            : PyErr_NoMemory();
    while (data) {
        Py_BEGIN_ALLOW_THREADS
            st = fk_stream_read(fd, PyBytes_AS_STRING(data), size, &done);
        Py_END_ALLOW_THREADS
        if (st == FK_OK)
            break;
        if (st != FK_INTR) {
            failed(st, true);
            Py_CLEAR(data);
        } else if (PyErr_CheckSignals() < 0) {
            Py_CLEAR(data);
        }
    }
    return data;
}

static PyObject *stream_put(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "stream_put(fd, data)");
        return NULL;
    }
    int fd = (int)PyLong_AsLong(args[0]);
    Py_buffer data;
    if ((fd == -1 && PyErr_Occurred()) || PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    uint64_t done = 0;
    fk_status st;
    do {
        Py_BEGIN_ALLOW_THREADS
            st = fk_stream_write(fd, data.buf, (uint64_t)data.len, &done);
        Py_END_ALLOW_THREADS
    } while (st == FK_INTR && PyErr_CheckSignals() == 0);
    PyBuffer_Release(&data);
    if (st == FK_OK)
        Py_RETURN_NONE;
    return st == FK_INTR ? NULL : failed(st, true);
}

PyMethodDef fk_stream_methods[] = {
    {"stream_take", stream_take, METH_O,
     "stream_take($module, fd, /)\n--\n\nThe bytes of the next message that came through a socket "
     "or "
     "pipe, or None: none has begun to.\nLooks for some microseconds, without sleep; waits for "
     "the rest of one that has begun.\nRaises EOFError: no more will come; OSError."},
    {"stream_put", (PyCFunction)(void (*)(void))stream_put, METH_FASTCALL,
     "stream_put($module, fd, data, /)\n--\n\nSend less than 2 GiB as one message; waits for room. "
     "Raises OSError."},
    {NULL, NULL, 0, NULL},
};
