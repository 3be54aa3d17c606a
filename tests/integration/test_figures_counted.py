"""Every figure on /metrics against what happened: a campaign on the simulated carrier, counted by the carrier's own bill, by
the people of the script and by a stop-watch beside the floor."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bench.floor_soak import _settings, _working_morning
from case_store.outcomes import NewOutcome
from config.identity import new_id
from config.settings import DeskSettings
from dialer.call import CallId
from dialer.campaigns import Mode
from dialer.centre import Centre, CentreParts
from dialer.dialing import DialPlan
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.floor import AgentState
from dialer.media.client import MediaRelay
from dialer.simulated.personas import Person, Persona, write_person
from dialer.simulated.processes import start_carrier, start_phones
from tests.contract.store.world import case_line, load

TALKS = Person(persona=Persona.CARDHOLDER, answer_after=0.3, waits_for_bye=True, ring_after=0.1)
SCRIPT: tuple[tuple[Person, str], ...] = (  # who is there, and the cause the network or we give for the end
    (TALKS, "normal"),
    (TALKS, "normal"),
    (Person(persona=Persona.BUSY, ring_after=0.1), "busy"),
    (Person(persona=Persona.RINGS_OUT, ring_after=0.1), "no-answer"),
    (Person(persona=Persona.NOT_FOUND, ring_after=0.1), "unallocated"),
    (Person(persona=Persona.BUSY, ring_after=0.1), "busy"),
    (TALKS, "normal"),
)
LEFT_ALONE = TALKS
PLAN = DialPlan(lines=8, ring_seconds=2, redials=False)
LOOSE = 0.25  # seconds a call by which two ends of a line may differ on a busy machine


def number_of(place: int) -> str:
    return f"1390{place:07d}"


Figures = dict[tuple[str, ...], float]


def figures(centre: Centre) -> Figures:
    """(name, *labels) → value, as a scrape reads it."""
    text = generate_latest(centre.registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Floor:
    """Two collectors who talk for a second, and enter the outcome unless told to leave it."""

    def __init__(self, centre: Centre) -> None:
        self.centre = centre
        self.enters = True
        self.left: list[float] = []  # when each call was first seen on a line

    async def tick(self) -> None:
        for call in list(self.centre.switchboard):
            if call.bridged_at is not None and (self.centre.clock.now() - call.bridged_at).total_seconds() > 1.0:
                await self.centre.switchboard.hang_up(call)
        for owed in self.centre.agents.owed() if self.enters else ():
            await self.centre.agents.conclude(
                NewOutcome(
                    case_id=owed.case_id,
                    code="SELF_NEGOTIATING",
                    agent_id=owed.agent_id,
                    call_id=owed.call_id,
                    number_id=owed.number_id,
                )
            )

    async def until(self, what: Any, within: float = 60.0, *, working: bool = True) -> None:
        async with asyncio.timeout(within):
            while not what():
                if working:
                    await self.tick()
                await asyncio.sleep(0.02)


async def test_every_figure_is_what_happened(tmp_path: Path) -> None:
    listing, bill_path = tmp_path / "directory.json", tmp_path / "bill.jsonl"
    people = [who for who, _cause in SCRIPT] + [LEFT_ALONE]
    listing.write_text(json.dumps({f"+86{number_of(n)}": write_person(who) for n, who in enumerate(people)}))
    carrier = await start_carrier(listing, seed=1, bill=bill_path)
    phones = await start_phones(2)
    try:
        settings = _settings(tmp_path, carrier.said["host"], carrier.said["port"], 8, 2)
        clock = _working_morning()
        engine = SipTrunkEngine(settings, clock, MediaRelay.from_settings(settings))
        async with Centre.open(settings, CentreParts(engine=engine, clock=clock, people=False)) as centre:
            for n, uri in enumerate(phones.said["uris"]):
                await centre.seat(DeskSettings(name=f"desk-{n}", uri=uri), agent_id=f"agent-{n}", name=f"Agent {n}")
            before = figures(centre)
            assert before["onrecord_agents", "ready"] == 2
            for name in ("cps", "erlangs", "asr_ratio", "acd_seconds", "abandonment_ratio", "occupancy_ratio"):
                assert before[f"onrecord_{name}",] == 0
            began = time.monotonic()
            await _dial_the_script(centre, tmp_path)
            await _leave_one_alone(centre, tmp_path)
            said, asked_at = figures(centre), time.monotonic()
            bill = [json.loads(line) for line in bill_path.read_text(encoding="utf-8").splitlines()]
            _compare(said, bill, whole_run_within_a_minute=asked_at - began < 55)
            kept = await centre.store.calls.list()
            waits = [(call.bridged_at - call.answered_at).total_seconds() for call in kept if call.bridged_at]
            assert said["onrecord_patched_within_total", "+Inf"] == len(waits) == 3
            for bound in ("0.01", "0.1", "1.0"):
                assert said["onrecord_patched_within_total", bound] == sum(one <= float(bound) for one in waits)
    finally:
        await phones.stop()
        await carrier.stop()


async def _dial_the_script(centre: Centre, root: Path) -> None:
    floor = Floor(centre)
    now = centre.clock.now()
    lines = [case_line(f"S{n}", mobile=number_of(n)) for n in range(len(SCRIPT))]
    report = await load(centre.store, root, now, *lines)
    campaign = await centre.store.sweep.create("script", [report.placement_id], now, mode=Mode.PROGRESSIVE.value)
    running = asyncio.create_task(centre.runner(campaign, PLAN).run())
    switchboard = centre.switchboard
    await floor.until(lambda: sum(call.bridged_at is not None for call in switchboard) == 2, working=False)
    during = figures(centre)
    assert during["onrecord_erlangs",] == 2
    assert during["onrecord_agents", "talking"] == 2
    assert during["onrecord_occupancy_ratio",] == 1.0
    assert during["onrecord_answers_total",] == 0, "they have not ended"
    await floor.until(running.done)
    await running
    assert figures(centre)["onrecord_occupancy_ratio",] == 0


async def _leave_one_alone(centre: Centre, root: Path) -> None:
    """One agent on a break, the other gone for a meal: the customer who answers hears the message."""
    floor = Floor(centre)
    now = centre.clock.now()
    report = await load(centre.store, root, now, case_line("L0", mobile=number_of(len(SCRIPT))), name="later")
    campaign = await centre.store.sweep.create("later", [report.placement_id], now, mode=Mode.PREDICTIVE.value)
    runner = centre.runner(campaign, PLAN)
    await runner._setter()
    await floor.until(lambda: all(agent.state is AgentState.READY for agent in centre.floor))
    centre.agents.pause("agent-0", "break")
    centre.agents.pause("agent-1", "meal")
    away = figures(centre)
    assert away["onrecord_agents", "paused"] == 2
    assert away["onrecord_occupancy_ratio",] == 0, "nobody is there to be busy"
    (candidate,) = await centre.store.sweep.claim(campaign.id, 1, centre.node, centre.clock.now())
    call = await runner._dialing.place(candidate, PLAN, call_id=CallId(new_id("call")), agent=None)
    assert call is not None
    assert runner.pace_setter is not None
    runner.pace_setter.placed(call)
    await floor.until(lambda: len(centre.switchboard) == 0)
    await centre.switchboard.quiet()
    said = figures(centre)
    for what in ("placed", "answered", "dropped"):
        assert said["onrecord_pacing_total", campaign.id, what] == 1
    assert said["onrecord_ledger_room", campaign.id] == pytest.approx(0.03 * 1 - 1)


def _compare(said: Figures, bill: list[dict[str, Any]], *, whole_run_within_a_minute: bool) -> None:
    answered = [line for line in bill if line["answered_at"] is not None]
    talk = sum(line["seconds"] for line in answered)
    assert (len(bill), len(answered)) == (8, 4), "the carrier saw what the script says"
    assert said["onrecord_seizures_total",] == 8
    assert said["onrecord_answers_total",] == 4
    assert said["onrecord_abandoned_total",] == 1
    ends = {labels[0]: value for (name, *labels), value in said.items() if name == "onrecord_call_ends_total"}
    assert ends == dict(Counter([cause for _who, cause in SCRIPT] + ["abandoned"]))
    assert said["onrecord_talk_seconds_total",] == pytest.approx(talk, abs=4 * LOOSE)
    assert said["onrecord_asr_ratio",] == 4 / 8
    assert said["onrecord_acd_seconds",] == pytest.approx(talk / 4, abs=LOOSE)
    assert said["onrecord_abandonment_ratio",] == 1 / 4
    assert said["onrecord_erlangs",] == 0
    if whole_run_within_a_minute:
        assert said["onrecord_cps",] == pytest.approx(8 / 60)
