"""The bank's payments. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

from case_store.payments import BankPayment
from case_store.store import CaseStore
from tests.contract.store import world


async def test_payments_count_once_and_reversals_take_back(store: CaseStore, tmp_path: Path, now: datetime) -> None:
    await world.load(store, tmp_path, now, world.case_line("A1", mobile="13800138000"))
    (line,) = await store.cases.list()

    def paid(bank_ref: str, amount: str, *, case: str = "A1", reverses: str | None = None) -> BankPayment:
        return BankPayment(
            client_ref=case,
            bank_ref=bank_ref,
            amount=Decimal(amount),
            currency="CNY",
            paid_on=now.date(),
            reverses=reverses,
        )

    first = [paid("P1", "300.10"), paid("P2", "200"), paid("P3", "1", case="NONE"), paid("P4", "5", reverses="P9")]
    report = await store.payments.record("bank", first, now)
    assert (report.recorded, report.already, report.unknown) == (2, 0, ("P3", "P4"))
    assert report.case_ids == (line.case.id,)
    again = await store.payments.record("bank", [*first[:2], paid("P5", "200", reverses="P2")], now)
    assert (again.recorded, again.already) == (1, 2)
    file = await store.outcomes.file(line.case.id)
    assert sum(money.amount for _, money in file.paid) == Decimal("300.10")
    assert [entry.kind for entry in await store.cases.timeline(line.case.id)].count("payment") == 3
