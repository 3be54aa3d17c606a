"""``verify`` finds every change to a shelf of recordings, and raises no alarm over a sound one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from case_store.audit_file import FileAnchor, read_heads
from config.settings import RetentionSettings
from recording.attach import FiledRecording, as_filed
from recording.dossier import read_dossier
from recording.recordings import Recording
from recording.retention import KeptRecording, dispose
from recording.seal_job import SealRoom, seal_call
from recording.shelf import FolderShelf
from recording.signing import SigningKey
from recording.verify import VerifyReport, manifest_head_chain, verify
from tests.sealing import STARTED, order_for, room_in, stereo

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Shelved:
    """Four recordings on a shelf."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.room: SealRoom = room_in(folder)
        self.made: list[Recording] = [
            seal_call(order_for(folder, stereo(0.25), f"rec_{n}"), self.room) for n in range(4)
        ]

        self.filed = {one.id: self.as_filed(one.id) for one in self.made}

    def as_filed(self, recording_id: str) -> FiledRecording:
        return as_filed(read_dossier(self.room.shelf, self.room.signing.verifier(), recording_id))

    def check(
        self, *, keys: bool = True, deep: bool = False, known: dict[str, FiledRecording] | None = None
    ) -> VerifyReport:
        return verify(
            self.room.shelf,
            self.room.signing.verifier(),
            known=self.filed if known is None else known,
            keys=self.room.keys if keys else None,
            deep=deep,
        )

    def kinds(self, **how: bool) -> set[str]:
        return {failure.kind for failure in self.check(**how).failures}


@pytest.fixture
def shelved(tmp_path: Path) -> Shelved:
    return Shelved(tmp_path)


@pytest.fixture(scope="module")
def shelved_once(tmp_path_factory: pytest.TempPathFactory) -> Shelved:
    return Shelved(tmp_path_factory.mktemp("shelved"))


def test_a_sound_shelf_holds(shelved: Shelved) -> None:
    for deep in (False, True):
        report = shelved.check(deep=deep)
        assert report.as_json() == {
            "recordings": 4,
            "recordings_ok": 4,
            "audit_entries": 0,
            "failures": [],
        }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pick=st.integers(0, 10_000), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_of_any_object_is_watched(shelved_once: Shelved, pick: int, place: float, bit: int) -> None:
    files = sorted(path for path in (shelved_once.folder / "shelf").rglob("*") if path.is_file())
    path = files[pick % len(files)]
    whole = path.read_bytes()
    spoiled = bytearray(whole)
    spoiled[int(place * len(whole))] ^= 1 << bit
    path.write_bytes(bytes(spoiled))
    try:
        assert not shelved_once.check().ok, path.name
    finally:
        path.write_bytes(whole)


def test_a_missing_object_manifest_and_key_are_found(shelved: Shelved) -> None:
    shelf, made = shelved.room.shelf, shelved.made
    shelf.delete(made[0].objects[0].name)
    assert shelved.kinds() == {"object-missing"}
    shelf.delete("keys/rec_1.json")
    assert shelved.kinds() == {"object-missing", "key-missing"}
    shelf.delete(made[2].manifest_name)
    report = shelved.check()
    assert {failure.kind for failure in report.failures} == {
        "object-missing",
        "key-missing",
        "manifest-missing",
        "recording-missing",
    }
    assert (report.recordings, report.recordings_ok) == (4, 1)


def test_the_last_manifest_gone_is_found_by_the_store_and_by_an_anchored_head(shelved: Shelved) -> None:
    room = shelved.room
    head = room.chain.signed_head(manifest_head_chain("node"), NOW, room.signing)
    room.shelf.delete(shelved.made[3].manifest_name)
    assert shelved.kinds() == {"recording-missing"}
    known = {one.id: shelved.filed[one.id] for one in shelved.made[:3]}
    report = shelved.check(known=known)
    assert {failure.kind for failure in report.failures} == {"object-unknown"}  # its sound lies there for nobody
    for one in shelved.made[3].objects:
        room.shelf.delete(one.name)
    room.shelf.delete("keys/rec_3.json")
    assert shelved.check(known=known).ok  # the store agrees with the thief: only the anchor knows
    report = verify(room.shelf, room.signing.verifier(), known=known, heads=[head])
    assert [failure.kind for failure in report.failures] == ["manifest-truncated"]


def test_two_recordings_that_changed_places_are_found(shelved: Shelved) -> None:
    shelf, first, second = shelved.room.shelf, shelved.made[0], shelved.made[1]
    for one, other in zip(first.objects, second.objects, strict=True):
        ours, theirs = shelf.get(one.name), shelf.get(other.name)
        shelf.put(one.name, theirs)
        shelf.put(other.name, ours)
    assert shelved.kinds() == {"object-changed"}
    ours, theirs = shelf.get(first.manifest_name), shelf.get(second.manifest_name)
    shelf.put(first.manifest_name, theirs)
    shelf.put(second.manifest_name, ours)
    assert "manifest-misplaced" in shelved.kinds()


def test_a_recording_the_store_does_not_know_or_knows_otherwise_is_found(shelved: Shelved) -> None:
    known = {one.id: shelved.filed[one.id] for one in shelved.made[:3]}
    known["rec_0"] = replace(known["rec_0"], sha256="0" * 64)
    known["rec_1"] = replace(known["rec_1"], facts_sha256="0" * 64)
    assert [(one.kind, one.id) for one in shelved.check(known=known).failures] == [
        ("recording-unknown", "rec_0"),
        ("recording-misfiled", "rec_1"),
        ("recording-unknown", "rec_3"),
    ]


def test_manifests_signed_by_another_hand_are_found(shelved: Shelved) -> None:
    report = verify(shelved.room.shelf, SigningKey.from_seeds(b"\x01" * 32).verifier())
    assert {failure.kind for failure in report.failures} == {"manifest-damaged"}


def test_a_disposed_recording_stays_proven_and_an_undeclared_disposal_is_found(shelved: Shelved) -> None:
    room = shelved.room
    kept = KeptRecording(recording_id="rec_1", case_id="case_1", client="bank", recorded_at=STARTED)
    dispose(kept, NOW, RetentionSettings(), actor="u", shelf=room.shelf, keys=room.keys, signing=room.signing)
    report = shelved.check(deep=True)
    assert (report.disposed, report.recordings_ok, report.failures) == (1, 4, [])
    record = FolderShelf(shelved.folder / "shelf").get("disposals/rec_1.json")
    room.shelf.put("disposals/rec_1.json", record.replace(b'"actor":"u"', b'"actor":"v"'))
    assert shelved.kinds() == {"disposal-unproven"}
    room.shelf.put("disposals/rec_1.json", record)
    room.shelf.put("disposals/rec_2.json", record)
    assert shelved.kinds() == {"disposal-unproven", "disposal-unfinished"}


def test_no_other_signed_document_passes_for_a_disposal_record(shelved: Shelved) -> None:
    """Its own manifest is signed and names it: it must not make deletion look lawful."""
    shelf, one = shelved.room.shelf, shelved.made[2]
    shelf.put(f"disposals/{one.id}.json", shelf.get(one.manifest_name))
    for found in one.objects:
        shelf.delete(found.name)
    shelf.delete(f"keys/{one.id}.json")
    assert [(found.kind, found.id) for found in shelved.check().failures] == [("disposal-unproven", one.id)]


def test_a_key_that_changed_is_found_without_reading_the_sound(shelved: Shelved) -> None:
    shelf = shelved.room.shelf
    ours, theirs = shelf.get("keys/rec_0.json"), shelf.get("keys/rec_1.json")
    shelf.put("keys/rec_0.json", theirs)
    shelf.put("keys/rec_1.json", ours)
    assert [(one.kind, one.id) for one in shelved.check(keys=False).failures] == [
        ("key-damaged", "rec_0"),
        ("key-damaged", "rec_1"),
    ]


def test_sound_of_no_recording_is_found(shelved: Shelved) -> None:
    shelved.room.shelf.put("audio/rec_9.flac.vault", b"whose?")
    assert [(one.kind, one.id) for one in shelved.check().failures] == [("object-unknown", "rec_9")]


def test_what_was_sealed_meanwhile_is_excused(shelved: Shelved) -> None:
    report = shelved.check(known={one.id: shelved.filed[one.id] for one in shelved.made[:3]})
    [failure] = report.failures
    assert (failure.kind, failure.id, report.recordings_ok) == ("recording-unknown", "rec_3", 3)
    report.excuse(failure)
    assert (report.failures, report.recordings_ok) == ([], 4)


def test_the_nodes_own_index_of_its_chain_is_held_against_the_shelf(shelved: Shelved) -> None:
    room, index = shelved.room, shelved.folder / "proof" / "manifests-node.chain"
    whole = index.read_bytes()

    def said() -> list[tuple[str, str]]:
        report = verify(room.shelf, room.signing.verifier(), own=room.chain)
        return [(one.kind, one.id) for one in report.failures]

    assert said() == []
    index.write_bytes(whole[:65] + b"0" * 64 + whole[129:])
    assert said() == [("chain-index", "node")]
    index.write_bytes(whole[:130])  # the next seal would give number 3 a second time
    assert said() == [("chain-index", "node")]
    index.write_bytes(whole[:195])  # killed between the fourth manifest and its line: the seal is done again
    assert said() == []


def test_an_anchored_head_that_cannot_be_read_is_found(shelved: Shelved, tmp_path: Path) -> None:
    room, anchor = shelved.room, FileAnchor(tmp_path / "anchor")
    anchor.publish(room.chain.signed_head(manifest_head_chain("node"), NOW, room.signing))
    for at in range(0, (tmp_path / "anchor").stat().st_size - 1, 37):
        flipped = bytearray((tmp_path / "anchor").read_bytes())
        flipped[at] ^= 1
        (tmp_path / "spoiled").write_bytes(flipped)
        heads = read_heads(tmp_path / "spoiled")
        report = verify(room.shelf, room.signing.verifier(), known=shelved.filed, heads=heads)
        assert {one.kind for one in report.failures} == {"head-forged"}, at
