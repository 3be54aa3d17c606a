"""The bank's later files in the store: payments, updates, recalls, calls made before. One transaction a file.

Every fact goes through the workflow (``Fold``), so that promises settle, cases end and actions are cancelled in the
same transaction that keeps the fact. What is refused comes back as rows; the same bytes again change nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, insert, select, update

from case_store import sweep
from case_store.database import Database, Unit
from case_store.intake.bank_files import (
    BankFile,
    BankLine,
    FileKind,
    HistoryLine,
    PaymentLine,
    RecallLine,
    Status,
    UpdateLine,
)
from case_store.intake.errors import FileRefused, Rejection
from case_store.intake.placement import ParsedNumber, RefusedRow, write_rejects
from case_store.model import CaseState
from case_store.outcomes import CaseFile, Conclusion, apply, read_case_file
from case_store.tables import balances, cases, contacts, ledger, numbers, payments, persons, placement_files
from case_store.workflow import CaseEvent, NumberTrack, OutcomeCode
from config.errors import BadInput, OnrecordError, Refused
from config.identity import new_id

BATCH = 500
_KEPT = 1000

Fold = Callable[[CaseFile, CaseEvent], Conclusion]
"""The pure workflow over one case (``dialer.followup.FollowUp.conclude``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileReport:
    """``taken`` rows changed something, ``already`` rows said what was known; ``rejected`` went in not at all or not whole."""

    kind: FileKind
    client: str
    rows: int
    taken: int
    already: int
    cases: int  # cases that changed
    rejected: tuple[Rejection, ...]
    already_loaded: bool
    dry_run: bool
    unknown_columns: tuple[str, ...]
    header: tuple[str, ...] = field(repr=False, default=())
    returned: tuple[tuple[tuple[str, ...], tuple[Rejection, ...]], ...] = field(repr=False, default=())

    @property
    def rejected_row_count(self) -> int:
        return len({one.row for one in self.rejected})

    def write_rejects(self, path: Path) -> None:
        """The returned rows as a file to correct and load again."""
        write_rejects(path, self.header, self.returned)


class _DryRun(Exception):  # not an error: it rolls the rehearsal back
    def __init__(self, report: FileReport) -> None:
        super().__init__()
        self.report = report


class RowRefused(BadInput):
    """A row of a bank's file does not fit what the store holds."""

    error_id = "intake-row-refused"


@dataclass(frozen=True, slots=True)
class _Known:
    id: str
    state: str
    currency: str


class BankFiles:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(
        self,
        parsed: BankFile,
        now: datetime,
        fold: Fold,
        *,
        by: str = "client-file",
        strict: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> FileReport:
        """Take a file's good rows through the workflow, in one transaction. ``by`` is whoever loads it.

        Raises ``FileRefused`` when ``strict`` and anything is wrong; then nothing went in.
        """
        try:
            async with self._database.write() as unit:
                await unit.lock([f"intake:{parsed.client.name}"])
                earlier = await _earlier(unit, parsed)
                if earlier is not None:
                    return earlier
                loading = _Loading(unit, parsed, now, fold, by)
                for batch in _batches(parsed.lines()):
                    await loading.take(batch)
                    if progress is not None:
                        progress(loading.rows)
                report = loading.report(dry_run)
                if strict and report.rejected:
                    first = report.rejected[0]
                    raise FileRefused(
                        f"row {first.row}, {first.field}: {first.problem}; {report.rejected_row_count} rows are bad",
                        field="file",
                        shape=first.shape,
                        remedy="correct them all, or load without --strict",
                    )
                if dry_run:
                    raise _DryRun(report)
                await _keep(unit, parsed, report, now)
        except _DryRun as done:
            return done.report
        return report


async def _earlier(unit: Unit, parsed: BankFile) -> FileReport | None:
    row = (
        await unit.connection.execute(
            select(placement_files.c.report).where(
                placement_files.c.client == parsed.client.name,
                placement_files.c.kind == parsed.kind.value,
                placement_files.c.sha256 == parsed.sha256,
            )
        )
    ).first()
    if row is None:
        return None
    kept = row.report
    return FileReport(
        kind=parsed.kind,
        client=parsed.client.name,
        **{name: kept[name] for name in ("rows", "taken", "already", "cases")},
        rejected=tuple(Rejection(**one) for one in kept["rejected"]),
        already_loaded=True,
        dry_run=False,
        unknown_columns=parsed.unknown,
        header=parsed.table.header,
    )


async def _keep(unit: Unit, parsed: BankFile, report: FileReport, now: datetime) -> None:
    counts = {name: getattr(report, name) for name in ("rows", "taken", "already", "cases")}
    await unit.connection.execute(
        insert(placement_files).values(
            id=new_id("file"),
            placement_id=None,
            client=report.client,
            sha256=parsed.sha256,
            kind=report.kind.value,
            name=parsed.table.path.name,
            loaded_at=now,
            report={**counts, "rejected": [asdict(one) for one in report.rejected[:_KEPT]]},
        )
    )
    unit.emit(
        "bank-file.loaded",
        now,
        subject_id=parsed.sha256[:16],
        file=report.kind.value,
        client=report.client,
        rejected_rows=report.rejected_row_count,
        **counts,
    )


class _Loading:
    """One file on its way in."""

    def __init__(self, unit: Unit, parsed: BankFile, now: datetime, fold: Fold, by: str) -> None:
        self._unit = unit
        self._parsed = parsed
        self._client = parsed.client.name
        self._now = now
        self._fold = fold
        self._by = by
        self.rows = 0
        self._taken = self._already = 0
        self._cases: set[str] = set()
        self._rejected: list[Rejection] = []
        self._returned: list[tuple[tuple[str, ...], tuple[Rejection, ...]]] = []

    async def take(self, batch: list[BankLine | RefusedRow]) -> None:
        self.rows += len(batch)
        known = await self._known({line.case_ref for line in batch if not isinstance(line, RefusedRow)})
        await self._unit.lock([f"case:{one.id}" for one in known.values()])
        for line in batch:
            if isinstance(line, RefusedRow):
                self._reject(line.cells, *line.reasons)
                continue
            case = known.get(line.case_ref)
            if case is None:
                self._reject(line.cells, _unknown_case(line))
                continue
            try:
                changed = await self._one(line, case)
            except (BadInput, Refused) as error:
                self._reject(line.cells, _why(line, error))
                continue
            if changed:
                self._taken += 1
                self._cases.add(case.id)
            else:
                self._already += 1

    async def _one(self, line: BankLine, case: _Known) -> bool:
        match line:
            case PaymentLine():
                return await self._payment(line, case)
            case RecallLine():
                return await self._recall(line, case)
            case UpdateLine():
                return await self._update(line, case)
            case HistoryLine():
                return await self._call(line, case)

    async def _payment(self, line: PaymentLine, case: _Known) -> bool:
        connection = self._unit.connection
        if line.paid_on > self._now.astimezone(self._parsed.zone).date():
            raise RowRefused(
                "the payment lies in the future", field="paid_on", shape="a later day", remedy="correct the date"
            )
        if await self._is_booked(line):
            return False
        file = await read_case_file(connection, case.id, self._now)
        if line.money.currency != file.case.balance.currency:
            raise RowRefused(
                "the payment is in another currency than the case's balance",
                field="currency",
                shape="another ISO 4217 code",
                remedy="book it to the account that is owed in this currency",
            )
        if line.reverses is not None:
            await self._check_reversal(line, case)
        event = CaseEvent(
            outcome=OutcomeCode.PAYMENT_REVERSED if line.reverses else OutcomeCode.PAYMENT,
            at=self._now,
            by=self._by,
            amount=line.money.amount,
            on=line.paid_on,
            payment_id=line.reverses or line.bank_ref,
        )
        conclusion = self._fold(file, event)
        await connection.execute(
            insert(payments).values(
                id=new_id("pay"),
                case_id=case.id,
                debt_id=file.case.debt_id,
                bank_ref=line.bank_ref,
                client=self._client,
                amount=-line.money.amount if line.reverses else line.money.amount,
                currency=line.money.currency,
                paid_on=line.paid_on,
                loaded_at=self._now,
                reverses=line.reverses,
            )
        )
        self._unit.emit(
            "payment.recorded",
            self._now,
            case_id=case.id,
            subject_id=line.bank_ref,
            reverses=line.reverses,
            paid_on=line.paid_on.isoformat(),
        )
        await apply(self._unit, file, conclusion, self._now, outcome=None)
        return True

    async def _is_booked(self, line: PaymentLine) -> bool:
        """Whether this very payment is known. The same reference for another one is a contradiction."""
        booked = (
            await self._unit.connection.execute(
                select(payments, cases.c.client_ref)
                .join(cases, cases.c.id == payments.c.case_id)
                .where(payments.c.client == self._client, payments.c.bank_ref == line.bank_ref)
            )
        ).first()
        if booked is None:
            return False
        amount = -line.money.amount if line.reverses else line.money.amount
        for column, same in (
            ("case_ref", booked.client_ref == line.case_ref),
            ("amount", booked.amount == amount and booked.currency == line.money.currency),
            ("paid_on", booked.paid_on == line.paid_on),
            ("reverses", booked.reverses == line.reverses),
        ):
            if not same:
                raise RowRefused(
                    "this reference was booked with another value here",
                    field=column,
                    shape="another than the one booked",
                    remedy="give each payment its own reference; take a wrong one back with a reversal",
                )
        return True

    async def _check_reversal(self, line: PaymentLine, case: _Known) -> None:
        original = (
            await self._unit.connection.execute(
                select(payments.c.case_id, payments.c.amount).where(
                    payments.c.client == self._client,
                    payments.c.bank_ref == line.reverses,
                    payments.c.reverses.is_(None),
                )
            )
        ).first()
        if original is None or original.case_id != case.id:
            raise RowRefused(
                "the payment it takes back is not known on this case",
                field="reverses",
                shape="a reference nobody paid under",
                remedy="load the payment first, or correct the reference",
            )
        if original.amount != line.money.amount:
            raise RowRefused(
                "a reversal takes a payment back whole",
                field="amount",
                shape="another amount than the payment's",
                remedy="reverse it whole and send the rest as a new payment",
            )
        if await self._unit.connection.scalar(
            select(payments.c.id).where(payments.c.client == self._client, payments.c.reverses == line.reverses)
        ):
            raise RowRefused(
                "this payment was reversed before",
                field="reverses",
                shape="a second reversal",
                remedy="correct the reference",
            )

    async def _recall(self, line: RecallLine, case: _Known) -> bool:
        return await self._end(case.id, OutcomeCode.RECALLED)

    async def _end(self, case_id: str, code: OutcomeCode) -> bool:
        """Every live action is cancelled here and now; a call under way stays, its tape and outcome are kept."""
        file = await read_case_file(self._unit.connection, case_id, self._now)
        if file.case_state is CaseState.CLOSED:
            return False
        conclusion = self._fold(file, CaseEvent(outcome=code, at=self._now, by=self._by))
        await apply(self._unit, file, conclusion, self._now, outcome=None)
        return True

    async def _update(self, line: UpdateLine, case: _Known) -> bool:
        if case.state == CaseState.CLOSED:
            if line.status is not None:
                return False
            raise RowRefused(
                "the case is closed", field="case_ref", shape="a closed case", remedy="entrust it again in a placement"
            )
        changed = False
        if line.balance is not None:
            changed = await self._balance(line, case)
        for number in line.numbers:
            changed = await self._number(number, case.id) or changed
        status = line.status
        if status is None and line.balance is not None and line.balance.amount == 0:
            status = Status.PAID
        if status is not None:
            changed = await self._end(case.id, OutcomeCode[status.name]) or changed
        if line.refused:
            self._reject(line.cells, *line.refused)
        return changed

    async def _balance(self, line: UpdateLine, case: _Known) -> bool:
        assert line.balance is not None
        if line.balance.currency != case.currency:
            raise RowRefused(
                "the new balance is in another currency than the case's",
                field="balance",
                shape="another ISO 4217 code",
                remedy="give the balance in the case's currency",
            )
        connection = self._unit.connection
        old = await connection.scalar(select(cases.c.balance_amount).where(cases.c.id == case.id))
        if old == line.balance.amount or line.balance.amount == 0:
            return False
        await connection.execute(update(cases).where(cases.c.id == case.id).values(balance_amount=line.balance.amount))
        first = await connection.scalar(
            select(balances.c.id)
            .where(balances.c.case_id == case.id, balances.c.currency == line.balance.currency)
            .order_by(balances.c.id)
            .limit(1)
        )
        await connection.execute(
            update(balances).where(balances.c.id == first).values(amount=line.balance.amount, as_of=self._now)
        )
        self._unit.emit("case.balance", self._now, case_id=case.id, subject_id=case.id)
        # The workflow takes the store's balance over at its next event; this is one.
        file = await read_case_file(connection, case.id, self._now)
        conclusion = self._fold(file, CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=self._now))
        await apply(self._unit, file, conclusion, self._now, outcome=None)
        return True

    async def _number(self, number: ParsedNumber, case_id: str) -> bool:
        number_id = await add_number(self._unit, case_id, number, self._now, sop_order=self._parsed.client.sop_order)
        if number_id is None:
            return False
        await join_number(self._unit, case_id, number_id, self._now, self._fold, by=self._by)
        return True

    async def _call(self, line: HistoryLine, case: _Known) -> bool:
        connection = self._unit.connection
        row = (
            (
                await connection.execute(
                    sweep.candidate_query().where(numbers.c.case_id == case.id, numbers.c.e164 == line.e164)
                )
            )
            .mappings()
            .first()
        )
        if row is None:
            raise RowRefused(
                "the number is not on file for this case",
                field="phone",
                shape="a number of nobody on the case",
                remedy="load the number with a placement or update file first",
            )
        if line.at > self._now:
            raise RowRefused("the call lies in the future", field="at", shape="a later time", remedy="correct the time")
        made = await connection.execute(
            sweep.upsert(self._unit.dialect, ledger)
            .values(
                id=new_id("led"),
                attempt_id=None,
                source="imported",
                at=line.at,
                case_id=case.id,
                person_id=row["person_id"],
                debtor_person_id=row["debtor_person_id"],
                debt_id=row["debt_id"],
                e164=line.e164,
                channel=row["channel"],
                in_flight=False,
                answered=line.category.value in ("answered", "machine"),
                conversation=line.conversation,
                abandoned=False,
                released=False,
                category=line.category.value,
            )
            .on_conflict_do_nothing()
            .returning(ledger.c.id)
        )
        return made.first() is not None

    async def _known(self, refs: set[str]) -> dict[str, _Known]:
        rows = await self._unit.connection.execute(
            select(cases.c.client_ref, cases.c.id, cases.c.state, cases.c.balance_currency)
            # Asked for in order, SQLite would walk through all cases of the client.
            .where(cases.c.client == self._client, cases.c.client_ref.in_(refs))
        )
        found: dict[str, _Known] = {}
        for row in sorted(rows, key=lambda row: row.id):  # the newest case of a reference wins
            found[row.client_ref] = _Known(row.id, row.state, row.balance_currency)
        return found

    def _reject(self, cells: tuple[str, ...], *reasons: Rejection) -> None:
        self._rejected += reasons
        self._returned.append((cells, reasons))

    def report(self, dry_run: bool) -> FileReport:
        return FileReport(
            kind=self._parsed.kind,
            client=self._client,
            rows=self.rows,
            taken=self._taken,
            already=self._already,
            cases=len(self._cases),
            rejected=tuple(self._rejected),
            already_loaded=False,
            dry_run=dry_run,
            unknown_columns=self._parsed.unknown,
            header=self._parsed.table.header,
            returned=tuple(sorted(self._returned, key=lambda one: one[1][0].row)),
        )


async def add_number(
    unit: Unit, case_id: str, number: ParsedNumber, now: datetime, *, sop_order: tuple[str, ...]
) -> str | None:
    """A number that was found: it stands behind those of its channel. None: the case has it already."""
    connection = unit.connection
    line = number.line
    there = await connection.scalar(
        select(numbers.c.id).where(
            numbers.c.case_id == case_id, numbers.c.e164 == line.e164, numbers.c.extension == (line.extension or "")
        )
    )
    if there is not None:
        return None
    contact_id, person_id = await _contact(unit, case_id, number, now)
    position = await connection.scalar(
        select(func.count())
        .select_from(numbers)
        .where(numbers.c.case_id == case_id, numbers.c.channel == number.channel.value)
    )
    ranks = {channel: place for place, channel in enumerate(sop_order)}
    number_id = new_id("num")
    await connection.execute(
        insert(numbers).values(
            id=number_id,
            case_id=case_id,
            contact_id=contact_id,
            person_id=person_id,
            e164=line.e164,
            raw=number.raw,
            extension=line.extension or "",
            channel=number.channel.value,
            position=position,
            sop_rank=ranks.get(number.channel.value, len(ranks)) * 1000 + (position or 0),
            region=line.region,
            state="live",
            added_at=now,
        )
    )
    unit.emit("number.found", now, case_id=case_id, subject_id=number_id, channel=number.channel.value)
    return number_id


async def join_number(
    unit: Unit, case_id: str, number_id: str, now: datetime, fold: Fold, *, by: str, note: str = ""
) -> None:
    """Tell the workflow of a number that was found: it joins the sweep at its place."""
    file = await read_case_file(unit.connection, case_id, now)
    found = next(one for one in file.numbers if one.id == number_id)
    track = NumberTrack(
        id=found.id, contact_id=found.contact_id, channel=found.channel, position=found.position, state=found.state
    )
    event = CaseEvent(outcome=OutcomeCode.NUMBER_FOUND, at=now, by=by, number=track)
    await apply(unit, file, fold(file, event), now, outcome=None)
    await sweep.reopen_case(unit, case_id, now, only_done=True)


async def _contact(unit: Unit, case_id: str, number: ParsedNumber, now: datetime) -> tuple[str, str]:
    """The contact a number belongs to, made if nobody of that name and relation is on the case."""
    connection = unit.connection
    own = number.channel.is_debtors_own
    debtor_id = await connection.scalar(select(cases.c.debtor_person_id).where(cases.c.id == case_id))
    query = select(contacts.c.id, contacts.c.person_id).where(contacts.c.case_id == case_id)
    query = (
        query.where(contacts.c.person_id == debtor_id)
        if own
        else query.where(contacts.c.relation == number.relation, contacts.c.name == number.contact_name)
    )
    found = (await connection.execute(query.limit(1))).first()
    if found is not None:
        return found.id, found.person_id
    name = number.contact_name
    if own:
        person_id = debtor_id
        name = str(await connection.scalar(select(persons.c.name).where(persons.c.id == debtor_id)))
    else:
        person_id = new_id("per")
        await connection.execute(insert(persons).values(id=person_id, identity_key=None, name=name, created_at=now))
    contact_id = new_id("con")
    await connection.execute(
        insert(contacts).values(
            id=contact_id, case_id=case_id, person_id=person_id, name=name, relation=number.relation
        )
    )
    assert person_id is not None
    return contact_id, person_id


def _unknown_case(line: BankLine) -> Rejection:
    return Rejection(
        row=line.row,
        field="case_ref",
        problem="no case of this client has this number",
        shape=f"{len(line.case_ref)} characters",
        remedy="correct the case number, or load its placement first",
    )


def _why(line: BankLine, error: OnrecordError) -> Rejection:
    return Rejection(
        row=line.row,
        field=error.field or "row",
        problem=error.problem,
        shape=error.shape or error.error_id,
        remedy=error.remedy,
    )


def _batches(lines: Iterator[BankLine | RefusedRow]) -> Iterator[list[BankLine | RefusedRow]]:
    while batch := list(itertools.islice(lines, BATCH)):
        yield batch
