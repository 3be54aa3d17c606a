"""Recognises spoken network announcements by comparing them with reference recordings.

A fingerprint is the logarithm of the energy in 16 mel bands between 250 and 3400 Hz, every 16 ms. A reference
slides along what was heard; the score is the correlation of the two with each band's mean taken out, so gain,
line equalisation and the codec hardly matter, and 5% of lost packets cost a few hundredths. Announcements share
their first words (对不起，您拨打的…), so a whole match must also hold in its weakest 0.8 s; and lines open in the
middle of one or are cut off before its end, so every reference is also compared in stretches of 1.2 s, but only in
those that no reference of another category resembles.

A site teaches its own carrier's recordings with a directory of sound files and a ``library.json``:
``{"name": "category"}``, categories as in ``ProgressCategory``. It is read by ``read_library``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from case_store.network import ProgressCategory
from config.errors import BadSetting, describe_shape

RATE = 8000
_WINDOW = 256
HOP = 128  # 16 ms
_BANDS = 16
_FLOOR_DB = 45.0  # below the loudest band: silence, lost packets and line noise all look alike
_STRETCH = int(1.2 * RATE / HOP)
_STRETCH_STEP = int(0.2 * RATE / HOP)
_PART = int(0.8 * RATE / HOP)
_PART_ENOUGH = 0.55
_TOO_ALIKE = 0.75  # a stretch that another category's reference also fits so well tells nothing
WHOLE_ENOUGH = 0.60
STRETCH_ENOUGH = 0.80
_LEAD = 0.06  # by which the best must beat the best of another category

Pcm = NDArray[np.int16]
Fingerprint = NDArray[np.float32]

SHIPPED = Path(__file__).parent / "announcements"


class BadLibrary(BadSetting):
    """A site's announcements cannot be read."""

    error_id = "bad-announcement-library"


@dataclass(frozen=True, slots=True)
class AnnouncementHeard:
    """``score`` is a correlation, 1 at best; ``at`` is seconds from the beginning of the sound."""

    name: str
    category: ProgressCategory
    score: float
    at: float


@dataclass(frozen=True, slots=True)
class Match:
    """The best place of one reference in what was heard."""

    name: str
    score: float
    at: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """A recording to compare with: its whole fingerprint and the stretches only it has."""

    name: str
    label: str  # the category, or whatever a caller sorts its references by
    whole: Fingerprint
    stretches: tuple[tuple[float, Fingerprint], ...]  # with how well another label's reference fits each


def fingerprint(pcm: Pcm) -> Fingerprint:
    """8 kHz samples → (frames, bands), decibels above the floor."""
    if len(pcm) < _WINDOW:
        return np.zeros((0, _BANDS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(pcm, _WINDOW)[::HOP].astype(np.float32)
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    energy = 10 * np.log10(power @ _mel_bands() + 1.0)
    peak = np.quantile(energy, 0.98)
    above: Fingerprint = np.maximum(energy - (peak - _FLOOR_DB), 0.0).astype(np.float32)
    return above


@cache
def _mel_bands() -> NDArray[np.float32]:
    def mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(2595 * np.log10(1 + hertz / 700), np.float64)

    lowest, highest = mel(np.array([250.0, 3400.0]))
    edges = np.linspace(lowest, highest, _BANDS + 2, dtype=np.float64)
    at = mel(np.asarray(np.fft.rfftfreq(_WINDOW, 1 / RATE), np.float64))[:, None]
    up = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    bands: NDArray[np.float32] = np.maximum(np.minimum(up, down), 0).astype(np.float32)
    return bands


class Heard:
    """What was heard, prepared so that many references can slide along it cheaply."""

    def __init__(self, print_: Fingerprint) -> None:
        self.frames = len(print_)
        self._print = print_
        self._sums = np.concatenate([np.zeros((1, _BANDS)), np.cumsum(print_, axis=0, dtype=np.float64)])
        self._squares = np.concatenate([[0.0], np.cumsum((print_.astype(np.float64) ** 2).sum(axis=1))])
        self._spectra: dict[int, NDArray[np.complex128]] = {}

    def place(self, reference: Fingerprint) -> tuple[float, int]:
        """The best correlation of ``reference`` and the frame where it begins; (0, 0) when it does not fit in."""
        size = len(reference)
        places = self.frames - size + 1
        if size == 0 or places <= 0:
            return 0.0, 0
        centred = reference - reference.mean(axis=0)
        strength = float(np.sqrt((centred**2).sum()))
        # correlation by FFT: the reference's band means are zero, so the heard sound's means drop out
        length = 1 << (self.frames + size - 1).bit_length()
        if length not in self._spectra:
            self._spectra[length] = np.fft.rfft(self._print, length, axis=0)
        product = self._spectra[length] * np.conj(np.fft.rfft(centred, length, axis=0))
        dot = np.fft.irfft(product.sum(axis=1), length)[:places]
        sums = self._sums[size:] - self._sums[:-size]
        squares = self._squares[size:] - self._squares[:-size]
        spread = np.sqrt(np.maximum(squares - (sums**2).sum(axis=1) / size, 0.0))
        # a nearly silent stretch has no spread to speak of: it must not be divided up to a match
        score = dot / (strength * np.maximum(spread, 0.25 * strength) + 1e-9)
        best = int(score.argmax())
        return float(score[best]), best

    def weakest_part(self, reference: Fingerprint, at: int) -> float:
        """The lowest correlation of any 0.8 s of ``reference``, laid at frame ``at``; pauses do not count."""
        weakest = 1.0
        for begin in range(0, max(len(reference) - _PART, 0) + 1, _PART // 2):
            wanted = reference[begin : begin + _PART]
            got = self._print[at + begin : at + begin + len(wanted)]
            wanted, got = wanted - wanted.mean(axis=0), got - got.mean(axis=0)
            strength = float(np.sqrt((wanted**2).sum()))
            if strength < 4.0 * np.sqrt(wanted.size):
                continue
            spread = max(float(np.sqrt((got**2).sum())), 0.25 * strength)
            weakest = min(weakest, float((wanted * got).sum()) / (strength * spread))
        return weakest


class Library:
    """References that tell each other apart. ``match`` is pure; build once, use for every call."""

    def __init__(self, recordings: Iterable[tuple[str, str, Pcm]]) -> None:
        """``recordings``: (name, label, 8 kHz samples)."""
        prints = [(name, label, _trimmed(fingerprint(pcm))) for name, label, pcm in recordings]
        self.references = tuple(
            Reference(name, label, whole, _own_stretches(label, whole, prints)) for name, label, whole in prints
        )

    def scores(self, pcm: Pcm) -> list[Match]:
        """Every reference's best match, best first; one that was heard whole comes before any that was not."""
        heard = Heard(fingerprint(pcm))
        return sorted((_best_match(reference, heard) for reference in self.references), key=_rank)

    def match(self, pcm: Pcm) -> Match | None:
        """The reference that was heard, or None: weak matches and ties between labels are no match."""
        ranked = self.scores(pcm)
        if not ranked or ranked[0].score < WHOLE_ENOUGH:
            return None
        label = self.label(ranked[0].name)
        rival = next((match for match in ranked if self.label(match.name) != label), None)
        if rival is not None and ranked[0].score - rival.score < _LEAD:
            return None
        return ranked[0]

    def label(self, name: str) -> str:
        return next(reference.label for reference in self.references if reference.name == name)


def _rank(match: Match) -> tuple[bool, float]:
    return not match.whole, -match.score


def _trimmed(print_: Fingerprint) -> Fingerprint:
    """Without the silence before and after."""
    loud = np.flatnonzero(print_.max(axis=1) > 12.0) if len(print_) else np.zeros(0, np.int64)
    return print_[loud[0] : loud[-1] + 1] if len(loud) else print_


def _own_stretches(
    label: str, whole: Fingerprint, prints: Sequence[tuple[str, str, Fingerprint]]
) -> tuple[tuple[float, Fingerprint], ...]:
    # others as they sound on a line: with silence around them, and again from their beginning
    pause = np.zeros((_PART, _BANDS), np.float32)
    others = [
        Heard(np.concatenate([pause, other, pause, other[:_STRETCH]]))
        for _, other_label, other in prints
        if other_label != label
    ]
    own = []
    for begin in range(0, len(whole) - _STRETCH + 1, _STRETCH_STEP):
        stretch = whole[begin : begin + _STRETCH]
        alike = max((heard.place(stretch)[0] for heard in others), default=0.0)
        if stretch.std() > 4.0 and alike < _TOO_ALIKE:
            own.append((alike, stretch))
    return tuple(own)


def _best_match(reference: Reference, heard: Heard) -> Match:
    """The whole reference where it fits, else a stretch of its own.

    A stretch counts for as much as it is better than another label's reference would be in its place, and must be
    surer than a whole one, being short.
    """
    score, at = heard.place(reference.whole)
    if score >= WHOLE_ENOUGH:
        if heard.weakest_part(reference.whole, at) >= _PART_ENOUGH:
            return Match(reference.name, score, at * HOP / RATE, whole=True)
        score = WHOLE_ENOUGH - 0.1  # the same first words, another ending
    for alike, stretch in reference.stretches:
        partial, place = heard.place(stretch)
        weighed = min(partial - (STRETCH_ENOUGH - WHOLE_ENOUGH), (partial - alike) / (1 - alike))
        if weighed > score:
            score, at = weighed, place
    return Match(reference.name, score, at * HOP / RATE, whole=False)


class AnnouncementLibrary:
    """Announcements by category."""

    def __init__(self, recordings: Iterable[tuple[str, ProgressCategory, Pcm]]) -> None:
        self._library = Library([(name, category.value, pcm) for name, category, pcm in recordings])

    def recognise(self, pcm: Pcm) -> AnnouncementHeard | None:
        """The announcement in this sound, wherever it begins and however often it is repeated."""
        match = self._library.match(pcm)
        if match is None:
            return None
        category = ProgressCategory(self._library.label(match.name))
        return AnnouncementHeard(match.name, category, round(match.score, 3), round(match.at, 2))


class AnnouncementListener:
    """The same while the call is up: ``feed`` samples as they come, ask ``heard``; compares once a second of sound."""

    def __init__(self, library: AnnouncementLibrary, keep_seconds: float = 15.0) -> None:
        self._library = library
        self._keep = int(keep_seconds * RATE)
        self._sound: Pcm = np.zeros(0, np.int16)
        self._dropped = 0
        self._fresh = 0
        self.heard: AnnouncementHeard | None = None

    def feed(self, pcm: Pcm) -> AnnouncementHeard | None:
        if self.heard is not None:
            return self.heard
        self._sound = np.concatenate([self._sound, pcm])
        self._fresh += len(pcm)
        if len(self._sound) > self._keep:
            self._dropped += len(self._sound) - self._keep
            self._sound = self._sound[-self._keep :]
        if self._fresh >= RATE:
            self._fresh = 0
            found = self._library.recognise(self._sound)
            if found is not None:
                at = round(found.at + self._dropped / RATE, 2)
                self.heard = AnnouncementHeard(found.name, found.category, found.score, at)
        return self.heard


def read_library(site_directory: Path | None = None) -> AnnouncementLibrary:
    """The shipped announcements and a site's own, which win by name. Raises ``BadLibrary``."""
    recordings = dict(_read_directory(SHIPPED))
    if site_directory is not None:
        recordings |= _read_directory(site_directory)
    return AnnouncementLibrary([(name, category, pcm) for name, (category, pcm) in recordings.items()])


def _read_directory(directory: Path) -> dict[str, tuple[ProgressCategory, Pcm]]:
    index = directory / "library.json"
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadLibrary(
            f"library.json cannot be read: {type(error).__name__}",
            field="progress.announcements",
            remedy='write {"name": "category"} beside the recordings',
        ) from None
    if not isinstance(entries, dict):
        raise BadLibrary("not an object", field="library.json", shape=describe_shape(entries), remedy="name → category")
    return {name: (_category(name, value), _read_recording(directory, name)) for name, value in entries.items()}


def _category(name: str, value: object) -> ProgressCategory:
    try:
        return ProgressCategory(str(value))
    except ValueError:
        raise BadLibrary(
            "no such category",
            field=f"library.json: {name}",
            shape=describe_shape(value),
            remedy=", ".join(ProgressCategory),
        ) from None


def _read_recording(directory: Path, name: str) -> Pcm:
    """``name.flac`` or ``name.wav``, 8 kHz mono."""
    path = next((path for path in (directory / f"{name}.flac", directory / f"{name}.wav") if path.is_file()), None)
    if path is None or Path(name).name != name:
        raise BadLibrary("no recording", field=f"library.json: {name}", remedy="put name.flac or name.wav beside it")
    try:
        pcm, rate = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError:
        raise BadLibrary("not a sound file", field=f"library.json: {name}", remedy="give FLAC or WAV") from None
    if rate != RATE or pcm.ndim != 1:
        raise BadLibrary(
            f"{rate} Hz, {1 if pcm.ndim == 1 else pcm.shape[1]} channels",
            field=f"library.json: {name}",
            remedy="convert it: sox in.wav -r 8000 -c 1 out.wav",
        )
    return np.asarray(pcm, np.int16)
