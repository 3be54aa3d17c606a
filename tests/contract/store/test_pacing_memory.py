"""What a pacer learnt is kept, found again nearest first, and known to be whole. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from case_store.pacing_memory import MOST_BYTES
from case_store.store import CaseStore
from case_store.tables import pacing_memories
from config.errors import BadInput


async def campaigns(store: CaseStore, now: datetime, *names: str) -> list[str]:
    return [(await store.sweep.create(name, [], now)).id for name in names]


async def test_the_newest_stands_in_place_of_the_older(store: CaseStore, now: datetime) -> None:
    (mine,) = await campaigns(store, now, "mine")
    assert await store.pacing.nearest(mine, "n1", now) == ()
    for minute, body in enumerate(("first", "second: 应答率")):
        await store.pacing.keep(mine, "n1", now + timedelta(minutes=minute), version=1, body=body)
    (found,) = await store.pacing.nearest(mine, "n1", now)
    assert (found.body, found.version, found.kept_at) == ("second: 应答率", 1, now + timedelta(minutes=1))
    assert (found.campaign_id, found.node, found.whole) == (mine, "n1", True)


async def test_its_own_first_then_another_nodes_then_other_campaigns_of_late(store: CaseStore, now: datetime) -> None:
    mine, other, old = await campaigns(store, now, "mine", "other", "old")
    month = timedelta(days=30)
    await store.pacing.keep(old, "n1", now - month - timedelta(days=1), version=1, body="long ago")
    await store.pacing.keep(other, "n2", now, version=1, body="elsewhere")
    await store.pacing.keep(other, "n1", now - timedelta(hours=2), version=1, body="here, another list")
    await store.pacing.keep(mine, "n2", now - timedelta(hours=1), version=1, body="another node")
    await store.pacing.keep(mine, "n1", now - 2 * month, version=1, body="own")
    found = [memory.body for memory in await store.pacing.nearest(mine, "n1", now - month)]
    assert found == ["own", "another node", "here, another list", "elsewhere"]
    assert (await store.pacing.nearest(old, "n3", now - month))[0].body == "long ago"


async def test_a_changed_letter_shows(store: CaseStore, now: datetime) -> None:
    (mine,) = await campaigns(store, now, "mine")
    await store.pacing.keep(mine, "n1", now, version=1, body='{"rate":0.35}')
    async with store.database.write() as unit:
        await unit.connection.execute(update(pacing_memories).values(body='{"rate":0.85}'))
    (found,) = await store.pacing.nearest(mine, "n1", now)
    assert not found.whole


async def test_what_is_out_of_all_proportion_is_refused_and_leaves_what_was(store: CaseStore, now: datetime) -> None:
    (mine,) = await campaigns(store, now, "mine")
    await store.pacing.keep(mine, "n1", now, version=1, body="x" * MOST_BYTES)
    with pytest.raises(BadInput) as refused:
        await store.pacing.keep(mine, "n1", now, version=1, body="x" * (MOST_BYTES + 1))
    assert refused.value.field == "body"
    (found,) = await store.pacing.nearest(mine, "n1", now)
    assert len(found.body) == MOST_BYTES
