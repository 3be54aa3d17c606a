"""Attaches a sealed recording to its case in the store, by exact id, and says later whether the store still tells the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from case_store.calls import Recordings
from case_store.model import Gap, RecordingRecord
from recording.dossier import Dossier, amendments_noted
from recording.recordings import Recording, RecordingClass


@dataclass(frozen=True, kw_only=True, slots=True)
class FiledRecording:
    """What the case store says of a sealed recording, as ``verify`` holds it: a digest stands for all but the hash.

    ``amendments``: how many the store had noted; what it says of masks and copies is as after these.
    """

    sha256: str
    facts_sha256: str
    amendments: int = 0


async def attach(
    recordings: Recordings, recording: Recording, at: datetime, keep_until: datetime | None = None
) -> RecordingRecord:
    """Write what sealing made into the recording's row. Twice is harmless; other bytes are refused by the store."""
    return await recordings.seal(
        recording.id,
        at,
        path=_path(recording),
        seconds=recording.seconds,
        sha256=recording.sha256,
        gaps=_gaps(recording),
        vitals=dict(recording.vitals),
        manifest=_noted(recording),
        keep_until=keep_until,
        empty=recording.classification is RecordingClass.EMPTY,
    )


def as_filed(dossier: Dossier, amendments: int = 0) -> FiledRecording:
    """What the store is to say of it, once it has noted ``amendments`` of its amendments."""
    noted = Dossier(manifest=dossier.manifest, amendments=dossier.amendments[:amendments]).recording
    said = _noted(noted) | ({"amendments": amendments} if amendments else {})
    return filed(
        sha256=noted.sha256,
        call_id=noted.call_id,
        case_id=noted.case_id,
        path=_path(noted),
        seconds=noted.seconds,
        gaps=[asdict(gap) for gap in _gaps(noted)],
        vitals=noted.vitals,
        manifest=said,
    )


def filed(
    *,
    sha256: str,
    call_id: str,
    case_id: str,
    path: str,
    seconds: float,
    gaps: Sequence[Mapping[str, Any]],
    vitals: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> FiledRecording:
    """What a row says, to be compared with ``as_filed``. ``sha256`` is of the plain master."""
    said = (call_id, case_id, path, seconds, [dict(gap) for gap in gaps], dict(vitals), dict(manifest))
    return FiledRecording(
        sha256=sha256,
        facts_sha256=hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest(),
        amendments=amendments_noted(manifest),
    )


def _path(recording: Recording) -> str:
    master = recording.object("master")
    return master.name if master is not None else recording.manifest_name


def _gaps(recording: Recording) -> tuple[Gap, ...]:
    return tuple(
        Gap(channel=gap.channel.value, start=gap.start_ms / 1000, seconds=gap.length_ms / 1000)
        for gap in recording.gaps
    )


def _noted(recording: Recording) -> dict[str, Any]:
    return {
        "name": recording.manifest_name,
        "sha256": recording.manifest_sha256,
        "chain": recording.chain,
        "seq": recording.chain_seq,
        "started_at": recording.started_at.isoformat(),
        "data_key_id": recording.data_key_id,
        "masks": len(recording.masks),
        "objects": {found.kind: found.name for found in recording.objects},
    }
