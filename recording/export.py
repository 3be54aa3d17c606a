"""Exports: a recording, or a stretch of it, as a file for people; with its provenance inside and beside it.

An export is a copy for listening; evidence is the pack (``evidence``), which carries the master itself.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from pydub import AudioSegment
from pydub.effects import compress_dynamic_range

from config.canonical import canonical_json, sha256_hex
from config.errors import BadInput, describe_shape
from recording.copies import silence_masks
from recording.recordings import Mask, Recording

TARGET_DBFS = -20.0
PEAK_DBFS = -1.0
_FIELDS = ("call_id", "case_id", "recording_id", "date", "time", "from_ms", "to_ms", "channels", "format")
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")

Samples = npt.NDArray[np.int16]


class ExportFormat(StrEnum):
    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"


class ExportChannels(StrEnum):
    STEREO = "stereo"
    MIX = "mix"
    AGENT = "agent"
    CUSTOMER = "customer"


_CONTAINERS = {
    ExportFormat.WAV: ("WAV", "PCM_16"),
    ExportFormat.FLAC: ("FLAC", "PCM_16"),
    ExportFormat.MP3: ("MP3", "MPEG_LAYER_III"),
    ExportFormat.OPUS: ("OGG", "OPUS"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOrder:
    """What is wanted. ``to_ms`` None: to the end. Masked stretches are silent: the master is for evidence alone."""

    actor: str
    reason: str
    format: ExportFormat = ExportFormat.WAV
    channels: ExportChannels = ExportChannels.STEREO
    from_ms: int = 0
    to_ms: int | None = None
    normalise: bool = False
    template: str = "{date}_{time}_{call_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """A file and where it came from. ``provenance`` also stands beside it as ``<name>.json``."""

    name: str
    data: bytes
    sha256: str
    provenance: Mapping[str, Any] = field(default_factory=dict)


def render(master: bytes, recording: Recording, order: ExportOrder, now: datetime) -> Export:
    """The file in memory, so that it can be audited by its hash before it is given out. ``master``: the plain FLAC.

    Raises ``BadInput`` for a stretch outside the recording, a template or a reason that cannot be.
    """
    if not order.reason.strip():
        raise BadInput("an export needs a reason", field="reason", remedy="say what it is for: it is audited")
    if sha256_hex(master) != recording.sha256:
        raise BadInput("these bytes are not this recording", field="master", remedy="run onrecord verify")
    name = file_name(order, recording)
    samples, rate = soundfile.read(io.BytesIO(master), dtype="int16", always_2d=True)
    clip = _prepared(samples, rate, recording.masks, order)
    provenance = _provenance(recording, order, now)
    data = _encoded(clip, rate, order, provenance)
    provenance["sha256"] = sha256_hex(data)
    return Export(name=name, data=data, sha256=provenance["sha256"], provenance=provenance)


def write_export(made: Export, folder: Path) -> Path:
    """The file and its sidecar, each whole or not there. The same clip again takes its own place.

    Raises ``BadInput``: the folder takes no file, or another file has this name, which is never written over.
    """
    path, sidecar = folder / made.name, folder / f"{made.name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and _clip_of(sidecar) != _clip(made.provenance):
            raise BadInput(
                "another file has this name already",
                field="template",
                remedy="put {recording_id}, {from_ms}, {to_ms} or {channels} in the template, or choose another folder",
            )
        for target, content in ((sidecar, canonical_json(made.provenance) + b"\n"), (path, made.data)):
            draft = target.with_name(f".{target.name}.new")
            draft.write_bytes(content)
            draft.replace(target)
    except OSError as error:
        raise cannot_write(error) from error
    return path


def _clip(provenance: Mapping[str, Any]) -> tuple[Any, ...]:
    """Which stretch of which recording, and how it was made."""
    names = ("recording_id", "master_sha256", "from_ms", "to_ms", "channels", "normalised")
    return tuple(provenance.get(name) for name in names)


def _clip_of(sidecar: Path) -> tuple[Any, ...] | None:
    try:
        return _clip(json.loads(sidecar.read_bytes()))
    except (OSError, ValueError, AttributeError):
        return None


def cannot_write(error: OSError) -> BadInput:
    """What a command says of a place that takes no file."""
    return BadInput(
        f"nothing can be written there: {error.strerror}", field="out", remedy="name a place this user may write to"
    )


def file_name(order: ExportOrder, recording: Recording) -> str:
    """The template filled in: ids, times and figures only; other characters become dashes. Raises ``BadInput``."""
    begun = recording.started_at.astimezone(UTC)
    values = {
        "call_id": recording.call_id,
        "case_id": recording.case_id,
        "recording_id": recording.id,
        "date": begun.strftime("%Y%m%d"),
        "time": begun.strftime("%H%M%SZ"),
        "from_ms": str(order.from_ms),
        "to_ms": "end" if order.to_ms is None else str(order.to_ms),
        "channels": order.channels.value,
        "format": order.format.value,
    }
    try:
        wanted = [name for _, name, _, _ in Formatter().parse(order.template) if name is not None]
    except ValueError:
        wanted = [""]
    if not order.template or any(name not in values for name in wanted):
        raise BadInput(
            "a file name template that cannot be filled in",
            field="template",
            shape=describe_shape(order.template),
            remedy=f"use {', '.join('{' + name + '}' for name in _FIELDS)}",
        )
    stem = _SAFE.sub("-", order.template.format(**values)).strip(".-") or recording.id
    return f"{stem[:120]}.{order.format.value}"


def _prepared(samples: Samples, rate: int, masks: Sequence[Mask], order: ExportOrder) -> Samples:
    length_ms = len(samples) * 1000 // rate
    end_ms = length_ms if order.to_ms is None else order.to_ms
    if not 0 <= order.from_ms < end_ms or order.from_ms > length_ms:
        raise BadInput(
            "a stretch that is not in the recording",
            field="from_ms",
            shape=f"{order.from_ms} to {end_ms} of {length_ms} ms",
            remedy="choose from and to within the recording",
        )
    samples = silence_masks(samples, 0, rate, masks)
    clip = samples[order.from_ms * rate // 1000 : end_ms * rate // 1000]
    if order.channels is ExportChannels.MIX:
        # 3 dB under the sum: two people seldom shout at once, and what would still clip is limited
        mixed = clip.astype(np.float64).sum(axis=1) * 0.708
        clip = np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)[:, np.newaxis]
    elif order.channels is not ExportChannels.STEREO:
        side = 0 if order.channels is ExportChannels.AGENT else 1
        clip = clip[:, side : side + 1]
    return normalised(clip, rate) if order.normalise else clip


def normalised(samples: Samples, rate: int) -> Samples:
    """A listening copy: each channel's sound at about -20 dBFS, its range narrowed, no peak above -1 dBFS."""
    done = []
    for channel in samples.T:
        segment = AudioSegment(np.ascontiguousarray(channel).tobytes(), sample_width=2, frame_rate=rate, channels=1)
        if segment.max > 0:
            segment = compress_dynamic_range(segment, threshold=-24.0, ratio=2.5, attack=5.0, release=80.0)
            sounding = _sounding_dbfs(segment, rate)
            segment = segment.apply_gain(min(TARGET_DBFS - sounding, PEAK_DBFS - segment.max_dBFS))
        done.append(np.frombuffer(segment.raw_data, np.int16)[: len(channel)])
    stacked: Samples = np.stack(done, axis=1)
    return stacked


def _sounding_dbfs(segment: AudioSegment, rate: int) -> float:
    """The level of what is not silence: a quiet hour with one loud word must not become a loud hour."""
    sound = np.frombuffer(segment.raw_data, np.int16).astype(np.float64)
    width = rate // 50
    cells = sound[: len(sound) - len(sound) % width].reshape(-1, width) if len(sound) >= width else sound[np.newaxis]
    power = (cells**2).mean(axis=1)
    loud = power[power > max(100.0, power.max() / 1000)]
    return 10 * float(np.log10((loud.mean() if len(loud) else max(power.max(), 1.0)) / 32768**2))


def _provenance(recording: Recording, order: ExportOrder, now: datetime) -> dict[str, Any]:
    return {
        "format": "onrecord-export-1",
        "recording_id": recording.id,
        "call_id": recording.call_id,
        "case_id": recording.case_id,
        "master_sha256": recording.sha256,
        "manifest_sha256": recording.manifest_sha256,
        "from_ms": order.from_ms,
        "to_ms": order.to_ms,
        "channels": order.channels.value,
        "normalised": order.normalise,
        "masked_ms": [[mask.start_ms, mask.end_ms] for mask in recording.masks],
        "actor": order.actor,
        "reason": order.reason,
        "exported_at": now.astimezone(UTC).isoformat(timespec="seconds"),
    }


def _encoded(samples: Samples, rate: int, order: ExportOrder, provenance: Mapping[str, Any]) -> bytes:
    container, subtype = _CONTAINERS[order.format]
    out = io.BytesIO()
    with soundfile.SoundFile(
        out, "w", samplerate=rate, channels=samples.shape[1], format=container, subtype=subtype
    ) as file:
        file.title = str(provenance["recording_id"])
        file.comment = canonical_json({**provenance, "reason": ""}).decode()  # the reason may name people: sidecar only
        file.software = "onrecord"
        for piece in _pieces(samples, rate):
            file.write(piece)
    return out.getvalue()


def _pieces(samples: Samples, rate: int) -> Iterator[Samples]:
    for at in range(0, len(samples), rate * 10):
        yield samples[at : at + rate * 10]
