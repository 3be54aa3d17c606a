"""``onrecord reconcile``: our signalling × the recordings × the carrier's bill, per call, leg and channel.

| class | what it means | critical |
|---|---|---|
| not_recorded | answered (by our word or the bill's), and there is no recording; or placed hours ago, and no end was ever written | yes |
| partial | the recording is shorter than the talk by more than 1% and half a second | |
| one_way | only one channel carries sound | |
| silent | neither does | |
| recorded_without_call | a recording names a call that signalling does not know | |
| unknown_to_us | on the bill, never placed by us: a call was made outside | yes |
| short | the bill's talk is longer than ours by more than rounding and tolerance | |
| not_billed | answered by our word, inside the bill's hours, and not on the bill | |
| late | the sound begins over a second after the answer, or the seal came later than a minute | |
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from config.settings import BillSettings
from recording.bill import BillRow, billed_at_most, normal_number
from recording.bill_match import BilledCall, as_called, clock_difference, match_bill
from recording.sealed import Channel

LENGTH_TOLERANCE = 0.01
LENGTH_SLACK_SECONDS = 0.5
LATE_SOUND_SECONDS = 1.0
LONGEST_CALL = timedelta(hours=6)  # a call still without an end after it has lost its node
SEAL_GRACE = timedelta(seconds=50)  # a gap is classified within a minute of the call's end
JUDGED_TALK_SECONDS = 2.0  # under it, a channel may well be silent for no fault of the line


class GapClass(StrEnum):
    NOT_RECORDED = "not_recorded"
    PARTIAL = "partial"
    ONE_WAY = "one_way"
    SILENT = "silent"
    RECORDED_WITHOUT_CALL = "recorded_without_call"
    UNKNOWN_TO_US = "unknown_to_us"
    SHORT = "short"
    LATE = "late"
    NOT_BILLED = "not_billed"

    @property
    def is_critical(self) -> bool:
        return self in (GapClass.NOT_RECORDED, GapClass.UNKNOWN_TO_US)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalledCall:
    """A call as signalling knows it. ``callee`` is E.164; ``talk_seconds`` counts from answer to end."""

    call_id: str
    callee: str
    placed_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    talk_seconds: float
    recording_id: str | None
    customer_leg: str | None = None
    agent_leg: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnendedCall:
    """A call placed over ``LONGEST_CALL`` ago whose end nobody wrote: its node died and never came back."""

    call_id: str
    recording_id: str
    node: str
    placed_at: datetime
    answered: bool
    customer_leg: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedFact:
    """A recording as sealing knows it. ``started_at`` is its first sample; ``seconds`` its length."""

    recording_id: str
    call_id: str
    started_at: datetime | None
    seconds: float
    sealed_at: datetime
    agent_sound: bool
    customer_sound: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LineGap:
    """One finding. ``call_id`` is empty for what no call of ours explains; ``detail`` holds figures, no numbers."""

    gap_class: GapClass
    call_id: str | None
    leg: str | None
    channel: Channel | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        return {
            "class": self.gap_class.value,
            "call_id": self.call_id,
            "leg": self.leg,
            "channel": self.channel.value if self.channel else None,
            "detail": self.detail,
        }


@dataclass(kw_only=True)
class ReconcileReport:
    """``clean`` counts calls without a finding. ``hint``: what is wrong with the whole bill rather than with a call."""

    calls: int = 0
    clean: int = 0
    gaps: list[LineGap] = field(default_factory=list)
    billed: int | None = None
    hint: str | None = None

    @property
    def ok(self) -> bool:
        return not self.gaps

    @property
    def critical(self) -> bool:
        return any(gap.gap_class.is_critical for gap in self.gaps)

    def as_json(self) -> dict[str, Any]:
        return {"calls": self.calls, "clean": self.clean, "gaps": [gap.as_json() for gap in self.gaps]}

    def by_class(self) -> dict[str, int]:
        return dict(Counter(gap.gap_class.value for gap in self.gaps))


def reconcile(
    calls: Iterable[SignalledCall],
    recordings: Iterable[RecordedFact],
    bill: Sequence[BillRow] | None,
    settings: BillSettings,
    unended: Iterable[UnendedCall] = (),
) -> ReconcileReport:
    """The three ways at once. ``calls`` should reach a tolerance beyond the bill's days at both ends."""
    ours, lost = list(calls), list(unended)
    by_id = {one.recording_id: one for one in recordings}
    report = ReconcileReport(calls=len(ours) + len(lost))
    report.gaps += [_never_ended(one, by_id.get(one.recording_id)) for one in lost]
    for call in ours:
        report.gaps += classify_call(call, by_id.get(call.recording_id or ""))
    wanted = {call.recording_id: call.call_id for call in ours} | {call.recording_id: call.call_id for call in lost}
    report.gaps += [
        _gap(GapClass.RECORDED_WITHOUT_CALL, one.call_id, f"recording {one.recording_id} names it, signalling does not")
        for one in by_id.values()
        if wanted.get(one.recording_id) != one.call_id
    ]
    if bill is not None:
        _against_bill(ours, by_id, bill, settings, report)
    found = {gap.call_id for gap in report.gaps}
    report.clean = sum(call.call_id not in found for call in ours)
    return report


def classify_call(call: SignalledCall, recording: RecordedFact | None) -> list[LineGap]:
    """What one ended call's own recording shows; needs nothing but the two. Unanswered calls owe no sound."""
    if call.answered_at is None:
        return []
    if recording is None or recording.call_id != call.call_id:
        return [_of(GapClass.NOT_RECORDED, call, f"{call.talk_seconds:.1f} s of talk have no recording")]
    found = [*_lengths(call, recording), *_channels(call, recording)]
    waited = (recording.sealed_at - call.ended_at).total_seconds()
    if waited > SEAL_GRACE.total_seconds() + 10:
        found.append(_of(GapClass.LATE, call, f"sealed {waited:.0f} s after the call's end"))
    return found


class LiveReconciler:
    """The same, as calls end: each is judged when its recording is sealed, or ``SEAL_GRACE`` after its end.

    Work and memory follow the calls that wait, never history. Feed it again after a restart with what is unsettled.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, SignalledCall] = {}
        self._given_up: dict[str, SignalledCall] = {}  # as many as there are open not_recorded gaps
        self._due: list[tuple[datetime, str]] = []

    def ended(self, call: SignalledCall) -> list[LineGap]:
        """A call ended; an unanswered one is settled at once."""
        if call.answered_at is None:
            return []
        self._waiting[call.call_id] = call
        heapq.heappush(self._due, (call.ended_at + SEAL_GRACE, call.call_id))
        return []

    def sealed(self, recording: RecordedFact) -> list[LineGap]:
        """Its recording is there. For a call given up before, this replaces its ``not_recorded``."""
        call = self._waiting.pop(recording.call_id, None) or self._given_up.pop(recording.call_id, None)
        return classify_call(call, recording) if call is not None else []

    def overdue(self, now: datetime) -> list[LineGap]:
        """Calls whose time is up without a recording. Call it every few seconds."""
        found: list[LineGap] = []
        while self._due and self._due[0][0] <= now:
            _, call_id = heapq.heappop(self._due)
            call = self._waiting.pop(call_id, None)
            if call is not None:
                self._given_up[call_id] = call
                found += classify_call(call, None)
        return found

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def next_due(self) -> datetime | None:
        return self._due[0][0] if self._due else None


def _lengths(call: SignalledCall, recording: RecordedFact) -> list[LineGap]:
    if call.answered_at is None:
        return []
    found = []
    head = 0.0
    if recording.started_at is not None:
        late = (recording.started_at - call.answered_at).total_seconds()
        head = max(0.0, -late)
        if late > LATE_SOUND_SECONDS and recording.seconds > 0:
            found.append(_of(GapClass.LATE, call, f"the sound begins {late:.1f} s after the answer"))
    recorded = recording.seconds - head
    missing = call.talk_seconds - recorded
    if missing > max(LENGTH_SLACK_SECONDS, LENGTH_TOLERANCE * call.talk_seconds):
        detail = f"{max(0.0, recorded):.1f} s recorded of {call.talk_seconds:.1f} s of talk"
        found.append(_of(GapClass.PARTIAL, call, detail))
    return found


def _channels(call: SignalledCall, recording: RecordedFact) -> list[LineGap]:
    if call.talk_seconds < JUDGED_TALK_SECONDS or (recording.agent_sound and recording.customer_sound):
        return []
    if not recording.agent_sound and not recording.customer_sound:
        return [_of(GapClass.SILENT, call, "neither channel carries sound")]
    quiet = Channel.CUSTOMER if recording.agent_sound else Channel.AGENT
    leg = call.customer_leg if quiet is Channel.CUSTOMER else call.agent_leg or call.customer_leg
    detail = f"no sound from the {quiet.value} side"
    return [LineGap(gap_class=GapClass.ONE_WAY, call_id=call.call_id, leg=leg, channel=quiet, detail=detail)]


def _against_bill(
    calls: list[SignalledCall],
    recordings: dict[str, RecordedFact],
    bill: Sequence[BillRow],
    settings: BillSettings,
    report: ReconcileReport,
) -> None:
    by_id = {call.call_id: call for call in calls}
    ours = [
        BilledCall(
            call_id=call.call_id,
            callee=normal_number(call.callee, "auto", settings.region),
            starts=tuple(moment for moment in (call.placed_at, call.answered_at) if moment is not None),
            seconds=call.talk_seconds,
        )
        for call in calls
    ]
    bill = as_called(bill, {call.callee for call in ours})
    pairs = match_bill(ours, bill, settings.clock_tolerance_seconds)
    for billed, row in pairs:
        call = by_id[billed.call_id]
        if not row.answered or row.seconds <= billed_at_most(call.talk_seconds, settings):
            continue
        said = f"line {row.line} of the bill has {row.seconds} s, signalling {call.talk_seconds:.1f} s"
        kept = recordings.get(call.recording_id or "")
        unrecorded = call.answered_at is None and (kept is None or kept.call_id != call.call_id)
        report.gaps.append(_of(GapClass.NOT_RECORDED if unrecorded else GapClass.SHORT, call, said))
    known = {row.line for _, row in pairs}
    report.gaps += [
        _gap(
            GapClass.UNKNOWN_TO_US,
            None,
            f"line {row.line} of the bill: {row.seconds} s from {row.starts[0].isoformat()}",
        )
        for row in bill
        if row.line not in known
    ]
    report.billed = len(bill)
    report.gaps += _not_billed(calls, bill, {billed.call_id for billed, _ in pairs}, settings)
    ahead = clock_difference(ours, bill)
    if ahead is not None and abs(ahead) > settings.clock_tolerance_seconds:
        report.hint = (
            f"the bill's times are {ahead:.0f} s from ours almost everywhere: "
            "check bill.timezone, or raise bill.clock_tolerance_seconds"
        )


def _not_billed(
    calls: list[SignalledCall], bill: Sequence[BillRow], matched: set[str], settings: BillSettings
) -> list[LineGap]:
    """Talks that no line of the bill is: only inside the bill's own hours, for the rest it says nothing."""
    if not bill:
        return []
    tolerance = timedelta(seconds=settings.clock_tolerance_seconds)
    first, last = min(row.starts[0] for row in bill) - tolerance, max(row.starts[-1] for row in bill) + tolerance
    return [
        _of(GapClass.NOT_BILLED, call, f"{call.talk_seconds:.1f} s of talk are not on the bill")
        for call in calls
        if call.answered_at is not None
        and first <= call.placed_at <= last
        and call.call_id not in matched
        and call.talk_seconds >= settings.billed_from_seconds
    ]


def _never_ended(call: UnendedCall, recording: RecordedFact | None) -> LineGap:
    """Without a recording its tape, if there is one, lies on that node and nobody has sealed it."""
    state = "answered" if call.answered else "placed"
    detail = f"{state}, placed {call.placed_at.isoformat()}, and never ended: node {call.node} has not come back"
    if recording is not None:
        detail += f"; {recording.seconds:.1f} s are recorded"
    found = GapClass.NOT_RECORDED if recording is None else GapClass.PARTIAL
    return LineGap(gap_class=found, call_id=call.call_id, leg=call.customer_leg, channel=None, detail=detail)


def _of(gap_class: GapClass, call: SignalledCall, detail: str) -> LineGap:
    return LineGap(gap_class=gap_class, call_id=call.call_id, leg=call.customer_leg, channel=None, detail=detail)


def _gap(gap_class: GapClass, call_id: str | None, detail: str) -> LineGap:
    return LineGap(gap_class=gap_class, call_id=call_id, leg=None, channel=None, detail=detail)
