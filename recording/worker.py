"""The processes that seal. Sealing is arithmetic: it stays out of the process that carries calls.

A worker may be killed at any moment; the job it held is run again by a fresh one, and ``seal_call`` is idempotent.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from config.errors import InvariantBroken, Unhealthy
from config.settings import Settings
from recording.recordings import Recording
from recording.seal import seal
from recording.seal_job import SealOrder, SealRoom, SealTape, open_seal_room, seal_call

_TRIES = 3
_room: SealRoom | None = None  # one a process: opened by the pool's initializer


class WorkersLost(Unhealthy):
    """Workers die as soon as they start a job. The tape is kept; the job can be run again."""

    error_id = "workers-lost"


class SealWorkers:
    """A pool of sealing processes for asyncio. Several calls at once; each order is one job."""

    def __init__(self, settings: Settings, seal_tape: SealTape = seal) -> None:
        """``seal_tape`` is a module's function: every worker imports it."""
        self._settings = settings
        self._seal_tape = seal_tape
        self._pool = self._start()

    async def seal(self, order: SealOrder) -> Recording:
        """Run the job; again when its worker was killed. Errors of the job itself come through as they are."""
        for _ in range(_TRIES):
            pool = self._pool
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, _seal, order)
            except BrokenProcessPool:
                if self._pool is pool:  # the first to notice starts a new pool for all
                    self._pool = self._start()
                    pool.shutdown(wait=False)
        raise WorkersLost(
            f"a sealing worker died {_TRIES} times over one tape", remedy="look for the kernel's out-of-memory killer"
        )

    async def close(self) -> None:
        """Let running jobs end."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)

    def process_ids(self) -> tuple[int, ...]:
        """The workers alive now."""
        return tuple(self._pool._processes or {})  # the pool has no public word for it

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._settings.vault.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_open,
            initargs=(self._settings, self._seal_tape),
        )


def _open(settings: Settings, seal_tape: SealTape) -> None:
    global _room
    os.nice(5)  # calls come first
    _room = open_seal_room(settings, seal_tape)


def _seal(order: SealOrder) -> Recording:
    if _room is None:
        raise InvariantBroken("a worker was not opened", remedy="use SealWorkers")
    return seal_call(order, _room)
