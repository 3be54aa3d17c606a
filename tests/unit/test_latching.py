"""Who may be heard on a leg."""

from __future__ import annotations

from dialer.media.latching import SILENT_NS, Latch

HOST, OTHER, LISTED = "192.0.2.10", "192.0.2.11", "198.51.100.7"


def latch() -> Latch:
    made = Latch()
    made.expect(HOST, 4000, ("198.51.100.0/24",))
    return made


def test_before_a_description_nobody_is_plausible() -> None:
    assert not Latch().accepts((HOST, 4000), 1, 0)


def test_the_described_host_from_any_port_and_listed_networks() -> None:
    for source in ((HOST, 4000), (HOST, 61000), (LISTED, 5000)):
        one = latch()
        assert one.accepts(source, 1, 0)
        assert one.target() == source


def test_the_neighbour_of_the_described_host_is_not_plausible() -> None:
    one = latch()
    assert not one.accepts((OTHER, 4000), 1, 0)
    assert one.target() == (HOST, 4000)


def test_latched_once_a_second_source_needs_a_new_ssrc() -> None:
    one = latch()
    assert one.accepts((HOST, 4000), 1, 0)
    assert not one.accepts((LISTED, 5000), 1, 0)
    assert one.target() == (HOST, 4000)
    assert one.accepts((LISTED, 5000), 2, 0)
    assert one.target() == (LISTED, 5000)
    assert not one.accepts((OTHER, 5000), 3, 0)


def test_the_latched_source_may_change_its_ssrc() -> None:
    one = latch()
    assert one.accepts((HOST, 4000), 1, 0)
    assert one.accepts((HOST, 4000), 2, 0)
    assert not one.accepts((HOST, 4002), 2, 0)


def test_a_rebound_port_is_followed_after_silence() -> None:
    one = latch()
    assert one.accepts((HOST, 4000), 1, 0)
    assert one.accepts((HOST, 4002), 1, SILENT_NS + 1)


def test_a_stream_that_goes_on_from_another_port_is_followed_and_its_copies_are_not() -> None:
    one = latch()
    assert one.accepts((HOST, 4000), 1, 0, ahead=1)
    for copy_or_late in (0, 0xFFFF, 0xFF00, 5000):
        assert not one.accepts((HOST, 4002), 1, 0, ahead=copy_or_late)
    assert not one.accepts((OTHER, 4002), 1, 0, ahead=1)
    assert one.accepts((HOST, 4002), 1, 0, ahead=1)
    assert one.target() == (HOST, 4002)


def test_the_same_description_again_keeps_the_latch_another_loosens_it() -> None:
    one = latch()
    assert one.accepts((HOST, 4444), 1, 0)
    one.expect(HOST, 4000, ("198.51.100.0/24",))
    assert one.target() == (HOST, 4444)
    one.expect(HOST, 4010, ("198.51.100.0/24",))
    assert one.target() == (HOST, 4010)


def test_a_flood_of_strangers_does_not_grow_memory() -> None:
    one = latch()
    for number in range(5000):
        assert not one.accepts((f"203.0.{number // 250}.{number % 250}", 1), 1, 0)
    assert len(one._verdicts) <= 256
