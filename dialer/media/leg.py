"""One leg in the relay: its socket, its source, its tape, and the one continuous stream it hears.

The packet path. A packet is received behind 20 free bytes of one shared buffer, so that a tape's record is written
from one piece; law 2 (taped before heard) is the order of the lines in ``on_packet``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from dialer.media.dtmf import DigitsIn, DigitsOut
from dialer.media.latching import Latch, Source
from dialer.media.mixing import Entrance
from dialer.media.prompts import Playing
from dialer.media.rtp import HEADER, HEADER_LENGTH, MARKER, payload_span
from recording.g711 import LAW_OF_TYPE, SILENCE, TRANSCODE, Law
from recording.tape_format import RECORD_HEAD, Direction
from recording.tape_writer import TapeWriter

MAX_PACKET = 2048
AT = RECORD_HEAD
PAYLOAD = AT + HEADER_LENGTH
BUFFER = bytearray(AT + 65536)
VIEW = memoryview(BUFFER)
_PACKET = VIEW[AT:]

STEP_NS = 20_000_000
SIGN_OF_LIFE_NS = 200_000_000
# How long the sound sent so far has been over before we fill in silence. A phone that was held up for a moment sends its
# words late and all at once: silence put between them would cut the sentence, and the listener's end bridges such a
# moment by itself (its jitter buffer, G.711 appendix I).
FILL_AFTER_NS = 200_000_000
_SAMPLE_NS = 125_000
_NEAR, _FAR = int(Direction.NEAR), int(Direction.FAR)


class Desk(Protocol):
    """What a leg tells the relay."""

    def first_audio(self, leg: Leg, now_ns: int) -> None: ...
    def dtmf(self, leg: Leg, digits: list[tuple[str, int]]) -> None: ...
    def prompt_finished(self, leg: Leg, name: str, completed: bool) -> None: ...
    def dtmf_sent(self, leg: Leg, digits: str) -> None: ...
    def trouble(self, leg: Leg, problem: str) -> None: ...
    def grow(self, writer: TapeWriter) -> None: ...


class Feed(Protocol):
    """Whoever feeds a leg's stream: its peer, or a mixer."""

    forwarded: int

    def _drop(self, reason: str) -> None: ...


class Leg:
    """A customer's leg (with a tape) or a desk's (without)."""

    def __init__(self, name: str, kind: str, sock: socket.socket, tape: TapeWriter | None, relay: Desk) -> None:
        self.name = name
        self.kind = kind
        self.sock = sock
        self.tape = tape
        self.relay = relay
        self.peer: Leg | Entrance | None = None
        self.troubled = False
        self._recv: Callable[[memoryview], tuple[int, Any]] = sock.recvfrom_into
        self._sendto: Callable[..., int] = sock.sendto
        # What comes in
        self.latch = Latch()
        self.source: Source | None = None
        self.law: Law = "PCMA"
        self.payload_type = 8
        self.event_type: int | None = None
        self.receive = True
        self.ssrc = -1
        self.received = self.lost_base = self.expected_before = 0
        self.first_seq = self.high_seq = -1
        self.cycles = 0
        self.jitter = 0.0
        self.transit = 0
        self.ssrc_changes = 0
        self.opened_ns = self.heard_ns = monotonic_ns()
        self.first_audio_ns: int | None = None
        self.last_audio_ns: int | None = None
        self.wants_first = True
        self.timed_out = False
        self.digits_in = DigitsIn()
        self.dropped: dict[str, int] = {}
        self.tap: bytes | None = None
        self.tap_socket: socket.socket | None = None
        # What goes out: one stream, whatever feeds it
        self.target: Source | None = None
        self.send = False
        self.forwarded = self.sent = self.filled = 0
        self.out_ssrc = int.from_bytes(os.urandom(4), "big")
        self.out_seq = int.from_bytes(os.urandom(2), "big") & 0x7FFF
        self.out_ts = int.from_bytes(os.urandom(4), "big")
        self.out_ns = 0  # when the last packet left
        self.out_until = 0  # when the sound sent so far is over for whoever plays it without a break
        self.feed: Feed | None = None
        self.feed_ssrc = -1
        self.seq_off = self.ts_off = 0
        self.run = 0
        self.step = 160
        self.step_ns = STEP_NS
        self.due = 0
        self.prompt: Playing | None = None
        self.digits_out = DigitsOut()
        self.event_ts = 0
        self.generating = False
        self.fresh = True  # the next prompt packet begins a talk spurt

    # In

    def on_packet(self) -> None:
        """Take one packet: check, count, tape, forward. The hot path of the product."""
        try:
            length, source = self._recv(_PACKET)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop("socket")  # an ICMP error of an earlier send
            return
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
            if not self.latch.accepts(source, ssrc, now - self.heard_ns):
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
                tape.append_framed(BUFFER, VIEW, length, _FAR, now)
            except OSError as error:
                self.relay.trouble(self, _tape_problem(error))
                return
            if tape.position > tape.wants_more:
                self.relay.grow(tape)
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
        assert self.tap_socket is not None
        head = now.to_bytes(8, "little") + seq.to_bytes(2, "little") + bytes((kind, 0))
        try:
            self.tap_socket.sendto(head + BUFFER[start : start + size], self.tap or b"")
        except OSError:
            self._drop("tap")

    # Out

    def forward(self, feed: Feed, second: int, seq: int, ts: int, ssrc: int, size: int, samples: int, now: int) -> None:
        """Send ``BUFFER``'s payload as the next packet of this leg's own stream; taped first if it has a tape."""
        target = self.target
        if target is None or not self.send:
            feed._drop("not_sending")
            return
        if self.feed is not feed or self.feed_ssrc != ssrc:
            second |= MARKER
            self._resync(feed, seq, ts, ssrc, now)
        out_seq = (seq + self.seq_off) & 0xFFFF
        out_ts = (ts + self.ts_off) & 0xFFFFFFFF
        ahead = (out_seq - self.out_seq) & 0xFFFF
        if ahead >= 0x8000:
            if 0x10000 - ahead > self.run:
                feed._drop("late")  # from before this source fed the stream: its number is taken
                return
        else:
            if (out_ts - self.out_ts + 1600) & 0xFFFFFFFF > 240_000:
                # The source's clock jumped by more than 30 s or backwards; this stream's must not.
                self._resync(feed, seq, ts, ssrc, now)
                out_seq, out_ts, second = self.out_seq, self.out_ts, second | MARKER
            self.out_seq = (out_seq + 1) & 0xFFFF
            self.out_ts = (out_ts + samples) & 0xFFFFFFFF
            self.out_ns = now
            self.run += 1
            until = self.out_until
            self.out_until = until = (until if until > now else now) + samples * _SAMPLE_NS
            self.due = until + FILL_AFTER_NS
        HEADER.pack_into(BUFFER, AT, 0x80, second, out_seq, out_ts, self.out_ssrc)
        if self._emit(HEADER_LENGTH + size, self.tape, now):
            feed.forwarded += 1

    def _resync(self, feed: Feed, seq: int, ts: int, ssrc: int, now: int) -> None:
        """Another source feeds the stream: go on with the next number, and with the time that passed."""
        self._let_time_pass(now)
        self.feed = feed
        self.feed_ssrc = ssrc
        self.seq_off = self.out_seq - seq
        self.ts_off = self.out_ts - ts
        self.run = 0

    def _let_time_pass(self, now: int) -> None:
        if self.out_until:
            idle = (now - self.out_until) // self.step_ns
            if idle > 0:
                self.out_ts = (self.out_ts + idle * self.step) & 0xFFFFFFFF
                self.out_until += idle * self.step_ns

    def _emit(self, length: int, tape: TapeWriter | None, now: int) -> bool:
        """Tape, then send, the packet in ``BUFFER``. What cannot be taped is not sent."""
        if tape is not None:
            if self.troubled:
                return False
            try:
                tape.append_framed(BUFFER, VIEW, length, _NEAR, now)
            except OSError as error:
                self.relay.trouble(self, _tape_problem(error))
                return False
            if tape.position > tape.wants_more:
                self.relay.grow(tape)
        try:
            self._sendto(VIEW[AT : AT + length], self.target)
        except OSError:
            self._drop("send")
            return False
        self.sent += 1
        return True

    def generate(self, now: int) -> None:
        """Called when nothing fed the leg in time: the next packet of digits, a prompt, or silence."""
        due = self.due
        self.due = (due if now - due < 5 * self.step_ns else now) + self.step_ns
        if self.target is None or not self.send:
            return
        if self.feed is not None:
            self._let_time_pass(now)
            self.feed = None
        if self.digits_out:
            self._generate_digit(now)
        elif self.prompt is not None:
            self._generate_prompt(now)
        else:
            if self.tape is not None and self.peer is None:
                # A customer nobody talks to needs a sign of life for NATs and timers, no stream: hundreds may be ringing.
                self._let_time_pass(now)
                self.due = now + SIGN_OF_LIFE_NS
            self._generate_silence(now)

    def _generate_silence(self, now: int) -> None:
        BUFFER[PAYLOAD : PAYLOAD + self.step] = bytes((SILENCE[self.law],)) * self.step
        self._own_packet(self.payload_type, self.step, self.step, None, now)
        self.filled += 1
        self.fresh = True

    def _generate_prompt(self, now: int) -> None:
        assert self.prompt is not None
        payload = self.prompt.next_payload(self.law, self.step)
        if payload is None:
            self.end_prompt(completed=True)
            self._generate_silence(now)
            return
        BUFFER[PAYLOAD : PAYLOAD + self.step] = payload
        marker = MARKER if self.fresh else 0
        self.fresh = False
        self._own_packet(self.payload_type | marker, self.step, self.step, self.tape, now)

    def _generate_digit(self, now: int) -> None:
        packet = self.digits_out.next_packet(self.step)
        if packet is None:
            if not self.digits_out:
                self.relay.dtmf_sent(self, self.digits_out.taken())
                self._update_generating()
            self._generate_silence(now)
            return
        payload, first, advance = packet
        assert self.event_type is not None
        BUFFER[PAYLOAD : PAYLOAD + len(payload)] = payload
        self._own_packet(self.event_type | (MARKER if first else 0), len(payload), advance, self.tape, now)

    def _own_packet(self, second: int, size: int, samples: int, tape: TapeWriter | None, now: int) -> None:
        HEADER.pack_into(BUFFER, AT, 0x80, second, self.out_seq, self.out_ts, self.out_ssrc)
        self.out_seq = (self.out_seq + 1) & 0xFFFF
        self.out_ts = (self.out_ts + samples) & 0xFFFFFFFF
        self.out_ns = now
        until = self.out_until
        self.out_until = (until if until > now else now) + samples * _SAMPLE_NS
        self._emit(HEADER_LENGTH + size, tape, now)

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

    def dial(self, digits: str, now: int) -> None:
        """Raises ValueError when a digit is none."""
        self.digits_out.add(digits)
        self._begin_generating(now)

    def _begin_generating(self, now: int) -> None:
        if not self.generating:
            self._let_time_pass(now)
            self.feed = None
            self.fresh = True
            self.due = min(self.due, max(now, self.out_ns + self.step_ns))
        self._update_generating()

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
        self.peer = None
        self.due = min(self.due, self.out_ns + self.step_ns)

    def tape_frame(self, length: int, direction: Direction, now: int) -> bool:
        """Tape the packet in ``BUFFER`` without sending it. False when the tape is in trouble."""
        if self.tape is None or self.troubled:
            return False
        try:
            self.tape.append_framed(BUFFER, VIEW, length, direction, now)
        except OSError as error:
            self.relay.trouble(self, _tape_problem(error))
            return False
        if self.tape.position > self.tape.wants_more:
            self.relay.grow(self.tape)
        return True

    def fail(self) -> None:
        """The tape is in trouble: from now on nothing of this leg is heard by anybody."""
        self.troubled = True
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
            self.relay.trouble(self, _tape_problem(error))
        else:
            if self.tape.position > self.tape.wants_more:
                self.relay.grow(self.tape)

    def counters(self) -> dict[str, Any]:
        """The fields of ``LegCounters``."""
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

    def _update_generating(self) -> None:
        self.generating = self.prompt is not None or bool(self.digits_out)

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


def _tape_problem(error: OSError) -> str:
    return "the tape disk is full" if error.errno in (27, 28, 122) else f"the tape cannot be written ({error.errno})"
