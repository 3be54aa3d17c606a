"""Every stretch of a channel that no frame fills, with the reason the packets give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recording.sealed import Channel, Gap, GapReason
from recording.tape_reading import Frames, TapeContents
from recording.timeline import SAMPLES_PER_NS, Bools, Placement

_PAUSE_LEAST = 40  # samples beyond the move
_DRIFT_MOST = 800  # a move of 100 ms or more is a pause of the sender, not its clock


def gaps_of(
    channel: Channel,
    frames: Frames,
    audio: Bools,
    placed: Placement,
    tape: TapeContents,
    begin: int,
    end: int,
    origin_ns: int,
    pace: float,
) -> Iterator[Gap]:
    """Gaps in order, in samples from the recording's first. Gaps, frames and nothing else make up the channel."""
    if len(placed.rows) == 0:
        if end > begin:
            yield Gap(channel=channel, start=0, length=end - begin, reason=GapReason.AFTER)
        return
    if placed.position[0] > begin:
        yield Gap(channel=channel, start=0, length=int(placed.position[0]) - begin, reason=GapReason.BEFORE)
    ends = placed.position + placed.length
    holds = _holds(tape, origin_ns, pace) if channel is Channel.CUSTOMER else []
    for at in np.flatnonzero(placed.position[1:] > ends[:-1]) + 1:
        start, stop = int(ends[at - 1]), int(placed.position[at])
        reason = _reason(channel, frames, audio, placed, tape, int(at))
        if reason in (GapReason.PAUSE, GapReason.NEW_STREAM) and any(
            since < stop and start < until for since, until in holds
        ):
            reason = GapReason.HOLD
        yield Gap(channel=channel, start=start - begin, length=stop - start, reason=reason)
    if ends[-1] < end:
        yield Gap(channel=channel, start=int(ends[-1]) - begin, length=end - int(ends[-1]), reason=GapReason.AFTER)


def _reason(
    channel: Channel, frames: Frames, audio: Bools, placed: Placement, tape: TapeContents, at: int
) -> GapReason:
    if placed.stream[at] != placed.stream[at - 1]:
        return GapReason.NEW_STREAM
    missing = int(placed.seq[at] - placed.seq[at - 1]) - 1
    between = _kinds_between(frames, audio, placed, tape, at)
    if channel is Channel.AGENT and frames.marker[placed.rows[at]]:
        # The relay sent its own, untaped silence in between: those numbers are not lost.
        missing = 0
    if missing > len(between):
        return GapReason.LOST
    if "telephone-event" in between:
        return GapReason.DTMF
    if "comfort-noise" in between:
        return GapReason.COMFORT_NOISE
    moved = int(placed.moved[at])
    length = int(placed.position[at] - placed.position[at - 1] - placed.length[at - 1])
    # A clock is set right in a pause too; the gap is a drift's only when there was no other.
    return GapReason.DRIFT if 0 < moved < _DRIFT_MOST and length - moved < _PAUSE_LEAST else GapReason.PAUSE


def _kinds_between(frames: Frames, audio: Bools, placed: Placement, tape: TapeContents, at: int) -> list[str]:
    """Types of the frames that came between two neighbours and are no audio."""
    one, other = sorted((int(placed.rows[at - 1]), int(placed.rows[at])))
    rows = np.arange(one + 1, other)
    rows = rows[(~audio[rows]) & (frames.ssrc[rows] == frames.ssrc[placed.rows[at]])]
    return [tape.types.get(int(kind), "unknown") for kind in frames.payload_type[rows]]


def _holds(tape: TapeContents, origin_ns: int, pace: float) -> list[tuple[int, float]]:
    spans: list[tuple[int, float]] = []
    since: int | None = None
    for when, mark in tape.marks:
        if mark["mark"] != "hold":
            continue
        at = round((when - origin_ns) * SAMPLES_PER_NS * pace)
        if mark.get("on") and since is None:
            since = at
        elif not mark.get("on") and since is not None:
            spans.append((since, at))
            since = None
    if since is not None:
        spans.append((since, float("inf")))
    return spans
