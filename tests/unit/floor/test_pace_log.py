"""A pacing log replays to the same decisions, also while it is being written and after a crash, and says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.errors import BadInput
from dialer.pace_log import PaceLog, replay
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.scenario import Scenario
from dialer.pacing.simulator import run_day
from dialer.pacing.state import FloorView, Pace, PacingEvent


class Logged:
    """A pacer whose every word is kept."""

    def __init__(self, log: PaceLog) -> None:
        self._pacer = HazardPacer(0.02)
        self._log = log
        log.begin(self._pacer.as_record())

    every = 1.0
    on_events = True
    soonest = 0.5

    def decide(self, view: FloorView, now: float) -> Pace:
        pace = self._pacer.decide(view, now)
        self._log.decided(view, now, pace)
        return pace

    def observe(self, event: PacingEvent) -> None:
        self._log.told(event)
        self._pacer.observe(event)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = PaceLog(tmp_path_factory.mktemp("pace"), "campaign", 100_000_000)
    run_day(FastFloor(Scenario(agents=7, answer_rate=0.3), 5), Logged(log), hours=0.2)
    log.close()
    return log.path


def decisions(path: Path) -> list[tuple[int, Pace, Pace]]:
    return list(replay(path, HazardPacer.from_record))


def test_every_decision_is_taken_again(written: Path) -> None:
    found = decisions(written)
    assert len(found) > 700
    assert sum(pace.place for _, pace, _ in found) > 50
    assert all(then == again for _, then, again in found)


def test_a_torn_last_line_costs_only_itself(written: Path, tmp_path: Path) -> None:
    whole = written.read_text().splitlines(keepends=True)
    torn = tmp_path / "torn.jsonl"
    torn.write_text("".join(whole[:500]) + whole[500][:25])
    at = [number for number, _, _ in decisions(written)]
    assert [number for number, _, _ in decisions(torn)] == [number for number in at if number <= 500]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda lines: [*lines[:3], "not json\n"], "line 4"),
        (lambda lines: lines[1:], "line 1"),
        (lambda lines: [lines[0], '{"e":"Teleported","at":1.0}\n'], "line 2"),
        (lambda lines: [lines[0], '{"e":"Answered","when":1.0}\n'], "line 2"),
        (lambda lines: ['{"pacer":{"patience":2.0}}\n', *lines[1:]], "line 1"),
        (lambda lines: [lines[0], '{"view":{},"now":1.0}\n'], "line 2"),
    ],
)
def test_a_foreign_log_is_refused_by_line(spoil: Any, line: str, written: Path, tmp_path: Path) -> None:
    file = tmp_path / "spoilt.jsonl"
    file.write_text("".join(spoil(written.read_text().splitlines(keepends=True)[:50])))
    with pytest.raises(BadInput) as refused:
        decisions(file)
    assert refused.value.field == line
