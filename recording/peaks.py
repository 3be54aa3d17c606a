"""Stored peaks: what the player draws, so that a browser never decodes an hour of sound.

    magic "ORPEAKS1" | header length (4, big-endian) | header (JSON) | level 0 | level 1 | …

The header is ``{"rate", "channels", "samples", "levels": [{"samples_per_peak", "count", "offset"}]}`` with offsets
from the start of the file. A level is ``int8[count][channels][2]``: minimum and maximum, 1/128 of full scale, rounded
away from zero so that quiet sound is never drawn as none. A player fetches one level, or a range of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from config.errors import BadInput

MAGIC = b"ORPEAKS1"
SAMPLES_PER_PEAK = 160  # 20 ms at 8 kHz: one packet
LEVEL_FACTOR = 4
LEVELS = 6  # the coarsest peak is 20 s at 8 kHz: an hour in 180 peaks

Samples = npt.NDArray[np.int16]
Levels = npt.NDArray[np.int8]


class PeakMeter:
    """Fed blocks of ``int16[frames, channels]`` in order, keeps the finest level; ``as_bytes`` builds the rest."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels, self._samples = rate, channels, 0
        self._left_over: Samples = np.empty((0, channels), np.int16)
        self._finest: list[Levels] = []

    def add(self, block: Samples) -> None:
        self._samples += len(block)
        joined = np.concatenate([self._left_over, block]) if len(self._left_over) else block
        whole = len(joined) - len(joined) % SAMPLES_PER_PEAK
        if whole:
            self._finest.append(_extremes(joined[:whole].reshape(-1, SAMPLES_PER_PEAK, self._channels)))
        self._left_over = joined[whole:].copy()

    def as_bytes(self) -> bytes:
        """The whole file."""
        parts = list(self._finest)
        if len(self._left_over):
            parts.append(_extremes(self._left_over[np.newaxis]))
        level: Levels = np.concatenate(parts) if parts else np.empty((0, self._channels, 2), np.int8)
        levels = [level]
        for _ in range(LEVELS - 1):
            level = _coarser(level)
            levels.append(level)
        return _assemble(self._rate, self._channels, self._samples, levels)


def peaks_of(blocks: Iterable[Samples], rate: int, channels: int = 2) -> bytes:
    """All at once, for callers that need nothing else from the blocks."""
    meter = PeakMeter(rate, channels)
    for block in blocks:
        meter.add(block)
    return meter.as_bytes()


@dataclass(frozen=True, kw_only=True)
class PeaksHeader:
    """What a player needs before it asks for a level."""

    rate: int
    channels: int
    samples: int
    levels: tuple[dict[str, int], ...]
    header_bytes: int


def read_header(start: bytes) -> PeaksHeader:
    """From the first kilobyte of a peaks file. Raises ``BadInput``."""
    end = 12 + int.from_bytes(start[8:12], "big")
    if start[:8] != MAGIC or len(start) < end:
        raise BadInput("this is no peaks file", remedy="make it again with onrecord doctor --peaks")
    raw: dict[str, Any] = json.loads(start[12:end])
    return PeaksHeader(
        rate=raw["rate"],
        channels=raw["channels"],
        samples=raw["samples"],
        levels=tuple(raw["levels"]),
        header_bytes=end,
    )


def read_level(data: bytes, level: int) -> Levels:
    """``int8[count, channels, 2]`` of one level of a whole file."""
    header = read_header(data)
    chosen = header.levels[level]
    width = header.channels * 2
    flat = np.frombuffer(data, np.int8, count=chosen["count"] * width, offset=chosen["offset"])
    return flat.reshape(-1, header.channels, 2)


def _extremes(cells: Samples) -> Levels:
    """``int16[n, samples, channels]`` → ``int8[n, channels, 2]``, outwards."""
    apart = np.ascontiguousarray(cells.transpose(2, 0, 1))  # a channel's samples side by side: ten times as fast
    low = apart.min(axis=2).T.astype(np.int32) // 256
    high = -(-apart.max(axis=2).T.astype(np.int32) // 256)
    return np.stack([low.clip(-128, 0), high.clip(0, 127)], axis=-1).astype(np.int8)


def _coarser(level: Levels) -> Levels:
    short = -len(level) % LEVEL_FACTOR
    if short and len(level):
        level = np.concatenate([level, np.repeat(level[-1:], short, axis=0)])
    cells = level.reshape(-1, LEVEL_FACTOR, *level.shape[1:])
    return np.stack([cells[..., 0].min(axis=1), cells[..., 1].max(axis=1)], axis=-1)


def _assemble(rate: int, channels: int, samples: int, levels: list[Levels]) -> bytes:
    def header(first: int) -> bytes:
        described, offset = [], first
        for number, level in enumerate(levels):
            described.append(
                {
                    "samples_per_peak": SAMPLES_PER_PEAK * LEVEL_FACTOR**number,
                    "count": len(level),
                    "offset": offset,
                }
            )
            offset += level.size
        return json.dumps({"rate": rate, "channels": channels, "samples": samples, "levels": described}).encode()

    room = len(header(10**12)) + 12  # offsets of that width are longer than any real one; the rest is spaces
    body = header(room).ljust(room - 12)
    return MAGIC + len(body).to_bytes(4, "big") + body + b"".join(level.tobytes() for level in levels)
