"""Vitals and peaks say what is on the recording, whatever the size of the blocks they are fed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import BadInput
from recording.peaks import LEVEL_FACTOR, SAMPLES_PER_PEAK, peaks_of, read_header, read_level
from recording.recordings import RecordingClass
from recording.vitals import TalkFact, Vitals, VitalsMeter, find_prompt
from tests.sealing import RATE, speech_like, stereo


def measure(
    sound: npt.NDArray[np.int16],
    talk: TalkFact | None = None,
    prompt: npt.NDArray[np.int16] | None = None,
    block: int = 7_777,
) -> Vitals:
    meter = VitalsMeter(RATE, prompt)
    for at in range(0, len(sound), block):
        meter.add(sound[at : at + block])
    return meter.result(talk)


@pytest.mark.parametrize(
    ("agent", "customer", "expected"),
    [
        (True, True, RecordingClass.TWO_WAY),
        (True, False, RecordingClass.ONE_WAY_AGENT),
        (False, True, RecordingClass.ONE_WAY_CUSTOMER),
        (False, False, RecordingClass.SILENT),
    ],
)
def test_classes(agent: bool, customer: bool, expected: RecordingClass) -> None:
    assert measure(stereo(6, agent, customer)).classification is expected


def test_an_empty_recording_is_classified() -> None:
    vitals = measure(np.empty((0, 2), np.int16))
    assert (vitals.classification, vitals.seconds) == (RecordingClass.EMPTY, 0)


def test_a_line_with_only_noise_is_silent_and_one_word_is_not() -> None:
    noise = np.random.default_rng(1).integers(-40, 40, (RATE * 60, 2)).astype(np.int16)
    assert measure(noise).classification is RecordingClass.SILENT
    noise[RATE * 20 : RATE * 20 + RATE // 2, 1] = speech_like(0.5)
    assert measure(noise).classification is RecordingClass.ONE_WAY_CUSTOMER


def test_shares_silences_and_overlap() -> None:
    sound = np.zeros((RATE * 40, 2), np.int16)
    sound[: RATE * 10, 0] = speech_like(10, 1)
    sound[RATE * 8 : RATE * 20, 1] = speech_like(12, 2)
    vitals = measure(sound)
    assert vitals.agent.speech_share == pytest.approx(0.25, abs=0.03)
    assert vitals.customer.speech_share == pytest.approx(0.30, abs=0.03)
    assert vitals.overlap_share == pytest.approx(0.05, abs=0.02)
    [(start, length)] = vitals.silences
    assert start == pytest.approx(20_000, abs=400)
    assert length == pytest.approx(20_000, abs=400)
    assert vitals.agent.longest_silence_ms == pytest.approx(30_000, abs=400)


def test_level_and_clipping() -> None:
    loud = np.zeros((RATE * 2, 2), np.int16)
    loud[:, 0] = np.where(np.arange(RATE * 2) % 20 < 10, 32_124, -32_124)
    loud[:, 1] = (np.sin(np.arange(RATE * 2) * 0.3) * 3276.8).astype(np.int16)
    vitals = measure(loud)
    assert vitals.agent.clipped_share == 1
    assert vitals.customer.clipped_share == 0
    assert vitals.customer.level_dbfs == pytest.approx(-23.0, abs=0.2)


@pytest.mark.parametrize(("talked", "ok"), [(8.0, True), (8.07, True), (8.2, False), (7.8, False)])
def test_length_against_talk_time_within_a_hundredth(talked: float, ok: bool) -> None:
    assert measure(stereo(10), TalkFact(answered_ms=2000, talk_seconds=talked)).length_ok is ok


def test_the_announcement_is_heard_through_noise_loss_and_delay_and_missed_when_it_is_not_there() -> None:
    prompt = speech_like(4, 9, 9000)
    sound = stereo(30, agent=False)
    sound[RATE * 3 : RATE * 7, 0] = prompt // 2
    sound[:, 0] += np.random.default_rng(2).integers(-150, 150, len(sound)).astype(np.int16)
    sound[RATE * 4 : RATE * 4 + 480, 0] = 0
    vitals = measure(sound, prompt=prompt)
    assert vitals.announcement_heard is True
    assert vitals.announcement_ms == pytest.approx(3000, abs=5)
    assert measure(stereo(30), prompt=prompt).announcement_heard is False
    cut = sound.copy()
    cut[RATE * 5 :, 0] = 0
    assert measure(cut, prompt=prompt).announcement_heard is False
    assert measure(sound).announcement_heard is None
    assert find_prompt(sound[:RATE, 0], prompt, RATE) is None


@settings(max_examples=15, deadline=None)
@given(block=st.integers(1, 20_000))
def test_blocks_of_any_size_give_the_same_vitals_and_peaks(block: int) -> None:
    sound = stereo(1.37)
    assert measure(sound, block=block) == measure(sound)
    cut = [sound[at : at + block] for at in range(0, len(sound), block)]
    assert peaks_of(cut, RATE) == peaks_of([sound], RATE)


def test_facts_hold_integers_only() -> None:
    def leaves(value: object) -> list[object]:
        if isinstance(value, dict):
            return [leaf for one in value.values() for leaf in leaves(one)]
        return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]

    assert not [leaf for leaf in leaves(measure(stereo(5)).as_facts()) if isinstance(leaf, float)]


def test_peaks_enclose_every_sample_at_every_level() -> None:
    sound = np.random.default_rng(5).integers(-32768, 32767, (RATE * 3 + 77, 2)).astype(np.int16)
    sound[:, 1] //= 2000
    data = peaks_of([sound], RATE)
    header = read_header(data[:1024])
    assert (header.rate, header.channels, header.samples) == (RATE, 2, len(sound))
    for number, facts in enumerate(header.levels):
        level, width = read_level(data, number).astype(np.int32), SAMPLES_PER_PEAK * LEVEL_FACTOR**number
        assert facts["samples_per_peak"] == width
        assert len(level) == -(-len(sound) // width)
        for at in range(0, len(level), max(1, len(level) // 20)):
            cell = sound[at * width : (at + 1) * width].astype(np.int32)
            assert (level[at, :, 0] * 256 <= cell.min(axis=0)).all()
            assert (level[at, :, 1] * 258.1 >= cell.max(axis=0)).all()
    with pytest.raises(BadInput):
        read_header(b"RIFF" + data)
