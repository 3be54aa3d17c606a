"""The kinds of rule a set may hold. Each answers one question: is this call barred now, and until when?

``barred_until`` gives None where the rule has nothing against the call, the first instant at which this rule alone
would permit it, or ``NEVER``. ``bars_from`` gives the next instant at which a rule that permits now would bar again
just because time passes. Counting rules only ever relax while nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

from case_store.call_facts import AgreedHours, CallFacts, DebtorState, HoldKind, PastCall
from case_store.model import Channel
from case_store.network import ProgressCategory
from config.calendars import Calendar, day_begins, local_instant
from dialer.policy.request import CallRequest, Purpose

NEVER = datetime.max.replace(tzinfo=UTC)
_DAY = timedelta(days=1)


class Situation:
    """One request at one instant with the callee's clocks read once."""

    __slots__ = ("_begins", "at", "facts", "locals", "request", "zones")

    def __init__(self, request: CallRequest, facts: CallFacts, at: datetime, zones: tuple[ZoneInfo, ...]) -> None:
        self.request = request
        self.facts = facts
        self.at = at
        self.zones = zones
        self.locals = [at.astimezone(zone) for zone in zones]
        self._begins: dict[tuple[date, int], datetime] = {}

    def day_start(self, clock: int, days: int = 0) -> datetime:
        """Midnight of the local day that lies ``days`` from today on the ``clock``-th candidate clock, as UTC."""
        day = self.locals[clock].date() + timedelta(days=days)
        key = (day, clock)
        found = self._begins.get(key)
        if found is None:
            found = self._begins[key] = day_begins(day, self.zones[clock])
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """What a refusal shows: which rule, what figure, who says so."""

    id: str
    figure: str
    source: str
    effective: date | None
    confidence: str


class Rule(Protocol):
    @property
    def label(self) -> Label: ...
    def barred_until(self, s: Situation) -> datetime | None: ...
    def bars_from(self, s: Situation) -> datetime: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """Permitted hours on the callee's wall; the opening minute is in, the closing minute out."""

    label: Label
    opens: time
    closes: time
    consent: bool  # agreed hours on record lift the rule for their span

    def barred_until(self, s: Situation) -> datetime | None:
        worst: datetime | None = None
        for clock, local in enumerate(s.locals):
            wall = local.time()
            if self.opens <= wall < self.closes or self._agreed(s, local) is not None:
                continue
            until = self._next_opening(s, clock, local)
            worst = until if worst is None or until > worst else worst
        return worst

    def bars_from(self, s: Situation) -> datetime:
        soonest = NEVER
        for clock, local in enumerate(s.locals):
            wall, ends = local.time(), []
            if self.opens <= wall < self.closes:
                ends.append(self.closes)
            if (agreed := self._agreed(s, local)) is not None:
                ends.append(agreed.closes)
            if ends:
                end = max(ends)
                soonest = min(soonest, _after(s.at, local.date(), end, s.zones[clock]))
        return soonest

    def _agreed(self, s: Situation, local: datetime) -> AgreedHours | None:
        if not self.consent or not s.facts.agreed_hours:
            return None
        wall = local.time()
        for hours in _agreements(s, local.date()):
            if hours.opens <= wall < hours.closes:
                return hours
        return None

    def _next_opening(self, s: Situation, clock: int, local: datetime) -> datetime:
        zone = s.zones[clock]
        best = NEVER
        for ahead in (0, 1):
            day = local.date() + timedelta(days=ahead)
            openings = [self.opens]
            if self.consent and s.facts.agreed_hours:
                openings += [hours.opens for hours in _agreements(s, day)]
            for opening in openings:
                instant = _after(s.at, day, opening, zone)
                if s.at < instant < best:
                    best = instant
        return best


def _agreements(s: Situation, day: date) -> Iterator[AgreedHours]:
    for hours in s.facts.agreed_hours:
        if (
            hours.person_id == s.request.person_id
            and (hours.e164 is None or hours.e164 == s.request.e164)
            and hours.begins <= day
            and (hours.ends is None or day <= hours.ends)
        ):
            yield hours


def _after(at: datetime, day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The wall time on ``day`` as an instant after ``at`` (a repeated hour's second occurrence if need be)."""
    instant = local_instant(day, wall, zone)
    if instant <= at:
        instant = datetime.combine(day, wall.replace(fold=1), tzinfo=zone).astimezone(UTC)
    return instant


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedDays:
    """No calls on public holidays or on some days of the week."""

    label: Label
    calendar: Calendar | None
    weekdays: frozenset[int]  # ISO, Monday 1

    def _closed(self, day: date) -> bool:
        return day.isoweekday() in self.weekdays or (self.calendar is not None and self.calendar.is_holiday(day))

    def barred_until(self, s: Situation) -> datetime | None:
        worst: datetime | None = None
        for clock, local in enumerate(s.locals):
            if self._closed(local.date()):
                until = s.day_start(clock, 1)
                worst = until if worst is None or until > worst else worst
        return worst

    def bars_from(self, s: Situation) -> datetime:
        return min((s.day_start(clock, 1) for clock in range(len(s.zones))), default=NEVER)


class Scope(StrEnum):
    """Over what a cap counts. Never over a number alone where the source says person or debt."""

    NUMBER = "number"
    PERSON = "person"  # the person called
    DEBTOR = "debtor"  # every call about this debtor, whoever was called
    DEBT = "debt"
    PERSON_DEBT = "person-debt"  # the person called, in connection with this debt


class Span(StrEnum):
    LOCAL_DAYS = "local-days"  # today and the days before it on the callee's calendar
    ROLLING_HOURS = "rolling-hours"


class Counts(StrEnum):
    ATTEMPTS = "attempts"
    CONVERSATIONS = "conversations"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """At most ``limit`` in the window; the call asked for would be the next one.

    A call in flight counts as a conversation: it may become one.
    """

    label: Label
    scope: Scope
    counts: Counts
    span: Span
    length: int  # days or hours
    limit: int
    protected_routes_only: bool

    def barred_until(self, s: Situation) -> datetime | None:
        if not s.facts.calls or (self.protected_routes_only and not s.request.protected_route):
            return None
        if self.span is Span.ROLLING_HOURS:
            window = timedelta(hours=self.length)
            times = self._times(s, s.at - window, inclusive=False)
            if len(times) < self.limit:
                return None
            times.sort()
            return times[len(times) - self.limit] + window
        worst: datetime | None = None
        for clock in range(len(s.zones)):
            times = self._times(s, s.day_start(clock, 1 - self.length), inclusive=True)
            if len(times) < self.limit:
                continue
            times.sort()
            oldest = times[len(times) - self.limit].astimezone(s.zones[clock]).date()
            until = day_begins(oldest + timedelta(days=self.length), s.zones[clock])
            worst = until if worst is None or until > worst else worst
        return worst

    def bars_from(self, s: Situation) -> datetime:
        return NEVER

    def _times(self, s: Situation, since: datetime, *, inclusive: bool) -> list[datetime]:
        conversations = self.counts is Counts.CONVERSATIONS
        return [
            call.at
            for call in s.facts.calls
            if (call.at > since or (inclusive and call.at == since))
            and (not conversations or call.conversation or call.category is None)
            and _concerns(call, s.request, self.scope)
        ]


def _concerns(call: PastCall, request: CallRequest, scope: Scope) -> bool:
    if scope is Scope.NUMBER:
        return call.e164 == request.e164
    if scope is Scope.PERSON:
        return call.person_id == request.person_id
    if scope is Scope.DEBTOR:
        return call.debtor_id == request.debtor_id
    if scope is Scope.DEBT:
        return call.debt_id == request.debt_id
    return call.person_id == request.person_id and call.debt_id == request.debt_id


@dataclass(frozen=True, kw_only=True, slots=True)
class ThirdPartyGate:
    """Relatives and emergency contacts stay untouched until one of the conditions holds."""

    label: Label
    opens_when: frozenset[str]
    failed_dials: int
    failed_days: int

    def barred_until(self, s: Situation) -> datetime | None:
        if not s.request.to_third_party or self._stands_open(s.facts):
            return None
        worst: datetime | None = None
        for clock in range(len(s.zones)):
            opens = self._opens(s, clock)
            if opens > s.at:
                worst = opens if worst is None or opens > worst else worst
        return worst

    def bars_from(self, s: Situation) -> datetime:
        return NEVER

    def _stands_open(self, facts: CallFacts) -> bool:
        when = self.opens_when
        return (
            (facts.debtor_state is not DebtorState.REACHABLE and facts.debtor_state.value in when)
            or (facts.debtor_mobiles_invalid and "mobile-invalid" in when)
            or (facts.debtor_numbers_invalid and "own-numbers-invalid" in when)
        )

    def _opens(self, s: Situation, clock: int) -> datetime:
        """Local midnight after the run of failed dials on the debtor's mobile was long enough; ``NEVER`` if it is not."""
        run = _failed_run(s)
        zone = s.zones[clock]
        opens = NEVER
        if "failed-dials" in self.opens_when and len(run) >= self.failed_dials:
            opens = _next_midnight(run[self.failed_dials - 1], zone)
        if "failed-days" in self.opens_when:
            days = sorted({at.astimezone(zone).date() for at in run})
            if len(days) >= self.failed_days:
                opens = min(opens, day_begins(days[self.failed_days - 1] + _DAY, zone))
        return opens


_SAYS_NOTHING = frozenset({ProgressCategory.TRUNK_TROUBLE, ProgressCategory.CANCELLED})


def _failed_run(s: Situation) -> list[datetime]:
    """Times of the unbroken run of failed dials to the debtor's mobiles that lasts until now, oldest first.

    An answered dial ends the run, and so does one in flight: it may be answered. Trouble of our own trunk is no dial.
    """
    dials = [
        call
        for call in s.facts.calls
        if call.debtor_id == s.request.debtor_id
        and call.channel is Channel.MOBILE
        and call.person_id == call.debtor_id
        and call.category not in _SAYS_NOTHING
    ]
    dials.sort(key=lambda call: call.at)
    run: list[datetime] = []
    for call in dials:
        if call.conversation or call.category is None or call.category is ProgressCategory.ANSWERED:
            run.clear()
        else:
            run.append(call.at)
    return run


def _next_midnight(at: datetime, zone: ZoneInfo) -> datetime:
    return day_begins(at.astimezone(zone).date() + _DAY, zone)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThirdPartyOnce:
    """A third person is spoken to about a debt once and never again."""

    label: Label

    def barred_until(self, s: Situation) -> datetime | None:
        if not s.request.to_third_party:
            return None
        if s.request.person_id in s.facts.spoken_ever:
            return NEVER
        spoken = any(
            (call.conversation or call.in_flight) and _concerns(call, s.request, Scope.PERSON_DEBT)
            for call in s.facts.calls
        )
        return NEVER if spoken else None

    def bars_from(self, s: Situation) -> datetime:
        return NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """Who asked not to be called any more is not called any more."""

    label: Label

    def barred_until(self, s: Situation) -> datetime | None:
        facts = s.facts
        return NEVER if facts.number_blocked or s.request.person_id in facts.refused_persons else None

    def bars_from(self, s: Situation) -> datetime:
        return NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class OptOuts:
    label: Label

    def barred_until(self, s: Situation) -> datetime | None:
        worst: datetime | None = None
        for out in s.facts.opt_outs:
            if (
                out.person_id == s.request.person_id
                and (out.e164 is None or out.e164 == s.request.e164)
                and (out.channel is None or out.channel is s.request.channel)
                and (out.ends is None or s.at < out.ends)
            ):
                until = out.ends or NEVER
                worst = until if worst is None or until > worst else worst
        return worst

    def bars_from(self, s: Situation) -> datetime:
        return NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Inconvenient:
    """Times the person named as inconvenient."""

    label: Label

    def barred_until(self, s: Situation) -> datetime | None:
        worst: datetime | None = None
        for span in s.facts.inconvenient:
            if span.person_id != s.request.person_id:
                continue
            for clock, local in enumerate(s.locals):
                named = not span.weekdays or local.isoweekday() in span.weekdays
                if named and span.opens <= local.time() < span.closes:
                    until = _after(s.at, local.date(), span.closes, s.zones[clock])
                    worst = until if worst is None or until > worst else worst
        return worst

    def bars_from(self, s: Situation) -> datetime:
        soonest = NEVER
        for span in s.facts.inconvenient:
            if span.person_id != s.request.person_id:
                continue
            for clock, local in enumerate(s.locals):
                for ahead in range(2):
                    day = local.date() + timedelta(days=ahead)
                    if span.weekdays and day.isoweekday() not in span.weekdays:
                        continue
                    instant = local_instant(day, span.opens, s.zones[clock])
                    if s.at < instant < soonest:
                        soonest = instant
        return soonest


@dataclass(frozen=True, kw_only=True, slots=True)
class Holds:
    label: Label
    kinds: frozenset[HoldKind] = frozenset(HoldKind)

    def barred_until(self, s: Situation) -> datetime | None:
        worst: datetime | None = None
        for hold in s.facts.holds:
            if hold.kind not in self.kinds or hold.begins > s.at or (hold.ends is not None and hold.ends <= s.at):
                continue
            if hold.kind is HoldKind.FRAUD and s.request.purpose is Purpose.CONFIRM_FRAUD:
                continue
            until = hold.ends or NEVER
            worst = until if worst is None or until > worst else worst
        return worst

    def bars_from(self, s: Situation) -> datetime:
        return min(
            (hold.begins for hold in s.facts.holds if hold.kind in self.kinds and hold.begins > s.at), default=NEVER
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberInvalid:
    label: Label

    def barred_until(self, s: Situation) -> datetime | None:
        return NEVER if s.facts.number_invalid else None

    def bars_from(self, s: Situation) -> datetime:
        return NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockKnown:
    """Nobody is called whose local time is unknown."""

    label: Label

    def barred_until(self, s: Situation) -> datetime | None:
        return None if s.zones else NEVER

    def bars_from(self, s: Situation) -> datetime:
        return NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Obligation:
    """A figure that binds another room (recording, retention, abandonment, wording), kept with its source."""

    label: Label
    topic: str
    value: float | str | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySet:
    """One file of ``sets/``: the rules that decide, and the figures that bind others."""

    id: str
    title: str
    rules: tuple[Rule, ...]
    obligations: tuple[Obligation, ...] = ()
