"""RTP as carriers send it, played by SIPp from captures: what arrived is on the tape, frame by frame, and sealed right."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from case_store.network import HangupCause
from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.events import LegAnswered, LegDtmf, LegFirstAudio
from dialer.media.client import MediaRelay
from dialer.media.words import LegCounters
from recording.codec import decode
from recording.recorder import Recorder
from recording.seal import seal
from recording.sealed import Channel, GapReason, SealedTape
from recording.tape_reading import TapeContents, read_tape
from tests.integration.sip.captures import Capture
from tests.integration.sip.peers import HOST, Office, free_port, office, order, sipp, trunk
from tests.integration.sip.wire import until

CHANCE = random.Random(4733)
Samples = NDArray[np.int16]


@dataclass
class Played:
    """A call to SIPp that is over: what the relay counted and what is on the tape."""

    office: Office
    counters: LegCounters
    tape: TapeContents
    path: Path

    @property
    def frames(self) -> list[bytes]:
        one = self.tape.far
        pairs = zip(one.offset.tolist(), one.length.tolist(), strict=True)
        return [self.tape.data[at : at + size].tobytes() for at, size in pairs]


def words(size: int = 160) -> bytes:
    return CHANCE.randbytes(size)


@contextlib.asynccontextmanager
async def played(
    folder: Path,
    capture: Capture,
    *,
    formats: str = "8 101",
    lines: str = "a=rtpmap:101 telephone-event/8000",
    said_port: str = "[media_port]",
    stranger: bool = False,
    wants: int | None = None,
) -> AsyncIterator[Played]:
    """``wants``: how many packets the relay has to have seen, taken or dropped, before we hang up."""
    far_folder = folder / "far"
    far_folder.mkdir()
    capture.write(far_folder / "sound.pcap")
    relay = MediaRelay(runtime_dir=folder / "run", unflushed_seconds=30.0)
    recorder = Recorder(RecordingSettings(directory=folder / "tapes", low_watermark_bytes=0), SystemClock())
    keys = {"said_port": said_port, "formats": formats, "lines": lines}
    async with sipp("sound", far_folder, **keys) as far, office(trunk(far.port), relay=relay) as ours:
        tape = recorder.arm("call_1")
        leg = await ours.engine.place(replace(order(), tape=tape))
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.heard.wait(LegFirstAudio, leg=leg)
        if stranger:
            port = int(_media_port(far.received("INVITE")[0]))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.0.0.66", 0))
                for number in range(5):
                    other.sendto(bytes((0x80, 8, 0, number)) + b"\0" * 8 + b"intruder" * 20, (HOST, port))
        counters = await relay.counters(leg)
        wanted = wants if wants is not None else len(capture._frames)
        for _ in range(500):
            counters = await relay.counters(leg)
            if counters.received + sum(counters.dropped.values()) - counters.dropped.get("comfort_noise", 0) >= wanted:
                break
            await SystemClock().sleep(0.02)
        await ours.engine.hangup(leg)
        assert (await ours.heard.ended(leg)).cause is HangupCause.NORMAL
        await far.finished()
        yield Played(ours, counters, read_tape(tape.path), tape.path)


def _media_port(invite: str) -> str:
    return invite.partition("m=audio ")[2].split()[0]


def from_the_first_packet(sealed: SealedTape) -> Samples:
    """The customer's channel. A recording begins at the answer, a moment before the customer's first packet or with it."""
    ahead = [gap.length for gap in sealed.gaps if gap.channel is Channel.CUSTOMER and gap.reason is GapReason.BEFORE]
    assert sum(ahead) < 4000
    heard: Samples = soundfile.read(sealed.flac_path, dtype="int16")[0][:, 1]
    return heard[sum(ahead) :]


async def test_loss_reordering_and_duplication(tmp_path: Path) -> None:
    """Each frame that arrived is on the tape as it arrived; the sealed sound is in order, what was lost is silence."""
    capture, said = Capture(), [words() for _ in range(60)]
    packets = Capture()
    made = [packets.sound(one) for one in said]
    sequence = list(range(60))
    sequence[10], sequence[11] = 11, 10
    sequence[30:33] = [32, 30, 31]
    lost = {20, 21, 45}
    for number in sequence:
        if number in lost:
            capture.at += 20
            continue
        capture.raw(made[number], 20)
        if number in (5, 40):
            capture.raw(made[number])
    async with played(tmp_path, capture) as call:
        arrived = [n for n in sequence if n not in lost]
        arrived.insert(arrived.index(5), 5)
        arrived.insert(arrived.index(40), 40)
        assert call.frames == [said[n] for n in arrived]
        sealed = seal(call.path, tmp_path / "sealed")
    heard = from_the_first_packet(sealed)
    silence = np.zeros(160, dtype=np.int16)
    wanted = np.concatenate([silence if n in lost else decode(said[n], "PCMA") for n in range(60)])
    assert np.array_equal(heard[: len(wanted)], wanted)


async def test_another_ssrc(tmp_path: Path) -> None:
    capture = Capture()
    for _ in range(10):
        capture.sound(words())
    capture.ssrc, capture.seq, capture.timestamp = 0x7777, 9, 12345
    for _ in range(10):
        capture.sound(words(), marker=_ == 0)
    async with played(tmp_path, capture) as call:
        assert call.counters.ssrc_changes == 1
        assert call.frames == capture.sent


async def test_another_payload_type_in_the_middle(tmp_path: Path) -> None:
    """A-law, then mu-law without a word of signalling, then A-law again: each decoded by its own law."""
    capture = Capture()
    laws = [8] * 8 + [0] * 8 + [8] * 8
    for law in laws:
        capture.sound(words(), payload_type=law)
    async with played(tmp_path, capture, formats="8 0 101") as call:
        assert call.frames == capture.sent
        sealed = seal(call.path, tmp_path / "sealed")
    heard = from_the_first_packet(sealed)
    names = {8: "PCMA", 0: "PCMU"}
    wanted = np.concatenate([decode(one, names[law]) for one, law in zip(capture.sent, laws, strict=True)])  # type: ignore[arg-type]
    assert np.array_equal(heard[: len(wanted)], wanted)


@pytest.mark.parametrize("law", [8, 0], ids=["PCMA", "PCMU"])
@pytest.mark.parametrize("size", [160, 240], ids=["20 ms", "30 ms"])
async def test_both_laws_and_both_packet_times(tmp_path: Path, law: int, size: int) -> None:
    capture = Capture()
    for _ in range(15):
        capture.sound(words(size), payload_type=law)
    lines = f"a=rtpmap:101 telephone-event/8000\na=ptime:{size // 8}"
    async with played(tmp_path, capture, formats=f"{law} 101", lines=lines) as call:
        (answered,) = call.office.heard.all(LegAnswered)
        assert answered.codec == {8: "PCMA", 0: "PCMU"}[law]
        assert call.frames == capture.sent


async def test_comfort_noise_is_a_pause_and_no_sound(tmp_path: Path) -> None:
    """RFC 3389 packets between two sentences: on the tape, not in anybody's ear, and no gap in the count of packets."""
    capture = Capture()
    for _ in range(8):
        capture.sound(words())
    for _ in range(5):
        capture.raw(packet_of_noise(capture), 20)
    for _ in range(8):
        capture.sound(words(), marker=_ == 0)
    async with played(tmp_path, capture, formats="8 13 101") as call:
        assert call.counters.dropped == {"comfort_noise": 5}
        assert call.counters.lost == 0
        assert [one for one in call.frames if len(one) == 160] == capture.sent


def packet_of_noise(capture: Capture) -> bytes:
    made = Capture(seq=capture.seq, timestamp=capture.timestamp, ssrc=capture.ssrc).sound(b"\x20", payload_type=13)
    capture.seq += 1
    capture.timestamp += 160
    return made


async def test_keys_on_another_payload_type(tmp_path: Path) -> None:
    """RFC 4733 on 96: a key with all its packets, one of which only an end arrived."""
    capture = Capture()
    for _ in range(5):
        capture.sound(words())
    for duration in (160, 320, 480):
        capture.event(5, duration, payload_type=96)
    for _ in range(3):
        capture.event(5, 640, end=True, payload_type=96)
    capture.timestamp += 3200
    capture.event(11, 800, end=True, payload_type=96)
    capture.timestamp += 1600
    for _ in range(5):
        capture.sound(words())
    async with played(tmp_path, capture, formats="8 96", lines="a=rtpmap:96 telephone-event/8000") as call:
        await until(lambda: len(call.office.heard.all(LegDtmf)) == 2)
        assert [(one.digit, one.milliseconds) for one in call.office.heard.all(LegDtmf)] == [("5", 80), ("#", 100)]


async def test_sound_from_a_port_nobody_named_and_from_a_stranger(tmp_path: Path) -> None:
    """The description's host from another port is latched on; another host is dropped and counted."""
    capture = Capture()
    for _ in range(40):
        capture.sound(words())
    said = str(free_port())
    async with played(tmp_path, capture, said_port=said, stranger=True, wants=45) as call:
        assert call.counters.dropped == {"foreign": 5}
        assert call.frames == capture.sent


async def test_what_is_no_sound_at_the_sound_port(tmp_path: Path) -> None:
    """RTCP on the same port, STUN, another version, lengths that lie, a tiny one: dropped by name; padding,
    extensions and contributing sources are read past."""
    capture = Capture()
    for _ in range(5):
        capture.sound(words())
    first = Capture(seq=capture.seq, timestamp=capture.timestamp, ssrc=capture.ssrc).sound(words())
    capture.raw(b"\x80\xc8\0\x06" + b"\0" * 24, 5)
    capture.raw(b"\0\x01\0\0\x21\x12\xa4\x42" + b"\x07" * 12, 5)
    capture.raw(b"\x40" + first[1:], 5)
    capture.raw(b"\xb0" + first[1:20] + b"\0\0\xff\xff" + first[24:], 5)
    capture.raw(b"\xa0" + first[1:-1] + b"\xff", 5)
    capture.raw(b"\x80\x08", 5)
    for dress in ("padding", "extension", "sources"):
        plain = capture.sound(words())
        capture._frames.pop()
        head, body = plain[:12], plain[12:]
        dressed = {
            "padding": b"\xa0" + head[1:] + body + b"\0\0\0\x04",
            "extension": b"\x90" + head[1:] + b"\xbe\xde\0\x01\x10\xff\0\0" + body,
            "sources": b"\x82" + head[1:] + b"\0\0\0\x01\0\0\0\x02" + body,
        }[dress]
        capture.raw(dressed, 20)
    for _ in range(5):
        capture.sound(words())
    async with played(tmp_path, capture) as call:
        assert call.counters.dropped == {"rtcp": 1, "version": 2, "lengths": 2, "short": 1}
        assert call.frames == capture.sent


async def test_our_keys_come_back_from_an_echo(tmp_path: Path) -> None:
    """SIPp sends every packet back: our keys arrive as keys, with their lengths; our silence as frames of 30 ms."""
    relay = MediaRelay(runtime_dir=tmp_path / "run", unflushed_seconds=30.0)
    recorder = Recorder(RecordingSettings(directory=tmp_path / "tapes", low_watermark_bytes=0), SystemClock())
    echo = sipp("echo", tmp_path / "far", options=("-rtp_echo",))
    async with echo as far, office(trunk(far.port, ptime=30), relay=relay) as ours:
        tape = recorder.arm("call_1")
        leg = await ours.engine.place(replace(order(), tape=tape))
        await ours.heard.wait(LegFirstAudio, leg=leg)
        await ours.engine.send_dtmf(leg, "7#A")
        await ours.heard.wait(LegDtmf, leg=leg, digit="A")
        assert [(one.digit, one.milliseconds) for one in ours.heard.all(LegDtmf)] == [
            ("7", 100),
            ("#", 100),
            ("A", 100),
        ]
        await ours.engine.hangup(leg)
        await ours.heard.ended(leg)
        await far.finished()
    far_side = read_tape(tape.path).far
    sizes = {int(size) for size, kind in zip(far_side.length, far_side.payload_type, strict=True) if kind == 8}
    assert sizes == {240}
