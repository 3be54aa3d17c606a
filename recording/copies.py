"""What is made of a master in one pass over it: peaks, vitals, the hash tree of its sound, the copy people listen to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from recording.peaks import PeakMeter
from recording.recordings import Mask
from recording.sealed import RATE
from recording.sound_tree import SoundTree
from recording.vitals import VitalsMeter

BLOCK_SECONDS = 60
OPUS_LEVEL = 0.95  # of libsndfile's scale: about 40 kbit/s for both channels of a telephone line

Samples = npt.NDArray[np.int16]


def make_copies(
    master: Path | BinaryIO,
    masks: Sequence[Mask],
    *,
    peaks: Path,
    listening: Path | None,
    vitals: VitalsMeter | None = None,
    tree: SoundTree | None = None,
) -> None:
    """Write the peaks, and the listening copy where one is wanted; masked stretches are flat and silent in them.

    ``vitals`` and ``tree`` are fed the master as it is.
    """
    meter = PeakMeter(RATE, 2)
    with soundfile.SoundFile(master) as sound, _listening_file(listening) as copy:
        at = 0
        for block in _blocks(sound):
            quiet = silence_masks(block, at, RATE, masks)
            meter.add(quiet)  # the player draws them
            if vitals is not None:
                vitals.add(block)
            if tree is not None:
                tree.add(block)
            if copy is not None:
                copy.write(quiet)
            at += len(block)
    peaks.write_bytes(meter.as_bytes())


def silence_masks(block: Samples, at: int, rate: int, masks: Sequence[Mask]) -> Samples:
    """``block``, which begins at sample ``at``, with every masked stretch of both channels silent."""
    if not masks:
        return block
    quiet = block.copy()
    for mask in masks:
        start = mask.start_ms * rate // 1000 - at
        end = len(block) if mask.end_ms is None else -(-mask.end_ms * rate // 1000) - at
        quiet[max(0, start) : max(0, end)] = 0
    return quiet


def read_prompt(path: Path | None, rate: int) -> Samples | None:
    """An announcement's first channel at ``rate``."""
    if path is None:
        return None
    samples, own_rate = soundfile.read(path, dtype="int16", always_2d=True)
    first: Samples = samples[:, 0]
    if own_rate == rate:
        return first
    import soxr  # only where a prompt has another rate than the line

    resampled: Samples = soxr.resample(first, own_rate, rate)
    return resampled


def _blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    for block in sound.blocks(blocksize=sound.samplerate * BLOCK_SECONDS, dtype="int16", always_2d=True):
        yield block if block.shape[1] == 2 else np.repeat(block[:, :1], 2, axis=1)


@contextmanager
def _listening_file(path: Path | None) -> Iterator[soundfile.SoundFile | None]:
    if path is None:
        yield None
        return
    with soundfile.SoundFile(
        path, "w", samplerate=RATE, channels=2, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL
    ) as copy:
        yield copy
