"""What a campaign's pacer has learnt, kept so that a restart goes on from there: one row a campaign and node, replaced."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, select
from sqlalchemy.exc import DBAPIError

from case_store.database import Database, StoreUnavailable, upsert
from case_store.tables import pacing_memories
from config.errors import BadInput

MOST_BYTES = 2_000_000
"""A record is some 20 to 200 kB: half an hour's answers, a few histograms."""

_LOOKED_AT = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class PacingMemory:
    """``body`` is the pacer's own text; ``whole``: it is the text that was kept, to the last letter."""

    campaign_id: str
    node: str
    kept_at: datetime
    version: int
    body: str
    whole: bool


class PacingMemories:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, campaign_id: str, node: str, at: datetime, *, version: int, body: str) -> None:
        """In place of what this node kept of the campaign before. Raises ``BadInput`` for a text out of all
        proportion, ``StoreUnavailable`` when the database takes nothing."""
        if len(body) > MOST_BYTES:
            raise BadInput(
                "what the pacer learnt is too long to be kept",
                field="body",
                shape=f"{len(body)} letters",
                remedy=f"keep at most {MOST_BYTES}",
            )
        values = {"kept_at": at, "version": version, "body": body, "sha256": _digest(body)}
        try:
            async with self._database.write() as unit:
                await unit.connection.execute(
                    upsert(unit.dialect, pacing_memories)
                    .values(campaign_id=campaign_id, node=node, **values)
                    .on_conflict_do_update(index_elements=["campaign_id", "node"], set_=values)
                )
        except DBAPIError as error:
            raise StoreUnavailable(
                f"what a pacer learnt could not be written ({type(error.orig).__name__})",
                field="store.url",
                remedy="look after the database; it is tried again within a minute or two",
            ) from error

    async def nearest(self, campaign_id: str, node: str, since: datetime) -> tuple[PacingMemory, ...]:
        """The best first: this node's own of the campaign, another node's, then other campaigns' kept after ``since``."""
        table = pacing_memories.c
        own = table.campaign_id == campaign_id
        rank = case((own & (table.node == node), 0), (own, 1), (table.node == node, 2), else_=3)
        query = select(pacing_memories).where(own | (table.kept_at >= since))
        query = query.order_by(rank, table.kept_at.desc(), table.campaign_id).limit(_LOOKED_AT)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            PacingMemory(
                campaign_id=row.campaign_id,
                node=row.node,
                kept_at=row.kept_at,
                version=row.version,
                body=row.body,
                whole=row.sha256 == _digest(row.body),
            )
            for row in rows
        )


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
