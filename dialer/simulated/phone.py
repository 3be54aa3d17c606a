"""Simulated agents' phones: they answer at once, listen, and speak a collector's lines when somebody has spoken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from dialer.simulated.digest import Credentials
from dialer.simulated.endpoint import T1, Endpoint, Exchange, dialed_user
from dialer.simulated.line import BillLine, Line, LineHabits
from dialer.simulated.media import MediaClock, NoMediaPort
from dialer.simulated.script import Answer, Listen, Performance, Ring, Say, Step
from dialer.simulated.timeline import Timeline

_OPENS, _ASKS, _CLOSES = "collector-opens-f", "collector-asks-f", "collector-closes-f"
# the third time somebody speaks it is their goodbye: nothing is left to say
_TURNS: tuple[str | None, ...] = (_OPENS, _ASKS, None, _CLOSES)
_NEXT_CUSTOMER_AFTER = 2.5  # seconds without a voice: whoever speaks next is somebody else
_FOREVER = 86400.0


@dataclass(slots=True)
class PhoneSettings:
    """``names`` are the user parts: ``sip:NAME@host:port`` is one phone each."""

    names: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    ring_seconds: float = 0.0
    habits: LineHabits = field(default_factory=LineHabits)
    credentials: Credentials | None = None
    t1: float = T1


def collector(ring_seconds: float, line: Line) -> Iterator[Step]:
    """Auto-answer, then one line after each of the customer's, starting anew with each customer."""
    if ring_seconds:
        yield Ring(180)
        yield Listen(ring_seconds)
    yield Answer()
    turn = 0
    while True:
        waiting_since = time.monotonic()
        yield Listen(_FOREVER, pause=0.6)
        started = line.media.voice_started_at or waiting_since
        if started - waiting_since > _NEXT_CUSTOMER_AFTER:
            turn = 0
        clip = _TURNS[turn % len(_TURNS)]
        turn += 1
        if clip is not None:
            yield Say(clip)


class Phones:
    """Many phones behind one address; each has one call at a time (486 otherwise, 404 for a name not here)."""

    def __init__(self, timeline: Timeline, settings: PhoneSettings) -> None:
        self.settings = settings
        self._clock = MediaClock(timeline)
        self.endpoint = Endpoint(
            timeline,
            settings.host,
            settings.port,
            Random(settings.seed),  # noqa: S311  # tags and SSRCs of a simulation, repeatable on purpose
            self._take_invite,
            settings.credentials,
            "simulated-phone",
            settings.t1,
        )
        self.lines: dict[str, tuple[Line, Performance]] = {}
        self.bill: list[BillLine] = []

    @property
    def uris(self) -> tuple[str, ...]:
        return tuple(f"sip:{name}@{self.endpoint.host}:{self.endpoint.port}" for name in self.settings.names)

    def _take_invite(self, exchange: Exchange) -> None:
        name = dialed_user(exchange.request)
        if name not in self.settings.names:
            self.endpoint.finish_invite(exchange, 404)
            return
        if name in self.lines:
            self.endpoint.finish_invite(exchange, 486)
            return
        try:
            line = Line(self.endpoint, self._clock, exchange, self.settings.habits, "agent", on_end=self._ended)
        except NoMediaPort:
            self.endpoint.finish_invite(exchange, 503)
            return
        line.trying()
        performance = Performance(line, collector(self.settings.ring_seconds, line))
        self.lines[name] = (line, performance)
        if line.take_offer():
            performance.start()

    def _ended(self, line: Line) -> None:
        for name, (mine, performance) in tuple(self.lines.items()):
            if mine is line:
                performance.stop()
                del self.lines[name]
        self.bill.append(line.bill)

    def close(self) -> None:
        for line, _ in tuple(self.lines.values()):
            line.shut_down()
        self.endpoint.close()
