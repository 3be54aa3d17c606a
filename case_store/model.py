"""The nouns: placement, case, contact, number, attempt. Frozen values; the store returns and takes them.

Terms of the SOP stand beside their English names (see docs/glossary.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Channel(StrEnum):
    """What kind of line a number is. Declared in SOP order (电催顺序); a client's settings may reorder them."""

    WORKPLACE = "workplace"  # 单电 / 单位电话: the debtor's own, but a third party answers until the debtor speaks
    MOBILE = "mobile"  # 持卡人手机
    HOME = "home"  # 宅电
    RELATIVE = "relative"  # 亲属
    EMERGENCY = "emergency"  # 紧急联系人

    @property
    def is_debtors_own(self) -> bool:
        return self in _DEBTORS_OWN


_DEBTORS_OWN = frozenset({Channel.WORKPLACE, Channel.MOBILE, Channel.HOME})
SOP_ORDER: tuple[Channel, ...] = tuple(Channel)


class NumberState(StrEnum):
    LIVE = "live"
    INVALID = "invalid"  # retired: 空号 twice, or no such person / left / moved three times
    BLOCKED = "blocked"  # the person asked not to be called on this case: for good


class AttemptState(StrEnum):
    """Booked before dialed. One door: the store's ``advance_attempt`` checks ``ATTEMPT_MOVES``."""

    BOOKED = "booked"  # committed with its verdict and its place in the ledger; the INVITE may leave
    DIALING = "dialing"  # the INVITE left
    ANSWERED = "answered"
    DONE = "done"  # ended, the network's word is kept
    LOST = "lost"  # a crash came between booking and the end; counts against the caps, is never redialed as itself
    RELEASED = "released"  # never dialed for a reason of ours (trunk, recorder); gives its place in the caps back


ATTEMPT_MOVES: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.BOOKED: frozenset({AttemptState.DIALING, AttemptState.RELEASED, AttemptState.LOST}),
    AttemptState.DIALING: frozenset({AttemptState.ANSWERED, AttemptState.DONE, AttemptState.LOST}),
    AttemptState.ANSWERED: frozenset({AttemptState.DONE, AttemptState.LOST}),
    AttemptState.DONE: frozenset(),
    AttemptState.LOST: frozenset(),
    AttemptState.RELEASED: frozenset(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Money:
    """An amount with its ISO 4217 currency."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """A batch of cases entrusted by a client (委案批次)."""

    id: str
    name: str
    client: str
    received_at: datetime
    source_sha256: str
    term_ends_on: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneNumber:
    """``e164`` is what is dialed; ``raw`` is what the bank wrote; ``extension`` is kept apart, never dialed blind."""

    id: str
    case_id: str
    contact_id: str
    e164: str
    raw: str
    channel: Channel
    position: int  # order within its channel as the file had it, 0-based
    region: str  # ISO 3166 alpha-2
    extension: str | None = None
    state: NumberState = NumberState.LIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """A person on a case: the debtor, a relative, an emergency contact, or whoever sits at the workplace."""

    id: str
    case_id: str
    person_id: str  # the same person across cases, where known: caps are counted over persons
    name: str
    relation: str  # as the client wrote it; "本人" for the debtor


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One debt of one debtor, entrusted by one client."""

    id: str
    placement_id: str
    client_ref: str  # the bank's own case number
    debtor_person_id: str
    debt_id: str
    balance: Money
    region: str
    opened_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One planned dial of one number: reserved, judged, booked, and only then dialed."""

    id: str
    case_id: str
    number_id: str
    campaign_id: str
    booked_at: datetime
    state: AttemptState
    position: int  # which attempt of its sweep, 1-based


class CaseState(StrEnum):
    OPEN = "open"
    HELD = "held"  # nobody calls: dispute, fraud claim, complaint, hardship, deceased, incapable
    CLOSED = "closed"  # paid, recalled or term ended: terminal


class RecordingState(StrEnum):
    ARMED = "armed"  # the tape is open; the row exists before the INVITE leaves
    SEALED = "sealed"
    EMPTY = "empty"  # sealed, nobody's audio in it: a ringing call that nobody answered
    FAILED = "failed"  # the tape could not be sealed; kept and shown, never deleted
    DISPOSED = "disposed"  # the audio went at the end of its retention; the row and its hash stay


class CallState(StrEnum):
    PLACED = "placed"
    ANSWERED = "answered"
    ENDED = "ended"
    SETTLED = "settled"  # ended, and its recording is sealed


CALL_MOVES: dict[CallState, frozenset[CallState]] = {
    CallState.PLACED: frozenset({CallState.ANSWERED, CallState.ENDED}),
    CallState.ANSWERED: frozenset({CallState.ENDED}),
    CallState.ENDED: frozenset({CallState.SETTLED}),
    CallState.SETTLED: frozenset(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NextAction:
    """What should happen next on a case, in its window. Computed by the workflow; the store keeps one live per case."""

    case_id: str
    action: str
    earliest: datetime
    latest: datetime
    owner: str
    escalation: str | None
    reason_en: str
    reason_zh: str
    number_id: str | None = None
    agent_id: str | None = None  # the log-in name of the one person it belongs to; None: whoever owns it


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAction(NextAction):
    """A next action with its place in the store. ``state``: live, done, replaced or cancelled."""

    id: str
    state: str
    set_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeRecord:
    """What a collector concluded (the person's word). ``code`` is an SOP outcome such as ``SELF_PROMISE``."""

    id: str
    case_id: str
    call_id: str | None
    number_id: str | None
    code: str
    at: datetime
    agent_id: str
    amount: Money | None = None
    promised_on: date | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromiseRecord:
    """``state``: live, kept, partial, broken or withdrawn."""

    id: str
    case_id: str
    amount: Money
    given_at: datetime
    due_on: date
    state: str
    settled_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Sound that never came: from ``start`` for ``seconds``, on ``channel`` (agent or customer)."""

    channel: str
    start: float
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingRecord:
    """The store's row of a recording. ``gaps``, ``vitals`` and ``manifest`` are what sealing wrote."""

    id: str
    call_id: str
    case_id: str
    state: RecordingState
    tape_path: str
    armed_at: datetime
    sealed_at: datetime | None
    path: str | None
    seconds: float | None
    sha256: str | None
    gaps: tuple[Gap, ...]
    vitals: dict[str, object]
    manifest: dict[str, object]
    keep_until: datetime | None
    legal_hold: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """The store's row of a call: the network's word about it, and its recording by exact id."""

    id: str
    attempt_id: str
    case_id: str
    number_id: str
    recording_id: str
    node: str
    state: CallState
    placed_at: datetime
    agent_id: str | None
    trunk: str | None
    caller_id: str | None
    ringing_at: datetime | None
    early_media_at: datetime | None
    answered_at: datetime | None
    bridged_at: datetime | None
    ended_at: datetime | None
    sip_status: int | None
    cause: str | None
    q850: int | None
    reason: str | None
    origin: str | None
    category: str | None
    evidence: str | None
    talk_seconds: float | None

    @property
    def answered(self) -> bool:
        return self.answered_at is not None
