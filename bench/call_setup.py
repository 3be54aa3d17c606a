"""Call set-up: rate and CPU a call, against SIPp answering. ``python -m bench.call_setup [--rate 60] [--seconds 15]``.

A set-up is: tape armed, relay leg opened, INVITE, 180, 200, ACK, then BYE half a second later, tape closed. CPU is that of
this process (signalling and dialer threads) and of the relay; SIPp shares the machine and is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import socket
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.clock import SystemClock
from config.identity import new_id
from config.settings import RecordingSettings, Settings, SipSettings, TrunkSettings
from dialer.call import CallId, CallOrder, LegId
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.events import LegAnswered, LegDialed, LegEnded
from dialer.media.client import MediaRelay
from recording.recorder import Recorder

RESULT = Path(__file__).parent / "results" / "call_setup.json"
HOST = "127.0.0.1"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(rate: float, seconds: float, folder: Path) -> dict[str, Any]:
    port = _free_port()
    sipp = await asyncio.create_subprocess_exec(
        "sipp", "-sn", "uas", "-i", HOST, "-p", str(port), "-mp", str(_free_port()), "-nostdin",
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await asyncio.sleep(1)
    line = TrunkSettings(
        name="sipp",
        host=HOST,
        port=port,
        cps=500,
        channels=10000,
        options_seconds=0,
        session_expires=0,
        codecs=("PCMU",),
    )
    settings = Settings(sip=SipSettings(bind_host=HOST, bind_port=0, max_legs=5000), trunks=(line,))
    relay = MediaRelay(runtime_dir=folder / "relay")
    recorder = Recorder(RecordingSettings(directory=folder / "tapes", low_watermark_bytes=0), SystemClock())
    engine = SipTrunkEngine(settings, SystemClock(), relay)
    await engine.start()
    dialed: dict[LegId, float] = {}
    answered: dict[LegId, float] = {}
    ended: dict[str, int] = {}
    done = asyncio.Event()
    total = int(rate * seconds)

    async def listen() -> None:
        async for event in engine.events():
            if isinstance(event, LegDialed):
                dialed[event.leg] = event.at.timestamp()
            elif isinstance(event, LegAnswered):
                answered[event.leg] = event.at.timestamp()
                asyncio.get_running_loop().call_later(
                    0.5, lambda leg=event.leg: asyncio.ensure_future(engine.hangup(leg))
                )
            elif isinstance(event, LegEnded):
                ended[event.cause.value] = ended.get(event.cause.value, 0) + 1
                if sum(ended.values()) == total:
                    done.set()

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.5)
    cpu, relay_cpu, began = _cpu_seconds(), float(relay.status.get("cpu_seconds", 0.0)), time.monotonic()

    async def place(number: int) -> None:
        call = CallId(new_id("call"))
        tape = await asyncio.to_thread(recorder.arm, call)
        await engine.place(CallOrder(call_id=call, attempt_id="bench", callee=f"+86138{number:08d}", tape=tape))

    async with asyncio.TaskGroup() as placing:
        for number in range(total):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            placing.create_task(place(number))
    placed_in = time.monotonic() - began
    await asyncio.wait_for(done.wait(), 60)
    await asyncio.sleep(0.5)
    cpu, relay_cpu = _cpu_seconds() - cpu, float(relay.status["cpu_seconds"]) - relay_cpu
    await engine.close()
    await listening
    sipp.kill()
    await sipp.wait()
    delays = sorted(1000 * (answered[leg] - dialed[leg]) for leg in answered)
    return {
        "calls": total,
        "answered": len(answered),
        "ended": ended,
        "wanted_per_second": rate,
        "placed_per_second": round(total / placed_in, 1),
        "cpu_ms_per_call": round(1000 * cpu / total, 2),
        "relay_cpu_ms_per_call": round(1000 * relay_cpu / total, 2),
        "invite_to_answer_ms": {
            "median": round(delays[len(delays) // 2], 2),
            "p99": round(delays[len(delays) * 99 // 100], 2),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(arguments.rate, arguments.seconds, Path(folder)))
    cpu = next(
        (row.split(":")[1].strip() for row in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in row),
        "?",
    )
    load = Path("/proc/loadavg").read_text().split()[0]
    result["machine"] = {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release()}
    result["load_average"], result["date"] = load, datetime.now(UTC).isoformat(timespec="seconds")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
