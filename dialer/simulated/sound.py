"""What can be heard on a simulated line: clips and tones, kept as ready-made G.711 so that a packet costs a slice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from config.errors import BadInput

RATE = 8000
Pcm = NDArray[np.int16]

_DIALER = Path(__file__).parent.parent
_PLACES = (_DIALER / "simulated" / "clips", _DIALER / "progress" / "announcements", _DIALER / "prompts")


class UnknownSound(BadInput):
    """No clip and no tone has this name."""

    error_id = "unknown-sound"


def _alaw(pcm: Pcm) -> NDArray[np.uint8]:
    """ITU-T G.711 A-law, 13-bit input taken from the upper bits."""
    value = pcm.astype(np.int32) >> 3
    sign = np.where(value >= 0, 0x80, 0)
    magnitude = np.clip(np.where(value >= 0, value, -value - 1), 0, 4095)
    segment = np.clip(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0, 7)
    step = np.where(segment <= 1, 1, segment)
    mantissa = (magnitude >> step) & 0x0F
    code: NDArray[np.uint8] = ((sign | (segment << 4) | mantissa) ^ 0x55).astype(np.uint8)
    return code


def _ulaw(pcm: Pcm) -> NDArray[np.uint8]:
    """ITU-T G.711 mu-law: 14-bit input taken from the upper bits, bias 33."""
    value = pcm.astype(np.int32) >> 2
    sign = np.where(value < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(value), 8158) + 33
    segment = np.clip(np.floor(np.log2(magnitude)).astype(np.int32) - 5, 0, 7)
    mantissa = (magnitude >> (segment + 1)) & 0x0F
    code: NDArray[np.uint8] = (~(sign | (segment << 4) | mantissa) & 0xFF).astype(np.uint8)
    return code


ENCODERS = {"PCMA": _alaw, "PCMU": _ulaw}
SILENCE = {"PCMA": b"\xd5", "PCMU": b"\xff"}


@dataclass(frozen=True, slots=True)
class Sound:
    """A named sound: 8 kHz samples and its G.711 encodings. ``loops`` tones go on until something else is played."""

    name: str
    pcm: Pcm
    encoded: dict[str, bytes]
    loops: bool = False

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE


def make_sound(name: str, pcm: Pcm, *, loops: bool = False) -> Sound:
    return Sound(name, pcm, {codec: encode(pcm).tobytes() for codec, encode in ENCODERS.items()}, loops)


def _tone(frequencies: tuple[float, ...], on: float, off: float, level: float = 0.25) -> Pcm:
    at = np.arange(int(on * RATE)) / RATE
    wave = sum((np.sin(2 * np.pi * f * at) for f in frequencies), np.zeros_like(at)) * (level / len(frequencies))
    return np.concatenate([wave * 32767, np.zeros(int(off * RATE))]).astype(np.int16)


def _music() -> Pcm:
    """A plain tune for colour ring-back: harmonies of changing pitch, nothing like a call-progress tone."""
    notes = (523.25, 659.25, 783.99, 659.25, 587.33, 698.46, 880.0, 698.46)
    return np.concatenate([_tone((f, f * 1.5, f * 2.01), 0.28, 0.02, 0.3) for f in notes])


_TONES: dict[str, tuple[bool, Pcm]] = {
    "ringback": (True, _tone((450,), 1.0, 4.0)),
    "busy-tone": (True, _tone((450,), 0.35, 0.35)),
    "congestion-tone": (True, _tone((450,), 0.7, 0.7)),
    "ringback-us": (True, _tone((440, 480), 2.0, 4.0)),
    "busy-tone-us": (True, _tone((480, 620), 0.5, 0.5)),
    "music": (True, _music()),
    "beep": (False, _tone((1000,), 0.45, 0.1, 0.35)),
    "sit": (
        False,
        np.concatenate([_tone((f,), 0.33, 0.0) for f in (985.2, 1428.5, 1776.7)] + [np.zeros(1600, np.int16)]),
    ),
}


@cache
def sound(name: str) -> Sound:
    """A clip or a tone by name. Raises ``UnknownSound``."""
    if name in _TONES:
        loops, pcm = _TONES[name]
        return make_sound(name, pcm, loops=loops)
    for place in _PLACES:
        path = place / f"{name}.flac"
        if path.is_file():
            pcm, rate = soundfile.read(path, dtype="int16")
            if rate != RATE or pcm.ndim != 1:
                raise UnknownSound("a clip is not 8 kHz mono", field="sound", remedy="make it with make_clips.py")
            return make_sound(name, pcm)
    raise UnknownSound(
        "no clip or tone has this name", field="sound", shape=repr(name[:40]), remedy="see dialer/simulated/clips"
    )
