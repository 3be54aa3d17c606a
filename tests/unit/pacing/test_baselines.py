"""One call per agent, VICIdial's methods, and the 30-day gate."""

from __future__ import annotations

import json

import pytest

from config.errors import BadInput
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.ledger import Gated, Ledger
from dialer.pacing.progressive import Progressive
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.state import Answered, Dropped, FloorView, Placed, Sample
from dialer.pacing.vicidial import Method, Vicidial


def test_progressive_keeps_one_call_per_idle_agent() -> None:
    view = FloorView(
        idle=5, ringing=(1, 2), ringing_age=(1.0, 2.0), ringing_rung=(1.0, 2.0), ringing_chance=(None, None)
    )
    assert Progressive().decide(view, 0.0).place == 3
    assert Progressive().decide(FloorView(idle=5, room=1), 0.0).place == 1


def fed(pacer: Vicidial, view: FloorView, seconds: int, start: int = 0) -> Vicidial:
    for second in range(start, start + seconds):
        pacer.observe(Sample(float(second), view))
    return pacer


def test_vicidial_raises_lines_while_agents_idle() -> None:
    pacer = fed(Vicidial(), FloorView(idle=2, talking=(1.0,) * 8), 15)
    assert pacer.lines == pytest.approx(1.2)  # 2 of 10 idle
    fed(pacer, FloorView(idle=10), 15 * 20, start=15)
    assert pacer.lines == 3.0


def test_vicidial_places_up_to_its_lines_in_rounds() -> None:
    pacer = Vicidial(Method.RATIO, lines=2.0)
    view = FloorView(idle=3, talking=(5.0, 5.0))
    pacer.observe(Sample(0.0, view))
    assert pacer.decide(view, 0.0).place == 8  # 2 x 5 less the 2 who talk
    pacer.observe(Sample(1.0, view))
    assert pacer.decide(view, 1.0).place == 0
    pacer.observe(Sample(3.0, view))
    assert pacer.decide(view, 3.0).place == 8


@pytest.mark.parametrize(
    ("method", "lines"), [(Method.HARD_LIMIT, 1.0), (Method.AVERAGE, 1.5), (Method.TAPERED, 2.394)]
)
def test_vicidial_over_its_drop_limit(method: Method, lines: float) -> None:
    pacer = Vicidial(method, lines=3.0)
    for number in range(60):
        pacer.observe(Placed(0.0, number, None, 0.0))
        pacer.observe(Answered(0.0, number))
    for number in range(3):
        pacer.observe(Dropped(0.0, number))
    fed(pacer, FloorView(idle=5, waiting=(1.0,) * 5, talking=(1.0,) * 5), 76)
    expected = {Method.HARD_LIMIT: 1.0, Method.AVERAGE: 1.5, Method.TAPERED: 3.0 * (28800 - 74) / 36.0 / 1000.0}
    assert pacer.lines == pytest.approx(expected[method], abs=0.01)


def test_the_ledger_counts_thirty_days() -> None:
    ledger = Ledger(0.01)
    for _ in range(200):
        ledger.answered(1)
    ledger.dropped(1)
    assert ledger.room(1) == pytest.approx(1.0)
    assert ledger.room(30) == pytest.approx(1.0)
    assert ledger.room(31) == 0.0
    again = Ledger.from_record(json.loads(json.dumps(ledger.as_record())))
    assert again.totals(31) == (0, 0)
    with pytest.raises(BadInput, match="limit"):
        Ledger(1.5)


def test_without_room_there_is_one_call_per_ready_agent() -> None:
    ledger = Ledger(0.01)
    ledger.dropped(1)
    gated = Gated(HazardPacer(0.05), ledger, 1)
    pace = gated.decide(FloorView(idle=3, talking=(100.0,) * 20), 0.0)
    assert (pace.place, pace.why["binding"]) == (3, "ledger")
    assert gated.decide(FloorView(idle=0, talking=(100.0,) * 20), 0.0).place == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_the_budget_holds_whatever_the_pacer_wants(seed: int) -> None:
    ledger = Ledger(0.01)
    gated = Gated(HazardPacer(0.08), ledger, 1, grace=0.0)
    day = run_day(FastFloor(Scenario(agents=10, answer_rate=0.3), seed), gated, hours=1.0)
    assert day.answers > 100
    assert day.drops <= 0.01 * day.answers + 1.0
    assert ledger.totals(1) == (day.answers, day.drops)
