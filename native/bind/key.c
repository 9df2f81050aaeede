/* Keys of shared dicts as bytes: equal objects give equal bytes, in every process.
 *
 *   n                          None
 *   s, b     UTF-8; bytes      str, bytes
 *   i        8 bytes           what is equal to an int of 64 bits: 1, True and 1.0 are one key
 *   I        hexadecimal       what is equal to a larger int
 *   f        8 bytes           any other float, but NaN, which is equal to nothing
 *   (        size, bytes; ...  a tuple of such, to DEEPEST levels
 *   o        8 bytes, pickle   an odd key: only == tells what it is equal to (shared/keys.py)
 */
#include "container.h"

#include <math.h>

#define DEEPEST 50 /* levels of tuples: keys.py has the same */

static int add(fk_key *k, const void *bytes, size_t size)
{
    if (size > UINT32_MAX / 2 - k->size) {
        PyErr_SetString(PyExc_OverflowError, "a key of a shared dict is at most 2 GiB");
        return -1;
    }
    if (k->size + size > k->capacity) {
        size_t capacity = 2 * (k->size + size);
        uint8_t *to = PyMem_Malloc(capacity);
        if (!to) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(to, k->bytes, k->size);
        if (k->bytes != k->small)
            PyMem_Free(k->bytes);
        k->bytes = to;
        k->capacity = (uint32_t)capacity;
    }
    memcpy(k->bytes + k->size, bytes, size);
    k->size += (uint32_t)size;
    return 1;
}

static int add_tagged(fk_key *k, char tag, const void *bytes, size_t size)
{
    return add(k, &tag, 1) < 0 ? -1 : add(k, bytes, size);
}

static int add_str(fk_key *k, PyObject *o)
{
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(o, &size);
    if (utf8)
        return add_tagged(k, 's', utf8, (size_t)size);
    PyErr_Clear(); /* lone surrogates */
    PyObject *bytes = PyUnicode_AsEncodedString(o, "utf-8", "surrogatepass");
    int r =
        bytes ? add_tagged(k, 's', PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)) : -1;
    Py_XDECREF(bytes);
    return r;
}

static int add_int(fk_key *k, PyObject *o)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (!overflow)
        return add_tagged(k, 'i', &value, sizeof value);
    PyObject *hex = PyNumber_ToBase(o, 16);
    Py_ssize_t size = 0;
    const char *digits = hex ? PyUnicode_AsUTF8AndSize(hex, &size) : NULL;
    int r = digits ? add_tagged(k, 'I', digits, (size_t)size) : -1;
    Py_XDECREF(hex);
    return r;
}

static int add_float(fk_key *k, PyObject *o)
{
    double value = PyFloat_AS_DOUBLE(o);
    if (isnan(value))
        return 0;
    if (isinf(value) || value != floor(value))
        return add_tagged(k, 'f', &value, sizeof value);
    k->exact = false;
    PyObject *whole = PyLong_FromDouble(value);
    int r = whole ? add_int(k, whole) : -1;
    Py_XDECREF(whole);
    return r;
}

static int add_any(fk_key *k, PyObject *o, int depth);

static int add_tuple(fk_key *k, PyObject *o, int depth)
{
    int r = add(k, "(", 1);
    for (Py_ssize_t i = 0; r > 0 && i < PyTuple_GET_SIZE(o); i++) {
        uint32_t size = 0, at = k->size;
        if ((r = add(k, &size, sizeof size)) > 0)
            r = add_any(k, PyTuple_GET_ITEM(o, i), depth + 1);
        if (r > 0) { /* else there may be no room for it */
            size = k->size - at - (uint32_t)sizeof size;
            memcpy(k->bytes + at, &size, sizeof size);
        }
    }
    return r;
}

/* 1: added; 0: nothing of the table above; -1: an exception. */
static int add_any(fk_key *k, PyObject *o, int depth)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyUnicode_Type)
        return add_str(k, o);
    if (t == &PyLong_Type)
        return add_int(k, o);
    if (t == &PyBytes_Type)
        return add_tagged(k, 'b', PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    if (o == Py_None)
        return add(k, "n", 1);
    if (t == &PyFloat_Type)
        return add_float(k, o);
    if (t == &PyBool_Type) {
        k->exact = false;
        return add_int(k, o);
    }
    return t == &PyTuple_Type && depth < DEEPEST ? add_tuple(k, o, depth) : 0;
}

static void begin(fk_key *k)
{
    k->bytes = k->small;
    k->capacity = sizeof k->small;
    k->size = 0;
    k->exact = true;
    k->odd = false;
    k->there = true;
    k->given = NULL;
}

void fk_key_end(fk_key *k)
{
    if (k->bytes != k->small)
        PyMem_Free(k->bytes);
    k->bytes = k->small;
    Py_CLEAR(k->given);
}

/* What the Python side makes of it: an object of the table above that is equal to it; or, of an odd
 * key, (bytes, whether it is there, how many odd keys have been added so far). */
static int ask(PyObject *self, PyObject *o, fk_key *k)
{
    PyObject *answer = PyObject_CallMethod(self, "_resolve", "(O)", o);
    PyObject *bytes;
    int r = -1, there;
    unsigned long long added;
    if (!answer)
        return -1;
    k->size = 0;
    if (!PyTuple_CheckExact(answer) || PyTuple_GET_SIZE(answer) != 2) {
        PyErr_SetString(PyExc_TypeError, "_resolve() must return a pair");
    } else if (PyTuple_GET_ITEM(answer, 1) == Py_None) {
        r = add_any(k, PyTuple_GET_ITEM(answer, 0), 0);
        k->exact = false;
        if (r == 0) {
            PyErr_SetString(PyExc_TypeError, "_resolve() must return a plain key");
            r = -1;
        }
    } else if (PyArg_ParseTuple(answer, "S(pK)", &bytes, &there, &added)) {
        k->odd = true;
        k->exact = true; /* its bytes tell all of it */
        k->there = there;
        k->added = added;
        r = add(k, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    }
    Py_DECREF(answer);
    return r;
}

int fk_key_begin(PyObject *self, PyObject *o, fk_key *k)
{
    begin(k);
    int r = add_any(k, o, 0);
    if (r == 0)
        r = ask(self, o, k);
    if (r < 0) {
        fk_key_end(k);
        return -1;
    }
    k->hash = fk_table_hash(&fk_family, k->bytes, k->size);
    return 0;
}

int fk_key_give(PyObject *o, fk_key *k)
{
    if (k->exact || k->given)
        return 0;
    PyObject *extras;
    k->given = fk_pickle(o, &extras);
    if (k->given && extras) {
        Py_DECREF(extras);
        PyErr_SetString(PyExc_TypeError,
                        "a key of a shared dict must not hold shared objects or large buffers");
        return -1;
    }
    return k->given ? 0 : -1;
}

/* ---- and back ------------------------------------------------------------------------------------------ */

static PyObject *tuple_of(const uint8_t *bytes, uint32_t size)
{
    PyObject *list = PyList_New(0);
    while (list && size >= sizeof(uint32_t)) {
        uint32_t n;
        memcpy(&n, bytes, sizeof n);
        bytes += sizeof n;
        size -= (uint32_t)sizeof n;
        if (n > size)
            break;
        PyObject *item = fk_key_object(bytes, n);
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        bytes += n;
        size -= n;
    }
    PyObject *tuple = list && size == 0 ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return tuple || PyErr_Occurred() ? tuple : fk_raise(FK_CORRUPT, "reading a key");
}

PyObject *fk_key_object(const uint8_t *bytes, uint32_t size)
{
    char tag = size ? (char)*bytes++ : 0;
    size = size ? size - 1 : 0;
    if (tag == 's')
        return PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, "surrogatepass");
    if (tag == 'b')
        return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)size);
    if (tag == 'n')
        Py_RETURN_NONE;
    if (tag == '(')
        return tuple_of(bytes, size);
    if (tag == 'i' && size == sizeof(long long)) {
        long long value;
        memcpy(&value, bytes, sizeof value);
        return PyLong_FromLongLong(value);
    }
    if (tag == 'f' && size == sizeof(double)) {
        double value;
        memcpy(&value, bytes, sizeof value);
        return PyFloat_FromDouble(value);
    }
    if (tag != 'I' && (tag != 'o' || size < 8))
        return fk_raise(FK_CORRUPT, "reading a key");
    bool odd = tag == 'o';
    PyObject *data = PyBytes_FromStringAndSize((const char *)bytes + (odd ? 8 : 0),
                                               (Py_ssize_t)size - (odd ? 8 : 0));
    PyObject *o = NULL;
    if (data)
        o = odd ? fk_unpickle(data, NULL) : PyLong_FromString(PyBytes_AS_STRING(data), NULL, 16);
    Py_XDECREF(data);
    return o;
}
