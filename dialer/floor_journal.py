"""What the switchboard sees, told to those who pace before it goes into the books."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dialer.events import LegAnswered, LegEnded
from dialer.floor import Agent
from dialer.pace_setter import FloorEar
from dialer.switchboard import CallInFlight, CallJournal


class FloorJournal:
    """Tells the books and, at once, those who pace: each of ``pacers()`` hears the calls of the whole node."""

    def __init__(
        self,
        books: CallJournal,
        pacers: Callable[[], Iterable[FloorEar]],
        on_over: Callable[[CallInFlight, LegEnded], None],
        on_dialed: Callable[[], None] = lambda: None,
    ) -> None:
        self._books = books
        self._pacers = pacers
        self._on_over = on_over
        self._on_dialed = on_dialed
        self.progressed = books.progressed
        self.noted = books.noted
        self.relay = books.relay
        self.trunk = books.trunk

    def dialed(self, call: CallInFlight) -> None:
        self._on_dialed()
        self._books.dialed(call)

    def answered(self, call: CallInFlight, event: LegAnswered) -> None:
        for pacer in self._pacers():
            pacer.answered(call)
        self._books.answered(call, event)

    def bridged(self, call: CallInFlight, agent: Agent) -> None:
        for pacer in self._pacers():
            pacer.bridged(call)
        self._books.bridged(call, agent)

    def abandoned(self, call: CallInFlight) -> None:
        for pacer in self._pacers():
            pacer.abandoned(call)
        self._books.abandoned(call)

    def ended(self, call: CallInFlight, event: LegEnded) -> None:
        for pacer in self._pacers():
            pacer.ended(call, event)
        self._on_over(call, event)
        self._books.ended(call, event)
