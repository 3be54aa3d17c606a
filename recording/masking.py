"""A sensitive moment masked after the seal: a signed amendment, and new copies in which it is silent.

The master is not touched. The order of things: the copies are made, encrypted and read back; the amendment is signed
into the node's chain and put on the shelf, and from then on players, exports and packs are silent there; then the old
copies, in which it could still be heard or seen, are deleted. Killed anywhere, the same order run again finishes it;
``verify`` says ``mask-unfinished`` until then. The audit entry comes first, from the caller.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from config.errors import BadInput, Refused
from recording.copies import make_copies
from recording.dossier import Dossier, amendment_name, read_dossier
from recording.manifest import AMENDMENT
from recording.recordings import Mask, Recording, ShelfObject
from recording.seal_job import SealRoom, only_one, open_object, shelve


class NothingToMask(Refused):
    """The recording holds no sound."""

    error_id = "nothing-to-mask"


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskOrder:
    """What is to be silent, and who says so. ``to_ms`` None: to the end. Raises ``BadInput``."""

    recording_id: str
    from_ms: int
    to_ms: int | None
    actor: str
    reason: str
    at: datetime

    def __post_init__(self) -> None:
        for name in ("actor", "reason"):
            if not str(getattr(self, name)).strip():
                raise BadInput("a mask needs who and why", field=name, remedy="name it: it is signed and audited")

    @property
    def mask(self) -> Mask:
        return Mask(start_ms=self.from_ms, end_ms=self.to_ms, actor=self.actor, reason=self.reason)


def check_span(order: MaskOrder, recording: Recording) -> None:
    """Raises ``BadInput`` for a stretch that is not in the recording, ``NothingToMask`` for one without sound."""
    length_ms = round(recording.seconds * 1000)
    if length_ms == 0:
        raise NothingToMask("this recording holds no sound", field="recording_id", remedy="there is nothing to do")
    end_ms = length_ms if order.to_ms is None else order.to_ms
    if not 0 <= order.from_ms < min(end_ms, length_ms):
        raise BadInput(
            "a stretch that is not in the recording",
            field="from_ms",
            shape=f"{order.from_ms} to {end_ms} of {length_ms} ms",
            remedy="choose from and to within the recording",
        )


def is_masked(order: MaskOrder, recording: Recording) -> bool:
    """Whether the whole stretch is silent already."""
    length_ms = round(recording.seconds * 1000)
    at, wanted = order.from_ms, min(length_ms if order.to_ms is None else order.to_ms, length_ms)
    for mask in sorted(recording.masks, key=lambda one: one.start_ms):
        if mask.start_ms <= at:
            at = max(at, length_ms if mask.end_ms is None else mask.end_ms)
    return at >= wanted


def mask_sealed(order: MaskOrder, room: SealRoom) -> Dossier:
    """Amend the recording. Idempotent. Raises what ``check_span`` raises, ``KeyDestroyed``, ``ShelfUnhealthy``."""
    with only_one(room.work, order.recording_id):
        _bring_back(order.recording_id, room)
        dossier = read_dossier(room.shelf, room.signing.verifier(), order.recording_id)
        recording = dossier.recording
        check_span(order, recording)
        data_key = room.keys.open(recording.data_key_id)
        if not is_masked(order, recording):
            dossier = _amend(order, dossier, data_key, room)
        for name in dossier.replaced:
            room.shelf.delete(name)
        return dossier


def _bring_back(recording_id: str, room: SealRoom) -> None:
    """Amendments this node's chain has and the shelf lost (restored from an older backup) are put there again."""
    number = 1
    while (made := room.chain.find(_document(recording_id, number))) is not None:
        if not room.shelf.exists(amendment_name(recording_id, number)):
            room.shelf.put(amendment_name(recording_id, number), made.data)
        number += 1


def _document(recording_id: str, number: int) -> str:
    return f"{recording_id}.amendment-{number}"


def _amend(order: MaskOrder, dossier: Dossier, data_key: bytes, room: SealRoom) -> Dossier:
    recording, number = dossier.recording, len(dossier.amendments) + 1
    objects = _new_copies(order, recording, number, data_key, room)
    fresh = {one.kind for one in objects} | {"listening"}  # an old listening copy goes even where none is made
    body: dict[str, Any] = {
        "format": AMENDMENT,
        "recording_id": recording.id,
        "number": number,
        "amends": dossier.last.sha256,
        "at": order.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "masks": [asdict(order.mask)],
        "objects": [asdict(one) for one in objects],
        "replaces": [one.name for one in recording.objects if one.kind in fresh],
    }
    made = room.chain.append(
        body,
        room.signing,
        lambda amendment: room.shelf.put(amendment_name(recording.id, number), amendment.data),
        name=_document(recording.id, number),
    )
    return Dossier(manifest=dossier.manifest, amendments=(*dossier.amendments, made))


def _new_copies(
    order: MaskOrder, recording: Recording, number: int, data_key: bytes, room: SealRoom
) -> list[ShelfObject]:
    """Peaks and listening copy with every mask, on the shelf under names of their own."""
    master = recording.object("master")
    if master is None:
        raise NothingToMask("this recording has no master", field="recording_id", remedy="run onrecord verify")
    plain = open_object(room.shelf, room.keys, master.name).read(0, master.plain_bytes)  # never in clear on a disk
    work = room.work / f"mask-{recording.id}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        peaks, listening = work / "sound.peaks", work / "sound.opus"
        wanted = None if room.vault.listening_copy == "never" else listening
        make_copies(io.BytesIO(plain), (*recording.masks, order.mask), peaks=peaks, listening=wanted)
        files = {"peaks": (peaks, "peaks", "peaks")}
        if wanted is not None:
            files["listening"] = (listening, "listening", "opus")
        return [
            shelve(kind, path, f"{folder}/{recording.id}.{number}.{ending}.vault", recording.id, data_key, room)
            for kind, (path, folder, ending) in files.items()
        ]
    finally:
        shutil.rmtree(work, ignore_errors=True)
