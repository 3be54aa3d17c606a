"""One call sealed whole: proven before the tape goes, the same however often it is run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recording.manifest import ManifestChain, ManifestDamaged, mask_dtmf, read_manifest, sign_manifest
from recording.recordings import Mask, RecordingClass
from recording.seal_job import open_object, seal_call
from recording.shelf import FolderShelf, Shelf, ShelfUnhealthy
from recording.signing import SigningKey
from recording.vitals import TalkFact
from tests.sealing import RATE, order_for, room_in, stereo

KEY = SigningKey.from_seeds(b"\x03" * 32)


def test_a_call_becomes_a_recording_and_the_master_comes_back_exactly(tmp_path: Path) -> None:
    room, sound = room_in(tmp_path), stereo(3)
    order = order_for(tmp_path, sound, talk=TalkFact(answered_ms=0, talk_seconds=3.0))
    recording = seal_call(order, room)
    assert not order.tape_path.exists()
    assert (recording.seconds, recording.classification) == (3.0, RecordingClass.TWO_WAY)
    assert recording.gaps[0].length_ms == 40
    assert {found.kind for found in recording.objects} == {"master", "peaks"}
    master = recording.object("master")
    assert master is not None
    assert master.plain_sha256 == recording.sha256
    plain = tmp_path / "back.flac"
    plain.write_bytes(open_object(room.shelf, room.keys, master.name).read(0, master.plain_bytes))
    assert (soundfile.read(plain, dtype="int16")[0] == sound).all()
    manifest = read_manifest(room.shelf.get(recording.manifest_name), room.signing.verifier())
    assert manifest.body["call"] == {"callee": "+86138****5678", "trunk": "main"}
    assert manifest.body["dtmf"] == [{"at_ms": 900, "digit": "*masked*", "milliseconds": 90}]
    assert manifest.body["oddities"][0]["kind"] == "late"
    assert manifest.body["streams"]["agent"]["drift_ppb"] == 1500
    assert manifest.body["vitals"]["length_ok"] is True
    assert list(room.work.glob("rec_*")) == []
    flac = plain.read_bytes()
    assert all(flac[100:132] not in path.read_bytes() for path in (tmp_path / "shelf").rglob("*") if path.is_file())


def test_running_it_again_makes_nothing_new(tmp_path: Path) -> None:
    room, order = room_in(tmp_path), order_for(tmp_path, stereo(1))
    first = seal_call(order, room)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "shelf").rglob("*")}
    assert seal_call(order, room) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shelf").rglob("*")} == before
    assert room.chain.head() == (1, first.manifest_sha256)


def test_manifests_are_chained_in_order(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    made = [seal_call(order_for(tmp_path, stereo(0.5), f"rec_{n}"), room) for n in range(3)]
    bodies = [read_manifest(room.shelf.get(one.manifest_name), room.signing.verifier()).body for one in made]
    assert [body["seq"] for body in bodies] == [1, 2, 3]
    assert [body["prev"] for body in bodies] == ["0" * 64, made[0].manifest_sha256, made[1].manifest_sha256]


def test_a_masked_stretch_is_silent_in_the_listening_copy_and_explained_in_the_manifest(tmp_path: Path) -> None:
    room, sound = room_in(tmp_path), stereo(4)
    mask = Mask(start_ms=1000, end_ms=2000, actor="user_1", reason="card number")
    recording = seal_call(order_for(tmp_path, sound, masks=(mask,)), room)
    copy, master = recording.object("listening"), recording.object("master")
    assert copy is not None
    assert master is not None
    (tmp_path / "copy.opus").write_bytes(open_object(room.shelf, room.keys, copy.name).read(0, 10**9))
    heard, rate = soundfile.read(tmp_path / "copy.opus", dtype="int16")
    inside = heard[int(rate * 1.1) : int(rate * 1.9)].astype(int)
    outside = heard[int(rate * 2.2) : int(rate * 3)].astype(int)
    assert np.abs(inside).max() < 60 < 1000 < np.abs(outside).max()
    assert recording.masks == (mask,)


@pytest.mark.parametrize(("chosen", "made"), [("always", True), ("masked", False), ("never", False)])
def test_a_listening_copy_by_settings(tmp_path: Path, chosen: str, made: bool) -> None:
    recording = seal_call(order_for(tmp_path, stereo(0.3)), room_in(tmp_path, listening_copy=chosen))
    assert (recording.object("listening") is not None) is made


def test_an_empty_tape_is_kept_as_a_recording(tmp_path: Path) -> None:
    recording = seal_call(order_for(tmp_path, np.empty((0, 2), np.int16)), room_in(tmp_path))
    assert (recording.classification, recording.seconds) == (RecordingClass.EMPTY, 0)
    assert {found.kind for found in recording.objects} == {"master", "peaks"}


def test_the_tape_stays_by_settings(tmp_path: Path) -> None:
    order = order_for(tmp_path, stereo(0.3))
    seal_call(order, room_in(tmp_path, keep_tapes=True))
    assert order.tape_path.exists()


class SpoilingShelf(FolderShelf):
    """A shelf whose disk changes a byte of each sound that is put on it."""

    def put_file(self, name: str, path: Path) -> None:
        super().put_file(name, path)
        self.put(name, self.get(name)[:-1] + b"?")


def test_the_tape_stays_when_the_shelf_holds_other_bytes(tmp_path: Path) -> None:
    room, order = room_in(tmp_path), order_for(tmp_path, stereo(0.3))
    spoiled: Shelf = SpoilingShelf(tmp_path / "shelf")
    with pytest.raises(ShelfUnhealthy):
        seal_call(order, type(room)(**{**vars(room), "shelf": spoiled}))
    assert order.tape_path.exists()
    assert room.chain.head()[0] == 0
    assert seal_call(order, room).seconds == 0.3
    assert not order.tape_path.exists()


def test_the_tape_stays_when_the_shelf_was_changed_before_a_second_run(tmp_path: Path) -> None:
    room, order = room_in(tmp_path, keep_tapes=True), order_for(tmp_path, stereo(0.3))
    master = seal_call(order, room).object("master")
    assert master is not None
    room.shelf.put(master.name, b"something else")
    with pytest.raises(ShelfUnhealthy):
        seal_call(order, room_in(tmp_path))
    assert order.tape_path.exists()


def test_a_killed_append_leaves_its_place_free(tmp_path: Path) -> None:
    chain = ManifestChain(tmp_path, "node")

    def die(_: object) -> None:
        raise KeyboardInterrupt

    chain.append({"recording_id": "rec_1"}, KEY, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        chain.append({"recording_id": "rec_2"}, KEY, die)
    assert chain.find("rec_2") is None
    third = chain.append({"recording_id": "rec_3"}, KEY, lambda _: None)
    with (tmp_path / "manifests-node.chain").open("a") as file:
        file.write("0123 half a line")
    second = chain.append({"recording_id": "rec_2"}, KEY, lambda _: None)
    assert (third.seq, second.seq, second.body["prev"]) == (2, 3, third.sha256)
    assert chain.append({"recording_id": "rec_2", "other": 1}, KEY, lambda _: None) == second


@settings(max_examples=150, deadline=None)
@example(place=0.9765625, bit=6)  # the unused low bits of the signature's last base64 character
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_one_bit_flip_of_a_manifest_is_found(place: float, bit: int) -> None:
    body = {"format": "onrecord-manifest-1", "recording_id": "rec_1", "seq": 1, "who": "王", "gaps": [{"at": 1}]}
    data = bytearray(sign_manifest(body, KEY).data)
    assert read_manifest(bytes(data), KEY.verifier()).body == body
    data[int(place * len(data))] ^= 1 << bit
    with pytest.raises(ManifestDamaged):
        read_manifest(bytes(data), KEY.verifier())


def test_dtmf_by_policy() -> None:
    presses = [{"at_ms": 5, "digit": "1"}, {"at_ms": 9, "digit": "2"}]
    assert mask_dtmf(presses, "keep") == presses
    assert mask_dtmf(presses, "count") == [{"pressed": 2}]
    assert [press["digit"] for press in mask_dtmf(presses, "mask")] == ["*masked*"] * 2


def test_masks_cut_at_block_borders() -> None:
    from recording.copies import silence_masks

    sound = np.ones((RATE * 2, 2), np.int16)
    masks = (
        Mask(start_ms=500, end_ms=1500, actor="a", reason="r"),
        Mask(start_ms=1900, end_ms=None, actor="a", reason="r"),
    )
    whole = silence_masks(sound, 0, RATE, masks)
    parts = [silence_masks(sound[at : at + 999], at, RATE, masks) for at in range(0, len(sound), 999)]
    assert (np.concatenate(parts) == whole).all()
    assert whole[:, 0].sum() == RATE * 0.5 + RATE * 0.4
