/* The end of a process by a signal: the part that must not wait for Python, whose handlers run late, or
 * never, while the main thread is in native code. What is done in order is Python's: launch/sigterm.py.
 *
 * All that a handler here calls is safe in one: system calls, made directly where the library's function
 * is not said to be. */
#include "bind.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ORPHANED (SIGRTMAX - 1) /* the kernel's word that the parent is gone; nobody else uses it */

/* Of this process; a forked child arms them anew. `doomed` is written before `doomed_n`. */
static struct {
    void (*python)(int); /* Python's own handler, which lets the one of launch/sigterm.py run */
    struct timespec grace;
    pid_t pid;    /* whose they are: a child has them until its first Python code has run */
    pid_t parent; /* whose kill() is Process.terminate(); 0: nobody's */
    volatile sig_atomic_t came, by_sigterm;
    int *doomed; /* pidfds */
    volatile sig_atomic_t doomed_n;
    bool at_exit;
} term;

static struct timespec orphans_grace;
static int orphans_pipe; /* its end is the parent's */

/* Starts of children under way in the main thread, where no exception must cut one in two. */
static int held;

/* signal.signal(SIGTERM, SIG_DFL), kept by guard_sigterm. */
static PyObject *set_signal, *sigterm_number, *by_default;

static struct timespec span(unsigned long long ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

/* Let this process get `signum` once, after `after`. */
static void later(int signum, struct timespec after, void *mark)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signum};
    event.sigev_value.sival_ptr = mark;
    int timer; /* the kernel's */
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0) {
        struct itimerspec once = {.it_value = after};
        syscall(SYS_timer_settime, timer, 0, &once, NULL);
    }
}

static void die(void)
{
    sigset_t set;
    signal(SIGTERM, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(SIGTERM);
    _exit(128 + SIGTERM); /* the first process of a container: such signals do not end it */
}

static void on_sigterm(int signum, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (term.pid != getpid() || (info->si_code == SI_USER && info->si_pid == term.parent))
        die();
    if (info->si_code == SI_TIMER && info->si_value.sival_ptr == &term) {
        for (int i = 0; i < term.doomed_n; i++)
            syscall(SYS_pidfd_send_signal, term.doomed[i], SIGKILL, NULL, 0);
        die();
    }
    if (!term.came) { /* a group and a parent may both send it */
        term.came = 1;
        later(SIGTERM, term.grace, &term);
        term.python(signum);
    }
    errno = saved;
}

static bool is_at_its_end(int pipe)
{
    struct pollfd now = {.fd = pipe, .events = POLLIN};
    return poll(&now, 1, 0) > 0 && now.revents & (POLLIN | POLLHUP); /* and not closed here */
}

static void on_orphaned(int signum)
{
    (void)signum;
    int saved = errno;
    if (!is_at_its_end(
            orphans_pipe)) { /* the end of a thread of the parent's, which has forked us */
        errno = saved;
        return;
    }
    later(SIGKILL, orphans_grace, NULL);
    kill(getpid(), SIGTERM);
    errno = saved;
}

static void at_exit(void)
{
    if (term.by_sigterm && term.pid == getpid()) {
        fflush(stdout);
        fflush(stderr);
        die();
    }
}

static PyObject *sigterm_is_default(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    struct sigaction now;
    return PyBool_FromLong(sigaction(SIGTERM, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
                           now.sa_handler == SIG_DFL);
}

static int keep_reset(void)
{
    if (set_signal)
        return 0;
    PyObject *signals = PyImport_ImportModule("_signal");
    if (!signals)
        return -1;
    by_default = PyObject_GetAttrString(signals, "SIG_DFL");
    sigterm_number = PyLong_FromLong(SIGTERM);
    if (by_default && sigterm_number)
        set_signal = PyObject_GetAttrString(signals, "signal");
    Py_DECREF(signals);
    return set_signal ? 0 : -1;
}

static PyObject *guard_sigterm(PyObject *m, PyObject *args)
{
    (void)m;
    unsigned long long grace_ns;
    int parent;
    if (!PyArg_ParseTuple(args, "Ki", &grace_ns, &parent) || keep_reset() < 0)
        return NULL;
    struct sigaction action;
    if (sigaction(SIGTERM, NULL, &action) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (action.sa_flags & SA_SIGINFO || action.sa_handler == SIG_DFL ||
        action.sa_handler == SIG_IGN) {
        PyErr_SetString(PyExc_RuntimeError, "there is no handler of Python's to guard");
        return NULL;
    }
    free(term.doomed);
    term.doomed = NULL;
    term.came = term.by_sigterm = term.doomed_n = 0;
    term.python = action.sa_handler;
    term.grace = span(grace_ns);
    term.pid = getpid();
    term.parent = parent;
    if (!term.at_exit)
        term.at_exit = Py_AtExit(at_exit) == 0;
    action.sa_sigaction = on_sigterm;
    action.sa_flags |= SA_SIGINFO;
    if (sigaction(SIGTERM, &action, NULL) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static bool is_guarded(void)
{
    struct sigaction now;
    return sigaction(SIGTERM, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
           now.sa_sigaction == on_sigterm;
}

void fk_sigterm_after_fork(void)
{
    held = 0;
    if (!term.pid || !is_guarded())
        return;
    PyObject *old = PyObject_CallFunctionObjArgs(set_signal, sigterm_number, by_default, NULL);
    if (!old) /* not in the main interpreter */
        PyErr_Clear();
    Py_XDECREF(old);
}

/* The thread that forks is the first of the new process, for Python and for the kernel. */
static bool in_main_thread(void) { return (pid_t)syscall(SYS_gettid) == getpid(); }

static PyObject *hold_sigterm(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    held += in_main_thread();
    Py_RETURN_NONE;
}

static PyObject *let_go_sigterm(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    held -= in_main_thread();
    Py_RETURN_NONE;
}

static PyObject *sigterm_held(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    return PyBool_FromLong(held);
}

/* A handler that raises does so wherever Python is. In a newborn that is in functions that modules have
 * registered for a fork, and what is raised there is printed and forgotten: the child would live on. So
 * signals that Python handles wait from before the fork until the child runs, where an exception ends it,
 * and in the parent until it knows the child.
 * What the program has for them in C comes at once, and so does death by default.
 *
 * With them wait the others that programs have handlers for: one that runs meanwhile may start a process, be
 * it another program, which would have SIGTERM and Ctrl-C blocked for ever. */
static const int ending[] = {SIGTERM, SIGINT},
                 others[] = {SIGHUP, SIGQUIT, SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2, SIGWINCH};
static _Thread_local sigset_t held_back; /* and were not blocked before */
static _Thread_local bool waiting;

/* Add those signals that Python handles. It does not ask for any of these flags; faulthandler.register() does,
 * which is to show where a hook of a fork hangs. */
static void add_handled(sigset_t *set, const int *signums, size_t n, int flags_of_c)
{
    struct sigaction now;
    for (size_t i = 0; i < n; i++)
        if (sigaction(signums[i], NULL, &now) == 0 && !(now.sa_flags & flags_of_c) &&
            now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)
            sigaddset(set, signums[i]);
}

static PyObject *hold_signals(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (waiting)
        Py_RETURN_NONE;
    sigset_t before;
    sigemptyset(&held_back);
    add_handled(&held_back, ending, sizeof ending / sizeof *ending, SA_SIGINFO);
    add_handled(&held_back, others, sizeof others / sizeof *others,
                SA_SIGINFO | SA_RESTART | SA_NODEFER);
    waiting = pthread_sigmask(SIG_BLOCK, &held_back, &before) == 0;
    for (int signum = 1; signum < NSIG; signum++)
        if (sigismember(&before, signum) == 1)
            sigdelset(&held_back, signum);
    Py_RETURN_NONE;
}

static PyObject *let_signals_in(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (waiting) {
        waiting = false;
        /* Not the mask of before: what was registered for a fork may have blocked others in the child. */
        pthread_sigmask(SIG_UNBLOCK, &held_back, NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *end_by_sigterm(PyObject *m, PyObject *arg)
{
    (void)m;
    PyObject *fds = PySequence_Fast(arg, "a sequence of pidfds is expected");
    if (!fds)
        return NULL;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(fds);
    int *doomed = malloc((size_t)(n ? n : 1) * sizeof *doomed);
    if (!doomed) {
        Py_DECREF(fds);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < n; i++)
        doomed[i] = (int)PyLong_AsLong(PySequence_Fast_GET_ITEM(fds, i));
    Py_DECREF(fds);
    if (PyErr_Occurred()) {
        free(doomed);
        return NULL;
    }
    term.by_sigterm = 1;
    if (!term.doomed) { /* once: the handler may be reading it */
        term.doomed = doomed;
        term.doomed_n = (sig_atomic_t)n;
    } else {
        free(doomed);
    }
    Py_RETURN_NONE;
}

static PyObject *die_by_sigterm(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    die();
    Py_UNREACHABLE();
}

static PyObject *pass_on_sigterm(PyObject *m, PyObject *args)
{
    (void)m;
    int pid;
    if (!PyArg_ParseTuple(args, "i", &pid))
        return NULL;
    sigqueue(pid, SIGTERM, (union sigval){0}); /* not kill(): who gets it can tell */
    Py_RETURN_NONE;
}

static bool arm_orphaned(unsigned long long grace_ns)
{
    orphans_grace = span(grace_ns);
    struct sigaction action = {.sa_handler = on_orphaned, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    return sigaction(ORPHANED, &action, NULL) == 0;
}

/* Ask for a signal when the last writer of a pipe has gone. */
static void signal_at_end(int pipe, int signum)
{
    fcntl(pipe, F_SETOWN, getpid());
    fcntl(pipe, F_SETSIG, signum);
    fcntl(pipe, F_SETFL, fcntl(pipe, F_GETFL) | O_ASYNC);
}

/* Open the pipe anew: whom to signal belongs to an opening, and the one which is inherited is its siblings',
 * too. -1: there is no /proc, or no descriptor left. */
static int own_opening(int pipe)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", pipe);
    return fk_above_streams(open(path, O_RDONLY | O_CLOEXEC));
}

static PyObject *die_with_parent(PyObject *m, PyObject *args)
{
    (void)m;
    int pipe, parent;
    unsigned long long grace_ns;
    if (!PyArg_ParseTuple(args, "iiK", &pipe, &parent, &grace_ns))
        return NULL;
    int first = own_opening(pipe), second = own_opening(pipe);
    orphans_pipe = first >= 0 ? first : pipe;
    if (!arm_orphaned(grace_ns))
        return PyErr_SetFromErrno(PyExc_OSError);
    if (first >= 0)
        signal_at_end(first, ORPHANED);
    else if (getppid() == parent)
        prctl(PR_SET_PDEATHSIG,
              ORPHANED); /* the kernel's own way tells of the thread that has forked */
    else
        signal_at_end(pipe, ORPHANED);
    if (second >= 0) /* for who is stopped: it runs no handlers until it is continued */
        signal_at_end(second, SIGCONT);
    if (is_at_its_end(orphans_pipe)) /* it had gone before we asked */
        kill(getpid(), ORPHANED);
    Py_RETURN_NONE;
}

static int call(void *callable)
{
    PyObject *result = PyObject_CallNoArgs(callable);
    Py_DECREF(callable);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static PyObject *call_in_main(PyObject *m, PyObject *callable)
{
    (void)m;
    if (Py_AddPendingCall(call, Py_NewRef(callable)) < 0) {
        Py_DECREF(callable);
        PyErr_SetString(PyExc_RuntimeError, "too much waits for the main thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyMethodDef fk_ending_methods[] = {
    {"sigterm_is_default", sigterm_is_default, METH_NOARGS,
     "sigterm_is_default($module, /)\n--\n\nReturn whether SIGTERM would end this process at once: "
     "nobody handles or ignores it, native code included."},
    {"guard_sigterm", guard_sigterm, METH_VARARGS,
     "guard_sigterm($module, grace_ns, parent, /)\n--\n\nLet a SIGTERM that the process `parent` "
     "sends by kill() end "
     "this process at once, and any other end this process after so many "
     "nanoseconds at the latest, whatever Python's handler of it, which must be set, brings about. "
     "Until then the handler is called once, however often the signal comes."},
    {"hold_sigterm", hold_sigterm, METH_NOARGS,
     "hold_sigterm($module, /)\n--\n\nThe start of a child begins, in whatever thread: see "
     "sigterm_held."},
    {"let_go_sigterm", let_go_sigterm, METH_NOARGS,
     "let_go_sigterm($module, /)\n--\n\nIt is over."},
    {"sigterm_held", sigterm_held, METH_NOARGS,
     "sigterm_held($module, /)\n--\n\nReturn whether a start of a child is under way in the main "
     "thread."},
    {"hold_signals", hold_signals, METH_NOARGS,
     "hold_signals($module, /)\n--\n\nLet signals wait, for this thread and what it forks, if "
     "Python "
     "has a handler for them."},
    {"let_signals_in", let_signals_in, METH_NOARGS,
     "let_signals_in($module, /)\n--\n\nLet come what hold_signals holds back, in this thread or "
     "the "
     "one that forked this process."},
    {"end_by_sigterm", end_by_sigterm, METH_O,
     "end_by_sigterm($module, pidfds, /)\n--\n\nLet the interpreter's end look like death by "
     "SIGTERM, and kill -9 these processes if that does not come within the grace."},
    {"die_by_sigterm", die_by_sigterm, METH_NOARGS,
     "die_by_sigterm($module, /)\n--\n\nEnd this process at once, as SIGTERM does by default."},
    {"pass_on_sigterm", pass_on_sigterm, METH_VARARGS,
     "pass_on_sigterm($module, pid, /)\n--\n\nSend SIGTERM to a child as a part of the end of its "
     "parent, and not as Process.terminate() does."},
    {"die_with_parent", die_with_parent, METH_VARARGS,
     "die_with_parent($module, pipe, parent, grace_ns, /)\n--\n\nLet this process get the signal "
     "ORPHANED when the last writer of the pipe has gone, or has gone already:\nit is followed by "
     "SIGTERM at once and by SIGKILL after so many nanoseconds."},
    {"call_in_main", call_in_main, METH_O,
     "call_in_main($module, callable, /)\n--\n\nLet the main thread call it when it next runs "
     "Python code."},
    {NULL, NULL, 0, NULL},
};

int fk_add_ending_constants(PyObject *m)
{
    return PyModule_AddIntConstant(m, "ORPHANED", ORPHANED);
}
