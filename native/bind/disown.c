/* What a forked child leaves to its parent, whoever has forked it. In C, as what is in files.c: most children have
 * nothing to do here. */
#include "bind.h"

static PyObject *names,
    *children;              /* where the standard library keeps a process's children, and as what */
static PyObject *inherited; /* the parents' sets: to drop one would write to each child's object */
static PyObject *locks, *forget_others;

void fk_disown_after_fork(void)
{
    if (!names)
        return;
    PyObject *parents = PyDict_GetItemWithError(names, children), *none = PySet_New(NULL);
    if (!parents || !none || PyList_Append(inherited, parents) < 0 ||
        PyDict_SetItem(names, children, none) < 0)
        PyErr_WriteUnraisable(names);
    Py_XDECREF(none);
    if (PyDict_GET_SIZE(locks) == 0)
        return;
    PyObject *done = PyObject_CallNoArgs(forget_others);
    if (!done)
        PyErr_WriteUnraisable(forget_others);
    Py_XDECREF(done);
}

static PyObject *disown(PyObject *m, PyObject *args)
{
    (void)m;
    PyObject *theirs, *under_way, *forget;
    if (!PyArg_ParseTuple(args, "O!O!O", &PyDict_Type, &theirs, &PyDict_Type, &under_way, &forget))
        return NULL;
    if (!children && !(children = PyUnicode_InternFromString("_children")))
        return NULL;
    if (!inherited && !(inherited = PyList_New(0)))
        return NULL;
    Py_XSETREF(locks, Py_NewRef(under_way));
    Py_XSETREF(forget_others, Py_NewRef(forget));
    Py_XSETREF(names, Py_NewRef(theirs));
    Py_RETURN_NONE;
}

PyMethodDef fk_disown_methods[] = {
    {"disown", disown, METH_VARARGS,
     "disown($module, names, locks, forget_others, /)\n--\n\nFrom now on, let each child that is "
     "forked have no children: names['_children'] is a new set.\nThere, too, forget_others() is "
     "called if "
     "`locks` is not empty."},
    {NULL, NULL, 0, NULL},
};
