"""What the last run of this node left when it died: attempts, calls and tapes, each brought to its end at the start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from case_store.calls import UnknownCall
from case_store.model import CallRecord, RecordingState
from case_store.store import CaseStore
from config.clock import Clock
from dialer.call_end import CallEnd
from recording.recorder import Recorder

log = structlog.get_logger(__name__)


class CrashRecovery:
    """``recover`` is called once, before the first call is placed."""

    def __init__(self, *, store: CaseStore, recorder: Recorder, clock: Clock, node: str, end: CallEnd) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._node = node
        self._end = end

    async def recover(self) -> None:
        """What a crash left: attempts become LOST, tapes are sealed and attached to their calls by exact id.

        The work is what lies in the tape directory and what the store still shows as armed, never the history.
        """
        now = self._clock.now()
        lost = await self._store.attempts.recover(self._node, now)
        left = await self._left_tapes()
        if lost or left:
            log.warning("recovering", attempts=len(lost), tapes=len(left))
        await asyncio.gather(*(self._end.seal_left(call, path) for call, path in left))
        unconcluded = {call.id for call, _ in left} | {one.call_id for one in lost if one.call_id is not None}
        for call_id in sorted(unconcluded):
            await self._end.conclude_left(call_id)

    async def _left_tapes(self) -> list[tuple[CallRecord, Path]]:
        left = []
        for tape in await asyncio.to_thread(self._recorder.unsealed):
            try:
                left.append((await self._store.calls.get(tape.call_id), tape.path))
            except UnknownCall:
                # Armed, and then the crash came before the call was written: nobody was called.
                gone = await asyncio.to_thread(self._recorder.discard, tape)
                log.warning("tape-without-call", call=tape.call_id, discarded=gone)
        lying = {call.id for call, _ in left}
        after: str | None = None
        while page := await self._store.recordings.list(state=RecordingState.ARMED, after=after):
            # Sealed by a worker, and then the crash came before the store was told: the manifest knows.
            of_tapes = {one.call_id: Path(one.tape_path) for one in page if one.call_id not in lying}
            calls = [await self._store.calls.get(call_id) for call_id in of_tapes]
            left += [(call, of_tapes[call.id]) for call in calls if call.node == self._node]
            after = page[-1].id
        return left
