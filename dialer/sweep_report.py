"""What a sweep came to: the object `onrecord demo --json` prints, and the tables a person reads.

Numbers are masked here, in the last place before they leave the house.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from config.masking import mask_number


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedRow:
    """A row of the file that did not go in whole: ``row`` counts from 1 with the header as row 1."""

    row: int
    field: str
    shape: str
    problem: str
    remedy: str
    whole_row: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "field": self.field,
            "shape": self.shape,
            "problem": self.problem,
            "remedy": self.remedy,
            "whole_row": self.whole_row,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedNumber:
    """A number that was not attempted, and the rule that says so (a policy rule or a rule of the workflow)."""

    number_id: str
    case_id: str
    e164: str
    channel: str
    rule: str
    until: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "number": mask_number(self.e164),
            "number_id": self.number_id,
            "case_id": self.case_id,
            "channel": self.channel,
            "rule": self.rule,
            "until": self.until.isoformat() if self.until else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementReport:
    name: str
    rows: int
    cases: int
    numbers: int
    attempted: int
    refused: tuple[RefusedNumber, ...]
    rejected: tuple[RejectedRow, ...]

    @property
    def permitted(self) -> int:
        """Numbers that the rules let us call: all but the refused ones."""
        return self.numbers - len(self.refused)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "cases": self.cases,
            "numbers": self.numbers,
            "permitted": self.permitted,
            "attempted": self.attempted,
            "rejected_rows": [row.as_dict() for row in self.rejected if row.whole_row],
            "rejected_fields": [row.as_dict() for row in self.rejected if not row.whole_row],
            "refused": [number.as_dict() for number in self.refused],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CallLine:
    id: str
    case_id: str
    number_id: str
    e164: str
    channel: str
    placed_at: datetime
    trunk: str | None
    sip_status: int | None
    cause: str
    category: str | None
    answered: bool
    talk_seconds: float
    agent: str | None
    outcome: str | None
    recording_id: str | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "case_id": self.case_id,
            "number": mask_number(self.e164),
            "number_id": self.number_id,
            "channel": self.channel,
            "placed_at": self.placed_at.isoformat(),
            "trunk": self.trunk,
            "sip_status": self.sip_status,
            "cause": self.cause,
            "category": self.category,
            "answered": self.answered,
            "talk_seconds": round(self.talk_seconds, 3),
            "agent": self.agent,
            "outcome": self.outcome,
            "recording_id": self.recording_id,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingLine:
    """``sha256`` is of the sound, before it is encrypted; ``path`` is the encrypted object's in the shelf.

    ``sound`` is the plain file with that very hash, where the run keeps one (``--keep-tapes``).
    """

    id: str
    call_id: str
    case_id: str
    seconds: float
    sha256: str
    gaps: tuple[dict[str, Any], ...]
    classification: str
    path: str
    sound: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "call_id": self.call_id,
            "case_id": self.case_id,
            "seconds": round(self.seconds, 3),
            "sha256": self.sha256,
            "gaps": list(self.gaps),
            "classification": self.classification,
            "path": self.path,
            "sound": self.sound,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionLine:
    case_id: str
    client_ref: str
    action: str
    earliest: datetime
    latest: datetime
    owner: str
    reason_en: str
    reason_zh: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "case_id": self.case_id,
            "client_ref": self.client_ref,
            "action": self.action,
            "earliest": self.earliest.isoformat(),
            "latest": self.latest.isoformat(),
            "owner": self.owner,
            "reason_en": self.reason_en,
            "reason_zh": self.reason_zh,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepReport:
    placements: tuple[PlacementReport, ...]
    calls: tuple[CallLine, ...]
    recordings: tuple[RecordingLine, ...]
    next_actions: tuple[ActionLine, ...]
    directory: str
    clock: str
    finished: bool
    stopped_because: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, int]:
        return dict(Counter(call.outcome for call in self.calls if call.outcome is not None).most_common())

    def as_dict(self) -> dict[str, Any]:
        return {
            "placements": [placement.as_dict() for placement in self.placements],
            "calls": [call.as_dict() for call in self.calls],
            "recordings": [recording.as_dict() for recording in self.recordings],
            "outcomes": self.outcomes,
            "next_actions": [action.as_dict() for action in self.next_actions],
            "directory": self.directory,
            "clock": self.clock,
            "finished": self.finished,
            "stopped_because": self.stopped_because,
            **self.extra,
        }
