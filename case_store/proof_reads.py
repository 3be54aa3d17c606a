"""What the proofs ask of the store: signalled calls, recordings and their clients, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, and_, func, or_, select
from sqlalchemy.orm import aliased
from sqlalchemy.sql import visitors

from case_store.database import Database, damaged
from case_store.tables import calls, cases, legs, numbers, placements, recordings, verdicts

_PAGE = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCall:
    """A call that ended, with its number and its customer leg."""

    call_id: str
    recording_id: str
    callee: str
    placed_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    talk_seconds: float
    customer_leg: str | None
    agent_leg: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredUnendedCall:
    """A call whose end is not in the store."""

    call_id: str
    recording_id: str
    node: str
    placed_at: datetime
    answered_at: datetime | None
    customer_leg: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRecording:
    """A recording's row with what retention and reconciliation need."""

    recording_id: str
    call_id: str
    case_id: str
    client: str
    state: str
    armed_at: datetime
    sealed_at: datetime | None
    seconds: float | None
    sha256: str | None
    path: str | None
    gaps: list[dict[str, Any]]
    vitals: dict[str, Any]
    manifest: dict[str, Any]
    keep_until: datetime | None
    legal_hold: bool


class ProofReads:
    """Pages by key, so that memory is a page however long the history is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ended_calls(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> AsyncIterator[StoredCall]:
        """Calls that ended, by the time they were placed: ``since`` ≤ placed_at < ``until``."""
        query = _ended()
        if since is not None:
            query = query.where(calls.c.placed_at >= since)
        if until is not None:
            query = query.where(calls.c.placed_at < until)
        last: Any = None
        seen: set[str] = set()
        while True:
            rows = await self._page(query if last is None else query.where(_after(last)))
            for row in rows:
                if row.id not in seen:  # a failover leaves a call with several customer legs
                    yield _call(row)
                    seen.add(row.id)
            if len(rows) < _PAGE:
                return
            last, seen = rows[-1], {rows[-1].id}

    async def first_placed(self) -> datetime | None:
        """When the very first call was placed."""
        query = select(calls.c.placed_at).order_by(calls.c.placed_at, calls.c.id).limit(1)
        return next((row.placed_at for row in await self._page(query)), None)

    async def open_calls(self, since: datetime, until: datetime) -> int:
        """How many calls placed ``since`` ≤ … < ``until`` have not ended."""
        query = select(func.count().label("open")).where(
            calls.c.placed_at >= since, calls.c.placed_at < until, calls.c.ended_at.is_(None)
        )
        return int((await self._page(query))[0].open)

    async def unended_calls(self, since: datetime | None, until: datetime) -> list[StoredUnendedCall]:
        """Calls placed ``since`` ≤ … < ``until`` that have not ended, oldest first: few, or something is very wrong."""
        leg = select(func.min(legs.c.id)).where(legs.c.call_id == calls.c.id, legs.c.kind == "customer")
        query = (
            select(
                calls.c.id,
                calls.c.recording_id,
                calls.c.node,
                calls.c.placed_at,
                calls.c.answered_at,
                leg.scalar_subquery().label("leg"),
            )
            .where(calls.c.ended_at.is_(None), calls.c.placed_at < until)
            .order_by(calls.c.placed_at, calls.c.id)
        )
        if since is not None:
            query = query.where(calls.c.placed_at >= since)
        return [
            StoredUnendedCall(
                call_id=row.id,
                recording_id=row.recording_id,
                node=row.node,
                placed_at=row.placed_at,
                answered_at=row.answered_at,
                customer_leg=row.leg,
            )
            for row in await self._page(query)
        ]

    async def call(self, call_id: str) -> StoredCall | None:
        """One ended call, or None."""
        rows = await self._page(_ended().where(calls.c.id == call_id))
        return _call(rows[0]) if rows else None

    async def recordings(
        self, *states: str, since: datetime | None = None, until: datetime | None = None
    ) -> AsyncIterator[StoredRecording]:
        """Recordings in these states (all, when none is named), oldest first, armed ``since`` ≤ … < ``until``."""
        query = _kept()
        if states:
            query = query.where(recordings.c.state.in_(states))
        if since is not None:
            query = query.where(recordings.c.armed_at >= since)
        if until is not None:
            query = query.where(recordings.c.armed_at < until)
        last: str | None = None
        while True:
            rows = await self._page(query if last is None else query.where(recordings.c.id > last))
            for row in rows:
                yield _recording(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1].id

    async def states(self, recording_ids: Collection[str]) -> dict[str, str]:
        """The state of each of these recordings that the store knows."""
        found: dict[str, str] = {}
        asked = sorted(recording_ids)
        for at in range(0, len(asked), 500):
            query = select(recordings.c.id, recordings.c.state).where(recordings.c.id.in_(asked[at : at + 500]))
            found |= {row.id: row.state for row in await self._page(query)}
        return found

    async def recording(self, recording_id: str) -> StoredRecording | None:
        """One recording, or None."""
        rows = await self._page(_kept().where(recordings.c.id == recording_id))
        return _recording(rows[0]) if rows else None

    async def verdict_of(self, call_id: str) -> dict[str, Any]:
        """What the policy said when this call was booked; empty when it was placed before verdicts were kept."""
        query = (
            select(verdicts)
            .join(calls, calls.c.attempt_id == verdicts.c.attempt_id)
            .where(calls.c.id == call_id)
            .limit(1)
        )
        return next(
            (
                {
                    "allowed": row.allowed,
                    "rule": row.rule,
                    "figure": row.figure,
                    "source": row.source,
                    "at": row.at.isoformat(),
                }
                for row in await self._page(query)
            ),
            {},
        )

    async def _page(self, query: Select[Any]) -> list[Any]:
        async with self._database.read() as connection:
            try:
                return list(await connection.execute(query))
            except (ValueError, TypeError) as error:  # a driver met what no version of ours writes
                tables = ", ".join(sorted({one.name for one in _tables(query)}))
                raise damaged(f"{type(error).__name__} reading {tables}") from error


def _tables(query: Select[Any]) -> list[Table]:
    return [one for one in visitors.iterate(query) if isinstance(one, Table)]


def _kept() -> Select[Any]:
    return (
        select(recordings, placements.c.client)
        .join(cases, cases.c.id == recordings.c.case_id)
        .join(placements, placements.c.id == cases.c.placement_id)
        .order_by(recordings.c.id)
        .limit(_PAGE)
    )


def _ended() -> Select[Any]:
    customer, agent = aliased(legs), aliased(legs)
    return (
        select(
            calls.c.id,
            calls.c.recording_id,
            numbers.c.e164,
            calls.c.placed_at,
            calls.c.answered_at,
            calls.c.ended_at,
            calls.c.talk_seconds,
            customer.c.id.label("customer_leg"),
            agent.c.id.label("agent_leg"),
        )
        .join(numbers, numbers.c.id == calls.c.number_id)
        .outerjoin(customer, and_(customer.c.call_id == calls.c.id, customer.c.kind == "customer"))
        .outerjoin(agent, and_(agent.c.call_id == calls.c.id, agent.c.kind == "agent"))
        .where(calls.c.ended_at.is_not(None))
        .order_by(calls.c.placed_at, calls.c.id)
        .limit(_PAGE)
    )


def _call(row: Any) -> StoredCall:
    return StoredCall(
        call_id=row.id,
        recording_id=row.recording_id,
        callee=row.e164,
        placed_at=row.placed_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        talk_seconds=row.talk_seconds or 0.0,
        customer_leg=row.customer_leg,
        agent_leg=row.agent_leg,
    )


def _after(row: Any) -> Any:
    return or_(calls.c.placed_at > row.placed_at, and_(calls.c.placed_at == row.placed_at, calls.c.id > row.id))


def _recording(row: Any) -> StoredRecording:
    return StoredRecording(
        recording_id=row.id,
        call_id=row.call_id,
        case_id=row.case_id,
        client=row.client,
        state=row.state,
        armed_at=row.armed_at,
        sealed_at=row.sealed_at,
        seconds=row.seconds,
        sha256=row.sha256,
        path=row.path,
        gaps=row.gaps or [],
        vitals=row.vitals or {},
        manifest=row.manifest or {},
        keep_until=row.keep_until,
        legal_hold=row.legal_hold,
    )
