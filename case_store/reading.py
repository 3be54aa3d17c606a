"""What people read of the facts: lists by key, one case with everything on it. Never writes.

Every query starts from an index and ends at a limit, so a page costs the same with ten cases and with a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store.cases import Cases
from case_store.cases import TimelineEntry as StoredEntry
from case_store.database import Database
from case_store.model import AttemptState, Channel, Money, NumberState
from case_store.placements import Placements
from case_store.tables import (
    LIVE,
    attempts,
    calls,
    cases,
    contacts,
    next_actions,
    numbers,
    outcomes,
    persons,
    placements,
    recordings,
    users,
    verdicts,
)
from case_store.views import (
    AUDIBLE_GAP_SECONDS,
    AttemptView,
    CaseRow,
    CaseView,
    CoverageView,
    NextActionView,
    NumberView,
    Page,
    RecordingView,
    RefusalView,
    RefusedNumber,
    TimelineEntry,
)
from config.errors import BadInput

SHOWN = 200  # attempts, recordings and events on a case's page; the rest by page
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CaseReading:
    """``api.house.Cases`` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cases = Cases(database)
        self._placements = Placements(database)

    async def list(
        self, *, after: str | None, limit: int, client: str | None, placement_id: str | None, search: str | None
    ) -> Page[CaseRow]:
        """Newest first. ``search`` is the start of an open case's number at the client."""
        query = _case_rows().order_by(cases.c.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(cases.c.id < after)
        if client is not None:
            query = query.where(cases.c.client == client)
        if placement_id is not None:
            query = query.where(cases.c.placement_id == placement_id)
        async with self._database.read() as connection:
            if search is not None:
                # The index of open cases begins with the client, so every client is named.
                known = (await connection.execute(select(placements.c.client).distinct())).scalars().all()
                query = query.where(
                    cases.c.client.in_(known),
                    cases.c.state != "closed",
                    cases.c.client_ref.between(search, search + "\uffff"),
                    cases.c.client_ref.startswith(search, autoescape=True),
                )
            rows = (await connection.execute(query)).mappings().all()
            live = await _live_actions(connection, [row["id"] for row in rows[:limit]])
        shown = tuple(_case_row(row, live.get(row["id"])) for row in rows[:limit])
        return Page(items=shown, after=shown[-1].id if len(rows) > limit else None)

    async def one(self, case_id: str) -> CaseView | None:
        async with self._database.read() as connection:
            row = (await connection.execute(_case_rows().where(cases.c.id == case_id))).mappings().first()
            if row is None:
                return None
            live = await _live_actions(connection, [case_id])
            lines = await _numbers(connection, case_id)
            tried = await _attempts(connection, case_id, None, SHOWN)
            taped = await _recordings(connection, case_id, None, SHOWN)
        timeline = await self._cases.timeline(case_id, limit=SHOWN)
        return CaseView(
            row=_case_row(row, live.get(case_id)),
            numbers=lines,
            next_actions=tuple(live.values()),
            attempts=tuple(tried[:SHOWN]),
            recordings=tuple(taped[:SHOWN]),
            timeline=tuple(_entry(entry) for entry in timeline),
        )

    async def attempts(self, case_id: str, after: str | None, limit: int) -> Page[AttemptView]:
        """Attempts and refusals, the newest first."""
        async with self._database.read() as connection:
            found = await _attempts(connection, case_id, _instant_key(after), limit + 1)
        return Page(items=tuple(found[:limit]), after=_key_of(found[limit - 1]) if len(found) > limit else None)

    async def agenda(
        self, *, until: datetime, owner: str | None, after: str | None, limit: int
    ) -> Page[NextActionView]:
        """Live actions whose window opens by ``until``, the one that lapses first at the head."""
        # Read in the order shown, from the index of ``latest``: by ``earliest`` all that is due would be read and sorted.
        opened = func.coalesce(next_actions.c.earliest, next_actions.c.latest) <= until
        query = (
            select(next_actions, cases.c.client_ref)
            .join(cases, cases.c.id == next_actions.c.case_id)
            .where(next_actions.c.state == LIVE, opened)
            .order_by(next_actions.c.latest, next_actions.c.id)
            .limit(limit + 1)
        )
        if owner is not None:
            query = query.where(next_actions.c.owner == owner)
        if (seen := _instant_key(after)) is not None:
            at, last_id = seen
            query = query.where(
                or_(next_actions.c.latest > at, and_(next_actions.c.latest == at, next_actions.c.id > last_id))
            )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        shown = tuple(_action(row) for row in rows[:limit])
        return Page(items=shown, after=_key(shown[-1].latest, shown[-1].id) if len(rows) > limit else None)

    async def coverage(self, placement_id: str) -> CoverageView | None:
        async with self._database.read() as connection:
            known = await connection.scalar(select(placements.c.id).where(placements.c.id == placement_id))
        return None if known is None else await self._coverage(placement_id, untried=1000)

    async def placements(self, after: str | None, limit: int) -> Page[CoverageView]:
        query = select(placements.c.id).order_by(placements.c.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(placements.c.id < after)
        async with self._database.read() as connection:
            ids = (await connection.execute(query)).scalars().all()
        shown = [await self._coverage(placement_id, untried=0) for placement_id in ids[:limit]]
        return Page(items=tuple(shown), after=ids[limit - 1] if len(ids) > limit else None)

    async def _coverage(self, placement_id: str, *, untried: int) -> CoverageView:
        found = await self._placements.coverage(placement_id, untried_limit=max(1, untried))
        listed = found.untried[:untried]
        async with self._database.read() as connection:
            answered = await connection.scalar(
                select(func.count(attempts.c.number_id.distinct()))
                .join(cases, cases.c.id == attempts.c.case_id)
                .where(cases.c.placement_id == placement_id, attempts.c.answered_at.is_not(None))
            )
            rows = (
                await connection.execute(
                    select(numbers.c.id, numbers.c.channel).where(numbers.c.id.in_([one.number_id for one in listed]))
                )
            ).all()
            channels = {row.id: row.channel for row in rows}
        return CoverageView(
            placement_id=placement_id,
            placement=found.placement.name,
            client=found.placement.client,
            cases=found.cases,
            numbers=found.numbers,
            permitted=found.permitted,
            attempted=found.attempted,
            answered=answered or 0,
            refused=found.refused,
            refused_by_rule=found.reasons,
            untried=tuple(
                RefusedNumber(
                    number_id=one.number_id,
                    case_id=one.case_id,
                    e164=one.e164,
                    channel=Channel(channels[one.number_id]),
                    rule=one.reason or one.standing,
                    until=None,
                )
                for one in listed
            ),
        )


class RecordingReading:
    """``api.house.Recordings`` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, case_id: str | None, after: str | None, limit: int) -> Page[RecordingView]:
        async with self._database.read() as connection:
            found = await _recordings(connection, case_id, after, limit + 1)
        return Page(items=tuple(found[:limit]), after=found[limit - 1].id if len(found) > limit else None)

    async def one(self, recording_id: str) -> RecordingView | None:
        async with self._database.read() as connection:
            query = _recording_rows().where(recordings.c.id == recording_id)
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _recording(row)


def _case_rows() -> Any:
    tries = select(func.count()).where(attempts.c.case_id == cases.c.id).scalar_subquery()
    tapes = select(func.count()).where(recordings.c.case_id == cases.c.id).scalar_subquery()
    last = (
        select(outcomes.c.code)
        .where(outcomes.c.case_id == cases.c.id)
        .order_by(outcomes.c.at.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(
            cases,
            persons.c.name.label("debtor"),
            placements.c.name.label("placement"),
            tries.label("tries"),
            tapes.label("tapes"),
            last.label("last_outcome"),
        )
        .join(persons, persons.c.id == cases.c.debtor_person_id)
        .join(placements, placements.c.id == cases.c.placement_id)
    )


def _case_row(row: Any, action: NextActionView | None) -> CaseRow:
    return CaseRow(
        id=row["id"],
        client=row["client"],
        client_ref=row["client_ref"],
        placement_id=row["placement_id"],
        placement=row["placement"],
        debtor=row["debtor"],
        balance=Money(amount=row["balance_amount"], currency=row["balance_currency"]),
        state=row["state"],
        last_outcome=row["last_outcome"],
        attempts=row["tries"],
        recordings=row["tapes"],
        opened_at=row["opened_at"],
        next_action=action,
    )


async def _live_actions(connection: AsyncConnection, case_ids: Sequence[str]) -> dict[str, NextActionView]:
    query = (
        select(next_actions, cases.c.client_ref)
        .join(cases, cases.c.id == next_actions.c.case_id)
        .where(next_actions.c.case_id.in_(case_ids), next_actions.c.state == LIVE)
    )
    return {row["case_id"]: _action(row) for row in (await connection.execute(query)).mappings()}


def _action(row: Any) -> NextActionView:
    return NextActionView(**{each.name: row[each.name] for each in fields(NextActionView)})


async def _numbers(connection: AsyncConnection, case_id: str) -> tuple[NumberView, ...]:
    tries = select(func.count()).where(attempts.c.number_id == numbers.c.id).scalar_subquery()
    query = (
        select(numbers, contacts.c.name.label("contact"), contacts.c.relation, tries.label("tries"))
        .join(contacts, contacts.c.id == numbers.c.contact_id)
        .where(numbers.c.case_id == case_id)
        .order_by(numbers.c.sop_rank, numbers.c.id)
    )
    return tuple(
        NumberView(
            id=row["id"],
            e164=row["e164"],
            channel=Channel(row["channel"]),
            contact=row["contact"],
            relation=row["relation"],
            state=NumberState(row["state"]),
            attempts=row["tries"],
        )
        for row in (await connection.execute(query)).mappings()
    )


async def _attempts(
    connection: AsyncConnection, case_id: str, before: tuple[datetime, str] | None, limit: int
) -> list[AttemptView]:
    concluded = (
        select(outcomes.c.code)
        .where(outcomes.c.call_id == calls.c.id)
        .order_by(outcomes.c.at.desc())
        .limit(1)
        .scalar_subquery()
    )
    booked = (
        select(
            attempts,
            numbers.c.channel,
            calls.c.id.label("call_id"),
            calls.c.recording_id,
            calls.c.sip_status,
            calls.c.cause,
            calls.c.category.label("call_category"),
            calls.c.talk_seconds,
            calls.c.answered_at.label("call_answered_at"),
            calls.c.agent_id.label("call_agent"),
            users.c.display_name.label("agent_name"),
            concluded.label("outcome"),
        )
        .join(numbers, numbers.c.id == attempts.c.number_id)
        .outerjoin(calls, calls.c.attempt_id == attempts.c.id)
        .outerjoin(users, users.c.id == func.coalesce(calls.c.agent_id, attempts.c.agent_id))
        .where(attempts.c.case_id == case_id)
        .order_by(attempts.c.booked_at.desc(), attempts.c.id.desc())
        .limit(limit)
    )
    refused = (
        select(verdicts, numbers.c.channel, numbers.c.e164)
        .join(numbers, numbers.c.id == verdicts.c.number_id)
        .where(verdicts.c.case_id == case_id, verdicts.c.allowed.is_(False))
        .order_by(verdicts.c.at.desc(), verdicts.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        booked = booked.where(_older(attempts.c.booked_at, attempts.c.id, before))
        refused = refused.where(_older(verdicts.c.at, verdicts.c.id, before))
    found = [_attempt(row) for row in (await connection.execute(booked)).mappings()]
    found += [_refused(row) for row in (await connection.execute(refused)).mappings()]
    found.sort(key=lambda one: (one.booked_at, one.id), reverse=True)
    return found[:limit]


def _older(at: Any, key: Any, before: tuple[datetime, str]) -> Any:
    return or_(at < before[0], and_(at == before[0], key < before[1]))


def _attempt(row: Any) -> AttemptView:
    return AttemptView(
        id=row["id"],
        case_id=row["case_id"],
        number_id=row["number_id"],
        e164=row["e164"],
        channel=Channel(row["channel"]),
        state=AttemptState(row["state"]),
        booked_at=row["booked_at"],
        position=row["position"],
        call_id=row["call_id"],
        sip_status=row["sip_status"],
        cause=row["cause"],
        progress=row["call_category"] or row["category"],
        answered=row["call_answered_at"] is not None,
        talk_seconds=row["talk_seconds"] or 0.0,
        agent=row["agent_name"] or row["call_agent"],
        outcome=row["outcome"],
        recording_id=row["recording_id"],
    )


def _refused(row: Any) -> AttemptView:
    return AttemptView(
        id=row["id"],
        case_id=row["case_id"],
        number_id=row["number_id"],
        e164=row["e164"],
        channel=Channel(row["channel"]),
        state=None,
        booked_at=row["at"],
        position=0,
        refusal=RefusalView(
            rule=row["rule"], figure=row["figure"] or "", source=row["source"] or "", until=row["until"]
        ),
    )


def _recording_rows() -> Any:
    return (
        select(recordings, func.coalesce(users.c.display_name, calls.c.agent_id).label("agent"))
        .outerjoin(calls, calls.c.recording_id == recordings.c.id)
        .outerjoin(users, users.c.id == calls.c.agent_id)
    )


async def _recordings(
    connection: AsyncConnection, case_id: str | None, after: str | None, limit: int
) -> list[RecordingView]:
    query = _recording_rows().order_by(recordings.c.id.desc()).limit(limit)
    if case_id is not None:
        query = query.where(recordings.c.case_id == case_id)
    if after is not None:
        query = query.where(recordings.c.id < after)
    return [_recording(row) for row in (await connection.execute(query)).mappings()]


def _recording(row: Any) -> RecordingView:
    vitals = row["vitals"] or {}
    verdict = vitals.get("verdict")
    return RecordingView(
        id=row["id"],
        call_id=row["call_id"],
        case_id=row["case_id"],
        state=row["state"],
        started_at=row["armed_at"],
        seconds=row["seconds"],
        sha256=row["sha256"],
        gaps=sum(gap["seconds"] >= AUDIBLE_GAP_SECONDS for gap in row["gaps"] or ()),
        verdict=verdict if isinstance(verdict, str) else None,
        agent=row["agent"],
    )


def _entry(entry: StoredEntry) -> TimelineEntry:
    facts = entry.facts
    zh = en = ""
    if entry.kind == "action":
        zh, en = facts["reason_zh"], facts["reason_en"]
    elif entry.kind == "payment":
        zh = en = f"{facts['currency']} {facts['amount']} · {facts['paid_on']}"
    elif entry.kind == "outcome":
        zh = en = " · ".join(str(part) for part in (facts["code"], facts["promised_on"], facts["note"]) if part)
    elif entry.kind == "number":
        zh = en = f"{facts['old']} → {facts['new']} · {facts['reason']}"
    actor = facts.get("agent_id")
    return TimelineEntry(at=entry.at, kind=entry.kind, subject_id=entry.id, summary_zh=zh, summary_en=en, actor=actor)


def _key(at: datetime, key: str) -> str:
    return f"{(at - _EPOCH) // timedelta(microseconds=1)}.{key}"


def _key_of(view: AttemptView) -> str:
    return _key(view.booked_at, view.id)


def _instant_key(after: str | None) -> tuple[datetime, str] | None:
    if after is None:
        return None
    micros, dot, key = after.partition(".")
    if not dot or not micros.isascii() or not micros.isdecimal() or len(micros) > 17:
        raise BadInput("is not a key of this list", field="after", remedy="send the `after` of the page before")
    return _EPOCH + timedelta(microseconds=int(micros)), key
