/* An object and the lock that guards it: what Value, Array and Condition begin with. No frame of
 * Python's stands between the user's line and the lock. */
#include "bind.h"

#include <structmember.h>

PyTypeObject *fk_guard_type, *fk_guarded_type;

typedef struct fk_guard {
    PyObject_HEAD PyObject *obj; /* NULL: none */
    PyObject *lock;              /* NULL: not yet */
    int kind; /* FK_KIND_LOCK, FK_KIND_RLOCK: with the native methods; 0: any other */
} fk_guard;

/* Whether a type has our own method of that name, and no subclass's. */
static bool has_native(PyTypeObject *type, PyTypeObject *native, const char *name)
{
    PyObject *its = PyObject_GetAttrString((PyObject *)type, name);
    PyObject *ours = PyObject_GetAttrString((PyObject *)native, name);
    bool same = its && its == ours;
    Py_XDECREF(its);
    Py_XDECREF(ours);
    return same;
}

static bool is_native(PyObject *lock, PyTypeObject *native)
{
    static const char *const NAMES[] = {"acquire", "release", "__enter__", "__exit__"};
    if (!PyObject_TypeCheck(lock, native))
        return false;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (!has_native(Py_TYPE(lock), native, NAMES[i]))
            return false;
    return true;
}

static PyObject *get_lock(PyObject *self, void *unused)
{
    (void)unused;
    fk_guard *g = (fk_guard *)self;
    if (g->lock)
        return Py_NewRef(g->lock);
    PyErr_Format(PyExc_AttributeError, "%s object has no lock yet (was __init__ called?)",
                 Py_TYPE(self)->tp_name);
    return NULL;
}

static int set_lock(PyObject *self, PyObject *lock, void *unused)
{
    (void)unused;
    fk_guard *g = (fk_guard *)self;
    g->kind = 0;
    if (lock && is_native(lock, fk_lock_type))
        g->kind = FK_KIND_LOCK;
    else if (lock && is_native(lock, fk_rlock_type))
        g->kind = FK_KIND_RLOCK;
    else
        PyErr_Clear();
    Py_XSETREF(g->lock, Py_XNewRef(lock));
    return 0;
}

/* A result that says no more than whether it went well. */
static int done(PyObject *r)
{
    Py_XDECREF(r);
    return r ? 0 : -1;
}

/* The lock, if it is an RLock: who holds it already only counts. */
static inline fk_rlock *counted(fk_guard *g)
{
    return g->kind == FK_KIND_RLOCK ? ((fk_handle *)g->lock)->data : NULL;
}

static int take(fk_guard *g)
{
    fk_rlock *l = counted(g);
    if (l && fk_rlock_again(&fk_family, l) == FK_OK)
        return 0;
    if (FK_LIKELY(g->kind != 0))
        return done(fk_lock_enter(g->lock, g->kind));
    PyObject *lock = get_lock((PyObject *)g, NULL);
    int r = lock ? done(PyObject_CallMethod(lock, "acquire", NULL)) : -1;
    Py_XDECREF(lock);
    return r;
}

/* Free the lock behind what gave `result`, which may be NULL with an exception. */
static PyObject *freed(fk_guard *g, PyObject *result)
{
    fk_rlock *l = counted(g);
    if (FK_LIKELY(l && fk_rlock_release(&fk_family, l) == FK_OK))
        return result;
    PyObject *type = NULL, *value, *tb;
    if (!result)
        PyErr_Fetch(&type, &value, &tb);
    int r = FK_LIKELY(g->kind != 0) ? done(fk_lock_exit(g->lock, g->kind, NULL, 0))
                                    : done(PyObject_CallMethod(g->lock, "release", NULL));
    if (type) {
        if (r < 0)
            PyErr_Clear();
        PyErr_Restore(type, value, tb);
    } else if (r < 0) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_guard *g = (fk_guard *)self;
    if (FK_LIKELY(g->kind != 0))
        return fk_lock_enter(g->lock, g->kind);
    PyObject *lock = get_lock(self, NULL);
    PyObject *r = lock ? PyObject_CallMethod(lock, "__enter__", NULL) : NULL;
    Py_XDECREF(lock);
    return r;
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    fk_guard *g = (fk_guard *)self;
    if (FK_LIKELY(g->kind != 0))
        return fk_lock_exit(g->lock, g->kind, args, nargs);
    PyObject *lock = get_lock(self, NULL);
    PyObject *method = lock ? PyObject_GetAttrString(lock, "__exit__") : NULL;
    PyObject *r = method ? PyObject_Vectorcall(method, args, (size_t)nargs, NULL) : NULL;
    Py_XDECREF(method);
    Py_XDECREF(lock);
    return r;
}

static PyObject *lock_of(PyObject *self, PyObject *unused)
{
    (void)unused;
    return get_lock(self, NULL);
}

static PyObject *obj_of(PyObject *self, PyObject *unused)
{
    (void)unused;
    fk_guard *g = (fk_guard *)self;
    return Py_NewRef(g->obj ? g->obj : Py_None);
}

static PyObject *get_item(PyObject *self, PyObject *key)
{
    fk_guard *g = (fk_guard *)self;
    return take(g) < 0 ? NULL : freed(g, PyObject_GetItem(g->obj, key));
}

static int set_item(PyObject *self, PyObject *key, PyObject *value)
{
    fk_guard *g = (fk_guard *)self;
    if (take(g) < 0)
        return -1;
    int r = value ? PyObject_SetItem(g->obj, key, value) : PyObject_DelItem(g->obj, key);
    return done(freed(g, r < 0 ? NULL : Py_NewRef(Py_None)));
}

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    fk_guard *g = (fk_guard *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(g->obj);
    Py_VISIT(g->lock);
    return 0;
}

static int clear(PyObject *self)
{
    fk_guard *g = (fk_guard *)self;
    g->kind = 0;
    Py_CLEAR(g->obj);
    Py_CLEAR(g->lock);
    return 0;
}

static void dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, "__enter__($self, /)\n--\n\nTake the lock."},
    {"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL,
     "__exit__($self, /, *exc)\n--\n\nFree the lock."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef pair_methods[] = {
    {"get_lock", lock_of, METH_NOARGS, "get_lock($self, /)\n--\n\nReturn the lock."},
    {"get_obj", obj_of, METH_NOARGS,
     "get_obj($self, /)\n--\n\nReturn the object, without its lock."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef pair_members[] = {
    {"_obj", T_OBJECT, offsetof(fk_guard, obj), 0, "The object that the lock guards."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_lock", get_lock, set_lock, "The lock.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot guard_slots[] = {
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc, "What a lock of its own guards; `with` takes it."},
    {0, NULL},
};

static PyType_Slot pair_slots[] = {
    {Py_tp_methods, pair_methods},
    {Py_tp_members, pair_members},
    {Py_tp_doc, "An object with its lock."},
    {0, NULL},
};

static PyType_Slot items_slots[] = {
    {Py_mp_subscript, get_item},
    {Py_mp_ass_subscript, set_item},
    {Py_tp_doc, "An object whose items are read and set under its lock."},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)
PyType_Spec fk_guard_spec = {.name = "forkful._native.Guard",
                             .basicsize = sizeof(fk_guard),
                             .flags = FLAGS | Py_TPFLAGS_HAVE_GC,
                             .slots = guard_slots};
PyType_Spec fk_guarded_spec = {.name = "forkful._native.Guarded",
                               .basicsize = sizeof(fk_guard),
                               .flags = FLAGS,
                               .slots = pair_slots};
PyType_Spec fk_items_spec = {.name = "forkful._native.GuardedItems",
                             .basicsize = sizeof(fk_guard),
                             .flags = FLAGS,
                             .slots = items_slots};

/* ---- an attribute of the object ---------------------------------------------------------------- */

/* A class as it was: the version is another one as soon as anything of it is. The pointer is not
 * followed. */
typedef struct fk_version {
    PyTypeObject *type;
    unsigned number;
} fk_version;

static inline bool is_still(PyTypeObject *type, const fk_version *v)
{
    return type == v->type && type->tp_version_tag == v->number &&
           PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG);
}

static fk_version version_of(PyTypeObject *type)
{
    return (fk_version){PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG) ? type : NULL,
                        type->tp_version_tag};
}

typedef struct fk_attribute {
    PyObject_HEAD PyObject *name;
    fk_version guards;    /* whose instances are guards */
    fk_version objects;   /* whose instances have the attribute by this descriptor: */
    PyObject *descriptor; /* borrowed from that class, so good as long as it is still the same */
} fk_attribute;

static PyObject *attribute_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *name;
    if (!PyArg_ParseTuple(args, "U", &name) || kwargs)
        return NULL;
    fk_attribute *a = (fk_attribute *)type->tp_alloc(type, 0);
    if (a) {
        PyUnicode_InternInPlace(&name); /* borrowed: it stays what it is, or becomes its equal */
        a->name = Py_NewRef(name);
    }
    return (PyObject *)a;
}

static void attribute_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(((fk_attribute *)self)->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static fk_guard *guard_of(fk_attribute *a, PyObject *obj)
{
    bool guard = is_still(Py_TYPE(obj), &a->guards);
    if (FK_UNLIKELY(!guard) && PyObject_TypeCheck(obj, fk_guard_type)) {
        guard = true;
        a->guards = version_of(Py_TYPE(obj));
    }
    if (guard && ((fk_guard *)obj)->obj)
        return (fk_guard *)obj;
    PyErr_SetString(PyExc_TypeError, "no guarded object");
    return NULL;
}

/* Remember the descriptor by which objects of that class have the attribute, if nothing in the object
 * can come before it: so have ctypes' simple objects, arrays and structures theirs. */
static void learn(fk_attribute *a, PyTypeObject *type)
{
    PyObject *found = _PyType_Lookup(type, a->name); /* borrowed */
    if (found && PyType_HasFeature(Py_TYPE(found), Py_TPFLAGS_IMMUTABLETYPE) &&
        Py_TYPE(found)->tp_descr_get && Py_TYPE(found)->tp_descr_set &&
        type->tp_getattro == PyObject_GenericGetAttr &&
        type->tp_setattro == PyObject_GenericSetAttr) {
        a->objects = version_of(type);
        a->descriptor = found;
    }
}

static PyObject *get_of(fk_attribute *a, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (FK_UNLIKELY(!is_still(type, &a->objects))) {
        learn(a, type);
        return PyObject_GetAttr(obj, a->name);
    }
    PyObject *descriptor = Py_NewRef(a->descriptor);
    PyObject *r = Py_TYPE(descriptor)->tp_descr_get(descriptor, obj, (PyObject *)type);
    Py_DECREF(descriptor);
    return r;
}

static int set_of(fk_attribute *a, PyObject *obj, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (FK_UNLIKELY(!is_still(type, &a->objects))) {
        learn(a, type);
        return PyObject_SetAttr(obj, a->name, value);
    }
    PyObject *descriptor = Py_NewRef(a->descriptor);
    int r = Py_TYPE(descriptor)->tp_descr_set(descriptor, obj, value);
    Py_DECREF(descriptor);
    return r;
}

static PyObject *attribute_get(PyObject *self, PyObject *obj, PyObject *type)
{
    (void)type;
    if (!obj || obj == Py_None)
        return Py_NewRef(self);
    fk_attribute *a = (fk_attribute *)self;
    fk_guard *g = guard_of(a, obj);
    if (!g || take(g) < 0)
        return NULL;
    return freed(g, get_of(a, g->obj));
}

static int attribute_set(PyObject *self, PyObject *obj, PyObject *value)
{
    fk_attribute *a = (fk_attribute *)self;
    fk_guard *g = guard_of(a, obj);
    if (!g || take(g) < 0)
        return -1;
    int r = set_of(a, g->obj, value);
    return done(freed(g, r < 0 ? NULL : Py_NewRef(Py_None)));
}

static PyType_Slot attribute_slots[] = {
    {Py_tp_new, attribute_new},
    {Py_tp_dealloc, attribute_dealloc},
    {Py_tp_descr_get, attribute_get},
    {Py_tp_descr_set, attribute_set},
    {Py_tp_doc, "An attribute of a guarded object, read and set under its lock."},
    {0, NULL},
};

PyType_Spec fk_attribute_spec = {.name = "forkful._native.GuardedAttribute",
                                 .basicsize = sizeof(fk_attribute),
                                 .flags = Py_TPFLAGS_DEFAULT,
                                 .slots = attribute_slots};
