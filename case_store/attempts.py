"""Attempts: booked before dialed, one door for every move, lost ones found again after a crash."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, select, update

from case_store import sweep
from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact
from case_store.database import Database, Unit
from case_store.ledger import Booking, Candidate, Judge, Ledger
from case_store.model import ATTEMPT_MOVES, Attempt, AttemptState
from case_store.network import HangupCause, ProgressCategory
from case_store.number_states import note_sign
from case_store.tables import CLAIMED, IN_FLIGHT, attempts, calls, ledger, nodes, sweep_cases
from config.errors import BadInput, InvariantBroken

_log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)

# Categories after which the ledger does not call the line answered by a person.
_NOT_A_PERSON = frozenset({ProgressCategory.MACHINE})


class UnknownAttempt(BadInput):
    error_id = "unknown-attempt"


class ForbiddenMove(InvariantBroken):
    """An attempt was asked to go where its state machine does not lead."""

    error_id = "attempt-forbidden-move"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveredAttempt:
    """An attempt that a dead node left behind. ``call_id`` and ``recording_id`` when its INVITE may have left."""

    attempt_id: str
    case_id: str
    was: AttemptState
    call_id: str | None
    recording_id: str | None


class Attempts:
    def __init__(self, database: Database, ledger_room: Ledger) -> None:
        self._database = database
        self._ledger = ledger_room
        self.audit: AuditLog | None = None  # set by the centre: refused verdicts are audited in their own transaction

    async def book(
        self,
        candidate: Candidate,
        now: datetime,
        judge: Judge,
        *,
        node: str,
        purpose: str = "sweep",
        agent_id: str | None = None,
    ) -> Booking:
        """Judge and book in one transaction: after it returns with an attempt, that attempt is on disk.

        A refusal is stored with its rule, figure, source and time, and a sweep comes back to the number then.
        ``busy`` means another call to this person, case or line is under way; nothing is stored.
        """
        async with self._database.write() as unit:
            booking = await self._ledger.judge_and_book(
                unit, candidate, now, judge, node=node, purpose=purpose, agent_id=agent_id
            )
            if purpose == "sweep":
                if booking.busy:
                    await sweep.settle_case(
                        unit,
                        candidate.campaign_id,
                        candidate.case_id,
                        now,
                        rest_until=now + timedelta(seconds=5),
                    )
                elif booking.attempt is None:
                    await sweep.note_try(unit, candidate.campaign_id, candidate.number_id, now, refusal=booking.verdict)
                    await sweep.settle_case(unit, candidate.campaign_id, candidate.case_id, now)
            if booking.attempt is None and not booking.busy and self.audit is not None:
                await self.audit.append_in(unit, [_refusal(candidate, booking, now)], now)
        return booking

    async def advance(
        self, attempt_id: str, to: AttemptState, at: datetime, *, category: ProgressCategory | None = None
    ) -> None:
        """Move an attempt. Moves to DIALING and ANSWERED belong to ``Calls``, which does them with the call's row."""
        async with self._database.write() as unit:
            await move_attempt(unit, attempt_id, to, at, category=category)

    async def get(self, attempt_id: str) -> Attempt:
        async with self._database.read() as connection:
            row = (await connection.execute(select(attempts).where(attempts.c.id == attempt_id))).first()
        if row is None:
            raise UnknownAttempt("there is no such attempt", field="attempt_id", remedy="take the id from a booking")
        return as_attempt(row)

    async def of_case(self, case_id: str, *, limit: int = 200) -> tuple[Attempt, ...]:
        """Newest first."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(attempts)
                .where(attempts.c.case_id == case_id)
                .order_by(attempts.c.booked_at.desc(), attempts.c.id.desc())
                .limit(limit)
            )
            return tuple(as_attempt(row) for row in rows)

    async def in_flight(self, campaign_id: str | None = None) -> int:
        async with self._database.read() as connection:
            return int((await connection.execute(in_flight(campaign_id))).scalar_one())

    async def hold_lease(self, node: str, now: datetime) -> None:
        """Say that this node lives; call every few seconds. A node whose lease ran out may be recovered by others."""
        async with self._database.write() as unit:
            values = {"seen_at": now, "lease_until": now + LEASE}
            await unit.connection.execute(
                sweep.upsert(unit.dialect, nodes)
                .values(name=node, started_at=now, **values)
                .on_conflict_do_update(index_elements=["name"], set_=values)
            )

    async def dead_nodes(self, now: datetime) -> tuple[str, ...]:
        """Nodes with calls under way whose lease ran out."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(attempts.c.node)
                .outerjoin(nodes, nodes.c.name == attempts.c.node)
                .where(
                    attempts.c.state.in_(IN_FLIGHT),
                    (nodes.c.lease_until < now) | nodes.c.lease_until.is_(None),
                )
                .distinct()
            )
            return tuple(rows.scalars())

    async def recover(self, node: str, now: datetime) -> tuple[RecoveredAttempt, ...]:
        """On a node's start, or for a dead one: everything it left under way becomes LOST, its calls end as ORPHANED.

        A lost attempt counts against the caps and is never dialed again as itself.
        """
        recovered: list[RecoveredAttempt] = []
        async with self._database.write() as unit:
            rows = (
                await unit.connection.execute(
                    select(
                        attempts,
                        calls.c.id.label("call_id"),
                        calls.c.recording_id,
                        calls.c.ended_at.label("call_ended"),
                    )
                    .outerjoin(calls, calls.c.attempt_id == attempts.c.id)
                    .where(attempts.c.node == node, attempts.c.state.in_(IN_FLIGHT))
                    .with_for_update(of=attempts, skip_locked=True)
                )
            ).all()
            for row in rows:
                if row.call_id is not None and row.call_ended is None:
                    await unit.connection.execute(
                        update(calls)
                        .where(calls.c.id == row.call_id)
                        .values(state="ended", ended_at=now, cause=HangupCause.ORPHANED.value, origin="engine")
                    )
                    unit.emit("call.ended", now, case_id=row.case_id, subject_id=row.call_id, cause="orphaned")
                await move_attempt(unit, row.id, AttemptState.LOST, now)
                recovered.append(
                    RecoveredAttempt(
                        attempt_id=row.id,
                        case_id=row.case_id,
                        was=AttemptState(row.state),
                        call_id=row.call_id,
                        recording_id=row.recording_id,
                    )
                )
            await unit.connection.execute(
                update(sweep_cases)
                .where(sweep_cases.c.claimed_by == node, sweep_cases.c.state == CLAIMED)
                .values(state="ready", claimed_by=None, claimed_until=None)
            )
        return tuple(recovered)


def in_flight(campaign_id: str | None) -> Select[int]:
    """How many attempts are under way, of one campaign or of all."""
    query = select(func.count()).select_from(attempts).where(attempts.c.state.in_(IN_FLIGHT))
    if campaign_id is None:
        return query
    # The few under way are read and then asked for their campaign; by the campaign's own index all it ever dialed is read.
    return query.where(func.coalesce(attempts.c.campaign_id, "") == campaign_id)


def _refusal(candidate: Candidate, booking: Booking, now: datetime) -> AuditFact:
    verdict = booking.verdict
    return AuditFact(
        at=now,
        actor="policy",
        action="call.refused",
        subject=candidate.number_id,
        detail={
            "case_id": candidate.case_id,
            "rule": verdict.rule,
            "figure": str(verdict.figure),
            "source": verdict.source,
            "until": verdict.until.isoformat() if verdict.until else None,
        },
    )


async def move_attempt(
    unit: Unit,
    attempt_id: str,
    to: AttemptState,
    at: datetime,
    *,
    category: ProgressCategory | None = None,
    talked: bool = False,
    abandoned: bool = False,
) -> Row[Any]:
    """The one door: checks the move, writes it, moves the ledger's entry and the sweep with it, logs ``old -> new``."""
    row = (await unit.connection.execute(select(attempts).where(attempts.c.id == attempt_id).with_for_update())).first()
    if row is None:
        raise UnknownAttempt("there is no such attempt", field="attempt_id", remedy="take the id from a booking")
    old = AttemptState(row.state)
    if to not in ATTEMPT_MOVES[old]:
        raise ForbiddenMove(f"an attempt does not go {old} -> {to}", remedy="report this with the log around it")
    values: dict[str, Any] = {"state": to.value}
    stamp = {AttemptState.DIALING: "dialing_at", AttemptState.ANSWERED: "answered_at"}.get(to, "ended_at")
    values[stamp] = at
    if category is not None:
        values["category"] = category.value
    await unit.connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(**values))
    entry: dict[str, Any] = {"category": values.get("category")}
    if to is AttemptState.ANSWERED:
        entry = {"answered": True}
    elif to is AttemptState.RELEASED:
        entry = {"released": True, "in_flight": False}
    elif to in (AttemptState.DONE, AttemptState.LOST):
        entry |= {"in_flight": False, "conversation": talked and category not in _NOT_A_PERSON, "abandoned": abandoned}
        # A lost answered call is counted as a conversation: nobody can prove that it was none.
        if to is AttemptState.LOST and old is AttemptState.ANSWERED:
            entry["conversation"] = True
    await unit.connection.execute(update(ledger).where(ledger.c.attempt_id == attempt_id).values(**entry))
    if to is AttemptState.ANSWERED:
        unit.count(row.campaign_id, row.booked_at, "answered")
    if abandoned:
        unit.count(row.campaign_id, row.booked_at, "abandoned")
    if to in (AttemptState.DONE, AttemptState.LOST, AttemptState.RELEASED) and row.purpose == "sweep":
        await _turn_sweep(unit, row, to, at, category)
    if category is not None:
        await note_sign(unit, row.number_id, row.case_id, category.value, at)
    _log.info("attempt %s: %s -> %s", attempt_id, old, to)
    unit.emit(
        "attempt.moved",
        at,
        case_id=row.case_id,
        subject_id=attempt_id,
        old=old.value,
        new=to.value,
        category=values.get("category"),
        campaign_id=row.campaign_id,
        number_id=row.number_id,
    )
    return row


async def _turn_sweep(
    unit: Unit, row: Row[Any], to: AttemptState, at: datetime, category: ProgressCategory | None
) -> None:
    if to is AttemptState.RELEASED:
        category = ProgressCategory.CANCELLED
    await sweep.note_try(unit, row.campaign_id, row.number_id, at, category=category)
    await sweep.settle_case(unit, row.campaign_id, row.case_id, at)


def as_attempt(row: Any) -> Attempt:
    return Attempt(
        id=row.id,
        case_id=row.case_id,
        number_id=row.number_id,
        campaign_id=row.campaign_id,
        booked_at=row.booked_at,
        state=AttemptState(row.state),
        position=row.position,
    )
