"""The command line: exit codes, errors with their remedy, JSON on every command."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from api.asking import Server
from api.commands import run
from api.doctor import setting_lines
from api.machine_key import BadKeyFile, published, read_key
from case_store.store import CaseStore
from config.errors import BadInput
from config.settings import load_settings
from tests.sample_house import PASSWORD
from tests.unit.api.test_store_house import HEADER, placement_file

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONRECORD_WEB__PORT", "0")
    monkeypatch.setenv("ONRECORD_SIP__BIND_PORT", "0")
    monkeypatch.setenv("ONRECORD_RECORDING__LOW_WATERMARK_BYTES", "1000")


def test_import_says_what_went_in_and_writes_what_was_refused(tmp_path: Path, capsys: Captured) -> None:
    bad = "XY-9999,李芳,not money,CNY,13800138099,\n".encode()
    (tmp_path / "march.csv").write_bytes(placement_file(2) + bad)
    assert run(["import", "march.csv", "--client", "bank", "--rejected", "out.csv", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["cases"]) == (3, 2)
    assert said["rejected_rows"][0]["row"] == 4
    assert said["rejected_rows"][0]["remedy"]
    assert "XY-9999" in (tmp_path / "out.csv").read_text("utf-8-sig")


def test_two_banks_may_send_files_of_one_name_and_neither_is_taken_for_the_other(
    tmp_path: Path, capsys: Captured
) -> None:
    def said(*words: str) -> dict[str, Any]:
        assert run([*words, "--json"]) == 0
        spoken: dict[str, Any] = json.loads(capsys.readouterr().out)
        return spoken

    loaded = {}
    for client in ("east", "west"):
        (tmp_path / client).mkdir()
        (tmp_path / client / "2026-11.csv").write_bytes(
            placement_file(2) + f"{client}-9,李芳,1,CNY,13800138099,\n".encode()
        )
        loaded[client] = said("import", f"{client}/2026-11.csv", "--client", client, "--rejected", "back.csv")
        assert said("import", f"{client}/2026-11.csv", "--client", client)["already_loaded"]
    assert run(["results", "2026-11", "--out", "out.csv", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["field"] == "placement"
    assert loaded["west"]["placement_id"] in error["shape"]
    assert not (tmp_path / "out.csv").exists()
    assert said("results", loaded["west"]["placement_id"], "--out", "out.csv")["cases"] == 3
    assert "west-9" in (tmp_path / "out.csv").read_text("utf-8-sig")

    async def sweeps() -> list[tuple[str, tuple[str, ...]]]:
        store = await CaseStore.open(load_settings().store.url)
        try:
            return [(one.name, one.placement_ids) for one in await store.sweep.all()]
        finally:
            await store.close()

    assert asyncio.run(sweeps()) == [
        ("2026-11", (loaded["east"]["placement_id"],)),
        ("2026-11 · west", (loaded["west"]["placement_id"],)),
    ]


def test_where_refused_rows_cannot_go_is_said_before_anything_is_loaded(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "march.csv").write_bytes(placement_file(2) + "XY-9,李芳,x,CNY,13800138099,\n".encode())
    for nowhere in ("no-folder/out.csv", "."):
        for words in (["import", "march.csv"], ["payments", "march.csv"]):
            assert run([*words, "--client", "bank", "--rejected", nowhere, "--json"]) == 2
            assert json.loads(capsys.readouterr().err)["error"]["field"] == "--rejected"
    assert run(["results", "march", "--out", "no-folder/out.csv", "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["field"] == "--out"
    assert run(["import", "march.csv", "--client", "bank", "--rejected", "out.csv", "--json"]) == 0
    capsys.readouterr()
    kept = (tmp_path / "out.csv").read_bytes()
    assert run(["import", "march.csv", "--client", "bank", "--rejected", "out.csv"]) == 0
    assert "came back then" in capsys.readouterr().out
    assert (tmp_path / "out.csv").read_bytes() == kept, "a file under correction is not emptied"


def test_strict_refuses_the_whole_file(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "march.csv").write_bytes(placement_file(2) + "XY-9,李芳,x,CNY,13800138099,\n".encode())
    assert run(["import", "march.csv", "--client", "bank", "--strict"]) == 2
    assert "intake-file-refused" in capsys.readouterr().err
    assert run(["import", "march.csv", "--client", "bank", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["existing"] == 0


def test_a_file_of_which_nothing_goes_in_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes((HEADER + "XY-9,李芳,x,CNY,13800138099,\n").encode())
    assert run(["import", "bad.csv", "--client", "bank"]) == 2


@pytest.mark.parametrize("words", [["bogus"], ["import"], ["serve", "--port", "x"], ["agent", "add", "Not A Name"]])
def test_bad_input_names_the_field_and_exits_2(words: list[str], capsys: Captured) -> None:
    assert run(words) == 2
    err = capsys.readouterr().err
    assert "what to do" in err
    assert "Traceback" not in err


def test_problems_are_json_too_and_json_may_stand_first(capsys: Captured) -> None:
    assert run(["--json", "campaign", "list"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["error"]["error_id"] == "no-server"


def test_a_person_is_added_with_the_password_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert run(["agent", "add", "lina", "--role", "qa", "--name", "李娜", "--json"]) == 0
    assert PASSWORD not in capsys.readouterr().out
    assert run(["agent", "list", "--json"]) == 0
    (user,) = json.loads(capsys.readouterr().out)["users"]
    assert (user["username"], user["role"], user["active"]) == ("lina", "qa", True)


def test_doctor_is_content_here_and_not_when_the_disk_is_small(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert run(["doctor", "--json"]) == 0
    capsys.readouterr()
    monkeypatch.setenv("ONRECORD_RECORDING__LOW_WATERMARK_BYTES", str(10**18))
    assert run(["doctor", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in said["findings"] if not one["ok"]] == ["tapes", "shelf"]


def test_every_setting_is_printed_and_no_secret_is(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("ONRECORD_WEB__METRICS_TOKEN", "s3cret-token")
    assert run(["doctor", "--settings", "--json"]) == 0
    out = capsys.readouterr().out
    assert "s3cret-token" not in out
    names = {line.name for line in setting_lines(load_settings())}
    assert {one["name"] for one in json.loads(out)["settings"]} == names
    assert {"timezone", "web.metrics_token", "recording.low_watermark_bytes"} <= names


def test_serve_answers_its_own_machine_and_leaves_no_key_behind(tmp_path: Path) -> None:
    program = "import sys; from api.commands import run; sys.exit(run(['serve', '--json']))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        lines = "".join(iter(server.stdout.readline, "}\n")) + "}"
        found = read_key(tmp_path / "var" / "serve.key")
        assert found is not None
        assert json.loads(lines) == {"url": found.url}
        assert Server(found).ask("GET", "campaigns") == {"items": []}
        with pytest.raises(BadInput) as refused:
            Server(found).ask("GET", "campaigns", "camp_none", "explanation")
        assert refused.value.error_id == "unknown-campaign"
        server.terminate()
        assert server.wait(60) == 0
    assert read_key(tmp_path / "var" / "serve.key") is None


def test_the_machine_key_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "run" / "serve.key"
    with published(path, "http://127.0.0.1:1") as key:
        found = read_key(path)
        assert found is not None
        assert (found.key, found.url) == (key, "http://127.0.0.1:1")
        path.chmod(0o644)
        with pytest.raises(BadKeyFile):
            read_key(path)
    assert read_key(path) is None


def test_every_word_of_the_command_line_is_found_by_its_own_module_alone() -> None:
    from api import commands

    def words(app: typer.Typer) -> set[str]:
        click = typer.main.get_command(app)
        return set(click.commands)  # type: ignore[attr-defined]  # a group, since the app has a callback

    assert words(commands.app_for([])) == set(commands._MODULES)
    for word in commands._MODULES:
        assert word in words(commands.app_for([word, "--json"]))
