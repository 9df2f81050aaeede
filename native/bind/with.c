/* __enter__ and __exit__ as descriptors of our own.
 *
 * For each `with` the interpreter asks both descriptors for a bound method, calls it once, and drops it. Much of
 * the statement's time goes into allocating what a method descriptor gives, and freeing it again. What these give
 * is used again. */
#include "bind.h"

#include <structmember.h>

typedef struct special { /* the descriptor */
    PyObject_HEAD vectorcallfunc call;
    PyTypeObject *objclass;
    const PyMethodDef *def; /* METH_NOARGS or METH_FASTCALL */
} special;

typedef struct bound { /* what it gives */
    PyObject_HEAD vectorcallfunc call;
    PyObject *self;
    special *of;
    PyObject *weak;
} bound;

static PyTypeObject *special_type, *bound_type;

#define MOST_IDLE 8
static bound *idle[MOST_IDLE];
static int n_idle;

static PyObject *call_with(const PyMethodDef *def, PyObject *self, PyObject *const *args,
                           Py_ssize_t n, PyObject *kwnames)
{
    if (FK_UNLIKELY(kwnames && PyTuple_GET_SIZE(kwnames))) {
        PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments", def->ml_name);
        return NULL;
    }
    if (def->ml_flags == METH_FASTCALL)
        return ((_PyCFunctionFast)(void (*)(void))def->ml_meth)(self, args, n);
    if (FK_UNLIKELY(n)) {
        PyErr_Format(PyExc_TypeError, "%s() takes no arguments (%zd given)", def->ml_name, n);
        return NULL;
    }
    return def->ml_meth(self, NULL);
}

/* ---- bound -------------------------------------------------------------------------------------- */

static PyObject *bound_call(PyObject *callable, PyObject *const *args, size_t n, PyObject *kwnames)
{
    bound *b = (bound *)callable;
    return call_with(b->of->def, b->self, args, PyVectorcall_NARGS(n), kwnames);
}

static PyObject *bound_new(special *of, PyObject *self)
{
    bound *b;
    if (FK_LIKELY(n_idle)) {
        b = idle[--n_idle];
        PyObject_Init((PyObject *)b, bound_type);
    } else if (!(b = PyObject_GC_New(bound, bound_type))) {
        return NULL;
    }
    b->call = bound_call;
    b->self = Py_NewRef(self);
    b->of = (special *)Py_NewRef(of);
    b->weak = NULL;
    PyObject_GC_Track(b);
    return (PyObject *)b;
}

static int bound_traverse(PyObject *callable, visitproc visit, void *arg)
{
    bound *b = (bound *)callable;
    Py_VISIT(Py_TYPE(callable));
    Py_VISIT(b->self);
    Py_VISIT(b->of);
    return 0;
}

static void bound_dealloc(PyObject *callable)
{
    bound *b = (bound *)callable;
    PyObject_GC_UnTrack(b);
    if (FK_UNLIKELY(b->weak != NULL))
        PyObject_ClearWeakRefs(callable);
    PyObject *self = b->self, *of = (PyObject *)b->of;
    if (FK_LIKELY(n_idle < MOST_IDLE))
        idle[n_idle++] = b;
    else
        PyObject_GC_Del(b);
    Py_DECREF(bound_type);
    Py_DECREF(of);
    Py_DECREF(self); /* last: it may run anything, another `with` too */
}

static PyObject *bound_repr(PyObject *callable)
{
    bound *b = (bound *)callable;
    return PyUnicode_FromFormat("<built-in method %s of %s object at %p>", b->of->def->ml_name,
                                Py_TYPE(b->self)->tp_name, (void *)b->self);
}

/* It is bound already. That it is a descriptor says to `inspect` that it is a method. */
static PyObject *bound_get(PyObject *callable, PyObject *obj, PyObject *type)
{
    (void)obj, (void)type;
    return Py_NewRef(callable);
}

static PyObject *bound_compare(PyObject *x, PyObject *y, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(y) != bound_type || Py_TYPE(x) != bound_type)
        Py_RETURN_NOTIMPLEMENTED;
    bound *a = (bound *)x, *b = (bound *)y;
    return PyBool_FromLong((a->self == b->self && a->of == b->of) == (op == Py_EQ));
}

static Py_hash_t bound_hash(PyObject *callable)
{
    bound *b = (bound *)callable;
    Py_hash_t h = _Py_HashPointer(b->self) ^ _Py_HashPointer(b->of);
    return h == -1 ? -2 : h;
}

/* ---- special ------------------------------------------------------------------------------------ */

static PyObject *special_call(PyObject *callable, PyObject *const *args, size_t nargsf,
                              PyObject *kwnames)
{
    special *s = (special *)callable;
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    if (n < 1 || !PyObject_TypeCheck(args[0], s->objclass)) {
        PyErr_Format(PyExc_TypeError, "%s() needs a %s object", s->def->ml_name,
                     s->objclass->tp_name);
        return NULL;
    }
    return call_with(s->def, args[0], args + 1, n - 1, kwnames);
}

static PyObject *special_get(PyObject *self, PyObject *obj, PyObject *type)
{
    (void)type;
    special *s = (special *)self;
    if (!obj)
        return Py_NewRef(self);
    if (FK_UNLIKELY(!PyObject_TypeCheck(obj, s->objclass))) {
        PyErr_Format(PyExc_TypeError, "%s() needs a %s object", s->def->ml_name,
                     s->objclass->tp_name);
        return NULL;
    }
    return bound_new(s, obj);
}

/* No tp_clear: in a circle with its class the class is cleared. */
static int special_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((special *)self)->objclass);
    return 0;
}

static void special_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_DECREF(((special *)self)->objclass);
    PyObject_GC_Del(self);
    Py_DECREF(special_type);
}

static PyObject *special_repr(PyObject *self)
{
    special *s = (special *)self;
    return PyUnicode_FromFormat("<method '%s' of '%s' objects>", s->def->ml_name,
                                s->objclass->tp_name);
}

/* ---- what both tell of the method --------------------------------------------------------------- */

static const special *method_of(PyObject *o)
{
    return Py_TYPE(o) == bound_type ? ((bound *)o)->of : (special *)o;
}

/* As getattr(object or class, name), as other methods are pickled. */
static PyObject *reduce(PyObject *o, PyObject *unused)
{
    (void)unused;
    PyObject *builtins = PyEval_GetBuiltins(); /* borrowed */
    PyObject *get = builtins ? PyDict_GetItemString(builtins, "getattr") : NULL;
    if (!get) {
        PyErr_SetString(PyExc_RuntimeError, "getattr is not to be found");
        return NULL;
    }
    const special *s = method_of(o);
    PyObject *of = Py_TYPE(o) == bound_type ? ((bound *)o)->self : (PyObject *)s->objclass;
    return Py_BuildValue("O(Os)", get, of, s->def->ml_name);
}

static PyObject *get_name(PyObject *o, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(method_of(o)->def->ml_name);
}

static PyObject *get_qualname(PyObject *o, void *unused)
{
    (void)unused;
    const special *s = method_of(o);
    const char *dot = strrchr(s->objclass->tp_name, '.');
    return PyUnicode_FromFormat("%s.%s", dot ? dot + 1 : s->objclass->tp_name, s->def->ml_name);
}

/* "name(parameters)\n--\n\ntext" */
static PyObject *get_doc(PyObject *o, void *unused)
{
    (void)unused;
    const char *doc = method_of(o)->def->ml_doc, *text = strstr(doc, "\n--\n\n");
    return PyUnicode_FromString(text ? text + 5 : doc);
}

static PyObject *get_signature(PyObject *o, void *unused)
{
    (void)unused;
    const char *doc = method_of(o)->def->ml_doc, *from = strchr(doc, '('),
               *to = strstr(doc, "\n--\n\n");
    if (!from || !to)
        Py_RETURN_NONE;
    return PyUnicode_FromStringAndSize(from, to - from);
}

static PyObject *get_objclass(PyObject *o, void *unused)
{
    (void)unused;
    return Py_NewRef(method_of(o)->objclass);
}

static PyGetSetDef getset[] = {
    {"__name__", get_name, NULL, NULL, NULL},
    {"__qualname__", get_qualname, NULL, NULL, NULL},
    {"__doc__", get_doc, NULL, NULL, NULL},
    {"__text_signature__", get_signature, NULL, NULL, NULL},
    {"__objclass__", get_objclass, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef special_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(special, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef bound_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(bound, call), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(bound, weak), READONLY, NULL},
    {"__self__", T_OBJECT, offsetof(bound, self), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef methods[] = {
    {"__reduce__", reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot special_slots[] = {
    {Py_tp_dealloc, special_dealloc},
    {Py_tp_traverse, special_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, special_get},
    {Py_tp_repr, special_repr},
    {Py_tp_getset, getset},
    {Py_tp_members, special_members},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_traverse, bound_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, bound_get},
    {Py_tp_repr, bound_repr},
    {Py_tp_richcompare, bound_compare},
    {Py_tp_hash, bound_hash},
    {Py_tp_getset, getset},
    {Py_tp_members, bound_members},
    {Py_tp_methods, methods},
    {0, NULL},
};

#define FLAGS                                                                                      \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION |         \
     Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC)
static PyType_Spec special_spec = {.name = "forkful._native.SpecialMethod",
                                   .basicsize = sizeof(special),
                                   .flags = FLAGS | Py_TPFLAGS_METHOD_DESCRIPTOR,
                                   .slots = special_slots};
static PyType_Spec bound_spec = {.name = "forkful._native.BoundSpecialMethod",
                                 .basicsize = sizeof(bound),
                                 .flags = FLAGS,
                                 .slots = bound_slots};

int fk_hasten_with(PyTypeObject *type)
{
    if (!special_type && !(special_type = (PyTypeObject *)PyType_FromSpec(&special_spec)))
        return -1;
    if (!bound_type && !(bound_type = (PyTypeObject *)PyType_FromSpec(&bound_spec)))
        return -1;
    static const char *const NAMES[] = {"__enter__", "__exit__"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        PyObject *found = PyDict_GetItemString(type->tp_dict, NAMES[i]); /* borrowed */
        if (!found || Py_TYPE(found) != &PyMethodDescr_Type)
            continue;
        special *s = PyObject_GC_New(special, special_type);
        if (!s)
            return -1;
        s->call = special_call;
        s->objclass = (PyTypeObject *)Py_NewRef(type);
        s->def = ((PyMethodDescrObject *)found)->d_method;
        PyObject_GC_Track(s);
        int r = PyObject_SetAttrString((PyObject *)type, NAMES[i], (PyObject *)s);
        Py_DECREF(s);
        if (r < 0)
            return -1;
    }
    return 0;
}
