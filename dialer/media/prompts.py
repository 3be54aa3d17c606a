"""A prompt being played to one leg: raw G.711 in both laws, cut into packets as the leg's pace asks."""

from __future__ import annotations

from pathlib import Path

from recording.g711 import SILENCE, Law


class Playing:
    """Where a prompt stands."""

    __slots__ = ("_at", "_sounds", "name")

    def __init__(self, name: str, sounds: dict[Law, bytes]) -> None:
        self.name = name
        self._sounds = sounds
        self._at = 0

    def next_payload(self, law: Law, samples: int) -> bytes | None:
        """The next ``samples`` codes, the last ones filled up with silence; None after the end."""
        piece = self._sounds[law][self._at : self._at + samples]
        if not piece:
            return None
        self._at += samples
        return piece if len(piece) == samples else piece.ljust(samples, bytes([SILENCE[law]]))


class PromptShelf:
    """Encoded prompts read once and kept, the oldest given up beyond 64 MB."""

    def __init__(self, most_bytes: int = 64_000_000) -> None:
        self._kept: dict[tuple[str, str], dict[Law, bytes]] = {}
        self._most_bytes = most_bytes

    def load(self, name: str, pcma: str, pcmu: str) -> Playing:
        """Raises OSError when a file cannot be read."""
        key = (pcma, pcmu)
        sounds = self._kept.get(key)
        if sounds is None:
            sounds = {"PCMA": Path(pcma).read_bytes(), "PCMU": Path(pcmu).read_bytes()}
            self._kept[key] = sounds
            while len(self._kept) > 1 and self._size() > self._most_bytes:
                self._kept.pop(next(iter(self._kept)))
        return Playing(name, sounds)

    def _size(self) -> int:
        return sum(len(sound) for sounds in self._kept.values() for sound in sounds.values())
