"""What the doors show of the facts: frozen rows, ready to read, never written back.

Numbers in here are E.164; whoever shows one masks it first (``config.masking``). Lists come as ``Page``s cut by key,
so a page costs the same on the first case and on the millionth.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from case_store.model import AttemptState, Channel, Money, NumberState

T = TypeVar("T")


class Role(StrEnum):
    """What a person does here; what each role may do stands in ``api.permissions``."""

    COLLECTOR = "collector"  # 催收员
    TEAM_LEADER = "team_leader"  # 组长
    QA = "qa"  # 质检
    COMPLIANCE = "compliance"  # 合规
    CLERK = "clerk"  # 资料员
    ADMIN = "admin"  # 系统管理员


AUDIBLE_GAP_SECONDS = 0.06
"""Three packets. The part of a packet's time before a call's first and after its last one is no fault of the line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """``after`` is the key to ask the next page with; None on the last one."""

    items: tuple[T, ...]
    after: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """Somebody who may log in. The password's hash never leaves the store."""

    id: str
    username: str
    display_name: str
    role: Role
    desk: str | None
    active: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A log-in that lasts until ``expires_at``. The store keeps only a hash of its token."""

    id: str
    user: User
    opened_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NextActionView:
    """The one thing that happens next on a case, with its window and the reason in both languages."""

    id: str
    case_id: str
    client_ref: str
    action: str
    earliest: datetime
    latest: datetime
    owner: str
    reason_zh: str
    reason_en: str
    escalation: str | None = None
    number_id: str | None = None
    agent_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRow:
    """One line of the list of cases."""

    id: str
    client: str
    client_ref: str
    placement_id: str
    placement: str
    debtor: str
    balance: Money
    state: str
    last_outcome: str | None
    attempts: int
    recordings: int
    opened_at: datetime
    next_action: NextActionView | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberView:
    id: str
    e164: str
    channel: Channel
    contact: str
    relation: str
    state: NumberState
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusalView:
    """Why policy said no: the rule, its figure and source, and when it would say yes (None: never, or not by time)."""

    rule: str
    figure: str
    source: str
    until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptView:
    """One planned dial and what came of it; ``refusal`` when policy kept it from being dialed."""

    id: str
    case_id: str
    number_id: str
    e164: str
    channel: Channel
    state: AttemptState | None  # None: refused, so nothing was booked
    booked_at: datetime
    position: int
    call_id: str | None = None
    sip_status: int | None = None
    cause: str | None = None
    progress: str | None = None
    answered: bool = False
    talk_seconds: float = 0.0
    agent: str | None = None
    outcome: str | None = None
    recording_id: str | None = None
    refusal: RefusalView | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingView:
    """The facts of one recording. ``gaps`` counts the stretches without packets that an ear may notice
    (``AUDIBLE_GAP_SECONDS``); shorter ones stand in the manifest like all others.

    It exists from the moment its tape is armed; ``seconds`` and ``sha256`` are there once it is sealed.
    """

    id: str
    call_id: str
    case_id: str
    state: str  # armed, sealed, empty, failed, disposed
    started_at: datetime
    seconds: float | None
    sha256: str | None
    gaps: int
    verdict: str | None = None  # the vitals' class: whole, one-way, empty, ...
    agent: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineEntry:
    """Something that happened to a case. ``kind``: attempt, refusal, recording, outcome, next-action, payment, note, ..."""

    at: datetime
    kind: str
    subject_id: str
    summary_zh: str
    summary_en: str
    actor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseView:
    """One case as its page shows it."""

    row: CaseRow
    numbers: tuple[NumberView, ...]
    next_actions: tuple[NextActionView, ...]
    attempts: tuple[AttemptView, ...]
    recordings: tuple[RecordingView, ...]
    timeline: tuple[TimelineEntry, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedNumber:
    """A number nobody may dial (yet), with the rule that says so."""

    number_id: str
    case_id: str
    e164: str
    channel: Channel
    rule: str
    until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageView:
    """How far the first sweep of a placement got, counted over (case, number) pairs."""

    placement_id: str
    placement: str
    client: str
    cases: int
    numbers: int
    permitted: int
    attempted: int
    answered: int
    refused: int
    refused_by_rule: dict[str, int]
    untried: tuple[RefusedNumber, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedRow:
    """A row of a client's file that did not go in: which, which field, how it looked, what to do."""

    row: int
    field: str
    problem: str
    shape: str | None
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IntakeReport:
    """What came of a placement file. With ``dry_run`` nothing was written; ``repeated`` when it was loaded before."""

    placement_id: str | None
    name: str
    client: str
    rows: int
    cases: int
    numbers: int
    dry_run: bool
    repeated: bool
    rejected: tuple[RejectedRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OngoingCall:
    """A call without an end, as the store knows it."""

    call_id: str
    case_id: str
    campaign_id: str
    e164: str
    channel: Channel
    state: str
    agent: str | None
    placed_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignTally:
    """What a campaign's attempts came to so far."""

    attempted: int
    answered: int
    abandoned: int
    in_flight: int
