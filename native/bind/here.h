/* Where the caller stands, for who takes a lock: seen before, that is a few loads and compares.
 * Only for files that need the fast path: it looks into the interpreter's frames. */
#ifndef FK_HERE_H
#define FK_HERE_H

#include "bind.h"

#if PY_VERSION_HEX < 0x030c0000
#define Py_BUILD_CORE 1
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE
#endif

/* A line, as the interpreter knows it: an instruction of a code object. The reference keeps that
 * code's address from being used for another one. */
typedef struct fk_spot {
    PyObject *code;
    int at; /* in bytes from the code's first instruction */
    uint32_t number;
} fk_spot;

#define FK_SPOTS 512
extern fk_spot fk_spots[FK_SPOTS];

static inline fk_spot *fk_spot_of(PyObject *code, int at)
{
    return &fk_spots[((uintptr_t)code / 64 + (unsigned)at / 2) % FK_SPOTS];
}

/* The slow path: forkful's own frames are passed over, and a new place is entered. */
uint32_t fk_here_learn(PyObject *code, int at);

/* The number of the place (place.h) where Python calls from; 0: not known. Never fails. */
static inline uint32_t fk_here(void)
{
    PyThreadState *thread = PyThreadState_Get();
#if PY_VERSION_HEX < 0x030d0000
    struct _PyInterpreterFrame *frame = thread->cframe->current_frame;
#else
    struct _PyInterpreterFrame *frame = thread->current_frame;
#endif
    if (FK_UNLIKELY(!frame))
        return 0;
#if PY_VERSION_HEX < 0x030c0000
    PyObject *code = (PyObject *)frame->f_code;
    int at = (int)((char *)frame->prev_instr - (char *)_PyCode_CODE(frame->f_code));
#else
    PyObject *code = PyUnstable_InterpreterFrame_GetCode(frame);
    int at = PyUnstable_InterpreterFrame_GetLasti(frame);
    Py_DECREF(code); /* the frame keeps it */
#endif
    fk_spot *spot = fk_spot_of(code, at);
    if (FK_LIKELY(spot->code == code && spot->at == at))
        return spot->number;
    return fk_here_learn(code, at);
}

#endif
