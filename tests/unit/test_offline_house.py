"""The offline verifier over a whole house: what the product's own ``verify`` finds without a master key, it finds too."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact
from case_store.audit_file import FileAnchor
from case_store.database import Database
from config.settings import RetentionSettings
from recording import offline_verifier
from recording.manifest import ManifestChain
from recording.masking import MaskOrder, mask_sealed
from recording.retention import KeptRecording, dispose
from recording.seal_job import SealRoom, seal_call
from recording.verify import manifest_head_chain
from tests.sealing import STARTED, order_for, room_in, stereo

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def _fill(folder: Path, room: SealRoom) -> None:
    """Four recordings, one of them masked since, one disposed of; a log of nine entries; both chains anchored."""
    for n in range(4):
        seal_call(order_for(folder, stereo(0.25), f"rec_{n}"), room)
    mask_sealed(MaskOrder(recording_id="rec_1", from_ms=0, to_ms=100, actor="qa", reason="card", at=NOW), room)
    kept = KeptRecording(recording_id="rec_2", case_id="case_1", client="bank", recorded_at=STARTED)
    dispose(kept, NOW, RetentionSettings(), actor="u", shelf=room.shelf, keys=room.keys, signing=room.signing)
    database = await Database.open(f"sqlite+aiosqlite:///{folder}/onrecord.db")
    log = AuditLog(database, room.signing)
    for n in range(3):
        facts = [AuditFact(at=NOW, actor="u", action="recording.heard", subject=f"rec_{n}") for _ in range(3)]
        await log.append(facts, NOW)
    head = await log.head()
    await database.close()
    assert head is not None
    anchor = FileAnchor(folder / "heads")
    anchor.publish(head)
    anchor.publish(room.chain.signed_head(manifest_head_chain("node"), NOW, room.signing))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    asyncio.run(_fill(folder, room_in(folder)))
    return folder


@dataclass(frozen=True)
class House:
    folder: Path

    def words(self) -> list[str]:
        shelf, store, heads = (str(self.folder / name) for name in ("shelf", "onrecord.db", "heads"))
        key = str(self.folder / "keys" / "signing.pub.json")
        return ["--shelf", shelf, "--store", store, "--heads", heads, "--public-key", key, "--json"]

    def ask(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
        code = offline_verifier.main(self.words())
        return code, json.loads(capsys.readouterr().out)

    def change(self, *statements: str) -> None:
        with sqlite3.connect(self.folder / "onrecord.db") as raw:
            for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                raw.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                raw.execute(statement)
        raw.close()


@pytest.fixture
def house(filled: Path, tmp_path: Path) -> House:
    shutil.copytree(filled, tmp_path / "house", ignore=shutil.ignore_patterns("*.lock"))
    return House(tmp_path / "house")


def test_a_sound_house_holds_for_a_bare_interpreter(house: House, tmp_path: Path) -> None:
    script = shutil.copy(offline_verifier.__file__, tmp_path / "verify.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", script, *house.words()], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"recordings": 4, "recordings_ok": 4, "audit_entries": 9, "failures": []}


def _bit(place: Path) -> None:
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)


_SHELF: list[tuple[str, Callable[[Path], Any], set[str]]] = [
    ("audio/rec_0.flac.vault", _bit, {"object-changed"}),
    ("peaks/rec_0.peaks.vault", Path.unlink, {"object-missing"}),
    ("peaks/rec_1.1.peaks.vault", _bit, {"object-changed"}),
    ("keys/rec_3.json", Path.unlink, {"key-missing"}),
    ("manifests/rec_0.json", _bit, {"manifest-damaged", "manifest-missing"}),
    ("amendments/rec_1/1.json", _bit, {"manifest-damaged", "manifest-truncated"}),
    ("amendments/rec_1/1.json", Path.unlink, {"object-missing", "manifest-truncated"}),
    ("disposals/rec_2.json", _bit, {"manifest-damaged"}),
    ("disposals/rec_2.json", Path.unlink, {"object-missing", "key-missing"}),
]


@pytest.mark.parametrize(("name", "harm", "kinds"), _SHELF)
def test_harm_to_the_shelf_is_found(
    house: House, capsys: pytest.CaptureFixture[str], name: str, harm: Callable[[Path], Any], kinds: set[str]
) -> None:
    harm(house.folder / "shelf" / name)
    code, said = house.ask(capsys)
    assert (code, {one["kind"] for one in said["failures"]}) == (1, kinds)


def test_a_manifest_passes_for_no_disposal_record_and_strays_are_named(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = house.folder / "shelf"
    shutil.copy(shelf / "manifests" / "rec_0.json", shelf / "disposals" / "rec_0.json")
    for place in (
        shelf / "audio" / "rec_0.flac.vault",
        shelf / "peaks" / "rec_0.peaks.vault",
        shelf / "keys" / "rec_0.json",
    ):
        place.unlink()
    (shelf / "audio" / "rec_9.flac.vault").write_bytes(b"whose?")
    code, said = house.ask(capsys)
    assert (code, {(one["kind"], one["id"]) for one in said["failures"]}) == (
        1,
        {("disposal-unproven", "rec_0"), ("object-unknown", "rec_9")},
    )


@pytest.mark.parametrize(
    ("statements", "kinds"),
    [
        (["UPDATE audit_log SET body = replace(body, 'heard', 'herad') WHERE seq = 4"], {"audit-edited"}),
        (["UPDATE audit_log SET subject = 'rec_7' WHERE seq = 4"], {"audit-edited"}),
        (["DELETE FROM audit_log WHERE seq = 4"], {"audit-missing"}),
        (["DELETE FROM audit_log WHERE seq > 6"], {"audit-truncated"}),
        (["DELETE FROM audit_log", "DELETE FROM audit_heads"], {"audit-truncated"}),
        (["UPDATE audit_heads SET line = replace(line, ':9,', ':8,')"], {"audit-forged"}),
    ],
)
def test_harm_to_the_log_is_found(
    house: House, capsys: pytest.CaptureFixture[str], statements: list[str], kinds: set[str]
) -> None:
    house.change(*statements)
    code, said = house.ask(capsys)
    assert (code, {one["kind"] for one in said["failures"]}) == (1, kinds)


def test_the_newest_document_gone_is_known_to_the_anchor_alone(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ManifestChain(house.folder / "proof", "node").head()[0] == 5
    for place in (house.folder / "shelf").rglob("rec_3.*"):
        place.unlink()
    for place in (house.folder / "shelf" / "amendments").rglob("1.json"):
        place.unlink()
    for place in (house.folder / "shelf").rglob("rec_1.*"):
        place.unlink()
    shutil.rmtree(house.folder / "shelf" / "amendments" / "rec_1")
    _, said = house.ask(capsys)
    assert "manifest-truncated" in {one["kind"] for one in said["failures"]}
    _bit(house.folder / "heads")
    _, said = house.ask(capsys)
    assert "head-forged" in {one["kind"] for one in said["failures"]}


def test_what_is_not_there_is_no_clean_house(house: House, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    key = str(house.folder / "keys" / "signing.pub.json")
    for place in ("--shelf", "--store"):
        assert offline_verifier.main([place, str(tmp_path / "nowhere"), "--public-key", key, "--json"]) == 1
        assert [one["kind"] for one in json.loads(capsys.readouterr().out)["failures"]] == ["unreadable"]
    assert offline_verifier.main(["--shelf", str(house.folder / "shelf")]) == 2
