#include "bind.h"

#include <math.h>
#include <time.h>

uint32_t fk_site(char *file, size_t size)
{
    file[0] = 0;
    PyFrameObject *frame = fk_callers_frame();
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
static bool may_raise(uint32_t op) { return op != FK_OP_PROCESS && op < FK_OP_TASK; }

/* What a wait has done about its being one of a deadlock. */
typedef struct look {
    bool told;          /* whether this process is quiet */
    uint64_t circle_ns; /* when to look for a circle of locks next */
} look;

/* *error: an exception that `found` is, a new reference. Takes `found` over. 0, or -1 with an exception. */
static int take_finding(PyObject *found, PyObject **error)
{
    if (!found)
        return -1;
    if (PyExceptionInstance_Check(found))
        *error = found;
    else
        Py_DECREF(found);
    return 0;
}

/* Each that waits for a lock looks for itself, once a second and so seldom that it takes no more than
 * 2 % of a processor: who is in no circle is soon done. */
static int look_for_circle(uint64_t object, look *l, PyObject **error)
{
    uint64_t now = fk_now_ns();
    if (now < l->circle_ns || !fk_circle_suspected(&fk_family, object))
        return 0;
    uint64_t used = used_ns();
    PyObject *found = PyObject_CallNoArgs(fk_hooks.circle);
    used = used_ns() - used;
    l->circle_ns = now + (50 * used > FK_LOOK_EVERY_NS ? 50 * used : FK_LOOK_EVERY_NS);
    return take_finding(found, error);
}

/* After a slice of a wait without a deadline: say, once, whether this process is quiet, and look whether it
 * waits for itself, or the whole family is deadlocked. *error: the DeadlockError, a new reference, or NULL.
 * 0, or -1 with an exception (of a signal handler). */
static int look_round(uint32_t op, uint64_t object, look *l, PyObject **error)
{
    uint64_t waited = fk_now_ns() - fk_board_since(&fk_family);
    if (!l->told && waited >= FK_QUIET_AFTER_NS) {
        l->told = true;
        if (fk_tell_quiet() < 0)
            return -1;
    }
    if (fk_hooks.examine == Py_None || !may_raise(op) || waited < FK_STILL_AFTER_NS)
        return 0;
    if (op == FK_OP_LOCK || op == FK_OP_RLOCK) {
        int r = look_for_circle(object, l, error);
        if (r < 0 || *error)
            return r;
    }
    if (!fk_still_turn(&fk_family))
        return 0;
    uint64_t used = used_ns();
    PyObject *found =
        fk_is_standstill() ? PyObject_CallNoArgs(fk_hooks.examine) : Py_NewRef(Py_False);
    if (found == Py_False)
        fk_still_pass(&fk_family, used_ns() - used);
    return take_finding(found, error);
}

static FK_COLD int park(fk_wait_fn fn, void *arg, fk_wait *w, uint32_t op, uint64_t object,
                        fk_status *st, int standing)
{
    char file[80];
    uint32_t line = fk_site(file, sizeof file);
    bool endless = standing || w->deadline_ns == FK_NEVER;
    look l = {0};
    fk_watch_offer(&fk_family, w);
    uint32_t number = 0;
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
            if (number == 0 || fk_board_wait(&fk_family) != number) {
                w->nap = standing
                             ? fk_board_stand(&fk_family, standing == FK_STANDING_AGAIN, op, object,
                                              file, line)
                             : fk_board_enter(&fk_family, op, object, w->deadline_ns, file, line);
                number = fk_board_wait(&fk_family);
                l.told = false;
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
            fk_watch_look(&fk_family);
        if (r == 0 && endless && (!over || standing))
            r = look_round(op, object, &l, &error);
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
            fk_watch_end(&fk_family, w);
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
