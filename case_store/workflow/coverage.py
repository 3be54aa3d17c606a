"""No cherry-picking 不挑个案: every case is worked, every permitted number tried, and the figures prove it.

Pure: rows in, figures out. A pair is one number of one case; the share counted is the one the SOP asks for,
attempted over permitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from case_store.model import Channel
from config.calendars import Calendar, day_begins, local_day, zone


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One number of one case. ``never_tried_because``: the policy rule, ``promise`` (the sweep stopped early),
    ``retired``, ``blocked``, or None where nothing excuses it."""

    case_id: str
    number_id: str
    placement_id: str
    client: str
    channel: Channel
    collector: str | None
    permitted: bool
    attempted: bool
    reached: bool
    never_tried_because: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """``share`` is attempted / permitted, 1.0 where nothing was permitted."""

    key: str
    cases: int
    pairs: int
    permitted: int
    attempted: int
    reached: int
    never_tried: tuple[tuple[str, str, str], ...]  # case, number, reason
    reasons: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float:
        return self.attempted / self.permitted if self.permitted else 1.0


class By(StrEnum):
    PLACEMENT = "placement"
    CLIENT = "client"
    COLLECTOR = "collector"
    CHANNEL = "channel"


_KEY: dict[By, Callable[[Pair], str]] = {
    By.PLACEMENT: lambda pair: pair.placement_id,
    By.CLIENT: lambda pair: pair.client,
    By.COLLECTOR: lambda pair: pair.collector or "nobody",
    By.CHANNEL: lambda pair: pair.channel.value,
}


def coverage(pairs: Iterable[Pair], by: By) -> list[Coverage]:
    """One line a key, worst share first. ``permitted`` includes every attempted pair: it was permitted when dialed."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(_KEY[by](pair), []).append(pair)
    lines = [_line(key, members) for key, members in groups.items()]
    return sorted(lines, key=lambda line: (line.share, line.key))


def _line(key: str, members: Sequence[Pair]) -> Coverage:
    never = tuple(
        (pair.case_id, pair.number_id, pair.never_tried_because or "not reached yet")
        for pair in members
        if not pair.attempted
    )
    return Coverage(
        key=key,
        cases=len({pair.case_id for pair in members}),
        pairs=len(members),
        permitted=sum(pair.permitted or pair.attempted for pair in members),
        attempted=sum(pair.attempted for pair in members),
        reached=sum(pair.reached for pair in members),
        never_tried=never,
        reasons=tuple(sorted(Counter(reason for _, _, reason in never).items())),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepClock:
    """A case whose first sweep is under way."""

    case_id: str
    zone: str
    entrusted_at: datetime
    swept: bool


class Alarm(StrEnum):
    SOON = "soon"  # the deadline breaks within the warning time
    BROKEN = "broken"  # D+2 working days are over: the team leader


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadline:
    case_id: str
    due: datetime  # midnight after the second working day at the debtor
    alarm: Alarm


def sweep_deadline(clock: SweepClock, calendar: Calendar) -> datetime:
    """End of the second working day after the case arrived, at the debtor."""
    where = zone(clock.zone)
    last: date = calendar.working_days_after(local_day(clock.entrusted_at, where), 2)
    return day_begins(last + timedelta(days=1), where)


def deadlines(
    clocks: Iterable[SweepClock], calendar: Calendar, now: datetime, warn: timedelta = timedelta(hours=24)
) -> list[Deadline]:
    """Unswept cases whose deadline is broken or near, the most urgent first: the alert comes before the breach."""
    found = []
    for clock in clocks:
        if clock.swept:
            continue
        due = sweep_deadline(clock, calendar)
        if now >= due:
            found.append(Deadline(case_id=clock.case_id, due=due, alarm=Alarm.BROKEN))
        elif due - now <= warn:
            found.append(Deadline(case_id=clock.case_id, due=due, alarm=Alarm.SOON))
    return sorted(found, key=lambda each: (each.due, each.case_id))


@dataclass(frozen=True, kw_only=True, slots=True)
class Fairness:
    """How evenly live cases are followed up; days since anybody last worked on them."""

    cases: int
    longest_case_id: str | None
    longest_days: float
    median_days: float
    p90_days: float
    never_worked: int
    distribution: tuple[tuple[str, int], ...] = ()  # days since the last work → cases, the fresh ones first


_DAYS = (1, 2, 3, 7, 14, 30)


def _distribution(days: Sequence[float]) -> tuple[tuple[str, int], ...]:
    edges = (0, *_DAYS, None)
    found = []
    for low, high in pairwise(edges):
        assert low is not None
        name = f"{low}-{high}" if high is not None else f"{low}+"
        found.append((name, sum(low <= each and (high is None or each < high) for each in days)))
    return tuple(found)


def fairness(last_worked: Iterable[tuple[str, datetime, datetime | None]], now: datetime) -> Fairness:
    """From (case, entrusted at, last worked at) of every live case; a case never worked counts from its arrival."""
    rows = [(case_id, worked or entrusted, worked is None) for case_id, entrusted, worked in last_worked]
    if not rows:
        return Fairness(cases=0, longest_case_id=None, longest_days=0.0, median_days=0.0, p90_days=0.0, never_worked=0)
    days = sorted(((now - since) / timedelta(days=1), case_id) for case_id, since, _ in rows)
    return Fairness(
        cases=len(days),
        longest_case_id=days[-1][1],
        longest_days=days[-1][0],
        median_days=days[(len(days) - 1) // 2][0],
        p90_days=days[min(len(days) - 1, (len(days) * 9) // 10)][0],
        never_worked=sum(never for _, _, never in rows),
        distribution=_distribution([each for each, _ in days]),
    )
