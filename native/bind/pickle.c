#include "bind.h"

#define ASIDE (96 * 1024) /* as in wire/pickling.py */
#define DEEPEST 8         /* deeper nesting, or a cycle, takes the general way */
#define MOST 65536        /* so do more members, which take much longer to pickle than to meet */

/* Whether n members more may be met. */
static bool may_meet(Py_ssize_t n, int *most)
{
    *most -= (int)Py_MIN(n, MOST);
    return *most >= 0;
}

/* Whether an object consists of exact builtin types only: then the plain C pickler does what
 * ForkingPickler would, without looking anything up. Large bytes may travel beside their pickle,
 * which would copy them. What is met more than once counts each time, so the way is not endless: `most` is how many
 * may still be met. */
static bool is_plain(PyObject *o, int depth, int *most)
{
    PyTypeObject *t = Py_TYPE(o);
    if (o == Py_None || t == &PyUnicode_Type || t == &PyLong_Type || t == &PyFloat_Type ||
        t == &PyBool_Type)
        return true;
    if (t == &PyBytes_Type)
        return PyBytes_GET_SIZE(o) < ASIDE;
    if (depth == DEEPEST)
        return false;
    if (t == &PyTuple_Type) {
        if (!may_meet(PyTuple_GET_SIZE(o), most))
            return false;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); i++)
            if (!is_plain(PyTuple_GET_ITEM(o, i), depth + 1, most))
                return false;
        return true;
    }
    if (t == &PyList_Type) {
        if (!may_meet(PyList_GET_SIZE(o), most))
            return false;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(o); i++)
            if (!is_plain(PyList_GET_ITEM(o, i), depth + 1, most))
                return false;
        return true;
    }
    if (t == &PyDict_Type) {
        if (!may_meet(PyDict_GET_SIZE(o), most))
            return false;
        Py_ssize_t pos = 0;
        PyObject *key, *value;
        while (PyDict_Next(o, &pos, &key, &value))
            if (!is_plain(key, depth + 1, most) || !is_plain(value, depth + 1, most))
                return false;
        return true;
    }
    return false;
}

PyObject *fk_pickle_plain(PyObject *obj)
{
    static PyObject *protocol; /* a small int, kept for good */
    int most = MOST;
    if (!is_plain(obj, 0, &most))
        Py_RETURN_NONE;
    if (!protocol && !(protocol = PyLong_FromLong(5)))
        return NULL;
    PyObject *args[] = {obj, protocol};
    return PyObject_Vectorcall(fk_hooks.pickle_dumps, args, 2, NULL);
}

PyObject *fk_dumps_plain(PyObject *obj, PyObject *head)
{
    PyObject *data = fk_plain_bytes(obj, head);
    if (data != Py_None)
        return data;
    Py_DECREF(data);
    PyObject *pickled = fk_pickle_plain(obj);
    if (!head || !pickled || pickled == Py_None)
        return pickled;
    Py_INCREF(head);
    PyBytes_ConcatAndDel(&head, pickled);
    return head;
}

PyObject *fk_pickle(PyObject *obj, PyObject **extras)
{
    *extras = NULL;
    PyObject *plain = fk_pickle_plain(obj);
    if (plain != Py_None)
        return plain;
    Py_DECREF(plain);
    PyObject *all = PyObject_CallOneArg(fk_hooks.dumps, obj);
    if (!all)
        return NULL;
    PyObject *data = NULL;
    if (!PyTuple_Check(all) || PyTuple_GET_SIZE(all) != 3 ||
        !PyBytes_CheckExact(PyTuple_GET_ITEM(all, 0)) ||
        !PyList_CheckExact(PyTuple_GET_ITEM(all, 1)) ||
        !PyList_CheckExact(PyTuple_GET_ITEM(all, 2))) {
        PyErr_SetString(PyExc_TypeError, "dumps() must return (bytes, list, list)");
    } else {
        data = Py_NewRef(PyTuple_GET_ITEM(all, 0));
        if (PyList_GET_SIZE(PyTuple_GET_ITEM(all, 1)) || PyList_GET_SIZE(PyTuple_GET_ITEM(all, 2)))
            *extras = Py_NewRef(all);
    }
    Py_DECREF(all);
    return data;
}

PyObject *fk_unpickle(PyObject *data, PyObject *buffers)
{
    if (!buffers)
        return PyObject_CallOneArg(fk_hooks.pickle_loads, data);
    static PyObject *names;
    if (!names && !(names = Py_BuildValue("(s)", "buffers")))
        return NULL;
    PyObject *args[] = {data, buffers};
    return PyObject_Vectorcall(fk_hooks.pickle_loads, args, 1, names);
}

#define COPIED 4096 /* bytes: to copy what is behind `at` costs less than a view of it */

PyObject *fk_rebuild(PyObject *data, Py_ssize_t at)
{
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    const char *from = PyBytes_AS_STRING(data) + at;
    if (fk_plain_is((const uint8_t *)from, (size_t)(size - at)))
        return fk_plain_read(from, (size_t)(size - at));
    if (at == 0)
        return fk_unpickle(data, NULL);
    PyObject *rest = NULL;
    if (size - at < COPIED) {
        rest = PyBytes_FromStringAndSize(from, size - at);
    } else {
        PyObject *view = PyMemoryView_FromObject(data);
        rest = view ? PySequence_GetSlice(view, at, size) : NULL;
        Py_XDECREF(view);
    }
    PyObject *obj = rest ? fk_unpickle(rest, NULL) : NULL;
    Py_XDECREF(rest);
    return obj;
}
