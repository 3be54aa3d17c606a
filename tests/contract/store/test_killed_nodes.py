"""Nodes in processes of their own sweep one campaign and are killed in the middle of it: no number is dialed twice, none is
forgotten. Category: contract, both databases.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from case_store.model import AttemptState
from case_store.network import HangupCause, ProgressCategory
from case_store.store import CaseStore
from tests.contract.store import world

CASES = 14  # enough dials for the kills, however unevenly the nodes share them
NODES = 3
KILLS = 4


async def sweep_as(url: str, campaign_id: str, node: str) -> None:
    """A node: what it left under way is lost, then it claims, books, dials and ends until nothing is left."""
    store = await CaseStore.open(url)
    await store.attempts.recover(node, datetime.now(UTC))
    while True:
        claimed = await store.sweep.claim(campaign_id, 3, node, datetime.now(UTC))
        for candidate in claimed:
            now = datetime.now(UTC)
            booking = await store.attempts.book(candidate, now, world.allow, node=node)
            if booking.attempt is None:
                await store.sweep.release_claim(candidate, now)
                continue
            print(candidate.number_id, flush=True)  # the INVITE
            call_id, tape_id = await world.place(store, booking.attempt.id, now)
            await store.calls.end(
                call_id, now, cause=HangupCause.NO_ANSWER, category=ProgressCategory.NO_ANSWER, sip_status=480
            )
            await store.recordings.seal(tape_id, now, path="shelf/x", seconds=1.0, sha256="0" * 64, empty=True)
        if not claimed:
            if (await store.sweep.standing(campaign_id)).finished:
                break
            await asyncio.sleep(0.05)
    await store.close()


async def test_killed_nodes_dial_no_number_twice_and_forget_none(
    store: CaseStore, store_url: str, tmp_path: Path, now: datetime
) -> None:
    lines = [
        world.case_line(
            f"A{n:02d}", mobile=f"138001380{n:02d}", work=f"021-623456{n:02d}", relative=f"139001390{n:02d}"
        )
        for n in range(CASES)
    ]
    report = await world.load(store, tmp_path, now, *lines)
    campaign = await world.sweep_of(store, report, now)
    dialed: Counter[str] = Counter()
    dice = random.Random(11)  # a sample, not a secret
    killed = 0

    async def node(name: str) -> None:
        nonlocal killed
        while True:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__, store_url, campaign.id, name), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            lives = dice.randrange(2, 7)
            mine = 0
            async for line in process.stdout:
                dialed[line.decode().strip()] += 1
                mine += 1
                if mine == lives and killed < KILLS:
                    killed += 1
                    process.kill()
            if await process.wait() == 0:
                return
            assert process.returncode == -signal.SIGKILL

    async with asyncio.timeout(400):
        await asyncio.gather(*(node(f"n{place}") for place in range(NODES)))
    assert killed == KILLS
    assert (await store.sweep.standing(campaign.id)).finished
    assert {number for number, times in dialed.items() if times > 1} == set()
    async with store.database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT number_id, state FROM attempts")).all()
    booked = Counter(row[0] for row in rows)
    assert len(booked) == CASES * 3, "every number was tried"
    assert set(booked.values()) == {1}, "and none of them twice"
    lost = sum(row[1] == AttemptState.LOST for row in rows)
    assert len(rows) - lost <= len(dialed) <= len(rows)
    assert lost <= KILLS, "a node has one call under way, so a kill loses one attempt at most"


if __name__ == "__main__":
    asyncio.run(sweep_as(*sys.argv[1:]))
