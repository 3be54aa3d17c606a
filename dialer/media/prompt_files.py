"""Prompts as the relay plays them: any mono sound file becomes two raw G.711 files at 8 kHz, made once, off the packet path."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from config.errors import BadInput
from recording.codec import encode
from recording.g711 import Law

_RATE = 8000
_LONGEST_SECONDS = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPrompt:
    """Raw payload bytes at 8 kHz, one file a law."""

    pcma: Path
    pcmu: Path
    seconds: float


class PromptFiles:
    """Keeps the encoded forms in ``directory``, named by the content of the source."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[tuple[Path, int, int], EncodedPrompt] = {}

    def encoded(self, path: Path) -> EncodedPrompt:
        """Encode unless done before. Raises BadInput: not there, not a sound file, not mono, empty, too long."""
        try:
            found = path.stat()
        except OSError:
            raise BadInput("the prompt is not there", field="prompt", remedy="give the path of a sound file") from None
        key = (path, found.st_mtime_ns, found.st_size)
        if (known := self._known.get(key)) is not None:
            return known
        samples = _read(path)
        self._directory.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(samples.tobytes()).hexdigest()[:32]
        made = EncodedPrompt(
            pcma=self._write(name, "PCMA", samples),
            pcmu=self._write(name, "PCMU", samples),
            seconds=len(samples) / _RATE,
        )
        self._known[key] = made
        return made

    def _write(self, name: str, law: Law, samples: np.typing.NDArray[np.int16]) -> Path:
        target = (self._directory / f"{name}.{law.lower()}").absolute()
        if not target.exists():
            draft = target.with_name(f"{target.name}.{os.getpid()}")
            draft.write_bytes(encode(samples, law))
            draft.replace(target)
        return target


def _read(path: Path) -> np.typing.NDArray[np.int16]:
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError:
        raise BadInput("the prompt is no sound file", field="prompt", remedy="give WAV, FLAC, OGG or MP3") from None
    if samples.shape[1] != 1:
        raise BadInput(
            "the prompt is not mono", field="prompt", shape=f"{samples.shape[1]} channels", remedy="mix it down"
        )
    if not 0 < len(samples) <= rate * _LONGEST_SECONDS:
        raise BadInput(
            "the prompt's length does not fit",
            field="prompt",
            shape=f"{len(samples) / rate:.1f} s",
            remedy=f"give more than 0 and at most {_LONGEST_SECONDS} s",
        )
    mono = samples[:, 0]
    if rate != _RATE:
        mono = soxr.resample(mono, rate, _RATE, quality="HQ")
    return np.asarray(np.clip(np.round(mono * 32767), -32768, 32767), dtype=np.int16)
