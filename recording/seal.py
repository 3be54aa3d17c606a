"""Seals a tape: one lossless stereo file (left agent, right customer), its hash, and everything odd about it listed.

Sealing reads the tape only; the same tape always gives the same bytes. It never fails for what a tape holds: an empty,
one-way, torn or damaged tape is classified. It fails, with nothing half-written, when the file cannot be written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from recording.codec import Samples, decode
from recording.g711 import Law
from recording.gaps import gaps_of
from recording.recorder import sync_directory
from recording.sealed import (
    RATE,
    Channel,
    ChannelFacts,
    Classification,
    Gap,
    Mark,
    Oddity,
    SealedTape,
)
from recording.tape_reading import Frames, TapeContents, read_tape
from recording.timeline import SAMPLES_PER_NS, Bools, Placement, Stream, place, sender_drift, streams_of

SHORT_SECONDS = 3.0
SILENCE_PEAK = 128  # of 32768: -48 dBFS
_CHUNK = 60 * RATE


@dataclass(frozen=True, kw_only=True)
class _Side:
    channel: Channel
    frames: Frames
    streams: list[Stream]
    audio: Bools
    drift: float | None


def seal(tape_path: Path, out_dir: Path) -> SealedTape:
    """Seal a finished tape into ``out_dir/<call id>.flac``. Raises OSError when the disk fails."""
    tape = read_tape(tape_path)
    call_id = tape.header.call_id if tape.header else tape_path.stem
    sides = [_side(Channel.AGENT, tape.near, tape), _side(Channel.CUSTOMER, tape.far, tape)]
    pace = 1.0 + _fastest(sides)
    origin = _origin(tape)
    placed = [place(side.frames, side.streams, side.audio, origin, pace) for side in sides]
    begin, end = _span(tape, placed, origin, pace)
    out_dir.mkdir(parents=True, exist_ok=True)
    flac_path = out_dir / f"{call_id}.flac"
    peaks = _write(flac_path, tape, placed, begin, end)
    aside_path = _write_aside(out_dir / f"{call_id}.aside.flac", tape, origin, pace, begin, end)
    facts = [_facts(side, one, peak, tape) for side, one, peak in zip(sides, placed, peaks, strict=True)]
    gaps: list[Gap] = []
    oddities: list[Oddity] = []
    for side, one in zip(sides, placed, strict=True):
        gaps += gaps_of(side.channel, side.frames, side.audio, one, tape, begin, end, origin, pace)
        oddities += _oddities(side, one, tape.data, begin)
    with flac_path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    seconds = (end - begin) / RATE
    return SealedTape(
        tape_id=tape.header.tape_id if tape.header else tape_path.stem,
        call_id=call_id,
        flac_path=flac_path,
        seconds=seconds,
        samples=end - begin,
        sha256=sha256,
        started_at=_started_at(tape, tape_path, origin + round(begin / (SAMPLES_PER_NS * pace))),
        classification=_classify(facts, seconds),
        closed=tape.closed,
        timeline_ppm=round((pace - 1) * 1e6, 2),
        channels=(facts[0], facts[1]),
        gaps=tuple(gaps),
        oddities=tuple(oddities),
        marks=tuple(_marks(tape, origin, pace, begin)),
        damage=tape.damage,
        aside_path=aside_path,
    )


def _side(channel: Channel, frames: Frames, tape: TapeContents) -> _Side:
    streams = streams_of(frames, tape.data)
    laws = [number for number, codec in tape.types.items() if codec in ("PCMA", "PCMU")]
    drifts = [(len(stream.rows), drift) for stream in streams if (drift := sender_drift(frames, stream)) is not None]
    return _Side(
        channel=channel,
        frames=frames,
        streams=streams,
        audio=np.isin(frames.payload_type, laws) & (frames.length > 0),
        drift=max(drifts)[1] if drifts else None,
    )


def _fastest(sides: list[_Side]) -> float:
    """How much faster than our clock the timeline must run: 0 unless a sender would gain 10 ms over the call."""
    fastest = 0.0
    for side in sides:
        if side.drift is None or len(side.frames.arrival) == 0:
            continue
        length_ns = int(side.frames.arrival[-1] - side.frames.arrival[0])
        if side.drift * length_ns > 10_000_000:
            fastest = max(fastest, side.drift)
    return fastest


def _origin(tape: TapeContents) -> int:
    """Some instant near the beginning; positions are shifted to the first sample afterwards."""
    firsts = [int(frames.arrival.min()) for frames in (tape.near, tape.far) if len(frames.arrival)]
    if firsts:
        return min(firsts)
    if tape.header is not None:
        return tape.header.monotonic_ns
    return tape.marks[0][0] if tape.marks else 0


def _span(tape: TapeContents, placed: list[Placement], origin: int, pace: float) -> tuple[int, int]:
    """First and last sample: the frames', widened to the marks ``answered`` and ``ended``."""
    begins = [int(one.position[0]) for one in placed if len(one.rows)]
    ends = [int(one.position[-1] + one.length[-1]) for one in placed if len(one.rows)]
    answered = [_at(when, origin, pace) for when, mark in tape.marks if mark["mark"] == "answered"]
    ended = [_at(when, origin, pace) for when, mark in tape.marks if mark["mark"] == "ended"]
    if not begins and not (answered and ended):
        return 0, 1  # no decoder opens a FLAC file without a sample: an empty recording is one sample of silence
    begin = min(begins + answered[:1])
    return begin, max([*ends, *ended[-1:], begin + 1])


def _at(when: int, origin: int, pace: float) -> int:
    return round((when - origin) * SAMPLES_PER_NS * pace)


def _marks(tape: TapeContents, origin: int, pace: float, begin: int) -> Iterator[Mark]:
    for when, mark in tape.marks:
        facts = {key: value for key, value in mark.items() if key != "mark"}
        yield Mark(name=str(mark["mark"]), at=_at(when, origin, pace) - begin, facts=facts)


def _started_at(tape: TapeContents, path: Path, monotonic_ns: int) -> datetime:
    """Wall time of the first sample; the file's own time when its header is gone."""
    if tape.header is None:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    since_epoch_us = (tape.header.wall_ns + monotonic_ns - tape.header.monotonic_ns) // 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_epoch_us)


# The sound


def _write(flac_path: Path, tape: TapeContents, placed: list[Placement], begin: int, end: int) -> list[int]:
    """The FLAC file, complete under its name or not there; returns both channels' peaks."""
    draft = flac_path.with_name(f".{flac_path.name}.{os.getpid()}")
    peaks = [0, 0]
    try:
        with soundfile.SoundFile(draft, "w", RATE, 2, format="FLAC", subtype="PCM_16") as file:
            renderers = [_render(tape, one, begin, end) for one in placed]
            for left, right in zip(*renderers, strict=True):
                for at, sound in enumerate((left, right)):
                    peaks[at] = max(peaks[at], int(sound.max()), -int(sound.min()))
                file.write(np.column_stack((left, right)))
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(flac_path)
        sync_directory(flac_path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return peaks


def _write_aside(path: Path, tape: TapeContents, origin: int, pace: float, begin: int, end: int) -> Path | None:
    """What desks said beside the customer, in a file of its own: the master holds what the customer heard and said."""
    if not len(tape.aside.arrival):
        return None
    side = _side(Channel.AGENT, tape.aside, tape)
    placed = place(side.frames, side.streams, side.audio, origin, pace)
    last = int(placed.position[-1] + placed.length[-1]) if len(placed.rows) else end
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC", subtype="PCM_16") as file:
        for sound in _render(tape, placed, begin, max(end, last)):
            file.write(sound)
    return path


def _render(tape: TapeContents, placed: Placement, begin: int, end: int) -> Iterator[Samples]:
    """One channel, a minute at a time. Frames do not overlap: ``place`` saw to that."""
    position = placed.position - begin
    longest = int(placed.length.max()) if len(placed.rows) else 0
    carried = np.zeros(longest, dtype=np.int16)
    frames_law = _laws(tape, placed)
    for start in range(0, end - begin, _CHUNK):
        size = min(_CHUNK, end - begin - start)
        sound = np.zeros(max(size + longest, 2 * longest), dtype=np.int16)
        sound[:longest] = carried
        first, last = np.searchsorted(position, (start, start + size))
        _decode_into(sound, tape, placed, slice(int(first), int(last)), position - start, frames_law)
        carried = sound[size : size + longest].copy()
        yield sound[:size]


def _laws(tape: TapeContents, placed: Placement) -> NDArray[np.bool_]:
    """Whether each frame is mu-law."""
    kinds = placed.frames.payload_type[placed.rows]
    return np.isin(kinds, [number for number, codec in tape.types.items() if codec == "PCMU"])


def _decode_into(
    sound: Samples,
    tape: TapeContents,
    placed: Placement,
    view: slice,
    position: NDArray[np.int64],
    is_mu: NDArray[np.bool_],
) -> None:
    offset, length, at, mu = placed.frames.offset[placed.rows[view]], placed.length[view], position[view], is_mu[view]
    laws: tuple[tuple[Law, bool], ...] = (("PCMA", False), ("PCMU", True))
    for size in np.unique(length):
        span = np.arange(size)
        for law, flag in laws:
            chosen = (length == size) & (mu == flag)
            if chosen.any():
                sound[at[chosen][:, None] + span] = decode(tape.data[offset[chosen][:, None] + span], law)


# The facts


def _facts(side: _Side, placed: Placement, peak: int, tape: TapeContents) -> ChannelFacts:
    frames = side.frames
    codec = [tape.types.get(int(kind), "") for kind in frames.payload_type]
    duplicates = {int(row) for stream in side.streams for row in stream.duplicates}
    return ChannelFacts(
        channel=side.channel,
        frames=len(frames.seq),
        samples=int(placed.length.sum()),
        lost=sum(_missing(side, stream) for stream in side.streams),
        duplicates=len(duplicates),
        reordered=sum(len(stream.reordered) for stream in side.streams),
        late=int(placed.late.sum()),
        displaced=len(placed.displaced),
        comfort_noise=codec.count("comfort-noise"),
        telephone_events=codec.count("telephone-event"),
        unknown_type=codec.count(""),
        ssrcs=tuple(dict.fromkeys(int(frames.ssrc[stream.rows[0]]) for stream in side.streams)),
        codecs=tuple(sorted({one for one in codec if one in ("PCMA", "PCMU")})),
        drift_ppm=None if side.drift is None else round(side.drift * 1e6, 1),
        peak=peak,
    )


def _missing(side: _Side, stream: Stream) -> int:
    steps = np.diff(stream.seq) - 1
    if side.channel is Channel.AGENT:
        # A marker after the relay's own, untaped silence: those numbers are not lost.
        steps = steps[side.frames.marker[stream.rows[1:]] == 0]
    return int(steps[steps > 0].sum())


def _oddities(side: _Side, placed: Placement, data: NDArray[np.uint8], begin: int) -> Iterator[Oddity]:
    frames = side.frames
    where = dict(zip(placed.rows.tolist(), placed.position.tolist(), strict=True))

    def odd(kind: str, row: int, at: int, payload: str | None = None) -> Oddity:
        return Oddity(
            channel=side.channel,
            kind=kind,
            at=at - begin,
            seq=int(frames.seq[row]),
            payload_type=int(frames.payload_type[row]),
            payload=payload,
        )

    for stream in side.streams:
        by_seq = dict(zip(stream.seq.tolist(), stream.rows.tolist(), strict=True)) if len(stream.duplicates) else {}
        by_number = {number & 0xFFFF: row for number, row in by_seq.items()}
        for row in stream.duplicates.tolist():
            original = by_number.get(int(frames.seq[row]), -1)
            yield odd("duplicate", row, where.get(original, begin))
        for row in stream.reordered.tolist():
            yield odd("reordered", row, where.get(row, begin))
    for index in np.flatnonzero(placed.late).tolist():
        yield odd("late", int(placed.rows[index]), int(placed.position[index]))
    for row, at in zip(placed.displaced.tolist(), placed.displaced_at.tolist(), strict=True):
        start, size = int(frames.offset[row]), int(frames.length[row])
        yield odd("displaced", row, at, data[start : start + size].tobytes().hex())


def _classify(facts: list[ChannelFacts], seconds: float) -> Classification:
    if all(side.samples == 0 for side in facts):
        return Classification.EMPTY
    if any(side.samples == 0 for side in facts):
        return Classification.ONE_WAY
    if all(side.peak < SILENCE_PEAK for side in facts):
        return Classification.SILENT
    return Classification.SHORT if seconds < SHORT_SECONDS else Classification.NORMAL
