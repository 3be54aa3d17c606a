"""Placements in the store: loading a parsed file, and proving that every number of it was worked (no cherry-picking).

One transaction a file: what is good goes in, what is bad comes back. Loading the same bytes again changes nothing;
loading a corrected file adds only what is missing. Rows are taken in batches, so memory stays flat.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import func, insert, select, update

from case_store import sweep
from case_store.agenda import action_row
from case_store.bulk import ids, insert_rows
from case_store.database import Database, Unit
from case_store.intake.errors import FileRefused, Rejection
from case_store.intake.identity import MARK, KeyIdentity
from case_store.intake.placement import SELF, ParsedNumber, ParsedPlacement, ParsedRow, RefusedRow, write_rejects
from case_store.model import NextAction, Placement, StoredAction
from case_store.tables import (
    attempts,
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
    sweep_cases,
    sweep_tries,
)
from config.errors import BadInput
from config.identity import new_id

BATCH = 1000
_KEPT_REJECTIONS = 1000  # of an earlier load's report, in the database; the reject file has them all


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """``rejected_rows`` went in not at all; ``rejected_fields`` are fields of rows that did."""

    placement_id: str
    name: str
    client: str
    rows: int
    cases: int  # made by this load
    numbers: int  # made by this load
    existing: int  # rows whose case was there already
    rejected_rows: tuple[Rejection, ...]
    rejected_fields: tuple[Rejection, ...]
    already_loaded: bool
    dry_run: bool
    unknown_columns: tuple[str, ...]
    header: tuple[str, ...] = field(repr=False)
    returned: tuple[tuple[tuple[str, ...], tuple[Rejection, ...]], ...] = field(repr=False)

    @property
    def rejected_row_count(self) -> int:
        return len({one.row for one in self.rejected_rows})

    def write_rejects(self, path: Path) -> None:
        """The returned rows as a file to correct and load again."""
        write_rejects(path, self.header, self.returned)


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFate:
    """What becomes of one row. ``fate``: new (a case is made), joins (its case was there), refused."""

    row: int
    case_ref: str
    fate: str
    numbers: int  # that go in with it
    reasons: tuple[Rejection, ...]  # of a refused row, or of its fields that do not go in


FirstAction = Callable[[str, bool, datetime], NextAction]
"""(case id, has a number to sweep, now) → the case's first next action."""


def first_action(case_id: str, has_number: bool, now: datetime) -> NextAction:
    """NEW: sweep within two working days; ALL_INVALID: look-up within five (SOP.md). Weekends only; the workflow knows holidays."""
    if has_number:
        return NextAction(
            case_id=case_id,
            action="sweep",
            earliest=now,
            latest=_working_days_on(now, 2),
            owner="dialer",
            escalation="D+3 unswept → team leader",
            reason_en="New placement: every permitted number is tried once, in SOP order",
            reason_zh="新转案件：按电催顺序对每个可拨号码首催一次",
        )
    return NextAction(
        case_id=case_id,
        action="look-up",
        earliest=now,
        latest=_working_days_on(now, 5),
        owner="data-clerk",
        escalation="nothing found → registry or visit",
        reason_en="No valid number on file: look one up from lawful sources",
        reason_zh="号码全无效：从合法来源查找电话",
    )


def _working_days_on(now: datetime, days: int) -> datetime:
    while days:
        now += timedelta(days=1)
        days -= now.weekday() < 5
    return now


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberCoverage:
    """``standing``: attempted, refused (with its rule), pending, or skipped (with its reason)."""

    case_id: str
    number_id: str
    e164: str
    standing: str
    reason: str | None
    source: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """``permitted`` = attempted + pending: what policy lets be called, whether it was by now or not."""

    placement: Placement
    cases: int
    numbers: int
    attempted: int
    pending: int
    refused: int
    skipped: int
    reasons: dict[str, int]
    untried: tuple[NumberCoverage, ...]

    @property
    def permitted(self) -> int:
        return self.attempted + self.pending

    @property
    def share(self) -> float:
        """Attempted of permitted, 0 to 1."""
        return self.attempted / self.permitted if self.permitted else 1.0


class Placements:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(
        self,
        parsed: ParsedPlacement,
        now: datetime,
        *,
        plan: FirstAction = first_action,
        identity: KeyIdentity | None = None,
        strict: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        each: Callable[[RowFate], None] | None = None,
    ) -> ImportReport:
        """Put a file's good rows in, in one transaction. ``progress`` is told the rows done, ``each`` every row's fate.

        ``identity`` keys the digests of identity numbers (every door passes it; without it they stay plain).

        Raises ``FileRefused`` when ``strict`` and anything at all is wrong; then nothing went in.
        """
        try:
            async with self._database.write() as unit:
                await unit.lock([f"intake:{parsed.client.name}"])
                earlier = await _earlier_load(unit, parsed)
                if earlier is not None:
                    return earlier
                if identity is not None:
                    await _key_plain_digests(unit, identity)
                loading = _Loading(unit, parsed, now, plan, identity, each)
                for batch in _batches(parsed.rows(), BATCH):
                    await loading.take(batch)
                    if progress is not None:
                        progress(loading.rows)
                report = loading.report(dry_run)
                if strict and (report.rejected_rows or report.rejected_fields):
                    first = (report.rejected_rows or report.rejected_fields)[0]
                    raise FileRefused(
                        f"row {first.row}, {first.field}: {first.problem}; "
                        f"{report.rejected_row_count} rows and {len(report.rejected_fields)} fields are bad",
                        field="file",
                        shape=first.shape,
                        remedy="correct them all, or load without --strict",
                    )
                if dry_run:
                    raise _DryRun(report)
                await loading.finish(report)
        except _DryRun as done:
            return done.report
        return report

    async def list(self) -> tuple[Placement, ...]:
        async with self._database.read() as connection:
            rows = await connection.execute(select(placements).order_by(placements.c.received_at, placements.c.id))
            return tuple(Placement(**row) for row in rows.mappings())

    async def get(self, placement_id: str) -> Placement:
        found = [one for one in await self.list() if placement_id in (one.id, one.name)]
        if not found:
            raise BadInput("there is no such placement", field="placement", remedy="list the placements and name one")
        return found[0]

    async def coverage(self, placement_id: str, *, untried_limit: int = 1000) -> Coverage:
        """What became of each (case, number) pair of a placement, over all its sweeps."""
        placement = await self.get(placement_id)
        attempted = (
            select(attempts.c.number_id)
            .where(
                attempts.c.number_id == numbers.c.id,
                attempts.c.state.in_(("done", "lost")),
                attempts.c.category.is_(None) | attempts.c.category.not_in(sorted(sweep.SAYS_NOTHING)),
            )
            .exists()
        )
        # The latest word of any sweep about the number.
        query = (
            select(
                numbers.c.id,
                numbers.c.case_id,
                numbers.c.e164,
                numbers.c.state,
                cases.c.state.label("case_state"),
                attempted.label("attempted"),
                sweep_tries.c.state.label("try_state"),
                sweep_tries.c.rule,
                sweep_tries.c.source,
                sweep_cases.c.state.label("sweep_state"),
                sweep_cases.c.reason,
            )
            .join(cases, cases.c.id == numbers.c.case_id)
            .outerjoin(sweep_cases, sweep_cases.c.case_id == cases.c.id)
            .outerjoin(
                sweep_tries,
                (sweep_tries.c.number_id == numbers.c.id) & (sweep_tries.c.campaign_id == sweep_cases.c.campaign_id),
            )
            .where(cases.c.placement_id == placement.id)
            .order_by(numbers.c.case_id, numbers.c.sop_rank, numbers.c.id)
        )
        standing: dict[str, NumberCoverage] = {}
        async with self._database.read() as connection:
            total = await connection.scalar(
                select(func.count()).select_from(cases).where(cases.c.placement_id == placement.id)
            )
            for row in await connection.execute(query):
                seen = standing_of_pair(row)
                if row.id not in standing or standing[row.id].standing != "attempted":
                    standing[row.id] = seen
        counts = Counter(one.standing for one in standing.values())
        untried = [one for one in standing.values() if one.standing != "attempted"]
        return Coverage(
            placement=placement,
            cases=total or 0,
            numbers=len(standing),
            attempted=counts["attempted"],
            pending=counts["pending"],
            refused=counts["refused"],
            skipped=counts["skipped"],
            reasons=dict(Counter(one.reason or "not yet" for one in untried)),
            untried=tuple(untried[:untried_limit]),
        )


def standing_of_pair(row: Any) -> NumberCoverage:
    standing, reason, source = "pending", None, None
    if row.attempted:
        standing = "attempted"
    elif row.try_state == "refused":
        standing, reason, source = "refused", row.rule, row.source
    elif row.state != "live":
        standing, reason = "skipped", f"number-{row.state}"
    elif row.case_state != "open":
        standing, reason = "skipped", f"case-{row.case_state}"
    elif row.sweep_state == "stopped":
        standing, reason = "skipped", row.reason or "sweep-stopped"
    elif row.try_state == "put-off":
        reason = "trunk-trouble"
    return NumberCoverage(
        case_id=row.case_id, number_id=row.id, e164=row.e164, standing=standing, reason=reason, source=source
    )


class _DryRun(Exception):  # not an error: it rolls the rehearsal back
    def __init__(self, report: ImportReport) -> None:
        super().__init__()
        self.report = report


async def _key_plain_digests(unit: Unit, identity: KeyIdentity) -> None:
    """Digests of an earlier version get their key, once; the index finds them (hex sorts before the mark)."""
    while True:
        rows = (
            await unit.connection.execute(
                select(persons.c.id, persons.c.identity_key).where(persons.c.identity_key < MARK).limit(BATCH)
            )
        ).all()
        for row in rows:
            await unit.connection.execute(
                update(persons).where(persons.c.id == row.id).values(identity_key=identity(row.identity_key))
            )
        if len(rows) < BATCH:
            return


async def _earlier_load(unit: Unit, parsed: ParsedPlacement) -> ImportReport | None:
    row = (
        await unit.connection.execute(
            select(placement_files).where(
                placement_files.c.client == parsed.client.name,
                placement_files.c.kind == "placement",
                placement_files.c.sha256 == parsed.sha256,
            )
        )
    ).first()
    if row is None:
        return None
    kept = row.report
    return ImportReport(
        placement_id=row.placement_id,
        name=kept["name"],
        client=parsed.client.name,
        rows=kept["rows"],
        cases=kept["cases"],
        numbers=kept["numbers"],
        existing=kept["existing"],
        rejected_rows=tuple(Rejection(**one) for one in kept["rejected_rows"]),
        rejected_fields=tuple(Rejection(**one) for one in kept["rejected_fields"]),
        already_loaded=True,
        dry_run=False,
        unknown_columns=tuple(kept["unknown_columns"]),
        header=parsed.table.header,
        returned=(),
    )


@dataclass(slots=True, eq=False)
class _KnownCase:
    id: str
    debtor_id: str
    debt_id: str
    identity_key: str | None
    debtor_name: str
    contacts: dict[tuple[str, str], tuple[str, str]]  # (relation, name) -> (contact id, person id)
    numbers: set[tuple[str, str]]
    balances: dict[tuple[str, str], Any]
    positions: Counter[str]
    fresh: bool = False  # made by this batch
    first_row: int = 0  # the row that made it
    gained: bool = False


class _Loading:
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
        self._plan = plan
        self._ranks = {channel: place for place, channel in enumerate(parsed.client.sop_order)}
        self._placement_id = ""
        self._ids = {prefix: ids(prefix) for prefix in ("per", "debt", "case", "bal", "num", "con", "act")}
        self._out: dict[Any, list[dict[str, Any]]] = {}
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
        good: list[ParsedRow] = []
        for row in batch:
            if isinstance(row, RefusedRow):
                self._reject(row, row.reasons)
            elif self._identity is not None and row.identity_key is not None:
                good.append(replace(row, identity_key=self._identity(row.identity_key)))
            else:
                good.append(row)
        known = await self._known_cases({row.case_ref for row in good})
        people = await self._known_people({row.identity_key for row in good if row.identity_key})
        owed = await self._known_debts({row.account_ref for row in good})
        fresh: list[_KnownCase] = []
        for row in good:
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

    async def _known_cases(self, refs: set[str]) -> dict[str, _KnownCase]:
        connection = self._unit.connection
        known: dict[str, _KnownCase] = {}
        by_id: dict[str, _KnownCase] = {}
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
            .where(cases.c.client == self._client, cases.c.client_ref.in_(refs), cases.c.state != "closed")
        )
        for row in rows:
            known[row.client_ref] = by_id[row.id] = _KnownCase(
                id=row.id,
                debtor_id=row.debtor_person_id,
                debt_id=row.debt_id,
                identity_key=row.identity_key,
                debtor_name=row.name,
                contacts={},
                numbers=set(),
                balances={},
                positions=Counter(),
            )
        if by_id:
            for contact in await connection.execute(select(contacts).where(contacts.c.case_id.in_(by_id))):
                by_id[contact.case_id].contacts[contact.relation, contact.name] = contact.id, contact.person_id
            for line in await connection.execute(
                select(numbers.c.case_id, numbers.c.e164, numbers.c.extension, numbers.c.channel).where(
                    numbers.c.case_id.in_(by_id)
                )
            ):
                by_id[line.case_id].numbers.add((line.e164, line.extension))
                by_id[line.case_id].positions[line.channel] += 1
            for owed in await connection.execute(select(balances).where(balances.c.case_id.in_(by_id))):
                by_id[owed.case_id].balances[owed.label, owed.currency] = owed.amount
        return known

    async def _known_people(self, keys: set[str]) -> dict[str, str]:
        if not keys:
            return {}
        rows = await self._unit.connection.execute(
            select(persons.c.identity_key, persons.c.id).where(persons.c.identity_key.in_(keys))
        )
        return {row.identity_key: row.id for row in rows}

    async def _known_debts(self, refs: set[str]) -> dict[str, tuple[str, str]]:
        rows = await self._unit.connection.execute(
            select(debts.c.account_ref, debts.c.id, debts.c.person_id).where(
                debts.c.client == self._client, debts.c.account_ref.in_(refs)
            )
        )
        return {row.account_ref: (row.id, row.person_id) for row in rows}

    def _new_case(self, row: ParsedRow, people: dict[str, str], owed: dict[str, tuple[str, str]]) -> _KnownCase:
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
            self._put(debts, id=debt[0], person_id=person_id, client=self._client, account_ref=row.account_ref)
        case_id = next(self._ids["case"])
        first = row.balances[0][1]
        self._put(
            cases,
            id=case_id,
            placement_id=self._placement_id,
            client=self._client,
            client_ref=row.case_ref,
            debtor_person_id=person_id,
            debt_id=debt[0],
            balance_amount=first.amount,
            balance_currency=first.currency,
            region=row.region,
            address=row.address,
            opened_at=self._now,
            state="open",
        )
        self._cases += 1
        return _KnownCase(
            id=case_id,
            debtor_id=person_id,
            debt_id=debt[0],
            identity_key=row.identity_key,
            debtor_name=row.debtor_name,
            contacts={},
            numbers=set(),
            balances={},
            positions=Counter(),
            fresh=True,
            first_row=row.row,
        )

    def _new_person(self, name: str, identity_key: str | None) -> str:
        person_id = next(self._ids["per"])
        self._put(persons, id=person_id, identity_key=identity_key, name=name, created_at=self._now)
        return person_id

    def _add_balances(self, row: ParsedRow, case: _KnownCase) -> None:
        for label, money in row.balances:
            if (label, money.currency) in case.balances:
                continue
            case.balances[label, money.currency] = money.amount
            self._put(
                balances,
                id=next(self._ids["bal"]),
                case_id=case.id,
                debt_id=case.debt_id,
                label=label,
                amount=money.amount,
                currency=money.currency,
                as_of=self._now,
            )

    def _add_numbers(self, row: ParsedRow, case: _KnownCase) -> None:
        for number in row.numbers:
            key = (number.line.e164, number.line.extension or "")
            if key in case.numbers:
                continue
            case.numbers.add(key)
            case.gained = True
            contact_id, person_id = self._contact(case, number, row.debtor_name)
            channel = number.channel.value
            position = case.positions[channel]
            case.positions[channel] += 1
            self._put(
                numbers,
                id=next(self._ids["num"]),
                case_id=case.id,
                contact_id=contact_id,
                person_id=person_id,
                e164=number.line.e164,
                raw=number.raw,
                extension=number.line.extension or "",
                channel=channel,
                position=position,
                sop_rank=self._ranks.get(channel, len(self._ranks)) * 1000 + position,
                region=number.line.region,
                state="live",
                added_at=self._now,
            )
            self._numbers += 1

    def _contact(self, case: _KnownCase, number: ParsedNumber, debtor_name: str) -> tuple[str, str]:
        own = number.channel.is_debtors_own
        key = (SELF, case.debtor_name or debtor_name) if own else (number.relation, number.contact_name)
        if own:
            key = next((known for known in case.contacts if known[0] == SELF), key)
        found = case.contacts.get(key)
        if found is None:
            person_id = case.debtor_id if own else self._new_person(number.contact_name, None)
            found = next(self._ids["con"]), person_id
            case.contacts[key] = found
            self._put(contacts, id=found[0], case_id=case.id, person_id=person_id, name=key[1], relation=key[0])
        return found

    def _first_action(self, case: _KnownCase) -> None:
        action = self._plan(case.id, bool(case.numbers), self._now)
        stored = StoredAction(
            id=next(self._ids["act"]),
            state="live",
            set_at=self._now,
            **{name: getattr(action, name) for name in NextAction.__slots__},
        )
        self._put(next_actions, **action_row(stored), look_at=stored.latest)

    def _reject(self, row: ParsedRow | RefusedRow, reasons: tuple[Rejection, ...]) -> None:
        self._rejected_rows += reasons
        self._returned.append((row.cells, reasons))
        if self._each is not None:
            ref = row.case_ref if isinstance(row, ParsedRow) else ""
            self._each(RowFate(row=row.row, case_ref=ref, fate="refused", numbers=0, reasons=reasons))

    def _put(self, table: Any, **values: Any) -> None:
        self._out.setdefault(table, []).append(values)

    async def _flush(self) -> None:
        for table in (persons, debts, cases, balances, contacts, numbers, next_actions):
            rows = self._out.pop(table, None)
            if rows:
                await insert_rows(self._unit, table, rows)


def _missing_balance(row: ParsedRow) -> Rejection:
    return Rejection(
        row=row.row,
        field="balance",
        problem="no balance is given",
        shape="empty text",
        remedy="give the amount that is owed",
    )


def _disagreement(row: ParsedRow, case: _KnownCase) -> Rejection | None:
    if row.identity_key and case.identity_key and row.identity_key != case.identity_key:
        return Rejection(
            row=row.row,
            field="case_ref",
            problem="this case number belongs to another person already",
            shape="two identity numbers",
            remedy="correct the case number or the identity number",
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


Item = TypeVar("Item")


def _batches(rows: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
