"""Calls, their legs and their recordings: the network's word, written as it comes.

``open`` puts the armed recording, the call and the attempt's move to DIALING on disk together, before the INVITE.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store.attempts import move_attempt
from case_store.database import Database, Unit
from case_store.model import CALL_MOVES, AttemptState, CallRecord, CallState, Gap, RecordingRecord, RecordingState
from case_store.network import HangupCause, ProgressCategory
from case_store.tables import attempts, calls, legs, recordings
from config.errors import BadInput, InvariantBroken

_CALL_STAMPS = frozenset({"ringing_at", "early_media_at", "bridged_at"})


class UnknownCall(BadInput):
    error_id = "unknown-call"


class UnknownRecording(BadInput):
    error_id = "unknown-recording"


class CallForbiddenMove(InvariantBroken):
    error_id = "call-forbidden-move"


class Calls:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self,
        *,
        call_id: str,
        attempt_id: str,
        tape_id: str,
        tape_path: str,
        armed_at: datetime,
        at: datetime,
        agent_id: str | None = None,
        caller_id: str | None = None,
        trunk: str | None = None,
    ) -> CallRecord:
        """Before the INVITE: recording armed, call placed, attempt DIALING, in one transaction. ``tape_id`` is the recording's id."""
        async with self._database.write() as unit:
            booked = (
                await unit.connection.execute(
                    select(attempts.c.case_id, attempts.c.number_id, attempts.c.node).where(attempts.c.id == attempt_id)
                )
            ).first()
            if booked is None:
                raise BadInput("there is no such attempt", field="attempt_id", remedy="book it first")
            await unit.connection.execute(
                insert(recordings).values(
                    id=tape_id,
                    call_id=call_id,
                    case_id=booked.case_id,
                    state=RecordingState.ARMED.value,
                    tape_path=tape_path,
                    armed_at=armed_at,
                    legal_hold=False,
                )
            )
            await unit.connection.execute(
                insert(calls).values(
                    id=call_id,
                    attempt_id=attempt_id,
                    case_id=booked.case_id,
                    recording_id=tape_id,
                    number_id=booked.number_id,
                    node=booked.node,
                    agent_id=agent_id,
                    caller_id=caller_id,
                    trunk=trunk,
                    state=CallState.PLACED.value,
                    placed_at=at,
                )
            )
            await move_attempt(unit, attempt_id, AttemptState.DIALING, at)
            unit.emit(
                "call.placed",
                at,
                case_id=booked.case_id,
                subject_id=call_id,
                attempt_id=attempt_id,
                recording_id=tape_id,
            )
            return await _call(unit.connection, call_id)

    async def note(self, call_id: str, **facts: Any) -> None:
        """Keep facts as they come: ``ringing_at``, ``early_media_at``, ``bridged_at``, ``trunk``, ``agent_id``, ``evidence``."""
        unknown = set(facts) - _CALL_STAMPS - {"trunk", "agent_id", "evidence", "caller_id"}
        if unknown:
            raise InvariantBroken(f"a call has no fact {sorted(unknown)[0]}", remedy="use the columns of calls")
        async with self._database.write() as unit:
            changed = await unit.connection.execute(update(calls).where(calls.c.id == call_id).values(**facts))
            if changed.rowcount != 1:
                raise _unknown_call()
            stamps = [value for key, value in facts.items() if key in _CALL_STAMPS]
            if stamps:
                case_id = await unit.connection.scalar(select(calls.c.case_id).where(calls.c.id == call_id))
                unit.emit(
                    "call.progress",
                    max(stamps),
                    case_id=case_id,
                    subject_id=call_id,
                    **{key: value.isoformat() if key in _CALL_STAMPS else value for key, value in facts.items()},
                )

    async def answered(self, call_id: str, at: datetime, *, trunk: str | None = None, codec: str | None = None) -> None:
        """200 OK. The database refuses it when the tape is not armed."""
        async with self._database.write() as unit:
            row = await _move(unit, call_id, CallState.ANSWERED)
            values: dict[str, Any] = {"state": CallState.ANSWERED.value, "answered_at": at}
            if trunk is not None:
                values["trunk"] = trunk
            await unit.connection.execute(update(calls).where(calls.c.id == call_id).values(**values))
            await move_attempt(unit, row.attempt_id, AttemptState.ANSWERED, at)
            unit.emit("call.answered", at, case_id=row.case_id, subject_id=call_id, trunk=trunk, codec=codec)

    async def end(
        self,
        call_id: str,
        at: datetime,
        *,
        cause: HangupCause,
        category: ProgressCategory,
        sip_status: int | None = None,
        q850: int | None = None,
        reason: str = "",
        origin: str | None = None,
        evidence: str | None = None,
        talk_seconds: float = 0.0,
        talked: bool | None = None,
        trunk: str | None = None,
    ) -> CallRecord:
        """The network's word about a call. ``talked``: a person and an agent spoke (default: it was bridged to one)."""
        async with self._database.write() as unit:
            row = await _move(unit, call_id, CallState.ENDED)
            values = {
                "state": CallState.ENDED.value,
                "ended_at": at,
                "cause": cause.value,
                "category": category.value,
                "sip_status": sip_status,
                "q850": q850,
                "reason": reason[:255],
                "origin": origin,
                "talk_seconds": talk_seconds,
            }
            values |= {key: value for key, value in (("evidence", evidence), ("trunk", trunk)) if value is not None}
            await unit.connection.execute(update(calls).where(calls.c.id == call_id).values(**values))
            await _settle_if_sealed(unit, call_id)
            await move_attempt(
                unit,
                row.attempt_id,
                AttemptState.DONE,
                at,
                category=category,
                talked=row.bridged_at is not None if talked is None else talked,
                abandoned=cause is HangupCause.ABANDONED,
            )
            unit.emit(
                "call.ended",
                at,
                case_id=row.case_id,
                subject_id=call_id,
                cause=cause.value,
                category=category.value,
                sip_status=sip_status,
                answered=row.answered_at is not None,
                talk_seconds=talk_seconds,
            )
            return await _call(unit.connection, call_id)

    async def get(self, call_id: str) -> CallRecord:
        async with self._database.read() as connection:
            return await _call(connection, call_id)

    async def list(
        self, *, case_id: str | None = None, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> tuple[CallRecord, ...]:
        """Newest first; ``after`` is the (placed_at, id) of the last one seen."""
        query = select(calls).order_by(calls.c.placed_at.desc(), calls.c.id.desc()).limit(limit)
        if case_id is not None:
            query = query.where(calls.c.case_id == case_id)
        if after is not None:
            placed_at, call_id = after
            query = query.where(
                (calls.c.placed_at < placed_at) | ((calls.c.placed_at == placed_at) & (calls.c.id < call_id))
            )
        async with self._database.read() as connection:
            return tuple(as_call(row) for row in await connection.execute(query))

    async def leg_opened(
        self,
        *,
        leg_id: str,
        call_id: str | None,
        kind: str,
        at: datetime,
        desk: str | None = None,
        trunk: str | None = None,
        dialog: dict[str, Any] | None = None,
    ) -> None:
        """``kind``: customer, agent or leader. ``dialog`` is what a restarted control needs to end it with a BYE."""
        async with self._database.write() as unit:
            await unit.connection.execute(
                insert(legs).values(
                    id=leg_id,
                    call_id=call_id,
                    kind=kind,
                    desk=desk,
                    trunk=trunk,
                    state="placed",
                    placed_at=at,
                    dialog=dialog,
                )
            )

    async def leg_noted(self, leg_id: str, **facts: Any) -> None:
        """``state``, ``codec``, ``trunk``, ``answered_at``, ``first_audio_at``, ``ended_at``, ``cause``, ``sip_status``, ``dialog``."""
        async with self._database.write() as unit:
            await unit.connection.execute(update(legs).where(legs.c.id == leg_id).values(**facts))

    async def legs_alive(self) -> tuple[dict[str, Any], ...]:
        """Legs without an end: after a crash, what still has to be ended."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(legs).where(legs.c.ended_at.is_(None)).order_by(legs.c.placed_at))
            return tuple(dict(row) for row in rows.mappings())


class Recordings:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def seal(
        self,
        recording_id: str,
        at: datetime,
        *,
        path: str,
        seconds: float,
        sha256: str,
        gaps: tuple[Gap, ...] = (),
        vitals: dict[str, Any] | None = None,
        manifest: dict[str, Any] | None = None,
        keep_until: datetime | None = None,
        empty: bool = False,
    ) -> RecordingRecord:
        """Attach what sealing made, by exact id; the ended call becomes SETTLED. Sealing again with the same hash is harmless."""
        state = RecordingState.EMPTY if empty else RecordingState.SEALED
        async with self._database.write() as unit:
            before = await _recording(unit.connection, recording_id)
            if before.state in (RecordingState.SEALED, RecordingState.EMPTY):
                if before.sha256 == sha256:
                    return before
                raise InvariantBroken(
                    "a sealed recording was sealed again with other bytes", remedy="run onrecord verify"
                )
            await unit.connection.execute(
                update(recordings)
                .where(recordings.c.id == recording_id)
                .values(
                    state=state.value,
                    sealed_at=at,
                    path=path,
                    seconds=seconds,
                    sha256=sha256,
                    gaps=[asdict(gap) for gap in gaps],
                    vitals=vitals or {},
                    manifest=manifest or {},
                    keep_until=keep_until,
                )
            )
            await unit.connection.execute(
                update(calls)
                .where(calls.c.id == before.call_id, calls.c.state == CallState.ENDED.value)
                .values(state=CallState.SETTLED.value)
            )
            unit.emit(
                "recording.sealed",
                at,
                case_id=before.case_id,
                subject_id=recording_id,
                call_id=before.call_id,
                seconds=seconds,
                state=state.value,
            )
            return await _recording(unit.connection, recording_id)

    async def fail(self, recording_id: str, at: datetime, problem: str) -> None:
        """The tape cannot be sealed: kept and shown, never deleted."""
        async with self._database.write() as unit:
            before = await _recording(unit.connection, recording_id)
            await unit.connection.execute(
                update(recordings)
                .where(recordings.c.id == recording_id)
                .values(state=RecordingState.FAILED.value, manifest={"problem": problem})
            )
            unit.emit("recording.failed", at, case_id=before.case_id, subject_id=recording_id, problem=problem)

    async def annotate(self, recording_id: str, **facts: Any) -> None:
        """``vitals``, ``manifest``, ``keep_until`` or ``legal_hold``, found after sealing."""
        allowed = {"vitals", "manifest", "keep_until", "legal_hold", "path"}
        if set(facts) - allowed:
            raise InvariantBroken("a sealed recording keeps its proof", remedy=f"only {sorted(allowed)} may change")
        async with self._database.write() as unit:
            await unit.connection.execute(update(recordings).where(recordings.c.id == recording_id).values(**facts))

    async def dispose(self, recording_id: str, at: datetime) -> None:
        """Note that the audio is gone at the end of its retention. The database refuses it under legal hold."""
        async with self._database.write() as unit:
            before = await _recording(unit.connection, recording_id)
            await unit.connection.execute(
                update(recordings)
                .where(recordings.c.id == recording_id)
                .values(state=RecordingState.DISPOSED.value, disposed_at=at)
            )
            unit.emit("recording.disposed", at, case_id=before.case_id, subject_id=recording_id)

    async def get(self, recording_id: str) -> RecordingRecord:
        async with self._database.read() as connection:
            return await _recording(connection, recording_id)

    async def list(
        self,
        *,
        case_id: str | None = None,
        state: RecordingState | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[RecordingRecord, ...]:
        """By id (which sorts by arming time), oldest first; ``after`` is the last id seen."""
        query = select(recordings).order_by(recordings.c.id).limit(limit)
        if case_id is not None:
            query = query.where(recordings.c.case_id == case_id)
        if state is not None:
            query = query.where(recordings.c.state == state.value)
        if after is not None:
            query = query.where(recordings.c.id > after)
        async with self._database.read() as connection:
            return tuple(as_recording(row) for row in await connection.execute(query))


async def _move(unit: Unit, call_id: str, to: CallState) -> Any:
    row = (await unit.connection.execute(select(calls).where(calls.c.id == call_id).with_for_update())).first()
    if row is None:
        raise _unknown_call()
    if to not in CALL_MOVES[CallState(row.state)]:
        raise CallForbiddenMove(f"a call does not go {row.state} -> {to}", remedy="report this with the log around it")
    return row


async def _settle_if_sealed(unit: Unit, call_id: str) -> None:
    """A tape may be sealed before the end of its call is told (the relay finished it, control was away)."""
    sealed = select(recordings.c.id).where(
        recordings.c.call_id == call_id, recordings.c.state.in_((RecordingState.SEALED, RecordingState.EMPTY))
    )
    await unit.connection.execute(
        update(calls).where(calls.c.id == call_id, calls.c.state == "ended", sealed.exists()).values(state="settled")
    )


async def _call(connection: AsyncConnection, call_id: str) -> CallRecord:
    row = (await connection.execute(select(calls).where(calls.c.id == call_id))).first()
    if row is None:
        raise _unknown_call()
    return as_call(row)


async def _recording(connection: AsyncConnection, recording_id: str) -> RecordingRecord:
    row = (await connection.execute(select(recordings).where(recordings.c.id == recording_id))).first()
    if row is None:
        raise UnknownRecording("there is no such recording", field="recording_id", remedy="take the id from a call")
    return as_recording(row)


def _unknown_call() -> UnknownCall:
    return UnknownCall("there is no such call", field="call_id", remedy="take the id from the list of calls")


def as_call(row: Any) -> CallRecord:
    facts = dict(row._mapping)
    facts["state"] = CallState(facts["state"])
    return CallRecord(**facts)


def as_recording(row: Any) -> RecordingRecord:
    return RecordingRecord(
        id=row.id,
        call_id=row.call_id,
        case_id=row.case_id,
        state=RecordingState(row.state),
        tape_path=row.tape_path,
        armed_at=row.armed_at,
        sealed_at=row.sealed_at,
        path=row.path,
        seconds=row.seconds,
        sha256=row.sha256,
        gaps=tuple(Gap(**gap) for gap in row.gaps or ()),
        vitals=row.vitals or {},
        manifest=row.manifest or {},
        keep_until=row.keep_until,
        legal_hold=row.legal_hold,
    )
