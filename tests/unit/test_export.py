"""Exports carry their provenance; evidence takes two people and convinces a stranger's Python."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
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
from config.errors import BadInput
from recording import offline_verifier
from recording.dossier import Dossier, read_dossier
from recording.evidence import OnePersonOnly, PackOrder, write_pack
from recording.export import ExportChannels, ExportFormat, ExportOrder, file_name, render, write_export
from recording.offline_verifier import ed25519_holds
from recording.recordings import Mask, Recording
from recording.seal_job import open_object, seal_call
from recording.signing import SigningKey
from tests.sealing import RATE, order_for, room_in, stereo

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


class Made:
    """One sealed recording, its master in the clear, and an audit log that speaks of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.room, self.sound = folder, room_in(folder), stereo(3)
        mask = Mask(start_ms=1000, end_ms=1500, actor="user_1", reason="card number")
        self.recording: Recording = seal_call(order_for(folder, self.sound, masks=(mask,)), self.room)
        name = self.recording.objects[0].name
        self.master = open_object(self.room.shelf, self.room.keys, name).read(0, 10**9)
        self.audit = AuditFile(folder / "audit.log", "node", self.room.signing)
        for subject in ("rec_0", "rec_1", "rec_2", "rec_1", "rec_9"):
            self.audit.append([AuditFact(at=NOW, actor="u", action="recording.heard", subject=subject)], NOW)

    exports = 0

    def dossier(self) -> Dossier:
        return read_dossier(self.room.shelf, self.room.signing.verifier(), "rec_1")

    def export(self, **order: object) -> tuple[Path, dict[str, object]]:
        wanted = ExportOrder(actor="user_2", reason="complaint 王", **order)  # type: ignore[arg-type]  # each test's own
        made = render(self.master, self.recording, wanted, NOW)
        self.exports += 1
        return write_export(made, self.folder / f"out{self.exports}"), dict(made.provenance)

    def pack(self, path: Path, **order: bool) -> Path:
        write_pack(
            path,
            PackOrder(
                requester="user_1",
                approver="user_2",
                reason="court",
                verdict={"allowed": True, "rule": "hours"},
                **order,  # type: ignore[arg-type]  # unmasked alone
            ),
            master=self.master,
            dossier=self.dossier(),
            data_key=self.room.keys.open("rec_1"),
            proofs=[self.audit.proof(2), self.audit.proof(4)],
            signing=self.room.signing,
            now=NOW,
        )
        return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize("file_format", list(ExportFormat))
def test_every_format_opens_and_carries_its_provenance(made: Made, file_format: ExportFormat) -> None:
    path, provenance = made.export(format=file_format, template="{recording_id}")
    assert path.name == f"rec_1.{file_format.value}"
    with soundfile.SoundFile(path) as file:
        assert file.frames / file.samplerate == pytest.approx(3, abs=0.15)
        assert file.channels == 2
        assert file.title == "rec_1"
        comment = file.comment
    sidecar = json.loads(path.with_name(path.name + ".json").read_text())
    assert sidecar == provenance
    assert sidecar["master_sha256"] == made.recording.sha256
    assert made.recording.sha256 in comment
    assert "王" not in comment


def test_a_clip_of_one_channel_is_exact_and_a_mix_holds_both(made: Made) -> None:
    path, _ = made.export(from_ms=250, to_ms=900, channels=ExportChannels.CUSTOMER, format=ExportFormat.FLAC)
    assert (soundfile.read(path, dtype="int16")[0] == made.sound[RATE // 4 : RATE * 9 // 10, 1]).all()
    path, _ = made.export(to_ms=900, channels=ExportChannels.MIX)
    mixed = soundfile.read(path, dtype="int16")[0].astype(float)
    both = made.sound[: len(mixed)].astype(float).sum(axis=1) * 0.708
    assert np.abs(mixed - both).max() <= 1


def test_masked_stretches_are_silent_in_every_copy(made: Made) -> None:
    path, provenance = made.export()
    heard = soundfile.read(path, dtype="int16")[0]
    assert np.abs(heard[RATE : RATE * 3 // 2]).max() == 0
    assert np.abs(heard[:RATE]).max() > 1000
    assert provenance["masked_ms"] == [[1000, 1500]]


def test_loudness_is_evened_and_never_clips(made: Made) -> None:
    quiet = made.sound // 40
    quiet[:, 1] = made.sound[:, 1]
    soundfile.write(made.folder / "quiet.flac", quiet, RATE, subtype="PCM_16")
    from recording.export import normalised

    done = normalised(soundfile.read(made.folder / "quiet.flac", dtype="int16")[0], RATE).astype(float)
    levels = 20 * np.log10(np.sqrt((done**2).mean(axis=0)) / 32768)
    assert abs(levels[0] - levels[1]) < 3
    assert -26 < levels.min() < levels.max() < -16
    assert np.abs(done).max() < 32768 * 10 ** (-0.9 / 20)


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"from_ms": -1}, "from_ms"),
        ({"from_ms": 4000}, "from_ms"),
        ({"from_ms": 900, "to_ms": 900}, "from_ms"),
        ({"template": "{phone}"}, "template"),
        ({"template": "{"}, "template"),
        ({"template": ""}, "template"),
    ],
)
def test_a_wrong_order_names_its_field_and_writes_nothing(made: Made, order: dict[str, object], field: str) -> None:
    before = sorted((made.folder / "out").glob("*"))
    with pytest.raises(BadInput) as caught:
        made.export(**order)
    assert caught.value.field == field
    assert sorted((made.folder / "out").glob("*")) == before


def test_a_template_cannot_leave_its_folder(made: Made) -> None:
    order = ExportOrder(actor="u", reason="r", template="../../{call_id} x/{date}")
    assert file_name(order, made.recording) == "call_1-x-20261123.wav"


def test_no_export_is_written_over_by_another(made: Made, tmp_path: Path) -> None:
    def write(**order: object) -> Path:
        wanted = ExportOrder(actor="user_2", reason="complaint", template="{date}", **order)  # type: ignore[arg-type]  # each its own
        return write_export(render(made.master, made.recording, wanted, NOW), tmp_path)

    first = write()
    kept = first.read_bytes()
    with pytest.raises(BadInput) as refused:
        write(to_ms=1000)
    assert refused.value.field == "template"
    assert first.read_bytes() == kept
    assert write() == first  # the same clip again
    first.with_name(f"{first.name}.json").unlink()
    with pytest.raises(BadInput):
        write()


def test_a_place_that_takes_no_file_is_named(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput) as refused:
        write_export(
            render(made.master, made.recording, ExportOrder(actor="u", reason="r"), NOW), tmp_path / "file" / "below"
        )
    assert refused.value.field == "out"


def test_a_changed_master_is_not_exported(made: Made) -> None:
    with pytest.raises(BadInput, match="not this recording"):
        render(made.master + b"\0", made.recording, ExportOrder(actor="u", reason="r"), NOW)


def test_evidence_takes_two_people() -> None:
    with pytest.raises(OnePersonOnly):
        PackOrder(requester="user_1", approver=" USER_1 ", reason="court")
    with pytest.raises(BadInput):
        PackOrder(requester="user_1", approver="user_2", reason=" ")


def stranger(*arguments: str, script: Path, cwd: Path) -> tuple[int, dict[str, object]]:
    """The pack's own verifier, in a bare interpreter: isolated, without site packages, away from the product."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), *arguments, "--json"],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_stranger_verifies_the_pack_without_the_product(made: Made, tmp_path: Path) -> None:
    pack = made.pack(tmp_path / "pack.zip")
    with zipfile.ZipFile(pack) as opened:
        opened.extractall(tmp_path / "open")
    script = tmp_path / "open" / "verify.py"
    key = made.room.signing.public_keys[made.room.signing.key_id].hex()
    code, said = stranger(str(pack), "--public-key", key, script=script, cwd=tmp_path)
    assert (code, said["ok"], said["own_key"]) == (0, True, False)
    assert (said["sha256"], said["audit_entries"]) == (made.recording.sha256, [2, 4])
    code, said = stranger(script=script, cwd=tmp_path)
    assert (code, said["own_key"]) == (0, True)
    vcon = json.loads((tmp_path / "open" / "vcon.json").read_text())
    heard = (tmp_path / "open" / "recording.wav").read_bytes()
    assert vcon["dialog"][0]["content_hash"] == f"sha256-{hashlib.sha256(heard).hexdigest()}"
    assert said["sound"] == "masked"
    assert [(one["start_ms"], one["actor"]) for one in said["masks"]] == [(1000, "user_1")]
    assert vcon["attachments"][1]["body"] == {"allowed": True, "rule": "hours"}
    other = SigningKey.from_seeds(b"\x05" * 32)
    code, said = stranger(str(pack), "--public-key", other.public_keys[other.key_id].hex(), script=script, cwd=tmp_path)
    assert code == 1
    assert "not given" in str(said["problem"])


def test_any_changed_missing_or_added_file_of_a_pack_is_found(made: Made, tmp_path: Path) -> None:
    from recording.offline_verifier import DoesNotHold, check_pack, read_pack

    files = read_pack(str(made.pack(tmp_path / "pack.zip")))
    keys = dict(made.room.signing.public_keys)
    assert check_pack(files, keys)["recording_id"] == "rec_1"
    for name, data in files.items():
        for at in (0, len(data) // 2, len(data) - 1):
            with pytest.raises((DoesNotHold, ValueError)):
                check_pack({**files, name: data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]}, keys)
        with pytest.raises(DoesNotHold):
            check_pack({other: found for other, found in files.items() if other != name}, keys)
    with pytest.raises(DoesNotHold, match="added"):
        check_pack({**files, "more.txt": b""}, keys)


def test_the_verifier_answers_whatever_is_wrong_with_the_zip(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bit of the zip's own bookkeeping makes Python's readers raise this and that: the answer is JSON all the same."""
    pack = made.pack(tmp_path / "pack.zip")
    whole, key = pack.read_bytes(), made.room.signing.public_keys[made.room.signing.key_id].hex()
    honest = offline_verifier.read_pack(str(pack))
    with zipfile.ZipFile(pack) as opened:
        starts = [one.header_offset for one in opened.infolist()]
        places = [*range(opened.start_dir, len(whole), 5), *(at + n for at in starts for n in range(0, 40, 3))]
    for at in places:
        pack.write_bytes(whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1 :])
        code = offline_verifier.main([str(pack), "--public-key", key, "--json"])
        said = json.loads(capsys.readouterr().out)
        if said["ok"]:  # a date or a permission of the zip's: not a byte of what it holds
            assert offline_verifier.read_pack(str(pack)) == honest
        assert code == (0 if said["ok"] else 1)


def test_proofs_of_another_recording_make_no_pack(made: Made, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="audit proof"):
        write_pack(
            tmp_path / "p.zip",
            PackOrder(requester="a", approver="b", reason="r"),
            master=made.master,
            dossier=made.dossier(),
            data_key=made.room.keys.open("rec_1"),
            proofs=[made.audit.proof(1)],
            signing=made.room.signing,
            now=NOW,
        )
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), bit=st.integers(0, 511))
def test_plain_python_ed25519_agrees_with_the_library(seed: bytes, message: bytes, bit: int) -> None:
    key = SigningKey.from_seeds(seed)
    public, signature = key.public_keys[key.key_id], bytearray(key.sign(message))
    assert ed25519_holds(public, message, bytes(signature))
    assert not ed25519_holds(public, message + b"x", bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not ed25519_holds(public, message, bytes(signature))


def test_rfc_8032_test_vector_three() -> None:
    public = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    signature = bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    assert ed25519_holds(public, bytes.fromhex("af82"), signature)
    assert not ed25519_holds(public, bytes.fromhex("af83"), signature)


def test_a_recording_without_masks_is_exported_whole(made: Made) -> None:
    bare = replace(made.recording, masks=())
    order = ExportOrder(actor="u", reason="r", format=ExportFormat.FLAC, template="bare")
    path = write_export(render(made.master, bare, order, NOW), made.folder / "out")
    assert (soundfile.read(path, dtype="int16")[0] == made.sound).all()
