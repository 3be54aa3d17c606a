"""A day, or many, of one pacer on one floor, and what came of it.

``Floor`` is all the driver asks for: ``FastFloor`` here, or a shell around the production floor on a
``VirtualClock`` and the scripted engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.scenario import Scenario
from dialer.pacing.state import Answered, Bridged, Dropped, FloorView, Pace, Pacer, PacingEvent, Placed, Sample

HALF_HOUR = 1800.0


class Floor(Protocol):
    """A world that a pacer can be tried on. ``next_at`` is when something next happens by itself (inf: never)."""

    def next_at(self) -> float: ...

    def step(self) -> Sequence[PacingEvent]: ...

    def view(self, now: float) -> FloorView: ...

    def carry_out(self, pace: Pace, now: float) -> Sequence[PacingEvent]: ...

    def staffed(self) -> int: ...

    def occupied(self) -> int: ...


OpenFloor = Callable[[Scenario, int], AbstractContextManager[Floor]]


@dataclass(kw_only=True, slots=True)
class Day:
    """What came of one day. ``utilisation`` is (talk + wrap-up) / logged in, breaks apart."""

    hours: float
    dials: int = 0
    answers: int = 0
    drops: int = 0
    cancelled: int = 0
    busy_seconds: float = 0.0
    staffed_seconds: float = 0.0
    answers_by_half_hour: list[int] = field(default_factory=list)
    drops_by_half_hour: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds from answer to agent, of those who waited at all
    decisions: int = 0

    @property
    def utilisation(self) -> float:
        return self.busy_seconds / self.staffed_seconds if self.staffed_seconds else 0.0

    @property
    def abandonment(self) -> float:
        return self.drops / self.answers if self.answers else 0.0

    @property
    def worst_half_hour(self) -> float:
        """The highest share of answers dropped in any half-hour; drops count when they happen."""
        pairs = zip(self.drops_by_half_hour, self.answers_by_half_hour, strict=True)
        return max((drops / max(answers, 1) for drops, answers in pairs), default=0.0)


Watcher = Callable[[FloorView, float, Pace], None]


class _Driver:
    def __init__(self, floor: Floor, pacer: Pacer, hours: float, watch: Watcher | None) -> None:
        self._floor, self._pacer, self._watch = floor, pacer, watch
        self._end = hours * 3600.0
        halves = max(1, math.ceil(self._end / HALF_HOUR))
        self.day = Day(hours=hours, answers_by_half_hour=[0] * halves, drops_by_half_hour=[0] * halves)
        self._last_half = halves - 1
        self._counted_to = 0.0

    def run(self) -> Day:
        floor, pacer, end = self._floor, self._pacer, self._end
        next_tick, next_asked = 0.0, math.inf  # a tick samples and decides; in between it is asked after events
        last_decision = -math.inf
        while True:
            happens = floor.next_at()
            now = min(happens, next_tick, next_asked)
            if now >= end:
                break
            self._count(now)
            if happens <= now:
                events = floor.step()
                if events:
                    self._told(events)
                    if pacer.on_events:
                        next_asked = max(now, last_decision + pacer.soonest)
                continue
            view = floor.view(now)
            if next_tick <= now:
                pacer.observe(Sample(now, view))
                next_tick = now + pacer.every
            self._decide(view, now)
            last_decision, next_asked = now, math.inf
        self._count(end)
        return self.day

    def _decide(self, view: FloorView, now: float) -> None:
        pace = self._pacer.decide(view, now)
        self.day.decisions += 1
        if self._watch is not None:
            self._watch(view, now, pace)
        self.day.cancelled += len(pace.cancel)
        if pace.place or pace.cancel:
            self._told(self._floor.carry_out(pace, now))

    def _count(self, now: float) -> None:
        spell = now - self._counted_to
        if spell > 0:
            self.day.busy_seconds += spell * self._floor.occupied()
            self.day.staffed_seconds += spell * self._floor.staffed()
            self._counted_to = now

    def _told(self, events: Sequence[PacingEvent]) -> None:
        day = self.day
        for event in events:
            self._pacer.observe(event)
            if isinstance(event, Placed):
                day.dials += 1
            elif isinstance(event, Answered):
                day.answers += 1
                day.answers_by_half_hour[min(int(event.at // HALF_HOUR), self._last_half)] += 1
            elif isinstance(event, Dropped):
                day.drops += 1
                day.drops_by_half_hour[min(int(event.at // HALF_HOUR), self._last_half)] += 1
            elif isinstance(event, Bridged) and event.waited > 0:
                day.waits.append(event.waited)


def run_day(floor: Floor, pacer: Pacer, *, hours: float = 8.0, watch: Watcher | None = None) -> Day:
    """Drive ``pacer`` on ``floor``: a decision every ``pacer.every`` seconds and, where it asks for that, after
    events, but never two within ``pacer.soonest`` seconds. ``watch`` sees every decision with the view it was made on."""
    return _Driver(floor, pacer, hours, watch).run()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Days pooled: shares are 0 to 1, ``utilisation_se`` is the standard error over days."""

    utilisation: float
    utilisation_se: float
    abandonment: float
    worst_half_hour: float
    days_over_3pct: int
    answers: int
    drops: int
    days: int
    dials: int
    cancelled: int
    answer_delay_mean: float  # seconds from answer to agent, over bridged calls
    answer_delay_p99: float

    @classmethod
    def of(cls, days: Sequence[Day]) -> Outcome:
        shares = np.array([day.utilisation for day in days])
        answers, drops = sum(day.answers for day in days), sum(day.drops for day in days)
        waits = np.sort(np.concatenate([np.asarray(day.waits, dtype=float) for day in days]))
        bridged = max(1, answers - drops)
        beyond = math.ceil(0.01 * bridged)  # so many bridged calls waited longer than the 99th percentile
        return cls(
            utilisation=float(shares.mean()),
            utilisation_se=float(shares.std(ddof=1) / math.sqrt(len(days))) if len(days) > 1 else 0.0,
            abandonment=drops / answers if answers else 0.0,
            worst_half_hour=max(day.worst_half_hour for day in days),
            days_over_3pct=sum(day.abandonment > 0.03 for day in days),
            answers=answers,
            drops=drops,
            days=len(days),
            dials=sum(day.dials for day in days),
            cancelled=sum(day.cancelled for day in days),
            answer_delay_mean=float(waits.sum()) / bridged,
            answer_delay_p99=float(waits[-beyond]) if len(waits) >= beyond else 0.0,
        )


def _fast(scenario: Scenario, seed: int) -> AbstractContextManager[Floor]:
    return nullcontext(FastFloor(scenario, seed))


def run_days(
    scenario: Scenario,
    make_pacer: Callable[[], Pacer],
    *,
    hours: float = 8.0,
    seeds: Sequence[int] = (0,),
    each: Callable[[Day], None] | None = None,
    open_floor: OpenFloor | None = None,
) -> Outcome:
    """One day a seed, each with a new pacer that knows nothing yet. ``open_floor`` makes each day's floor
    (default: ``FastFloor``) and is closed after the day."""
    days = []
    for seed in seeds:
        with _fast(scenario, seed) if open_floor is None else open_floor(scenario, seed) as floor:
            day = run_day(floor, make_pacer(), hours=hours)
        days.append(day)
        if each is not None:
            each(day)
    return Outcome.of(days)
