"""The case store: one door, a room behind it for every noun.

store = await CaseStore.open("sqlite+aiosqlite:///var/onrecord.db")
report = await store.placements.load(parse_placement(path, client), now)
campaign = await store.sweep.create("first sweep", [report.placement_id], now)
for candidate in await store.sweep.claim(campaign.id, 10, node, now):
    booking = await store.attempts.book(candidate, now, judge, node=node)
...
await store.close()
"""

from __future__ import annotations

from case_store.agenda import Agenda
from case_store.attempts import Attempts
from case_store.bank_files import BankFiles
from case_store.calls import Calls, Recordings
from case_store.cases import Cases
from case_store.casework import Casework
from case_store.database import Database
from case_store.event_log import EventLog
from case_store.jobs import Jobs
from case_store.ledger import Ledger
from case_store.outcomes import Outcomes
from case_store.owed import OwedOutcomes
from case_store.pacing_memory import PacingMemories
from case_store.payments import Payments
from case_store.people import People
from case_store.placements import Placements
from case_store.sweep import Sweep


class CaseStore:
    """Made by ``open``; every room shares its database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.placements = Placements(database)
        self.cases = Cases(database)
        self.sweep = Sweep(database)
        self.ledger = Ledger(database)
        self.attempts = Attempts(database, self.ledger)
        self.calls = Calls(database)
        self.recordings = Recordings(database)
        self.outcomes = Outcomes(database)
        self.owed = OwedOutcomes(database)
        self.pacing = PacingMemories(database)
        self.agenda = Agenda(database)
        self.events = EventLog(database)
        self.people = People(database)
        self.payments = Payments(database)
        self.bank_files = BankFiles(database)
        self.casework = Casework(database)
        self.jobs = Jobs(database)

    @classmethod
    async def open(cls, url: str) -> CaseStore:
        """Connect, make folders, migrate. Raises ``BadSetting`` or ``StoreUnavailable``."""
        return cls(await Database.open(url))

    async def close(self) -> None:
        await self.database.close()
