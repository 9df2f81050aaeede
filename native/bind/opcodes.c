/* Pickles of small objects of exact builtin types, written and read without a pickler: to make one and take it
 * down again costs more than all that it does for such an object. What is written here every Python reads,
 * as at the other end of a pipe may be any; what is not read here, pickle reads.
 *
 * No memo: an object in which a container stands twice is the pickler's, and so is a pickle that refers back.
 * The opcodes are those of Lib/pickletools.py. */
#include "small.h"

#include <endian.h>

#define PROTOCOL 5

enum {
    PROTO = 0x80,   /* protocol */
    FRAME = 0x95,   /* uint64_t: bytes that follow */
    MEMOIZE = 0x94, /* remember the last object, should it be referred to */
    STOP = '.',     /* the object is the last one */
    NONE = 'N',
    TRUE = 0x88,
    FALSE = 0x89,
    INT_1 = 'K',  /* uint8_t */
    INT_2 = 'M',  /* uint16_t, the least significant byte first, as in all integers */
    INT_4 = 'J',  /* int32_t */
    INT_N = 0x8a, /* size, two's complement */
    FLOAT = 'G',  /* double, the most significant byte first */
    STR = 0x8c,   /* size, UTF-8 */
    BYTES = 'C',  /* size, bytes */
    MARK = '(',   /* what follows belongs together */
    EMPTY_TUPLE = ')',
    TUPLE = 't',    /* of all since the mark */
    TUPLE_1 = 0x85, /* of the last one, two, three */
    TUPLE_2 = 0x86,
    TUPLE_3 = 0x87,
    EMPTY_LIST = ']',
    APPENDS = 'e', /* all since the mark, to the list before it */
    APPEND = 'a',  /* the last one */
    EMPTY_DICT = '}',
    SETITEMS = 'u', /* all since the mark, keys and values, into the dict before it */
    SETITEM = 's',  /* the last two */
};

static bool put_sized(fk_writer *w, uint8_t op, const void *data, Py_ssize_t size)
{
    return fk_add_size(w, op, size) && fk_add(w, data, (size_t)size);
}

static bool put_int(fk_writer *w, PyObject *o)
{
    int overflow;
    int64_t value = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow)
        return false;
    if (value >= 0 && value <= UINT16_MAX) {
        uint16_t small = htole16((uint16_t)value);
        return value <= UINT8_MAX ? fk_add_tag(w, INT_1) && fk_add(w, &small, 1)
                                  : fk_add_tag(w, INT_2) && fk_add(w, &small, sizeof small);
    }
    if (value == (int32_t)value) {
        uint32_t middle = htole32((uint32_t)(int32_t)value);
        return fk_add_tag(w, INT_4) && fk_add(w, &middle, sizeof middle);
    }
    uint64_t large = htole64((uint64_t)value);
    return put_sized(w, INT_N, &large, sizeof large);
}

static bool put_float(fk_writer *w, PyObject *o)
{
    double value = PyFloat_AS_DOUBLE(o);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = htobe64(bits);
    return fk_add_tag(w, FLOAT) && fk_add(w, &bits, sizeof bits);
}

static bool put_any(fk_writer *w, PyObject *o, int depth)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyUnicode_Type)
        return PyUnicode_IS_COMPACT_ASCII(o) &&
               put_sized(w, STR, PyUnicode_DATA(o), PyUnicode_GET_LENGTH(o));
    if (t == &PyLong_Type)
        return put_int(w, o);
    if (t == &PyFloat_Type)
        return put_float(w, o);
    if (o == Py_None || t == &PyBool_Type)
        return fk_add_tag(w, o == Py_None ? NONE : o == Py_True ? TRUE : FALSE);
    if (t == &PyBytes_Type)
        return put_sized(w, BYTES, PyBytes_AS_STRING(o), PyBytes_GET_SIZE(o));
    if (t == &PyTuple_Type && PyTuple_GET_SIZE(o) == 0)
        return fk_add_tag(w, EMPTY_TUPLE);
    if (t != &PyDict_Type && t != &PyTuple_Type && t != &PyList_Type)
        return false;
    if (depth == FK_SMALL_DEEPEST || !fk_is_first(w, o))
        return false;
    if (t == &PyDict_Type) {
        PyObject *key, *value;
        Py_ssize_t pos = 0;
        if (!fk_add_tag(w, EMPTY_DICT) || !fk_add_tag(w, MARK))
            return false;
        while (PyDict_Next(o, &pos, &key, &value))
            if (!put_any(w, key, depth + 1) || !put_any(w, value, depth + 1))
                return false;
        return fk_add_tag(w, SETITEMS);
    }
    bool tuple = t == &PyTuple_Type;
    if ((!tuple && !fk_add_tag(w, EMPTY_LIST)) || !fk_add_tag(w, MARK))
        return false;
    PyObject **items = PySequence_Fast_ITEMS(o);
    for (Py_ssize_t i = 0; i < Py_SIZE(o); i++)
        if (!put_any(w, items[i], depth + 1))
            return false;
    return fk_add_tag(w, tuple ? TUPLE : APPENDS);
}

uint32_t fk_opcodes_write(PyObject *obj, uint8_t *to, uint32_t room)
{
    fk_writer w = {.at = to, .end = to + room};
    return fk_add_tag(&w, PROTO) && fk_add_tag(&w, PROTOCOL) && put_any(&w, obj, 0) &&
                   fk_add_tag(&w, STOP)
               ? (uint32_t)(w.at - to)
               : 0;
}

/* ---- and back ------------------------------------------------------------------------------------ */

typedef struct machine {
    fk_reader from;
    PyObject *stack[FK_PLAIN_MOST];
    int top, marks[FK_PLAIN_MOST], n_marks;
} machine;

/* Each opcode makes one object at most, or one mark, and there are at most FK_PLAIN_MOST of them. */
static bool push(machine *m, PyObject *o)
{
    if (!o)
        return false;
    m->stack[m->top++] = o;
    return true;
}

static bool get_int(machine *m, size_t size, bool is_signed)
{
    const uint8_t *p = fk_next(&m->from, size);
    uint64_t value = 0;
    if (!p || size > sizeof value)
        return false;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)p[i] << 8 * i;
    if (is_signed && size > 0 && size < sizeof value && p[size - 1] & 0x80)
        value |= ~(uint64_t)0 << 8 * size;
    return push(m, PyLong_FromLongLong((int64_t)value));
}

static bool get_float(machine *m)
{
    const uint8_t *p = fk_next(&m->from, sizeof(double));
    uint64_t bits;
    double value;
    if (!p)
        return false;
    memcpy(&bits, p, sizeof bits);
    bits = be64toh(bits);
    memcpy(&value, &bits, sizeof value);
    return push(m, PyFloat_FromDouble(value));
}

static bool get_sized(machine *m, uint8_t op)
{
    const uint8_t *size = fk_next(&m->from, 1), *p = size ? fk_next(&m->from, *size) : NULL;
    if (!p)
        return false;
    if (op == BYTES)
        return push(m, PyBytes_FromStringAndSize((const char *)p, *size));
    uint8_t all = 0;
    for (int i = 0; i < *size; i++)
        all |= p[i];
    if (all < 0x80)
        return push(m, PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, p, *size));
    return push(m, PyUnicode_DecodeUTF8((const char *)p, *size, "surrogatepass"));
}

/* Where what is since the last mark begins. */
static int base(const machine *m) { return m->n_marks > 0 ? m->marks[m->n_marks - 1] : 0; }

static bool make_tuple(machine *m, int first)
{
    if (first < base(m))
        return false;
    PyObject *all = PyTuple_New(m->top - first);
    if (!all)
        return false;
    for (int i = first; i < m->top; i++)
        PyTuple_SET_ITEM(all, i - first, m->stack[i]);
    m->top = first;
    return push(m, all);
}

static void drop(machine *m, int first)
{
    while (m->top > first)
        Py_DECREF(m->stack[--m->top]);
}

static bool extend(machine *m, int first)
{
    PyObject *list = first > base(m) ? m->stack[first - 1] : NULL;
    if (!list || !PyList_CheckExact(list))
        return false;
    for (int i = first; i < m->top; i++)
        if (PyList_Append(list, m->stack[i]) < 0)
            return false;
    drop(m, first);
    return true;
}

static bool update(machine *m, int first)
{
    PyObject *dict = first > base(m) ? m->stack[first - 1] : NULL;
    if (!dict || !PyDict_CheckExact(dict) || (m->top - first) % 2 != 0)
        return false;
    for (int i = first; i < m->top; i += 2)
        if (PyDict_SetItem(dict, m->stack[i], m->stack[i + 1]) < 0)
            return false;
    drop(m, first);
    return true;
}

/* Take the last mark away; where it was, -1: there is none. */
static int pop_mark(machine *m) { return m->n_marks > 0 ? m->marks[--m->n_marks] : -1; }

/* A frame must go to the end, as it does in all small pickles. */
static bool get_frame(machine *m)
{
    const uint8_t *p = fk_next(&m->from, sizeof(uint64_t));
    uint64_t size;
    if (!p)
        return false;
    memcpy(&size, p, sizeof size);
    return le64toh(size) == (uint64_t)(m->from.end - m->from.at);
}

/* Whether it could be done. */
static bool do_op(machine *m, uint8_t op)
{
    const uint8_t *p;
    switch (op) {
    case FRAME:
        return get_frame(m);
    case MEMOIZE:
        return m->top > base(m);
    case NONE:
        return push(m, Py_NewRef(Py_None));
    case TRUE:
    case FALSE:
        return push(m, PyBool_FromLong(op == TRUE));
    case INT_1:
        return get_int(m, 1, false);
    case INT_2:
        return get_int(m, 2, false);
    case INT_4:
        return get_int(m, 4, true);
    case INT_N:
        return (p = fk_next(&m->from, 1)) && get_int(m, *p, true);
    case FLOAT:
        return get_float(m);
    case STR:
    case BYTES:
        return get_sized(m, op);
    case MARK:
        m->marks[m->n_marks++] = m->top;
        return true;
    case EMPTY_TUPLE:
        return make_tuple(m, m->top);
    case TUPLE:
        return make_tuple(m, pop_mark(m));
    case TUPLE_1:
    case TUPLE_2:
    case TUPLE_3:
        return make_tuple(m, m->top - (op - TUPLE_1 + 1));
    case EMPTY_LIST:
        return push(m, PyList_New(0));
    case APPENDS:
        return extend(m, pop_mark(m));
    case APPEND:
        return extend(m, m->top - 1);
    case EMPTY_DICT:
        return push(m, PyDict_New());
    case SETITEMS:
        return update(m, pop_mark(m));
    case SETITEM:
        return update(m, m->top - 2);
    }
    return false;
}

PyObject *fk_opcodes_read(const void *data, size_t size)
{
    machine m; /* whose stack needs no zeros */
    m.from = (fk_reader){data, (const uint8_t *)data + size};
    m.top = m.n_marks = 0;
    const uint8_t *p = fk_next(&m.from, 2);
    bool going = size <= FK_PLAIN_MOST && p && p[0] == PROTO && p[1] <= PROTOCOL;
    while (going && (p = fk_next(&m.from, 1)) && *p != STOP)
        going = do_op(&m, *p);
    if (going && p && m.top == 1 && m.n_marks == 0)
        return m.stack[0];
    drop(&m, 0);
    PyErr_Clear(); /* pickle will say what is wrong */
    return NULL;
}
