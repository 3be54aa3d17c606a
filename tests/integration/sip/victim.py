"""A control process to be killed: places one call and says so. ``victim.py PORT OWN_PORT JOURNAL EVENT``."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import stand_in_relay  # type: ignore[import-not-found]  # beside this script, which runs by itself

from config.clock import SystemClock
from config.settings import Settings, SipSettings, TrunkSettings
from dialer.call import CallId, CallOrder
from dialer.engines.sip.engine import SipTrunkEngine
from recording import tape as tape_module
from recording.tape import Tape


async def main(port: int, own: int, journal: Path, awaited: str) -> None:
    line = TrunkSettings(name="main", host="127.0.0.1", port=port, options_seconds=0)
    sip = SipSettings(bind_host="127.0.0.1", bind_port=own, journal=journal, t1_milliseconds=50)
    engine = SipTrunkEngine(Settings(sip=sip, trunks=(line,)), SystemClock(), stand_in_relay.StandInRelay())
    await engine.start()
    tape = Tape(
        id="t", call_id="c", path=Path("-"), armed_at=datetime.now(UTC), armed_by=tape_module._ARMED_BY_RECORDER
    )
    leg = await engine.place(
        CallOrder(call_id=CallId("c"), attempt_id="a", callee="+8613800138000", tape=tape, set_up_seconds=60)
    )
    async for event in engine.events():
        if type(event).__name__ == awaited:
            print("ready", leg, flush=True)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
