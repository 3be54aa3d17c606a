"""The floor's figures, in the trade's terms."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dialer.call import CallId
from dialer.figures import CallTotals, FloorFigures
from tests.unit.floor.test_switchboard import ANSWERS, house


async def test_answers_talk_and_abandonment_are_told_as_ratios(tmp_path: Path) -> None:
    async with house(tmp_path, ANSWERS) as at:
        await at.seat(1)
        agent = at.floor.reserve(CallId("call_1"))
        assert agent is not None
        await at.call(1, agent_id=agent.id)
        await at.call(2)  # nobody is free for it
        await at.clock.advance(60)
        totals = CallTotals(at.clock)
        totals.placed()
        await at.clock.advance(59)
        for call, event in at.ended:
            totals.placed()
            totals.ended(call, event)
        registry = CollectorRegistry()
        registry.register(FloorFigures(totals=totals, floor=at.floor, switchboard=at.switchboard, pacers=list))
        told = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(generate_latest(registry).decode())
            for sample in family.samples
        }
        assert told["onrecord_seizures_total",] == 2
        assert told["onrecord_cps",] == 3 / 60
        await at.clock.advance(2)
        assert totals.cps() == 2 / 60
        assert told["onrecord_asr_ratio",] == 1.0
        assert told["onrecord_abandonment_ratio",] == 0.5
        assert told["onrecord_acd_seconds",] == (30.0 + 2.0) / 2
        assert told["onrecord_agents", "wrap-up"] == 1
        assert told["onrecord_occupancy_ratio",] == 1.0
        assert told["onrecord_erlangs",] == 0
        assert told["onrecord_patched_within_total", "0.01"] == 1
