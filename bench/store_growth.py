"""Whether the store's daily work costs the same with a large history: ``python -m bench.store_growth [--full]``.

Fills one store with few cases and one with many (10 past attempts a case) and compares, in both, the time of claiming
the next 100 attempts, of reading a verdict's facts, of a booking, and of a case page with its timeline. The ratio
large/small is what matters. ``--full`` is 10,000 against 1,000,000 cases (10 million attempts, tens of GB-minutes).
Writes bench/results/store_growth.txt.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.intake import machine
from case_store.bulk import ids, insert_rows
from case_store.ledger import CallFacts
from case_store.store import CaseStore
from case_store.tables import (
    attempts,
    campaign_placements,
    campaigns,
    cases,
    contacts,
    debts,
    ledger,
    next_actions,
    numbers,
    persons,
    placements,
    sweep_cases,
)
from case_store.verdict import PERMITTED, Verdict

NOW = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
ATTEMPTS_A_CASE = 10


async def fill(store: CaseStore, count: int) -> None:
    """``count`` open cases of one campaign, two numbers each, ten old attempts each over the past year."""
    made = {prefix: ids(prefix) for prefix in ("per", "debt", "case", "con", "num", "att", "led", "act")}
    dice = random.Random(3)  # a sample, not a secret
    async with store.database.write() as unit:
        await insert_rows(
            unit,
            placements,
            [{"id": "plc_1", "name": "p", "client": "bank", "received_at": NOW, "source_sha256": "0" * 64}],
        )
        await unit.connection.execute(
            campaigns.insert(),
            [
                {
                    "id": name,
                    "name": name,
                    "kind": "sweep",
                    "mode": "progressive",
                    "state": "running",
                    "created_at": NOW,
                    "settings": {},
                }
                for name in ("camp_old", "camp_1")
            ],
        )
        await insert_rows(unit, campaign_placements, [{"campaign_id": "camp_1", "placement_id": "plc_1"}])
    for start in range(0, count, 5000):
        rows: dict[Any, list[dict[str, Any]]] = {}
        for place in range(start, min(start + 5000, count)):
            _case(
                rows,
                {name: next(source) for name, source in made.items() if name in ("per", "debt", "case", "con", "act")},
                made,
                place,
                dice,
            )
        async with store.database.write() as unit:
            for table in (persons, debts, cases, contacts, numbers, next_actions, attempts, ledger, sweep_cases):
                await insert_rows(unit, table, rows[table])
    async with store.database.write() as unit:
        await unit.connection.execute(text("ANALYZE"))


def _case(
    rows: dict[Any, list[dict[str, Any]]], its: dict[str, str], made: dict[str, Any], place: int, dice: random.Random
) -> None:
    def put(table: Any, **values: Any) -> None:
        rows.setdefault(table, []).append(values)

    per, debt, case, con = its["per"], its["debt"], its["case"], its["con"]
    put(persons, id=per, identity_key=None, name="持卡人", created_at=NOW)
    put(debts, id=debt, person_id=per, client="bank", account_ref=f"A{place}")
    put(
        cases, id=case, placement_id="plc_1", client="bank", client_ref=f"A{place}", debtor_person_id=per, debt_id=debt,
        balance_amount=100, balance_currency="CNY", region="CN", opened_at=NOW, state="open",
    )  # fmt: skip
    put(contacts, id=con, case_id=case, person_id=per, name="持卡人", relation="本人")
    lines = []
    for rank, channel in enumerate(("workplace", "mobile")):
        number, e164 = next(made["num"]), f"+86{'13' if rank else '10'}{place:09d}"
        lines.append((number, e164, channel))
        put(
            numbers, id=number, case_id=case, contact_id=con, person_id=per, e164=e164, raw=e164, extension="", channel=channel,
            position=0, sop_rank=rank * 1000, region="CN", state="live", added_at=NOW,
        )  # fmt: skip
    put(
        next_actions, id=its["act"], case_id=case, action="sweep", earliest=NOW, latest=NOW + timedelta(days=2), owner="dialer",
        reason_en="", reason_zh="", state="live", set_at=NOW,
    )  # fmt: skip
    put(sweep_cases, campaign_id="camp_1", case_id=case, state="ready", due_at=NOW - timedelta(seconds=place % 1000))
    for back in range(ATTEMPTS_A_CASE):
        number, e164, channel = lines[back % 2]
        at = NOW - timedelta(days=4 + 36 * back + dice.random())
        attempt = next(made["att"])
        shared = {"case_id": case, "person_id": per, "debtor_person_id": per, "debt_id": debt, "e164": e164}
        put(
            attempts, id=attempt, number_id=number, campaign_id="camp_old", node="n0", purpose="sweep", position=1, booked_at=at,
            ended_at=at, state="done", category="no-answer", **shared,
        )  # fmt: skip
        put(
            ledger, id=next(made["led"]), attempt_id=attempt, source="own", at=at, channel=channel, in_flight=False, answered=False,
            conversation=False, abandoned=False, released=False, category="no-answer", **shared,
        )  # fmt: skip


async def measure(store: CaseStore, *, repeats: int = 15) -> dict[str, float]:
    """Median milliseconds of CPU (all threads of this process) of each piece of daily work."""

    async def claim() -> None:
        claimed = await store.sweep.claim("camp_1", 100, "n1", NOW)
        assert len(claimed) == 100
        taken.append(claimed[0])

    async def facts() -> None:
        seen = await store.ledger.facts(taken[0], NOW)
        assert len(seen.history) == 1, "only the window is read"

    async def book() -> None:
        booking = await store.attempts.book(taken.pop(0), NOW, _yes, node="n1")
        assert booking.attempt is not None

    async def page() -> None:
        await store.cases.page(taken[0].case_id)
        await store.cases.timeline(taken[0].case_id)

    async def due() -> None:
        assert len(await store.agenda.due(NOW, limit=100)) == 100

    taken: list[Any] = []
    work: dict[str, Callable[[], Awaitable[None]]] = {
        "claim the next 100": claim,
        "facts of a verdict": facts,
        "case page and timeline": page,
        "agenda's first 100 due": due,
        "book an attempt": book,
    }
    found = {}
    for name, one in work.items():
        times = []
        rounds = repeats if name != "book an attempt" else repeats - 1
        for _ in range(rounds):
            start = time.process_time()
            await one()
            times.append((time.process_time() - start) * 1000)
        found[name] = statistics.median(times)
    return found


def _yes(_facts: CallFacts) -> Verdict:
    return PERMITTED


async def compare(small: int, large: int, urls: tuple[str, str] | None = None) -> dict[str, tuple[float, float]]:
    """{work: (ms of CPU in the small store, ms in the large one)}."""
    both = []
    with tempfile.TemporaryDirectory() as folder:
        for place, count in enumerate((small, large)):
            store = await CaseStore.open(urls[place] if urls else f"sqlite+aiosqlite:///{folder}/{count}.db")
            await fill(store, count)
            both.append(await measure(store))
            await store.close()
    return {name: (both[0][name], both[1][name]) for name in both[0]}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="10,000 against 1,000,000 cases")
    options.add_argument("--small", type=int, default=2_000)
    options.add_argument("--large", type=int, default=40_000)
    options.add_argument("--urls", nargs=2, help="two empty databases instead of SQLite files")
    chosen = options.parse_args()
    small, large = (10_000, 1_000_000) if chosen.full else (chosen.small, chosen.large)
    found = asyncio.run(compare(small, large, tuple(chosen.urls) if chosen.urls else None))
    lines = [machine(), f"{small} against {large} cases, {ATTEMPTS_A_CASE} attempts each, medians in ms of CPU"]
    lines += [f"{name:28} {one:9.2f} {many:9.2f}   ratio {many / one:5.2f}" for name, (one, many) in found.items()]
    print("\n".join(lines))
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "store_growth.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
