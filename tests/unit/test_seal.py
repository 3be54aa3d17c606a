"""The sealed file holds exactly the decoded payloads, each at its time, whatever the network and the clocks did."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recording.codec import decode
from recording.g711 import LAW_OF_TYPE
from recording.seal import seal
from recording.sealed import Channel, Classification, GapReason, SealedTape
from recording.tape_format import HEADER_LENGTH
from tests.rtp_phone import packet
from tests.tape_maker import Sender, write_tape

FLOOR = bytes([0xD5]) * 160  # A-law silence decodes to 8, which no gap has


@dataclass
class Heard:
    sealed: SealedTape
    sound: np.ndarray

    def gaps(self, channel: Channel) -> list[tuple[int, int, GapReason]]:
        return [(gap.start, gap.length, gap.reason) for gap in self.sealed.gaps if gap.channel is channel]

    def audio(self, channel: Channel) -> np.ndarray:
        """The channel without its listed gaps, which must be digital silence."""
        side = self.sound[:, 0 if channel is Channel.AGENT else 1]
        filled = np.ones(len(side), dtype=bool)
        for start, length, _reason in self.gaps(channel):
            assert filled[start : start + length].all(), "gaps overlap"
            filled[start : start + length] = False
        assert not side[~filled].any()
        return side[filled]

    def starts(self, channel: Channel) -> np.ndarray:
        filled = np.ones(len(self.sound), dtype=bool)
        for start, length, _reason in self.gaps(channel):
            filled[start : start + length] = False
        return np.flatnonzero(filled)


def listen(sealed: SealedTape) -> Heard:
    sound, rate = soundfile.read(sealed.flac_path, dtype="int16", always_2d=True)
    assert rate == 8000
    assert len(sound) == sealed.samples
    return Heard(sealed, sound)


def sent(sender: Sender, law_type: int = 8) -> np.ndarray:
    return decode(b"".join(payload for _at, payload in sender.payloads), LAW_OF_TYPE[law_type])


def make(tmp_path: Path, name: str = "call_1", **sides: object) -> Heard:
    tape = write_tape(tmp_path / f"{name}.tape", **sides)  # type: ignore[arg-type]  # passed on as they came
    return listen(seal(tape, tmp_path / "sealed"))


def sender(seed: int = 1, **how: object) -> Sender:
    return Sender(random.Random(seed), **how)  # type: ignore[arg-type]  # passed on as they came


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.floats(0, 0.3), st.floats(0, 0.2), st.floats(0, 80), st.sampled_from([160, 240]))
def test_nothing_is_lost_or_altered(
    tmp_path: Path, seed: int, loss: float, duplicate: float, jitter: float, step: int
) -> None:
    near, far = sender(seed, jitter_ms=jitter, step=step), sender(seed + 1, payload_type=0, jitter_ms=jitter)
    far.ssrc = 7
    for one in (near, far):
        one.talk(120, loss=loss, duplicate=duplicate)
        one.pause(60)
        one.talk(60, loss=loss)
    if not near.payloads or not far.payloads:
        return
    heard = make(tmp_path, near=near, far=far)
    assert np.array_equal(heard.audio(Channel.AGENT), sent(near))
    assert np.array_equal(heard.audio(Channel.CUSTOMER), sent(far, 0))
    for facts, one in zip(heard.sealed.channels, (near, far), strict=True):
        assert facts.duplicates == len(one.arrivals) - len(one.payloads)
        assert facts.displaced == 0
    kinds = [odd.kind for odd in heard.sealed.oddities]
    assert kinds.count("duplicate") == sum(facts.duplicates for facts in heard.sealed.channels)
    assert kinds.count("reordered") == sum(facts.reordered for facts in heard.sealed.channels)


def test_losses_are_gaps_where_the_frames_would_have_been(tmp_path: Path) -> None:
    far = sender()
    far.talk(50)
    far.talk(3, loss=1.0)
    far.talk(50)
    heard = make(tmp_path, far=far)
    assert heard.gaps(Channel.CUSTOMER) == [(8000, 480, GapReason.LOST)]
    assert heard.sealed.channels[1].lost == 3
    assert heard.sealed.classification is Classification.ONE_WAY
    assert heard.gaps(Channel.AGENT) == [(0, 103 * 160, GapReason.AFTER)]


@pytest.mark.parametrize("counts_on", [True, False])
def test_a_pause_is_as_long_as_it_was_whether_or_not_the_sender_counts_on(tmp_path: Path, counts_on: bool) -> None:
    far = sender()
    far.talk(200)
    far.pause(150, counts_on=counts_on)
    far.talk(200)
    heard = make(tmp_path, far=far)
    assert heard.gaps(Channel.CUSTOMER) == [(32000, 24000, GapReason.PAUSE)]
    assert np.array_equal(heard.audio(Channel.CUSTOMER), sent(far))


def test_a_held_line_says_so(tmp_path: Path) -> None:
    far = sender()
    far.talk(100)
    far.pause(100)
    far.talk(100)
    heard = make(tmp_path, far=far, marks=((2.0, "hold", {"on": True}), (4.0, "hold", {"on": False})))
    assert heard.gaps(Channel.CUSTOMER) == [(16000, 16000, GapReason.HOLD)]


def test_a_new_ssrc_begins_where_it_arrived(tmp_path: Path) -> None:
    far = sender()
    far.talk(100)
    far.clock += 0.5
    far.restart()
    far.talk(100)
    far.timestamp += 900_000  # the sender's counter jumps, sequence numbers go on
    far.talk(100)
    heard = make(tmp_path, far=far)
    assert heard.gaps(Channel.CUSTOMER) == [(16000, 4000, GapReason.NEW_STREAM)]
    assert np.array_equal(heard.audio(Channel.CUSTOMER), sent(far))
    assert len(heard.sealed.channels[1].ssrcs) == 2


def test_a_restart_with_the_same_ssrc_loses_nothing(tmp_path: Path) -> None:
    far = sender(seq=1000, timestamp=5_000_000)
    far.talk(100)
    far.seq, far.timestamp = 40_000, 77
    far.talk(100)
    heard = make(tmp_path, far=far)
    assert np.array_equal(heard.audio(Channel.CUSTOMER), sent(far))
    assert heard.gaps(Channel.CUSTOMER) == []


def test_two_payloads_with_one_sequence_number_are_both_kept(tmp_path: Path) -> None:
    far = sender()
    far.talk(10)
    when, raw = far.arrivals[4]
    other = raw[:12] + bytes(range(160))
    far.arrivals.insert(5, (when + 1, other))
    heard = make(tmp_path, far=far)
    audio = heard.audio(Channel.CUSTOMER)
    assert len(audio) == 11 * 160
    assert np.array_equal(audio[5 * 160 : 6 * 160], decode(bytes(range(160)), "PCMA"))


def test_two_senders_at_once_lose_nothing(tmp_path: Path) -> None:
    far, other = sender(1), sender(2, ssrc=99)
    far.talk(300)
    other.talk(300)
    far.arrivals += other.arrivals
    heard = make(tmp_path, far=far)
    displaced = [odd.payload for odd in heard.sealed.oddities if odd.kind == "displaced"]
    assert len(displaced) == heard.sealed.channels[1].displaced > 0
    audio = heard.audio(Channel.CUSTOMER)
    assert len(audio) // 160 + len(displaced) == 600
    kept = {decode(payload, "PCMA").tobytes() for _at, payload in far.payloads + other.payloads}
    assert {audio[at : at + 160].tobytes() for at in range(0, len(audio), 160)} <= kept
    assert heard.sealed.seconds < 8  # the timeline is not stretched to twice its length


def test_digits_and_comfort_noise_are_no_audio(tmp_path: Path) -> None:
    far = sender(payload_type=8)
    far.talk(50)
    for payload_type, payload in ((101, b"\x05\x8a\x03\x20"), (13, b"\x40")):
        raw = packet(far.seq, far.timestamp, far.ssrc, payload, payload_type)
        far.arrivals.append((far.arrivals[-1][0] + 20_000_000, raw))
        far.seq += 1
        far.timestamp += 800
        far.clock += 0.1
        far.talk(50)
    heard = make(tmp_path, far=far, marks=((0.0, "map", {"types": {"8": "PCMA", "101": "telephone-event"}}),))
    assert [gap[2] for gap in heard.gaps(Channel.CUSTOMER)] == [GapReason.DTMF, GapReason.COMFORT_NOISE]
    assert np.array_equal(heard.audio(Channel.CUSTOMER), sent(far))
    assert heard.sealed.channels[1].lost == 0


def test_the_codec_may_change_within_a_stream(tmp_path: Path) -> None:
    far = sender()
    far.talk(50)
    first = sent(far)
    far.payloads.clear()
    far.payload_type = 0
    far.talk(50)
    heard = make(tmp_path, far=far)
    assert np.array_equal(heard.audio(Channel.CUSTOMER), np.concatenate((first, sent(far, 0))))
    assert heard.gaps(Channel.CUSTOMER) == []


def test_sealing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    far = sender(jitter_ms=30)
    far.talk(200, loss=0.1, duplicate=0.1)
    tape = write_tape(tmp_path / "call_1.tape", far=far)
    first = seal(tape, tmp_path / "sealed")
    content = first.flac_path.read_bytes()
    assert seal(tape, tmp_path / "sealed") == first
    assert first.flac_path.read_bytes() == content
    assert [path.name for path in (tmp_path / "sealed").iterdir()] == ["call_1.flac"]


def test_the_first_sample_has_the_wall_time_of_its_arrival(tmp_path: Path) -> None:
    far = sender()
    far.clock = 1.25
    far.talk(10)
    heard = make(tmp_path, far=far)
    assert heard.sealed.started_at.timestamp() == pytest.approx(1_790_000_001.25, abs=0.002)


def test_the_marks_answered_and_ended_bound_the_recording(tmp_path: Path) -> None:
    far = sender()
    far.clock = 2.0
    far.talk(100)
    heard = make(tmp_path, far=far, marks=((1.0, "answered", {}), (7.0, "ended", {})))
    assert heard.sealed.seconds == pytest.approx(6.0, abs=0.001)
    assert [gap[2] for gap in heard.gaps(Channel.CUSTOMER)] == [GapReason.BEFORE, GapReason.AFTER]


@pytest.mark.parametrize("content", ["header", "nothing", "zeros", "rubbish"])
def test_an_empty_tape_is_classified(tmp_path: Path, content: str) -> None:
    tape = write_tape(tmp_path / "call_1.tape")
    data = tape.read_bytes()
    tape.write_bytes(
        {
            "header": data[:HEADER_LENGTH] + bytes(4096),
            "nothing": b"",
            "zeros": bytes(8192),
            "rubbish": random.Random(1).randbytes(5000),
        }[content]
    )
    heard = make_existing(tape)
    assert heard.sealed.classification is Classification.EMPTY
    assert heard.sealed.samples == 1
    assert not heard.sound.any()
    assert not heard.sealed.closed
    assert heard.sealed.call_id == "call_1"
    assert bool(heard.sealed.damage) == (content == "rubbish")


def make_existing(tape: Path) -> Heard:
    return listen(seal(tape, tape.parent / "sealed"))


def test_short_and_silent_calls_are_classified(tmp_path: Path) -> None:
    near, far = sender(1), sender(2)
    near.talk(50)
    far.talk(50)
    assert make(tmp_path, "short", near=near, far=far).sealed.classification is Classification.SHORT
    near, far = sender(1), sender(2)
    near.talk(300, payload=FLOOR)
    far.talk(300, payload=FLOOR)
    assert make(tmp_path, "silent", near=near, far=far).sealed.classification is Classification.SILENT


def test_a_torn_and_damaged_tape_keeps_the_rest(tmp_path: Path) -> None:
    far = sender()
    far.talk(200)
    tape = write_tape(tmp_path / "call_1.tape", far=far, closed=False)
    data = bytearray(tape.read_bytes())
    hit = HEADER_LENGTH + 100 * 192 + 60
    data[hit] ^= 1
    tape.write_bytes(bytes(data[:-50]) + bytes(3000))
    heard = make_existing(tape)
    whole = sent(far)
    assert np.array_equal(heard.audio(Channel.CUSTOMER), np.concatenate((whole[:16000], whole[16160 : 199 * 160])))
    assert len(heard.sealed.damage) == 2
    assert not heard.sealed.closed
    assert heard.sealed.as_dict()["classification"] == "one-way"


def test_the_agents_own_silence_is_not_counted_as_lost(tmp_path: Path) -> None:
    """The relay fills idle time with untaped packets; the next taped one carries a marker."""
    near = sender()
    near.talk(50)
    near.talk(25, loss=1.0)
    when = near.clock
    raw = packet(near.seq, near.timestamp, near.ssrc, FLOOR, 8, marker=True)
    near.talk(1, payload=FLOOR)
    near.arrivals[-1] = (near.arrivals[-1][0], raw)
    heard = make(tmp_path, near=near)
    assert heard.gaps(Channel.AGENT) == [(8000, 4000, GapReason.PAUSE)]
    assert heard.sealed.channels[0].lost == 0
    assert when == pytest.approx(1.5)
