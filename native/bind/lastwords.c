/* Where the stack of a child goes that a fatal signal ends: see launch/lastwords.py.
 *
 * A process has one anonymous file for all its living children, in which each has a stretch; it is closed with
 * the last of them. All under the GIL. */
#include "bind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRETCH (INT64_C(16) << 20) /* what is not written takes no memory */
#define SHOWN (64 << 10)            /* so many bytes of it are read */
#define LEAST_FD                                                                                   \
    250 /* of the child: a program that closes what it does not know opens lower ones */

typedef struct place_file {
    int pid; /* of the process that has it, 0: there is none */
    int fd;
    fk_identity id;
    char path[40]; /* of fd, for a child */
} place_file;

static place_file mine, parents;

static void name_path(place_file *file)
{
    snprintf(file->path, sizeof file->path, "/proc/%d/fd/%d", file->pid, file->fd);
}
static uint64_t *used; /* a bit for each stretch of mine */
static size_t words;
static size_t children; /* that have one */

static bool make_file(void)
{
    int fd = fk_above_streams(memfd_create("lastwords-forkful", MFD_CLOEXEC));
    if (fd < 0)
        return false;
    mine = (place_file){.pid = getpid(), .fd = fd};
    name_path(&mine);
    if (words)
        memset(used, 0, words * sizeof *used);
    children = 0;
    return fk_identify(fd, &mine.id);
}

static void close_file(void)
{
    if (mine.pid && fk_is_still(mine.fd, mine.id))
        close(mine.fd);
    mine.pid = 0;
}

void fk_lastwords_after_fork(void)
{
    parents = mine;
    close_file();
}

static size_t first_free(void)
{
    for (size_t i = 0; i < words; i++)
        if (~used[i])
            return i * 64 + (size_t)__builtin_ctzll(~used[i]);
    return words * 64;
}

static PyObject *reserve_words(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (!mine.pid && !make_file())
        return PyLong_FromLong(-1);
    size_t number = first_free();
    if (number / 64 == words) {
        uint64_t *more = PyMem_RawRealloc(used, (words * 2 + 1) * sizeof *used);
        if (!more)
            return PyErr_NoMemory();
        memset(more + words, 0, (words + 1) * sizeof *used);
        used = more;
        words = words * 2 + 1;
    }
    used[number / 64] |= UINT64_C(1) << number % 64;
    children++;
    return PyLong_FromSize_t(number);
}

static PyObject *read_stretch(long number)
{
    if (!fk_is_still(mine.fd, mine.id))
        Py_RETURN_NONE;
    PyObject *text = PyBytes_FromStringAndSize(NULL, SHOWN);
    if (!text)
        return NULL;
    ssize_t n = pread(mine.fd, PyBytes_AS_STRING(text), SHOWN, number * STRETCH);
    _PyBytes_Resize(&text, n > 0 ? n : 0);
    return text;
}

/* Make a stretch empty for the next: also what nobody has read, of those that a child has forked itself. */
static void empty_stretch(long number)
{
    struct stat s;
    if (fstat(mine.fd, &s) == 0 && s.st_blocks && s.st_dev == mine.id.dev &&
        s.st_ino == mine.id.ino)
        (void)!fallocate(mine.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, number * STRETCH,
                         STRETCH);
}

static PyObject *take_words(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "take_words(number, read)");
    long number = PyLong_AsLong(args[0]);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    if (number < 0 || mine.pid != getpid())
        Py_RETURN_NONE;
    size_t word = (size_t)number / 64;
    uint64_t bit = UINT64_C(1) << number % 64;
    if (word >= words || !(used[word] & bit))
        Py_RETURN_NONE;
    PyObject *text = args[1] == Py_True ? read_stretch(number) : Py_NewRef(Py_None);
    empty_stretch(number);
    used[word] &= ~bit;
    if (!--children)
        close_file();
    return text;
}

static PyObject *place_of_words(PyObject *m, PyObject *arg)
{
    (void)m;
    long number = PyLong_AsLong(arg);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    if (number < 0)
        Py_RETURN_NONE;
    return Py_BuildValue("iiKKl", mine.pid, mine.fd, mine.id.dev, mine.id.ino, number);
}

/* In a child: what its faulthandler writes to; and what that was. */
static int listening = -1;
static fk_identity listening_id;

static PyObject *close_words(PyObject *m, PyObject *unused)
{
    (void)m, (void)unused;
    if (listening >= 0 && fk_is_still(listening, listening_id))
        close(listening);
    listening = -1;
    Py_RETURN_NONE;
}

static PyObject *open_words(PyObject *m, PyObject *place)
{
    (void)m;
    place_file file = parents;
    long number;
    if (PyLong_Check(place))
        number = PyLong_AsLong(place);
    else if (!PyArg_ParseTuple(place, "iiKKl", &file.pid, &file.fd, &file.id.dev, &file.id.ino,
                               &number))
        return NULL;
    else
        name_path(&file);
    int fd = -1;
    if (file.pid && number >= 0) {
        /* Should it be another file by now, a FIFO or a terminal for example, this does not hang. */
        int low = open(file.path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (low >= 0) {
            off_t at = number * STRETCH;
            if (fk_is_still(low, file.id) && lseek(low, at, SEEK_SET) == at)
                fd = fcntl(low, F_DUPFD_CLOEXEC, LEAST_FD);
            close(low);
        }
    }
    listening = fd;
    listening_id = file.id;
    return PyLong_FromLong(fd);
}

PyMethodDef fk_lastwords_methods[] = {
    {"reserve_words", reserve_words, METH_NOARGS,
     "reserve_words($module, /)\n--\n\nReturn the number of a stretch for a child that is about to "
     "start; -1: no descriptor is left for the file."},
    {"take_words", (PyCFunction)(void (*)(void))take_words, METH_FASTCALL,
     "take_words($module, number, read, /)\n--\n\nThe child has ended, or was not started: give "
     "its "
     "stretch back, and return what it holds (bytes) if\n`read` is True. None: not asked for, or "
     "not "
     "this process's."},
    {"place_of_words", place_of_words, METH_O,
     "place_of_words($module, number, /)\n--\n\nReturn what tells a process that is not forked "
     "where "
     "its stretch is, for open_words; None: nowhere."},
    {"open_words", open_words, METH_O,
     "open_words($module, place, /)\n--\n\nIn a child: open its stretch, given its number, or what "
     "place_of_words has returned. Return the\ndescriptor; -1: the parent has ended or has closed "
     "the "
     "file, or there is no /proc or no descriptor left."},
    {"close_words", close_words, METH_NOARGS,
     "close_words($module, /)\n--\n\nClose what open_words has opened, here or in the process that "
     "has "
     "forked this one."},
    {NULL, NULL, 0, NULL},
};
