"""What the proof tests share: a room on a temporary disk, a sound, and a seal that reads raw 16-bit stereo."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from config.settings import RecordingSettings, Settings, VaultSettings
from recording.seal_job import SealOrder, SealRoom, open_seal_room
from recording.sealed import RATE, Channel, ChannelFacts, Classification, Gap, GapReason, Mark, Oddity, SealedTape

STARTED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def seal_raw(tape: Path, out: Path) -> SealedTape:
    """A tape of raw samples → FLAC. Deterministic, like the real seal."""
    samples = np.fromfile(tape, np.int16).reshape(-1, 2)
    path = out / "master.flac"
    soundfile.write(path, samples, RATE, format="FLAC", subtype="PCM_16")
    return SealedTape(
        tape_id="tape_1",
        call_id="call_1",
        flac_path=path,
        seconds=len(samples) / RATE,
        samples=len(samples),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        started_at=STARTED,
        classification=Classification.NORMAL,
        closed=True,
        timeline_ppm=0.25,
        channels=(_facts(Channel.AGENT), _facts(Channel.CUSTOMER)),
        gaps=(Gap(channel=Channel.CUSTOMER, start=800, length=320, reason=GapReason.LOST),),
        oddities=(Oddity(channel=Channel.CUSTOMER, kind="late", at=1600, seq=7, payload_type=8),),
        marks=(
            Mark(name="dtmf", at=7200, facts={"digit": "7", "milliseconds": 90}),
            Mark(name="held", at=7600, facts={"on": True}),
        ),
        damage=(),
    )


def _facts(channel: Channel) -> ChannelFacts:
    return ChannelFacts(
        channel=channel,
        frames=50,
        samples=8000,
        lost=2,
        duplicates=0,
        reordered=0,
        late=1,
        displaced=0,
        comfort_noise=0,
        telephone_events=0,
        unknown_type=0,
        ssrcs=(1,),
        codecs=("PCMA",),
        drift_ppm=1.5,
        peak=9000,
    )


def settings_in(folder: Path, **vault: Any) -> Settings:
    return Settings(
        recording=RecordingSettings(directory=folder / "tapes", shelf=folder / "shelf"),
        vault=VaultSettings(
            **{
                "master_key": f"file:{folder}/keys/master.json",
                "signing_key": f"file:{folder}/keys/signing.json",
                "state": folder / "proof",
                "chunk_bytes": 4096,
                **vault,
            }
        ),
    )


def room_in(folder: Path, **vault: Any) -> SealRoom:
    return open_seal_room(settings_in(folder, **vault), seal_raw)


def speech_like(seconds: float, seed: int = 1, level: int = 6000) -> npt.NDArray[np.int16]:
    """A voiced buzz of changing pitch in syllables: webrtcvad calls it speech."""
    at = np.arange(int(seconds * RATE)) / RATE
    rng = np.random.default_rng(seed)
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * at + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(phase * k) / k for k in range(1, 12))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * at)
    noisy = voice * syllables + rng.normal(0, 0.05, len(at))
    return (noisy / np.abs(noisy).max() * level).astype(np.int16)


def stereo(seconds: float, agent: bool = True, customer: bool = True) -> npt.NDArray[np.int16]:
    sound = np.zeros((int(seconds * RATE), 2), np.int16)
    if agent:
        sound[:, 0] = speech_like(seconds, 1)
    if customer:
        sound[:, 1] = speech_like(seconds, 2)
    return sound


def order_for(folder: Path, sound: npt.NDArray[np.int16], recording_id: str = "rec_1", **more: Any) -> SealOrder:
    tapes = folder / "tapes"
    tapes.mkdir(exist_ok=True)
    tape = tapes / f"{recording_id}.tape"
    sound.tofile(tape)
    return SealOrder(
        recording_id=recording_id,
        call_id=more.pop("call_id", recording_id.replace("rec", "call")),
        case_id="case_1",
        tape_path=tape,
        facts={"callee": "+86138****5678", "trunk": "main"},
        **more,
    )
