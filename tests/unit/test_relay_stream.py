"""The stream a leg hears, on scripted time: late words stay whole, silence fills real pauses, clocks never run away."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer.media.buffer import BUFFER, PAYLOAD
from dialer.media.lane import Lane
from dialer.media.leg import Leg
from dialer.media.stream import FILL_AFTER_NS
from tests.rtp_phone import Heard, parse

MS = 1_000_000
STEP = 20 * MS
START = 10**12
SILENCE = b"\xd5" * 160


class Silent:
    """The relay a leg tells its news to; here nobody listens."""

    def __init__(self) -> None:
        self.lanes: dict[int, Lane] = {}

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None: ...
    def unwatch(self, sock: socket.socket) -> None: ...
    def first_audio(self, leg: Leg, now_ns: int) -> None: ...
    def dtmf(self, leg: Leg, digits: list[tuple[str, int]]) -> None: ...
    def prompt_finished(self, leg: Leg, name: str, completed: bool) -> None: ...
    def dtmf_sent(self, leg: Leg, digits: str) -> None: ...
    def trouble(self, leg: Leg, problem: str) -> None: ...
    def grow(self, writer: object) -> None: ...
    def to_tap(self, path: bytes, datagram: bytes) -> None: ...


class Stream:
    """A phone that hears a leg, and another leg that feeds it."""

    def __init__(self) -> None:
        self.phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.phone.bind(("127.0.0.1", 0))
        self.ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        self.ear = Leg("ear", "desk", self.ends[0], None, Silent())
        self.mouth = Leg("mouth", "desk", self.ends[1], None, Silent())
        self.ear.target, self.ear.send = self.phone.getsockname(), True
        self.said: list[bytes] = []

    def say(self, number: int, now: int) -> None:
        payload = number.to_bytes(4, "big") * 40
        self.said.append(payload)
        BUFFER[PAYLOAD : PAYLOAD + 160] = payload
        self.ear.forward(self.mouth, 8, 7 + number & 0xFFFF, 900 + 160 * number, 77, 160, 160, now)

    def tick(self, now: int) -> None:
        if now >= self.ear.due:
            self.ear.generate(now)

    def run(self, arrivals: list[int], until: int) -> list[Heard]:
        """Packet n arrives at ``arrivals[n]`` ms; the relay looks at the stream every 10 ms."""
        waiting = sorted((when, number) for number, when in enumerate(arrivals))
        heard = []
        for at in range(0, until + 10, 10):
            while waiting and waiting[0][0] <= at:
                when, number = waiting.pop(0)
                self.say(number, START + when * MS)
            self.tick(START + at * MS)
            heard += self._hear()
        return heard

    def _hear(self) -> list[Heard]:
        heard = []
        while True:
            try:
                heard.append(parse(self.phone.recv(2048)))
            except BlockingIOError:
                return heard

    def close(self) -> None:
        for one in (self.phone, *self.ends):
            one.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    made.ear.due = START + 10**15  # no filling before the first word
    yield made
    made.close()


def held_up(packets: int, at: int, milliseconds: int) -> list[int]:
    """A paced sender that is held up once: what it could not send in time comes all at once."""
    free = at * 20 + milliseconds
    return [n * 20 if n < at else max(n * 20, free) for n in range(packets)]


@pytest.mark.parametrize("milliseconds", [50, 70, 100, 190])
def test_a_sender_held_up_for_a_moment_is_not_torn_apart(stream: Stream, milliseconds: int) -> None:
    heard = stream.run(held_up(60, 20, milliseconds), 1180)
    assert [one.payload for one in heard] == stream.said
    assert {b.timestamp - a.timestamp for a, b in pairwise(heard)} == {160}
    assert [one.marker for one in heard] == [True] + [False] * 59


def test_a_real_pause_is_filled_and_time_goes_on(stream: Stream) -> None:
    heard = stream.run([*(n * 20 for n in range(10)), *(1200 + n * 20 for n in range(10))], 1400)
    silence = [one for one in heard if one.payload == SILENCE]
    assert 35 <= len(silence) <= 40, "from 200 ms after the last word to the next, each 20 ms"
    assert [one.payload for one in heard if one.payload != SILENCE] == stream.said
    words = [one for one in heard if one.payload != SILENCE]
    assert abs((words[10].timestamp - words[9].timestamp) - (1200 - 180) * 8) <= 160, "the pause lasted what it lasted"
    assert words[10].marker


def test_hold_ups_do_not_add_up(stream: Stream) -> None:
    """Ten times 300 ms: the stream runs ahead of the clock by one such moment, not by their sum."""
    arrivals: list[int] = []
    for turn in range(10):
        arrivals += [turn * 1000 + when for when in held_up(50, 20, 300)]
    heard = stream.run(arrivals, 10_000)
    assert [one.payload for one in heard if one.payload != SILENCE] == stream.said
    spoken = (heard[-1].timestamp - heard[0].timestamp) / 8
    assert spoken <= 10_000 + 320


def test_silence_comes_at_once_when_nobody_feeds_the_leg_any_more(stream: Stream) -> None:
    stream.ear.peer, stream.mouth.peer = stream.mouth, stream.ear
    stream.run([0, 20, 40], 40)
    stream.ear.part()
    stream.tick(START + 60 * MS)
    assert [one.payload for one in stream._hear()] == [SILENCE]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=2, max_size=60))
def test_whatever_the_delays_the_phone_hears_one_stream(delays: list[int]) -> None:
    """In order of arrival: numbers without holes, timestamps that never go back, every word once."""
    made = Stream()
    made.ear.due = START + 10**15
    late, arrivals = 0, []
    for number, delay in enumerate(delays):
        late = max(late, number * 20 + (delay if delay > 600 else 0))
        arrivals.append(late)
    heard = made.run(arrivals, arrivals[-1] + 100)
    made.close()
    assert [one.payload for one in heard if one.payload != SILENCE] == made.said
    assert {(b.seq - a.seq) & 0xFFFF for a, b in pairwise(heard)} == {1}
    assert all(0 < (b.timestamp - a.timestamp) & 0xFFFFFFFF < 8 * 2000 for a, b in pairwise(heard))
    assert FILL_AFTER_NS == 200 * MS
