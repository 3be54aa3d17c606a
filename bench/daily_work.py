"""The pieces of a store's daily work, each drawn at random, so that a large store's rows do not lie ready in a cache."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete

from bench.intake import write_sample
from bench.large_store import ATTEMPTS_A_CASE, CASES_A_PLACEMENT, NOW
from case_store.floor_reading import FloorReading
from case_store.intake.bank_files import FileKind, parse_bank_file
from case_store.intake.placement import parse_placement
from case_store.ledger import CallFacts, Candidate
from case_store.reading import CaseReading
from case_store.store import CaseStore
from case_store.tables import campaign_placements, campaigns, sweep_cases
from case_store.verdict import PERMITTED, Verdict
from config.settings import ClientSettings, Settings
from dialer.followup import follow_up_over

_BANK = ClientSettings(name="bank")
_ZONE = "Asia/Shanghai"
NODE = "n1"


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
        self._new: str | None = None
        self._one: str | None = None
        self._started = ""
        self._made_campaigns: list[str] = []
        self._made = time.time_ns()

    def pieces(self) -> dict[str, tuple[Callable[[], Awaitable[None]], int]]:
        """{name: (work, how often)}. ``(*)``: for people who ask; the work grows with one campaign's or placement's cases."""
        return {
            "claim the next 100": (self._claim, 30),
            "facts of a verdict": (self._facts, 60),
            "book an attempt": (self._book, 60),
            "case page and timeline": (self._page, 60),
            "case as the doors show it": (self._view, 60),
            "case by the bank's number": (self._search, 30),
            "list of a client's cases": (self._list, 30),
            "agenda: first 100 due": (self._due, 30),
            "agenda: of one owner": (self._of_owner, 30),
            "agenda: the day": (self._day, 30),
            "next redials (one placement)": (self._redials_of_one, 30),
            "next redials (every case) (*)": (self._redials, 30),
            "next redials, a new campaign": (self._no_redials, 30),
            "campaign: before a step": (self._before_step, 30),
            "campaign: its totals": (self._tally, 30),
            "campaign: 30-day account": (self._account, 30),
            "coverage (10,000 cases)": (self._coverage, 10),
            "campaign: start (10,000 cases)": (self._start, 5),
            "all counts (10,000 cases)": (self._counts_of_started, 30),
            "placement file, 1,000 rows": (self._intake, 5),
            "payment file, 20 rows": (self._payments, 10),
            "all counts (every case) (*)": (self._counts, 5),
        }

    async def clear_away(self) -> None:
        """So that the store can be measured again: claims and bookings come to an end, the campaigns made here go."""
        await self._store.attempts.recover(NODE, NOW)
        async with self._store.database.write() as unit:
            for table, column in (
                (sweep_cases, "campaign_id"),
                (campaign_placements, "campaign_id"),
                (campaigns, "id"),
            ):
                await unit.connection.execute(delete(table).where(table.c[column].in_(self._made_campaigns)))

    async def _claim(self) -> None:
        self._claimed = list(await self._store.sweep.claim("camp_1", 100, NODE, NOW))
        assert len(self._claimed) == 100

    async def _facts(self) -> None:
        candidate = await self._store.sweep.candidate("camp_1", self._key("num", 3))
        assert candidate is not None
        seen = await self._store.ledger.facts(candidate, NOW)
        assert 1 <= len(seen.history) < ATTEMPTS_A_CASE, "only the window is read"

    async def _book(self) -> None:
        booking = await self._store.attempts.book(self._claimed.pop(), NOW, _yes, node=NODE)
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
        await self._store.agenda.claim_due("camp_1", NODE, NOW, limit=10)
        await self._store.agenda.next_redial("camp_1", NOW)

    async def _redials_of_one(self) -> None:
        if self._one is None:
            self._one = await self._campaign(self._placement())
        await self._store.agenda.claim_due(self._one, NODE, NOW, limit=10)
        assert await self._store.agenda.next_redial(self._one, NOW) is not None

    async def _no_redials(self) -> None:
        """A campaign over a placement that came just now, beside one with many redials due."""
        if self._new is None:
            path = self._folder / "new.csv"
            write_sample(path, 100, first=self._made % 10**9 * 1000)
            report = await self._store.placements.load(parse_placement(path, _BANK), NOW)
            self._new = await self._campaign(report.placement_id)
        assert not await self._store.agenda.claim_due(self._new, NODE, NOW, limit=10)
        assert await self._store.agenda.next_redial(self._new, NOW) is None

    async def _before_step(self) -> None:
        assert not (await self._store.sweep.standing("camp_1", at_most=1000)).finished

    async def _tally(self) -> None:
        assert (await self._floor.tally("camp_old")).attempted == self._cases * ATTEMPTS_A_CASE

    async def _account(self) -> None:
        assert await self._store.ledger.abandonment("camp_old", NOW - timedelta(days=30))

    async def _start(self) -> None:
        self._started = await self._campaign(self._placement())

    async def _counts_of_started(self) -> None:
        assert (await self._store.sweep.standing(self._started)).ready == CASES_A_PLACEMENT

    async def _coverage(self) -> None:
        assert (await self._store.placements.coverage(self._placement(), untried_limit=1)).numbers == 30_000

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

    async def _campaign(self, placement_id: str) -> str:
        made = await self._store.sweep.create(self._fresh("campaign"), [placement_id], NOW)
        self._made_campaigns.append(made.id)
        return made.id

    def _placement(self) -> str:
        return f"plc_{self._dice.randrange(self._cases // CASES_A_PLACEMENT):026d}"

    def _key(self, prefix: str, many: int = 1) -> str:
        return f"{prefix}_{self._dice.randrange(self._cases) * many:026d}"

    def _fresh(self, word: str) -> str:
        self._made += 1
        return f"{word}-{self._made}"


def _yes(_facts: CallFacts) -> Verdict:
    return PERMITTED
