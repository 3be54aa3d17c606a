"""One placement file on its way in, a batch at a time: what is good becomes rows, what is bad is handed back."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from case_store import sweep
from case_store.bulk import ids, insert_rows
from case_store.database import Unit
from case_store.intake.errors import Rejection
from case_store.intake.identity import KeyIdentity
from case_store.intake.placement import SELF, ParsedNumber, ParsedPlacement, ParsedRow, RefusedRow
from case_store.known_cases import KnownCase, known_cases, known_debts, known_people
from case_store.model import Channel
from case_store.placement_report import Arrival, FirstAction, ImportReport, RowFate
from case_store.tables import (
    balances,
    campaign_placements,
    campaigns,
    cases,
    contacts,
    debts,
    next_actions,
    numbers,
    persons,
    placement_files,
    placements,
)
from config.identity import new_id

_KEPT_REJECTIONS = 1000  # of an earlier load's report, in the database; the reject file has them all


# What a load writes, table by table, each after those its keys point to.
_COLUMNS: dict[Any, tuple[str, ...]] = {
    persons: ("id", "identity_key", "name", "created_at"),
    debts: ("id", "person_id", "client", "account_ref"),
    cases: (
        *("id", "placement_id", "client", "client_ref", "debtor_person_id", "debt_id", "balance_amount"),
        *("balance_currency", "region", "address", "opened_at", "state"),
    ),
    balances: ("id", "case_id", "debt_id", "label", "amount", "currency", "as_of"),
    contacts: ("id", "case_id", "person_id", "name", "relation"),
    numbers: (
        *("id", "case_id", "contact_id", "person_id", "e164", "raw", "extension", "channel", "position", "sop_rank"),
        *("region", "state", "added_at"),
    ),
    next_actions: (
        *("id", "case_id", "action", "earliest", "latest", "owner", "escalation", "reason_en", "reason_zh"),
        *("number_id", "agent_id", "look_at", "state", "set_at"),
    ),
}


class Loading:
    """One file on its way in. Everything it looks up or writes, it does for a whole batch at once."""

    def __init__(
        self,
        unit: Unit,
        parsed: ParsedPlacement,
        now: datetime,
        plan: FirstAction,
        identity: KeyIdentity | None,
        each: Callable[[RowFate], None] | None,
    ) -> None:
        self._each = each
        self._identity = identity
        self._unit = unit
        self._parsed = parsed
        self._client = parsed.client.name
        self._now = now
        ranks = {channel: place for place, channel in enumerate(parsed.client.sop_order)}
        self._ranks = {channel: ranks.get(channel.value, len(ranks)) * 1000 for channel in Channel}
        self._plan = plan
        self._placement_id = ""
        self._ids = {prefix: ids(prefix) for prefix in ("per", "debt", "case", "bal", "num", "con", "act")}
        self._out: dict[Any, list[tuple[Any, ...]]] = {table: [] for table in _COLUMNS}
        self._written: Counter[Any] = Counter()
        self.rows = 0
        self._cases = self._numbers = self._existing = 0
        self._rejected_rows: list[Rejection] = []
        self._rejected_fields: list[Rejection] = []
        self._returned: list[tuple[tuple[str, ...], tuple[Rejection, ...]]] = []
        self._reopened: list[str] = []

    async def take(self, batch: list[ParsedRow | RefusedRow]) -> None:
        if not self._placement_id:
            await self._open_placement()
        self.rows += len(batch)
        keyed = [self._keyed(row) for row in batch]
        good = [row for row in keyed if isinstance(row, ParsedRow)]
        known = await known_cases(self._unit.connection, self._client, {row.case_ref for row in good})
        people = await known_people(self._unit.connection, {row.identity_key for row in good if row.identity_key})
        owed = await known_debts(self._unit.connection, self._client, {row.account_ref for row in good})
        fresh: list[KnownCase] = []
        for row in keyed:
            if isinstance(row, RefusedRow):
                self._reject(row, row.reasons)
                continue
            case = known.get(row.case_ref)
            if case is None:
                if not row.balances:
                    self._reject(row, (_missing_balance(row),))
                    continue
                case = self._new_case(row, people, owed)
                known[row.case_ref] = case
                fresh.append(case)
            else:
                problem = _disagreement(row, case)
                if problem is not None:
                    self._reject(row, (problem,))
                    continue
                self._existing += 1
            self._add_balances(row, case)
            before = self._numbers
            self._add_numbers(row, case)
            if self._each is not None:
                fate = "new" if fresh and case is fresh[-1] and case.first_row == row.row else "joins"
                self._each(
                    RowFate(
                        row=row.row,
                        case_ref=row.case_ref,
                        fate=fate,
                        numbers=self._numbers - before,
                        reasons=row.refused,
                    )
                )
            if row.refused:
                self._rejected_fields += row.refused
                self._returned.append((row.cells, row.refused))
        for case in fresh:
            self._first_action(case)
        await self._flush()
        self._reopened += [case.id for case in known.values() if case.gained and not case.fresh]

    def _keyed(self, row: ParsedRow | RefusedRow) -> ParsedRow | RefusedRow:
        if self._identity is None or isinstance(row, RefusedRow) or row.identity_key is None:
            return row
        return replace(row, identity_key=self._identity(row.identity_key))

    def report(self, dry_run: bool) -> ImportReport:
        return ImportReport(
            placement_id=self._placement_id,
            name=self._parsed.name,
            client=self._client,
            rows=self.rows,
            cases=self._cases,
            numbers=self._numbers,
            existing=self._existing,
            rejected_rows=tuple(sorted(self._rejected_rows, key=lambda one: one.row)),
            rejected_fields=tuple(sorted(self._rejected_fields, key=lambda one: one.row)),
            already_loaded=False,
            dry_run=dry_run,
            unknown_columns=self._parsed.layout.unknown,
            header=self._parsed.table.header,
            returned=tuple(sorted(self._returned, key=lambda one: one[1][0].row)),
        )

    async def finish(self, report: ImportReport) -> None:
        if not self._placement_id:
            await self._open_placement()
        connection = self._unit.connection
        await connection.execute(
            insert(placement_files).values(
                id=new_id("file"),
                placement_id=self._placement_id,
                client=self._client,
                sha256=self._parsed.sha256,
                kind="placement",
                name=self._parsed.table.path.name,
                loaded_at=self._now,
                report={
                    "name": report.name,
                    "rows": report.rows,
                    "cases": report.cases,
                    "numbers": report.numbers,
                    "existing": report.existing,
                    "rejected_rows": [asdict(one) for one in report.rejected_rows[:_KEPT_REJECTIONS]],
                    "rejected_fields": [asdict(one) for one in report.rejected_fields[:_KEPT_REJECTIONS]],
                    "unknown_columns": list(report.unknown_columns),
                },
            )
        )
        await self._unit.refresh_statistics({table.name: rows for table, rows in self._written.items()})
        running = await connection.execute(
            select(campaign_placements.c.campaign_id)
            .join(campaigns, campaigns.c.id == campaign_placements.c.campaign_id)
            .where(campaign_placements.c.placement_id == self._placement_id, campaigns.c.state != "finished")
        )
        for campaign_id in running.scalars().all():
            await sweep.join_placement(self._unit, campaign_id, self._placement_id, self._now)
        for case_id in self._reopened:
            await sweep.reopen_case(self._unit, case_id, self._now, only_done=True)
        self._unit.emit(
            "placement.loaded",
            self._now,
            subject_id=self._placement_id,
            name=report.name,
            rows=report.rows,
            cases=report.cases,
            numbers=report.numbers,
            rejected_rows=report.rejected_row_count,
            rejected_fields=len(report.rejected_fields),
        )

    async def _open_placement(self) -> None:
        connection = self._unit.connection
        found = await connection.scalar(
            select(placements.c.id).where(placements.c.client == self._client, placements.c.name == self._parsed.name)
        )
        if found is None:
            found = new_id("plc")
            await connection.execute(
                insert(placements).values(
                    id=found,
                    name=self._parsed.name,
                    client=self._client,
                    received_at=self._now,
                    source_sha256=self._parsed.sha256,
                )
            )
        self._placement_id = found

    def _new_case(self, row: ParsedRow, people: dict[str, str], owed: dict[str, tuple[str, str]]) -> KnownCase:
        debt = owed.get(row.account_ref)
        # The account says who the debtor is when no identity number does: an account has one holder.
        person_id = people.get(row.identity_key) if row.identity_key else (debt[1] if debt else None)
        if person_id is None:
            person_id = self._new_person(row.debtor_name, row.identity_key)
            if row.identity_key:
                people[row.identity_key] = person_id
        if debt is None:
            debt = next(self._ids["debt"]), person_id
            owed[row.account_ref] = debt
            self._out[debts].append((debt[0], person_id, self._client, row.account_ref))
        case_id = next(self._ids["case"])
        first = row.balances[0][1]
        self._out[cases].append(
            (
                case_id,
                self._placement_id,
                self._client,
                row.case_ref,
                person_id,
                debt[0],
                first.amount,
                first.currency,
                row.region,
                row.address,
                self._now,
                "open",
            )
        )
        self._cases += 1
        return KnownCase(
            id=case_id,
            debtor_id=person_id,
            debt_id=debt[0],
            identity_key=row.identity_key,
            debtor_name=row.debtor_name,
            contacts={},
            numbers=set(),
            balances={},
            positions={},
            fresh=True,
            first_row=row.row,
            region=row.region,
        )

    def _new_person(self, name: str, identity_key: str | None) -> str:
        person_id = next(self._ids["per"])
        self._out[persons].append((person_id, identity_key, name, self._now))
        return person_id

    def _add_balances(self, row: ParsedRow, case: KnownCase) -> None:
        for label, money in row.balances:
            if (label, money.currency) in case.balances:
                continue
            case.balances[label, money.currency] = money.amount
            self._out[balances].append(
                (next(self._ids["bal"]), case.id, case.debt_id, label, money.amount, money.currency, self._now)
            )

    def _add_numbers(self, row: ParsedRow, case: KnownCase) -> None:
        out, fresh_id = self._out[numbers], self._ids["num"]
        for number in row.numbers:
            line = number.line
            key = (line.e164, line.extension or "")
            if key in case.numbers:
                continue
            case.numbers.add(key)
            case.gained = True
            contact_id, person_id = self._contact(case, number, row.debtor_name)
            channel = number.channel
            position = case.positions.get(channel, 0)
            case.positions[channel] = position + 1
            rank = self._ranks[channel] + position
            case.lines.append((rank, (line.e164, channel, line.region)))
            out.append(
                (
                    next(fresh_id),
                    case.id,
                    contact_id,
                    person_id,
                    line.e164,
                    number.raw,
                    key[1],
                    channel.value,
                    position,
                    rank,
                    line.region,
                    "live",
                    self._now,
                )
            )
            self._numbers += 1

    def _contact(self, case: KnownCase, number: ParsedNumber, debtor_name: str) -> tuple[str, str]:
        own = number.channel.is_debtors_own
        if own:
            if case.own_contact is not None:
                return case.own_contact
            key = (SELF, case.debtor_name or debtor_name)
        else:
            key = (number.relation, number.contact_name)
        found = case.contacts.get(key)
        if found is None:
            person_id = case.debtor_id if own else self._new_person(number.contact_name, None)
            found = next(self._ids["con"]), person_id
            case.contacts[key] = found
            self._out[contacts].append((found[0], case.id, person_id, key[1], key[0]))
        if own:
            case.own_contact = found
        return found

    def _first_action(self, case: KnownCase) -> None:
        lines = tuple(line for _, line in sorted(case.lines, key=lambda each: each[0]))
        first = self._plan(Arrival(case.id, case.region, lines, self._now))
        action = first.action
        self._out[next_actions].append(
            (
                next(self._ids["act"]),
                case.id,
                action.action,
                action.earliest,
                action.latest,
                action.owner,
                action.escalation,
                action.reason_en,
                action.reason_zh,
                action.number_id,
                action.agent_id,
                first.look_at,
                "live",
                self._now,
            )
        )

    def _reject(self, row: ParsedRow | RefusedRow, reasons: tuple[Rejection, ...]) -> None:
        self._rejected_rows += reasons
        self._returned.append((row.cells, reasons))
        if self._each is not None:
            ref = row.case_ref if isinstance(row, ParsedRow) else ""
            self._each(RowFate(row=row.row, case_ref=ref, fate="refused", numbers=0, reasons=reasons))

    async def _flush(self) -> None:
        for table, rows in self._out.items():
            if rows:
                await insert_rows(self._unit, table, _COLUMNS[table], rows)
                self._written[table] += len(rows)
                rows.clear()


def _spelt(name: str) -> str:
    """A name without what people vary: width, case, blanks and points."""
    return re.sub(r"[\s·.\-]", "", unicodedata.normalize("NFKC", name)).casefold()


def _missing_balance(row: ParsedRow) -> Rejection:
    return Rejection(
        row=row.row,
        field="balance",
        problem="no balance is given",
        shape="empty text",
        remedy="give the amount that is owed",
    )


def _disagreement(row: ParsedRow, case: KnownCase) -> Rejection | None:
    if row.identity_key and case.identity_key and row.identity_key != case.identity_key:
        return Rejection(
            row=row.row,
            field="case_ref",
            problem="this case number belongs to another person already",
            shape="two identity numbers",
            remedy="correct the case number or the identity number",
        )
    same_identity = row.identity_key is not None and row.identity_key == case.identity_key
    if (
        row.debtor_name
        and case.debtor_name
        and not same_identity
        and _spelt(row.debtor_name) != _spelt(case.debtor_name)
    ):
        return Rejection(
            row=row.row,
            field="name",
            problem="this case number belongs to a debtor of another name already",
            shape="two names",
            remedy="correct the case number or the name, or give the identity number that both rows share",
        )
    for label, money in row.balances:
        known = case.balances.get((label, money.currency))
        if known is not None and known != money.amount:
            return Rejection(
                row=row.row,
                field=label,
                problem="this case has another balance in the same currency already",
                shape="two amounts",
                remedy="change a balance with an update file, or correct the row",
            )
    return None
