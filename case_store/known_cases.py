"""What the store knows already of a batch of a placement's rows: cases, persons, debts. One query a kind, never one a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store.intake.placement import SELF
from case_store.model import Channel
from case_store.tables import balances, cases, contacts, debts, numbers, persons


@dataclass(slots=True, eq=False)
class KnownCase:
    id: str
    debtor_id: str
    debt_id: str
    identity_key: str | None
    debtor_name: str
    contacts: dict[tuple[str, str], tuple[str, str]]  # (relation, name) -> (contact id, person id)
    numbers: set[tuple[str, str]]
    balances: dict[tuple[str, str], Any]
    positions: dict[str, int]  # channel -> how many numbers it has
    own_contact: tuple[str, str] | None = None  # the debtor as a contact of the case
    fresh: bool = False  # made by this batch
    first_row: int = 0  # the row that made it
    gained: bool = False
    region: str = ""  # of a fresh one: its address
    lines: list[tuple[int, tuple[str, Channel, str]]] = field(
        default_factory=list
    )  # sop rank → number, channel, region


async def known_cases(connection: AsyncConnection, client: str, refs: set[str]) -> dict[str, KnownCase]:
    known: dict[str, KnownCase] = {}
    by_id: dict[str, KnownCase] = {}
    rows = await connection.execute(
        select(
            cases.c.id,
            cases.c.client_ref,
            cases.c.debtor_person_id,
            cases.c.debt_id,
            persons.c.identity_key,
            persons.c.name,
        )
        .join(persons, persons.c.id == cases.c.debtor_person_id)
        .where(cases.c.client == client, cases.c.client_ref.in_(refs), cases.c.state != "closed")
    )
    for row in rows:
        known[row.client_ref] = by_id[row.id] = KnownCase(
            id=row.id,
            debtor_id=row.debtor_person_id,
            debt_id=row.debt_id,
            identity_key=row.identity_key,
            debtor_name=row.name,
            contacts={},
            numbers=set(),
            balances={},
            positions={},
        )
    if by_id:
        for contact in await connection.execute(select(contacts).where(contacts.c.case_id.in_(by_id))):
            by_id[contact.case_id].contacts[contact.relation, contact.name] = contact.id, contact.person_id
            if contact.relation == SELF:
                by_id[contact.case_id].own_contact = by_id[contact.case_id].own_contact or (
                    contact.id,
                    contact.person_id,
                )
        for line in await connection.execute(
            select(numbers.c.case_id, numbers.c.e164, numbers.c.extension, numbers.c.channel).where(
                numbers.c.case_id.in_(by_id)
            )
        ):
            by_id[line.case_id].numbers.add((line.e164, line.extension))
            known_places = by_id[line.case_id].positions
            known_places[line.channel] = known_places.get(line.channel, 0) + 1
        for owed in await connection.execute(select(balances).where(balances.c.case_id.in_(by_id))):
            by_id[owed.case_id].balances[owed.label, owed.currency] = owed.amount
    return known


async def known_people(connection: AsyncConnection, keys: set[str]) -> dict[str, str]:
    if not keys:
        return {}
    rows = await connection.execute(
        select(persons.c.identity_key, persons.c.id).where(persons.c.identity_key.in_(keys))
    )
    return {row.identity_key: row.id for row in rows}


async def known_debts(connection: AsyncConnection, client: str, refs: set[str]) -> dict[str, tuple[str, str]]:
    rows = await connection.execute(
        select(debts.c.account_ref, debts.c.id, debts.c.person_id).where(
            debts.c.client == client, debts.c.account_ref.in_(refs)
        )
    )
    return {row.account_ref: (row.id, row.person_id) for row in rows}
