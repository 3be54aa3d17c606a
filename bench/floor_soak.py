"""Predictive, end to end, on the real engine: SIP, RTP, tapes, store and seals, against the simulated carrier.

    python -m bench.floor_soak [--agents 30] [--lines 90] [--seconds 600]

Ends with exit code 1 when a customer met silence, a second was not recorded, reconcile finds anything, an answer took
100 ms or more to an agent who was free (p99), or abandonment is above the target (of a run too short for a share to say
much: cannot be chance under it). Rings, talks and wrap-ups are short (means 4, 20 and 4 s), so ten minutes hold the
calls of an hour. Result in ``bench/results/floor_soak.txt`` (of a run of ten minutes; a shorter one is only printed).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

import structlog

from bench.machine import describe_machine, file_system
from case_store.model import CallRecord
from case_store.network import HangupCause
from case_store.outcomes import NewOutcome
from case_store.proof_reads import ProofReads
from config.calendars import Calendar, local_day, local_instant, zone
from config.clock import ShiftedClock
from config.settings import (
    DeskSettings,
    FloorSettings,
    RecordingSettings,
    Settings,
    SipSettings,
    StoreSettings,
    TrunkSettings,
    VaultSettings,
)
from dialer.campaigns import Mode
from dialer.centre import Centre, CentreParts
from dialer.dialing import DialPlan
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.floor import AgentState
from dialer.media.client import MediaRelay
from dialer.simulated.personas import Person, Persona, write_person
from dialer.simulated.processes import start_carrier, start_phones
from recording.from_store import SEALED_STATES, recorded, signalled
from recording.reconcile import RecordedFact, reconcile
from tests.contract.store.world import case_line, load

RESULT = Path(__file__).parent / "results" / "floor_soak.txt"
ANSWER_RATE, RING, TALK, WRAP = 0.35, 4.0, 20.0, 4.0
RINGS_OUT = 0.75  # of those who do not answer; the others are refused at once
TARGET, LIMIT = 0.01, 0.03
ENOUGH = 300  # answers from which on the share itself is judged
CHANCE = 0.001  # of fewer: so unlikely, abandonment is no longer chance under the target
WHOLE_RUN = 600.0


@dataclass(frozen=True, kw_only=True)
class SoakResult:
    """``patch_ms``: from the 200 OK to the relay's word that agent and customer hear each other, sorted."""

    agents: int
    lines: int
    seconds: float
    calls: int
    answered: int
    abandoned: int
    silent: int
    unrecorded_seconds: float
    findings: dict[str, int]
    occupancy: float
    most_legs: int
    patch_ms: tuple[float, ...]
    cpu_share: float
    relay_cpu_share: float

    @property
    def faults(self) -> tuple[str, ...]:
        """What must not be so; empty: all is well."""
        found = {
            "nobody answered": self.answered == 0,
            "a customer met silence": self.silent > 0,
            "a second was not recorded": self.unrecorded_seconds > 0,
            "reconcile found something": bool(self.findings),
            "abandonment is above the target": self._above_target,
            "an agent who was free took 100 ms or more (p99)": self.percentile(0.99) >= 100,
        }
        return tuple(fault for fault, holds in found.items() if holds)

    @property
    def _above_target(self) -> bool:
        if self.answered >= ENOUGH:
            return self.abandoned > TARGET * self.answered
        return _at_least(self.abandoned, self.answered, TARGET) < CHANCE

    def percentile(self, share: float) -> float:
        return self.patch_ms[min(len(self.patch_ms) - 1, int(share * len(self.patch_ms)))] if self.patch_ms else 0.0

    def text(self) -> str:
        share = 100 * self.abandoned / max(1, self.answered)
        return (
            f"{self.agents} agents, {self.lines} lines, {self.seconds:.0f} s, predictive (target 1%)\n"
            f"calls {self.calls}, answered {self.answered}, abandoned {self.abandoned} ({share:.1f}%), "
            f"most calls at once {self.most_legs}\n"
            f"occupancy {100 * self.occupancy:.1f}%\n"
            f"answered and neither agent nor message: {self.silent}\n"
            f"seconds of talk that are on no recording: {self.unrecorded_seconds:.1f}\n"
            f"reconcile findings: {self.findings or 'none'}\n"
            f"200 OK to patched, agent free at once: p50 {self.percentile(0.5):.1f} ms, "
            f"p99 {self.percentile(0.99):.1f} ms, worst {self.percentile(1.0):.1f} ms\n"
            f"CPU, of one core: control {100 * self.cpu_share:.0f}%, relay {100 * self.relay_cpu_share:.0f}%\n"
            + ("all is well" if not self.faults else "NOT WELL: " + "; ".join(self.faults))
        )


def _at_least(drops: int, answers: int, rate: float) -> float:
    """The chance of so many drops or more, were each answer dropped at ``rate``."""
    return 1.0 - sum(math.comb(answers, k) * rate**k * (1 - rate) ** (answers - k) for k in range(drops))


def people(count: int, seed: int) -> dict[str, Person]:
    """Number → who is there: a person who stays until we hang up, a phone that rings out, or a refusal at once."""
    draw = random.Random(seed)
    found = {}
    for n in range(count):
        if draw.random() < ANSWER_RATE:
            after = max(0.5, draw.gauss(RING, RING / 3))
            who = Person(persona=Persona.CARDHOLDER, answer_after=after, waits_for_bye=True, ring_after=0.1)
        elif draw.random() < RINGS_OUT:
            who = Person(persona=Persona.RINGS_OUT, ring_after=0.1)
        else:
            who = Person(persona=Persona.UNAVAILABLE, ring_after=0.1)
        found[f"+861390{n:07d}"] = who
    return found


async def run_soak(root: Path, *, agents: int, lines: int, seconds: float, seed: int = 1) -> SoakResult:
    """One run in an empty folder. Raises what the engine and the store raise."""
    cases = int(lines * (seconds / RING + 2))
    listing = root / "directory.json"
    listing.write_text(json.dumps({one: write_person(who) for one, who in people(cases, seed).items()}))
    carrier = await start_carrier(listing, seed=seed)
    phones = await start_phones(agents)
    try:
        clock = _working_morning()
        settings = _settings(root, carrier.said["host"], carrier.said["port"], lines, agents)
        relay = MediaRelay.from_settings(settings)
        engine = SipTrunkEngine(settings, clock, relay)
        async with Centre.open(settings, CentreParts(engine=engine, clock=clock, people=False)) as centre:
            now = clock.now()
            report = await load(
                centre.store, root, now, *(case_line(f"S{n}", mobile=f"1390{n:07d}") for n in range(cases))
            )
            campaign = await centre.store.sweep.create("soak", [report.placement_id], now, mode=Mode.PREDICTIVE.value)
            for n, uri in enumerate(phones.said["uris"]):
                await centre.seat(DeskSettings(name=f"desk-{n}", uri=uri), agent_id=f"agent-{n}", name=f"Agent {n}")
            return await _dial(centre, relay, campaign.id, agents=agents, lines=lines, seconds=seconds, seed=seed)
    finally:
        await phones.stop()
        await carrier.stop()


async def _dial(
    centre: Centre, relay: MediaRelay, campaign_id: str, *, agents: int, lines: int, seconds: float, seed: int
) -> SoakResult:
    runner = centre.runner(
        await centre.store.sweep.get(campaign_id), DialPlan(lines=lines, ring_seconds=20, redials=False)
    )
    evening = asyncio.Event()
    waited: set[str] = set()
    collectors = asyncio.create_task(_collect(centre, seed, evening, waited))
    began, cpu, relay_cpu = time.monotonic(), _cpu(), _cpu_of(relay)
    dialing = asyncio.create_task(runner.run())
    busy = looks = most = 0
    while time.monotonic() - began < seconds:
        await asyncio.sleep(0.25)
        busy += sum(agent.state in (AgentState.TALKING, AgentState.WRAP_UP) for agent in centre.floor)
        looks += 1
        most = max(most, len(centre.switchboard))
        if dialing.done():
            break
    spent = time.monotonic() - began
    share, relay_share = (_cpu() - cpu) / spent, (_cpu_of(relay) - relay_cpu) / spent
    await runner.pause()
    await dialing
    evening.set()  # what is talked of now need not be waited for
    async with asyncio.timeout(120):
        while len(centre.switchboard) or await _unsealed(centre):  # noqa: ASYNC110  # the store tells nobody
            await asyncio.sleep(0.5)
    collectors.cancel()
    await asyncio.gather(collectors, return_exceptions=True)
    calls = await centre.store.calls.list(limit=100_000)
    answered = [call for call in calls if call.answered_at is not None]
    rows = [row async for row in ProofReads(centre.store.database).recordings(*SEALED_STATES)]
    facts = [fact for row in rows if (fact := recorded(row)) is not None]
    by_call = {fact.call_id: fact for fact in facts}
    ended = [signalled(call) async for call in ProofReads(centre.store.database).ended_calls(None, None)]
    proof = reconcile(ended, facts, None, centre.settings.bill)
    waits = sorted(
        1000 * (call.bridged_at - call.answered_at).total_seconds()
        for call in answered
        if call.bridged_at is not None and call.answered_at is not None and call.id not in waited
    )
    return SoakResult(
        agents=agents,
        lines=lines,
        seconds=spent,
        calls=len(calls),
        answered=len(answered),
        abandoned=sum(call.cause == HangupCause.ABANDONED for call in answered),
        silent=sum(call.bridged_at is None and call.cause != HangupCause.ABANDONED for call in answered),
        unrecorded_seconds=sum(_missing(call, by_call.get(call.id)) for call in answered),
        findings=proof.by_class(),
        occupancy=busy / max(1, looks * agents),
        most_legs=most,
        patch_ms=tuple(waits),
        cpu_share=share,
        relay_cpu_share=relay_share,
    )


def _missing(call: CallRecord, kept: RecordedFact | None) -> float:
    """Seconds of talk beyond the recording, half a second allowed for the moments of answer and end."""
    talk = call.talk_seconds or 0.0
    missing = talk - (kept.seconds if kept is not None else 0.0)
    return missing if missing > 0.5 or kept is None else 0.0


async def _collect(centre: Centre, seed: int, evening: asyncio.Event, waited: set[str]) -> None:
    """Collectors who talk a while, hang up, and enter an outcome a while later; in the evening at once.

    ``waited`` becomes the calls for which no agent was free at the answer.
    """
    draw = random.Random(seed)
    ends: dict[str, float] = {}
    enters: dict[str, float] = {}
    while True:
        now = time.monotonic()
        for call in list(centre.switchboard):
            if call.waited:
                waited.add(call.call_id)
            if call.bridged_at is None or call.agent_id is None:
                continue
            until = ends.setdefault(call.call_id, now + draw.expovariate(1 / TALK) + 3.0)
            if now >= until or (evening.is_set() and (centre.clock.now() - call.bridged_at).total_seconds() > 1):
                await centre.switchboard.hang_up(call)
        for owed in centre.agents.owed():
            if now >= enters.setdefault(owed.call_id, now + draw.expovariate(1 / WRAP) + 0.5) or evening.is_set():
                await centre.agents.conclude(
                    NewOutcome(
                        case_id=owed.case_id,
                        code="SELF_NEGOTIATING",
                        agent_id=owed.agent_id,
                        call_id=owed.call_id,
                        number_id=owed.number_id,
                    )
                )
        for agent in list(centre.floor):
            # A phone that went down took its agent off the floor: whoever has entered what the call came to is back at once.
            gone = agent.state is AgentState.PAUSED and agent.reason == "outcome-missing"
            if gone and all(owed.agent_id != agent.id for owed in centre.agents.owed()):
                await centre.agents.ready(agent.id)
        await asyncio.sleep(0.1)


async def _unsealed(centre: Centre) -> bool:
    calls = await centre.store.calls.list(limit=100_000)
    return any(call.state != "settled" for call in calls)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_of(relay: MediaRelay) -> float:
    """Seconds the relay's process has used: utime and stime of proc(5), counted after the command's closing bracket."""
    assert relay.pid is not None
    fields = Path(f"/proc/{relay.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _working_morning() -> ShiftedClock:
    house = zone("Asia/Shanghai")
    day: date = local_day(datetime.now(UTC), house)
    while not Calendar("CN").is_working_day(day):
        day += timedelta(days=1)
    return ShiftedClock(local_instant(day, clock_time(10), house))


def _settings(root: Path, host: str, port: int, lines: int, agents: int) -> Settings:
    return Settings(
        sip=SipSettings(bind_host="127.0.0.1", bind_port=0, rtp_ports=(0, 0), max_legs=lines + agents + 10),
        trunks=(TrunkSettings(name="simulated", host=host, port=port, channels=lines, cps=50),),
        recording=RecordingSettings(directory=root / "tapes", shelf=root / "shelf", low_watermark_bytes=0),
        store=StoreSettings(url=f"sqlite+aiosqlite:///{root / 'store.db'}"),
        vault=VaultSettings(
            master_key=f"file:{root / 'master.json'}", signing_key=f"file:{root / 'signing.json'}", state=root / "proof"
        ),
        floor=FloorSettings(pace_log=root / "pacing", abandonment_target=TARGET, abandonment_limit=LIMIT),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=30)
    parser.add_argument("--lines", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=600.0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="onrecord-soak-") as folder:
        machine += f"\ntapes and store on {file_system(Path(folder))}"
        result = asyncio.run(run_soak(Path(folder), agents=given.agents, lines=given.lines, seconds=given.seconds))
    text = f"{machine}\n{result.text()}\n"
    sys.stdout.write(text)
    if result.seconds >= WHOLE_RUN:
        RESULT.write_text(text, encoding="utf-8")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
