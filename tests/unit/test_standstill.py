"""A tape that stands still while packets arrive is named, once."""

from __future__ import annotations

from dialer.media.standstill import Standstill


def test_an_advancing_tape_and_a_silent_leg_are_fine() -> None:
    watch = Standstill(1.5)
    for turn in range(50):
        assert watch.look({"talking": [turn * 192, turn], "silent": [256, 10]}, turn * 0.2) == []


def test_a_tape_that_stands_still_is_named_once() -> None:
    watch = Standstill(1.5)
    watch.look({"leg": [256, 0]}, 0.0)
    named = [watch.look({"leg": [256, packets]}, packets * 0.2) for packets in range(1, 20)]
    assert [len(found) for found in named].count(1) == 1
    first = next(at for at, found in enumerate(named) if found)
    assert 1.5 <= (first + 1) * 0.2 < 2.0
    assert named[first][0].leg == "leg"
    watch.forget("leg")
    assert watch.look({"leg": [256, 5]}, 10.0) == []
