"""What a seal yields: frozen facts about one sealed tape, for the vault, the vitals and the case."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

RATE = 8000  # samples a second, both channels


class Channel(StrEnum):
    AGENT = "agent"  # left: what the customer was made to hear
    CUSTOMER = "customer"  # right: what came from the customer


class GapReason(StrEnum):
    LOST = "lost"  # sequence numbers are missing
    PAUSE = "pause"  # the sender sent nothing (silence suppression, hold, nothing to say); no number is missing
    COMFORT_NOISE = "comfort-noise"  # RFC 3389 instead of audio
    DTMF = "dtmf"  # RFC 4733 events instead of audio
    HOLD = "hold"
    BEFORE = "before"  # the other channel was heard first
    AFTER = "after"  # the other channel was heard longer
    NEW_STREAM = "new-stream"  # between two SSRCs or across a jump of the timestamp
    DRIFT = "drift"  # the sender's clock is slower than the other's: silence put between two frames


class Classification(StrEnum):
    NORMAL = "normal"
    SHORT = "short"  # under 3 s
    ONE_WAY = "one-way"  # frames on one channel only
    SILENT = "silent"  # frames, but nothing above the noise floor
    EMPTY = "empty"  # no frame at all


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """``length`` samples of silence at ``start`` that no frame filled."""

    channel: Channel
    start: int
    length: int
    reason: GapReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Oddity:
    """A frame that did not come as it should: ``duplicate``, ``reordered``, ``late`` (200 ms or more), ``displaced``.

    ``at`` is the sample where it lies or would lie. A displaced frame found its place taken by other audio and no
    room within a second; its ``payload`` (hex) and ``payload_type`` are kept here so that nothing is lost.
    """

    channel: Channel
    kind: str
    at: int
    seq: int
    payload_type: int
    payload: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A mark of the tape. ``at`` is in samples; negative before the first frame."""

    name: str
    at: int
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelFacts:
    """One direction. ``samples`` counts decoded audio, without gaps."""

    channel: Channel
    frames: int
    samples: int
    lost: int
    duplicates: int
    reordered: int
    late: int
    displaced: int
    comfort_noise: int
    telephone_events: int
    unknown_type: int
    ssrcs: tuple[int, ...]
    codecs: tuple[str, ...]
    drift_ppm: float | None  # the sender's clock against ours; None when under a minute was heard
    peak: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedTape:
    """``sha256`` is of the FLAC file. ``closed`` is False when a crash left the tape without its trailer.

    ``damage`` are byte spans of the tape that no record could be read from. ``timeline_ppm``: how much faster than
    our clock the file's samples run, so that the faster sender lost nothing.
    """

    tape_id: str
    call_id: str
    flac_path: Path
    seconds: float
    samples: int
    sha256: str
    started_at: datetime
    classification: Classification
    closed: bool
    timeline_ppm: float
    channels: tuple[ChannelFacts, ChannelFacts]
    gaps: tuple[Gap, ...]
    oddities: tuple[Oddity, ...]
    marks: tuple[Mark, ...]
    damage: tuple[tuple[int, int], ...]
    aside_path: Path | None = None  # mono FLAC on the same timeline: what desks said beside the customer

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready. The path is left to its file name: where it lies is no fact of the call."""
        facts = asdict(self)
        facts["flac_path"] = self.flac_path.name
        facts["aside_path"] = self.aside_path.name if self.aside_path else None
        facts["started_at"] = self.started_at.isoformat()
        return facts
