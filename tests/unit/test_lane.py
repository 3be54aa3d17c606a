"""The express lane: the same packets, tapes and counters as the whole way, and taped before heard."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.media.lane import Lane, serve
from dialer.media.leg import Leg
from recording.recorder import Recorder
from recording.tape_reading import read_tape
from recording.tape_writer import TapeWriter
from tests.rtp_phone import Heard, packet, parse

MARK = 0x80


class Loop:
    """The relay as legs see it; ``turn`` is one turn of its loop. ``express`` False: no lane is ever served."""

    def __init__(self, *, express: bool = True) -> None:
        self.lanes: dict[int, Lane] = {}
        self.handlers: dict[int, Callable[[], None]] = {}
        self.troubles: list[str] = []
        self.express = express
        self.on_lane = 0

    def turn(self) -> None:
        for descriptor in list(self.handlers):
            if not self.express and (lane := self.lanes.get(descriptor)) is not None:
                lane.close()
            self.on_lane += descriptor in self.lanes
            serve([(descriptor, 1)], self.lanes, self.handlers)

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None:
        self.handlers[sock.fileno()] = handler

    def unwatch(self, sock: socket.socket) -> None:
        self.handlers.pop(sock.fileno(), None)

    def trouble(self, leg: Leg, problem: str) -> None:
        self.troubles.append(problem)
        leg.fail()

    def first_audio(self, leg: Leg, now_ns: int) -> None: ...
    def dtmf(self, leg: Leg, digits: list[tuple[str, int]]) -> None: ...
    def prompt_finished(self, leg: Leg, name: str, completed: bool) -> None: ...
    def dtmf_sent(self, leg: Leg, digits: str) -> None: ...
    def grow(self, writer: TapeWriter) -> None: ...
    def to_tap(self, path: bytes, datagram: bytes) -> None: ...


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind((host, 0))
    return sock


class Call:
    """A customer and a desk, bridged; ``law`` is the desk's."""

    def __init__(self, folder: Path, *, express: bool = True, law: str = "PCMA") -> None:
        self.loop = Loop(express=express)
        recorder = Recorder(RecordingSettings(directory=folder, low_watermark_bytes=0), SystemClock())
        self.path = recorder.arm("call_1").path
        self.tape = TapeWriter(self.path)
        self.phones = {"customer": udp(), "desk": udp()}
        self.legs: dict[str, Leg] = {}
        for name, tape in (("customer", self.tape), ("desk", None)):
            leg = Leg(name, name, udp(), tape, self.loop)
            self.loop.watch(leg.sock, leg.on_open_socket)
            leg.expect("127.0.0.1", self.phones[name].getsockname()[1], ())
            leg.send = True
            leg.out_ssrc, leg.out_seq, leg.out_ts = 7, 65_500, 2**32 - 4000  # soon begins anew
            leg.due = 2**62
            self.legs[name] = leg
        self.legs["desk"].law = law  # type: ignore[assignment]  # one of two
        self.legs["desk"].payload_type = 8 if law == "PCMA" else 0
        self.customer, self.desk = self.legs["customer"], self.legs["desk"]
        self.customer.peer, self.desk.peer = self.desk, self.customer

    def say(self, name: str, data: bytes) -> list[Heard]:
        """One packet from a phone, and what the other phone hears of it."""
        self.phones[name].sendto(data, self.legs[name].sock.getsockname())
        self.loop.turn()
        return self.heard("desk" if name == "customer" else "customer")

    def heard(self, name: str) -> list[Heard]:
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(parse(self.phones[name].recv(4096)))
        return found

    def taped(self) -> list[tuple[str, int, bytes]]:
        """(direction, sequence number, payload), in order of arrival."""
        contents = read_tape(self.path)
        found = []
        for side, frames in (("near", contents.near), ("far", contents.far)):
            rows = zip(frames.seq.tolist(), frames.offset.tolist(), frames.length.tolist(), strict=True)
            found += [(side, seq, contents.data[at : at + size].tobytes()) for seq, at, size in rows]
        return found

    def close(self) -> None:
        for leg in self.legs.values():
            leg.hang_up_line()
            leg.sock.close()
        for phone in self.phones.values():
            phone.close()
        self.tape.finish()


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Call]:
    made = Call(tmp_path)
    yield made
    made.close()


def sound(number: int, size: int = 160) -> bytes:
    return random.Random(number).randbytes(size)


def greet(call: Call) -> None:
    """Both phones are latched."""
    call.say("customer", packet(1, 160, 11, sound(0)))
    call.say("desk", packet(1, 160, 22, sound(0)))


def test_a_plain_call_goes_by_the_lane(call: Call) -> None:
    greet(call)
    for number in range(2, 42):
        assert [one.payload for one in call.say("customer", packet(number, 160 * number, 11, sound(number)))] == [
            sound(number)
        ]
        assert [one.payload for one in call.say("desk", packet(number, 160 * number, 22, sound(-number)))] == [
            sound(-number)
        ]
    assert call.loop.on_lane >= 60, "the rest was latching and numbers that begin anew"
    counters = call.customer.counters()
    assert (counters["received"], counters["forwarded"], counters["lost"], counters["dropped"]) == (41, 41, 0, {})


def test_on_the_lane_too_each_packet_is_on_the_tape_before_it_is_sent(call: Call) -> None:
    greet(call)
    call.say("customer", packet(2, 320, 11, sound(2)))
    call.say("desk", packet(2, 320, 22, sound(-2)))
    on_tape: list[bool] = []
    for leg, numbered in ((call.customer, sound(3)), (call.desk, sound(-3))):
        lane = leg.lane
        assert lane is not None
        send = lane.send

        def looks_first(data: memoryview, send: Callable[[memoryview], int] = send, payload: bytes = numbered) -> int:
            assert bytes(data[12:]) == payload
            on_tape.append(payload in {frame for _side, _seq, frame in call.taped()})
            return send(data)

        lane.send = looks_first
    assert call.say("customer", packet(3, 480, 11, sound(3)))
    assert call.say("desk", packet(3, 480, 22, sound(-3)))
    assert on_tape == [True, True]


@pytest.mark.parametrize("name", ["customer", "desk"])
def test_what_the_tape_does_not_take_is_not_heard(call: Call, name: str) -> None:
    greet(call)
    ssrc = 11 if name == "customer" else 22
    assert call.say(name, packet(2, 320, ssrc, sound(2)))
    assert call.legs[name].lane is not None
    call.tape.limit = call.tape.position
    assert call.say(name, packet(3, 480, ssrc, sound(3))) == []
    assert call.loop.troubles == ["the tape disk is full"]
    assert call.loop.lanes == {}
    assert call.say(name, packet(4, 640, ssrc, sound(4))) == []


def test_a_stranger_neither_gets_in_nor_ends_the_lane(call: Call) -> None:
    greet(call)
    call.say("customer", packet(2, 320, 11, sound(2)))
    lane = call.customer.lane
    stranger = udp("127.0.0.2")
    stranger.sendto(packet(3, 480, 11, sound(99)), call.customer.sock.getsockname())
    call.loop.turn()
    stranger.close()
    assert call.heard("desk") == []
    assert call.customer.lane is lane
    assert call.customer.dropped == {"foreign": 1}


def test_a_source_that_moves_is_followed_and_nothing_is_lost(call: Call) -> None:
    """A new SSRC from another port of the same host; what the old source sent before comes first."""
    greet(call)
    call.say("customer", packet(2, 320, 11, sound(2)))
    other = udp()
    where = call.customer.sock.getsockname()
    call.phones["customer"].sendto(packet(3, 480, 11, sound(3)), where)
    other.sendto(packet(900, 5, 33, sound(4)), where)
    call.loop.turn()
    other.sendto(packet(901, 165, 33, sound(5)), where)
    call.loop.turn()
    assert [one.payload for one in call.heard("desk")] == [sound(3), sound(4), sound(5)]
    assert call.customer.target == other.getsockname()
    call.say("desk", packet(2, 320, 22, sound(6)))
    assert parse(other.recv(4096)).payload == sound(6)
    other.close()


def test_a_stream_that_goes_on_from_another_port_is_followed_and_nothing_is_lost(call: Call) -> None:
    """UPDATE: the phone speaks from its new port before we know; same SSRC, same numbering. A copy is heard once."""
    greet(call)
    call.say("customer", packet(2, 320, 11, sound(2)))
    other, where = udp(), call.customer.sock.getsockname()
    for number in range(3, 9):
        other.sendto(packet(number, 160 * number, 11, sound(number)), where)
        call.loop.turn()
        if number < 6:  # the old port's copy
            call.phones["customer"].sendto(packet(number, 160 * number, 11, sound(number)), where)
            call.loop.turn()
    assert [one.payload for one in call.heard("desk")] == [sound(number) for number in range(3, 9)]
    assert call.customer.target == other.getsockname()
    assert call.customer.dropped == {"foreign": 3}
    assert [payload for side, _seq, payload in call.taped() if side == "far"][1:] == [
        sound(number) for number in range(2, 9)
    ]
    other.close()


SPEECH = st.lists(
    st.tuples(st.sampled_from(["customer", "desk"]), st.sampled_from([1, 1, 1, 1, 2, 0, -1, 3]), st.booleans()),
    min_size=1,
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(SPEECH, st.sampled_from(["PCMA", "PCMU"]), st.integers(0, 0xFFFF))
def test_the_lane_and_the_whole_way_are_one(
    tmp_path_factory: pytest.TempPathFactory, speech: list[tuple[str, int, bool]], law: str, first: int
) -> None:
    """Loss, doubles, packets out of order, talk spurts, numbers that begin anew: the same is heard, taped and counted."""
    found = []
    for express in (True, False):
        made = Call(tmp_path_factory.mktemp("lane"), express=express, law=law)
        at = {"customer": first, "desk": first}
        heard = []
        for name, step, marked in speech:
            at[name] += step
            payload = sound(at[name] * (1 if name == "customer" else -1))
            kind = 8 if name == "customer" or law == "PCMA" else 0
            ssrc = 11 if name == "customer" else 22
            data = packet(at[name], 160 * at[name], ssrc, payload, kind, marker=marked and step == 3)
            heard.append(made.say(name, data))
        counters = [leg.counters() for leg in made.legs.values()]
        for one in counters:
            for clock in ("jitter_ms", "first_audio_ns", "last_audio_ns"):
                del one[clock]
        found.append((heard, made.taped(), counters, made.customer.out_seq, made.desk.out_ts, made.desk.run))
        made.close()
    assert found[0] == found[1]
