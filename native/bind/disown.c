/* What a forked child leaves to its parent, whoever has forked it. In C, as what is in files.c: most children have
 * nothing to do here. */
#include "bind.h"

/* Where the standard library keeps a process's children, and as what. */
static PyObject *names, *children;
static PyObject *inherited; /* the parents' sets: to drop one would write to each child's object */
static PyObject *locks, *forget_others;
static PyObject *sharers_module; /* its name */

/* Descriptors that are sent wait in their process for who takes them, at an address, by number. A child has the
 * address but not the thread that serves there: who takes what it sends would get one of the parent's, or none.
 * The standard library itself thinks of children that it has forked only. */
static void leave_sharer(void)
{
    PyObject *module = PyDict_GetItemWithError(PyImport_GetModuleDict(), sharers_module);
    if (!module) /* few programs send any */
        return;
    PyObject *sharer = PyObject_GetAttrString(module, "_resource_sharer");
    PyObject *done = sharer ? PyObject_CallMethod(sharer, "_afterfork", NULL) : NULL;
    if (!sharer) /* another thread of the parent was just importing it */
        PyErr_Clear();
    else if (!done)
        PyErr_WriteUnraisable(sharer);
    Py_XDECREF(done);
    Py_XDECREF(sharer);
}

int fk_add_disowned(void)
{
    if (!sharers_module)
        sharers_module = PyUnicode_InternFromString("multiprocessing.resource_sharer");
    return sharers_module ? 0 : -1;
}

void fk_disown_after_fork(void)
{
    leave_sharer();
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
