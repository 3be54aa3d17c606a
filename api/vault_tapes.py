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
from recording.dossier import Dossier, amendments_noted, read_dossier
from recording.keys import DataKeys, KeyDestroyed
from recording.peaks import read_header, read_level
from recording.recordings import Recording, ShelfObject
from recording.seal_job import open_object
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
        heard = await self._heard(recording_id)
        opened = await self._open(heard)
        whole = heard.kind == "master"
        return Sound(
            kind=heard.kind,
            media_type="audio/flac" if whole else "audio/ogg",
            suffix="flac" if whole else "opus",
            size=opened.size(),
            sha256=heard.plain_sha256,
        )

    async def open_range(self, recording_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        opened = await self._open(await self._heard(recording_id))
        while start <= end:
            piece = await asyncio.to_thread(opened.read, start, min(_PIECE, end - start + 1))
            if not piece:
                raise Unhealthy("the recording is shorter than it was", remedy="run onrecord verify")
            start += len(piece)
            yield piece

    async def peaks(self, recording_id: str) -> StoredPeaks:
        opened = await self._open(_object(await self._standing(recording_id), "peaks"))
        data = await asyncio.to_thread(opened.read, 0, opened.size())
        return await asyncio.to_thread(_fitting_level, data)

    async def _heard(self, recording_id: str) -> ShelfObject:
        """Which of its files a listener gets, by what is signed: never the master of a masked recording."""
        recording = await self._standing(recording_id)
        if not recording.masks:
            return _object(recording, "master")
        listening = recording.object("listening")
        if listening is None:
            raise NoListeningCopy(
                "parts of this recording are masked and no listening copy was made",
                field="recording_id",
                remedy="set vault.listening_copy to masked; export makes a masked copy of this one",
            )
        return listening

    async def _standing(self, recording_id: str) -> Recording:
        """As it stands now. What was replaced or disposed of since is forgotten here too, whoever did it."""
        row = await self._recordings.get(recording_id)
        dossier = await asyncio.to_thread(self._dossier, recording_id, amendments_noted(row.manifest))
        for name in dossier.replaced:
            self._opened.pop(name, None)
        return dossier.recording

    def _dossier(self, recording_id: str, amendments: int) -> Dossier:
        dossier = read_dossier(self._shelf, self._verifier, recording_id, amendments=amendments)
        if self._shelf.exists(f"disposals/{recording_id}.json"):
            for name in dossier.every_name():
                self._opened.pop(name, None)  # an open reader still holds the key
            raise KeyDestroyed("this recording was disposed of", remedy="see its disposal record")
        return dossier

    async def _open(self, found: ShelfObject) -> _Opened:
        opened = self._opened.get(found.name)
        if opened is None:
            opened = _Opened(await asyncio.to_thread(open_object, self._shelf, self._keys, found.name))
            self._opened[found.name] = opened
            while len(self._opened) > _OPEN_AT_ONCE:
                self._opened.popitem(last=False)
        self._opened.move_to_end(found.name)
        return opened


def _object(recording: Recording, kind: str) -> ShelfObject:
    found = recording.object(kind)
    if found is None:
        raise Unhealthy(f"the recording has no {kind} on the shelf", remedy="run onrecord verify")
    return found


def _fitting_level(data: bytes) -> StoredPeaks:
    header = read_header(data[: 1 << 16])
    place = next(
        (place for place, level in enumerate(header.levels) if level["count"] <= _MOST_PEAKS), len(header.levels) - 1
    )
    level = read_level(data, place)
    channels = [[(int(low), int(high)) for low, high in level[:, channel]] for channel in range(header.channels)]
    return StoredPeaks(header.rate / header.levels[place]["samples_per_peak"], channels)
