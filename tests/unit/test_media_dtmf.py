"""Telephone events: out as RFC 4733 wants them, in once each whatever is lost or doubled."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.media.dtmf import DIGITS, EVENT, LOST_END_NS, DigitsIn, DigitsOut


def packets_of(digits: str, step: int = 160) -> list[tuple[bytes, int]]:
    """``(payload, timestamp)`` as a leg sends them."""
    out = DigitsOut()
    out.add(digits)
    timestamp, made = 4_294_967_000, []
    while out:
        packet = out.next_packet(step)
        if packet is None:
            timestamp += step
            continue
        payload, _first, advance = packet
        made.append((payload, timestamp & 0xFFFFFFFF))
        timestamp += advance
    return made


def test_a_digit_is_100_ms_and_ends_three_times() -> None:
    made = [EVENT.unpack(payload) for payload, _ in packets_of("5")]
    assert [duration for _, _, duration in made] == [160, 320, 480, 640, 800, 800, 800]
    assert [bool(flags & 0x80) for _, flags, _ in made] == [False] * 4 + [True] * 3
    assert {code for code, _, _ in made} == {5}


def test_what_is_sent_is_known_once_nothing_waits() -> None:
    out = DigitsOut()
    out.add("12")
    while out:
        out.next_packet(160)
    assert out.taken() == "12"
    assert out.taken() == ""


@pytest.mark.parametrize("digits", ["", "12x", "１"])
def test_other_signs_are_refused(digits: str) -> None:
    with pytest.raises(ValueError, match="DTMF"):
        DigitsOut().add(digits)


@given(st.text(alphabet=DIGITS, min_size=1, max_size=6), st.sampled_from([160, 240]), st.integers(0, 10_000))
def test_each_digit_is_reported_once_through_loss_and_duplication(digits: str, step: int, seed: int) -> None:
    rng = random.Random(seed)
    listener = DigitsIn()
    heard: list[tuple[str, int]] = []
    now = 0
    by_event: dict[int, list[bytes]] = {}
    for payload, timestamp in packets_of(digits, step):
        by_event.setdefault(timestamp, []).append(payload)
    for timestamp, payloads in by_event.items():
        kept = [payload for payload in payloads if rng.random() > 0.4] or [rng.choice(payloads)]
        for payload in kept:
            for _ in range(rng.choice((1, 1, 2))):
                now += 20_000_000
                heard += listener.take(payload, timestamp, now)
    heard += listener.overdue(now + LOST_END_NS + 1)
    assert "".join(digit for digit, _ in heard) == digits
    assert all(0 < milliseconds <= 100 for _, milliseconds in heard)


@given(st.binary(max_size=12), st.integers(0, 2**32 - 1))
def test_garbage_never_raises(payload: bytes, timestamp: int) -> None:
    for digit, milliseconds in DigitsIn().take(payload, timestamp, 0):
        assert digit in DIGITS
        assert milliseconds >= 0
