"""A recording's vital signs: is it all there, does each side speak, is it clean, was the announcement heard?

Measured over blocks, so an hour costs no more memory than a minute. A class is a finding for a person to look at;
nothing is ever deleted for its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import webrtcvad

from config.errors import BadInput
from recording.recordings import RecordingClass

FRAME_MS = 20
SOUND_PEAK = 96  # of 32768, about -51 dBFS: below it is a line's own noise, not sound
SOUND_SHARE = 0.002  # a channel with less than 0.2% of frames (and under 200 ms) of sound is called silent
SOUND_FRAMES = 10
CLIP_LEVEL = 32_000  # full scale of mu-law decodes to 32124, of A-law to 32256
SILENCE_SPAN_MS = 3_000  # shorter pauses belong to talking
LENGTH_TOLERANCE = 0.01  # issue 3, point 6
VAD_AGGRESSIVENESS = 2
PROMPT_SEARCH_SECONDS = 90
PROMPT_PIECE_SECONDS = 0.5
PROMPT_MATCH = 0.5  # normalised correlation; chance stays below 0.2, G.711 both ways above 0.9
PROMPT_SHARE = 0.8  # so much of the announcement must be found, in its order, to call it heard

Samples = npt.NDArray[np.int16]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class TalkFact:
    """What signalling says: when the answer came on the tape's own scale, and how long they talked."""

    answered_ms: int | None
    talk_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelVitals:
    """Shares are of the channel's length, 0..1; ``level_dbfs`` is RMS over frames that carry sound."""

    sound_share: float
    speech_share: float
    level_dbfs: float | None
    clipped_share: float
    longest_silence_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """``length_error`` is (recorded - talked) / talked; None where signalling has no talk to compare with."""

    seconds: float
    classification: RecordingClass
    agent: ChannelVitals
    customer: ChannelVitals
    overlap_share: float
    silences: tuple[tuple[int, int], ...]  # (start_ms, length_ms) where neither side speaks
    length_error: float | None
    length_ok: bool | None
    announcement_heard: bool | None  # None: no announcement was due
    announcement_ms: int | None

    def as_facts(self) -> dict[str, Any]:
        """Integers only, for the manifest: shares in per mille, levels in tenths of a decibel."""

        def channel(one: ChannelVitals) -> dict[str, Any]:
            return {
                "sound_per_mille": round(one.sound_share * 1000),
                "speech_per_mille": round(one.speech_share * 1000),
                "level_decidbfs": None if one.level_dbfs is None else round(one.level_dbfs * 10),
                "clipped_per_million": round(one.clipped_share * 1e6),
                "longest_silence_ms": one.longest_silence_ms,
            }

        return {
            "milliseconds": round(self.seconds * 1000),
            "class": self.classification.value,
            "agent": channel(self.agent),
            "customer": channel(self.customer),
            "overlap_per_mille": round(self.overlap_share * 1000),
            "silences_ms": [list(span) for span in self.silences],
            "length_error_per_mille": None if self.length_error is None else round(self.length_error * 1000),
            "length_ok": self.length_ok,
            "announcement_heard": self.announcement_heard,
            "announcement_ms": self.announcement_ms,
        }


class VitalsMeter:
    """Fed ``int16[frames, 2]`` blocks (left agent, right customer) in order; ``result`` at the end."""

    def __init__(self, rate: int, prompt: Samples | None = None) -> None:
        if rate not in (8000, 16000, 32000, 48000):
            raise BadInput("voice activity needs 8, 16, 32 or 48 kHz", field="rate", remedy="resample the recording")
        self._rate, self._frame, self._samples = rate, rate * FRAME_MS // 1000, 0
        self._vads = [webrtcvad.Vad(VAD_AGGRESSIVENESS) for _ in range(2)]
        self._sound: list[list[Flags]] = [[], []]
        self._speech: list[list[Flags]] = [[], []]
        self._energy, self._clipped = np.zeros(2), np.zeros(2, np.int64)
        self._left_over: Samples = np.empty((0, 2), np.int16)
        self._prompt = prompt
        self._opening: list[Samples] = []

    def add(self, block: Samples) -> None:
        if self._prompt is not None and self._samples < PROMPT_SEARCH_SECONDS * self._rate:
            self._opening.append(block[:, 0].copy())
        self._samples += len(block)
        joined = np.concatenate([self._left_over, block]) if len(self._left_over) else block
        whole = len(joined) - len(joined) % self._frame
        self._measure(joined[:whole])
        self._left_over = joined[whole:].copy()

    def result(self, talk: TalkFact | None = None) -> Vitals:
        if len(self._left_over):
            padded = np.zeros((self._frame, 2), np.int16)
            padded[: len(self._left_over)] = self._left_over
            self._measure(padded)
            self._left_over = self._left_over[:0]
        sound = [_joined(parts) for parts in self._sound]
        speech = [_joined(parts) for parts in self._speech]
        frames = max(1, len(sound[0]))
        seconds = self._samples / self._rate
        error = _length_error(seconds, talk)
        heard_at = self._announcement()
        return Vitals(
            seconds=seconds,
            classification=_classify(self._samples, sound),
            agent=self._channel(0, sound[0], speech[0]),
            customer=self._channel(1, sound[1], speech[1]),
            overlap_share=float((speech[0] & speech[1]).sum() / frames),
            silences=tuple(_quiet_spans(~(speech[0] | speech[1]))),
            length_error=error,
            length_ok=None if error is None else abs(error) <= LENGTH_TOLERANCE,
            announcement_heard=None if self._prompt is None else heard_at is not None,
            announcement_ms=heard_at,
        )

    def _measure(self, block: Samples) -> None:
        for channel in range(2):
            cells = np.ascontiguousarray(block[:, channel]).reshape(-1, self._frame)
            if not len(cells):
                continue
            highest, lowest = cells.max(axis=1), cells.min(axis=1)
            sounding: Flags = (highest >= SOUND_PEAK) | (lowest <= -SOUND_PEAK)
            loud: Flags = (highest >= CLIP_LEVEL) | (lowest <= -CLIP_LEVEL)
            self._sound[channel].append(sounding)
            self._speech[channel].append(self._voiced(channel, cells, sounding))
            heard = cells[sounding].astype(np.float64).reshape(-1)
            self._energy[channel] += float(heard @ heard)
            self._clipped[channel] += int((np.abs(cells[loud].astype(np.int32)) >= CLIP_LEVEL).sum())

    def _voiced(self, channel: int, cells: Samples, sounding: Flags) -> Flags:
        # Only frames that carry sound are worth asking about; the detector's noise model learns from those alone.
        vad, rate, voiced = self._vads[channel], self._rate, np.zeros(len(cells), np.bool_)
        for index in np.flatnonzero(sounding):
            voiced[index] = vad.is_speech(cells[index].tobytes(), rate)
        return voiced

    def _channel(self, number: int, sound: Flags, speech: Flags) -> ChannelVitals:
        frames, sounding = max(1, len(sound)), int(sound.sum())
        rms = float(np.sqrt(self._energy[number] / (sounding * self._frame))) if sounding else 0.0
        return ChannelVitals(
            sound_share=sounding / frames,
            speech_share=float(speech.sum() / frames),
            level_dbfs=20 * float(np.log10(rms / 32768)) if rms > 0 else None,
            clipped_share=float(self._clipped[number] / max(1, self._samples)),
            longest_silence_ms=max((length for _, length in _quiet_spans(~speech, 0)), default=0),
        )

    def _announcement(self) -> int | None:
        if self._prompt is None or not self._opening:
            return None
        return find_prompt(np.concatenate(self._opening), self._prompt, self._rate)


def find_prompt(channel: Samples, prompt: Samples, rate: int) -> int | None:
    """Where ``prompt`` is heard in ``channel``, in ms; None when less than ``PROMPT_SHARE`` of it is.

    The prompt is cut in half-second pieces; each is looked for by normalised cross-correlation, and the pieces that
    agree on one start (within 100 ms: jitter and lost packets shift what follows) are counted.
    """
    piece = min(int(rate * PROMPT_PIECE_SECONDS), len(prompt))
    starts = [
        start
        for start in range(0, len(prompt) - piece + 1, max(1, piece))
        if np.abs(prompt[start : start + piece].astype(np.int32)).max(initial=0) > SOUND_PEAK * 4
    ]
    if len(channel) < piece or not starts:
        return None
    search = _Search(channel, piece)
    found = [at - start for start in starts if (at := search.find(prompt[start : start + piece])) is not None]
    if not found:
        return None
    middle = float(np.median(found))
    agreeing = [at for at in found if abs(at - middle) <= rate / 10]
    if len(agreeing) < PROMPT_SHARE * len(starts):
        return None
    return max(0, round(float(np.median(agreeing)) * 1000 / rate))


class _Search:
    """Normalised cross-correlation of one channel with pieces of one length; the channel is transformed once."""

    def __init__(self, channel: Samples, width: int) -> None:
        long = channel.astype(np.float64)
        self._places = len(long) - width + 1
        self._size = 1 << (len(long) + width - 1).bit_length()
        self._spectrum = np.fft.rfft(long, self._size)
        sums = np.concatenate([[0.0], np.cumsum(long)])
        squares = np.concatenate([[0.0], np.cumsum(long**2)])
        variance = squares[width:] - squares[:-width] - (sums[width:] - sums[:-width]) ** 2 / width
        self._scale = np.sqrt(np.maximum(variance, width))

    def find(self, piece: Samples) -> int | None:
        """The best place of ``piece`` where the correlation passes, else None."""
        short = piece.astype(np.float64)
        short -= short.mean()
        products = np.fft.irfft(self._spectrum * np.conj(np.fft.rfft(short, self._size)), self._size)[: self._places]
        score = products / (self._scale * max(1.0, float(np.sqrt((short**2).sum()))))
        best = int(score.argmax())
        return best if score[best] >= PROMPT_MATCH else None


def _classify(samples: int, sound: list[Flags]) -> RecordingClass:
    if samples == 0:
        return RecordingClass.EMPTY
    agent, customer = (int(one.sum()) >= max(SOUND_FRAMES, SOUND_SHARE * len(one)) for one in sound)
    if agent and customer:
        return RecordingClass.TWO_WAY
    if agent:
        return RecordingClass.ONE_WAY_AGENT
    return RecordingClass.ONE_WAY_CUSTOMER if customer else RecordingClass.SILENT


def _length_error(seconds: float, talk: TalkFact | None) -> float | None:
    if talk is None or talk.talk_seconds <= 0:
        return None
    recorded = seconds - (talk.answered_ms or 0) / 1000
    return (recorded - talk.talk_seconds) / talk.talk_seconds


def _quiet_spans(quiet: Flags, at_least_ms: int = SILENCE_SPAN_MS) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [
        (int(start) * FRAME_MS, int(end - start) * FRAME_MS)
        for start, end in zip(starts, ends, strict=True)
        if (end - start) * FRAME_MS >= at_least_ms
    ]


def _joined(parts: list[Flags]) -> Flags:
    return np.concatenate(parts) if parts else np.empty(0, np.bool_)
