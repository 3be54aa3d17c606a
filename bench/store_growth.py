"""Whether the store's daily work costs the same with a large history: ``python -m bench.store_growth [--full]``.

Fills one store with few cases and one with many (10 past attempts a case, with their calls, recordings and verdicts; see
``bench.large_store``) and measures in both: claiming the next 100 attempts, a verdict's facts, a booking, a case's page,
the agenda, what a campaign asks before each step, its start, a placement's coverage, a placement file, a payment file.
Cases are drawn at random, so that the large store's rows do not lie ready in a cache. The ratio large/small is what
matters; what is beside "work at hand" is marked. ``--full`` is 10,000 against 1,000,000 cases (10 million attempts,
36 GB on disk, about ten minutes of writing). Writes bench/results/store_growth.txt (``-postgresql`` with --urls).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.intake import machine, write_sample
from bench.large_store import ATTEMPTS_A_CASE, NOW, write_history
from case_store.floor_reading import FloorReading
from case_store.intake.bank_files import FileKind, parse_bank_file
from case_store.intake.placement import parse_placement
from case_store.ledger import CallFacts, Candidate
from case_store.reading import CaseReading
from case_store.store import CaseStore
from case_store.verdict import PERMITTED, Verdict
from config.settings import ClientSettings, Settings
from dialer.followup import follow_up_over

_BANK = ClientSettings(name="bank")
_ZONE = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians in milliseconds: CPU of all threads of this process, and the clock on the wall."""

    cpu: float
    wall: float


class DailyWork:
    """The pieces of work, each one a coroutine function without arguments."""

    def __init__(self, store: CaseStore, cases: int, folder: Path) -> None:
        self._store = store
        self._cases = cases
        self._folder = folder
        self._dice = random.Random(5)  # a sample, not a secret
        self._reading = CaseReading(store.database)
        self._floor = FloorReading(store.database)
        self._fold = follow_up_over(store, Settings()).conclude
        self._claimed: list[Candidate] = []
        self._made = time.time_ns()

    def pieces(self) -> dict[str, tuple[Callable[[], Awaitable[None]], int]]:
        """{name: (work, how often)}."""
        return {
            "claim the next 100": (self._claim, 15),
            "facts of a verdict": (self._facts, 60),
            "book an attempt": (self._book, 60),
            "case page and timeline": (self._page, 60),
            "case as the doors show it": (self._view, 60),
            "case by the bank's number": (self._search, 30),
            "list of a client's cases": (self._list, 15),
            "agenda: first 100 due": (self._due, 15),
            "agenda: of one owner": (self._of_owner, 15),
            "agenda: the day": (self._day, 15),
            "next redials": (self._redials, 15),
            "campaign: before a step": (self._before_step, 15),
            "campaign: its totals": (self._tally, 15),
            "campaign: 30-day account": (self._account, 15),
            "campaign: start (10,000 cases)": (self._start, 3),
            "coverage (10,000 cases)": (self._coverage, 3),
            "placement file, 1,000 rows": (self._intake, 3),
            "payment file, 20 rows": (self._payments, 3),
            "campaign: all counts (*)": (self._counts, 5),
        }

    async def _claim(self) -> None:
        self._claimed = list(await self._store.sweep.claim("camp_1", 100, "n1", NOW))
        assert len(self._claimed) == 100

    async def _facts(self) -> None:
        candidate = await self._store.sweep.candidate("camp_1", self._key("num", 3))
        assert candidate is not None
        seen = await self._store.ledger.facts(candidate, NOW)
        assert 1 <= len(seen.history) < ATTEMPTS_A_CASE, "only the window is read"

    async def _book(self) -> None:
        booking = await self._store.attempts.book(self._claimed.pop(), NOW, _yes, node="n1")
        assert booking.attempt is not None

    async def _page(self) -> None:
        case_id = self._key("case")
        await self._store.cases.page(case_id)
        assert len(await self._store.cases.timeline(case_id)) > 20

    async def _view(self) -> None:
        found = await self._reading.one(self._key("case"))
        assert found is not None
        assert len(found.attempts) >= ATTEMPTS_A_CASE

    async def _search(self) -> None:
        assert await self._store.cases.by_ref("bank", f"A{self._dice.randrange(self._cases)}")

    async def _list(self) -> None:
        for client in ("bank", "a client without cases"):
            await self._reading.list(after=None, limit=50, client=client, placement_id=None, search=None)

    async def _due(self) -> None:
        assert len(await self._store.agenda.due(NOW, limit=100)) == 100

    async def _of_owner(self) -> None:
        for owner in ("team-leader", "nobody"):
            await self._store.agenda.due(NOW, owner=owner, limit=10)
            await self._reading.agenda(until=NOW, owner=owner, after=None, limit=10)

    async def _day(self) -> None:
        await self._store.agenda.between(NOW, NOW + timedelta(days=1), limit=100)
        await self._store.agenda.overdue(NOW, limit=100)

    async def _redials(self) -> None:
        await self._store.agenda.claim_due("n1", NOW, limit=10, campaign_id="camp_1")
        await self._store.agenda.next_redial("camp_1", NOW)

    async def _before_step(self) -> None:
        assert not (await self._store.sweep.standing("camp_1", at_most=1000)).finished

    async def _tally(self) -> None:
        assert (await self._floor.tally("camp_old")).attempted == self._cases * ATTEMPTS_A_CASE

    async def _account(self) -> None:
        assert await self._store.ledger.abandonment("camp_old", NOW - timedelta(days=30))

    async def _start(self) -> None:
        await self._store.sweep.create(self._fresh("campaign"), [f"plc_{0:026d}"], NOW)

    async def _coverage(self) -> None:
        assert (await self._store.placements.coverage(f"plc_{0:026d}", untried_limit=1)).numbers == 30_000

    async def _intake(self) -> None:
        path = self._folder / f"{self._fresh('placement')}.csv"
        write_sample(path, 1000, first=self._made % 10**9 * 1000)
        report = await self._store.placements.load(parse_placement(path, _BANK), NOW)
        assert report.cases == 1000

    async def _payments(self) -> None:
        path = self._folder / f"{self._fresh('payments')}.csv"
        paid = [f"A{self._dice.randrange(self._cases)},{self._fresh('R')},1.00,2026-05-31\n" for _ in range(20)]
        path.write_text("案件号,流水号,还款金额,还款日期\n" + "".join(paid), encoding="utf-8")
        report = await self._store.bank_files.load(
            parse_bank_file(path, FileKind.PAYMENTS, _BANK, _ZONE), NOW, self._fold
        )
        assert report.taken == 20, report.rejected

    async def _counts(self) -> None:
        assert (await self._store.sweep.standing("camp_1")).ready > 0

    def _key(self, prefix: str, many: int = 1) -> str:
        return f"{prefix}_{self._dice.randrange(self._cases) * many:026d}"

    def _fresh(self, word: str) -> str:
        self._made += 1
        return f"{word}-{self._made}"


async def measure(store: CaseStore, cases: int, *, once: bool = False) -> dict[str, Cost]:
    """``once``: every piece a single time, to see that it works."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (one, often) in DailyWork(store, cases, Path(folder)).pieces().items():
            times = []
            for place in range(1 if once else often + 2):
                started, worked = time.perf_counter(), time.process_time()
                await one()
                if place > 1 or once:  # the first two only open what stays open
                    times.append(((time.process_time() - worked) * 1000, (time.perf_counter() - started) * 1000))
            print(f"{cases:8} {name:32} {len(times)} times, {sum(wall for _, wall in times) / 1000:.1f} s", flush=True)
            found[name] = Cost(*(statistics.median(each) for each in zip(*times, strict=True)))
    return found


def _yes(_facts: CallFacts) -> Verdict:
    return PERMITTED


async def fill(url: str, cases: int) -> None:
    await (await CaseStore.open(url)).close()
    await asyncio.to_thread(write_history, url, cases, say=print)


async def compare(small: tuple[str, int], large: tuple[str, int], *, filled: bool) -> list[str]:
    """One line a piece of work."""
    both = []
    for url, cases in (small, large):
        if not filled:
            await fill(url, cases)
        store = await CaseStore.open(url)
        both.append(await measure(store, cases))
        await store.close()
    lines = [f"{'':32}{'CPU ms':>18}{'ratio':>8}{'wall ms':>20}{'ratio':>8}"]
    for name, one in both[0].items():
        many = both[1][name]
        lines.append(
            f"{name:32}{one.cpu:9.2f}{many.cpu:9.2f}{many.cpu / one.cpu:8.2f}"
            f"{one.wall:11.2f}{many.wall:9.2f}{many.wall / one.wall:8.2f}"
        )
    return [*lines, "(*) for people who ask; grows with the campaign's cases, not with what was called"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="10,000 against 1,000,000 cases")
    options.add_argument("--small", type=int, default=10_000)
    options.add_argument("--large", type=int, default=50_000)
    options.add_argument("--urls", nargs=2, help="two empty databases instead of SQLite files in a temporary folder")
    options.add_argument("--filled", action="store_true", help="the databases of --urls were filled by an earlier run")
    chosen = options.parse_args()
    small, large = (10_000, 1_000_000) if chosen.full else (chosen.small, chosen.large)
    with tempfile.TemporaryDirectory() as folder:
        urls = chosen.urls or [f"sqlite+aiosqlite:///{folder}/{cases}.db" for cases in (small, large)]
        found = asyncio.run(compare((urls[0], small), (urls[1], large), filled=chosen.filled))
    kind = urls[1].split("+")[0].split(":")[0]
    head = f"{kind}: {small} against {large} cases, {ATTEMPTS_A_CASE} attempts each; medians, random cases"
    text = "\n".join([machine(), head, *found]) + "\n"
    print(text)
    name = "store_growth.txt" if kind == "sqlite" else f"store_growth-{kind}.txt"
    (Path(__file__).parent / "results" / name).write_text(text)


if __name__ == "__main__":
    main()
