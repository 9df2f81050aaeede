#include "here.h"

fk_spot fk_spots[FK_SPOTS];

static bool is_ours(PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool ours = false;
    for (Py_ssize_t i = 0; !ours && i < PyTuple_GET_SIZE(fk_hooks.homes); i++)
        ours = PyUnicode_Tailmatch(code->co_filename, PyTuple_GET_ITEM(fk_hooks.homes, i), 0,
                                   PY_SSIZE_T_MAX, -1) > 0;
    Py_DECREF(code);
    return ours;
}

PyFrameObject *fk_callers_frame(void)
{
    PyFrameObject *innermost = PyEval_GetFrame(); /* borrowed */
    PyFrameObject *frame = (PyFrameObject *)Py_XNewRef(innermost);
    while (frame && is_ours(frame)) {
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    return frame ? frame : (PyFrameObject *)Py_XNewRef(innermost);
}

static const char *text_of(PyObject *unicode)
{
    const char *text = PyUnicode_AsUTF8(unicode);
    if (text)
        return text;
    PyErr_Clear(); /* lone surrogates */
    return "?";
}

static uint32_t enter(PyFrameObject *frame, PyCodeObject *code)
{
    int line = PyFrame_GetLineNumber(frame);
    return fk_place_enter(&fk_family, text_of(code->co_filename), line > 0 ? (uint32_t)line : 0,
                          text_of(code->co_qualname));
}

uint32_t fk_here_learn(PyObject *innermost, int innermost_at)
{
    PyFrameObject *frame = fk_callers_frame();
    if (!frame) {
        PyErr_Clear();
        return 0;
    }
    PyCodeObject *code = PyFrame_GetCode(frame);
    int at = (PyObject *)code == innermost ? innermost_at : PyFrame_GetLasti(frame);
    fk_spot *spot = fk_spot_of((PyObject *)code, at);
    uint32_t number = spot->number;
    PyObject *old = NULL;
    if (spot->code != (PyObject *)code || spot->at != at) {
        number = enter(frame, code);
        old = spot->code;
        *spot = (fk_spot){.code = Py_NewRef(code), .at = at, .number = number};
    }
    Py_DECREF(code);
    Py_DECREF(frame);
    Py_XDECREF(old); /* last: it may run anything */
    return number;
}

PyObject *fk_place_text(const fk_arena *a, uint32_t number)
{
    const fk_place *p = fk_place_of(a, number);
    if (!p)
        Py_RETURN_NONE;
    const char *slash = strrchr(p->file, '/'), *file = slash ? slash + 1 : p->file;
    bool inside = p->function[0] && strcmp(p->function, "<module>") != 0;
    char text[sizeof *p + 32];
    int n = snprintf(text, sizeof text, "%s:%u%s%s", file, p->line, inside ? " in " : "",
                     inside ? p->function : "");
    return PyUnicode_DecodeUTF8(text, n, "replace");
}
