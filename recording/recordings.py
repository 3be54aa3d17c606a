"""What sealing yields: a recording, attached to its call and case by exact id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from recording.sealed import Channel


class RecordingClass(StrEnum):
    """What the sound is like. A class never deletes a file; it tells a person where to look."""

    TWO_WAY = "two-way"
    ONE_WAY_AGENT = "one-way-agent"  # only our side has sound
    ONE_WAY_CUSTOMER = "one-way-customer"
    SILENT = "silent"  # both channels are there, none carries sound
    EMPTY = "empty"  # no frame at all


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A stretch of a channel that no frame filled: silence in the file. Milliseconds from its start."""

    channel: Channel
    start_ms: int
    length_ms: int
    reason: str = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mask:
    """A stretch silenced in the listening copy, with who did it and why. ``end_ms`` None: to the end."""

    start_ms: int
    end_ms: int | None
    actor: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShelfObject:
    """One encrypted file of a recording: the plain bytes' hash and the hash of what lies on the shelf."""

    kind: (
        str  # master, listening, peaks, aside (what desks said beside the customer), displaced (frames without a place)
    )
    name: str  # on the shelf
    plain_sha256: str
    plain_bytes: int
    vault_sha256: str
    vault_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A sealed recording. ``sha256`` is of the plain FLAC; ``manifest_sha256`` is its place in the node's chain.

    ``masks`` and ``objects`` are as they stand after ``amendments`` amendments.
    """

    id: str
    call_id: str
    case_id: str
    tape_id: str
    started_at: datetime
    seconds: float
    sha256: str
    classification: RecordingClass
    gaps: tuple[Gap, ...]
    masks: tuple[Mask, ...]
    objects: tuple[ShelfObject, ...]
    data_key_id: str
    vitals: Mapping[str, Any]
    manifest_sha256: str
    manifest_name: str
    chain: str
    chain_seq: int
    amendments: int = 0

    def object(self, kind: str) -> ShelfObject | None:
        return next((found for found in self.objects if found.kind == kind), None)
