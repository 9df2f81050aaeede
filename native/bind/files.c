/* What a child does with files as it begins. In C, since to do it in Python costs a start more than
 * all of its system calls: each object of the parent's that is touched is a page to be copied. */
#include "bind.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool fk_identify(int fd, fk_identity *id)
{
    struct stat s;
    if (fstat(fd, &s) < 0)
        return false;
    *id = (fk_identity){s.st_dev, s.st_ino};
    return true;
}

bool fk_is_still(int fd, fk_identity was)
{
    fk_identity id;
    return fk_identify(fd, &id) && id.dev == was.dev && id.ino == was.ino;
}

int fk_above_streams(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), e = errno;
    close(fd);
    errno = e;
    return above;
}

/* An anonymous file that is appended to, of which each process of the family has one of its own. */
static struct {
    int fd;
    fk_identity id;
    char name[32];
} own = {.fd = -1};

static int make_own(void)
{
    int fd = fk_above_streams(memfd_create(own.name, MFD_CLOEXEC));
    if (fd >= 0 && fcntl(fd, F_SETFL, O_RDWR | O_APPEND) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static PyObject *own_file(PyObject *m, PyObject *arg)
{
    (void)m;
    const char *name = PyUnicode_AsUTF8(arg);
    if (!name)
        return NULL;
    snprintf(own.name, sizeof own.name, "%s", name);
    int fd = make_own();
    if (fd < 0 || !fk_identify(fd, &own.id))
        return PyErr_SetFromErrno(PyExc_OSError);
    own.fd = fd;
    return PyLong_FromLong(fd);
}

void fk_renew_files(void)
{
    if (own.fd < 0 || !fk_is_still(own.fd, own.id))
        return;
    int fd = make_own();
    if (fd < 0)
        return; /* no descriptor is left: what it writes goes to its parent's */
    if (dup3(fd, own.fd, O_CLOEXEC) == own.fd)
        fk_identify(own.fd, &own.id);
    close(fd);
}

static PyObject *open_null_at(PyObject *m, PyObject *arg)
{
    (void)m;
    int at = (int)PyLong_AsLong(arg);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    if (fcntl(at, F_GETFD) >= 0)
        Py_RETURN_FALSE; /* taken */
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && (fd == at || dup3(fd, at, O_CLOEXEC) == at);
    if (fd >= 0 && fd != at)
        close(fd);
    return PyBool_FromLong(done);
}

PyMethodDef fk_files_methods[] = {
    {"own_file", own_file, METH_O,
     "own_file($module, name, /)\n--\n\nReturn a new anonymous file, which is appended to. In each "
     "process that is forked from now on,\nthe descriptor is a file of its own, unless this one "
     "was "
     "closed."},
    {"open_null_at", open_null_at, METH_O,
     "open_null_at($module, fd, /)\n--\n\nLet this descriptor, if nothing has it, be /dev/null to "
     "read "
     "from. Return whether it is."},
    {NULL, NULL, 0, NULL},
};
