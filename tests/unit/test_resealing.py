"""A failed tape is tried again while the node runs, ever more seldom, and never one of another node."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from config.clock import VirtualClock
from dialer.resealing import FIRST_SECONDS, LONGEST_SECONDS, Resealing


@dataclass
class Row:
    id: str
    tape_path: str
    node: str = "here"

    @property
    def call_id(self) -> str:
        return self.id


@dataclass
class Shelved:
    """As much of a case store as resealing asks for."""

    rows: list[Row] = field(default_factory=list)

    @property
    def recordings(self) -> Any:
        return self

    @property
    def calls(self) -> Any:
        return self

    async def list(self, *, state: object, after: str | None) -> tuple[Row, ...]:
        return tuple([row for row in self.rows if after is None or row.id > after][:2])

    async def get(self, call_id: str) -> Row:
        return next(row for row in self.rows if row.id == call_id)


async def test_each_failed_tape_is_tried_ever_more_seldom(tmp_path: Path) -> None:
    tape = tmp_path / "a.tape"
    tape.touch()
    store = Shelved([Row("a", str(tape)), Row("c", str(tape), "elsewhere"), Row("d", str(tape))])
    clock, tried = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)), []

    async def seal(call: Any, path: Path) -> None:
        tried.append((call.id, clock.monotonic()))
        if call.id == "d":  # this one comes home at once
            store.rows = [row for row in store.rows if row.id != "d"]

    resealing = Resealing(store=store, node="here", clock=clock, healthy=lambda: True, seal=seal)  # type: ignore[arg-type]  # see Shelved
    hours = 12
    for _ in range(int(hours * 3600 / 5)):
        await resealing.look()
        await clock.advance(5)
    assert [name for name, _ in tried].count("d") == 1
    times = [at for name, at in tried if name == "a"]
    assert {name for name, _ in tried} == {"a", "d"}
    assert times[0] == FIRST_SECONDS
    waits = [later - before for before, later in pairwise(times)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_SECONDS
    assert len(times) < 25
