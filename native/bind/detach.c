#include "bind.h"

#include <math.h>

/* Where the caller stands, for the board: the end of the file's path and the line. */
static uint32_t site(char *file, size_t size)
{
    file[0] = 0;
    PyFrameObject *frame = PyEval_GetFrame(); /* borrowed */
    if (!frame)
        return 0;
    PyCodeObject *code = PyFrame_GetCode(frame);
    Py_ssize_t n;
    const char *path = PyUnicode_AsUTF8AndSize(code->co_filename, &n);
    if (path) {
        size_t skip = (size_t)n >= size ? (size_t)n - size + 1 : 0;
        memcpy(file, path + skip, (size_t)n - skip + 1);
    } else {
        PyErr_Clear();
    }
    Py_DECREF(code);
    int line = PyFrame_GetLineNumber(frame);
    return line > 0 ? (uint32_t)line : 0;
}

int fk_blocking(fk_wait_fn fn, void *arg, fk_wait *w, uint32_t op, uint64_t object, fk_status *st)
{
    fk_wait now = {.deadline_ns = 0};
    *st = fn(arg, &now);
    if (FK_LIKELY(*st != FK_AGAIN && *st != FK_INTR))
        return 0;
    if (w->deadline_ns == 0 && *st == FK_AGAIN)
        return 0;

    char file[80];
    uint32_t line = site(file, sizeof file);
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
            fk_board_enter(&fk_family, op, object, w->deadline_ns, file, line);
            *st = fn(arg, w);
            fk_board_leave(&fk_family);
        Py_END_ALLOW_THREADS
        if (*st != FK_INTR)
            return 0;
        if (PyErr_CheckSignals() < 0)
            return -1;
        fk_reap_all(&fk_family);
    }
}

int fk_parse_timeout(PyObject *timeout, fk_wait *w)
{
    *w = (fk_wait)FK_WAIT_UNTIL(FK_NEVER);
    if (!timeout || timeout == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout is not a number");
        return -1;
    }
    if (seconds <= 0)
        w->deadline_ns = 0;
    else if (seconds < 9e9) /* centuries on: for ever */
        w->deadline_ns = fk_now_ns() + (uint64_t)(seconds * 1e9);
    return 0;
}

int fk_parse_wait(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, Py_ssize_t first,
                  fk_wait *w)
{
    PyObject *block = Py_True, *timeout = Py_None;
    if (nargs > first + 2) {
        PyErr_Format(PyExc_TypeError, "at most %zd arguments expected, %zd given", first + 2,
                     nargs);
        return -1;
    }
    if (nargs > first)
        block = args[first];
    if (nargs > first + 1)
        timeout = args[first + 1];
    Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < nkw; i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i), *value = args[nargs + i];
        Py_ssize_t position;
        if (PyUnicode_CompareWithASCIIString(key, "block") == 0)
            position = 0, block = value;
        else if (PyUnicode_CompareWithASCIIString(key, "timeout") == 0)
            position = 1, timeout = value;
        else if (first == 1 && PyUnicode_CompareWithASCIIString(key, "obj") == 0)
            position = -1; /* the caller's */
        else {
            PyErr_Format(PyExc_TypeError, "unexpected keyword argument '%U'", key);
            return -1;
        }
        if (nargs > first + position) {
            PyErr_Format(PyExc_TypeError, "argument '%U' given twice", key);
            return -1;
        }
    }
    int blocking = block == Py_True ? 1 : PyObject_IsTrue(block);
    if (blocking < 0)
        return -1;
    if (fk_parse_timeout(timeout, w) < 0)
        return -1;
    if (!blocking)
        w->deadline_ns = 0;
    return 0;
}
