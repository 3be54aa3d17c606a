"""Where each frame lies on the recording's timeline: pure arithmetic on arrays, no I/O.

A stream (one SSRC) keeps its sender's own clock: a frame lies where its RTP timestamp puts it, relative to the
stream's anchor. The anchor is the earliest its frames arrived, by our monotonic clock, so jitter and late packets do
not move sound. Clocks differ, senders pause without counting on, streams restart: then the *floor* of arrival against
timestamp (its least value over the next three seconds) leaves the anchor, and the stream is moved at a frame's
boundary: in a gap when there is one, else by silence put in. Samples are never changed, dropped or overwritten.

A sender faster than our clock would have to lose samples to stay aligned; the whole timeline runs at the fastest
sender's pace instead (``pace``), and the others get a little silence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from recording.tape_reading import Frames, Ints

SAMPLES_PER_NS = 8000 / 1e9
_WINDOW = 150  # frames: 3 s
_MOVE = 80  # samples: 10 ms off the anchor moves a stream anywhere
_MOVE_IN_GAP = 40  # 5 ms where a gap is
_MOVE_AT_END = 480  # 60 ms where fewer than a window's frames follow: before the end, or before a pause
_JUMP = 8000  # a timestamp that runs ahead of arrival by a second is a restart
_MISORDER = 100  # RFC 3550 A.1 MAX_MISORDER
_DROPOUT = 3000  # RFC 3550 A.1 MAX_DROPOUT
_MOST_PUSH = 8000  # a frame is moved by at most a second to make room for another
_LATE = 1600
_PPM_WORTH = 500e-6  # no telephone's crystal is further off

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A run of frames of one SSRC without a restart, by sequence number; ``rows`` index the direction's frames."""

    rows: Ints
    seq: Ints  # unwrapped
    timestamp: Ints  # unwrapped
    duplicates: Ints  # rows left out: the same packet again
    reordered: Ints  # rows that came after a later one


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Audio frames in the order they lie. ``moved``: samples of silence put before the frame by the floor rule."""

    frames: Frames
    rows: Ints
    position: Ints
    length: Ints
    stream: Ints
    seq: Ints
    moved: Ints
    late: Bools
    displaced: Ints  # rows without a place
    displaced_at: Ints


def unwrap(values: Ints, bits: int) -> Ints:
    """Counter values of ``bits`` bits as a continuous number line, by the nearest way from each to the next."""
    if len(values) == 0:
        return values
    half, full = 1 << (bits - 1), 1 << bits
    steps = (np.diff(values) + half) % full - half
    return np.concatenate(([values[0]], values[0] + np.cumsum(steps)))


def streams_of(frames: Frames, data: NDArray[np.uint8]) -> list[Stream]:
    """Split a direction into streams, in order of their first frames."""
    if len(frames.seq) == 0:
        return []
    made = []
    ssrcs, firsts = np.unique(frames.ssrc, return_index=True)
    for ssrc in ssrcs[np.argsort(firsts)]:
        rows = np.flatnonzero(frames.ssrc == ssrc)
        for epoch in np.split(rows, _restarts(frames, rows)):
            made += _by_sequence(frames, epoch, data)
    return sorted(made, key=lambda stream: int(stream.rows.min()))


def _restarts(frames: Frames, rows: Ints) -> Ints:
    """Where the sequence number leaps and then goes on from there: the sender started anew."""
    steps = (np.diff(frames.seq[rows]) + 0x8000) % 0x10000 - 0x8000
    leap = (steps < -_MISORDER) | (steps > _DROPOUT)
    follows = np.concatenate((~leap[1:], [False]))
    # A leap forward may be a long loss: then the timestamp tells the same length.
    ts_steps = (np.diff(frames.timestamp[rows]) + 0x80000000) % 0x100000000 - 0x80000000
    arrived = np.diff(frames.arrival[rows]) * SAMPLES_PER_NS
    honest = (steps > 0) & (np.abs(ts_steps - arrived) < _JUMP)
    return np.flatnonzero(leap & follows & ~honest) + 1


def _by_sequence(frames: Frames, rows: Ints, data: NDArray[np.uint8]) -> list[Stream]:
    seq = unwrap(frames.seq[rows], 16)
    timestamp = unwrap(frames.timestamp[rows], 32)
    highest = np.maximum.accumulate(seq)
    behind = np.concatenate(([False], seq[1:] <= highest[:-1]))
    order = np.lexsort((rows, seq))
    same = np.concatenate(([False], np.diff(seq[order]) == 0))
    duplicate = np.zeros(len(rows), dtype=bool)
    for at in np.flatnonzero(same):
        one, other = order[at - 1], order[at]
        if timestamp[one] == timestamp[other] and _same_payload(frames, rows[one], rows[other], data):
            duplicate[other] = True
            order[at] = one  # a third copy compares with the first
    kept = np.lexsort((rows, seq))
    kept = kept[~duplicate[kept]]
    in_order = kept[~behind[kept]]
    # Only frames that came in order tell a jump of the timestamp; a late one belongs where its number says.
    ran_ahead = np.diff(timestamp[in_order]) - np.diff(frames.arrival[rows[in_order]]) * SAMPLES_PER_NS
    jumps = (ran_ahead > _JUMP) | (np.diff(timestamp[in_order]) < -_JUMP)
    cuts = np.searchsorted(seq[kept], seq[in_order[1:][jumps]])
    parts = [part for part in np.split(kept, cuts) if len(part)]
    duplicates = rows[duplicate]
    reordered = rows[behind & ~duplicate]
    none = rows[:0]
    return [
        Stream(
            rows=rows[part],
            seq=seq[part],
            timestamp=timestamp[part],
            duplicates=duplicates if number == 0 else none,
            reordered=reordered if number == 0 else none,
        )
        for number, part in enumerate(parts)
    ]


def _same_payload(frames: Frames, one: int, other: int, data: NDArray[np.uint8]) -> bool:
    if frames.length[one] != frames.length[other] or frames.payload_type[one] != frames.payload_type[other]:
        return False
    size = int(frames.length[one])
    a, b = int(frames.offset[one]), int(frames.offset[other])
    return bool(np.array_equal(data[a : a + size], data[b : b + size]))


def sender_drift(frames: Frames, stream: Stream) -> float | None:
    """How much faster than ours the sender's clock runs (1e-6 is a ppm); None when under a minute was heard."""
    arrival = frames.arrival[stream.rows] * SAMPLES_PER_NS
    if len(arrival) < 2 or stream.timestamp[-1] - stream.timestamp[0] < 60 * 8000:
        return None
    lag = arrival - stream.timestamp
    block = 500
    whole = len(lag) // block
    if whole < 6:
        return None
    at = arrival[: whole * block].reshape(whole, block)
    least = lag[: whole * block].reshape(whole, block)
    floors = least.min(axis=1)
    times = np.take_along_axis(at, least.argmin(axis=1)[:, None], axis=1)[:, 0]
    steps = np.diff(floors)
    steps = np.where(np.abs(steps) > 160, np.median(steps), steps)  # pauses are no drift
    level = np.concatenate(([0.0], np.cumsum(steps)))
    slope = float(np.polyfit(times - times[0], level, 1)[0])
    return -slope if abs(slope) < _PPM_WORTH else None


def place(frames: Frames, streams: list[Stream], audio: Bools, origin_ns: int, pace: float) -> Placement:
    """Positions, in samples from ``origin_ns``, of every audio frame of a direction."""
    parts = [_anchored(frames, stream, audio, origin_ns, pace) for stream in streams]
    empty = np.empty(0, dtype=np.int64)
    rows = np.concatenate([part[0] for part in parts] + [empty])
    wished = np.concatenate([part[1] for part in parts] + [empty])
    moved = np.concatenate([part[2] for part in parts] + [empty])
    seq = np.concatenate([part[3] for part in parts] + [empty])
    stream = np.concatenate([np.full(len(part[0]), at) for at, part in enumerate(parts)] + [empty])
    order = np.argsort(wished, kind="stable")
    rows, wished, moved, seq, stream = rows[order], wished[order], moved[order], seq[order], stream[order]
    length = frames.length[rows]
    before = np.cumsum(length) - length
    position = np.maximum.accumulate(wished - before) + before if len(rows) else wished
    keep = np.ones(len(rows), dtype=bool)
    if len(rows) and int((position - wished).max()) > _MOST_PUSH:
        position, keep = _place_one_by_one(wished, length)
    arrived = (frames.arrival[rows] - origin_ns) * (SAMPLES_PER_NS * pace)
    return Placement(
        frames=frames,
        rows=rows[keep],
        position=position[keep],
        length=length[keep],
        stream=stream[keep],
        seq=seq[keep],
        moved=moved[keep],
        late=(arrived - position > _LATE)[keep],
        displaced=rows[~keep],
        displaced_at=wished[~keep],
    )


def _place_one_by_one(wished: Ints, length: Ints) -> tuple[Ints, Bools]:
    """Two senders at once on one channel: who finds no room within a second has no place."""
    position, keep = wished.copy(), np.ones(len(wished), dtype=bool)
    end = int(wished[0])
    for at in range(len(wished)):
        here = max(int(wished[at]), end)
        if here - wished[at] > _MOST_PUSH:
            keep[at] = False
        else:
            position[at] = here
            end = here + int(length[at])
    return position, keep


def _anchored(
    frames: Frames, stream: Stream, audio: Bools, origin_ns: int, pace: float
) -> tuple[Ints, Ints, Ints, Ints]:
    """Rows, positions, silence put before each, sequence numbers, of one stream's audio frames."""
    sound = audio[stream.rows]
    rows, seq, timestamp = stream.rows[sound], stream.seq[sound], stream.timestamp[sound]
    count = len(rows)
    moved = np.zeros(count, dtype=np.int64)
    if count == 0:
        return rows, timestamp, moved, seq
    lag = np.round((frames.arrival[rows] - origin_ns) * (SAMPLES_PER_NS * pace)).astype(np.int64) - timestamp
    padded = np.concatenate((lag, np.full(_WINDOW - 1, np.iinfo(np.int64).max)))
    floor = sliding_window_view(padded, _WINDOW).min(axis=1)
    patience = np.full(count, _MOVE)
    patience[max(0, count - _WINDOW + 1) :] = _MOVE_AT_END
    for leap in np.flatnonzero(np.diff(floor) > _MOVE_AT_END) + 1:
        # What lies before a long pause has as few frames to find its floor in as what lies before the end.
        patience[max(0, leap - _WINDOW + 1) : leap] = _MOVE_AT_END
    room = np.concatenate(([0], np.diff(timestamp) - frames.length[rows][:-1]))
    patience_in_gap = np.where(patience == _MOVE, _MOVE_IN_GAP, _MOVE_AT_END)
    shift = np.empty(count, dtype=np.int64)
    now = int(floor[0])
    at = 0
    while at < count:
        turn = _next_move(floor, patience, patience_in_gap, room, now, at)
        shift[at:turn] = now
        if turn < count:
            step = int(floor[turn]) - now
            step = max(step, -int(room[turn])) if step < 0 else step
            moved[turn] = step
            now += step
            shift[turn] = now
        at = turn + 1
    return rows, timestamp + shift, moved, seq


def _next_move(floor: Ints, patience: Ints, in_gap: Ints, room: Ints, now: int, start: int) -> int:
    """The next frame at which the stream must move; ``len(floor)`` when none."""
    piece = 4096
    for begin in range(start, len(floor), piece):
        view = slice(begin, begin + piece)
        off = floor[view] - now
        has_room = room[view] > 0
        must = (off > patience[view]) | (has_room & (np.abs(off) > in_gap[view]))
        if must.any():
            return begin + int(must.argmax())
    return len(floor)
