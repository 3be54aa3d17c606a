"""Payments the bank reports: each once by the bank's own reference, reversals as entries of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import insert, select

from case_store.database import Database
from case_store.tables import cases, payments
from config.identity import new_id


@dataclass(frozen=True, kw_only=True, slots=True)
class BankPayment:
    """One line of a payment file. ``reverses`` names the reference it takes back; its amount then counts against."""

    client_ref: str
    bank_ref: str
    amount: Decimal
    currency: str
    paid_on: date
    reverses: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PaymentReport:
    """``unknown`` are the bank references whose case or reversed payment is not here; ``case_ids`` got something new."""

    recorded: int
    already: int
    unknown: tuple[str, ...]
    case_ids: tuple[str, ...]


class Payments:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, client: str, lines: Sequence[BankPayment], now: datetime) -> PaymentReport:
        """Take what is new, in one transaction; the same reference again changes nothing.

        The store keeps the facts; the workflow settles promises from them (``outcomes.conclude`` for each case).
        """
        already, unknown, touched = 0, [], []
        async with self._database.write() as unit:
            await unit.lock([f"payments:{client}"])
            known = await unit.connection.execute(
                select(payments.c.bank_ref).where(
                    payments.c.client == client,
                    payments.c.bank_ref.in_({ref for line in lines for ref in (line.bank_ref, line.reverses) if ref}),
                )
            )
            there = set(known.scalars())
            found = await unit.connection.execute(
                select(cases.c.client_ref, cases.c.id, cases.c.debt_id)
                .where(cases.c.client == client, cases.c.client_ref.in_({line.client_ref for line in lines}))
                .order_by(cases.c.id)  # the newest case of a reference wins
            )
            case_of = {row.client_ref: row for row in found}
            for line in lines:
                case = case_of.get(line.client_ref)
                if line.bank_ref in there:
                    already += 1
                    continue
                if case is None or (line.reverses is not None and line.reverses not in there):
                    unknown.append(line.bank_ref)
                    continue
                there.add(line.bank_ref)
                touched.append(case.id)
                await unit.connection.execute(
                    insert(payments).values(
                        id=new_id("pay"),
                        case_id=case.id,
                        debt_id=case.debt_id,
                        bank_ref=line.bank_ref,
                        client=client,
                        amount=-abs(line.amount) if line.reverses else line.amount,
                        currency=line.currency,
                        paid_on=line.paid_on,
                        loaded_at=now,
                        reverses=line.reverses,
                    )
                )
                unit.emit(
                    "payment.recorded",
                    now,
                    case_id=case.id,
                    subject_id=line.bank_ref,
                    reverses=line.reverses,
                    paid_on=line.paid_on.isoformat(),
                )
        return PaymentReport(
            recorded=len(touched), already=already, unknown=tuple(unknown), case_ids=tuple(dict.fromkeys(touched))
        )
