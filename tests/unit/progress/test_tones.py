"""Tones at several signal-to-noise ratios and phases; nothing in speech, music or noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer.progress.tones import PLANS, Plan, ToneKind, find_tones
from dialer.simulated.sound import sound
from tests.unit.progress.line_noise import Pcm, looped, over_the_line

REPOSITORY = Path(__file__).parents[3]


def toned(plan: Plan, seconds: float, start: float, snr_db: float, seed: int = 0, level: float = 4000) -> Pcm:
    """``start`` is where in its cycle the line opens."""
    at = np.arange(int(seconds * 8000)) / 8000 + start
    phase = at % sum(plan.cadence)
    on = np.zeros(len(at), bool)
    begins = 0.0
    for index, length in enumerate(plan.cadence):
        if index % 2 == 0:
            on |= (phase >= begins) & (phase < begins + length)
        begins += length
    wave = sum((np.sin(2 * np.pi * hertz * at) for hertz in plan.frequencies), np.zeros(len(at)))
    power = level**2 / 2 / len(plan.frequencies)
    noise = np.random.default_rng(seed).normal(0, np.sqrt(power / 10 ** (snr_db / 10)), len(at))
    return over_the_line(np.clip(wave * on * level / len(plan.frequencies) + noise, -32768, 32767).astype(np.int16))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.name}-{plan.kind}")
@pytest.mark.parametrize("snr", [30, 15, 10])
def test_each_tone_is_found_and_no_other(plan: Plan, snr: int) -> None:
    for start in (0.0, 0.13, 0.37, 0.9):
        found = find_tones(toned(plan, max(6.5, 2.2 * sum(plan.cadence)), start, snr))
        assert {tone.kind for tone in found} == {plan.kind}


@given(
    plan=st.sampled_from([plan for plan in PLANS if plan.name == "cn"]),
    start=st.floats(0, 5),
    level=st.floats(400, 15000),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_chinese_tones_at_any_phase_and_level(plan: Plan, start: float, level: float, seed: int) -> None:
    found = find_tones(toned(plan, 11.0, start, 20, seed, level))
    assert {tone.kind for tone in found} == {plan.kind}


def test_special_information_tone() -> None:
    line = over_the_line(np.concatenate([sound("sit").pcm, sound("not-in-service-en").pcm]))
    assert [tone.kind for tone in find_tones(line)] == [ToneKind.SIT]


@pytest.mark.parametrize(
    "path",
    [
        path
        for place in ("simulated/clips", "prompts", "progress/announcements")
        for path in sorted((REPOSITORY / "dialer" / place).glob("*.flac"))
    ],
    ids=lambda path: path.stem,
)
def test_speech_is_no_tone(path: Path) -> None:
    pcm, _ = soundfile.read(path, dtype="int16")
    assert find_tones(looped(pcm, 8.0)) == ()


def test_music_noise_and_silence_are_no_tone() -> None:
    assert find_tones(looped(sound("music").pcm, 15.0, pause=0.0)) == ()
    assert find_tones(np.random.default_rng(3).normal(0, 2000, 80000).astype(np.int16)) == ()
    assert find_tones(np.zeros(80000, np.int16)) == ()
    assert find_tones(np.zeros(10, np.int16)) == ()


def test_one_burst_proves_nothing() -> None:
    """A single beep, or a ring cut off before its silence, is no ringback and no busy tone."""
    plan = next(plan for plan in PLANS if plan.name == "cn" and plan.kind is ToneKind.BUSY)
    assert find_tones(toned(plan, 0.6, 0.0, 30)) == ()
    ringback = next(plan for plan in PLANS if plan.name == "cn" and plan.kind is ToneKind.RINGBACK)
    assert find_tones(toned(ringback, 1.5, 0.0, 30)) == ()
