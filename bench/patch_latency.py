"""From a customer's 200 OK to its first sound at the agent's phone, on the real engine: ``python -m bench.patch_latency``.

The whole centre (progressive campaign, policy, SQLite store, SIP, relay, tapes, seals) keeps ``--calls`` calls up; each
new answer is patched to an agent whose phone is nailed up. Both moments are taken in the far side's process
(``bench.patch_peers``): the 200 OK leaving it, the packet arriving at it. A customer speaks every 20 ms, so 10 ms in the
mean are the wait for its next packet. Only answers that came while ``--calls`` less a tenth were talking are counted.

Exit code 1 when p99 is not under ``--limit`` ms. About a minute; result in ``bench/results/patch_latency.txt``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from bench.floor_soak import _cpu, _settings, _working_morning
from bench.machine import core_wait_seconds, describe_machine
from case_store.outcomes import NewOutcome
from config.settings import DeskSettings
from dialer.campaigns import Mode
from dialer.centre import Centre, CentreParts
from dialer.dialing import DialPlan
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.media.client import MediaRelay
from tests.contract.store.world import case_line, load

RESULT = Path(__file__).parent / "results" / "patch_latency.txt"
RING, TALK = 1.0, 15.0


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """``heard``: 200 OK to first sound, ms, sorted; ``bridged``: answer as control saw it to the relay's word, ms, sorted."""

    answers: int
    unheard: int
    heard: tuple[float, ...]
    bridged: tuple[float, ...]
    control_cpu: float
    relay_cpu: float
    control_waited: float
    relay_waited: float

    def as_json(self) -> dict[str, Any]:
        return {
            "answers_counted": self.answers,
            "never_heard": self.unheard,
            "answer_to_first_audio_ms": _percentiles(self.heard),
            "control_answered_to_bridged_ms": _percentiles(self.bridged),
            "control_cpu_share": round(self.control_cpu, 3),
            "relay_cpu_share": round(self.relay_cpu, 3),
            "control_waited_for_a_core": round(self.control_waited, 3),
            "relay_waited_for_a_core": round(self.relay_waited, 3),
        }


def _percentiles(sorted_ms: tuple[float, ...]) -> dict[str, float]:
    if not sorted_ms:
        return {}
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "worst": 1.0}
    last = len(sorted_ms) - 1
    return {name: round(sorted_ms[min(last, int(share * len(sorted_ms)))], 1) for name, share in shares.items()}


async def measure(root: Path, *, calls: int, seconds: float) -> Latencies:
    """One run in an empty folder. Raises what the engine and the store raise."""
    peers = await asyncio.create_subprocess_exec(
        *(("nice", "-n", "-10") if os.geteuid() == 0 else ()),  # stands for other machines
        sys.executable, "-m", "bench.patch_peers", "--ring", str(RING), "--talk", str(TALK),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    assert peers.stdout is not None
    try:
        ports = json.loads(await peers.stdout.readline())
        agents = calls + 2 * int(calls / TALK) + 5  # some ring, some wrap up
        clock = _working_morning()
        settings = _settings(root, "127.0.0.1", ports["carrier"], agents, agents)
        relay = MediaRelay.from_settings(settings)
        engine = SipTrunkEngine(settings, clock, relay)
        async with Centre.open(settings, CentreParts(engine=engine, clock=clock, people=False)) as centre:
            cases = calls + int(3 * seconds * calls / TALK)
            now = clock.now()
            report = await load(
                centre.store, root, now, *(case_line(f"S{n}", mobile=f"1390{n:07d}") for n in range(cases))
            )
            campaign = await centre.store.sweep.create("patch", [report.placement_id], now, mode=Mode.PROGRESSIVE.value)
            for n in range(agents):
                uri = f"sip:desk{n}@127.0.0.1:{ports['phones']}"
                await centre.seat(DeskSettings(name=f"desk-{n}", uri=uri), agent_id=f"agent-{n}", name=f"Agent {n}")
            used = await _dial(centre, relay, campaign.id, lines=agents, seconds=seconds)
            bridged = [
                1000 * (call.bridged_at - call.answered_at).total_seconds()
                for call in await centre.store.calls.list(limit=100_000)
                if call.bridged_at is not None and call.answered_at is not None
            ]
    finally:
        out, _ = await peers.communicate(b"")
    counted = [one for one in json.loads(out)["answers"] if one["talking"] >= 0.9 * calls]
    heard = sorted(one["ms"] for one in counted if one["ms"] is not None)
    return Latencies(
        answers=len(counted),
        unheard=len(counted) - len(heard),
        heard=tuple(heard),
        bridged=tuple(sorted(bridged)),
        control_cpu=used[0],
        relay_cpu=used[1],
        control_waited=used[2],
        relay_waited=used[3],
    )


async def _dial(
    centre: Centre, relay: MediaRelay, campaign_id: str, *, lines: int, seconds: float
) -> tuple[float, float, float, float]:
    plan = DialPlan(lines=lines, ring_seconds=20, redials=False)
    runner = centre.runner(await centre.store.sweep.get(campaign_id), plan)
    collectors = asyncio.create_task(_conclude(centre))
    assert relay.pid is not None
    began, before = time.monotonic(), _used(relay, relay.pid)
    dialing = asyncio.create_task(runner.run())
    await asyncio.wait({dialing}, timeout=seconds)
    spent = time.monotonic() - began
    shares = [(now - then) / spent for now, then in zip(_used(relay, relay.pid), before, strict=True)]
    await runner.pause()
    await dialing
    for call in list(centre.switchboard):
        await centre.switchboard.hang_up(call)
    await asyncio.sleep(1)
    collectors.cancel()
    await asyncio.gather(collectors, return_exceptions=True)
    return shares[0], shares[1], shares[2], shares[3]


def _used(relay: MediaRelay, pid: int) -> tuple[float, float, float, float]:
    return _cpu(), float(relay.status["cpu_seconds"]), core_wait_seconds(os.getpid()), core_wait_seconds(pid)


async def _conclude(centre: Centre) -> None:
    """Collectors who enter an outcome at once."""
    while True:
        for owed in centre.agents.owed():
            await centre.agents.conclude(
                NewOutcome(
                    case_id=owed.case_id,
                    code="SELF_NEGOTIATING",
                    agent_id=owed.agent_id,
                    call_id=owed.call_id,
                    number_id=owed.number_id,
                )
            )
        await asyncio.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--limit", type=float, default=60.0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="onrecord-patch-") as folder:
        result = asyncio.run(measure(Path(folder), calls=given.calls, seconds=given.seconds))
    figures = {"calls": given.calls, "seconds": given.seconds, **result.as_json()}
    text = f"python -m bench.patch_latency\n{describe_machine()}\n{json.dumps(figures, indent=1)}\n"
    sys.stdout.write(text)
    RESULT.write_text(text, encoding="utf-8")
    return 0 if result.heard and not result.unheard and _percentiles(result.heard)["p99"] < given.limit else 1


if __name__ == "__main__":
    sys.exit(main())
