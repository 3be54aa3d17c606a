"""One short demo over real SIP and RTP, then every proof over what it left: clean as it is, and each damage found."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.commands import run as onrecord

# Of the simulated carrier's directory (dialer/simulated/sample): who answers, who does not, and how.
PEOPLE = {
    "+8619926054885": "promises",
    "+8619986231721": "raises funds",
    "+8657165502908": "puts us on hold",
    "+8657161730790": "a machine",
    "+8618694437489": "a colour ring",
    "+8615010273698": "wrong number",
    "+861065446594": "busy",
    "+862164104558": "404",
}


class Run:
    """A finished demo's folder and the command line over it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def say(self, *words: str) -> tuple[int, dict[str, Any]]:
        self._capsys.readouterr()
        code = onrecord(["--config", str(self.folder / "onrecord.toml"), *words, "--json"])
        return code, json.loads(self._capsys.readouterr().out)

    def ask(self, query: str) -> list[Any]:
        with sqlite3.connect(self.folder / "onrecord.db") as raw:
            found = raw.execute(query).fetchall()
        raw.close()
        return found

    def force(self, statement: str) -> None:
        """As somebody who owns the database file: the triggers that refuse it are dropped first."""
        for (name,) in self.ask("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            self.ask(f"DROP TRIGGER {name}")
        self.ask(statement)

    def answered(self) -> tuple[str, str]:
        """(recording id, call id) of the longest conversation."""
        [(recording, call)] = self.ask(
            "SELECT recording_id, id FROM calls WHERE answered_at IS NOT NULL ORDER BY talk_seconds DESC LIMIT 1"
        )
        return recording, call

    def master(self) -> Path:
        return self.folder / "shelf" / "audio" / f"{self.answered()[0]}.flac.vault"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proofs")
    placement = folder / "placement.csv"
    rows = [f"P{n},人{n},1000.00,CNY,{number}" for n, number in enumerate(PEOPLE)]
    placement.write_text("\n".join(["case_ref,debtor_name,balance,currency,mobile", *rows]), encoding="utf-8")
    made = subprocess.run(  # our own command
        [str(Path(sys.executable).with_name("onrecord")), "demo", "--json", "--agents", "8", "--data", str(folder / "run"),
         "--placement", str(placement)],
        capture_output=True, text=True, timeout=170,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    said = json.loads(made.stdout)
    assert len(said["calls"]) == len(PEOPLE)
    assert sum(call["answered"] for call in said["calls"]) >= 4
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of it that may be damaged."""
    monkeypatch.setenv("ONRECORD_CONFIG", "")  # given back afterwards: --config writes there
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("*.sock"))
    settings = folder / "onrecord.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace(str(finished), str(folder)), encoding="utf-8")
    return Run(folder, capsys)


def bill(run: Run, change: Callable[[list[dict[str, str]]], None] = lambda rows: None) -> Path:
    """The carrier's own lines as the CSV it would send. Its clock is the real one, the demo's stands elsewhere."""
    lines = [json.loads(line) for line in (run.folder / "carrier-bill.jsonl").read_text().splitlines()]
    [(first,)] = run.ask("SELECT min(answered_at) FROM calls WHERE answered_at IS NOT NULL")
    ours = datetime.fromisoformat(first).replace(tzinfo=UTC)
    theirs = min(datetime.fromisoformat(line["answered_at"]) for line in lines if line["answered_at"])
    rows = [
        {
            "started_at": (datetime.fromisoformat(line["invited_at"]) + (ours - theirs)).isoformat(),
            "callee": line["number"],
            "seconds": str(-(-int(line["seconds"] * 1000) // 1000)),
        }
        for line in lines
    ]
    change(rows)
    place = run.folder / "bill.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["started_at", "callee", "seconds"])
        writer.writeheader()
        writer.writerows(rows)
    return place


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_what_the_demo_leaves_holds(run: Run) -> None:
    code, said = run.say("verify", "--deep")
    assert (code, said["failures"]) == (0, [])
    assert said["recordings"] == said["recordings_ok"] == len(PEOPLE)
    code, said = run.say("reconcile")
    assert (code, said["gaps"]) == (0, [])
    assert said["calls"] == said["clean"] == len(PEOPLE)


def test_the_carriers_own_bill_agrees(run: Run) -> None:
    code, said = run.say("reconcile", "--carrier-bill", str(bill(run)))
    assert (code, said["gaps"]) == (0, [])
    assert set(said) == {"calls", "clean", "gaps"}


def test_a_call_the_bill_has_and_we_do_not_was_made_outside(run: Run) -> None:
    def outside(rows: list[dict[str, str]]) -> None:
        later = datetime.fromisoformat(rows[0]["started_at"]) + timedelta(minutes=20)
        rows.append({"started_at": later.isoformat(), "callee": "13800001111", "seconds": "61"})

    code, said = run.say("reconcile", "--carrier-bill", str(bill(run, outside)))
    assert code == 3
    assert [gap["class"] for gap in said["gaps"]] == ["unknown_to_us"]


def test_a_row_missing_on_the_bill_is_named(run: Run) -> None:
    def lost(rows: list[dict[str, str]]) -> None:
        longest = max(rows, key=lambda row: int(row["seconds"]))
        rows.remove(longest)

    code, said = run.say("reconcile", "--carrier-bill", str(bill(run, lost)))
    assert code == 1
    assert [(gap["class"], gap["call_id"]) for gap in said["gaps"]] == [("not_billed", run.answered()[1])]


def test_a_longer_call_on_the_bill_is_short_with_us(run: Run) -> None:
    def longer(rows: list[dict[str, str]]) -> None:
        longest = max(rows, key=lambda row: int(row["seconds"]))
        longest["seconds"] = str(int(longest["seconds"]) + 30)

    code, said = run.say("reconcile", "--carrier-bill", str(bill(run, longer)))
    assert code == 1
    assert [(gap["class"], gap["call_id"]) for gap in said["gaps"]] == [("short", run.answered()[1])]


def test_a_removed_recording_is_found(run: Run) -> None:
    run.master().unlink()
    code, said = run.say("verify")
    assert code == 1
    assert [(one["kind"], one["id"]) for one in said["failures"]] == [("object-missing", run.answered()[0])]


@pytest.mark.parametrize(
    "change",
    [
        "call_id = 'call_elsewhere'",
        "seconds = seconds + 0.02",
        "vitals = json_set(vitals, '$.clipping_ppm', 7)",
        'gaps = json_insert(gaps, \'$[#]\', json(\'{"channel": "agent", "start": 0.0, "seconds": 1.0}\'))',
        "manifest = json_set(manifest, '$.objects.master', 'audio/another.flac.vault')",
        "path = 'audio/another.flac.vault'",
    ],
)
def test_what_the_store_says_of_a_recording_must_be_what_was_sealed(run: Run, change: str) -> None:
    recording, _ = run.answered()
    run.force(f"UPDATE recordings SET {change} WHERE id = '{recording}'")
    code, said = run.say("verify")
    assert code == 1
    assert [(one["kind"], one["id"]) for one in said["failures"]] == [("recording-misfiled", recording)]


def test_a_row_that_cannot_be_read_says_so(run: Run) -> None:
    run.force(f"UPDATE recordings SET armed_at = '2026,11-27 08:30' WHERE id = '{run.answered()[0]}'")
    code, said = run.say("verify")
    assert (code, said["error_id"]) == (1, "store-damaged")


def test_a_page_of_the_database_that_is_damaged_says_so(run: Run) -> None:
    run.ask("PRAGMA wal_checkpoint(TRUNCATE)")
    [(root,)] = run.ask("SELECT rootpage FROM sqlite_master WHERE name = 'recordings'")
    [(size,)] = run.ask("PRAGMA page_size")
    flip(run.folder / "onrecord.db", (root - 1) * size)  # the page's kind
    code, said = run.say("verify")
    assert (code, said["error_id"]) == (1, "store-damaged")


def test_one_flipped_bit_of_sound_or_manifest_is_found(run: Run) -> None:
    flip(run.master(), 5000)
    flip(run.folder / "shelf" / "manifests" / f"{run.answered()[0]}.json", 300)
    code, said = run.say("verify")
    assert code == 1
    kinds = {one["kind"] for one in said["failures"]}
    assert "manifest-damaged" in kinds


def test_a_recording_forgotten_by_the_store_is_a_call_without_one(run: Run) -> None:
    recording, call = run.answered()
    run.force(f"UPDATE recordings SET state = 'armed', sealed_at = NULL WHERE id = '{recording}'")
    code, said = run.say("reconcile")
    assert code == 3
    assert [(gap["class"], gap["call_id"]) for gap in said["gaps"]] == [("not_recorded", call)]


def test_the_last_recording_with_its_manifest_taken_away_is_missed_by_the_anchored_head(run: Run) -> None:
    """The store rolled back with it: only the anchored head of the manifest chain still knows."""
    chain = (run.folder / "proof" / "manifests-node.chain").read_text().splitlines()
    manifests = (run.folder / "shelf" / "manifests").glob("*.json")
    last = next(place for place in manifests if json.loads(place.read_bytes())["body"]["seq"] == len(chain))
    last.unlink()
    run.force(f"UPDATE recordings SET state = 'failed' WHERE id = '{last.stem}'")
    code, said = run.say("verify")
    assert code == 1
    assert "manifest-truncated" in {one["kind"] for one in said["failures"]}


def test_a_cut_audit_log_is_found(run: Run) -> None:
    recording, _ = run.answered()
    for number in range(3):
        code, _said = run.say(
            "export", recording, "--out", str(run.folder / f"out{number}"), "--actor", "qa", "--reason", "spot check"
        )
        assert code == 0
    assert run.say("verify")[1]["audit_entries"] >= 3
    run.force("DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)")
    code, said = run.say("verify")
    assert code == 1
    assert "audit-truncated" in {one["kind"] for one in said["failures"]}


def test_the_sealed_talk_counts_from_the_tapes_own_answer(run: Run) -> None:
    for manifest in (run.folder / "shelf" / "manifests").glob("*.json"):
        body = json.loads(manifest.read_bytes())["body"]
        marks = {mark["mark"] for mark in body["marks"]}
        assert "ended" in marks
        if body["vitals"]["length_ok"] is not None:
            assert "answered" in marks
            assert body["vitals"]["length_ok"], body["vitals"]


def test_yesterdays_report_lies_ready(run: Run) -> None:
    [report] = (run.folder / "proof" / "reports").glob("reconcile-*.json")
    said = json.loads(report.read_text())
    assert (said["calls"], said["gaps"]) == (0, [])
