"""Telephone events (RFC 4733): each digit from a leg reported once; digits to a leg as proper event packets."""

from __future__ import annotations

import struct
from collections import deque

DIGITS = "0123456789*#ABCD"
EVENT = struct.Struct(">BBH")  # event | E R volume | duration in timestamp units
_END = 0x80
_VOLUME = 10  # -10 dBm0
_TONE_SAMPLES = 800  # 100 ms
_PAUSE_SAMPLES = 480  # 60 ms
_ENDS = 3  # RFC 4733 section 2.5.1.4: the end is sent three times

LOST_END_NS = 300_000_000


class DigitsIn:
    """Collects the packets of one event by their common timestamp and yields it once, at its end.

    When all end packets are lost, the next event or ``overdue`` yields it.
    """

    __slots__ = ("_digit", "_duration", "_heard_ns", "_open", "_timestamp")

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._digit = ""
        self._duration = 0
        self._open = False
        self._heard_ns = 0

    def take(self, payload: bytes, timestamp: int, now_ns: int) -> list[tuple[str, int]]:
        """Whole events ``(digit, milliseconds)`` that this packet completed. Ignores codes above 15."""
        if len(payload) < EVENT.size:
            return []
        code, flags, duration = EVENT.unpack_from(payload)
        if code >= len(DIGITS):
            return []
        done: list[tuple[str, int]] = []
        if timestamp != self._timestamp:
            if self._timestamp is not None and 0 < (self._timestamp - timestamp) & 0xFFFFFFFF < 0x8000:
                return []  # a late packet of an earlier event
            done += self._close()
            self._timestamp, self._digit, self._duration, self._open = timestamp, DIGITS[code], duration, True
        self._heard_ns = now_ns
        if self._open:
            self._duration = max(self._duration, duration)
            if flags & _END:
                done += self._close()
        return done

    def overdue(self, now_ns: int) -> list[tuple[str, int]]:
        """The open event if nothing was heard of it for 300 ms."""
        return self._close() if self._open and now_ns - self._heard_ns > LOST_END_NS else []

    def _close(self) -> list[tuple[str, int]]:
        if not self._open:
            return []
        self._open = False
        return [(self._digit, self._duration // 8)]


class DigitsOut:
    """Digits waiting to be sent to one leg, a packet at a time. ``digits``: what was asked since ``taken``."""

    __slots__ = ("_elapsed", "_ends", "_pause", "_waiting", "digits")

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self.digits = ""
        self._elapsed = 0
        self._ends = 0
        self._pause = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, digits: str) -> None:
        """Raises ValueError when a sign is none of 0-9 * # A-D."""
        if not digits or any(digit not in DIGITS for digit in digits):
            raise ValueError("not DTMF")
        self._waiting.extend(digits)
        self.digits += digits

    def taken(self) -> str:
        """What was sent, when nothing waits any more; forgets it."""
        digits, self.digits = self.digits, ""
        return digits

    def next_packet(self, step: int) -> tuple[bytes, bool, int] | None:
        """``(payload, is first of its event, samples to add to the timestamp afterwards)``; None: the pause between."""
        if self._pause > 0:
            self._pause -= step
            if self._pause <= 0:
                self._pause = 0
                self._waiting.popleft()
            return None
        first = self._elapsed == 0
        if self._elapsed < _TONE_SAMPLES:
            self._elapsed = min(self._elapsed + step, _TONE_SAMPLES)
        ending = self._elapsed >= _TONE_SAMPLES
        payload = EVENT.pack(DIGITS.index(self._waiting[0]), (_END if ending else 0) | _VOLUME, self._elapsed)
        if not ending:
            return payload, first, 0
        self._ends += 1
        if self._ends < _ENDS:
            return payload, first, 0
        self._elapsed = self._ends = 0
        self._pause = _PAUSE_SAMPLES
        return payload, first, _TONE_SAMPLES + (_ENDS - 1) * step
