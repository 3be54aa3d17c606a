"""The caps' ledger: what a policy decision may look at, bounded to its window, and the booking that rests on it.

Caps are counted over persons, numbers and debts, over every campaign, node and imported history. The facts are read
under locks on exactly those keys, judged by a pure function, and the attempt, its verdict and its ledger entry are
committed together, before any INVITE. Two bookers of one person, number or debt therefore decide one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, insert, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store.database import Database, Unit
from case_store.model import Attempt, AttemptState, Channel, NumberState
from case_store.network import ProgressCategory
from case_store.tables import (
    IN_FLIGHT,
    LIVE,
    attempts,
    campaign_days,
    cases,
    consents,
    ledger,
    numbers,
    promises,
    refusal_blocks,
    verdicts,
    workflow_states,
)
from case_store.verdict import Verdict
from config.identity import new_id

CONFIRM_FRAUD = "confirm-fraud"
WINDOW = timedelta(days=31)  # the longest window of any rule is 30 days; one more for its edge in another time zone

BUSY = Verdict(
    allowed=False, rule="one-call-at-a-time", figure="1", source="product: one call at a time to a person, case or line"
)
NOT_DIALABLE = Verdict(
    allowed=False, rule="number-not-live", figure="0", source="SOP: retired and blocked numbers are not dialed"
)
CASE_STOPPED = Verdict(
    allowed=False, rule="case-not-open", figure="0", source="SOP: held and closed cases are not dialed"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A number of a case that might be called now: all that a decision and an order need to know of it."""

    case_id: str
    placement_id: str
    client: str
    campaign_id: str
    number_id: str
    contact_id: str
    person_id: str
    debtor_person_id: str
    debt_id: str
    e164: str
    extension: str | None
    channel: Channel
    region: str  # of the number
    case_region: str
    relation: str
    position: int  # which attempt on this case in this campaign it would be, 1-based

    @property
    def is_third_party(self) -> bool:
        """Whether the number belongs to somebody else than the debtor."""
        return not self.channel.is_debtors_own


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberPast:
    """How the calls to one line went: ``silent`` ones in a row since the last that was answered."""

    silent: int = 0
    answered_before: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PastCall:
    """One entry of the ledger: a call placed, under way or imported. ``released`` ones never left and are not shown."""

    at: datetime
    case_id: str | None
    person_id: str
    debtor_person_id: str
    debt_id: str
    e164: str
    channel: Channel
    in_flight: bool  # booked or under way: may still become a conversation
    answered: bool
    conversation: bool
    abandoned: bool
    category: ProgressCategory | None
    source: str  # own or imported


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnNumber:
    """One of the debtor's own numbers on the case, for the third-party gate."""

    number_id: str
    e164: str
    channel: Channel
    state: NumberState


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentFact:
    """A consent or opt-out in force at the time of the decision. ``kind``: hours, third-party, recording, opt-out, inconvenient."""

    kind: str
    details: dict[str, Any]
    about_number: bool
    person_id: str | None = None
    e164: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFacts:
    """Everything a policy decision may look at. ``history`` is oldest first and ends at ``now``."""

    candidate: Candidate
    now: datetime
    history: tuple[PastCall, ...]
    own_numbers: tuple[OwnNumber, ...]
    consents: tuple[ConsentFact, ...]
    person_refused: bool  # the called person asked not to be called on this case
    promised_elsewhere: date | None  # due day of the debtor's latest live promise on another case
    workflow: dict[str, Any] | None = None  # what the workflow remembers of the case; None: nothing happened yet
    spoken_ever: frozenset[str] = frozenset()  # third parties already spoken to about this debt

    def to_person(self) -> tuple[PastCall, ...]:
        return tuple(call for call in self.history if call.person_id == self.candidate.person_id)

    def about_debtor(self) -> tuple[PastCall, ...]:
        return tuple(call for call in self.history if call.debtor_person_id == self.candidate.debtor_person_id)

    def to_number(self) -> tuple[PastCall, ...]:
        return tuple(call for call in self.history if call.e164 == self.candidate.e164)

    def about_debt(self) -> tuple[PastCall, ...]:
        return tuple(call for call in self.history if call.debt_id == self.candidate.debt_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseSurroundings:
    """The same facts for every number of one case at once, whatever the number's state: for windows and permissions."""

    lines: tuple[Candidate, ...]
    history: tuple[PastCall, ...]
    consents: tuple[ConsentFact, ...]
    refused_persons: frozenset[str]
    spoken_ever: frozenset[str]
    promised_elsewhere: date | None = None


Judge = Callable[[CallFacts], Verdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class Booking:
    """``attempt`` is there exactly when the verdict allowed it. ``busy``: another call is under way; nothing was stored."""

    verdict: Verdict
    attempt: Attempt | None = None
    busy: bool = False


def lock_keys(candidate: Candidate) -> tuple[str, ...]:
    """What a booking of this candidate must hold: the case, both persons, the line and the debt."""
    return (
        f"case:{candidate.case_id}",
        f"person:{candidate.person_id}",
        f"person:{candidate.debtor_person_id}",
        f"line:{candidate.e164}",
        f"debt:{candidate.debt_id}",
    )


async def read_facts(connection: AsyncConnection, candidate: Candidate, now: datetime) -> CallFacts:
    """The ledger's window and the gates' facts for one candidate; cost does not grow with older history."""
    since = now - WINDOW
    of_window = and_(ledger.c.at >= since, ledger.c.released.is_(False))
    wanted = union(
        *(
            select(ledger).where(column == value, of_window)
            for column, value in (
                (ledger.c.person_id, candidate.person_id),
                (ledger.c.debtor_person_id, candidate.debtor_person_id),
                (ledger.c.debt_id, candidate.debt_id),
                (ledger.c.e164, candidate.e164),
            )
        )
    ).subquery()
    history = await connection.execute(select(wanted).order_by(wanted.c.at, wanted.c.id))
    own = await connection.execute(
        select(numbers.c.id, numbers.c.e164, numbers.c.channel, numbers.c.state)
        .where(
            numbers.c.case_id == candidate.case_id,
            numbers.c.channel.in_([channel.value for channel in Channel if channel.is_debtors_own]),
        )
        .order_by(numbers.c.sop_rank)
    )
    said = await connection.execute(
        select(consents).where(
            or_(consents.c.person_id == candidate.person_id, consents.c.e164 == candidate.e164),
            consents.c.withdrawn_at.is_(None),
            consents.c.given_at <= now,
            or_(consents.c.expires_at.is_(None), consents.c.expires_at > now),
        )
    )
    refused = await connection.execute(
        select(refusal_blocks.c.id).where(
            refusal_blocks.c.case_id == candidate.case_id, refusal_blocks.c.person_id == candidate.person_id
        )
    )
    remembered = await connection.scalar(
        select(workflow_states.c.state).where(workflow_states.c.case_id == candidate.case_id)
    )
    return CallFacts(
        candidate=candidate,
        now=now,
        workflow=remembered,
        spoken_ever=await _spoken_ever(connection, candidate.debt_id),
        history=tuple(_past_call(row) for row in history.mappings()),
        own_numbers=tuple(
            OwnNumber(number_id=row.id, e164=row.e164, channel=Channel(row.channel), state=NumberState(row.state))
            for row in own
        ),
        consents=tuple(_consent(row) for row in said),
        person_refused=refused.first() is not None,
        promised_elsewhere=await _promised_elsewhere(connection, candidate.debtor_person_id, candidate.case_id),
    )


async def _promised_elsewhere(connection: AsyncConnection, debtor_person_id: str, case_id: str) -> date | None:
    """A live promise suspends pressure on the debtor, whichever of his cases it was given on."""
    due: date | None = await connection.scalar(
        select(func.max(promises.c.due_on)).where(
            promises.c.debtor_person_id == debtor_person_id, promises.c.case_id != case_id, promises.c.state == LIVE
        )
    )
    return due


async def read_surroundings(
    connection: AsyncConnection, case_id: str, lines: tuple[Candidate, ...], now: datetime
) -> CaseSurroundings:
    """The ledger's window around every number of one case; bounded by the case and the window, not by older history."""
    if not lines:
        return CaseSurroundings(lines=(), history=(), consents=(), refused_persons=frozenset(), spoken_ever=frozenset())
    people = {person for one in lines for person in (one.person_id, one.debtor_person_id)}
    e164s = {one.e164 for one in lines}
    of_window = and_(ledger.c.at >= now - WINDOW, ledger.c.released.is_(False))
    wanted = union(
        *(
            select(ledger).where(column.in_(values), of_window)
            for column, values in (
                (ledger.c.person_id, people),
                (ledger.c.debtor_person_id, {lines[0].debtor_person_id}),
                (ledger.c.debt_id, {lines[0].debt_id}),
                (ledger.c.e164, e164s),
            )
        )
    ).subquery()
    history = await connection.execute(select(wanted).order_by(wanted.c.at, wanted.c.id))
    said = await connection.execute(
        select(consents).where(
            or_(consents.c.person_id.in_(people), consents.c.e164.in_(e164s)),
            consents.c.withdrawn_at.is_(None),
            consents.c.given_at <= now,
            or_(consents.c.expires_at.is_(None), consents.c.expires_at > now),
        )
    )
    refused = await connection.execute(select(refusal_blocks.c.person_id).where(refusal_blocks.c.case_id == case_id))
    return CaseSurroundings(
        lines=lines,
        history=tuple(_past_call(row) for row in history.mappings()),
        consents=tuple(_consent(row) for row in said),
        refused_persons=frozenset(refused.scalars()),
        spoken_ever=await _spoken_ever(connection, lines[0].debt_id),
        promised_elsewhere=await _promised_elsewhere(connection, lines[0].debtor_person_id, case_id),
    )


async def _spoken_ever(connection: AsyncConnection, debt_id: str) -> frozenset[str]:
    """Third parties with whom this debt was ever the reason of a conversation: read from an index of conversations alone."""
    rows = await connection.execute(
        select(ledger.c.person_id)
        .where(
            ledger.c.debt_id == debt_id,
            ledger.c.conversation.is_(True),
            ledger.c.channel.in_([channel.value for channel in Channel if not channel.is_debtors_own]),
        )
        .distinct()
    )
    return frozenset(rows.scalars())


def _consent(row: Any) -> ConsentFact:
    return ConsentFact(
        kind=row.kind,
        details=row.details,
        about_number=row.e164 is not None,
        person_id=row.person_id,
        e164=row.e164,
    )


def _past_call(row: Any) -> PastCall:
    return PastCall(
        at=row["at"],
        case_id=row["case_id"],
        person_id=row["person_id"],
        debtor_person_id=row["debtor_person_id"],
        debt_id=row["debt_id"],
        e164=row["e164"],
        channel=Channel(row["channel"]),
        in_flight=row["in_flight"],
        answered=row["answered"],
        conversation=row["conversation"],
        abandoned=row["abandoned"],
        category=None if row["category"] is None else ProgressCategory(row["category"]),
        source=row["source"],
    )


class Ledger:
    """Booking, and what becomes of a booking's entry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self, candidate: Candidate, now: datetime) -> CallFacts:
        """The facts without booking: for the explain doors and previews."""
        async with self._database.read() as connection:
            return await read_facts(connection, candidate, now)

    async def past_of(self, e164s: Collection[str], since: datetime) -> dict[str, NumberPast]:
        """What became of the calls to each of these lines, own and imported, in one question; calls under way are left out."""
        query = (
            select(ledger.c.e164, ledger.c.answered)
            .where(
                ledger.c.e164.in_(set(e164s)),
                ledger.c.at >= since,
                ledger.c.released.is_(False),
                ledger.c.in_flight.is_(False),
            )
            .order_by(ledger.c.at, ledger.c.id)
        )
        past = dict.fromkeys(e164s, NumberPast())
        async with self._database.read() as connection:
            for e164, answered in await connection.execute(query):
                before = past[e164]
                past[e164] = NumberPast(
                    silent=0 if answered else before.silent + 1, answered_before=answered or before.answered_before
                )
        return past

    async def abandonment(self, campaign_id: str, since: datetime) -> tuple[tuple[date, int, int], ...]:
        """(UTC day, answered calls, abandoned ones) of a campaign booked on that day or since: the 30-day ledger's totals."""
        days = campaign_days.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(days.day, days.answered, days.abandoned)
                .where(days.campaign_id == campaign_id, days.day >= since.astimezone(UTC).date(), days.answered > 0)
                .order_by(days.day)
            )
            return tuple((row.day, row.answered, row.abandoned) for row in rows)

    async def judge_and_book(
        self,
        unit: Unit,
        candidate: Candidate,
        now: datetime,
        judge: Judge,
        *,
        node: str,
        purpose: str,
        agent_id: str | None,
    ) -> Booking:
        """Inside the caller's transaction: lock, read, judge, and write the attempt or the refusal."""
        await unit.lock(lock_keys(candidate))
        verdict = await _standing_in_the_way(unit.connection, candidate, purpose)
        if verdict is BUSY:
            return Booking(verdict=BUSY, busy=True)
        verdict = verdict or judge(await read_facts(unit.connection, candidate, now))
        attempt = None
        if verdict.allowed:
            attempt = await _write_attempt(unit, candidate, now, node=node, purpose=purpose, agent_id=agent_id)
        await unit.connection.execute(
            insert(verdicts).values(
                id=new_id("ver"),
                attempt_id=attempt.id if attempt else None,
                case_id=candidate.case_id,
                number_id=candidate.number_id,
                campaign_id=candidate.campaign_id,
                at=now,
                allowed=verdict.allowed,
                rule=verdict.rule,
                figure=verdict.figure,
                source=verdict.source,
                until=verdict.until,
            )
        )
        if not verdict.allowed:
            unit.emit(
                "call.refused",
                now,
                case_id=candidate.case_id,
                subject_id=candidate.number_id,
                campaign_id=candidate.campaign_id,
                rule=verdict.rule,
                figure=verdict.figure,
                source=verdict.source,
                until=verdict.until.isoformat() if verdict.until else None,
            )
        return Booking(verdict=verdict, attempt=attempt)


async def _standing_in_the_way(connection: AsyncConnection, candidate: Candidate, purpose: str) -> Verdict | None:
    flying = await connection.execute(
        select(attempts.c.id)
        .where(
            attempts.c.state.in_(IN_FLIGHT),
            or_(
                attempts.c.case_id == candidate.case_id,
                attempts.c.debtor_person_id == candidate.debtor_person_id,
                attempts.c.person_id == candidate.person_id,
                attempts.c.e164 == candidate.e164,
            ),
        )
        .limit(1)
    )
    if flying.first() is not None:
        return BUSY
    found = await connection.execute(
        select(numbers.c.state, cases.c.state.label("case_state"))
        .join(cases, cases.c.id == numbers.c.case_id)
        .where(numbers.c.id == candidate.number_id)
    )
    row = found.one()
    # Step 1 of a fraud claim is a call on a held case; the policy still judges it (only that purpose passes its hold).
    if row.case_state == "closed" or (row.case_state == "held" and purpose != CONFIRM_FRAUD):
        return CASE_STOPPED
    return None if row.state == NumberState.LIVE else NOT_DIALABLE


async def _write_attempt(
    unit: Unit, candidate: Candidate, now: datetime, *, node: str, purpose: str, agent_id: str | None
) -> Attempt:
    attempt = Attempt(
        id=new_id("att"),
        case_id=candidate.case_id,
        number_id=candidate.number_id,
        campaign_id=candidate.campaign_id,
        booked_at=now,
        state=AttemptState.BOOKED,
        position=candidate.position,
    )
    shared = {
        "case_id": candidate.case_id,
        "person_id": candidate.person_id,
        "debtor_person_id": candidate.debtor_person_id,
        "debt_id": candidate.debt_id,
        "e164": candidate.e164,
    }
    await unit.connection.execute(
        insert(attempts).values(
            id=attempt.id,
            number_id=candidate.number_id,
            campaign_id=candidate.campaign_id,
            node=node,
            purpose=purpose,
            position=candidate.position,
            booked_at=now,
            state=AttemptState.BOOKED.value,
            agent_id=agent_id,
            **shared,
        )
    )
    await unit.connection.execute(
        insert(ledger).values(
            id=new_id("led"),
            attempt_id=attempt.id,
            source="own",
            at=now,
            channel=candidate.channel.value,
            in_flight=True,
            answered=False,
            conversation=False,
            abandoned=False,
            released=False,
            **shared,
        )
    )
    await unit.connection.execute(update(cases).where(cases.c.id == candidate.case_id).values(last_touched_at=now))
    unit.count(candidate.campaign_id, now, "attempted")
    unit.emit(
        "attempt.booked",
        now,
        case_id=candidate.case_id,
        subject_id=attempt.id,
        number_id=candidate.number_id,
        campaign_id=candidate.campaign_id,
    )
    return attempt
