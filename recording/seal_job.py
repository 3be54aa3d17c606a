"""From a tape to a recording: seal, measure, encrypt, shelve, prove; then, and only then, let the tape go.

    tape → lossless master → vitals + peaks + listening copy → vault → shelf, read back → signed manifest in the
    node's chain → the tape may go

Every step can be killed and run again: ids follow from the order, objects are overwritten whole, and the manifest is
the last thing made. A run that finds its manifest checks what is on the shelf against it and makes nothing new.
"""

from __future__ import annotations

import fcntl
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import Any

from config.canonical import canonical_json
from config.settings import Settings, VaultSettings
from recording.copies import make_copies, read_prompt
from recording.dossier import manifest_name, read_dossier, recording_from
from recording.first_keys import first_keys
from recording.keys import DataKeys, load_master_keys
from recording.manifest import Manifest, ManifestChain, mask_dtmf, read_manifest
from recording.peaks import PeakMeter
from recording.recordings import Mask, Recording, ShelfObject
from recording.seal import seal
from recording.sealed import RATE, Oddity, SealedTape
from recording.shelf import Shelf, ShelfUnhealthy, open_shelf, put_verified, sha256_of_file
from recording.signing import SigningKey, load_signing_key
from recording.sound_tree import BLOCK_SAMPLES, SoundTree, tree_seed
from recording.vault import VaultReader, encrypt_file
from recording.vitals import TalkFact, VitalsMeter

SealTape = Callable[[Path, Path], SealedTape]
"""``(tape path, directory for the master)`` → what was sealed: ``recording.seal.seal`` in the product."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SealOrder:
    """One call's tape to be sealed. ``facts`` go into the manifest as they are: masked numbers, integers, text."""

    recording_id: str
    call_id: str
    case_id: str
    tape_path: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    talk: TalkFact | None = None
    prompt_path: Path | None = None  # the announcement that was due on our channel, as a sound file
    masks: tuple[Mask, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SealRoom:
    """Everything a seal needs, opened once a process."""

    vault: VaultSettings
    shelf: Shelf
    keys: DataKeys
    signing: SigningKey
    chain: ManifestChain
    seal_tape: SealTape

    @property
    def work(self) -> Path:
        return self.vault.state / "work"


def open_seal_room(settings: Settings, seal_tape: SealTape = seal) -> SealRoom:
    """Raises ``KeyUnavailable`` or ``BadSetting``; makes the key files of a fresh house."""
    first_keys(settings)
    shelf = open_shelf(settings)
    return SealRoom(
        vault=settings.vault,
        shelf=shelf,
        keys=DataKeys(shelf, load_master_keys(settings.vault.master_key)),
        signing=load_signing_key(settings.vault.signing_key),
        chain=ManifestChain(settings.vault.state, settings.vault.node),
        seal_tape=seal_tape,
    )


def seal_call(order: SealOrder, room: SealRoom) -> Recording:
    """The whole pipeline of one call. Idempotent; the tape goes only after everything was read back."""
    with only_one(room.work, order.recording_id):
        manifest = room.chain.find(order.recording_id)
        if manifest is None:
            manifest = _seal_anew(order, room)
        else:
            read_manifest(manifest.data, room.signing.verifier())
            _check_shelf(manifest, room)
        if not room.vault.keep_tapes:
            order.tape_path.unlink(missing_ok=True)
        shutil.rmtree(room.work / order.recording_id, ignore_errors=True)
        return recording_from(manifest)


def open_object(shelf: Shelf, keys: DataKeys, name: str) -> VaultReader:
    """A ranged reader over an encrypted object of the shelf."""
    return VaultReader(lambda start, length: shelf.get_range(name, start, length), keys.open)


def _seal_anew(order: SealOrder, room: SealRoom) -> Manifest:
    work = room.work / order.recording_id
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    sealed = room.seal_tape(order.tape_path, work)
    peaks_path, listening_path = work / "sound.peaks", work / "sound.opus"
    masks = (*order.masks, *masks_of(sealed))
    data_key = room.keys.make(order.recording_id)
    tree = SoundTree(sealed.samples, tree_seed(data_key))
    wanted = room.vault.listening_copy == "always" or (room.vault.listening_copy == "masked" and bool(masks))
    vitals = _measure(sealed, order, masks, tree, peaks_path, listening_path if wanted else None)
    files = {"master": (sealed.flac_path, "audio", "flac"), "peaks": (peaks_path, "peaks", "peaks")}
    if listening_path.exists():
        files["listening"] = (listening_path, "listening", "opus")
    if sealed.aside_path is not None:
        files["aside"] = (sealed.aside_path, "audio", "aside.flac")
    if any(odd.payload is not None for odd in sealed.oddities):
        files["displaced"] = (_write_displaced(sealed, work), "audio", "displaced.json")
    objects = [
        shelve(kind, path, f"{folder}/{order.recording_id}.{ending}.vault", order.recording_id, data_key, room)
        for kind, (path, folder, ending) in files.items()
    ]
    if objects[0].plain_sha256 != sealed.sha256:
        raise ShelfUnhealthy("the master changed while it was sealed", remedy="check the work disk; the tape was kept")
    body = {
        "recording_id": order.recording_id,
        "call_id": order.call_id,
        "case_id": order.case_id,
        "call": dict(order.facts),
        "masks": [asdict(mask) for mask in masks],
        "vitals": vitals,
        "objects": [asdict(found) for found in objects],
        "data_key_id": order.recording_id,
        "sound_tree": {"block_samples": BLOCK_SAMPLES, "root": tree.root()},
        **tape_facts(sealed, room.vault.dtmf),
    }
    return room.chain.append(
        body, room.signing, lambda made: room.shelf.put(manifest_name(made.recording_id), made.data)
    )


def _measure(
    sealed: SealedTape,
    order: SealOrder,
    masks: Sequence[Mask],
    tree: SoundTree,
    peaks_path: Path,
    listening_path: Path | None,
) -> dict[str, Any]:
    """One pass over the master: peaks, vitals, the hash tree and the listening copy."""
    vitals = VitalsMeter(RATE, read_prompt(order.prompt_path, RATE))
    if sealed.samples == 0:  # libsndfile writes a FLAC without samples and cannot read it back
        peaks_path.write_bytes(PeakMeter(RATE, 2).as_bytes())
    else:
        make_copies(sealed.flac_path, masks, peaks=peaks_path, listening=listening_path, vitals=vitals, tree=tree)
    return vitals.result(_talk(sealed, order.talk)).as_facts()


def _write_displaced(sealed: SealedTape, work: Path) -> Path:
    """Frames that found no place are sound: they are encrypted with it, and the manifest only says that they are."""
    frames = [asdict(odd) for odd in sealed.oddities if odd.payload is not None]
    path = work / "displaced.json"
    path.write_bytes(canonical_json(frames))
    return path


def tape_facts(sealed: SealedTape, dtmf: str) -> dict[str, Any]:
    """What the seal found, for the manifest: integers, text, times from the file's first sample in ms."""
    streams = {}
    for facts in sealed.channels:
        stream = asdict(facts)
        drift = stream.pop("drift_ppm")
        streams[stream.pop("channel").value] = {**stream, "drift_ppb": None if drift is None else round(drift * 1000)}
    presses = [{"at_ms": _ms(mark.at), **mark.facts} for mark in sealed.marks if mark.name == "dtmf"]
    return {
        "tape_id": sealed.tape_id,
        "started_at": sealed.started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "sha256": sealed.sha256,
        "samples": sealed.samples,
        "sealed_as": sealed.classification.value,
        "closed": sealed.closed,
        "timeline_ppb": round(sealed.timeline_ppm * 1000),
        "streams": streams,
        "gaps": [
            {
                "channel": gap.channel.value,
                "start_ms": _ms(gap.start),
                "length_ms": _ms(gap.length),
                "reason": gap.reason.value,
            }
            for gap in sealed.gaps
        ],
        "oddities": [_oddity(odd) for odd in sealed.oddities],
        "damage": [list(span) for span in sealed.damage],
        "dtmf": mask_dtmf(presses, dtmf),
        "marks": [
            {"at_ms": _ms(mark.at), "mark": mark.name, **_integers(mark.facts)}
            for mark in sealed.marks
            if mark.name != "dtmf"
        ],
    }


def _oddity(odd: Oddity) -> dict[str, Any]:
    facts = {**asdict(odd), "channel": odd.channel.value}
    payload = facts.pop("payload")
    return facts if payload is None else {**facts, "bytes": len(payload) // 2}


def _talk(sealed: SealedTape, talk: TalkFact | None) -> TalkFact | None:
    """With the answer's place on the tape's own scale, from the mark that was written when it came."""
    if talk is None or talk.answered_ms is not None:
        return talk
    answered = next((_ms(mark.at) for mark in sealed.marks if mark.name == "answered"), None)
    return replace(talk, answered_ms=None if answered is None else max(0, answered))


def masks_of(sealed: SealedTape) -> tuple[Mask, ...]:
    """Stretches between the tape's marks ``mask-on`` (actor, reason) and ``mask-off``; the last may be open."""
    found: list[Mask] = []
    opened: tuple[int, str, str] | None = None
    for mark in sorted(sealed.marks, key=lambda one: one.at):
        if mark.name == "mask-on" and opened is None:
            opened = (max(0, _ms(mark.at)), str(mark.facts.get("actor", "")), str(mark.facts.get("reason", "")))
        elif mark.name == "mask-off" and opened is not None:
            found.append(Mask(start_ms=opened[0], end_ms=max(0, _ms(mark.at) + 1), actor=opened[1], reason=opened[2]))
            opened = None
    if opened is not None:
        found.append(Mask(start_ms=opened[0], end_ms=None, actor=opened[1], reason=opened[2]))
    return tuple(found)


def _ms(samples: int) -> int:
    return samples * 1000 // RATE


def _integers(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value) if isinstance(value, float) else value for name, value in facts.items()}


def shelve(kind: str, path: Path, name: str, recording_id: str, data_key: bytes, room: SealRoom) -> ShelfObject:
    """Encrypt a file, open it again, put it on the shelf, read it back."""
    closed = path.with_name(path.name + ".vault")
    encrypt_file(path, closed, file_id=name, key_id=recording_id, data_key=data_key, chunk_bytes=room.vault.chunk_bytes)
    plain_sha256, size = sha256_of_file(path), closed.stat().st_size
    with closed.open("rb") as file:
        if VaultReader(_reads(file), lambda _: data_key).check(size) != plain_sha256:
            raise ShelfUnhealthy("an encrypted file does not open again", remedy="check memory and the work disk")
    found = ShelfObject(
        kind=kind,
        name=name,
        plain_sha256=plain_sha256,
        plain_bytes=path.stat().st_size,
        vault_sha256=put_verified(room.shelf, name, closed),
        vault_bytes=size,
    )
    closed.unlink()
    return found


def _reads(file: Any) -> Callable[[int, int], bytes]:
    def read(start: int, length: int) -> bytes:
        file.seek(start)
        return bytes(file.read(length))

    return read


def _check_shelf(manifest: Manifest, room: SealRoom) -> None:
    shelf = room.shelf
    if not shelf.exists(manifest_name(manifest.recording_id)):
        shelf.put(manifest_name(manifest.recording_id), manifest.data)
    for found in read_dossier(shelf, room.signing.verifier(), manifest.recording_id).recording.objects:
        if shelf.sha256(found.name) != found.vault_sha256:
            raise ShelfUnhealthy(
                "the shelf holds other bytes than the manifest says",
                remedy="run onrecord verify; restore the object from a backup; the tape, if any, was kept",
            )


@contextmanager
def only_one(work: Path, recording_id: str) -> Iterator[None]:
    """One process at a time for one recording. The lock files are 256 for ever: they do not grow with history."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / f"lock-{zlib.crc32(recording_id.encode()) % 256:02x}").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
