/* The board's functions: who waits for what, standstills, and waits for processes. */
#include "bind.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static PyObject *board_enter(PyObject *m, PyObject *args)
{
    (void)m;
    unsigned int op;
    unsigned long long object;
    PyObject *timeout;
    fk_wait w;
    if (!PyArg_ParseTuple(args, "IKO", &op, &object, &timeout) || fk_parse_timeout(timeout, &w) < 0)
        return NULL;
    if (fk_family.base) {
        char file[80];
        uint32_t line = fk_site(file, sizeof file);
        fk_board_enter(&fk_family, op, object, w.deadline_ns, file, line);
    }
    Py_RETURN_NONE;
}

static PyObject *board_leave(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (fk_family.base)
        fk_board_leave(&fk_family);
    Py_RETURN_NONE;
}

static const char *const OP_NAMES[FK_OPS] = {
    [FK_OP_NONE] = "nothing",           [FK_OP_LOCK] = "Lock.acquire",
    [FK_OP_RLOCK] = "RLock.acquire",    [FK_OP_SEMAPHORE] = "Semaphore.acquire",
    [FK_OP_EVENT] = "Event.wait",       [FK_OP_CONDITION] = "Condition.wait",
    [FK_OP_QUEUE_GET] = "Queue.get",    [FK_OP_QUEUE_PUT] = "Queue.put",
    [FK_OP_QUEUE_JOIN] = "Queue.join",  [FK_OP_PROCESS] = "Process.join",
    [FK_OP_TASK] = "Pool task",         [FK_OP_RESULTS] = "Pool results",
    [FK_OP_TABLE] = "Dict or List",     [FK_OP_RESULT] = "Pool results",
    [FK_OP_POOL] = "Pool thread",       [FK_OP_RECV] = "Connection.recv",
    [FK_OP_SEND] = "Connection.send",   [FK_OP_POLL] = "Connection.poll",
    [FK_OP_ACCEPT] = "Listener.accept", [FK_OP_WAIT] = "connection.wait",
};

const char *fk_op_name(uint32_t op) { return OP_NAMES[op < FK_OPS ? op : FK_OP_NONE]; }

static PyObject *board_snapshot(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    PyObject *list = PyList_New(0);
    uint32_t high = fk_family.base ? atomic_load(&fk_head(&fk_family)->board_high) : 0;
    for (uint32_t i = 0; list && i < high; i++) {
        fk_seen s;
        uint32_t pid = 0;
        char name[64] = "";
        if (!fk_board_see(&fk_family, i, &s) || s.op >= FK_OPS)
            continue;
        fk_slot_describe(&fk_family, s.owner, &pid, name);
        PyObject *file = PyUnicode_DecodeUTF8(s.file, (Py_ssize_t)strlen(s.file), "replace");
        PyObject *row =
            file ? Py_BuildValue("(IIsIsKddNI)", s.owner, pid, name, s.tid, OP_NAMES[s.op],
                                 (unsigned long long)s.object,
                                 (double)(fk_now_ns() - s.since_ns) / 1e9,
                                 s.deadline_ns == FK_NEVER
                                     ? -1.0
                                     : ((double)s.deadline_ns - (double)fk_now_ns()) / 1e9,
                                 file, s.line)
                 : NULL;
        if (!row || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

fk_owner fk_holder_of(const fk_arena *a, const fk_seen *s, uint32_t *place)
{
    bool lock = s->op == FK_OP_LOCK || s->op == FK_OP_RLOCK;
    fk_user_lock *l = lock ? fk_at(a, s->object + FK_BLOCK_HEAD, sizeof *l) : NULL;
    fk_table *t = s->op == FK_OP_TABLE ? fk_at(a, s->object + FK_BLOCK_HEAD, sizeof *t) : NULL;
    *place = l ? atomic_load(&l->place) : 0;
    return l   ? fk_lock_owner(&l->lock)
           : t ? fk_lock_owner(&t->lock)
               : 0; /* an fk_rlock begins with one */
}

static PyObject *row_of(const fk_seen *s)
{
    uint32_t pid = 0, place;
    fk_owner holder = fk_holder_of(&fk_family, s, &place);
    char name[64] = "";
    fk_slot_describe(&fk_family, s->owner, &pid, name);
    PyObject *file = PyUnicode_DecodeUTF8(s->file, (Py_ssize_t)strlen(s->file), "replace");
    return file ? Py_BuildValue("(IIsIIKIsINNI)", s->owner, pid, name, s->tid, s->waits,
                                (unsigned long long)s->since_ns, s->op, OP_NAMES[s->op], holder,
                                fk_place_text(&fk_family, place), file, s->line)
                : NULL;
}

static PyObject *standstill(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (!fk_family.base || !fk_is_standstill())
        Py_RETURN_NONE;
    fk_header *h = fk_head(&fk_family);
    PyObject *waits = PyList_New(0), *servers = PyList_New(0);
    for (uint32_t i = 0; waits && i < atomic_load(&h->board_high); i++) {
        fk_seen s;
        if (!fk_board_see(&fk_family, i, &s) || s.op >= FK_OPS)
            continue;
        PyObject *row = row_of(&s);
        if (!row || PyList_Append(waits, row) < 0)
            Py_CLEAR(waits);
        Py_XDECREF(row);
    }
    for (uint32_t i = 0; servers && i < atomic_load(&h->slot_high); i++) {
        fk_slot *s = fk_slot_at(&fk_family, i);
        if (atomic_load(&s->state) != FK_SLOT_RUNNING || !(atomic_load(&s->flags) & FK_SLOT_SERVES))
            continue;
        PyObject *pid = PyLong_FromUnsignedLong(atomic_load(&s->pid));
        if (!pid || PyList_Append(servers, pid) < 0)
            Py_CLEAR(servers);
        Py_XDECREF(pid);
    }
    if (waits && servers)
        return Py_BuildValue("(NN)", waits, servers);
    Py_XDECREF(waits);
    Py_XDECREF(servers);
    return NULL;
}

/* ---- circles of locks -------------------------------------------------------------------------------- */

/* The thread that holds the RLock which an entry waits for; 0: not known. */
static uint32_t holding_thread(const fk_seen *s, fk_owner holder)
{
    fk_rlock *l = fk_at(&fk_family, s->object + FK_BLOCK_HEAD, sizeof *l);
    uint64_t word = l ? atomic_load(&l->holder) : 0;
    return word >> 32 == holder ? (uint32_t)word : 0;
}

static PyObject *lock_wait(const fk_seen *s, bool still)
{
    uint32_t pid = 0, place = 0, thread = 0;
    char name[64] = "";
    fk_owner holder = s->op == FK_OP_PROCESS ? fk_board_joined(&fk_family, s)
                                             : fk_holder_of(&fk_family, s, &place);
    if (s->op == FK_OP_RLOCK && still)
        thread = holding_thread(s, holder);
    fk_slot_describe(&fk_family, s->owner, &pid, name);
    PyObject *file = PyUnicode_DecodeUTF8(s->file, (Py_ssize_t)strlen(s->file), "replace");
    return file ? Py_BuildValue("(IIsIIKIsKIINNNI)", s->owner, pid, name, s->tid, s->waits,
                                (unsigned long long)s->since_ns, s->op, OP_NAMES[s->op],
                                (unsigned long long)s->object, holder, thread,
                                PyBool_FromLong(still), fk_place_text(&fk_family, place), file,
                                s->line)
                : NULL;
}

static PyObject *lock_waits(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    PyObject *list = PyList_New(0);
    int patience = FK_STILL_PATIENCE;
    uint32_t high = fk_family.base ? atomic_load(&fk_head(&fk_family)->board_high) : 0;
    for (uint32_t i = 0; list && i < high; i++) {
        fk_seen s;
        bool ours = fk_board_glance(&fk_family, i, &s) &&
                    (s.op == FK_OP_LOCK || s.op == FK_OP_RLOCK || s.op == FK_OP_PROCESS);
        if (!ours)
            continue;
        fk_status st;
        Py_BEGIN_ALLOW_THREADS /* which our other threads need to fall asleep again */
            st = fk_still_wait(&fk_family, i, &s, &patience);
        Py_END_ALLOW_THREADS
        if (st == FK_AGAIN || s.op >= FK_OPS)
            continue;
        PyObject *row = lock_wait(&s, st == FK_OK);
        if (!row || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

static PyObject *users(PyObject *m, PyObject *arg)
{
    (void)m;
    fk_owner owners[256];
    uint32_t n;
    unsigned long long off = PyLong_AsUnsignedLongLong(arg);
    if (off == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    if (!fk_family.base || off % FK_CACHE_LINE ||
        fk_circle_users(&fk_family, off, owners, sizeof owners / sizeof *owners, &n) != FK_OK)
        Py_RETURN_NONE;
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (uint32_t i = 0; list && i < n; i++) {
        PyObject *owner = PyLong_FromUnsignedLong(owners[i]);
        if (!owner)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, owner);
    }
    return list;
}

/* ---- figures ------------------------------------------------------------------------------------------- */

static PyObject *waiters(PyObject *m, PyObject *arg)
{
    (void)m;
    unsigned long long object = PyLong_AsUnsignedLongLong(arg), n = 0;
    if (object == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    uint32_t high = fk_family.base ? atomic_load(&fk_head(&fk_family)->board_high) : 0;
    for (uint32_t i = 0; i < high; i++) {
        fk_seen s;
        n += fk_board_glance(&fk_family, i, &s) && s.op != FK_OP_PROCESS && s.object == object &&
             fk_slot_alive(&fk_family, s.owner);
    }
    return PyLong_FromUnsignedLongLong(n);
}

static PyObject *held(PyObject *m, PyObject *arg)
{
    (void)m;
    unsigned long long object = PyLong_AsUnsignedLongLong(arg);
    if (object == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    uint64_t entries = 0, taken = 0;
    uint32_t high = fk_family.base ? atomic_load(&fk_head(&fk_family)->slot_high) : 0;
    for (uint32_t i = 0; i < high; i++) {
        fk_slot *s = fk_slot_at(&fk_family, i);
        if (atomic_load(&s->state) != FK_SLOT_FREE)
            fk_hold_count(&fk_family, s, object, &entries, &taken);
    }
    return PyLong_FromUnsignedLongLong(taken);
}

int fk_sleeping(fk_sleep_fn fn, void *arg, uint32_t op, uint64_t object, fk_status *st)
{
    fk_arena *a = fk_family.base ? &fk_family : NULL; /* NULL: in no family so far */
    char file[80];
    uint32_t line = a ? fk_site(file, sizeof file) : 0, number = 0;
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
            if (a && (number == 0 || fk_board_wait(a) != number)) {
                fk_board_enter(a, op, object, FK_NEVER, file, line);
                number = fk_board_wait(a);
            }
            fk_nap *nap = a ? fk_board_nap(a) : NULL;
            if (nap)
                fk_nap_begin(nap, NULL, 0);
            *st = fn(arg);
            if (nap)
                fk_nap_end(nap);
            if (a && *st != FK_INTR)
                fk_board_leave(a);
        Py_END_ALLOW_THREADS
        if (*st != FK_INTR)
            return 0;
        if (PyErr_CheckSignals() < 0) {
            if (a)
                fk_board_leave(a);
            return -1;
        }
    }
}

/* ---- waits for processes: in the kernel, and not in slices ------------------------------------------ */

#define ENDLESS (-1)

/* 1: it has come; 0: not within so many ms; -1: errno. */
typedef int (*kernel_wait)(int what, int ms);

static int gets_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms);
}

static int child_ends_within(int pid, int ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 1 /* somebody else has taken its status */ : 0 /* an old kernel */;
    int r = gets_readable(fd, ms), e = errno;
    close(fd);
    errno = e;
    return r;
}

static int child_ends(int pid, int ms)
{
    if (ms > 0)
        return child_ends_within(pid, ms);
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | (ms ? 0 : WNOHANG)) < 0)
        return errno == ECHILD ? 1 : -1; /* somebody else has taken its status */
    return info.si_pid != 0;
}

/* The wait is on the board already (board_enter), unless a signal handler has waited for something
 * meanwhile: then this one is not seen any more. */
static PyObject *wait_in_kernel(kernel_wait wait, PyObject *arg)
{
    int what = (int)PyLong_AsLong(arg);
    if (what == -1 && PyErr_Occurred())
        return NULL;
    int r = wait(what, 0), e = errno;
    int ms = fk_family.base ? (int)(FK_QUIET_AFTER_NS / 1000000) : ENDLESS;
    while (r == 0 || (r < 0 && e == EINTR)) {
        if (PyErr_CheckSignals() < 0)
            return NULL;
        fk_nap *nap = fk_family.base ? fk_board_nap(&fk_family) : NULL;
        Py_BEGIN_ALLOW_THREADS
            if (nap)
                fk_nap_begin(nap, NULL, 0);
            r = wait(what, ms);
            e = errno;
            if (nap)
                fk_nap_end(nap);
        Py_END_ALLOW_THREADS
        if (r == 0 && ms != ENDLESS) { /* most have ended by now, and nobody needed to know */
            if (fk_tell_quiet() < 0)
                return NULL;
            ms = ENDLESS;
        }
    }
    if (r > 0)
        Py_RETURN_NONE;
    errno = e;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *wait_child(PyObject *m, PyObject *pid)
{
    (void)m;
    return wait_in_kernel(child_ends, pid);
}

static PyObject *wait_readable(PyObject *m, PyObject *fd)
{
    (void)m;
    return wait_in_kernel(gets_readable, fd);
}

/* ---- what could rouse this process by itself ---------------------------------------------------------- */

static bool has_interval_timer(void)
{
    static const int kinds[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
    struct itimerval now;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (getitimer(kinds[i], &now) == 0 && (now.it_value.tv_sec || now.it_value.tv_usec))
            return true;
    return false;
}

static PyObject *has_timer(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    bool has = has_interval_timer();
    /* A kernel may lack the file. Python makes no such timers. */
    int fd = has ? -1 : open("/proc/self/timers", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        char c;
        has = read(fd, &c, 1) > 0;
        close(fd);
    }
    return PyBool_FromLong(has);
}

PyMethodDef fk_board_methods[] = {
    {"has_timer", has_timer, METH_NOARGS,
     "has_timer($module, /)\n--\n\nReturn whether a timer of this process is running, its own or "
     "the "
     "kernel's for it."},
    {"board_enter", board_enter, METH_VARARGS,
     "board_enter($module, op, object, timeout, /)\n--\n\nSay that this thread is about to wait, "
     "so many "
     "seconds or for ever (None); for\nOP_PROCESS the object is its owner word, or BY_PID | pid."},
    {"board_leave", board_leave, METH_NOARGS,
     "board_leave($module, /)\n--\n\nSay that it waits no more."},
    {"board_snapshot", board_snapshot, METH_NOARGS,
     "board_snapshot($module, /)\n--\n\nReturn who waits: (owner, pid, name, tid, operation, "
     "object, seconds "
     "waited, seconds left or -1,\nfile, line) for each blocked thread."},
    {"standstill", standstill, METH_NOARGS,
     "standstill($module, /)\n--\n\nReturn None unless, as far as the board tells, all threads of "
     "the family "
     "wait for ever; then\n([(owner, pid, name, tid, number, since_ns, op, operation, holder, "
     "taken, file, line), ...], [pid of a\nfork server, ...])."},
    {"lock_waits", lock_waits, METH_NOARGS,
     "lock_waits($module, /)\n--\n\nReturn who waits for a lock or the end of a process: (owner, "
     "pid, "
     "name, tid, number, since_ns, op,\noperation, object, holder, its thread or 0, whether it "
     "stands "
     "still, taken, file, line)."},
    {"users", users, METH_O,
     "users($module, object, /)\n--\n\nReturn the owner words of all processes that have a handle "
     "of "
     "the object, or None if others\nmay have one, or get one without the doing of these."},
    {"waiters", waiters, METH_O,
     "waiters($module, object, /)\n--\n\nReturn how many threads wait for the object."},
    {"held", held, METH_O,
     "held($module, object, /)\n--\n\nReturn how many of the semaphore's permits were taken by "
     "`with` and "
     "are not back yet."},
    {"wait_child", wait_child, METH_O,
     "wait_child($module, pid, /)\n--\n\nWait until that child has ended; leave its status to be "
     "taken."},
    {"wait_readable", wait_readable, METH_O,
     "wait_readable($module, fd, /)\n--\n\nWait until the descriptor can be read from, or has no "
     "writer."},
    {NULL, NULL, 0, NULL},
};
