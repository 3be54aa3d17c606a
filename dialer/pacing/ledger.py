"""The abandonment account of a campaign over 30 days: a hard gate outside any pacer.

The pacer steers towards the target; the ledger guarantees it. While the account has room for the drops that
calls in the air could still cause, the pacer's word stands; when it has not, the campaign goes one call per ready
agent until answers have paid. Pure: it holds day totals, the caller persists them (``as_record``).

Source: 16 CFR 310.4(b)(4)(i), abandonment <= 3% of live answers per campaign over 30 days; the house's own
target is stricter (POLICY.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from config.errors import BadInput
from dialer.pacing.state import (
    KINDEST_RING,
    Answered,
    CallKey,
    Dropped,
    FloorView,
    Pace,
    Pacer,
    PacingEvent,
    Placed,
    Served,
    Unanswered,
)

DAYS = 30


class Ledger:
    """Answers and drops by day number (any integer that grows by one a day, e.g. ``date.toordinal()``)."""

    def __init__(self, limit: float) -> None:
        if not 0.0 <= limit <= 1.0:
            raise BadInput("out of range", field="limit", shape=f"{limit:g}", remedy="Between 0 and 1")
        self.limit = limit
        self._days: dict[int, list[int]] = {}  # day -> answers, drops

    def answered(self, day: int) -> None:
        self._day(day)[0] += 1

    def dropped(self, day: int) -> None:
        self._day(day)[1] += 1

    def totals(self, day: int) -> tuple[int, int]:
        """Answers and drops of the 30 days that end with ``day``."""
        self._forget(day)
        return sum(one[0] for one in self._days.values()), sum(one[1] for one in self._days.values())

    def room(self, day: int) -> float:
        """Drops that may still happen today; an answer that is dropped counts as an answer too."""
        answers, drops = self.totals(day)
        return self.limit * answers - drops

    def _day(self, day: int) -> list[int]:
        self._forget(day)
        return self._days.setdefault(day, [0, 0])

    def _forget(self, day: int) -> None:
        for old in [one for one in self._days if one <= day - DAYS]:
            del self._days[old]

    def as_record(self) -> dict[str, Any]:
        return {"limit": self.limit, "days": {str(day): list(one) for day, one in self._days.items()}}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Ledger:
        made = cls(record["limit"])
        made._days = {int(day): list(one) for day, one in record["days"].items()}
        return made


class Gated:
    """``Pacer``: another pacer behind the ledger's gate.

    The drops that calls in the air are expected to cause are held in reserve. While the account has room for them
    and one more, the inner pacer decides; otherwise only as many calls are in the air as agents are ready, and
    ringing calls beyond that are given up once they rang 15 s.
    """

    def __init__(self, pacer: Pacer, ledger: Ledger, day: int, *, grace: float = 1.0) -> None:
        """``grace``: drops a young campaign may have before it has answers to show for them."""
        self._pacer = pacer
        self.ledger = ledger
        self.day = day
        self._grace = grace
        self._in_air: dict[CallKey, float] = {}
        self._reserve = 0.0

    @property
    def pacer(self) -> Pacer:
        """The one behind the gate."""
        return self._pacer

    def reserve_record(self) -> dict[str, float]:
        """Expected drops of the calls in the air, by call; ``restore_reserve`` takes them back."""
        return {str(call): held for call, held in self._in_air.items()}

    def restore_reserve(self, in_air: dict[str, float]) -> None:
        self._in_air = {}
        self._in_air.update(in_air)
        self._reserve = sum(in_air.values())

    @property
    def every(self) -> float:
        return self._pacer.every

    @property
    def on_events(self) -> bool:
        return self._pacer.on_events

    @property
    def soonest(self) -> float:
        return self._pacer.soonest

    def decide(self, view: FloorView, now: float) -> Pace:
        pace = self._pacer.decide(view, now)
        room = self.ledger.room(self.day) + self._grace - self._reserve
        why: dict[str, float | str] = {**pace.why, "ledger_room": room}
        if room >= 1.0:
            return replace(pace, why=why)
        free = max(0, view.idle - len(view.waiting) - len(view.ringing) + len(pace.cancel))
        place = min(pace.place, free)
        why["binding"] = "ledger"
        cancel = dict.fromkeys(pace.cancel)
        beyond = len(view.ringing) + len(view.waiting) - view.idle
        for call, rung in zip(view.ringing, view.ringing_rung, strict=True):
            if len(cancel) >= beyond:
                break
            if rung >= KINDEST_RING:
                cancel[call] = None
        return replace(pace, place=place, risk=(0.0,) * place, cancel=tuple(cancel), why=why)

    def observe(self, event: PacingEvent) -> None:
        if isinstance(event, Placed):
            held = event.risk * (0.5 if event.chance is None else event.chance)
            self._in_air[event.call] = held
            self._reserve += held
        elif isinstance(event, Answered):
            self.ledger.answered(self.day)
            self._release(event.call)
        elif isinstance(event, Unanswered):
            self._release(event.call)
        elif isinstance(event, Dropped):
            self.ledger.dropped(self.day)
        elif isinstance(event, Served):
            self.ledger.answered(self.day)
            return
        self._pacer.observe(event)

    def _release(self, call: CallKey) -> None:
        self._reserve = max(0.0, self._reserve - self._in_air.pop(call, 0.0)) if self._in_air else 0.0
