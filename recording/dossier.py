"""A recording's dossier: its manifest, and every signed amendment made to it since.

A manifest is never changed. What must change afterwards, a stretch that is masked after the seal, is an *amendment*: a
document of its own, signed, in the node's chain among the manifests, which names by hash the document it amends.

    manifests/<recording>.json  ←  amendments/<recording>/1.json  ←  amendments/<recording>/2.json

An amendment's body: ``{"recording_id", "number", "amends", "at", "masks", "objects", "replaces"}``; its objects take
the place of those of the same kind, and what lies under the names in ``replaces`` is to be gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from config.errors import Unhealthy
from recording.manifest import Manifest, ManifestDamaged, read_amendment, read_manifest
from recording.recordings import Gap, Mask, Recording, RecordingClass, ShelfObject
from recording.sealed import Channel
from recording.shelf import ObjectMissing, Shelf
from recording.signing import Verifier


class AmendmentMissing(Unhealthy):
    """The case store knows of more amendments than the shelf has: what they masked must not be heard."""

    error_id = "amendment-missing"


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """Checked documents of one recording, in order."""

    manifest: Manifest
    amendments: tuple[Manifest, ...] = ()

    @property
    def recording(self) -> Recording:
        """As it stands: sealed as the manifest says, masked and shelved as the amendments say."""
        found = recording_from(self.manifest)
        masks = [*found.masks, *(Mask(**mask) for one in self.amendments for mask in one.body["masks"])]
        objects = {one.kind: one for one in found.objects}
        for amendment in self.amendments:
            objects = {kind: one for kind, one in objects.items() if one.name not in amendment.body["replaces"]}
            objects |= {one["kind"]: ShelfObject(**one) for one in amendment.body["objects"]}
        return replace(found, masks=tuple(masks), objects=tuple(objects.values()), amendments=len(self.amendments))

    @property
    def last(self) -> Manifest:
        """The document that the next amendment amends."""
        return self.amendments[-1] if self.amendments else self.manifest

    @property
    def replaced(self) -> tuple[str, ...]:
        """Names of encrypted objects that an amendment took the place of: nothing may lie there any more."""
        return tuple(str(name) for one in self.amendments for name in one.body["replaces"])

    def every_name(self) -> Iterator[str]:
        """All objects that ever were of this recording."""
        yield from (one.name for one in self.recording.objects)
        yield from self.replaced


def manifest_name(recording_id: str) -> str:
    return f"manifests/{recording_id}.json"


def amendment_name(recording_id: str, number: int) -> str:
    return f"amendments/{recording_id}/{number}.json"


def amendments_noted(kept: Mapping[str, object]) -> int:
    """How many amendments the case store knows of, by what it keeps of the manifest."""
    found = kept.get("amendments", 0)
    return found if isinstance(found, int) else 0


def read_dossier(shelf: Shelf, verifier: Verifier, recording_id: str, *, amendments: int = 0) -> Dossier:
    """Everything signed about a recording. ``amendments``: how many the case store knows of; there may be more.

    Raises ``ObjectMissing``, ``ManifestDamaged``, ``AmendmentMissing``.
    """
    manifest = read_manifest(shelf.get(manifest_name(recording_id)), verifier)
    if manifest.recording_id != recording_id:
        raise ManifestDamaged("this is the manifest of another recording", remedy="restore it from a backup")
    found: list[Manifest] = []
    while True:
        try:
            data = shelf.get(amendment_name(recording_id, len(found) + 1))
        except ObjectMissing:
            break
        found.append(checked_amendment(data, verifier, found[-1] if found else manifest, len(found) + 1))
    if len(found) < amendments:
        raise AmendmentMissing(
            "an amendment to this recording is gone from the shelf",
            field="recording_id",
            remedy="restore the shelf's amendments from a backup; run onrecord verify",
        )
    return Dossier(manifest=manifest, amendments=tuple(found))


def checked_amendment(data: bytes, verifier: Verifier, before: Manifest, number: int) -> Manifest:
    """Amendment ``number`` of the recording whose document before it is ``before``. Raises ``ManifestDamaged``."""
    amendment = read_amendment(data, verifier)
    body = amendment.body
    if (body["recording_id"], body["number"], body["amends"]) != (before.recording_id, number, before.sha256):
        raise ManifestDamaged("an amendment does not follow the document it names", remedy="restore it from a backup")
    return amendment


def recording_from(manifest: Manifest) -> Recording:
    """The recording a manifest speaks of, as it was sealed."""
    body: dict[str, Any] = manifest.body
    return Recording(
        id=body["recording_id"],
        call_id=body["call_id"],
        case_id=body["case_id"],
        tape_id=body["tape_id"],
        started_at=datetime.fromisoformat(body["started_at"]),
        seconds=body["vitals"]["milliseconds"] / 1000,
        sha256=body["sha256"],
        classification=RecordingClass(body["vitals"]["class"]),
        gaps=tuple(Gap(**{**gap, "channel": Channel(gap["channel"])}) for gap in body["gaps"]),
        masks=tuple(Mask(**mask) for mask in body["masks"]),
        objects=tuple(ShelfObject(**found) for found in body["objects"]),
        data_key_id=body["data_key_id"],
        vitals=body["vitals"],
        manifest_sha256=manifest.sha256,
        manifest_name=manifest_name(body["recording_id"]),
        chain=body["chain"],
        chain_seq=manifest.seq,
    )
