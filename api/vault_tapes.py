"""The bytes of sealed recordings, decrypted range by range from the vault; ``api.house.Tapes``."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from threading import Lock

from api.house import Sound
from case_store.calls import Recordings
from config.errors import Refused, Unhealthy
from recording.keys import DataKeys
from recording.manifest import Manifest, read_manifest
from recording.peaks import read_header, read_level
from recording.seal_job import manifest_name, open_object
from recording.shelf import Shelf
from recording.signing import Verifier
from recording.vault import VaultReader

_OPEN_AT_ONCE = 32
_PIECE = 256 * 1024
_MOST_PEAKS = 6000  # a channel; a screen shows fewer


@dataclass(frozen=True, slots=True)
class StoredPeaks:
    per_second: float
    channels: Sequence[Sequence[tuple[int, int]]]


class _Opened:
    """A reader keeps decrypted chunks and is not made for two threads at once."""

    def __init__(self, reader: VaultReader) -> None:
        self._reader = reader
        self._turn = Lock()

    def size(self) -> int:
        return self._reader.size

    def read(self, offset: int, length: int) -> bytes:
        with self._turn:
            return self._reader.read(offset, length)


class NoListeningCopy(Refused):
    """Something in the recording is masked, and there is nothing else to play than its master."""

    error_id = "no-listening-copy"


class VaultTapes:
    """Readers of the last 32 recordings stay open, so that a seek costs one ranged read."""

    def __init__(self, recordings: Recordings, shelf: Shelf, keys: DataKeys, verifier: Verifier) -> None:
        self._recordings = recordings
        self._shelf = shelf
        self._keys = keys
        self._verifier = verifier
        self._opened: OrderedDict[str, _Opened] = OrderedDict()

    async def sound(self, recording_id: str) -> Sound:
        kind, manifest = await self._heard(recording_id)
        opened = await self._open(recording_id, kind)
        suffix = "flac" if kind == "master" else "opus"
        return Sound(
            kind=kind,
            media_type="audio/flac" if kind == "master" else "audio/ogg",
            suffix=suffix,
            size=opened.size(),
            sha256=next(found["plain_sha256"] for found in manifest.body["objects"] if found["kind"] == kind),
        )

    async def open_range(self, recording_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        opened = await self._open(recording_id, (await self._heard(recording_id))[0])
        while start <= end:
            piece = await asyncio.to_thread(opened.read, start, min(_PIECE, end - start + 1))
            if not piece:
                raise Unhealthy("the recording is shorter than it was", remedy="run onrecord verify")
            start += len(piece)
            yield piece

    async def peaks(self, recording_id: str) -> StoredPeaks:
        opened = await self._open(recording_id, "peaks")
        data = await asyncio.to_thread(opened.read, 0, opened.size())
        return await asyncio.to_thread(_fitting_level, data)

    async def _heard(self, recording_id: str) -> tuple[str, Manifest]:
        """Which of its files a listener gets, by the signed manifest: never the master of a masked recording."""
        data = await asyncio.to_thread(self._shelf.get, manifest_name(recording_id))
        manifest = read_manifest(data, self._verifier)
        kinds = {found["kind"] for found in manifest.body["objects"]}
        if not manifest.body["masks"]:
            return "master", manifest
        if "listening" not in kinds:
            raise NoListeningCopy(
                "parts of this recording are masked and no listening copy was made",
                field="recording_id",
                remedy="set vault.listening_copy to masked; export makes a masked copy of this one",
            )
        return "listening", manifest

    async def _open(self, recording_id: str, kind: str) -> _Opened:
        name = await self._name(recording_id, kind)
        opened = self._opened.get(name)
        if opened is None:
            opened = _Opened(await asyncio.to_thread(open_object, self._shelf, self._keys, name))
            self._opened[name] = opened
            while len(self._opened) > _OPEN_AT_ONCE:
                self._opened.popitem(last=False)
        self._opened.move_to_end(name)
        return opened

    async def _name(self, recording_id: str, kind: str) -> str:
        row = await self._recordings.get(recording_id)
        objects = row.manifest.get("objects")
        name = objects.get(kind) if isinstance(objects, dict) else None
        if not isinstance(name, str):
            raise Unhealthy(f"the recording has no {kind} on the shelf", remedy="run onrecord verify")
        return name


def _fitting_level(data: bytes) -> StoredPeaks:
    header = read_header(data[: 1 << 16])
    place = next(
        (place for place, level in enumerate(header.levels) if level["count"] <= _MOST_PEAKS), len(header.levels) - 1
    )
    level = read_level(data, place)
    channels = [[(int(low), int(high)) for low, high in level[:, channel]] for channel in range(header.channels)]
    return StoredPeaks(header.rate / header.levels[place]["samples_per_peak"], channels)
