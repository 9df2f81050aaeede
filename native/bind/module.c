/* The module: tables only. */
#include "container.h"

fk_bind_hooks fk_hooks;

static PyObject *configure(PyObject *m, PyObject *args)
{
    (void)m;
    fk_bind_hooks h = {0};
    if (!PyArg_ParseTuple(args, "OOOOOOOO!", &h.dumps, &h.owner_died, &h.shut_down, &h.lost,
                          &h.quiet, &h.examine, &h.circle, &PyTuple_Type, &h.homes))
        return NULL;
    PyObject *pickle = PyImport_ImportModule("_pickle");
    if (!pickle)
        return NULL;
    h.pickle_dumps = PyObject_GetAttrString(pickle, "dumps");
    h.pickle_loads = PyObject_GetAttrString(pickle, "loads");
    Py_DECREF(pickle);
    if (!h.pickle_dumps || !h.pickle_loads)
        return NULL;
    Py_INCREF(h.dumps);
    Py_INCREF(h.owner_died);
    Py_INCREF(h.shut_down);
    Py_INCREF(h.lost);
    Py_INCREF(h.quiet);
    Py_INCREF(h.examine);
    Py_INCREF(h.circle);
    Py_INCREF(h.homes);
    fk_hooks = h;
    Py_RETURN_NONE;
}

static PyObject *pickle_plain(PyObject *m, PyObject *obj)
{
    (void)m;
    return fk_pickle_plain(obj);
}

typedef PyObject *(*plain_fn)(PyObject *obj, PyObject *head);

static PyObject *with_head(plain_fn fn, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 2 || (nargs == 2 && !PyBytes_CheckExact(args[1]))) {
        PyErr_SetString(PyExc_TypeError, "an object, and bytes that stand before it, expected");
        return NULL;
    }
    return fn(args[0], nargs == 2 ? args[1] : NULL);
}

static PyObject *write_plain(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    return with_head(fk_plain_bytes, args, nargs);
}

static PyObject *dumps_plain(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    return with_head(fk_dumps_plain, args, nargs);
}

static PyObject *rebuild(PyObject *m, PyObject *const *args, Py_ssize_t nargs)
{
    (void)m;
    Py_ssize_t at = nargs == 2 ? PyLong_AsSsize_t(args[1]) : 0;
    if (at == -1 && PyErr_Occurred())
        return NULL;
    if (nargs < 1 || nargs > 2 || !PyBytes_CheckExact(args[0]) || at < 0 ||
        at > PyBytes_GET_SIZE(args[0])) {
        PyErr_SetString(PyExc_TypeError, "bytes and a place in them expected");
        return NULL;
    }
    return fk_rebuild(args[0], at);
}

static PyMethodDef methods[] = {
    {"write_plain", (PyCFunction)(void (*)(void))write_plain, METH_FASTCALL,
     "write_plain($module, obj, head=b'', /)\n--\n\nReturn a small object of exact builtin types "
     "as "
     "bytes behind `head`, in less time than it takes to\npickle it; None if it is no such object. "
     "Its "
     "first byte is none that a pickle begins with."},
    {"dumps_plain", (PyCFunction)(void (*)(void))dumps_plain, METH_FASTCALL,
     "dumps_plain($module, obj, head=b'', /)\n--\n\nReturn an object of exact builtin types as "
     "bytes behind `head`: as write_plain() does, or else\npickled. None if it is no such object."},
    {"rebuild", (PyCFunction)(void (*)(void))rebuild, METH_FASTCALL,
     "rebuild($module, data, at=0, /)\n--\n\nReturn the object whose pickle, or what write_plain() "
     "made of it, stands in the bytes from `at` on."},
    {"pickle_plain", pickle_plain, METH_O,
     "pickle_plain($module, obj, /)\n--\n\nReturn obj pickled if it consists of exact builtin "
     "types only, else "
     "None."},
    {"configure", configure, METH_VARARGS,
     "configure($module, dumps, owner_died, shut_down, lost, quiet, examine, "
     "circle, homes, "
     "/)\n--\n\nHand over the Python side's pickler, exceptions and search for deadlocks; once, "
     "before any handle is used."},
    {NULL, NULL, 0, NULL},
};

static int add_derived(PyObject *m, PyType_Spec *spec, PyTypeObject *base, bool handle,
                       PyTypeObject **keep)
{
    PyObject *type = PyType_FromSpecWithBases(spec, (PyObject *)base);
    if (!type)
        return -1;
    for (PyMethodDef *d = fk_handle_methods; handle && d->ml_name; d++) {
        PyObject *descr = PyDescr_NewMethod((PyTypeObject *)type, d);
        int r = descr ? PyObject_SetAttrString(type, d->ml_name, descr) : -1;
        Py_XDECREF(descr);
        if (r < 0) {
            Py_DECREF(type);
            return -1;
        }
    }
    int r =
        fk_hasten_with((PyTypeObject *)type) < 0 ? -1 : PyModule_AddType(m, (PyTypeObject *)type);
    if (keep && r == 0)
        *keep = (PyTypeObject *)type; /* the module's one reference more: for good */
    else
        Py_DECREF(type);
    return r;
}

static int add_type(PyObject *m, PyType_Spec *spec, bool handle, PyTypeObject **keep)
{
    return add_derived(m, spec, NULL, handle, keep);
}

static int exec(PyObject *m)
{
    if (PyModule_AddFunctions(m, fk_family_methods) < 0 ||
        PyModule_AddFunctions(m, fk_board_methods) < 0 ||
        PyModule_AddFunctions(m, fk_peek_methods) < 0 ||
        PyModule_AddFunctions(m, fk_stream_methods) < 0 ||
        PyModule_AddFunctions(m, fk_files_methods) < 0 ||
        PyModule_AddFunctions(m, fk_disown_methods) < 0 ||
        PyModule_AddFunctions(m, fk_lastwords_methods) < 0 ||
        PyModule_AddFunctions(m, fk_ending_methods) < 0 || fk_add_ending_constants(m) < 0 ||
        fk_add_disowned() < 0 || add_type(m, &fk_lock_spec, true, &fk_lock_type) < 0 ||
        add_type(m, &fk_rlock_spec, true, &fk_rlock_type) < 0 ||
        add_type(m, &fk_sema_spec, true, NULL) < 0 || add_type(m, &fk_event_spec, true, NULL) < 0 ||
        add_type(m, &fk_cond_spec, true, NULL) < 0 || add_type(m, &fk_queue_spec, true, NULL) < 0 ||
        add_type(m, &fk_words_spec, true, NULL) < 0 ||
        add_type(m, &fk_memory_spec, true, NULL) < 0 ||
        add_type(m, &fk_packed_spec, true, NULL) < 0 ||
        add_type(m, &fk_dict_spec, true, NULL) < 0 || add_type(m, &fk_list_spec, true, NULL) < 0 ||
        add_type(m, &fk_block_spec, false, &fk_block_type) < 0 ||
        add_type(m, &fk_guard_spec, false, &fk_guard_type) < 0 ||
        add_derived(m, &fk_guarded_spec, fk_guard_type, false, &fk_guarded_type) < 0 ||
        add_derived(m, &fk_items_spec, fk_guarded_type, false, NULL) < 0 ||
        add_type(m, &fk_attribute_spec, false, NULL) < 0 ||
        add_type(m, &fk_ends_spec, false, NULL) < 0)
        return -1;
    if (PyModule_AddIntConstant(m, "BY_PID", (long)FK_BY_PID) < 0 ||
        PyModule_AddIntConstant(m, "OP_RLOCK", FK_OP_RLOCK) < 0 ||
        PyModule_AddIntConstant(m, "OP_QUEUE_GET", FK_OP_QUEUE_GET) < 0 ||
        PyModule_AddIntConstant(m, "OP_TASK", FK_OP_TASK) < 0 ||
        PyModule_AddIntConstant(m, "OP_RECV", FK_OP_RECV) < 0 ||
        PyModule_AddIntConstant(m, "OP_POLL", FK_OP_POLL) < 0 ||
        PyModule_AddIntConstant(m, "OP_ACCEPT", FK_OP_ACCEPT) < 0 ||
        PyModule_AddIntConstant(m, "OP_WAIT", FK_OP_WAIT) < 0 ||
        PyModule_AddIntConstant(m, "OP_RESULTS", FK_OP_RESULTS) < 0 ||
        PyModule_AddIntConstant(m, "OP_RESULT", FK_OP_RESULT) < 0 ||
        PyModule_AddIntConstant(m, "OP_POOL", FK_OP_POOL) < 0)
        return -1;
    return PyModule_AddIntConstant(m, "OP_PROCESS", FK_OP_PROCESS);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forkful._native",
    .m_doc = "Shared memory, locks and waiting for forkful; see _native.pyi.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module); }
