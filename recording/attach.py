"""Attaches a sealed recording to its case in the store, by exact id."""

from __future__ import annotations

from datetime import datetime

from case_store.calls import Recordings
from case_store.model import Gap, RecordingRecord
from recording.recordings import Recording, RecordingClass


async def attach(
    recordings: Recordings, recording: Recording, at: datetime, keep_until: datetime | None = None
) -> RecordingRecord:
    """Write what sealing made into the recording's row. Twice is harmless; other bytes are refused by the store."""
    master = recording.object("master")
    return await recordings.seal(
        recording.id,
        at,
        path=master.name if master is not None else recording.manifest_name,
        seconds=recording.seconds,
        sha256=recording.sha256,
        gaps=tuple(
            Gap(channel=gap.channel.value, start=gap.start_ms / 1000, seconds=gap.length_ms / 1000)
            for gap in recording.gaps
        ),
        vitals=dict(recording.vitals),
        manifest={
            "name": recording.manifest_name,
            "sha256": recording.manifest_sha256,
            "chain": recording.chain,
            "seq": recording.chain_seq,
            "started_at": recording.started_at.isoformat(),
            "data_key_id": recording.data_key_id,
            "masks": len(recording.masks),
            "objects": {found.kind: found.name for found in recording.objects},
        },
        keep_until=keep_until,
        empty=recording.classification is RecordingClass.EMPTY,
    )
