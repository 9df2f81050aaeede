#include "bind.h"

#include <math.h>
#include <time.h>

static bool is_ours(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool ours = false;
    for (Py_ssize_t i = 0; !ours && i < PyTuple_GET_SIZE(fk_hooks.homes); i++)
        ours = PyUnicode_Tailmatch(code->co_filename, PyTuple_GET_ITEM(fk_hooks.homes, i), 0,
                                   PY_SSIZE_T_MAX, -1) > 0;
    Py_DECREF(code);
    return ours;
}

/* The innermost frame that is neither forkful's nor multiprocessing's; if all are, the innermost one. A new reference. */
static PyFrameObject *callers_frame(void)
{
    PyFrameObject *innermost = PyEval_GetFrame(); /* borrowed */
    PyFrameObject *frame = (PyFrameObject *)Py_XNewRef(innermost);
    while (frame && is_ours(frame)) {
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    return frame ? frame : (PyFrameObject *)Py_XNewRef(innermost);
}

uint32_t fk_site(char *file, size_t size)
{
    file[0] = 0;
    PyFrameObject *frame = callers_frame();
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
    Py_DECREF(frame);
    return line > 0 ? (uint32_t)line : 0;
}

int fk_tell_quiet(void)
{
    if (fk_hooks.quiet == Py_None)
        return 0;
    PyObject *r = PyObject_CallNoArgs(fk_hooks.quiet);
    int quiet = r ? PyObject_IsTrue(r) : -1;
    Py_XDECREF(r);
    if (quiet >= 0)
        fk_board_tell_quiet(&fk_family, quiet);
    return quiet < 0 ? -1 : 0;
}

bool fk_is_standstill(void)
{
    bool still;
    Py_BEGIN_ALLOW_THREADS /* which our other threads need to fall asleep again */
        still = fk_still_family(&fk_family);
    Py_END_ALLOW_THREADS
    return still;
}

/* What this thread has used of a processor. */
static uint64_t used_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Waits that end by themselves when another process ends, or that only serve others, raise nothing. */
static bool may_raise(uint32_t op)
{
    return op != FK_OP_PROCESS && op != FK_OP_TASK && op != FK_OP_RESULTS;
}

/* After a slice of a wait without a deadline: say, once (*told), whether this process is quiet, and look
 * whether the whole family is deadlocked. *error: the DeadlockError, a new reference, or NULL.
 * 0, or -1 with an exception (of a signal handler). */
static int look_round(uint32_t op, bool *told, PyObject **error)
{
    *error = NULL;
    uint64_t waited = fk_now_ns() - fk_board_since(&fk_family);
    if (!*told && waited >= FK_QUIET_AFTER_NS) {
        *told = true;
        if (fk_tell_quiet() < 0)
            return -1;
    }
    if (fk_hooks.examine == Py_None || !may_raise(op) || waited < FK_STILL_AFTER_NS ||
        !fk_still_turn(&fk_family))
        return 0;
    uint64_t used = used_ns();
    PyObject *found =
        fk_is_standstill() ? PyObject_CallNoArgs(fk_hooks.examine) : Py_NewRef(Py_False);
    if (!found)
        return -1;
    if (found == Py_False)
        fk_still_pass(&fk_family, used_ns() - used);
    if (PyExceptionInstance_Check(found))
        *error = found;
    else
        Py_DECREF(found);
    return 0;
}

static FK_COLD int park(fk_wait_fn fn, void *arg, fk_wait *w, uint32_t op, uint64_t object,
                        fk_status *st, int standing)
{
    char file[80];
    uint32_t line = fk_site(file, sizeof file);
    bool endless = standing || w->deadline_ns == FK_NEVER, told = false;
    uint32_t number = 0;
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
            if (number == 0 || fk_board_wait(&fk_family) != number) {
                w->nap = standing
                             ? fk_board_stand(&fk_family, standing == FK_STANDING_AGAIN, op, object,
                                              file, line)
                             : fk_board_enter(&fk_family, op, object, w->deadline_ns, file, line);
                number = fk_board_wait(&fk_family);
                told = false;
            }
            *st = fn(arg, w);
            if (*st != FK_INTR && !standing) /* before the GIL: it no longer waits for this */
                fk_board_leave(&fk_family);
        Py_END_ALLOW_THREADS
        bool over = *st != FK_INTR;
        if (over && *st != FK_TIMEOUT)
            endless = false;
        PyObject *error = NULL;
        int r = over ? 0 : PyErr_CheckSignals();
        if (r == 0 && !over)
            fk_reap_all(&fk_family);
        if (r == 0 && endless && (!over || standing))
            r = look_round(op, &told, &error);
        if (error) {
            fk_wait now = {.deadline_ns = 0};
            *st = fn(arg, &now); /* the last word is with what it waits for */
            if (*st == FK_AGAIN || *st == FK_INTR) {
                PyErr_SetObject(PyExceptionInstance_Class(error), error);
                r = -1;
            }
            over = true;
            Py_DECREF(error);
        }
        if (over || r < 0) {
            fk_board_leave(&fk_family);
            return r;
        }
    }
}

int fk_blocking_on(fk_wait_fn fn, void *arg, fk_wait *w, uint32_t op, uint64_t object,
                   fk_status *st, int standing)
{
    fk_wait now = {.deadline_ns = 0};
    *st = fn(arg, &now);
    if (FK_LIKELY(*st != FK_AGAIN && *st != FK_INTR))
        return 0;
    if (w->deadline_ns == 0 && *st == FK_AGAIN)
        return 0;
    return park(fn, arg, w, op, object, st, standing);
}

int fk_blocking(fk_wait_fn fn, void *arg, fk_wait *w, uint32_t op, uint64_t object, fk_status *st)
{
    return fk_blocking_on(fn, arg, w, op, object, st, FK_ONE_WAIT);
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
