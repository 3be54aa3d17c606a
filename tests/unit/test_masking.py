"""What is masked is heard nowhere, explained everywhere, and the rest is proven by the hash tree."""

from __future__ import annotations

import hashlib
import io
import json
import wave
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from case_store.audit_chain import AuditFact
from case_store.audit_file import AuditFile
from config.errors import BadInput, InvariantBroken, OnrecordError
from recording.copies import silence_masks
from recording.dossier import AmendmentMissing, Dossier, amendment_name, read_dossier
from recording.evidence import PackOrder, write_pack
from recording.export import ExportOrder, render
from recording.keys import KeyDestroyed
from recording.masking import MaskOrder, mask_sealed
from recording.offline_verifier import DoesNotHold, check_masked_sound, check_pack, masked_blocks, read_pack
from recording.peaks import read_level
from recording.retention import KeptRecording, RetentionSettings, dispose
from recording.seal_job import SealRoom, open_object, seal_call
from recording.shelf import FolderShelf
from recording.sound_tree import BLOCK_SAMPLES, SoundTree, hidden_blocks
from recording.verify import verify
from tests.sealing import RATE, STARTED, order_for, room_in, stereo

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
SOUND = stereo(4)


class Sealed:
    """A sealed recording of four seconds, nothing masked yet."""

    def __init__(self, folder: Path, **vault: object) -> None:
        self.folder = folder
        self.room: SealRoom = room_in(folder, **vault)
        self.recording = seal_call(order_for(folder, SOUND), self.room)
        self.master = self.plain("master")

    def plain(self, kind: str) -> bytes:
        found = self.dossier().recording.object(kind)
        assert found is not None
        return open_object(self.room.shelf, self.room.keys, found.name).read(0, found.plain_bytes)

    def dossier(self) -> Dossier:
        return read_dossier(self.room.shelf, self.room.signing.verifier(), "rec_1")

    def mask(self, from_ms: int, to_ms: int | None, reason: str = "card number") -> Dossier:
        order = MaskOrder(recording_id="rec_1", from_ms=from_ms, to_ms=to_ms, actor="qa_1", reason=reason, at=NOW)
        return mask_sealed(order, self.room)

    def kinds(self) -> set[str]:
        report = verify(self.room.shelf, self.room.signing.verifier(), keys=self.room.keys, deep=True)
        return {failure.kind for failure in report.failures}

    def pack(self, path: Path, unmasked: bool = False) -> dict[str, bytes]:
        audit = AuditFile(path.with_suffix(".log"), "node", self.room.signing)
        audit.append([AuditFact(at=NOW, actor="u", action="recording.masked", subject="rec_1")], NOW)
        write_pack(
            path,
            PackOrder(requester="a", approver="b", reason="court", unmasked=unmasked),
            master=self.master,
            dossier=self.dossier(),
            data_key=self.room.keys.open("rec_1"),
            proofs=[audit.proof(1)],
            signing=self.room.signing,
            now=NOW,
        )
        return read_pack(str(path))


@pytest.fixture
def sealed(tmp_path: Path) -> Sealed:
    return Sealed(tmp_path)


def heard(data: bytes) -> np.ndarray:
    sound, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    return sound[:: rate // RATE].astype(int)


def test_a_stretch_masked_after_the_seal_is_silent_in_all_that_is_given_out(sealed: Sealed) -> None:
    before, files = sealed.room.shelf.get("manifests/rec_1.json"), sorted(sealed.room.shelf.list("audio"))
    dossier = sealed.mask(1000, 2000)
    copy = heard(sealed.plain("listening"))
    assert np.abs(copy[int(RATE * 1.1) : int(RATE * 1.9)]).max() < 60 < 1000 < np.abs(copy[RATE * 22 // 10 :]).max()
    level = read_level(sealed.plain("peaks"), 0)
    assert np.abs(level[51:99].astype(int)).max() == 0 < np.abs(level[:49].astype(int)).max()
    export = render(sealed.master, dossier.recording, ExportOrder(actor="u", reason="r"), NOW)
    assert np.abs(heard(export.data)[RATE : 2 * RATE]).max() == 0
    assert export.provenance["masked_ms"] == [[1000, 2000]]
    assert sealed.room.shelf.get("manifests/rec_1.json") == before
    assert sorted(sealed.room.shelf.list("audio")) == files
    assert sealed.plain("master") == sealed.master
    [mask] = dossier.recording.masks
    assert (mask.start_ms, mask.end_ms, mask.actor, mask.reason) == (1000, 2000, "qa_1", "card number")
    assert sealed.kinds() == set()


def test_old_copies_go_and_masks_add_up(sealed: Sealed) -> None:
    sealed.mask(0, 500)
    first = sealed.dossier().recording
    sealed.mask(3500, None, "a name")
    now = sealed.dossier()
    for kind in ("listening", "peaks"):
        old, new = first.object(kind), now.recording.object(kind)
        assert old is not None
        assert new is not None
        assert not sealed.room.shelf.exists(old.name)
        assert sealed.room.shelf.exists(new.name)
    copy = heard(sealed.plain("listening"))
    assert np.abs(copy[int(RATE * 0.05) : int(RATE * 0.4)]).max() < 60
    assert np.abs(copy[int(RATE * 3.6) : int(RATE * 3.95)]).max() < 60
    assert [one.seq for one in (now.manifest, *now.amendments)] == [1, 2, 3]
    assert now.amendments[1].body["amends"] == now.amendments[0].sha256
    assert now.amendments[0].body["amends"] == now.manifest.sha256
    assert sealed.kinds() == set()


def test_asking_twice_makes_one_amendment(sealed: Sealed) -> None:
    sealed.mask(500, 1500)
    for span in ((500, 1500), (700, 900)):
        assert len(sealed.mask(*span).amendments) == 1
    assert len(sealed.mask(1400, 1600).amendments) == 2


def test_no_sound_lies_in_clear_and_a_kill_is_finished_by_the_next_run(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed.mask(0, 200)
    whole = FolderShelf.delete

    def die(shelf: FolderShelf, name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FolderShelf, "delete", die)
    with pytest.raises(KeyboardInterrupt):
        sealed.mask(1000, 2000)
    monkeypatch.setattr(FolderShelf, "delete", whole)
    assert sealed.kinds() == {"mask-unfinished"}
    assert len(sealed.mask(1000, 2000).amendments) == 2
    assert sealed.kinds() == set()
    for path in sealed.folder.rglob("*"):
        if path.is_file():
            assert sealed.master[100:132] not in path.read_bytes(), path.name
    assert [path.name for path in sealed.room.work.iterdir() if not path.name.startswith("lock-")] == []


@pytest.mark.parametrize("span", [(-1, 5), (4000, None), (100, 100), (200, 100), (9000, 9100)])
def test_a_stretch_that_is_not_there_is_refused(sealed: Sealed, span: tuple[int, int | None]) -> None:
    with pytest.raises(BadInput):
        sealed.mask(*span)
    assert sealed.dossier().amendments == ()
    with pytest.raises(BadInput):
        sealed.mask(0, 100, reason=" ")


def test_an_amendment_that_is_gone_changed_or_another_recordings_is_found(sealed: Sealed) -> None:
    sealed.mask(0, 500)
    sealed.mask(1000, 1500)
    shelf, name = sealed.room.shelf, amendment_name("rec_1", 1)
    first, second = shelf.get(name), shelf.get(amendment_name("rec_1", 2))
    shelf.put(name, first.replace(b'"end_ms":500', b'"end_ms":400'))
    assert "amendment-damaged" in sealed.kinds()
    shelf.put(name, second)
    assert "amendment-damaged" in sealed.kinds()
    shelf.put(name, first)
    shelf.delete(amendment_name("rec_1", 2))
    assert sealed.kinds()  # the copies it replaced are gone
    with pytest.raises(AmendmentMissing):
        read_dossier(shelf, sealed.room.signing.verifier(), "rec_1", amendments=2)
    sealed.mask(1000, 1500)  # the chain still has it
    assert shelf.get(amendment_name("rec_1", 2)) == second
    assert sealed.kinds() == set()


def test_disposal_takes_every_copy_and_nothing_is_masked_after_it(sealed: Sealed) -> None:
    sealed.mask(0, 500)
    sealed.mask(700, 900)
    room, names = sealed.room, list(sealed.dossier().every_name())
    kept = KeptRecording(recording_id="rec_1", case_id="c", client="b", recorded_at=STARTED)
    later = datetime(2030, 1, 1, tzinfo=UTC)
    dispose(kept, later, RetentionSettings(), actor="u", shelf=room.shelf, keys=room.keys, signing=room.signing)
    assert [name for folder in ("audio", "listening", "peaks", "keys") for name in room.shelf.list(folder)] == []
    assert len(names) >= 5
    with pytest.raises(KeyDestroyed):
        sealed.mask(2000, 3000)
    assert sealed.kinds() == set()
    room.shelf.put(names[0], b"from a backup")
    assert sealed.kinds() == {"disposal-unfinished"}


def test_a_masked_pack_proves_all_that_can_be_heard(sealed: Sealed, tmp_path: Path) -> None:
    sealed.mask(1010, 1490)
    files = sealed.pack(tmp_path / "pack.zip")
    keys = dict(sealed.room.signing.public_keys)
    assert "recording.flac" not in files
    assert sealed.master not in (tmp_path / "pack.zip").read_bytes()
    said = check_pack(files, keys)
    assert (said["sound"], said["sha256"], len(said["masks"])) == ("masked", sealed.recording.sha256, 1)
    with wave.open(io.BytesIO(files["recording.wav"])) as file:
        got = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    quiet = slice(RATE, RATE * 3 // 2)  # widened to whole blocks
    assert not got[quiet].any()
    outside = np.ones(len(got), bool)
    outside[quiet] = False
    assert (got[outside] == SOUND[outside]).all()
    assert len(json.loads(files["masked-sound.json"])) < 20


def test_a_pack_with_the_master_is_another_order(sealed: Sealed, tmp_path: Path) -> None:
    sealed.mask(1000, 1500)
    files = sealed.pack(tmp_path / "pack.zip", unmasked=True)
    assert files["recording.flac"] == sealed.master
    said = check_pack(files, dict(sealed.room.signing.public_keys))
    assert (said["sound"], len(said["masks"])) == ("whole", 1)


def _forged_sound(files: dict[str, bytes], sound: np.ndarray) -> bytes:
    return files["recording.wav"][:44] + sound.astype("<i2").tobytes()


def test_a_forged_masked_sound_is_found_even_under_the_houses_signature(sealed: Sealed, tmp_path: Path) -> None:
    """Whoever holds the signing key can list other files; the sound still has to fit the root sealed at the call."""
    sealed.mask(1000, 1500)
    files = sealed.pack(tmp_path / "pack.zip")
    body, masks = sealed.dossier().manifest.body, [{"start_ms": 1000, "end_ms": 1500}]
    nodes = json.loads(files["masked-sound.json"])
    good = np.frombuffer(files["recording.wav"][44:], "<i2").reshape(-1, 2)
    check_masked_sound(files["recording.wav"], nodes, body, masks)
    for at in (0, 7999, 12000, len(good) - 1):
        changed = good.copy()
        changed[at, 1] ^= 1
        with pytest.raises(DoesNotHold, match="not what was sealed"):
            check_masked_sound(_forged_sound(files, changed), nodes, body, masks)
    loud = good.copy()
    loud[RATE + 5] = 1
    with pytest.raises(DoesNotHold, match="nothing proves it"):
        check_masked_sound(_forged_sound(files, loud), nodes, body, masks)
    with pytest.raises(DoesNotHold, match="other stretches"):
        check_masked_sound(files["recording.wav"], nodes, body, [{"start_ms": 1000, "end_ms": 1400}])
    for wrong in (nodes[1:], nodes[:-1], [*nodes, nodes[-1]], list(reversed(nodes))):
        with pytest.raises(DoesNotHold):
            check_masked_sound(files["recording.wav"], wrong, body, masks)
    with pytest.raises(DoesNotHold, match="length"):
        check_masked_sound(files["recording.wav"][:-4], nodes, {**body, "samples": body["samples"] - 1}, masks)


def test_a_pack_that_would_not_verify_is_not_written(sealed: Sealed, tmp_path: Path) -> None:
    sealed.mask(1000, 1500)
    dossier = sealed.dossier()
    other = Dossier(manifest=dossier.manifest, amendments=dossier.amendments * 2)
    with pytest.raises((InvariantBroken, OnrecordError)):
        write_pack(
            tmp_path / "p.zip",
            PackOrder(requester="a", approver="b", reason="r"),
            master=sealed.master,
            dossier=other,
            data_key=sealed.room.keys.open("rec_1"),
            proofs=[_proof(tmp_path, sealed)],
            signing=sealed.room.signing,
            now=NOW,
        )
    assert not zipfile.is_zipfile(tmp_path / "p.zip")


def _proof(folder: Path, sealed: Sealed):  # type: ignore[no-untyped-def]  # the audit proof of one entry
    audit = AuditFile(folder / "a.log", "node", sealed.room.signing)
    audit.append([AuditFact(at=NOW, actor="u", action="x", subject="rec_1")], NOW)
    return audit.proof(1)


def plain_root(samples: np.ndarray, seed: bytes) -> str:
    """The tree as its docstring says it, the slow way."""
    blocks = [samples[at : at + BLOCK_SAMPLES] for at in range(0, max(1, len(samples)), BLOCK_SAMPLES)]
    depth = (len(blocks) - 1).bit_length()

    def part(level: int, index: int, seed: bytes) -> bytes:
        if index << (depth - level) >= len(blocks):
            return b""
        if level == depth:
            return hashlib.sha256(b"\x02" + seed + blocks[index].astype("<i2").tobytes()).digest()
        kids = [part(level + 1, 2 * index + side, hashlib.sha256(bytes([side]) + seed).digest()) for side in (0, 1)]
        return hashlib.sha256(b"\x03" + kids[0] + kids[1]).digest()

    return part(0, 0, seed).hex()


@settings(max_examples=80, deadline=None)
@given(
    samples=st.integers(0, 12 * BLOCK_SAMPLES),
    pieces=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    masks=st.lists(st.tuples(st.integers(0, 700), st.none() | st.integers(0, 700)), max_size=4),
)
def test_any_masks_over_any_length_are_provable(
    samples: int, pieces: list[int], masks: list[tuple[int, int | None]]
) -> None:
    sound = np.random.default_rng(samples).integers(-3000, 3000, (samples, 2)).astype(np.int16)
    tree, at, turn = SoundTree(samples, b"s" * 32), 0, 0
    while at < samples:
        step = pieces[turn % len(pieces)]
        tree.add(sound[at : at + step])
        at, turn = at + step, turn + 1
    assert tree.root() == plain_root(sound, b"s" * 32)
    hidden = hidden_blocks(masks, samples, RATE)
    told = [{"start_ms": start, "end_ms": end} for start, end in masks]
    assert {n for first, last in hidden for n in range(first, last)} == masked_blocks(
        told, samples, RATE, BLOCK_SAMPLES
    )
    quiet = sound.copy()
    for first, last in hidden:
        quiet[first * BLOCK_SAMPLES : last * BLOCK_SAMPLES] = 0
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(quiet.tobytes())
    body = {"samples": samples, "sound_tree": {"block_samples": BLOCK_SAMPLES, "root": tree.root()}}
    check_masked_sound(out.getvalue(), tree.reveal(hidden), body, told)


def test_what_is_revealed_holds_no_secret_of_what_is_hidden(sealed: Sealed) -> None:
    tree = SoundTree(len(SOUND), b"s" * 32)
    tree.add(SOUND)
    nodes = tree.reveal([(0, tree.blocks)])
    assert nodes == [{"level": 0, "index": 0, "hash": tree.root()}]
    everything = tree.reveal([])
    assert [one["seed"] for one in everything] == [(b"s" * 32).hex()]
    partly = tree.reveal([(3, 4)])
    assert all(one["seed"] != (b"s" * 32).hex() for one in partly if "seed" in one)


def test_with_never_an_old_listening_copy_still_goes(tmp_path: Path) -> None:
    made = Sealed(tmp_path, listening_copy="always")
    old = made.recording.object("listening")
    assert old is not None
    never = replace(made.room, vault=made.room.vault.model_copy(update={"listening_copy": "never"}))
    order = MaskOrder(recording_id="rec_1", from_ms=0, to_ms=500, actor="a", reason="r", at=NOW)
    dossier = mask_sealed(order, never)
    assert dossier.recording.object("listening") is None
    assert not made.room.shelf.exists(old.name)
    assert made.kinds() == set()


def test_masks_of_the_seal_and_later_ones_are_silent_alike() -> None:
    sound = np.ones((RATE, 2), np.int16)
    assert (silence_masks(sound, 0, RATE, ()) == sound).all()
