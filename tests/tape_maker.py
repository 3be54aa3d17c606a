"""Tapes made for tests, packet by packet, with a simulated sender: its clock, its losses, its network."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recording.tape_format import Direction, Kind, TapeHeader, pack_header, pack_mark, pack_record
from tests.rtp_phone import packet

WALL_NS = 1_790_000_000_000_000_000
MONO_NS = 5_000_000_000_000


@dataclass
class Sender:
    """Packets as ``(arrival ns, packet)``; ``sent`` maps an arrived payload to its true time in seconds."""

    rng: random.Random
    payload_type: int = 8
    ppm: float = 0.0
    seq: int = 65500
    timestamp: int = 0xFFFFF000
    ssrc: int = 0xDEADBEEF
    jitter_ms: float = 0.0
    step: int = 160
    clock: float = 0.0  # seconds since the call began, by our clock
    arrivals: list[tuple[int, bytes]] = field(default_factory=list)
    payloads: list[tuple[float, bytes]] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)  # the true times of packets that never came
    twice: list[int] = field(default_factory=list)  # the numbers of packets that came again
    lates: list[int] = field(default_factory=list)  # and of those that came 300 ms after their time

    def talk(
        self,
        packets: int,
        loss: float = 0.0,
        duplicate: float = 0.0,
        payload: bytes | None = None,
        late: float = 0.0,
    ) -> None:
        for _ in range(packets):
            sound = payload if payload is not None else self.rng.randbytes(self.step)
            if self.rng.random() < loss:
                self.lost.append(self.clock)
            else:
                arrival = self.clock + self.rng.random() * self.jitter_ms / 1000
                if late and self.rng.random() < late:
                    arrival += 0.3
                    self.lates.append(self.seq & 0xFFFF)
                raw = packet(self.seq, self.timestamp, self.ssrc, sound, self.payload_type)
                self.arrivals.append((MONO_NS + int(arrival * 1e9), raw))
                self.payloads.append((self.clock, sound))
                if self.rng.random() < duplicate:
                    again = arrival + self.rng.random() * 0.05
                    self.twice.append(self.seq & 0xFFFF)
                    self.arrivals.append((MONO_NS + int(again * 1e9), raw))
            self._step()

    def pause(self, packets: int, *, counts_on: bool = True) -> None:
        """Send nothing; the timestamp goes on with the time unless the sender's clock stands still."""
        for _ in range(packets):
            before = self.timestamp
            self._step()
            self.seq -= 1
            if not counts_on:
                self.timestamp = before

    def restart(self) -> None:
        self.ssrc = self.rng.getrandbits(32)
        self.seq = self.rng.getrandbits(16)
        self.timestamp = self.rng.getrandbits(32)

    def _step(self) -> None:
        self.seq += 1
        self.timestamp += self.step
        self.clock += self.step / 8000 / (1 + self.ppm / 1e6)


def write_tape(
    path: Path,
    *,
    near: Sender | None = None,
    far: Sender | None = None,
    marks: tuple[tuple[float, str, dict[str, Any]], ...] = (),
    closed: bool = True,
) -> Path:
    """A whole tape file in order of arrival."""
    records = []
    for direction, sender in ((Direction.NEAR, near), (Direction.FAR, far)):
        for when, raw in sender.arrivals if sender else ():
            records.append((when, pack_record(Kind.FRAME, direction, when, raw)))
    for seconds, name, facts in marks:
        when = MONO_NS + int(seconds * 1e9)
        records.append((when, pack_mark(name, when, facts)))
    records.sort(key=lambda record: record[0])
    header = TapeHeader(tape_id="tape_test", call_id=path.stem, wall_ns=WALL_NS, monotonic_ns=MONO_NS)
    pieces = [pack_header(header), *(record for _when, record in records)]
    if closed:
        last = records[-1][0] if records else MONO_NS
        pieces.append(pack_mark("closed", last, {}, Kind.TRAILER))
    path.write_bytes(b"".join(pieces))
    return path
