"""The tape's handle: the only thing that lets a call be placed.

A ``Tape`` exists only because ``Recorder.arm`` made one: the file is there, has room, and is open
for writing. Anything that wants to place a call must hold one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.errors import InvariantBroken

_ARMED_BY_RECORDER = object()


@dataclass(frozen=True, kw_only=True)
class Tape:
    """An armed tape: ``path`` is preallocated on the tape disk and belongs to exactly one call."""

    id: str
    call_id: str
    path: Path
    armed_at: datetime
    armed_by: object

    def __post_init__(self) -> None:
        if self.armed_by is not _ARMED_BY_RECORDER:
            raise InvariantBroken("a tape was made without a recorder", remedy="get it from Recorder.arm()")
