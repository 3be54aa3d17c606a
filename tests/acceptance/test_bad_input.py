"""Whatever is wrong with what was given: the field, the remedy, an exit code; no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from api.commands import run
from tests.acceptance.demo_run import ONRECORD, sample_rows, write_placement


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "empty.csv").write_bytes(b"")
    (folder / "noise.csv").write_bytes(os.urandom(4096))
    (folder / "header.csv").write_text("a,b\n1,2\n")
    (folder / "page.csv").write_text("<html><body>not a table</body></html>\n")
    (folder / "broken.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    write_placement(folder / "all-bad.csv", [{**row, "余额": "?"} for row in sample_rows(3)])
    write_placement(folder / "good.csv", sample_rows(1))
    return folder


WRONG = {
    "missing": (["--placement", "{files}/missing.csv"], "intake-file-unreadable"),
    "a folder": (["--placement", "{files}"], "intake-file-unreadable"),
    "empty": (["--placement", "{files}/empty.csv"], "intake-file-unreadable"),
    "noise": (["--placement", "{files}/noise.csv"], "intake-file-unreadable"),
    "header": (["--placement", "{files}/header.csv"], "intake-header-unknown"),
    "not a table": (["--placement", "{files}/page.csv"], "intake-file-unreadable"),
    "no workbook": (["--placement", "{files}/broken.xlsx"], "intake-file-unreadable"),
    "only bad rows": (["--placement", "{files}/all-bad.csv"], "nothing-to-call"),
    "trunk": (["--trunk", "http://carrier"], "bad-trunk"),
    "trunk port": (["--trunk", "sip:127.0.0.1:70000"], "bad-trunk"),
    "sample to a stranger": (["--trunk", "sip:192.0.2.1:5060"], "bad-input"),
    "agent": (["--agent", "101"], "bad-input"),
    "agent's port": (["--agent", "sip:101@127.0.0.1:99999"], "bad-input"),
    "data": (["--placement", "{files}/good.csv", "--data", "{files}/good.csv/x"], "bad-input"),
    "kept": (["--placement", "{files}/good.csv", "--keep-tapes", "/dev/null/x"], "bad-input"),
    "lines": (["--lines", "0"], "bad-input"),
    "unknown flag": (["--no-such-flag"], "bad-input"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_named(
    tmp_path: Path, files: Path, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given, error_id = WRONG[what]
    data = tmp_path / "data"
    arguments = [one.format(files=files) for one in given]
    if "--data" not in arguments:
        arguments += ["--data", str(data)]
    code = run(["demo", "--json", *arguments])
    said = capsys.readouterr()
    assert code == 2, said.err
    assert said.out == ""
    error = json.loads(said.err)["error"]
    assert error["error_id"] == error_id
    assert error["title"]
    assert error["remedy"]
    assert not list(data.glob("*"))
    assert sorted(path.name for path in tmp_path.iterdir()) in (["files"], ["data", "files"])


@pytest.mark.parametrize(
    ("words", "help_of"),
    [(["demo", "stray"], "demo"), (["campaign", "explain"], "campaign explain"), (["simulate", "nothing"], "simulate")],
)
def test_the_remedy_is_a_command_that_exists(
    words: list[str], help_of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--json"]) == 2
    remedy = json.loads(capsys.readouterr().err)["error"]["remedy"]
    assert remedy == f"see onrecord {help_of} --help"
    assert run([*help_of.split(), "--help"]) == 0


def test_a_person_is_told_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ONRECORD), "demo", "--trunk", "http://carrier"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "20"},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--trunk" in done.stderr
    assert "bad-trunk" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
