"""Where a case stands: everything the workflow needs to know, and nothing that grows with the number of calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from case_store.model import Channel, NextAction, NumberState
from case_store.workflow.outcomes import OutcomeCode
from case_store.workflow.promises import Payment, Promise, Settled
from case_store.workflow.work_orders import WorkOrder
from config.calendars import Daypart
from config.errors import BadInput, describe_shape


class Stage(StrEnum):
    """Where in the pipeline of a case: first sweep → follow-up → locating → registry → visit, or apart from it."""

    SWEEP = "sweep"  # 覆盖式首催
    FOLLOW_UP = "follow-up"  # 跟催
    LOCATE = "locate"  # 失联 / 电话查找 / 调户籍
    VISIT = "visit"  # 外访
    FRAUD = "fraud"  # 冒办
    HELD = "held"  # 停催
    ENDED = "ended"  # terminal


class Thread(StrEnum):
    """What an obligation is about; a case has at most one obligation a thread, and one of them is live."""

    SWEEP = "sweep"
    DEBTOR = "debtor"
    CONTACT = "contact"
    REDIAL = "redial"
    CALL_BACK = "call-back"
    PROMISE = "promise"
    ORDER = "order"  # look-up, registry, visit
    HOLD = "hold"  # compliance
    FRAUD = "fraud"  # the steps of a fraud claim
    LEADER = "leader"


class NoticeKind(StrEnum):
    WINDOW_BLOCKED = "WINDOW_BLOCKED"  # policy forbids every slot of a window: the team leader must act
    DUE_SOON = "DUE_SOON"  # a window of days closes within the hours of warning, and nothing was done
    OVERDUE = "OVERDUE"  # a window closed without the action
    ESCALATED = "ESCALATED"
    VERDICT = "VERDICT"  # a promise was settled
    RETIRED = "RETIRED"  # a number became invalid
    BLOCKED = "BLOCKED"  # a person's numbers were blocked
    ENDED = "ENDED"
    REROUTED = "REROUTED"  # third parties may not be called: the debtor's own numbers instead


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something people must see, raised by the last ``apply``; the store writes it to the event log."""

    kind: NoticeKind
    at: datetime
    en: str
    zh: str
    number_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberTrack:
    """A number as the workflow sees it. ``silent``: (local day, part of the day) tried in vain since anybody answered."""

    id: str
    contact_id: str
    channel: Channel
    position: int = 0
    state: NumberState = NumberState.LIVE
    swept: bool = False
    refused_by: str | None = None  # the policy rule that forbids it for now
    strikes: tuple[tuple[OutcomeCode, int], ...] = ()
    silent: tuple[tuple[date, Daypart], ...] = ()

    @property
    def is_open(self) -> bool:
        """May be dialed as far as the workflow knows."""
        return self.state is NumberState.LIVE and self.refused_by is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    thread: Thread
    action: NextAction
    cause: OutcomeCode
    warned: bool = False  # DUE_SOON was said
    overdue: bool = False  # its window closed and the escalation was raised


@dataclass(frozen=True, kw_only=True, slots=True)
class Messages:
    """Messages left with one contact (or on one of the debtor's own lines) since anybody called back."""

    contact: str
    left_1: int = 0
    left_2: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Funding:
    """筹款中: the money is to be found by ``due``; extended at most once."""

    due: date
    extended: bool = False


@dataclass(frozen=True, kw_only=True)
class CaseState:
    """One case, JSON-serialisable. ``next_action`` is None exactly when ``stage`` is ``ENDED``."""

    case_id: str
    zone: str  # IANA name: the debtor's clock
    entrusted_at: datetime
    balance: Decimal
    currency: str
    numbers: tuple[NumberTrack, ...]
    as_of: datetime
    stage: Stage = Stage.SWEEP
    next_action: NextAction | None = None
    pending: tuple[Pending, ...] = ()
    cause: OutcomeCode = OutcomeCode.NEW  # the outcome behind the live action, or the ending
    looked_up: bool = False
    lost: bool = False  # 失联 was concluded, and the debtor has not spoken (nor an own number been found) since
    promise: Promise | None = None
    settled: tuple[Settled, ...] = ()
    broken: int = 0
    replaced: int = 0
    funding: Funding | None = None
    payments: tuple[Payment, ...] = ()
    negotiated_in_a_row: int = 0
    messages: tuple[Messages, ...] = ()
    fraud_claimed_on: date | None = None
    orders: tuple[WorkOrder, ...] = ()
    term_ends_on: date | None = None
    last_worked_at: datetime | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def is_terminal(self) -> bool:
        return self.stage is Stage.ENDED

    def number(self, number_id: str) -> NumberTrack | None:
        return next((each for each in self.numbers if each.id == number_id), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: amounts as text, times as ISO 8601 with an offset."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_dict(cls, tree: dict[str, Any]) -> CaseState:
        """The inverse of ``to_dict``. ``BadCaseState`` names the field that does not fit."""
        try:
            return _adapter().validate_python(tree)
        except ValidationError as error:
            first = error.errors()[0]
            raise BadCaseState(
                first["msg"],
                field=".".join(str(part) for part in first["loc"]),
                shape=describe_shape(first.get("input")),
                remedy="rebuild the state from the case's events",
            ) from None


class BadCaseState(BadInput):
    """A stored case state cannot be read."""

    error_id = "bad-case-state"


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[CaseState]:
    return TypeAdapter(CaseState)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseEvent:
    """Something that happened to a case, with what its outcome needs: amount and date of a promise, who asked, …

    ``at`` is aware. ``on`` is a local day: due date, funding date, appointment, posting day, new end of term.
    """

    outcome: OutcomeCode
    at: datetime
    number_id: str | None = None
    by: str | None = None
    amount: Decimal | None = None
    on: date | None = None
    payment_id: str | None = None
    legal_basis: str | None = None
    visitors: tuple[str, ...] = ()
    result: OutcomeCode | None = None
    number: NumberTrack | None = None  # NUMBER_FOUND
    call_at: datetime | None = None  # CALL_BACK_AGREED: aware
    team: bool = False  # CALL_BACK_AGREED: anybody of the team calls, not ``by``
    rule: str | None = None  # NUMBER_REFUSED: the policy rule
