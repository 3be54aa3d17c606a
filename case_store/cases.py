"""Cases as people look at them: lists by page, one case with its numbers, and its timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from case_store.database import Database
from case_store.model import Case, CaseState, Channel, Contact, Money, NumberState, PhoneNumber
from case_store.tables import (
    balances,
    calls,
    cases,
    contacts,
    next_actions,
    number_history,
    numbers,
    outcomes,
    payments,
    persons,
    recordings,
    verdicts,
)
from config.errors import BadInput


class UnknownCase(BadInput):
    error_id = "unknown-case"


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseLine:
    """A case in a list."""

    case: Case
    state: CaseState
    state_reason: str | None
    debtor_name: str
    last_touched_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CasePage:
    """Everything a person sees of one case besides its timeline."""

    line: CaseLine
    address: str | None
    contacts: tuple[Contact, ...]
    numbers: tuple[PhoneNumber, ...]
    balances: tuple[tuple[str, Money], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineEntry:
    """``kind``: call, refusal, outcome, action, recording, number or payment."""

    at: datetime
    kind: str
    id: str
    facts: dict[str, Any]


class Cases:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        *,
        placement_id: str | None = None,
        state: CaseState | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> tuple[CaseLine, ...]:
        """By id; ``after`` is the last id seen."""
        query = (
            select(cases, persons.c.name.label("debtor_name"))
            .join(persons, persons.c.id == cases.c.debtor_person_id)
            .order_by(cases.c.id)
            .limit(limit)
        )
        if placement_id is not None:
            query = query.where(cases.c.placement_id == placement_id)
        if state is not None:
            query = query.where(cases.c.state == state.value)
        if after is not None:
            query = query.where(cases.c.id > after)
        async with self._database.read() as connection:
            return tuple(_line(row) for row in await connection.execute(query))

    async def by_ref(self, client: str, client_ref: str) -> str | None:
        """The id of the newest case with the bank's own number."""
        async with self._database.read() as connection:
            found: str | None = await connection.scalar(
                select(cases.c.id)
                .where(cases.c.client == client, cases.c.client_ref == client_ref)
                .order_by(cases.c.id.desc())
                .limit(1)
            )
            return found

    async def page(self, case_id: str) -> CasePage:
        """Raises ``UnknownCase``."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(cases, persons.c.name.label("debtor_name"))
                    .join(persons, persons.c.id == cases.c.debtor_person_id)
                    .where(cases.c.id == case_id)
                )
            ).first()
            if row is None:
                raise UnknownCase("there is no such case", field="case_id", remedy="take the id from the list of cases")
            people = await connection.execute(
                select(contacts).where(contacts.c.case_id == case_id).order_by(contacts.c.id)
            )
            lines = await connection.execute(
                select(numbers).where(numbers.c.case_id == case_id).order_by(numbers.c.sop_rank, numbers.c.id)
            )
            owed = await connection.execute(
                select(balances).where(balances.c.case_id == case_id).order_by(balances.c.id)
            )
            return CasePage(
                line=_line(row),
                address=row.address,
                contacts=tuple(
                    Contact(id=one.id, case_id=case_id, person_id=one.person_id, name=one.name, relation=one.relation)
                    for one in people
                ),
                numbers=tuple(as_number(one) for one in lines),
                balances=tuple((one.label, Money(amount=one.amount, currency=one.currency)) for one in owed),
            )

    async def number(self, number_id: str) -> PhoneNumber:
        async with self._database.read() as connection:
            row = (await connection.execute(select(numbers).where(numbers.c.id == number_id))).first()
        if row is None:
            raise BadInput("there is no such number", field="number_id", remedy="take the id from a case")
        return as_number(row)

    async def timeline(
        self, case_id: str, *, before: datetime | None = None, limit: int = 100
    ) -> tuple[TimelineEntry, ...]:
        """What happened on a case, newest first, at most ``limit`` entries older than ``before``."""
        sources: tuple[tuple[str, Any, Any, tuple[str, ...]], ...] = (
            (
                "call",
                calls,
                calls.c.placed_at,
                ("number_id", "state", "sip_status", "cause", "category", "talk_seconds", "recording_id", "agent_id"),
            ),
            ("outcome", outcomes, outcomes.c.at, ("code", "agent_id", "call_id", "number_id", "promised_on", "note")),
            (
                "action",
                next_actions,
                next_actions.c.set_at,
                ("action", "earliest", "latest", "owner", "state", "escalation", "reason_en", "reason_zh"),
            ),
            ("recording", recordings, recordings.c.armed_at, ("call_id", "state", "seconds", "sha256")),
            ("payment", payments, payments.c.loaded_at, ("amount", "currency", "paid_on", "reverses")),
        )
        entries: list[TimelineEntry] = []
        async with self._database.read() as connection:
            for kind, table, at, names in sources:
                query = select(table).where(table.c.case_id == case_id)
                entries += await self._entries(connection, kind, query, at, names, before, limit)
            refused = select(verdicts).where(verdicts.c.case_id == case_id, verdicts.c.allowed.is_(False))
            entries += await self._entries(
                connection,
                "refusal",
                refused,
                verdicts.c.at,
                ("number_id", "rule", "figure", "source", "until"),
                before,
                limit,
            )
            moved = (
                select(number_history)
                .join(numbers, numbers.c.id == number_history.c.number_id)
                .where(numbers.c.case_id == case_id)
            )
            entries += await self._entries(
                connection, "number", moved, number_history.c.at, ("number_id", "old", "new", "reason"), before, limit
            )
        entries.sort(key=lambda entry: (entry.at, entry.id), reverse=True)
        return tuple(entries[:limit])

    @staticmethod
    async def _entries(
        connection: Any, kind: str, query: Any, at: Any, names: tuple[str, ...], before: datetime | None, limit: int
    ) -> Sequence[TimelineEntry]:
        if before is not None:
            query = query.where(at < before)
        rows = (await connection.execute(query.order_by(at.desc()).limit(limit))).mappings()
        return [
            TimelineEntry(at=row[at.name], kind=kind, id=row["id"], facts={name: row[name] for name in names})
            for row in rows
        ]


def _line(row: Any) -> CaseLine:
    return CaseLine(
        case=as_case(row),
        state=CaseState(row.state),
        state_reason=row.state_reason,
        debtor_name=row.debtor_name,
        last_touched_at=row.last_touched_at,
    )


def as_case(row: Any) -> Case:
    return Case(
        id=row.id,
        placement_id=row.placement_id,
        client_ref=row.client_ref,
        debtor_person_id=row.debtor_person_id,
        debt_id=row.debt_id,
        balance=Money(amount=row.balance_amount, currency=row.balance_currency),
        region=row.region,
        opened_at=row.opened_at,
    )


def as_number(row: Any) -> PhoneNumber:
    return PhoneNumber(
        id=row.id,
        case_id=row.case_id,
        contact_id=row.contact_id,
        e164=row.e164,
        raw=row.raw,
        channel=Channel(row.channel),
        position=row.position,
        region=row.region,
        extension=row.extension or None,
        state=NumberState(row.state),
    )
