"""More than two in one call: who hears whom, mixed in the G.711 domain, off the path of a plain call.

A ``Mixer`` stands where a leg's ``peer`` stands, so the packet path of two does not know of it. What a leg sends is
queued; every 20 ms each listener gets the sum of those it may hear (a single voice passes bit by bit). Law 2 holds:
the customer's tape gets, before anybody hears it, what the customer hears (near), and what desks say to each other
beside the customer (``Direction.ASIDE``: a whisper, a consultation). What is not on tape is heard by nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dialer.media.rtp import HEADER, HEADER_LENGTH
from dialer.parts import Part, hears
from recording.g711 import A_TO_LINEAR, MU_TO_LINEAR, TRANSCODE, Law, compress_a, compress_mu
from recording.tape_format import RECORD_HEAD, Direction

if TYPE_CHECKING:
    from dialer.media.leg import Leg

TICK_NS = 20_000_000
FRAME = 160  # samples, 20 ms
_DEEPEST = 4 * FRAME  # beyond it the oldest sound is given up: a mixer must not lag behind

LINEAR: dict[Law, tuple[int, ...]] = {"PCMA": A_TO_LINEAR, "PCMU": MU_TO_LINEAR}
# Both laws resolve 16-bit samples no finer than 8, so every eighth sample says it all.
_CODES: dict[Law, bytes] = {
    "PCMA": bytes(compress_a(sample) for sample in range(-32768, 32768, 8)),
    "PCMU": bytes(compress_mu(sample) for sample in range(-32768, 32768, 8)),
}


def mix(pieces: list[tuple[Law, bytes]], law: Law) -> bytes:
    """The sum of equally long pieces in ``law``, limited to 16 bits; one piece keeps its very codes."""
    if len(pieces) == 1:
        own, codes = pieces[0]
        return codes if own == law else codes.translate(TRANSCODE[own, law])
    total = [0] * len(pieces[0][1])
    for own, codes in pieces:
        table = LINEAR[own]
        total = [sample + table[code] for sample, code in zip(total, codes, strict=True)]
    table_out = _CODES[law]
    return bytes(
        table_out[(32767 if sample > 32767 else -32768 if sample < -32768 else sample) + 32768 >> 3] for sample in total
    )


class _Voice:
    """What one leg said and nobody has heard yet."""

    __slots__ = ("law", "queue", "started")

    def __init__(self) -> None:
        self.law: Law = "PCMA"
        self.queue = bytearray()
        self.started = False

    def take(self) -> bytes | None:
        """The next 20 ms; None in silence. It waits for two frames first: senders' clocks wander."""
        if not self.started:
            if len(self.queue) < 2 * FRAME:
                return None
            self.started = True
        if len(self.queue) < FRAME:
            self.started = False
            return None
        piece = bytes(self.queue[:FRAME])
        del self.queue[:FRAME]
        return piece


class Entrance:
    """What one leg sees of a mixer: a peer that takes its sound in the leg's own law, so that nothing is converted."""

    __slots__ = ("law", "leg", "mixer")

    generating = False
    event_type = None
    payload_type = 0

    def __init__(self, mixer: Mixer, leg: Leg) -> None:
        self.mixer = mixer
        self.leg = leg
        self.law: Law = leg.law

    @property
    def name(self) -> str:
        return self.mixer.name

    def forward(self, feed: Leg, second: int, seq: int, ts: int, ssrc: int, size: int, samples: int, now: int) -> None:
        """What ``feed`` said lies in the shared buffer; called by the leg's packet path."""
        if samples:
            self.mixer.hear(feed, self.law, size)

    def leave(self, leg: Leg) -> None:
        self.mixer.leave(leg)


class Mixer:
    """One customer's call with its desks; ``mix`` is called by the relay's tick."""

    def __init__(self, customer: Leg, buffer: bytearray, view: memoryview) -> None:
        self.customer = customer
        self.due = 0
        self._buffer = buffer
        self._view = view
        self._legs: dict[str, Leg] = {}
        self._voices: dict[str, _Voice] = {}
        self._hears: dict[str, tuple[str, ...]] = {}
        self._aside: tuple[str, ...] = ()
        self._ssrc = int.from_bytes(os.urandom(4), "big")
        self._seq = 0
        self._ts = 0
        self._aside_seq = self._aside_ts = 0

    @property
    def name(self) -> str:
        return f"conference of {self.customer.name}"

    @property
    def alive(self) -> bool:
        """Whether anybody is left for the customer."""
        return self.customer.name in self._legs and len(self._legs) > 1

    def has(self, leg: Leg) -> bool:
        return leg.name in self._legs

    def arrange(self, desks: dict[str, tuple[Leg, Part]], now: int) -> None:
        """Who is there, and in which part; those who were and are not named leave."""
        parts = {name: part for name, (_leg, part) in desks.items()}
        wanted = {self.customer.name: self.customer, **{name: leg for name, (leg, _part) in desks.items()}}
        for name, leg in list(self._legs.items()):
            if name not in wanted:
                self.leave(leg)
                leg.alone()
        for name, leg in wanted.items():
            if name not in self._legs:
                leg.part()
                leg.peer = Entrance(self, leg)
                self._voices[name] = _Voice()
        self._legs = wanted
        self._hears = hears(parts, self.customer.name)
        to_customer = set(self._hears[self.customer.name])
        heard = {name for names in self._hears.values() for name in names}
        self._aside = tuple(name for name in wanted if name in heard - to_customer - {self.customer.name})
        self.due = self.due or now + TICK_NS
        self.customer.try_mark("conference", now, parts={name: part.value for name, part in parts.items()})

    def leave(self, leg: Leg) -> None:
        """A leg is parted or ends. The others go on; without the customer nobody hears anybody."""
        self._legs.pop(leg.name, None)
        self._voices.pop(leg.name, None)
        if leg is self.customer:
            for other in list(self._legs.values()):
                other.alone()
            self._legs.clear()

    def hear(self, feed: Leg, law: Law, size: int) -> None:
        """What ``feed`` said lies in the shared buffer."""
        voice = self._voices.get(feed.name)
        if voice is None:
            return
        start = RECORD_HEAD + HEADER_LENGTH
        voice.law = law
        voice.queue += self._buffer[start : start + size]
        if len(voice.queue) > _DEEPEST:
            del voice.queue[: len(voice.queue) - 2 * FRAME]
        feed.forwarded += 1

    def mix(self, now: int) -> None:
        """One frame for everybody. First the tape of what is said aside, then the customer (who tapes), then desks."""
        self.due = self.due + TICK_NS if now - self.due < 5 * TICK_NS else now + TICK_NS
        customer = self.customer
        if customer.troubled or customer.tape is None:
            return
        pieces: dict[str, tuple[Law, bytes]] = {}
        for name, voice in self._voices.items():
            if (piece := voice.take()) is not None:
                pieces[name] = (voice.law, piece)
        self._seq = (self._seq + 1) & 0xFFFF
        self._ts = (self._ts + FRAME) & 0xFFFFFFFF
        if not self._tape_aside(pieces, now):
            return
        self._serve(customer, pieces, now)
        if customer.troubled:
            return
        for leg in list(self._legs.values()):
            if leg is not customer:
                self._serve(leg, pieces, now)

    def _serve(self, leg: Leg, pieces: dict[str, tuple[Law, bytes]], now: int) -> None:
        said = [pieces[name] for name in self._hears.get(leg.name, ()) if name in pieces]
        if not said or leg.generating:
            return  # the leg fills its own stream with silence, or plays its prompt
        self._put(mix(said, leg.law))
        leg.forward(_AS_FEED, leg.payload_type, self._seq, self._ts, self._ssrc, FRAME, FRAME, now)

    def _tape_aside(self, pieces: dict[str, tuple[Law, bytes]], now: int) -> bool:
        """False when the tape did not take it: then nobody hears it either."""
        said = [pieces[name] for name in self._aside if name in pieces]
        self._aside_ts = (self._aside_ts + FRAME) & 0xFFFFFFFF
        if not said:
            return True
        law = self.customer.law
        self._put(mix(said, law))
        self._aside_seq = (self._aside_seq + 1) & 0xFFFF
        kind = self.customer.payload_type
        HEADER.pack_into(self._buffer, RECORD_HEAD, 0x80, kind, self._aside_seq, self._aside_ts, self._ssrc)
        return self.customer.tape_frame(HEADER_LENGTH + FRAME, Direction.ASIDE, now)

    def _put(self, codes: bytes) -> None:
        start = RECORD_HEAD + HEADER_LENGTH
        self._buffer[start : start + len(codes)] = codes


class _Feed:
    """Who feeds a listener's stream while a mixer does; counts what the stream could not take."""

    def __init__(self) -> None:
        self.forwarded = 0
        self.dropped: dict[str, int] = {}

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


_AS_FEED = _Feed()


def parts_of(pairs: Iterable[tuple[str, str]]) -> dict[str, Part]:
    """From the wire. Raises ValueError for an unknown part."""
    return {leg: Part(part) for leg, part in pairs}
