"""Reads the store after a sweep and fills its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from case_store.calls import UnknownRecording
from case_store.model import CallRecord, PhoneNumber, RecordingState
from case_store.placements import ImportReport
from dialer.centre import Centre
from dialer.sweep_report import (
    ActionLine,
    CallLine,
    PlacementReport,
    RecordingLine,
    RefusedNumber,
    RejectedRow,
    SweepReport,
)

_PAGE = 500


async def report_sweep(
    centre: Centre,
    *,
    imports: Sequence[ImportReport],
    directory: Path,
    kept: Path | None,
    clock: str,
    finished: bool,
    stopped_because: str | None,
) -> SweepReport:
    """Everything of these placements; costs grow with the placements, not with the house's history."""
    numbers: dict[str, PhoneNumber] = {}
    refs: dict[str, str] = {}
    for one in imports:
        after: str | None = None
        while found := await centre.store.cases.list(placement_id=one.placement_id, after=after, limit=_PAGE):
            for case in (each.case for each in found):
                page = await centre.store.cases.page(case.id)
                refs[case.id] = case.client_ref
                numbers.update({number.id: number for number in page.numbers})
            after = found[-1].case.id
    calls = [record for case_id in refs for record in await centre.store.calls.list(case_id=case_id, limit=1000)]
    calls.sort(key=lambda record: (record.placed_at, record.id))
    outcomes = {
        outcome.call_id: outcome.code
        for case_id in refs
        for outcome in await centre.store.outcomes.of_case(case_id)
        if outcome.call_id is not None
    }
    return SweepReport(
        placements=tuple([await _placement(centre, one, numbers) for one in imports]),
        calls=tuple(_call(record, numbers, outcomes.get(record.id)) for record in calls),
        recordings=tuple([tape for record in calls if (tape := await _recording(centre, record, kept)) is not None]),
        next_actions=tuple([due for case_id in refs if (due := await _action(centre, case_id, refs)) is not None]),
        directory=str(directory),
        clock=clock,
        finished=finished,
        stopped_because=stopped_because,
        extra={"tapes": str(kept)} if kept else {},
    )


async def _placement(centre: Centre, report: ImportReport, numbers: dict[str, PhoneNumber]) -> PlacementReport:
    coverage = await centre.store.placements.coverage(report.placement_id, untried_limit=1_000_000)
    verdicts = {one.number_id: one for one in coverage.untried}
    return PlacementReport(
        name=report.name,
        rows=report.rows,
        cases=coverage.cases,
        numbers=coverage.numbers,
        attempted=coverage.attempted,
        refused=tuple(
            RefusedNumber(
                number_id=one.number_id,
                case_id=one.case_id,
                e164=one.e164,
                channel=numbers[one.number_id].channel.value,
                rule=one.reason or one.standing,
                until=one.until,
            )
            for one in verdicts.values()
        ),
        rejected=tuple(
            RejectedRow(
                row=one.row,
                field=one.field,
                shape=one.shape,
                problem=one.problem,
                remedy=one.remedy,
                whole_row=whole,
            )
            for whole, rejections in ((True, report.rejected_rows), (False, report.rejected_fields))
            for one in rejections
        ),
    )


def _call(record: CallRecord, numbers: dict[str, PhoneNumber], outcome: str | None) -> CallLine:
    number = numbers[record.number_id]
    return CallLine(
        id=record.id,
        case_id=record.case_id,
        number_id=record.number_id,
        e164=number.e164,
        channel=number.channel.value,
        placed_at=record.placed_at,
        trunk=record.trunk,
        sip_status=record.sip_status,
        cause=record.cause or "",
        category=record.category,
        answered=record.answered,
        talk_seconds=record.talk_seconds or 0.0,
        agent=record.agent_id,
        outcome=outcome,
        recording_id=record.recording_id,
    )


async def _recording(centre: Centre, record: CallRecord, folder: Path | None) -> RecordingLine | None:
    try:
        kept = await centre.store.recordings.get(record.recording_id)
    except UnknownRecording:
        return None
    if kept.state not in (RecordingState.SEALED, RecordingState.EMPTY):
        return None
    return RecordingLine(
        id=kept.id,
        call_id=kept.call_id,
        case_id=kept.case_id,
        seconds=kept.seconds or 0.0,
        sha256=kept.sha256 or "",
        gaps=tuple({"channel": gap.channel, "start": gap.start, "seconds": gap.seconds} for gap in kept.gaps),
        classification=str(kept.vitals.get("class", "")),
        path=kept.path or "",
        sound=str(folder / f"{record.id}.flac") if folder is not None else None,
    )


async def _action(centre: Centre, case_id: str, refs: dict[str, str]) -> ActionLine | None:
    action = await centre.store.agenda.live(case_id)
    if action is None:
        return None
    return ActionLine(
        case_id=case_id,
        client_ref=refs[case_id],
        action=action.action,
        earliest=action.earliest,
        latest=action.latest,
        owner=action.owner,
        reason_en=action.reason_en,
        reason_zh=action.reason_zh,
    )
