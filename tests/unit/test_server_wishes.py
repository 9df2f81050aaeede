"""A wish for an end is never lost to one for a look, whatever comes between."""

from __future__ import annotations

from forkful.server.wishes import GRACEFUL, QUICK, Wishes


def test_the_strongest_wish_counts() -> None:
    wishes = Wishes()
    seen = []
    for how in (0, GRACEFUL, 0, QUICK, GRACEFUL):
        wishes.ask(how)
        seen.append(wishes.ending)
    assert seen == [0, GRACEFUL, GRACEFUL, QUICK, QUICK]


def test_a_signal_in_the_midst_of_a_wish_for_a_look_is_not_overwritten() -> None:
    wishes = Wishes()

    class Look(int):
        """Compared, it is as if the signal came just then."""

        def __gt__(self, other: int) -> bool:
            wishes.ask(QUICK)
            return int(self) > other

    wishes.ask(Look(0))
    assert wishes.ending == QUICK
