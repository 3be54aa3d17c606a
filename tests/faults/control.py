"""The control process of the fault drive: real recorder, relay client and seal workers, a ledger instead of a database.

``python -m tests.faults.control FOLDER`` plays the calls of ``FOLDER/plan.json`` that the ledger does not know yet,
finishes what an earlier control left, and ends when every call placed has a sealed recording. It may be killed at any
moment. Each ledger line is on disk before the deed it announces, as the case store's bookings are.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from config.errors import OnrecordError
from config.settings import RecordingSettings, Settings, VaultSettings
from dialer.media.client import MediaRelay, RelayLost, TapeTrouble
from dialer.media.words import RemoteMedia
from recording.recorder import Recorder
from recording.seal_job import SealOrder, open_seal_room, seal_call


class SteppedClock:
    """The wall clock after somebody set it: off by as many seconds as this start of control was told."""

    def __init__(self, ahead: float) -> None:
        self._ahead = timedelta(seconds=ahead)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def settings_of(folder: Path) -> Settings:
    return Settings(
        recording=RecordingSettings(directory=folder / "tapes", shelf=folder / "shelf", low_watermark_bytes=0),
        vault=VaultSettings(
            master_key=f"file:{folder}/keys/master.json",
            signing_key=f"file:{folder}/keys/signing.json",
            state=folder / "proof",
            keep_tapes=True,
        ),
    )


def seal_one(folder: Path, call_id: str) -> float:
    """In a worker. The tape is kept so that the drive may count its frames."""
    room = open_seal_room(settings_of(folder))
    order = SealOrder(
        recording_id=f"rec_{call_id}", call_id=call_id, case_id="case", tape_path=folder / "tapes" / f"{call_id}.tape"
    )
    return seal_call(order, room).seconds


class Ledger:
    def __init__(self, place: Path) -> None:
        self._file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def write(self, what: str, **facts: Any) -> None:
        line = json.dumps({"what": what, "at": time.monotonic_ns(), **facts}) + "\n"
        os.write(self._file, line.encode())
        os.fdatasync(self._file)


def read_ledger(place: Path) -> list[dict[str, Any]]:
    """Without a last line that a kill cut short."""
    if not place.exists():
        return []
    return [json.loads(line) for line in place.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


class Control:
    def __init__(self, folder: Path, ahead: float) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")
        settings = settings_of(folder)
        self.recorder = Recorder(settings.recording, SteppedClock(ahead))
        self.relay = MediaRelay(runtime_dir=folder / "relay", chunk_bytes=64 * 1024)
        self.pool = self._workers()
        self.over: dict[str, asyncio.Event] = {}

    def _workers(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    async def run(self) -> None:
        known = read_ledger(self.folder / "ledger")
        placed = {line["call"] for line in known if line["what"] == "placed"}
        sealed = {line["call"] for line in known if line["what"] == "sealed"}
        for left in await self.relay.start():
            self.ledger.write("closing", call=left.leg)
            await self.relay.close_leg(left.leg)
        self.ledger.write("relay", pid=self.relay.pid)
        listening = asyncio.create_task(self._listen())
        left_behind = [self._seal(call) for call in sorted(placed - sealed)]
        plan = json.loads((self.folder / "plan.json").read_text())
        room = asyncio.Semaphore(plan["at_once"])
        fresh = [self._call(one, room) for one in plan["calls"] if one["id"] not in placed]
        await asyncio.gather(*left_behind, *fresh)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await self.relay.close()
        self.pool.shutdown()
        self.ledger.write("finished")

    async def _listen(self) -> None:
        """The relay's death ends its calls; a new one is started, as the engine does."""
        while True:
            async for event in self.relay.events():
                if isinstance(event, TapeTrouble) and event.leg in self.over:
                    self.ledger.write("trouble", call=event.leg, problem=event.problem)
                    self.over[event.leg].set()
                if isinstance(event, RelayLost):
                    self.ledger.write("relay-lost")
                    for over in self.over.values():
                        over.set()
                    break
            await asyncio.sleep(0.1)
            with suppress(OnrecordError):
                for left in await self.relay.start():
                    await self.relay.close_leg(left.leg)
                self.ledger.write("relay", pid=self.relay.pid)

    async def _call(self, one: dict[str, Any], room: asyncio.Semaphore) -> None:
        call, over = one["id"], asyncio.Event()
        async with room:
            while not self.relay.up:  # noqa: ASYNC110  # no relay, no call; its client has no event for "up"
                await asyncio.sleep(0.05)
            try:
                self.recorder.arm(call)
            except OnrecordError as error:
                self.ledger.write("refused", call=call, problem=error.error_id)
                return
            self.ledger.write("placed", call=call)
            self.over[call] = over
            with suppress(OnrecordError):
                await self._talk(one, over)
            self.over.pop(call)
        await self._seal(call)

    async def _talk(self, one: dict[str, Any], over: asyncio.Event) -> None:
        call = one["id"]
        tape = self.folder / "tapes" / f"{call}.tape"
        address = await self.relay.open_leg(call, kind="customer", tape=tape, bind_host="127.0.0.1")
        await self.relay.set_remote(call, _remote(one["port"]))
        self.ledger.write("answered", call=call, port=address.port)
        await self.relay.mark(call, "answered")
        for share, act in ((0.4, one.get("at_40")), (0.7, one.get("at_70"))):
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), one["seconds"] * (0.4 if share == 0.4 else 0.3))
            if over.is_set():
                break
            if act == "hold":
                await self.relay.set_remote(call, _remote(one["port"], send=False))
            elif act in ("resume", "reinvite"):
                await self.relay.set_remote(call, _remote(one["port"]))
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), one["seconds"] * 0.3)
        self.ledger.write("closing", call=call)
        await self.relay.mark(call, "ended")
        await self.relay.close_leg(call)

    async def _seal(self, call: str) -> None:
        while True:
            pool = self.pool
            try:
                job = asyncio.get_running_loop().run_in_executor(pool, seal_one, self.folder, call)
                for pid in list(pool._processes or ()):  # the drive wants to know whom it may kill
                    self.ledger.write("worker", pid=pid)
                seconds = await job
            except BrokenProcessPool:
                if self.pool is pool:
                    pool.shutdown(wait=False)
                    self.pool = self._workers()
                continue
            self.ledger.write("sealed", call=call, seconds=seconds)
            return


def _remote(port: int, *, send: bool = True) -> RemoteMedia:
    return RemoteMedia(
        host="127.0.0.1",
        port=port,
        codec="PCMA",
        payload_type=8,
        telephone_event_pt=None,
        ptime=20,
        plausible=(),
        send=send,
        receive=True,
    )


if __name__ == "__main__":
    asyncio.run(Control(Path(sys.argv[1]), float(sys.argv[2])).run())
