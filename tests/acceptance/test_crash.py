"""`kill -9` of control, relay and worker in the middle of calls: nothing is lost but a second, nobody is called twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from recording.tape_format import Direction, Record, read_records
from tests.acceptance.demo_run import Carrier, Run, alive, child, demo, descendants, mobiles, simulated_carrier

TALKER = {"persona": "cardholder", "ring_after": 0.1, "answer_after": 0.5, "waits_for_bye": True, "listens": 0.5}
SHORT = ("--agents", "3", "--ring-seconds", "4", "--talk-seconds", "3")


def people(count: int) -> tuple[list[str], dict[str, dict[str, Any]]]:
    numbers = [f"138001380{at:02}" for at in range(count)]
    busy = {"persona": "busy", "ring_after": 0.1, "answer_after": 0.3}
    return numbers, {f"+86{number}": (busy if at % 4 == 3 else TALKER) for at, number in enumerate(numbers)}


def start(folder: Path, far: Carrier, placement: Path) -> Any:
    return demo(folder / "run" / "data", "--trunk", far.trunk, "--placement", str(placement), *SHORT)


def dialed(far: Carrier) -> Counter[str]:
    """How often each number was called, by the carrier's own bill."""
    return Counter(line["number"] for line in far.lines())


def all_sealed_and_attached(run: Run) -> None:
    calls = run.rows("select id, case_id, recording_id, state from calls")
    tapes = {row["id"]: row for row in run.rows("select id, call_id, case_id, state, seconds from recordings")}
    assert calls
    for call in calls:
        tape = tapes[call["recording_id"]]
        assert (tape["call_id"], tape["case_id"]) == (call["id"], call["case_id"])
        assert tape["state"] in ("sealed", "empty"), dict(tape)
        assert call["state"] == "settled"
    assert list((run.data / "tapes").glob("*.tape")) == []


def everybody_called_once(run: Run, numbers: list[str], far: Carrier) -> None:
    attempts = Counter(row["number_id"] for row in run.rows("select number_id from attempts"))
    assert len(attempts) == len(numbers), "the sweep did not come to its end"
    assert set(attempts.values()) == {1}
    assert max(dialed(far).values()) == 1
    live = run.rows("select case_id, count(*) n from next_actions where state = 'live' group by case_id")
    assert len(live) == len(numbers)
    assert {row["n"] for row in live} == {1}


@pytest.mark.parametrize("seed", [1, 2])
def test_control_is_killed_and_then_all_of_it(tmp_path: Path, seed: int) -> None:
    """At random moments of its calls, first control alone, then control, relay and worker; the third start finishes."""
    rng = random.Random(seed)
    numbers, directory = people(8)
    placement = mobiles(tmp_path / "numbers.csv", numbers)
    least: dict[str, float] = {}
    with simulated_carrier(tmp_path / "far", directory) as far:
        for everything in (False, True):
            with start(tmp_path, far, placement) as run:
                run.wait_for("dialing -> answered", count=run.log().count("dialing -> answered") + 1, seconds=90)
                time.sleep(rng.uniform(0.3, 2.5))
                family = descendants(run.process.pid)
                for pid in (run.process.pid, *(family if everything else ())):
                    os.kill(pid, signal.SIGKILL)
                killed = time.monotonic_ns()
                run.process.wait(10)
                for call, (first, last) in _spans(run).items():
                    least[call] = (last - first) / 1e9
                    if everything and call in _talking(run):
                        assert (killed - last) / 1e9 < 1.0, "more than a second of the customer is not on the tape"
        with start(tmp_path, far, placement) as run:
            report = run.report()
            everybody_called_once(run, numbers, far)
            all_sealed_and_attached(run)
        tapes = {tape["call_id"]: tape["seconds"] for tape in report["recordings"]}
        assert least
        assert {call: tapes[call] for call, seconds in least.items() if tapes[call] < seconds - 0.1} == {}
        _all_lines_down(far, len(dialed(far)))


def test_the_relay_is_killed_and_the_run_goes_on(tmp_path: Path) -> None:
    """Its calls end, another relay starts, the desks are nailed up again, the sweep comes to its end."""
    numbers, directory = people(8)
    placement = mobiles(tmp_path / "numbers.csv", numbers)
    with simulated_carrier(tmp_path / "far", directory) as far, start(tmp_path, far, placement) as run:
        run.wait_for("dialing -> answered", count=2, seconds=90)
        time.sleep(0.7)
        os.kill(child(run, "dialer.media.relay"), signal.SIGKILL)
        at = time.monotonic()
        run.wait_for("answered -> ended", seconds=2)
        assert time.monotonic() - at < 2
        run.wait_for('"desk-back"', count=3, seconds=20)
        report = run.report()
        assert any(call["cause"] == "relay-lost" for call in report["calls"])
        everybody_called_once(run, numbers, far)
        all_sealed_and_attached(run)


def test_the_worker_is_killed_and_the_run_goes_on(tmp_path: Path) -> None:
    """Its job is asked for again; every tape is sealed in the same run."""
    numbers, directory = people(6)
    placement = mobiles(tmp_path / "numbers.csv", numbers)
    with simulated_carrier(tmp_path / "far", directory) as far, start(tmp_path, far, placement) as run:
        for count in (1, 3):
            run.wait_for("-> done", count=count, seconds=90)
            os.kill(child(run, "spawn_main"), signal.SIGKILL)
        run.report()
        everybody_called_once(run, numbers, far)
        all_sealed_and_attached(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_ends_its_calls_and_says_what_was_done(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM in the middle: BYE and CANCEL leave, tapes are sealed, a partial report, nobody stays."""
    numbers, directory = people(8)
    placement = mobiles(tmp_path / "numbers.csv", numbers)
    with simulated_carrier(tmp_path / "far", directory) as far, start(tmp_path, far, placement) as run:
        run.wait_for("dialing -> answered", count=2, seconds=90)
        family = descendants(run.process.pid)
        os.killpg(run.process.pid, number)  # what a terminal does: everybody of the group hears it
        assert run.wait(60) == 3, run.err.read_text()
        report = run.said()
        assert report["finished"] is False
        assert "interrupted" in report["stopped_because"]
        assert 0 < len(report["calls"]) < len(numbers)
        assert len(report["recordings"]) == len(report["calls"])
        assert "Traceback" not in run.err.read_text()
        all_sealed_and_attached(run)
        _gone(family, 5)
        _all_lines_down(far, len(report["calls"]))


def _talking(run: Run) -> list[str]:
    return [row["id"] for row in run.rows("select id from calls where state = 'answered'")]


def _spans(run: Run) -> dict[str, tuple[int, int]]:
    """Call id → when its customer's first and last packet was taped (ns, the machine's monotonic clock)."""
    found = {}
    for path in (run.data / "tapes").glob("*.tape"):
        records = read_records(memoryview(path.read_bytes()))
        times = [one.monotonic_ns for one in records if isinstance(one, Record) and one.direction == Direction.FAR]
        if times:
            found[path.stem] = (min(times), max(times))
    return found


def _gone(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while left := alive(pids):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.1)


def _all_lines_down(far: Carrier, calls: int) -> None:
    """The carrier bills a call when it is over: every one it saw must be."""
    deadline = time.monotonic() + 10
    while len(far.lines()) < calls and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(far.lines()) >= calls
