"""Phones we did not write: baresip and PJSIP, called, bridged, taped; the recording is what they sent, sample by sample."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from case_store.network import HangupCause
from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.call import CallOrder
from dialer.engine import Prompt
from dialer.events import LegAnswered, LegDtmf, LegFirstAudio, PromptFinished
from dialer.media.client import TAP_HEAD, MediaRelay
from recording.codec import decode
from recording.recorder import Recorder
from recording.seal import seal
from recording.sealed import Channel
from recording.tape import Tape
from recording.tape_reading import read_tape
from tests.integration.sip.peers import HOST, Office, _listening, free_port, office, order, trunk

Samples = NDArray[np.int16]
RATE = 8000
PJSIP_PHONE = Path(__file__).parent / "pjsip_phone.py"


def speech_of_levels(path: Path, seed: int, seconds: float = 6.0) -> Samples:
    """Sound made only of levels that A-law holds exactly: any right coder gives these very samples back."""
    everything = np.arange(-32768, 32768, 8, dtype=np.int16)
    levels = path.with_suffix(".levels.wav")
    soundfile.write(levels, everything, RATE, subtype="ALAW")
    exact = np.unique(soundfile.read(levels, dtype="int16")[0])
    quiet = exact[np.abs(exact.astype(np.int32)) < 8000]
    samples: Samples = np.random.default_rng(seed).choice(quiet, int(seconds * RATE)).astype(np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return samples


@contextlib.asynccontextmanager
async def baresip(folder: Path, speak: Path) -> AsyncIterator[int]:
    """Debian's baresip: answers by itself, speaks a wav."""
    folder.mkdir()
    port = free_port()
    modules = "\n".join(f"module {name}.so" for name in ("g711", "aufile"))
    applications = "\n".join(f"module_app {name}.so" for name in ("account", "menu"))
    (folder / "config").write_text(
        f"sip_listen {HOST}:{port}\nmodule_path /usr/lib/baresip/modules\n{modules}\n{applications}\n"
        f"audio_source aufile,{speak}\naudio_player aufile,{folder / 'heard.wav'}\naudio_alert aufile,/dev/null\n"
        f"audio_path /nonexistent\nausrc_srate {RATE}\nauplay_srate {RATE}\nausrc_channels 1\nauplay_channels 1\n"
        "rtp_stats no\nrtcp_mux no\naudio_buffer 20-160\n"
    )
    account = f"<sip:phone@{HOST}:{port}>;regint=0;answermode=auto;audio_codecs=pcma"
    (folder / "accounts").write_text(account + "\n")
    log = (folder / "log").open("w")
    process = await asyncio.create_subprocess_exec(
        "baresip", "-4", "-n", HOST, "-f", str(folder), stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log
    )
    try:
        await _listening(port, process)
        yield port
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        log.close()


@contextlib.asynccontextmanager
async def pjsip(folder: Path, speak: Path) -> AsyncIterator[int]:
    folder.mkdir()
    port = free_port()
    arguments = [str(PJSIP_PHONE), str(port), str(speak), str(folder / "heard.wav")]
    log = (folder / "log").open("w")
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=log, stderr=log)
    try:
        await _listening(port, process)
        yield port
        await asyncio.wait_for(process.wait(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        log.close()


PHONES = {"baresip": baresip, "pjsip": pjsip}


@contextlib.asynccontextmanager
async def real_office(folder: Path, *ports: int) -> AsyncIterator[tuple[Office, Recorder]]:
    relay = MediaRelay(runtime_dir=folder / "relay")
    recorder = Recorder(RecordingSettings(directory=folder / "tapes", low_watermark_bytes=0), SystemClock())
    async with office(*[trunk(port, f"line{port}") for port in ports], relay=relay) as ours:
        yield ours, recorder


def find(wanted: Samples, recorded: Samples) -> tuple[int, int, int]:
    """The longest stretch they share: (where in what was sent, where in the recording, how many samples are the same).

    A phone whose jitter buffer was surprised drops or mends a frame somewhere; what it played of the rest is whole.
    """
    best = 0, 0, 0
    for start in range(0, len(wanted) - 400, 400):
        needle = wanted[start : start + 8].tobytes()
        at = recorded.tobytes().find(needle)
        while at >= 0 and at % 2 == 1:
            at = recorded.tobytes().find(needle, at + 1)
        if at < 0:
            continue
        begin, place = start, at // 2
        back = 0
        while begin > back and place > back and wanted[begin - back - 1] == recorded[place - back - 1]:
            back += 1
        begin, place = begin - back, place - back
        length = min(len(wanted) - begin, len(recorded) - place)
        same = wanted[begin : begin + length] == recorded[place : place + length]
        best = max(best, (begin, place, int(length if same.all() else np.argmin(same))), key=lambda one: one[2])
    return best


@pytest.mark.parametrize(("customer", "agent"), [("baresip", "pjsip"), ("pjsip", "baresip")])
async def test_foreign_phones_are_bridged_and_taped(tmp_path: Path, customer: str, agent: str) -> None:
    said = speech_of_levels(tmp_path / "customer.wav", 1)
    replied = speech_of_levels(tmp_path / "agent.wav", 2)
    async with (
        PHONES[customer](tmp_path / "customer", tmp_path / "customer.wav") as far,
        PHONES[agent](tmp_path / "agent", tmp_path / "agent.wav") as desk,
        real_office(tmp_path, far) as (ours, recorder),
    ):
        desk_leg = await ours.desk(f"sip:phone@{HOST}:{desk}")
        await ours.heard.wait(LegAnswered, leg=desk_leg)
        tape = recorder.arm("call_1")
        leg = await ours.engine.place(_with_tape(tape, far))
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.heard.wait(LegFirstAudio, leg=leg)
        tap = await ours.relay.tap(desk_leg)
        assert tap is not None
        spoken: list[bytes] = []
        listening = asyncio.create_task(_overhear(tap, spoken))  # the kernel keeps ten datagrams of such a socket
        await ours.engine.bridge(leg, desk_leg)
        await asyncio.sleep(2.5)
        await ours.engine.hangup(leg)
        ended = await ours.heard.ended(leg)
        assert (ended.cause, ended.answered) == (HangupCause.NORMAL, True)
        listening.cancel()
        tap.close()
        sealed = seal(tape.path, tmp_path / "sealed")
        await ours.engine.hangup(desk_leg)
        await ours.heard.ended(desk_leg)
    both = soundfile.read(sealed.flac_path, dtype="int16")[0]
    left, right = both[:, 0], both[:, 1]
    begin, _place, same = find(said, right)
    assert begin == 0, "the first sample the customer's phone sent is on the tape"
    assert same >= 2.3 * RATE, f"only {same} samples of the customer are what the phone sent"
    # The agent's side, frame by frame: what the desk's phone sent while it was bridged, all of it, and nothing else.
    near = read_tape(tape.path).near
    data = read_tape(tape.path).data
    taped = [
        data[at : at + size].tobytes() for at, size in zip(near.offset.tolist(), near.length.tolist(), strict=True)
    ]
    assert len(taped) >= 100
    first = spoken.index(taped[0])
    assert spoken[first : first + len(taped)] == taped
    assert first <= 4, "from the moment they were bridged"
    assert len(spoken) - first - len(taped) <= 50, "until the customer's leg was closed"
    # And sample by sample: the file is those frames; where a phone paused (its own clock), silence lies between.
    filled = np.ones(len(left), dtype=bool)
    for gap in sealed.gaps:
        if gap.channel is Channel.AGENT:
            filled[gap.start : gap.start + gap.length] = False
    assert np.array_equal(left[filled], decode(b"".join(taped), "PCMA"))
    _begin, _place, same = find(replied, left[filled])
    assert same >= 2.0 * RATE, f"only {same} samples of the agent are what the phone was given to say"


async def _overhear(tap: socket.socket, heard: list[bytes]) -> None:
    tap.setblocking(False)
    while True:
        heard.append((await asyncio.get_running_loop().sock_recv(tap, 2048))[TAP_HEAD.size :])


async def test_a_prompt_and_digits_to_a_foreign_phone(tmp_path: Path) -> None:
    """The prompt is on the tape as the customer heard it; PJSIP records the same sound."""
    speech_of_levels(tmp_path / "customer.wav", 3)
    prompt = speech_of_levels(tmp_path / "prompt.wav", 4, seconds=1.0)
    async with (
        pjsip(tmp_path / "customer", tmp_path / "customer.wav") as far,
        real_office(tmp_path, far) as (ours, rec),
    ):
        tape = rec.arm("call_1")
        leg = await ours.engine.place(_with_tape(tape, far))
        await ours.heard.wait(LegFirstAudio, leg=leg)
        await ours.engine.play(leg, Prompt(name="greeting", path=tmp_path / "prompt.wav"))
        assert (await ours.heard.wait(PromptFinished, leg=leg)).completed
        await ours.engine.send_dtmf(leg, "12#")
        await asyncio.sleep(0.7)
        await ours.engine.hangup(leg)
        await ours.heard.ended(leg)
        sealed = seal(tape.path, tmp_path / "sealed")
        assert not ours.heard.all(LegDtmf)
    left = soundfile.read(sealed.flac_path, dtype="int16")[0][:, 0]
    _begin, _place, same = find(prompt, left)
    assert same >= 0.95 * RATE
    heard = soundfile.read(tmp_path / "customer" / "heard.wav", dtype="int16")[0]
    _begin, _place, same = find(prompt, heard)
    assert same >= 160, "the phone heard the prompt's very samples"


def _with_tape(tape: Tape, port: int) -> CallOrder:
    return replace(order(f"sip:phone@{HOST}:{port}"), tape=tape)
