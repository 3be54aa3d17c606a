"""One leg in the relay: its sockets, its source, its tape. What it hears is its ``Stream``.

Law 2 (taped before heard) is the order of the lines in ``take``, and in ``lane.serve`` for packets as expected.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from dialer.media.buffer import AT, BUFFER, CHECKED, MAX_PACKET, PAYLOAD, RECORDS, ROOM
from dialer.media.dtmf import DigitsIn, DigitsOut
from dialer.media.lane import Lane, may_open
from dialer.media.latching import Latch, Source
from dialer.media.mixing import Entrance
from dialer.media.ports import connect_media
from dialer.media.prompts import Playing
from dialer.media.rtp import HEADER, HEADER_LENGTH, MARKER, payload_span
from dialer.media.stream import Stream
from recording.g711 import LAW_OF_TYPE, TRANSCODE
from recording.tape_format import Direction
from recording.tape_writer import TapeWriter

_FAR = int(Direction.FAR)
NOBODY: Source = ("", 0)
_MOST_WAITING = 1000  # packets taken from a socket at once; its buffer holds fewer


class Desk(Protocol):
    """What a leg needs of the relay, and tells it."""

    lanes: dict[int, Lane]

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None: ...
    def unwatch(self, sock: socket.socket) -> None: ...
    def first_audio(self, leg: Leg, now_ns: int) -> None: ...
    def dtmf(self, leg: Leg, digits: list[tuple[str, int]]) -> None: ...
    def prompt_finished(self, leg: Leg, name: str, completed: bool) -> None: ...
    def dtmf_sent(self, leg: Leg, digits: str) -> None: ...
    def trouble(self, leg: Leg, problem: str) -> None: ...
    def grow(self, writer: TapeWriter) -> None: ...
    def to_tap(self, path: bytes, datagram: bytes) -> None: ...


class Leg(Stream):
    """A customer's leg (with a tape) or a desk's (without)."""

    def __init__(self, name: str, kind: str, sock: socket.socket, tape: TapeWriter | None, relay: Desk) -> None:
        super().__init__(sock, tape)
        self.name = name
        self.kind = kind
        self.relay = relay
        self.peer: Leg | Entrance | None = None
        self.lane: Lane | None = None
        self.latch = Latch()
        self.source: Source | None = None
        self._on_line_from: Source = NOBODY
        self.receive = True
        self.ssrc = -1
        self.received = self.forwarded = self.expected_before = 0
        self.first_seq = self.high_seq = -1
        self.jitter = 0.0
        self.transit = 0
        self.cycles = 0
        self.ssrc_changes = 0
        self.heard_ns = monotonic_ns()
        self.first_audio_ns: int | None = None
        self.last_audio_ns: int | None = None
        self.wants_first = True
        self.timed_out = False
        self.digits_in = DigitsIn()
        self.tap: bytes | None = None
        self.listening = False  # from its first session description on

    # In

    def on_open_socket(self) -> None:
        """A packet of somebody whose packets do not come by the line: the first one, another one, a stranger."""
        try:
            length, source = self.sock.recvfrom_into(ROOM)
        except OSError as error:
            self.not_received(error)
            return
        if self.line is not None:
            if not self.latch.is_plausible(source[0]):
                self._drop("foreign")
                return
            self.leave_lanes()
            packet = bytes(ROOM[:length])
            self._take_what_waits(self.line)  # it came before
            ROOM[:length] = packet
        self.take(length, source)
        if self.source != self._on_line_from:
            self._connect()

    def on_line(self) -> None:
        """A packet of the latched source."""
        assert self.line is not None
        try:
            length = self.line.recv_into(ROOM)
        except OSError as error:
            self.not_received(error)
            return
        self.take(length, self._on_line_from)

    def leave_lane(self, length: int) -> None:
        """The packet in ``BUFFER`` is not what its lane expected."""
        self.take(length, self._on_line_from)

    def not_received(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError | InterruptedError):
            self._drop("socket")  # an ICMP error of an earlier send

    def take(self, length: int, source: Source) -> None:
        """One packet, in ``BUFFER``, the whole way: check, count, tape, forward."""
        if self.lane is not None:
            self.lane.close()
        if length > MAX_PACKET:
            self._drop("oversize")
            return
        if length < HEADER_LENGTH or BUFFER[AT] != 0x80 or 192 <= BUFFER[AT + 1] <= 223:
            span = payload_span(BUFFER, AT, length)
            if isinstance(span, str):
                self._drop(span)
                return
            start, size = span
        else:
            start, size = PAYLOAD, length - HEADER_LENGTH
        _first, second, seq, ts, ssrc = HEADER.unpack_from(BUFFER, AT)
        now = monotonic_ns()
        if source != self.source or ssrc != self.ssrc:
            if not self.latch.accepts(source, ssrc, now - self.heard_ns, (seq - self.high_seq) & 0xFFFF):
                self._drop("foreign")
                return
            self._new_source(source, ssrc, seq, now)
        # RFC 3550 A.1, A.8, shortened: the source is known
        ahead = (seq - self.high_seq) & 0xFFFF
        if ahead < 0x8000:
            if seq < self.high_seq:
                self.cycles += 0x10000
            self.high_seq = seq
            transit = now // 125_000 - ts
            moved = transit - self.transit
            self.transit = transit
            if moved < 0:
                moved = -moved
            if moved < 0x8000:
                self.jitter += (moved - self.jitter) * 0.0625
        self.received += 1
        self.heard_ns = now
        tape = self.tape
        if tape is not None:
            if self.troubled:
                self._drop("no_tape")
                return
            try:
                tape.append_cut(BUFFER, CHECKED[length], RECORDS[length], _FAR, now)
            except OSError as error:
                self.tape_failed(error)
                return
            if tape.position > tape.wants_more:
                self.tape_advanced()
        kind = second & 0x7F
        if kind == self.payload_type:
            law = self.law
        elif kind in LAW_OF_TYPE:
            law = LAW_OF_TYPE[kind]
        else:
            self._not_audio(kind, start, size, seq, ts, ssrc, now)
            return
        self.last_audio_ns = now
        if self.wants_first:
            self.wants_first = False
            if self.first_audio_ns is None:
                self.first_audio_ns = now
            self.relay.first_audio(self, now)
        if self.tap is not None:
            self._to_tap(start, size, seq, kind, now)
        peer = self.peer
        if peer is None or not self.receive or peer.generating or size == 0:
            return
        if start != PAYLOAD:
            BUFFER[PAYLOAD : PAYLOAD + size] = BUFFER[start : start + size]
        if law != peer.law:
            BUFFER[PAYLOAD : PAYLOAD + size] = BUFFER[PAYLOAD : PAYLOAD + size].translate(TRANSCODE[law, peer.law])
        peer.forward(self, peer.payload_type | second & MARKER, seq, ts, ssrc, size, size, now)
        if source == self._on_line_from and length == HEADER_LENGTH + size:
            self._try_lane(second, seq, ts, size)

    def _try_lane(self, second: int, seq: int, ts: int, size: int) -> None:
        """Open the express lane if what follows this packet can be plain."""
        peer = self.peer
        if self.line is None or not isinstance(peer, Leg) or peer.line is None or not peer.send:
            return
        if second & 0x7F != self.payload_type or seq != self.high_seq or peer.feed is not self:
            return
        tape = self.tape or peer.tape
        if self.tap is not None or tape is None or self.troubled or peer.troubled:
            return
        if (seq + peer.seq_off + 1 & 0xFFFF) != peer.out_seq or (ts + size + peer.ts_off & 0xFFFFFFFF) != peer.out_ts:
            return
        head = 0x80 << 56 | second << 48 | seq << 32 | ts
        if may_open(head, peer.out_seq, peer.out_ts, size):
            self.lane = peer.fed_by = Lane(self, peer, tape, head, size, self.relay.lanes)
            self.relay.lanes[self.lane.descriptor] = self.lane

    def leave_lanes(self) -> None:
        """Something changes: the next packets from and to this leg go the whole way."""
        for lane in (self.lane, self.fed_by):
            if lane is not None:
                lane.close()

    def settle(self) -> None:
        """Bring the counters up to date."""
        for lane in (self.lane, self.fed_by):
            if lane is not None:
                lane.settle()

    # The line

    def expect(self, host: str, port: int, plausible: tuple[str, ...]) -> None:
        """What the session description says of its source; a source that is heard stays when it says the same again."""
        was = self.latch.source
        self.latch.expect(host, port, plausible)
        if self.latch.source != was:
            self.hang_up_line()  # what waits there came before: it counts as ever
        self.source, self.target = self.latch.source, self.latch.target()

    def _connect(self) -> None:
        """The latched source gets a socket of its own: the kernel tells it from strangers, and its address needs no reading."""
        self.hang_up_line()
        if self.source is None:
            return
        self._on_line_from = self.source
        try:
            self.line = connect_media(self.sock, self.source)
        except OSError as error:
            # Slower, nothing worse: the open socket hears the source too.
            sys.stderr.write(f"leg {self.name}: no socket of its own for its source (errno {error.errno})\n")
            return
        # What came before the line was there lies in the open socket; what came while it was made, in either.
        self._take_what_waits(self.sock)
        self._take_what_waits(self.line)
        self.relay.watch(self.line, self.on_line)

    def hang_up_line(self) -> None:
        """Take what waits on the line, and close it: its source is heard on the open socket, if at all."""
        self.leave_lanes()
        line = self.line
        if line is None:
            return
        self._take_what_waits(line)
        self.leave_lanes()
        self.relay.unwatch(line)
        self.line = None
        self._on_line_from = NOBODY
        line.close()

    def _take_what_waits(self, sock: socket.socket) -> None:
        for _ in range(_MOST_WAITING):
            try:
                length, source = sock.recvfrom_into(ROOM)
            except BlockingIOError:
                return
            except OSError as error:
                self.not_received(error)
                continue
            self.take(length, source)

    def _new_source(self, source: Source, ssrc: int, seq: int, now: int) -> None:
        self.target = self.source = source
        if ssrc == self.ssrc:
            return
        if self.ssrc >= 0:
            self.ssrc_changes += 1
            self.expected_before += self._expected()
            self.try_mark("ssrc", now, old=self.ssrc, new=ssrc)
        self.ssrc = ssrc
        self.first_seq = self.high_seq = seq
        self.cycles = 0
        self.transit = 0

    def _not_audio(self, kind: int, start: int, size: int, seq: int, ts: int, ssrc: int, now: int) -> None:
        """Telephone events are reported and passed on; comfort noise and unknown types are on the tape only."""
        if kind != self.event_type:
            self._drop("comfort_noise" if kind == 13 else "payload_type")
            return
        payload = bytes(BUFFER[start : start + size])
        if digits := self.digits_in.take(payload, ts, now):
            self.relay.dtmf(self, digits)
        peer = self.peer
        if peer is None or not self.receive or peer.generating or peer.event_type is None:
            return
        BUFFER[PAYLOAD : PAYLOAD + size] = payload
        marker = BUFFER[AT + 1] & MARKER
        peer.forward(self, peer.event_type | marker, seq, ts, ssrc, size, 0, now)

    def _to_tap(self, start: int, size: int, seq: int, kind: int, now: int) -> None:
        head = now.to_bytes(8, "little") + seq.to_bytes(2, "little") + bytes((kind, 0))
        try:
            self.relay.to_tap(self.tap or b"", head + BUFFER[start : start + size])
        except OSError:
            self._drop("tap")

    # Commands

    def play(self, prompt: Playing, now: int) -> None:
        if self.prompt is not None:
            self.end_prompt(completed=False)
        self.try_mark("prompt-started", now, prompt=prompt.name)
        self.prompt = prompt
        self._begin_generating(now)

    def end_prompt(self, *, completed: bool) -> None:
        if self.prompt is None:
            return
        name, self.prompt = self.prompt.name, None
        self._update_generating()
        self.try_mark("prompt-ended", monotonic_ns(), prompt=name, completed=completed)
        self.relay.prompt_finished(self, name, completed)

    def part(self) -> None:
        """Leave the peer; both go on with silence."""
        if self.peer is not None:
            self.peer.leave(self)
            self.alone()

    def leave(self, _other: Leg) -> None:
        """Its peer parts from it."""
        self.alone()

    def alone(self) -> None:
        """Nobody feeds it from now on: no reason to wait for anybody."""
        self.leave_lanes()
        self.peer = None
        self.due = min(self.due, self.out_ns + self.step_ns)

    def tape_frame(self, length: int, direction: Direction, now: int) -> bool:
        """Tape the packet in ``BUFFER`` without sending it. False when the tape is in trouble."""
        if self.tape is None or self.troubled:
            return False
        try:
            self.tape.append_cut(BUFFER, CHECKED[length], RECORDS[length], direction, now)
        except OSError as error:
            self.tape_failed(error)
            return False
        self.tape_advanced()
        return True

    def tape_failed(self, error: OSError) -> None:
        self.relay.trouble(self, _tape_problem(error))

    def tape_advanced(self) -> None:
        if self.tape is not None and self.tape.position > self.tape.wants_more:
            self.relay.grow(self.tape)

    def digits_sent(self) -> None:
        self.relay.dtmf_sent(self, self.digits_out.taken())
        self._update_generating()

    @property
    def unheeded(self) -> bool:
        return self.tape is not None and self.peer is None

    def fail(self) -> None:
        """The tape is in trouble: from now on nothing of this leg is heard by anybody."""
        self.troubled = True
        self.leave_lanes()
        self.part()
        self.prompt = None
        self.digits_out = DigitsOut()
        self.generating = False
        self.send = False

    def try_mark(self, name: str, now: int, **facts: Any) -> None:
        """A mark on the leg's tape, if it has one that works; its failure is the tape's trouble."""
        if self.tape is None or self.troubled:
            return
        try:
            self.tape.mark(name, now, facts)
        except OSError as error:
            self.tape_failed(error)
        else:
            self.tape_advanced()

    def counters(self) -> dict[str, Any]:
        """The fields of ``LegCounters``."""
        self.settle()
        return {
            "leg": self.name,
            "kind": self.kind,
            "received": self.received,
            "forwarded": self.forwarded,
            "sent": self.sent,
            "filled": self.filled,
            "lost": max(0, self.expected_before + self._expected() - self.received),
            "jitter_ms": round(self.jitter / 8, 3),
            "ssrc_changes": self.ssrc_changes,
            "dropped": self.dropped,
            "tape_bytes": 0 if self.tape is None else self.tape.position,
            "first_audio_ns": self.first_audio_ns,
            "last_audio_ns": self.last_audio_ns,
        }

    def _expected(self) -> int:
        return 0 if self.first_seq < 0 else self.cycles + self.high_seq - self.first_seq + 1


def _tape_problem(error: OSError) -> str:
    return "the tape disk is full" if error.errno in (27, 28, 122) else f"the tape cannot be written ({error.errno})"
