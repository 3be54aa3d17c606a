"""What a line does to sound: G.711, gain, noise, lost packets, a start in the middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dialer.simulated.sound import make_sound

Pcm = NDArray[np.int16]


def _alaw_table() -> Pcm:
    """ITU-T G.711, expansion of A-law."""
    values = []
    for code in range(256):
        value = code ^ 0x55
        segment, mantissa = (value >> 4) & 7, value & 15
        size = (mantissa << 4) + 8 if segment == 0 else ((mantissa << 4) + 0x108) << (segment - 1)
        values.append(size if value & 0x80 else -size)
    return np.array(values, np.int16)


ALAW = _alaw_table()


def over_the_line(
    pcm: Pcm, *, gain: float = 1.0, loss: float = 0.0, noise: float = 0.0, seed: int = 0, silence_before: float = 0.0
) -> Pcm:
    rng = np.random.default_rng(seed)
    late = np.zeros(int(silence_before * 8000))
    loud = np.concatenate([late, pcm * gain])
    loud = loud + rng.normal(0, noise, len(loud)) if noise else loud
    coded = make_sound("line", np.clip(loud, -32768, 32767).astype(np.int16)).encoded["PCMA"]
    decoded = ALAW[np.frombuffer(coded, np.uint8)].copy()
    for start in range(0, len(decoded), 160):
        if rng.random() < loss:
            decoded[start : start + 160] = 0
    return decoded


def looped(pcm: Pcm, seconds: float, offset: float = 0.0, pause: float = 0.4) -> Pcm:
    once = np.concatenate([pcm, np.zeros(int(pause * 8000), np.int16)])
    times = int((seconds + offset) * 8000 / len(once)) + 2
    return np.tile(once, times)[int(offset * 8000) : int((offset + seconds) * 8000)]
