/* Objects for bytes that are yet to come. */
#include "bind.h"

#include <sys/mman.h>

#define HUGE_FROM (32u * 1024u * 1024u) /* malloc maps it anew each time */

/* Where memory is new, a fault for each page takes longer than the copy. NumPy does the same. */
static void ask_for_huge_pages(char *memory, uint64_t size)
{
    uintptr_t from = ((uintptr_t)memory + 4095) & ~(uintptr_t)4095;
    madvise((void *)from, (uintptr_t)memory + size - from, MADV_HUGEPAGE);
}

PyObject *fk_fresh(uint64_t size, bool fixed, char **data)
{
    if (size > PY_SSIZE_T_MAX)
        return PyErr_NoMemory();
    PyObject *o = fixed ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size)
                        : PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!o)
        return NULL;
    *data = fixed ? PyBytes_AS_STRING(o) : PyByteArray_AS_STRING(o);
    if (size >= HUGE_FROM)
        ask_for_huge_pages(*data, size);
    return o;
}
