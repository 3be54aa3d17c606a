"""Random worlds for the policy: numbers, people, histories, records, and instants around every boundary."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

from case_store.call_facts import (
    AgreedHours,
    CallFacts,
    DebtorState,
    Hold,
    HoldKind,
    InconvenientTime,
    OptOut,
    PastCall,
)
from case_store.model import Channel
from case_store.network import ProgressCategory
from dialer.policy import CallRequest, Purpose

PLACES: tuple[tuple[str, str | None, list[str]], ...] = (
    ("+8613812345678", "CN", ["Asia/Shanghai"]),
    ("+862431234567", None, ["Asia/Shanghai"]),
    ("+12125550142", None, ["America/New_York"]),
    ("+13125550142", "US-CA", ["America/Chicago"]),
    ("+18005550142", "US-CA", ["America/Los_Angeles"]),
    ("+18005550143", "US-TN", ["America/New_York", "America/Chicago"]),
    ("+18005550144", "US-AZ", ["America/Phoenix", "America/Denver"]),
    ("+12705550142", None, ["America/New_York", "America/Chicago"]),
    ("+442079460142", "GB", ["Europe/London"]),
)
SETS: tuple[tuple[str, ...], ...] = (
    ("cn-gbt45251-2025", "cn-cba-2026"),
    ("cn-gbt45251-2025", "cn-cba-2026", "cn-carrier", "cn-cards-2011", "cn-pipl"),
    ("cn-cba-2026",),
    ("us-reg-f",),
    ("us-reg-f", "us-tsr"),
    ("uk-conc7",),
    ("cn-gbt45251-2025", "us-reg-f"),
)
# Days on which clocks change in New York / London, month ends, and plain ones.
DAYS = (
    date(2026, 3, 7), date(2026, 3, 8), date(2026, 3, 9), date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30),
    date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2), date(2026, 12, 31),
    date(2026, 2, 17), date(2026, 7, 1),
)  # fmt: skip
_ENDINGS = (
    ProgressCategory.NO_ANSWER,
    ProgressCategory.BUSY,
    ProgressCategory.MACHINE,
    ProgressCategory.TRUNK_TROUBLE,
    ProgressCategory.ANSWERED,
)


def world(draw: random.Random) -> tuple[CallRequest, CallFacts, tuple[str, ...], list[str]]:
    """A request, its facts, the sets in force, and the zones the callee is known to be in."""
    e164, region, zones = draw.choice(PLACES)
    channel = draw.choice(tuple(Channel))
    own = channel.is_debtors_own
    at = datetime.combine(draw.choice(DAYS), time(0), tzinfo=UTC) + timedelta(minutes=15 * draw.randrange(96))
    if draw.random() < 0.2:
        at += timedelta(seconds=draw.choice((-1, 1)))
    request = CallRequest(
        at=at,
        e164=e164,
        channel=channel,
        case_id="case",
        person_id="debtor" if own else draw.choice(("sister", "friend")),
        debtor_id="debtor",
        debt_id=draw.choice(("debt", "other-debt")),
        address_region=region,
        protected_route=draw.random() < 0.5,
        purpose=Purpose.CONFIRM_FRAUD if draw.random() < 0.1 else Purpose.COLLECT,
    )
    return request, _facts(draw, request), draw.choice(SETS), zones


def _facts(draw: random.Random, request: CallRequest) -> CallFacts:
    calls = tuple(_call(draw, request) for _ in range(draw.choice((0, 0, 1, 2, 3, 5, 8, 12))))
    some = draw.random
    return CallFacts(
        calls=calls,
        number_invalid=some() < 0.03,
        number_blocked=some() < 0.03,
        refused_persons=frozenset({"sister"}) if some() < 0.1 else frozenset(),
        opt_outs=(OptOut(person_id="debtor", channel=Channel.WORKPLACE),) if some() < 0.1 else (),
        agreed_hours=(
            (
                AgreedHours(
                    person_id="debtor", opens=time(5, 30), closes=time(7, 45), begins=date(2026, 1, 1), ends=None
                ),
                AgreedHours(
                    person_id="debtor",
                    opens=time(21),
                    closes=time(23, 30),
                    begins=date(2026, 1, 1),
                    ends=date(2026, 10, 25),
                ),
            )
            if some() < 0.2
            else ()
        ),
        inconvenient=(
            (InconvenientTime(person_id="debtor", opens=time(12), closes=time(14), weekdays=frozenset({1, 2, 6, 7})),)
            if some() < 0.2
            else ()
        ),
        holds=_holds(draw, request),
        debtor_state=draw.choice((DebtorState.REACHABLE, DebtorState.REACHABLE, DebtorState.UNREACHABLE)),
        debtor_mobiles_invalid=some() < 0.2,
        debtor_numbers_invalid=some() < 0.1,
        spoken_ever=frozenset({"friend"}) if some() < 0.2 else frozenset(),
    )


def _holds(draw: random.Random, request: CallRequest) -> tuple[Hold, ...]:
    if draw.random() > 0.1:
        return ()
    kind = draw.choice((HoldKind.FRAUD, HoldKind.DISPUTE))
    return (
        Hold(
            kind=kind,
            begins=request.at - timedelta(days=1),
            ends=draw.choice((None, request.at + timedelta(hours=5), request.at)),
        ),
    )


def _call(draw: random.Random, request: CallRequest) -> PastCall:
    channel = draw.choice((request.channel, request.channel, Channel.MOBILE, Channel.RELATIVE))
    category = draw.choice((*_ENDINGS, None)) if draw.random() < 0.5 else ProgressCategory.NO_ANSWER
    quarters = draw.choice((draw.randrange(1, 96), draw.randrange(1, 96 * 8), draw.randrange(1, 96 * 30)))
    at = request.at - timedelta(minutes=15 * quarters)
    if draw.random() < 0.5:
        at = at.replace(minute=at.minute - at.minute % 15, second=0)
    return PastCall(
        at=at,
        e164=request.e164 if channel is request.channel else "+8613999999999",
        person_id="debtor" if channel.is_debtors_own else draw.choice(("sister", "friend")),
        debtor_id=draw.choice(("debtor", "debtor", "debtor", "somebody-else"))
        if not channel.is_debtors_own
        else "debtor",
        debt_id=draw.choice(("debt", "debt", "other-debt")),
        channel=channel,
        category=category,
        conversation=category is ProgressCategory.ANSWERED and draw.random() < 0.6,
    )
