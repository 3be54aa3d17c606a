"""The watchdog on control's side: a tape that stands still while packets arrive. It does not trust the relay's own checks."""

from __future__ import annotations

from dataclasses import dataclass

from dialer.media.words import TapeTrouble


@dataclass(slots=True)
class _Seen:
    position: int
    received: int  # packets when the tape last advanced
    at: float
    told: bool = False


class Standstill:
    """Fed with each status; names a leg once, ``stall_seconds`` after its tape last advanced."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._seen: dict[str, _Seen] = {}

    def look(self, tapes: dict[str, list[float]], now: float) -> list[TapeTrouble]:
        """``tapes``: leg → [bytes on tape, packets received, …]. ``now`` in monotonic seconds."""
        found = []
        for leg, (position, received, *_rest) in tapes.items():
            seen = self._seen.get(leg)
            if seen is None or position != seen.position or received == seen.received:
                self._seen[leg] = _Seen(int(position), int(received), now, told=seen.told if seen else False)
            elif now - seen.at >= self._stall_seconds and not seen.told:
                seen.told = True
                found.append(TapeTrouble(leg=leg, problem="the tape stands still while packets arrive"))
        return found

    def forget(self, leg: str) -> None:
        self._seen.pop(leg, None)
