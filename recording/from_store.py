"""The store's rows as the proofs want them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from case_store.proof_reads import ProofReads, StoredCall, StoredRecording
from recording.attach import FiledRecording, filed
from recording.reconcile import LONGEST_CALL, RecordedFact, SignalledCall, UnendedCall
from recording.recordings import Recording, RecordingClass
from recording.retention import KeptRecording

SEALED_STATES = ("sealed", "empty", "disposed")

_AGENT_SOUNDS = {RecordingClass.TWO_WAY.value, RecordingClass.ONE_WAY_AGENT.value}
_CUSTOMER_SOUNDS = {RecordingClass.TWO_WAY.value, RecordingClass.ONE_WAY_CUSTOMER.value}


def signalled(call: StoredCall) -> SignalledCall:
    return SignalledCall(
        call_id=call.call_id,
        callee=call.callee,
        placed_at=call.placed_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        talk_seconds=call.talk_seconds,
        recording_id=call.recording_id,
        customer_leg=call.customer_leg or "customer",  # by its kind where the store has no row of the leg
        agent_leg=call.agent_leg or "agent",
    )


def recorded(row: StoredRecording) -> RecordedFact | None:
    """None while it is not sealed."""
    if row.sealed_at is None or row.seconds is None:
        return None
    sounds = str(row.vitals.get("class", ""))
    begun = row.manifest.get("started_at")
    return RecordedFact(
        recording_id=row.recording_id,
        call_id=row.call_id,
        started_at=datetime.fromisoformat(str(begun)) if begun else None,
        seconds=row.seconds,
        sealed_at=row.sealed_at,
        agent_sound=sounds in _AGENT_SOUNDS,
        customer_sound=sounds in _CUSTOMER_SOUNDS,
    )


def kept_sound(recording: Recording, sealed_at: datetime) -> RecordedFact:
    """What sealing just made, as reconciliation wants it."""
    return RecordedFact(
        recording_id=recording.id,
        call_id=recording.call_id,
        started_at=recording.started_at,
        seconds=recording.seconds,
        sealed_at=sealed_at,
        agent_sound=recording.classification.value in _AGENT_SOUNDS,
        customer_sound=recording.classification.value in _CUSTOMER_SOUNDS,
    )


def filed_row(row: StoredRecording) -> FiledRecording:
    """What the store says of a sealed recording, for ``verify`` to hold against the manifest."""
    return filed(
        sha256=row.sha256 or "",
        call_id=row.call_id,
        case_id=row.case_id,
        path=row.path or "",
        seconds=row.seconds or 0.0,
        gaps=row.gaps,
        vitals=row.vitals,
        manifest=row.manifest,
    )


def kept(row: StoredRecording) -> KeptRecording:
    return KeptRecording(
        recording_id=row.recording_id,
        case_id=row.case_id,
        client=row.client,
        recorded_at=row.armed_at,
        keep_until=row.keep_until,
        legal_hold=row.legal_hold,
    )


async def never_ended(
    reads: ProofReads, begin: datetime | None, end: datetime | None, now: datetime
) -> list[UnendedCall]:
    """Calls of the time between (all when None) that are too old to be still going on."""
    until = min(end, now - LONGEST_CALL) if end is not None else now - LONGEST_CALL
    return [
        UnendedCall(
            call_id=one.call_id,
            recording_id=one.recording_id,
            node=one.node,
            placed_at=one.placed_at,
            answered=one.answered_at is not None,
            customer_leg=one.customer_leg,
        )
        for one in await reads.unended_calls(begin, until)
    ]


_AROUND = timedelta(minutes=5)  # a tape is armed within moments of its call's placing


async def recorded_beside(
    reads: ProofReads, calls: Iterable[SignalledCall], begin: datetime | None, end: datetime | None
) -> list[RecordedFact]:
    """The sealed recordings of ``calls``, and those of the same time that no call explains; no more of history."""
    ours = {call.call_id for call in calls}
    since, until = begin and begin - _AROUND, end and end + _AROUND
    return [
        fact
        async for row in reads.recordings(*SEALED_STATES, since=since, until=until)
        if (fact := recorded(row)) is not None
        and (
            row.call_id in ours
            or ((begin is None or row.armed_at >= begin + _AROUND) and (end is None or row.armed_at < end - _AROUND))
        )
    ]
