/* What a child does with files as it begins. In C, since to do it in Python costs a start more than
 * all of its system calls: each object of the parent's that is touched is a page to be copied. */
#include "bind.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef struct identity {
    unsigned long long dev, ino;
} identity;

static bool identify(int fd, identity *id)
{
    struct stat s;
    if (fstat(fd, &s) < 0)
        return false;
    *id = (identity){s.st_dev, s.st_ino};
    return true;
}

/* Whether a descriptor still is the file that it was: a program may close what it does not know. */
static bool is_still(int fd, identity was)
{
    identity id;
    return identify(fd, &id) && id.dev == was.dev && id.ino == was.ino;
}

static PyObject *file_identity(PyObject *m, PyObject *arg)
{
    (void)m;
    identity id;
    long fd = PyLong_AsLong(arg);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (!identify((int)fd, &id))
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("KK", id.dev, id.ino);
}

static PyObject *close_file(PyObject *m, PyObject *args)
{
    (void)m;
    int fd;
    identity was;
    if (!PyArg_ParseTuple(args, "i(KK)", &fd, &was.dev, &was.ino))
        return NULL;
    if (is_still(fd, was))
        close(fd);
    Py_RETURN_NONE;
}

static PyObject *renew_memfd(PyObject *m, PyObject *args)
{
    (void)m;
    int fd;
    identity id;
    const char *name;
    if (!PyArg_ParseTuple(args, "i(KK)s", &fd, &id.dev, &id.ino, &name))
        return NULL;
    if (!is_still(fd, id))
        Py_RETURN_NONE;
    int new = memfd_create(name, MFD_CLOEXEC);
    bool done = new >= 0 && fcntl(new, F_SETFL, O_RDWR | O_APPEND) == 0 &&
                dup3(new, fd, O_CLOEXEC) == fd && identify(fd, &id);
    if (new >= 0)
        close(new);
    if (!done)
        Py_RETURN_NONE;
    return Py_BuildValue("KK", id.dev, id.ino);
}

static PyObject *reopen_file(PyObject *m, PyObject *args)
{
    (void)m;
    int pid, fd, least, result = -1;
    long long at;
    identity was;
    char path[64];
    if (!PyArg_ParseTuple(args, "ii(KK)Li", &pid, &fd, &was.dev, &was.ino, &at, &least))
        return NULL;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    int low = open(path, O_WRONLY | O_CLOEXEC);
    if (low >= 0) {
        if (is_still(low, was) && lseek(low, at, SEEK_SET) == at)
            result = fcntl(low, F_DUPFD_CLOEXEC, least);
        close(low);
    }
    return PyLong_FromLong(result);
}

PyMethodDef fk_files_methods[] = {
    {"file_identity", file_identity, METH_O,
     "file_identity($module, fd, /)\n--\n\nReturn what tells the file of a descriptor from all "
     "others."},
    {"close_file", close_file, METH_VARARGS,
     "close_file($module, fd, identity, /)\n--\n\nClose a descriptor, unless it is no longer this "
     "file."},
    {"renew_memfd", renew_memfd, METH_VARARGS,
     "renew_memfd($module, fd, identity, name, /)\n--\n\nPut a new anonymous file, which is "
     "appended to, in the place of this one. Return its identity; None:\nit was no longer this "
     "file, or no descriptor is left."},
    {"reopen_file", reopen_file, METH_VARARGS,
     "reopen_file($module, pid, fd, identity, at, least, /)\n--\n\nOpen a file that another "
     "process "
     "has open, to write from byte `at`. Return a descriptor that is not\nlower than `least`; -1: "
     "the process has ended or has closed it, or there is no /proc or no descriptor left."},
    {NULL, NULL, 0, NULL},
};
