"""The doors' casework: what people report about a case, orders that wait for approval, coverage. Over the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from case_store.calls import UnknownCall
from case_store.casework import OrderView
from case_store.model import Channel, NextAction
from case_store.people import User
from case_store.store import CaseStore
from case_store.workflow import CaseEvent
from case_store.workflow.coverage import By, Coverage, Deadline, Fairness, coverage, deadlines, fairness
from config.calendars import local_day
from config.clock import Clock
from config.errors import BadInput, Refused
from config.settings import Settings
from dialer.followup import calendars_of, clock_of, follow_up_over


@dataclass(frozen=True, kw_only=True, slots=True)
class Entered:
    outcome_id: str
    case_id: str
    code: str
    next_action: NextAction | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageReport:
    """How evenly cases are worked: by placement, client, collector and channel; deadlines near or broken; fairness."""

    by: dict[str, list[Coverage]]
    alerts: list[Deadline]
    fairness: Fairness


class Casework(Protocol):
    async def enter(self, case_id: str, event: CaseEvent, *, call_id: str | None, note: str) -> Entered: ...
    async def call_case(self, call_id: str) -> tuple[str, str, str | None]:
        """The case and the number of a call, and the agent who has it. Raises ``UnknownCall``."""

    async def found(
        self, case_id: str, raw: str, channel: Channel, *, name: str, relation: str, by: str, at: datetime
    ) -> str: ...
    async def orders(
        self, *, state: str | None, kind: str | None, case_id: str | None, after: str | None, limit: int
    ) -> Sequence[OrderView]: ...
    async def coverage(self, placement_id: str | None) -> CoverageReport: ...
    async def assign(self, case_id: str, owner: str | None, *, by: str, at: datetime) -> None:
        """Raises ``UnknownCase``, ``BadInput`` for somebody who is not of the house."""

    async def vet(
        self,
        username: str,
        kind: str,
        *,
        reference: str,
        valid_from: date | None,
        valid_until: date,
        by: str,
        at: datetime,
    ) -> None:
        """``valid_from`` None: today at the house. Raises ``UnknownPerson``, ``BadInput``."""

    async def unvet(self, username: str, kind: str, *, by: str, reason: str, at: datetime) -> None: ...
    async def missing_vettings(self, username: str, *, at: datetime) -> tuple[str, ...]: ...


class StoreCasework:
    def __init__(self, store: CaseStore, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._follow_up = follow_up_over(store, settings)

    async def enter(self, case_id: str, event: CaseEvent, *, call_id: str | None, note: str) -> Entered:
        recorded = await self._follow_up.entered(case_id, event, call_id=call_id, note=note)
        return Entered(
            outcome_id=recorded.outcome.id,
            case_id=case_id,
            code=recorded.outcome.code,
            next_action=recorded.next_action,
        )

    async def call_case(self, call_id: str) -> tuple[str, str, str | None]:
        call = await self._store.calls.get(call_id)
        return call.case_id, call.number_id, call.agent_id

    async def found(
        self, case_id: str, raw: str, channel: Channel, *, name: str, relation: str, by: str, at: datetime
    ) -> str:
        file = await self._store.outcomes.file(case_id)
        client = next((one for one in self._settings.clients if one.name == file.client), None)
        return await self._store.casework.found_number(
            case_id,
            raw,
            channel,
            at,
            self._follow_up.conclude,
            name=name,
            relation=relation,
            by=by,
            sop_order=client.sop_order if client else tuple(one.value for one in Channel),
        )

    async def orders(
        self, *, state: str | None, kind: str | None, case_id: str | None, after: str | None, limit: int
    ) -> Sequence[OrderView]:
        return await self._store.casework.orders(state=state, kind=kind, case_id=case_id, after=after, limit=limit)

    async def assign(self, case_id: str, owner: str | None, *, by: str, at: datetime) -> None:
        user = await self._store.people.user(owner) if owner is not None else None
        if owner is not None and (user is None or user.disabled):
            raise BadInput("is nobody who works here", field="owner", remedy="take a name from the house's users")
        await self._store.casework.assign(case_id, user.name if user is not None else None, at, by=by)

    async def vet(
        self,
        username: str,
        kind: str,
        *,
        reference: str,
        valid_from: date | None,
        valid_until: date,
        by: str,
        at: datetime,
    ) -> None:
        user = await self._user(username)
        begins = valid_from or local_day(at, ZoneInfo(self._settings.timezone))
        if valid_until < begins:
            raise BadInput("it ends before it begins", field="valid_until", remedy="give a later day")
        await self._store.people.record_vetting(
            user.id, kind, at, reference=reference, valid_from=begins, valid_until=valid_until, recorded_by=by
        )

    async def unvet(self, username: str, kind: str, *, by: str, reason: str, at: datetime) -> None:
        user = await self._user(username)
        await self._store.people.withdraw_vetting(user.id, kind, at, by=by, reason=reason)

    async def missing_vettings(self, username: str, *, at: datetime) -> tuple[str, ...]:
        user = await self._user(username)
        today = local_day(at, ZoneInfo(self._settings.timezone))
        rules = self._settings.workflow.collector_rules
        return await self._store.people.missing_vettings(user.id, today, rules_version=rules)

    async def _user(self, username: str) -> User:
        user = await self._store.people.user(username)
        if user is None:
            raise UnknownPerson(
                "there is no such person", field="username", remedy="take a name from the house's users"
            )
        return user

    async def coverage(self, placement_id: str | None) -> CoverageReport:
        return await coverage_report(self._store, self._settings, self._clock.now(), placement_id)


async def coverage_report(
    store: CaseStore, settings: Settings, now: datetime, placement_id: str | None
) -> CoverageReport:
    """One placement, or all of them. Raises ``BadInput`` for an unknown one."""
    wanted = [await store.placements.get(placement_id)] if placement_id else list(await store.placements.list())

    def clock(lines: Sequence[tuple[str, Channel]], region: str) -> str:
        return clock_of(lines, region, settings.timezone)

    found = [await store.casework.pairs(one.id, clock) for one in wanted]
    pairs = [pair for each in found for pair in each.pairs]
    alerts: list[Deadline] = []
    regions = {region for each in found for _, region in each.clocks}
    calendar_of = calendars_of(settings)
    for region in regions:
        clocks = [clock for each in found for clock, where in each.clocks if where == region]
        alerts += deadlines(clocks, calendar_of(region), now)
    return CoverageReport(
        by={by.value: coverage(pairs, by) for by in By},
        alerts=sorted(alerts, key=lambda one: (one.due, one.case_id)),
        fairness=fairness((row for each in found for row in each.worked), now),
    )


class UnknownPerson(BadInput):
    error_id = "unknown-person"


class NoCaseStore(Refused):
    error_id = "no-case-store"


class NoCasework:
    """A house that only shows (the page's preview, client generation): it has no workflow to tell."""

    async def enter(self, case_id: str, event: CaseEvent, *, call_id: str | None, note: str) -> Entered:
        raise _no_store()

    async def call_case(self, call_id: str) -> tuple[str, str, str | None]:
        raise UnknownCall("there is no such call", field="call_id", remedy="take the id from the calls")

    async def found(
        self, case_id: str, raw: str, channel: Channel, *, name: str, relation: str, by: str, at: datetime
    ) -> str:
        raise _no_store()

    async def orders(self, **_asked: Any) -> Sequence[OrderView]:
        return ()

    async def coverage(self, placement_id: str | None) -> CoverageReport:
        raise _no_store()

    async def assign(self, case_id: str, owner: str | None, *, by: str, at: datetime) -> None:
        raise _no_store()

    async def vet(self, username: str, kind: str, **_facts: Any) -> None:
        raise _no_store()

    async def unvet(self, username: str, kind: str, **_facts: Any) -> None:
        raise _no_store()

    async def missing_vettings(self, username: str, *, at: datetime) -> tuple[str, ...]:
        raise _no_store()


def _no_store() -> NoCaseStore:
    return NoCaseStore("this house has no case store", remedy="open the doors with onrecord serve")


NO_CASEWORK: Casework = NoCasework()
