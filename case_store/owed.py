"""Outcomes that somebody who talked still has to enter. ``Outcomes.record`` removes the row with the outcome it keeps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, select, update

from case_store import sweep
from case_store.agenda import live_action, set_action
from case_store.database import Database
from case_store.model import NextAction
from case_store.tables import outcomes, owed_outcomes


@dataclass(slots=True)
class Owed:
    """``agent_id`` talked; ``owner`` must enter it: the same, or the team leader when the agent's screen died."""

    call_id: str
    case_id: str
    number_id: str
    agent_id: str
    since: datetime
    owner: str


class OwedOutcomes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, owed: Owed, node: str) -> None:
        """Kept once for a call; keeping it again only changes whose it is."""
        async with self._database.write() as unit:
            await unit.connection.execute(
                sweep.upsert(unit.dialect, owed_outcomes)
                .values(**asdict(owed), node=node)
                .on_conflict_do_update(index_elements=["call_id"], set_={"owner": owed.owner})
            )

    async def become_action(self, call_id: str, action: NextAction, now: datetime) -> bool:
        """Entering the outcome becomes the case's live action, unless it has been entered by now or the case is closed.

        In one transaction with the look: an outcome that comes in at this very moment must not lose the action it led to.
        """
        async with self._database.write() as unit:
            await unit.lock([f"case:{action.case_id}"])  # as whoever records an outcome does
            entered = await unit.connection.scalar(select(outcomes.c.id).where(outcomes.c.call_id == call_id).limit(1))
            if entered is not None or await live_action(unit.connection, action.case_id) is None:
                return False
            await set_action(unit, action, now, look_at=action.latest)
            return True

    async def hand_to(self, call_id: str, owner: str) -> None:
        async with self._database.write() as unit:
            await unit.connection.execute(
                update(owed_outcomes).where(owed_outcomes.c.call_id == call_id).values(owner=owner)
            )

    async def drop(self, call_id: str) -> None:
        """Nothing is owed after all: nobody was on the line."""
        async with self._database.write() as unit:
            await unit.connection.execute(delete(owed_outcomes).where(owed_outcomes.c.call_id == call_id))

    async def of_node(self, node: str) -> tuple[Owed, ...]:
        """Oldest first."""
        query = select(owed_outcomes).where(owed_outcomes.c.node == node).order_by(owed_outcomes.c.since)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return tuple(Owed(**{key: value for key, value in row.items() if key != "node"}) for row in rows)

    async def still(self, call_ids: Collection[str]) -> frozenset[str]:
        """Which of these are owed still: another process of the house may have taken the outcome."""
        query = select(owed_outcomes.c.call_id).where(owed_outcomes.c.call_id.in_(call_ids))
        async with self._database.read() as connection:
            return frozenset((await connection.execute(query)).scalars())
