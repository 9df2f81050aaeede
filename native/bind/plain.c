/* Small objects of exact builtin types, in a form of our own: most messages are such, and to set a
 * pickler up and take it down again costs more than all that it writes of one.
 *
 * A tag, then what it says; numbers as the machine has them, as a message never leaves it. A size is a
 * byte, as all of it fits into FK_PLAIN_MOST: what has more than 255 of something is the pickler's. */
#include "small.h"

enum {
    NONE = 'N',
    FALSE = 'F',
    TRUE = 'T',
    INT_1 = 'b', /* int8_t */
    INT_4 = 'i', /* int32_t */
    INT_8 = 'q', /* int64_t */
    FLOAT = 'f', /* double */
    STR_1 = 's', /* size, characters of 1 byte each */
    STR_2 = 'u', /* of 2 */
    STR_4 = 'w', /* of 4 */
    BYTES = 'y', /* size, bytes */
    TUPLE = 't', /* size, members */
    LIST = 'l',  /* size, members */
    DICT = 'd',  /* size, a key and a value of each member */
};

static bool put_str(fk_writer *w, PyObject *o)
{
#if PY_VERSION_HEX < 0x030c0000
    if (!PyUnicode_IS_READY(o))
        return false;
#endif
    int width = PyUnicode_KIND(o);
    Py_ssize_t length = PyUnicode_GET_LENGTH(o);
    return fk_add_size(w,
                       width == 1   ? STR_1
                       : width == 2 ? STR_2
                                    : STR_4,
                       length) &&
           fk_add(w, PyUnicode_DATA(o), (size_t)length * (size_t)width);
}

static bool put_int(fk_writer *w, PyObject *o)
{
    int overflow;
    int64_t value = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow)
        return false;
    int32_t middle = (int32_t)value;
    int8_t small = (int8_t)value;
    if (small == value)
        return fk_add_tag(w, INT_1) && fk_add(w, &small, sizeof small);
    if (middle == value)
        return fk_add_tag(w, INT_4) && fk_add(w, &middle, sizeof middle);
    return fk_add_tag(w, INT_8) && fk_add(w, &value, sizeof value);
}

static bool put_any(fk_writer *w, PyObject *o, int depth)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyUnicode_Type)
        return put_str(w, o);
    if (t == &PyLong_Type)
        return put_int(w, o);
    if (t == &PyFloat_Type) {
        double value = PyFloat_AS_DOUBLE(o);
        return fk_add_tag(w, FLOAT) && fk_add(w, &value, sizeof value);
    }
    if (o == Py_None || t == &PyBool_Type)
        return fk_add_tag(w, o == Py_None ? NONE : o == Py_True ? TRUE : FALSE);
    if (t == &PyBytes_Type)
        return fk_add_size(w, BYTES, PyBytes_GET_SIZE(o)) &&
               fk_add(w, PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    if (t != &PyDict_Type && t != &PyTuple_Type && t != &PyList_Type)
        return false;
    if (t == &PyTuple_Type && PyTuple_GET_SIZE(o) == 0) /* there is but one */
        return fk_add_size(w, TUPLE, 0);
    if (depth == FK_SMALL_DEEPEST || !fk_is_first(w, o))
        return false;
    if (t == &PyDict_Type) {
        PyObject *key, *value;
        Py_ssize_t pos = 0;
        if (!fk_add_size(w, DICT, PyDict_GET_SIZE(o)))
            return false;
        while (PyDict_Next(o, &pos, &key, &value))
            if (!put_any(w, key, depth + 1) || !put_any(w, value, depth + 1))
                return false;
        return true;
    }
    Py_ssize_t n = Py_SIZE(o);
    PyObject **items = PySequence_Fast_ITEMS(o);
    if (!fk_add_size(w, t == &PyTuple_Type ? TUPLE : LIST, n))
        return false;
    for (Py_ssize_t i = 0; i < n; i++)
        if (!put_any(w, items[i], depth + 1))
            return false;
    return true;
}

uint32_t fk_plain_write(PyObject *obj, uint8_t *to, uint32_t room)
{
    fk_writer w = {.at = to, .end = to + room};
    return put_any(&w, obj, 0) ? (uint32_t)(w.at - to) : 0;
}

PyObject *fk_plain_bytes(PyObject *obj, PyObject *head)
{
    uint8_t data[FK_PLAIN_MOST];
    uint32_t n = fk_plain_write(obj, data, sizeof data);
    if (n == 0)
        Py_RETURN_NONE;
    Py_ssize_t before = head ? PyBytes_GET_SIZE(head) : 0;
    PyObject *r = PyBytes_FromStringAndSize(NULL, before + (Py_ssize_t)n);
    if (r) {
        if (before)
            memcpy(PyBytes_AS_STRING(r), PyBytes_AS_STRING(head), (size_t)before);
        memcpy(PyBytes_AS_STRING(r) + before, data, n);
    }
    return r;
}

/* ---- and back ------------------------------------------------------------------------------------ */

static PyObject *get_any(fk_reader *r, int depth);

/* `width`: of a character. */
static PyObject *get_str(fk_reader *r, int width)
{
    const uint8_t *size = fk_next(r, 1),
                  *p = size ? fk_next(r, (size_t)*size * (size_t)width) : NULL;
    uint32_t aligned[FK_PLAIN_MOST / 4];
    if (!p || *size * (size_t)width > sizeof aligned)
        return NULL;
    if (width > 1)
        p = memcpy(aligned, p, *size * (size_t)width);
    for (int i = 0; width == 4 && i < *size; i++)
        if (aligned[i] > 0x10ffff)
            return NULL;
    return PyUnicode_FromKindAndData(width, p, *size);
}

static PyObject *get_bytes(fk_reader *r)
{
    const uint8_t *size = fk_next(r, 1), *p = size ? fk_next(r, *size) : NULL;
    return p ? PyBytes_FromStringAndSize((const char *)p, *size) : NULL;
}

static PyObject *get_items(fk_reader *r, bool tuple, int depth)
{
    const uint8_t *size = fk_next(r, 1);
    if (!size)
        return NULL;
    Py_ssize_t n = *size;
    PyObject *all = tuple ? PyTuple_New(n) : PyList_New(n);
    for (Py_ssize_t i = 0; all && i < n; i++) {
        PyObject *item = get_any(r, depth + 1);
        if (!item)
            Py_CLEAR(all);
        else if (tuple)
            PyTuple_SET_ITEM(all, i, item);
        else
            PyList_SET_ITEM(all, i, item);
    }
    return all;
}

static PyObject *get_dict(fk_reader *r, int depth)
{
    const uint8_t *size = fk_next(r, 1);
    PyObject *all = size ? PyDict_New() : NULL;
    for (int n = size ? *size : 0; all && n > 0; n--) {
        PyObject *key = get_any(r, depth + 1), *value = key ? get_any(r, depth + 1) : NULL;
        if (!value || PyDict_SetItem(all, key, value) < 0)
            Py_CLEAR(all);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return all;
}

static PyObject *get_any(fk_reader *r, int depth)
{
    const uint8_t *tag = fk_next(r, 1), *p;
    int32_t middle;
    int64_t large;
    double real;
    switch (tag && depth <= FK_SMALL_DEEPEST ? *tag : 0) {
    case STR_1:
        return get_str(r, 1);
    case STR_2:
        return get_str(r, 2);
    case STR_4:
        return get_str(r, 4);
    case INT_1:
        return (p = fk_next(r, 1)) ? PyLong_FromLong((int8_t)*p) : NULL;
    case INT_4:
        if (!(p = fk_next(r, sizeof middle)))
            return NULL;
        memcpy(&middle, p, sizeof middle);
        return PyLong_FromLong(middle);
    case INT_8:
        if (!(p = fk_next(r, sizeof large)))
            return NULL;
        memcpy(&large, p, sizeof large);
        return PyLong_FromLongLong(large);
    case FLOAT:
        if (!(p = fk_next(r, sizeof real)))
            return NULL;
        memcpy(&real, p, sizeof real);
        return PyFloat_FromDouble(real);
    case NONE:
        Py_RETURN_NONE;
    case TRUE:
        Py_RETURN_TRUE;
    case FALSE:
        Py_RETURN_FALSE;
    case BYTES:
        return get_bytes(r);
    case TUPLE:
    case LIST:
        return get_items(r, *tag == TUPLE, depth);
    case DICT:
        return get_dict(r, depth);
    }
    return NULL;
}

PyObject *fk_plain_read(const void *data, size_t size)
{
    fk_reader r = {data, (const uint8_t *)data + size};
    PyObject *obj = get_any(&r, 0);
    if (obj && r.at != r.end)
        Py_CLEAR(obj);
    if (!obj && !PyErr_Occurred())
        fk_raise(FK_CORRUPT, "reading a message");
    return obj;
}
