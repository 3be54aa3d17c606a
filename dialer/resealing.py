"""Tapes whose seal failed are sealed again while the node runs: a key service that was away, a shelf that was full.

The tape lies where it was, or is on the shelf already, and its recording says ``failed``. Each is tried again after a while that doubles, so that one
tape that can never be sealed costs next to nothing; a start of the node tries all of them at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from case_store.model import CallRecord, RecordingState
from case_store.store import CaseStore
from config.clock import Clock
from config.errors import OnrecordError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 3600.0


class Resealing:
    """``seal`` brings one left tape home, or marks it failed again; ``healthy`` says when it is worth a try."""

    def __init__(
        self,
        *,
        store: CaseStore,
        node: str,
        clock: Clock,
        healthy: Callable[[], bool],
        seal: Callable[[CallRecord, Path], Awaitable[None]],
    ) -> None:
        self._store = store
        self._node = node
        self._clock = clock
        self._healthy = healthy
        self._seal = seal
        self._next: dict[str, tuple[float, float]] = {}  # recording → (not before, wait after that)

    async def run(self) -> None:
        """Until cancelled. A look costs one small query; what the store cannot answer now is asked at the next."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if not self._healthy():
                continue
            try:
                await self.look()
            except OnrecordError as error:
                log.error("resealing", error_id=error.error_id, problem=error.problem)

    async def look(self) -> int:
        """Try every failed tape of this node that is due; how many were tried."""
        now, tried, after = self._clock.monotonic(), 0, None
        failed: set[str] = set()
        while page := await self._store.recordings.list(state=RecordingState.FAILED, after=after):
            after = page[-1].id
            for one in page:
                failed.add(one.id)
                due, wait = self._next.get(one.id, (now + FIRST_SECONDS, FIRST_SECONDS * 2))
                if one.id not in self._next or now < due:
                    self._next.setdefault(one.id, (due, wait))
                    continue
                self._next[one.id] = (now + wait, min(wait * 2, LONGEST_SECONDS))
                call = await self._store.calls.get(one.call_id)
                if call.node == self._node:
                    # Its tape may be gone: sealed and shelved, and then what was to listen to it failed. The manifest knows.
                    tried += 1
                    await self._seal(call, Path(one.tape_path))
        self._next = {name: when for name, when in self._next.items() if name in failed}
        return tried
