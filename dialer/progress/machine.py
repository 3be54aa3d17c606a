"""Person or machine? Asterisk's ``app_amd`` parameters and defaults, read as evidence rather than as a verdict.

Its defaults, measured over 1,018 clips, call 40% of people machines (every business-style answer; ENGINES.md), and
a person who is taken for a machine is hung up on. So MACHINE needs a sign no person gives: the beep, or a
monologue far longer than a greeting. Everything else is PERSON, or UNSURE where nothing was said; ``app_amd`` keeps
what the original would have said.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dialer.progress.tones import steady_segments

RATE = 8000
_FRAME = 160  # 20 ms, as app_amd sees packets


class WhoAnswered(StrEnum):
    PERSON = "person"
    MACHINE = "machine"
    UNSURE = "unsure"


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineSettings:
    """app_amd's names and defaults, milliseconds, and two of ours."""

    initial_silence: int = 2500
    greeting: int = 1500
    after_greeting_silence: int = 800
    total_analysis_time: int = 5000
    minimum_word_length: int = 100
    maximum_word_length: int = 5000
    between_words_silence: int = 50
    maximum_number_of_words: int = 2
    silence_threshold: int = 256  # mean absolute sample
    sure_monologue: int = 4000  # speech without a pause for an answer that no person's greeting reaches
    beep: int = 180  # a steady tone at least so long, after speech


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineVerdict:
    """``app_amd`` is the original's status and cause, e.g. ``MACHINE-LONGGREETING``."""

    who: WhoAnswered
    evidence: tuple[str, ...]
    app_amd: str


def who_answered(pcm: NDArray[np.int16], settings: MachineSettings | None = None) -> MachineVerdict:
    """``pcm``: 8 kHz samples from the answer on; only their beginning is needed, the beep is looked for in all."""
    figures = settings or MachineSettings()
    voiced = _voiced(pcm, figures.silence_threshold)
    original = _app_amd(voiced, figures)
    evidence: list[str] = []
    beep = _beep_at(pcm, voiced, figures)
    if beep is not None:
        evidence.append(f"beep at {beep:.1f} s")
    monologue = _first_monologue(voiced, figures)
    if monologue >= figures.sure_monologue:
        evidence.append(f"spoke {monologue / 1000:.1f} s without a pause")
    if evidence:
        return MachineVerdict(who=WhoAnswered.MACHINE, evidence=tuple(evidence), app_amd=original)
    if not voiced.any():
        return MachineVerdict(who=WhoAnswered.UNSURE, evidence=("nothing was said",), app_amd=original)
    return MachineVerdict(
        who=WhoAnswered.PERSON, evidence=(f"spoke {monologue / 1000:.1f} s, then paused",), app_amd=original
    )


def _voiced(pcm: NDArray[np.int16], threshold: int) -> NDArray[np.bool_]:
    """One flag a 20 ms frame."""
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.int32)
    voiced: NDArray[np.bool_] = np.abs(frames).mean(axis=1) >= threshold
    return voiced


def _first_monologue(voiced: NDArray[np.bool_], figures: MachineSettings) -> int:
    """Milliseconds from the first word to the first pause of ``after_greeting_silence``."""
    at = np.flatnonzero(voiced)
    if not len(at):
        return 0
    pauses = np.flatnonzero(np.diff(at) * 20 > figures.after_greeting_silence)
    last = at[pauses[0]] if len(pauses) else at[-1]
    return int(last - at[0] + 1) * 20


def _beep_at(pcm: NDArray[np.int16], voiced: NDArray[np.bool_], figures: MachineSettings) -> float | None:
    """Seconds at which a steady tone of one pitch begins, after at least half a second of speech."""
    for segment in steady_segments(pcm):
        hertz, share = segment.peaks[0]
        spoken = int(voiced[: int(segment.start / 0.02)].sum()) * 20
        if segment.seconds * 1000 >= figures.beep and share >= 0.85 and 350 <= hertz <= 2500 and spoken >= 500:
            return segment.start
    return None


def _app_amd(voiced: NDArray[np.bool_], figures: MachineSettings) -> str:
    """The original's state machine over 20 ms frames: the first rule that fires decides."""
    silence = voice = words = elapsed = greeting = 0
    in_word = in_greeting = in_initial_silence = False
    in_initial_silence = True
    for frame in voiced:
        elapsed += 20
        if elapsed >= figures.total_analysis_time:
            return f"NOTSURE-TOOLONG-{elapsed}"
        if not frame:
            silence += 20
            if silence >= figures.between_words_silence:
                in_word, voice = False, 0
            if in_initial_silence and silence >= figures.initial_silence:
                return f"MACHINE-INITIALSILENCE-{silence}"
            if in_greeting and silence >= figures.after_greeting_silence:
                return f"HUMAN-{silence}"
        else:
            silence = 0
            voice += 20
            if voice >= figures.minimum_word_length and not in_word:
                words += 1
                in_word = True
                if words >= figures.maximum_number_of_words + 1:
                    return f"MACHINE-MAXWORDS-{words}"
            if voice >= figures.maximum_word_length:
                return f"MACHINE-MAXWORDLENGTH-{voice}"
            if in_word:
                in_initial_silence, in_greeting = False, True
        if in_greeting:
            greeting += 20
            if frame and greeting >= figures.greeting:
                return f"MACHINE-LONGGREETING-{greeting}"
    return "NOTSURE-HANGUP"
