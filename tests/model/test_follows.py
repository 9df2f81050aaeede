"""The C source still has the steps that the model was made from."""

from __future__ import annotations

from tests.model import cond, cursors, event, hands, lock, queue, reap, sema, table, tally
from tests.model.follows import FOLLOWED, Followed, complaints, functions, source

MODELS = (lock, sema, reap, cursors, queue, tally, table, hands, event, cond)


def test_what_is_modelled_is_what_stands_in_c() -> None:
    assert complaints(FOLLOWED, source()) == []


def test_each_model_follows_some_c() -> None:
    files = {f.file for f in FOLLOWED}
    assert {
        "lock.h",
        "lock.c",
        "sema.h",
        "sema.c",
        "slot.c",
        "queue.c",
        "hands.c",
        "event.c",
        "cond.c",
    } <= files
    assert len(MODELS) <= len(FOLLOWED)


# ---- the check can fail ----------------------------------------------------------------------------

C = """
static void tell(int *p) { atomic_store(p, 1); } /* atomic_load(p) */

static uint32_t pure(uint32_t x) { return x + 1; }

fk_status fk_wake(fk_lock *l)
{
    if (atomic_load_explicit(&l->word, memory_order_relaxed) == pure(2)) {
        fk_point("x.told");
        tell(&l->word);
    }
    return FK_OK;
}
"""


def test_steps_are_read_in_their_order() -> None:
    steps = ("load l->word", "point x.told", "call tell")
    assert complaints([Followed("x.c", "fk_wake", steps)], {"x.c": functions(C)}) == []
    assert complaints([Followed("x.c", "tell", ("store p",))], {"x.c": functions(C)}) == []


def test_another_order_a_step_more_and_a_function_that_is_gone_are_found() -> None:
    told_last = C.replace(
        'fk_point("x.told");\n        tell(&l->word);',
        'tell(&l->word);\n        fk_point("x.told");',
    )
    assert told_last != C
    steps = ("load l->word", "point x.told", "call tell")
    followed = [Followed("x.c", "fk_wake", steps)]
    more = C.replace("return FK_OK", "atomic_exchange(&l->word, 0); return FK_OK")
    for text in (told_last, more, C.replace("fk_wake", "fk_woken")):
        assert len(complaints(followed, {"x.c": functions(text)})) == 1
