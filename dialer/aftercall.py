"""After the call, in a worker process: the tape becomes a recording, and what was heard becomes the network's word.

The worker only reads and writes files; the store hears of it from control. Killed half-way, it is simply asked
again: every step is idempotent (see ``recording.seal_job``).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from io import BytesIO
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import soundfile
import structlog

from case_store.network import HangupCause
from config.settings import Settings
from dialer.progress.announcements import AnnouncementHeard, AnnouncementLibrary, read_library
from dialer.progress.category import Progress, classify
from dialer.progress.machine import who_answered
from dialer.progress.tones import find_tones
from dialer.simulated.collector import recognise_speech
from recording.recordings import Recording
from recording.seal import seal
from recording.seal_job import SealOrder, SealRoom, open_object, open_seal_room, seal_call

log = structlog.get_logger(__name__)

RATE = 8000
_EARLY_SECONDS = 60  # networks hold a line with an announcement for as long as this
_FIRST_WORDS_SECONDS = 6  # what a machine verdict looks at

Pcm = npt.NDArray[np.int16]
_Done = TypeVar("_Done")


@dataclass(frozen=True, kw_only=True, slots=True)
class AfterCallOrder:
    """Everything a worker needs; picklable."""

    seal: SealOrder
    cause: HangupCause
    sip_status: int | None
    q850: int | None
    rang: bool
    answered_at: datetime | None
    set_up_seconds: float
    by_simulation: bool = False  # a simulated collector wants to know which of our clips was spoken
    keep_in: Path | None = None  # the raw tape and plain sealed sound are left here, named by call id


@dataclass(frozen=True, kw_only=True, slots=True)
class AfterCall:
    recording: Recording
    progress: Progress
    heard: str | None  # the clip a simulated collector recognised


class Workshop:
    """The pool of workers. A worker that dies takes only its own job with it, which is asked for again."""

    def __init__(self, settings: Settings, workers: int = 1) -> None:
        self._settings = settings
        self._workers = workers
        self._pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers, mp_context=get_context("spawn"), initializer=_open_worker, initargs=(self._settings,)
        )

    async def finish(self, order: AfterCallOrder) -> AfterCall:
        """Raises what sealing raises (``Unhealthy`` kinds); a killed worker is replaced, three times at most."""
        return await self._in_worker(partial(_work, order), order.seal.call_id)

    async def warm_up(self) -> None:
        """Import and open everything once, before the first call ends."""
        await self._in_worker(_warm, None)

    async def _in_worker(self, job: Callable[[], _Done], call_id: str | None) -> _Done:
        loop = asyncio.get_running_loop()
        for tries_left in (2, 1, 0):
            pool = self._pool
            try:
                return await loop.run_in_executor(pool, job)
            except BrokenProcessPool:
                log.error("worker-died", call=call_id, tries_left=tries_left)
                if tries_left == 0:
                    raise
                if self._pool is pool:
                    pool.shutdown(wait=False)
                    self._pool = self._open()
        raise AssertionError("unreachable")

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def _work(order: AfterCallOrder) -> AfterCall:
    room = _room()
    if order.keep_in is not None and order.seal.tape_path.exists():
        shutil.copy2(order.seal.tape_path, order.keep_in / order.seal.tape_path.name)
    recording = seal_call(order.seal, room)
    master = _master(recording, room)
    if order.keep_in is not None and master is not None:
        _keep(master, order.keep_in / f"{recording.call_id}.flac")
    customer = _customer_channel(master, recording)
    split = len(customer)
    if order.answered_at is not None:
        split = min(split, max(0, round((order.answered_at - recording.started_at).total_seconds() * RATE)))
    before, after = customer[:split][-_EARLY_SECONDS * RATE :], customer[split:]
    heard = recognise_speech(after) if order.by_simulation and after.any() else None
    return AfterCall(recording=recording, progress=_listen(order, before, after), heard=heard)


_worker_settings: list[Settings] = []


def _open_worker(settings: Settings) -> None:
    os.nice(5)  # calls come first
    _worker_settings[:] = [settings]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is control's: it still wants tapes sealed
    threading.Thread(target=_end_with_control, daemon=True).start()


def _end_with_control() -> None:
    """A worker whose control was killed would wait for work for ever. Its job is begun anew by the next start."""
    control = parent_process()
    assert control is not None
    control.join()
    os._exit(1)


def _warm() -> None:
    _room()
    _library()


@lru_cache(maxsize=1)
def _room() -> SealRoom:
    return open_seal_room(_worker_settings[0], seal)


@lru_cache(maxsize=1)
def _library() -> AnnouncementLibrary:
    return read_library()


def _master(recording: Recording, room: SealRoom) -> bytes | None:
    """The sealed sound, read back from the shelf: what is proven is what is judged."""
    master = recording.object("master")
    return open_object(room.shelf, room.keys, master.name).read(0, master.plain_bytes) if master is not None else None


def _keep(master: bytes, path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(master)
    part.replace(path)


def _customer_channel(master: bytes | None, recording: Recording) -> Pcm:
    if master is None or recording.seconds == 0:
        return np.zeros(0, dtype=np.int16)
    samples, _rate = soundfile.read(BytesIO(master), dtype="int16", always_2d=True)
    right: Pcm = samples[:, 1]
    return right


def _listen(order: AfterCallOrder, before: Pcm, after: Pcm) -> Progress:
    announcement: AnnouncementHeard | None = None
    tone = None
    machine = None
    if order.answered_at is None and before.any():
        announcement = _library().recognise(before)
        tones = find_tones(before)
        tone = tones[-1] if tones else None
    if order.answered_at is not None and after.any():
        machine = who_answered(after[: _FIRST_WORDS_SECONDS * RATE])
    return classify(
        cause=order.cause,
        sip_status=order.sip_status,
        q850=order.q850,
        answered=order.answered_at is not None,
        rang=order.rang,
        announcement=announcement,
        tone=tone,
        machine=machine,
        delay=order.set_up_seconds,
    )
