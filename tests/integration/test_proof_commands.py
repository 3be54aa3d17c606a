"""The proofs from the command line, over a real database, shelf and keys: answers, exit codes, audit entries."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
import typer
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from api.app import create_app
from api.passwords import new_token, token_hash
from api.proof_commands import register
from api.store_house import house_over
from case_store.calls import Recordings
from case_store.database import Database
from case_store.store import CaseStore
from case_store.views import Role
from config.clock import SystemClock, VirtualClock
from config.settings import load_settings
from dialer.proof import LineProof
from recording.attach import attach
from recording.recordings import Recording
from recording.seal_job import SealRoom, open_seal_room, seal_call
from recording.sealed import SealedTape
from tests.sealing import STARTED, order_for, seal_raw, settings_in, stereo

CALLEE = "+8613812345678"


def _sealed_at(answered: datetime, tape: Path, out: Path) -> SealedTape:
    return replace(seal_raw(tape, out), started_at=answered)


class House:
    """Three sealed calls of one case, and the command line over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database = folder, folder / "onrecord.db"
        self.url = f"sqlite+aiosqlite:///{self.database}"
        self.app = typer.Typer()
        register(self.app)
        self.made: list[Recording] = []
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        database = await Database.open(self.url)
        self._write("placements", id="pl_1", name="p", client="bank", received_at=STARTED)
        self._write("cases", id="case_1", placement_id="pl_1", opened_at=STARTED)
        self._write("numbers", id="num_1", case_id="case_1", e164=CALLEE)
        for n in range(3):
            answered = STARTED + timedelta(minutes=10 * n)
            room: SealRoom = open_seal_room(settings_in(self.folder), partial(_sealed_at, answered))
            made = seal_call(order_for(self.folder, stereo(4), f"rec_{n}"), room)
            self._write(
                "recordings", id=made.id, call_id=made.call_id, case_id="case_1", state="armed", armed_at=answered
            )
            self._write(
                "calls",
                id=made.call_id,
                case_id="case_1",
                attempt_id=f"at_{n}",
                recording_id=made.id,
                number_id="num_1",
                state="ended",
                cause="normal",
                placed_at=answered - timedelta(seconds=9),
                answered_at=answered,
                ended_at=answered + timedelta(seconds=4),
                talk_seconds=4.0,
            )
            await attach(Recordings(database), made, answered + timedelta(seconds=9))
            self.made.append(made)
        await database.close()

    def _write(self, table: str, **given: Any) -> None:
        """A row with what is given; other columns that must be filled get something plain. Foreign keys are not asked."""
        with sqlite3.connect(self.database) as raw:
            values = {
                name: given.get(name, {"TEXT": "{}", "VARCHAR": "x", "BOOLEAN": 0}.get(kind.split("(")[0], 0))
                for _, name, kind, needed, default, _ in raw.execute(f"PRAGMA table_info({table})")
                if name in given or (needed and default is None)
            }
            values = {
                name: value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value
                for name, value in values.items()
            }
            holes = ", ".join("?" * len(values))
            raw.execute("PRAGMA ignore_check_constraints = 1")
            raw.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({holes})", list(values.values()))
        raw.close()

    def change(self, statement: str) -> None:
        with sqlite3.connect(self.database) as raw:
            raw.execute(statement)
        raw.close()

    def unseal(self, call_id: str) -> None:
        """As it was before its seal; the store itself lets nobody do that."""
        self.change("DROP TRIGGER sealed_stays_sealed_update")
        self.change(f"UPDATE recordings SET state = 'armed', sealed_at = NULL WHERE call_id = '{call_id}'")

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(self.app, [*arguments, "--json"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    chosen = settings_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "STORE__URL": f"sqlite+aiosqlite:///{tmp_path}/onrecord.db",
        "RECORDING__SHELF": chosen.recording.shelf,
        "VAULT__MASTER_KEY": chosen.vault.master_key,
        "VAULT__SIGNING_KEY": chosen.vault.signing_key,
        "VAULT__STATE": chosen.vault.state,
        "VAULT__ANCHOR_FILE": tmp_path / "anchors",
    }.items():
        monkeypatch.setenv(f"ONRECORD_{name}", str(value))
    return House(tmp_path)


def test_verify_says_what_holds_and_what_does_not(house: House) -> None:
    code, said = house.run("verify", "--deep")
    assert (code, said["recordings"], said["recordings_ok"], said["failures"]) == (0, 3, 3, [])
    path = house.folder / "shelf" / house.made[1].objects[0].name
    spoiled = bytearray(path.read_bytes())
    spoiled[len(spoiled) // 2] ^= 8
    path.write_bytes(bytes(spoiled))
    code, said = house.run("verify")
    assert (code, said["recordings_ok"]) == (1, 2)
    assert [(one["kind"], one["id"]) for one in said["failures"]] == [("object-changed", "rec_1")]


def test_the_audit_log_is_part_of_verify_and_the_anchor_finds_its_truncation(house: House) -> None:
    for n in range(3):
        code, _ = house.run("export", f"rec_{n}", "--out", str(house.folder / "out"), "--actor", "u", "--reason", "r")
        assert code == 0
    assert house.run("anchor")[0] == 0
    assert house.run("verify")[1]["audit_entries"] == 3
    for happening in ("update", "delete"):
        house.change(f"DROP TRIGGER audit_log_is_append_only_{happening}")
    house.change("DELETE FROM audit_log")
    house.change("DELETE FROM audit_heads")
    code, said = house.run("verify")
    assert code == 1
    assert [one["kind"] for one in said["failures"]] == ["audit-truncated"]


def test_reconcile_against_a_bill_with_a_call_made_outside(house: House) -> None:
    code, said = house.run("reconcile")
    assert (code, said["calls"], said["clean"], said["gaps"]) == (0, 3, 3, [])
    bill = house.folder / "bill.csv"
    lines = [f"2026-11-23 17:{10 * n:02d}:03,138 1234 5678,4" for n in range(3)]
    bill.write_text("\n".join(["started_at,callee,seconds", *lines]))
    code, said = house.run("reconcile", "--carrier-bill", str(bill))
    assert (code, said["gaps"]) == (0, [])
    assert set(said) == {"calls", "clean", "gaps"}
    bill.write_text("\n".join(["started_at,callee,seconds", *lines, "2026-11-23 17:05:00,13900001111,61"]))
    code, said = house.run("reconcile", "--carrier-bill", str(bill))
    assert code == 3
    assert [one["class"] for one in said["gaps"]] == ["unknown_to_us"]
    assert "13900001111" not in json.dumps(said)


def test_a_bad_bill_is_a_problem_with_a_remedy(house: House) -> None:
    (house.folder / "bill.csv").write_text("a,b\n1,2\n")
    code, said = house.run("reconcile", "--carrier-bill", str(house.folder / "bill.csv"))
    assert (code, said["error_id"]) == (1, "bad-bill")
    assert said["remedy"]


def test_retain_dry_run_changes_nothing_and_a_run_disposes_audits_and_still_verifies(house: House) -> None:
    old = (datetime.now(UTC) - timedelta(days=1000)).strftime("%Y-%m-%d %H:%M:%S.%f")
    assert house.run("retain", "--dry-run")[1]["disposed"] == []
    house.change(f"UPDATE recordings SET armed_at = '{old}' WHERE id <> 'rec_2'")
    house.change("UPDATE recordings SET legal_hold = 1 WHERE id = 'rec_1'")
    code, said = house.run("retain", "--dry-run")
    assert (code, [one["recording_id"] for one in said["disposed"]], said["held"]) == (0, ["rec_0"], 1)
    assert set(house.run("verify")[1]) == {"recordings", "recordings_ok", "audit_entries", "failures"}
    code, said = house.run("retain", "--actor", "officer")
    assert (code, [one["recording_id"] for one in said["disposed"]]) == (0, ["rec_0"])
    code, said = house.run("verify", "--deep")
    assert (code, said["recordings_ok"], said["audit_entries"]) == (0, 3, 1)
    code, said = house.run("export", "rec_0", "--out", str(house.folder), "--actor", "u", "--reason", "r")
    assert (code, said["error_id"]) == (1, "key-destroyed")
    assert house.run("retain")[1]["disposed"] == []


def test_what_a_backup_brings_back_of_the_disposed_is_deleted_again(house: House) -> None:
    old = (datetime.now(UTC) - timedelta(days=1000)).strftime("%Y-%m-%d %H:%M:%S.%f")
    house.change(f"UPDATE recordings SET armed_at = '{old}' WHERE id = 'rec_0'")
    shelf = house.folder / "shelf"
    backup = {place: place.read_bytes() for place in shelf.rglob("rec_0.*") if place.parent.name != "manifests"}
    assert {place.parent.name for place in backup} == {"audio", "keys", "peaks"}
    assert house.run("retain")[1]["finished"] == []
    for place, data in backup.items():
        place.write_bytes(data)
    code, said = house.run("verify")
    assert (code, {one["kind"] for one in said["failures"]}) == (1, {"disposal-unfinished"})
    assert house.run("retain", "--dry-run")[1]["finished"] == ["rec_0"]
    assert all(place.exists() for place in backup)
    assert house.run("retain")[1]["finished"] == ["rec_0"]
    assert not any(place.exists() for place in backup)
    code, said = house.run("verify")
    assert (code, said["audit_entries"]) == (0, 2)


def test_export_writes_a_clip_and_is_audited(house: House) -> None:
    code, said = house.run(
        "export", "rec_1", "--out", str(house.folder / "out"), "--actor", "user_9", "--reason", "complaint",
        "--format", "flac", "--channels", "customer", "--from-ms", "500", "--to-ms", "1500",
    )  # fmt: skip
    assert code == 0
    assert len(soundfile.read(said["path"])[0]) == 8000
    assert said["provenance"]["actor"] == "user_9"
    with sqlite3.connect(house.database) as raw:
        [(action, subject, body)] = raw.execute("SELECT action, subject, body FROM audit_log").fetchall()
    raw.close()
    assert (action, subject) == ("recording.exported", "rec_1")
    assert json.loads(body)["actor"] == "user_9"


def test_evidence_is_asked_by_one_approved_by_another_and_verifies_offline(house: House) -> None:
    code, said = house.run("evidence", "rec_1", "--actor", "lawyer", "--reason", "court")
    assert code == 0
    request, pack = str(said["request"]), house.folder / "pack.zip"
    code, said = house.run("evidence", "rec_1", "--actor", "lawyer", "--approve", request, "--out", str(pack))
    assert (code, said["error_id"]) == (1, "one-person-only")
    code, said = house.run("evidence", "rec_0", "--actor", "officer", "--approve", request, "--out", str(pack))
    assert code == 1
    assert not pack.exists()
    code, said = house.run("evidence", "rec_1", "--actor", "officer", "--approve", request, "--out", str(pack))
    assert code == 0
    key_file = house.folder / "keys" / "signing.pub.json"
    script = Path(__file__).parents[2] / "recording" / "offline_verifier.py"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), str(pack), "--public-key", str(key_file), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["audit_entries"] == [1, 2]


def test_evidence_over_http_needs_two_log_ins(house: House) -> None:
    async def two_people() -> tuple[list[int], bytes]:
        store = await CaseStore.open(house.url)
        doors = house_over(store, load_settings(), SystemClock())
        for name in ("first", "second"):
            await doors.accounts.add_user(name, name, Role.COMPLIANCE, "unused", datetime.now(UTC))
        transport = httpx.ASGITransport(create_app(doors, machine_key="key-of-this-machine"))
        place, codes = "/api/v1/recordings/rec_1/evidence", []
        async with httpx.AsyncClient(transport=transport, base_url="http://calls.test") as client:
            for name in ("first", "second"):
                found = await doors.accounts.credentials(name)
                assert found is not None
                token, now = new_token(), datetime.now(UTC)
                await doors.accounts.open_session(found[0], token_hash(token), now, now + timedelta(hours=1))
                client.headers["Authorization"] = f"Bearer {token}"
                if name == "first":
                    asked = await client.post(place, json={"reason": "court order"})
                    number = asked.json()["request"]
                given = await client.post(f"{place}/{number}/approval")
                codes.append(given.status_code)
        await store.close()
        return codes, given.content

    codes, pack = asyncio.run(two_people())
    assert codes[0] == 409
    assert codes[1] == 200
    place = house.folder / "pack.zip"
    place.write_bytes(pack)
    with zipfile.ZipFile(place) as opened:
        assert "manifest.json" in opened.namelist()
        assert any("verify" in name for name in opened.namelist())


def test_a_hold_keeps_what_is_due_and_every_change_is_audited(house: House) -> None:
    old = (datetime.now(UTC) - timedelta(days=1000)).strftime("%Y-%m-%d %H:%M:%S.%f")
    house.change(f"UPDATE recordings SET armed_at = '{old}' WHERE id = 'rec_0'")
    words = ("rec_0", "--actor", "counsel", "--reason", "case 12/2026")
    assert house.run("hold", "set", *words) == (0, {"recording_id": "rec_0", "legal_hold": True, "changed": True})
    assert house.run("hold", "set", *words)[1]["changed"] is False
    assert house.run("retain")[1]["disposed"] == []
    house.run("hold", "lift", *words)
    assert [one["recording_id"] for one in house.run("retain")[1]["disposed"]] == ["rec_0"]
    code, said = house.run("verify")
    assert (code, said["audit_entries"]) == (0, 3)


def test_keys_rotate_without_rewriting_audio(house: House) -> None:
    audio = {place: place.stat().st_mtime_ns for place in (house.folder / "shelf" / "audio").iterdir()}
    assert house.run("keys", "status")[1] == {"current": "v1", "recordings_by_version": {"v1": 3}}
    code, said = house.run("keys", "rotate", "--version", "v2", "--actor", "officer")
    assert (code, said) == (0, {"current": "v2", "rewrapped": 3})
    assert house.run("keys", "status")[1] == {"current": "v2", "recordings_by_version": {"v2": 3}}
    assert {place: place.stat().st_mtime_ns for place in audio} == audio
    assert house.run("verify", "--deep")[0] == 0


def test_a_moment_masked_after_the_seal_is_audited_silent_and_in_no_pack(house: House) -> None:
    words = ("rec_1", "--from-ms", "500", "--to-ms", "1500", "--actor", "qa_1", "--reason", "card number")
    code, said = house.run("mask", *words)
    assert (code, [(one["start_ms"], one["end_ms"], one["actor"]) for one in said["masks"]]) == (
        0,
        [(500, 1500, "qa_1")],
    )
    assert house.run("mask", *words)[0] == 0
    code, said = house.run("verify", "--deep")
    assert (code, said["audit_entries"]) == (0, 1)
    code, said = house.run("export", "rec_1", "--out", str(house.folder / "out"), "--actor", "u", "--reason", "r")
    assert not soundfile.read(said["path"], dtype="int16")[0][4000:12000].any()
    for unmasked, name in ((False, "recording.wav"), (True, "recording.flac")):
        more = ("--unmasked",) if unmasked else ()
        number = str(house.run("evidence", "rec_1", "--actor", "lawyer", "--reason", "court", *more)[1]["request"])
        pack = house.folder / f"{name}.zip"
        give = ("evidence", "rec_1", "--actor", "officer", "--approve", number, "--out", str(pack))
        if unmasked:
            assert house.run(*give)[1]["error_id"] == "not-for-this-role"
        assert house.run(*give, *more)[0] == 0
        with zipfile.ZipFile(pack) as opened:
            assert name in opened.namelist()
            assert "amendment-1.json" in opened.namelist()
    script = Path(__file__).parents[2] / "recording" / "offline_verifier.py"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), str(house.folder / "recording.wav.zip"), "--json",
         "--public-key", str(house.folder / "keys" / "signing.pub.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["sound"]) == (0, "masked")
    amendment = house.folder / "shelf" / "amendments" / "rec_1" / "1.json"
    amendment.unlink()
    assert house.run("export", "rec_1", "--out", str(house.folder), "--actor", "u", "--reason", "r")[1]["error_id"] == (
        "amendment-missing"
    )
    assert house.run("verify")[0] == 1


def test_the_newest_manifest_gone_with_its_row_is_found_by_the_nodes_own_index(house: House) -> None:
    last = house.made[-1]
    for name in (last.manifest_name, f"keys/{last.data_key_id}.json", *(one.name for one in last.objects)):
        (house.folder / "shelf" / name).unlink()
    with sqlite3.connect(house.database) as raw:
        for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute(f"DELETE FROM recordings WHERE id = '{last.id}'")
    raw.close()
    code, said = house.run("verify")
    assert (code, [one["kind"] for one in said["failures"]]) == (1, ["manifest-truncated"])


def test_every_day_of_a_long_stop_is_reported_one_a_round(house: House) -> None:
    async def wake_up() -> list[list[str]]:
        store = await CaseStore.open(house.url)
        proof = LineProof(store, load_settings(), VirtualClock(STARTED + timedelta(days=4)), CollectorRegistry())
        seen = []
        for _ in range(5):
            await proof.look()
            seen.append(sorted(place.name for place in proof.reports.iterdir()))
        await store.close()
        return seen

    seen = asyncio.run(wake_up())
    days = [f"reconcile-2026-11-{day}.json" for day in (23, 24, 25, 26)]
    assert seen == [days[:1], days[:2], days[:3], days, days]
    reports = house.folder / "proof" / "reports"
    first, second = (json.loads((reports / day).read_text()) for day in days[:2])
    assert (first["calls"], first["clean"], first["open"]) == (3, 3, 0)
    assert (second["calls"], second["gaps"]) == (0, [])
    (reports / days[1]).unlink()  # a hole in the middle is filled by the next start
    assert asyncio.run(wake_up())[0] == days


def test_a_day_waits_for_its_call_over_midnight(house: House) -> None:
    house.change("UPDATE calls SET state = 'answered', ended_at = NULL, cause = NULL WHERE id = 'call_2'")
    clock = VirtualClock(datetime(2026, 11, 23, 16, 1, tzinfo=UTC))  # 00:01 in Shanghai

    async def watch() -> tuple[list[int], dict[str, Any]]:
        store = await CaseStore.open(house.url)
        proof = LineProof(store, load_settings(), clock, CollectorRegistry())
        seen = []
        for hours in (0, 1, 4, 2):
            await clock.advance(hours * 3600)
            await proof.look()
            seen.append(len(list(proof.reports.glob("reconcile-2026-11-23.json"))))
        await store.close()
        return seen, json.loads((proof.reports / "reconcile-2026-11-23.json").read_text())

    seen, said = asyncio.run(watch())
    assert seen == [0, 0, 0, 1]
    assert (said["calls"], said["clean"], said["open"]) == (3, 2, 1)
    assert [(one["class"], one["call_id"]) for one in said["gaps"]] == [("partial", "call_2")]


@pytest.mark.parametrize(("recording", "found"), [("sealed", "partial"), ("armed", "not_recorded")])
def test_a_call_whose_node_never_came_back_is_found(house: House, recording: str, found: str) -> None:
    house.change("UPDATE calls SET state = 'answered', ended_at = NULL, cause = NULL WHERE id = 'call_1'")
    if recording == "armed":
        house.unseal("call_1")
    code, said = house.run("reconcile")
    assert code == (3 if found == "not_recorded" else 1)
    assert [(one["class"], one["call_id"]) for one in said["gaps"]] == [(found, "call_1")]
    assert "has not come back" in said["gaps"][0]["detail"]
    assert house.run("reconcile", "--until", "2026-11-22")[1]["gaps"] == []


def test_a_call_still_going_on_is_no_finding(house: House) -> None:
    now = datetime.now(UTC).isoformat(sep=" ")
    house.change(f"UPDATE calls SET state = 'answered', ended_at = NULL, placed_at = '{now}' WHERE id = 'call_1'")
    house.unseal("call_1")
    assert house.run("reconcile") == (0, {"calls": 2, "clean": 2, "gaps": []})


def test_masking_over_http_needs_the_role_and_is_heard_at_once(house: House) -> None:
    async def people() -> list[Any]:
        store = await CaseStore.open(house.url)
        doors = house_over(store, load_settings(), SystemClock())
        place, answers = "/api/v1/recordings/rec_1", []
        transport = httpx.ASGITransport(create_app(doors, machine_key="key-of-this-machine"))
        async with httpx.AsyncClient(transport=transport, base_url="http://calls.test") as client:
            for name, role in (("col", Role.COLLECTOR), ("qa", Role.QA)):
                user = await doors.accounts.add_user(name, name, role, "unused", datetime.now(UTC))
                token, now = new_token(), datetime.now(UTC)
                await doors.accounts.open_session(user, token_hash(token), now, now + timedelta(hours=1))
                client.headers["Authorization"] = f"Bearer {token}"
                answers.append((await client.head(f"{place}/audio")).headers["content-type"])
                wish = {"from_ms": 500, "to_ms": 1500, "reason": "card number"}
                answers.append((await client.post(f"{place}/masks", json=wish)).status_code)
                answers.append((await client.head(f"{place}/audio")).headers["content-type"])
            answers.append((await client.get(f"{place}/masks")).json()["masks"])
            outside = {"from_ms": 90_000, "reason": "card number"}
            answers.append((await client.post(f"{place}/masks", json=outside)).status_code)
            asked = await client.post(f"{place}/evidence", json={"reason": "court", "unmasked": True})
            answers.append(asked.status_code)
            # Disposed of from the command line, in another process: the open reader must not go on playing.
            assert doors.tapes is not None
            row = await store.recordings.get("rec_1")
            shelf = open_seal_room(settings_in(house.folder), seal_raw)
            shelf.keys.destroy("rec_1", b"{}")
            answers.append((row.state, (await client.get(f"{place}/audio")).status_code))
        await store.close()
        return answers

    said = asyncio.run(people())
    assert said[:3] == ["audio/flac", 403, "audio/flac"]
    assert said[3:6] == ["audio/flac", 201, "audio/ogg"]
    assert said[6] == [{"start_ms": 500, "end_ms": 1500, "actor": "qa", "reason": "card number"}]
    assert said[7] in {400, 422}
    assert said[8] == 403  # quality assurance cannot ask for what is masked, nor for evidence at all
    assert said[9] == ("sealed", 409)


def test_a_new_signing_key_signs_what_comes_and_a_lost_one_still_verifies(house: House) -> None:
    place = house.folder / "keys" / "signing.json"
    public = house.folder / "keys" / "signing.pub.json"
    old = json.loads(public.read_text())
    code, said = house.run("keys", "rotate", "--signing", "--version", "v2", "--actor", "officer")
    assert (code, said["current"], said["key_id"] in old) == (0, "v2", False)
    assert set(json.loads(public.read_text())) == {*old, said["key_id"]}
    assert house.run("hold", "set", "rec_0", "--actor", "u", "--reason", "suit")[0] == 0  # its head is the new key's
    code, said = house.run("verify")
    assert (code, said["failures"], said["audit_entries"]) == (0, [], 2)
    # The file is lost; only the printed public keys are left.
    document = {"current": "v3", "keys": {"v3": base64.b64encode(bytes(range(32))).decode()}}
    place.write_text(json.dumps(document))
    assert {one["kind"] for one in house.run("verify")[1]["failures"]} >= {"manifest-damaged", "audit-forged"}
    known = json.loads(public.read_text())
    assert len(known) == len(old) + 2, "a look with the new key must not take away what is left of the lost ones"
    place.write_text(json.dumps({**document, "public": known}))
    assert house.run("verify")[1]["failures"] == []
    place.write_text(json.dumps({**document, "public": {"0" * 16: next(iter(known.values()))}}))
    code, said = house.run("verify")
    assert (code, said["error_id"], said["field"]) == (1, "bad-key-document", "vault.signing_key")
    assert house.run("keys", "rotate", "--signing", "--actor", "officer")[1]["field"] == "version"
