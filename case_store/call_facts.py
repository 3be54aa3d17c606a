"""What the calling policy must know about the past: bounded by its longest window, never the whole history.

The store fills these from the ledger in one query per batch; the policy decision reads them and asks nothing.
All times are aware; ``PastCall.at`` is when the attempt was booked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from case_store.model import Channel
from case_store.network import ProgressCategory

LONGEST_WINDOW = timedelta(days=31)
"""No rule looks further back than 30 days (``cn-carrier``); one day more covers the callee's time zone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastCall:
    """One attempt in the ledger: our own, another node's, or imported with a placement.

    ``person_id`` is whom the call was meant to reach: the debtor for every one of the debtor's own lines,
    the workplace included. ``category`` None means booked or in flight: it may still become a
    conversation, so every cap counts it as one (a cap must hold while fifty dialers race).
    Released attempts (never dialed for a reason of ours) are left out by the store.
    """

    at: datetime
    e164: str
    person_id: str
    debtor_id: str  # the debtor's person id
    debt_id: str
    channel: Channel
    category: ProgressCategory | None
    conversation: bool = False  # 有效: answered by a person and interactive, whoever it was

    @property
    def in_flight(self) -> bool:
        return self.category is None


class HoldKind(StrEnum):
    """Why dialing stands still. All bar every call; a fraud hold lets the one confirming call of step 1 through."""

    DISPUTE = "dispute"
    COMPLAINT = "complaint"
    HARDSHIP = "hardship"
    DECEASED = "deceased"
    INCAPABLE = "incapable"
    FRAUD = "fraud"  # 冒办
    COMPLIANCE = "compliance"  # set by hand
    ABANDONED = "abandoned"  # lock-out after a call nobody was free to take
    PROMISE = "promise"  # a live promise on another case of the debtor


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    kind: HoldKind
    begins: datetime
    ends: datetime | None = None  # None: until somebody lifts it


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreedHours:
    """A consent on record: this person may be called at these local hours although the rule says otherwise.

    ``closes`` is excluded; ``opens < closes`` (an agreement over midnight is two records).
    """

    person_id: str
    opens: time
    closes: time
    begins: date
    ends: date | None = None
    e164: str | None = None  # None: on any of the person's numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class InconvenientTime:
    """The person said: not then. ``weekdays`` are ISO (Monday 1); empty means every day. ``closes`` is excluded."""

    person_id: str
    opens: time
    closes: time
    weekdays: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class OptOut:
    """The person asked not to be called: on one number, on one kind of line, or (both None) at all."""

    person_id: str
    e164: str | None = None
    channel: Channel | None = None
    ends: datetime | None = None  # None: for good


class DebtorState(StrEnum):
    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"  # 失联, concluded by the workflow
    DECEASED = "deceased"
    INCAPABLE = "incapable"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFacts:
    """Everything about the debtor, the person called and the number that a rule may ask for.

    ``calls``: every attempt within ``LONGEST_WINDOW`` that shares the number, the person called, the debtor or the
    debt with the request, over every campaign and node and imported history; in any order.
    """

    calls: tuple[PastCall, ...] = ()
    number_invalid: bool = False
    number_blocked: bool = False  # REFUSED_CONTACT on this case: for good
    refused_persons: frozenset[str] = frozenset()
    opt_outs: tuple[OptOut, ...] = ()
    agreed_hours: tuple[AgreedHours, ...] = ()
    inconvenient: tuple[InconvenientTime, ...] = ()
    holds: tuple[Hold, ...] = ()
    debtor_state: DebtorState = DebtorState.REACHABLE
    debtor_mobiles_invalid: bool = False  # every mobile of the debtor on file is retired (or there is none)
    debtor_numbers_invalid: bool = False  # every own number of the debtor on file is retired
    spoken_ever: frozenset[str] = frozenset()  # third parties with whom this debt was ever the reason of a conversation
