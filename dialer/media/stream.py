"""The one continuous stream a leg hears, whatever feeds it: its peer, a mixer, a prompt, digits, silence.

One SSRC, numbers without holes, time that runs on. A taped leg's stream is taped before it is sent.
"""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from dialer.media.buffer import AT, BUFFER, CHECKED, PACKETS, PAYLOAD, RECORDS
from dialer.media.dtmf import DigitsOut
from dialer.media.latching import Source
from dialer.media.prompts import Playing
from dialer.media.rtp import HEADER, HEADER_LENGTH, MARKER
from recording.g711 import SILENCE, Law
from recording.tape_format import Direction
from recording.tape_writer import TapeWriter

if TYPE_CHECKING:
    from dialer.media.lane import Lane

STEP_NS = 20_000_000
SIGN_OF_LIFE_NS = 200_000_000
# How long the sound sent so far has been over before we fill in silence. A phone that was held up for a moment sends its
# words late and all at once: silence put between them would cut the sentence, and the listener's end bridges such a
# moment by itself (its jitter buffer, G.711 appendix I).
FILL_AFTER_NS = 200_000_000
_SAMPLE_NS = 125_000
_NEAR = int(Direction.NEAR)


class Feed(Protocol):
    """Whoever feeds a leg's stream: its peer, or a mixer."""

    forwarded: int

    def _drop(self, reason: str) -> None: ...


class Stream(ABC):
    """The half of a leg that is heard. ``line`` is connected to the latched source, ``sock`` is open to everybody."""

    def __init__(self, sock: socket.socket, tape: TapeWriter | None) -> None:
        self.sock = sock
        self.line: socket.socket | None = None
        self.tape = tape
        self.troubled = False
        self.dropped: dict[str, int] = {}
        self.fed_by: Lane | None = None
        self.law: Law = "PCMA"
        self.payload_type = 8
        self.event_type: int | None = None
        self.target: Source | None = None
        self.send = False
        self.sent = self.filled = 0
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
        self.generating = False
        self.fresh = True  # the next prompt packet begins a talk spurt

    @abstractmethod
    def tape_failed(self, error: OSError) -> None:
        """The tape took no more: fail closed."""

    @abstractmethod
    def tape_advanced(self) -> None:
        """The tape may want more room ahead."""

    @abstractmethod
    def digits_sent(self) -> None:
        """All digits that were asked for have left."""

    @abstractmethod
    def end_prompt(self, *, completed: bool) -> None: ...

    @property
    @abstractmethod
    def unheeded(self) -> bool:
        """Whether this is a customer nobody talks to."""

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
            self.fed_until((until if until > now else now) + samples * _SAMPLE_NS)
        HEADER.pack_into(BUFFER, AT, 0x80, second, out_seq, out_ts, self.out_ssrc)
        if self._emit(HEADER_LENGTH + size, self.tape, now):
            feed.forwarded += 1

    def fed_until(self, until: int) -> None:
        self.out_until = until
        self.due = until + FILL_AFTER_NS

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
                tape.append_cut(BUFFER, CHECKED[length], RECORDS[length], _NEAR, now)
            except OSError as error:
                self.tape_failed(error)
                return False
            if tape.position > tape.wants_more:
                self.tape_advanced()
        if not self._send(length):
            return False
        self.sent += 1
        return True

    def _send(self, length: int) -> bool:
        try:
            if self.line is not None:
                self.line.send(PACKETS[length])
            else:
                self.sock.sendto(PACKETS[length], self.target or ())
        except ConnectionRefusedError:
            return self.send_again(length)
        except OSError:
            self._drop("send")
            return False
        return True

    def send_again(self, length: int) -> bool:
        """A connected socket tells an ICMP error of an earlier packet in place of sending this one. False: not sent."""
        try:
            assert self.line is not None
            self.line.send(PACKETS[length])
        except OSError:
            self._drop("send")
            return False
        return True

    def generate(self, now: int) -> None:
        """Called when nothing seems to have fed the leg in time: the next packet of digits, a prompt, or silence."""
        if self.fed_by is not None:
            self.fed_by.settle()
            if now < self.due:
                return
            self.fed_by.close()
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
            if self.unheeded:
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
                self.digits_sent()
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

    def _update_generating(self) -> None:
        self.generating = self.prompt is not None or bool(self.digits_out)

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
