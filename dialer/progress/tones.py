"""Call-progress tones in 8 kHz PCM: Chinese 450 Hz, North American, European, British and Japanese cadences, SIT.

Sources: GB 3380 (450 Hz; ringback 1/4 s, busy 0.35/0.35, congestion 0.7/0.7), ITU-T E.180 supplement 2, Telcordia
SR-2275 (special information tones). A tone is found in two steps: frames whose energy sits in one or two narrow
peaks make segments; a segment's exact frequencies and the lengths of segments and gaps are then compared with
the plans. Speech and music have such frames too, but neither the frequencies nor the cadence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

RATE = 8000
_FRAME = 256
_HOP = 80  # 10 ms
_STEP = _HOP / RATE
_MARGIN = 9.0  # Hz either side of a nominal frequency
_QUIET = 60.0  # rms of 16-bit samples under which a frame holds no tone


class ToneKind(StrEnum):
    RINGBACK = "ringback"
    BUSY = "busy"
    CONGESTION = "congestion"
    SIT = "sit"


@dataclass(frozen=True, slots=True)
class Plan:
    """``cadence`` is on, off, on, off … in seconds; ``least`` is how many whole on-times must be heard."""

    kind: ToneKind
    name: str
    frequencies: tuple[float, ...]
    cadence: tuple[float, ...]
    least: int


PLANS: tuple[Plan, ...] = (
    Plan(ToneKind.RINGBACK, "cn", (450,), (1.0, 4.0), 1),
    Plan(ToneKind.BUSY, "cn", (450,), (0.35, 0.35), 3),
    Plan(ToneKind.CONGESTION, "cn", (450,), (0.7, 0.7), 2),
    Plan(ToneKind.RINGBACK, "na", (440, 480), (2.0, 4.0), 1),
    Plan(ToneKind.BUSY, "na", (480, 620), (0.5, 0.5), 3),
    Plan(ToneKind.CONGESTION, "na", (480, 620), (0.25, 0.25), 4),
    Plan(ToneKind.RINGBACK, "eu", (425,), (1.0, 4.0), 1),
    Plan(ToneKind.BUSY, "eu", (425,), (0.48, 0.48), 3),
    Plan(ToneKind.CONGESTION, "eu", (425,), (0.24, 0.24), 4),
    Plan(ToneKind.RINGBACK, "uk", (400, 450), (0.4, 0.2, 0.4, 2.0), 2),
    Plan(ToneKind.BUSY, "uk", (400,), (0.375, 0.375), 3),
    Plan(ToneKind.RINGBACK, "jp", (384, 416), (1.0, 2.0), 1),
    Plan(ToneKind.BUSY, "jp", (400,), (0.5, 0.5), 3),
)
SIT_STEPS: tuple[tuple[float, ...], ...] = ((913.8, 985.2), (1370.6, 1428.5), (1776.7,))


@dataclass(frozen=True, slots=True)
class Tone:
    """``at`` is seconds from the beginning of the sound; ``times`` is how many on-times fitted."""

    kind: ToneKind
    plan: str
    at: float
    times: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of steady sound: start and end in seconds, its peaks as (Hz, share of the segment's energy)."""

    start: float
    end: float
    peaks: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def has(self, frequencies: tuple[float, ...]) -> bool:
        """Whether its energy sits at these frequencies, each of them clearly there."""
        shares = [sum(share for hertz, share in self.peaks if abs(hertz - wanted) <= _MARGIN) for wanted in frequencies]
        return sum(shares) >= 0.6 and min(shares) >= 0.15


def find_tones(pcm: NDArray[np.int16]) -> tuple[Tone, ...]:
    """Every kind of tone heard, earliest first, each once."""
    segments = steady_segments(pcm)
    length = len(pcm) / RATE
    found: dict[tuple[ToneKind, str], Tone] = {}
    sit = _find_sit(segments)
    if sit is not None:
        found[(sit.kind, sit.plan)] = sit
    for plan in PLANS:
        fitting = [segment for segment in segments if segment.has(plan.frequencies)]
        tone = _in_cadence(plan, fitting, length)
        if tone is not None:
            found[(plan.kind, plan.name)] = tone
    return tuple(sorted(found.values(), key=lambda tone: tone.at))


def _close(measured: float, nominal: float) -> bool:
    """Within 15%, or 45 ms for the short ones: a 32 ms window blurs both edges."""
    return abs(measured - nominal) <= max(0.15 * nominal, 0.045)


def _in_cadence(plan: Plan, segments: list[Segment], length: float) -> Tone | None:
    """The longest run of on-times and gaps that follows the plan, whatever part of the cycle came first."""
    best: Tone | None = None
    pairs = len(plan.cadence) // 2
    for begin in range(len(segments)):
        for phase in range(pairs):
            times = 0
            for step, segment in enumerate(segments[begin:]):
                on = plan.cadence[2 * ((phase + step) % pairs)]
                off = plan.cadence[2 * ((phase + step) % pairs) + 1]
                if not _close(segment.seconds, on):
                    break
                times += 1
                following = segments[begin + step + 1] if begin + step + 1 < len(segments) else None
                gap = (following.start if following else length) - segment.end
                if following is None or not _close(gap, off):
                    if plan.least == 1 and times == 1 and gap < min(off * 0.5, off - 0.1):
                        times = 0  # one on-time proves nothing until a good part of its silence was heard
                    break
            if times >= plan.least and (best is None or times > best.times):
                best = Tone(plan.kind, plan.name, segments[begin].start, times)
    return best


def _find_sit(segments: list[Segment]) -> Tone | None:
    """Three rising tones of 0.2 to 0.45 s, hardly a pause between."""
    for first, second, third in zip(segments, segments[1:], segments[2:], strict=False):
        run = (first, second, third)
        if not all(0.2 <= segment.seconds <= 0.45 for segment in run):
            continue
        if second.start - first.end > 0.08 or third.start - second.end > 0.08:
            continue
        if all(any(segment.has((hertz,)) for hertz in wanted) for segment, wanted in zip(run, SIT_STEPS, strict=True)):
            return Tone(ToneKind.SIT, "sit", first.start, 1)
    return None


def steady_segments(pcm: NDArray[np.int16]) -> list[Segment]:
    """Stretches of at least 80 ms whose frames keep the same one or two peaks."""
    if len(pcm) < _FRAME:
        return []
    frames = np.lib.stride_tricks.sliding_window_view(pcm, _FRAME)[::_HOP].astype(np.float32)
    loud = np.sqrt((frames**2).mean(axis=1)) > _QUIET
    power = np.abs(np.fft.rfft(frames * np.hanning(_FRAME).astype(np.float32), axis=1)) ** 2
    total = power.sum(axis=1) + 1e-9
    rows = np.arange(len(power))
    top = power.argmax(axis=1)
    narrow = _around(power, rows, top)
    rest = power.copy()
    for shift in range(-3, 4):
        rest[rows, np.clip(top + shift, 0, power.shape[1] - 1)] = 0
    second = rest.argmax(axis=1)
    both = narrow + _around(rest, rows, second)
    tonal = loud & (both / total > 0.62)
    # dual tones beat: the stronger of the two changes from frame to frame, so compare the middle of the energy
    middle = (power[:, 4:70] * np.arange(4, 70)).sum(axis=1) / (power[:, 4:70].sum(axis=1) + 1e-9)
    segments: list[Segment] = []
    start: int | None = None
    last = -1
    for at in range(len(tonal) + 1):
        here = at < len(tonal) and bool(tonal[at])
        if here and start is not None and abs(middle[at] - np.median(middle[start : last + 1])) > 4:
            segments += _measured(pcm, start, last)
            start = at
        if here:
            start = at if start is None else start
            last = at
        elif start is not None and (at - last > 2 or at == len(tonal)):
            segments += _measured(pcm, start, last)
            start = None
    return segments


def _around(power: NDArray[np.float32], rows: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float32]:
    width = power.shape[1] - 1
    total: NDArray[np.float32] = sum(
        (power[rows, np.clip(at + shift, 0, width)] for shift in (-2, -1, 0, 1, 2)), np.zeros(len(rows), np.float32)
    )
    return total


def _measured(pcm: NDArray[np.int16], first: int, last: int) -> list[Segment]:
    """Frames ``first`` to ``last`` as a segment with its exact peaks; nothing when it is shorter than 80 ms."""
    # a frame counts as tonal once about half of it is tone, so the edges lie in the middle of the outer frames
    start, end = first * _STEP + 0.5 * _FRAME / RATE, last * _STEP + 0.5 * _FRAME / RATE
    if end - start < 0.08:
        return []
    begin = int(start * RATE)
    sound = pcm[begin : max(int(end * RATE), begin + _FRAME)].astype(np.float64)
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 15)) ** 2
    total = power.sum() + 1e-9
    width = max(int(12 / (RATE / (1 << 15))), int(2.2 * (1 << 15) / len(sound)))
    peaks: list[tuple[float, float]] = []
    for _ in range(2):
        top = int(power.argmax())
        low, high = max(top - width, 0), top + width + 1
        peaks.append((top * RATE / (1 << 15), float(power[low:high].sum() / total)))
        power[low:high] = 0
    return [Segment(start, end, tuple(peaks))]
