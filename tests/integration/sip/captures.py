"""Captures for SIPp to play: exactly known RTP packets at exactly known moments, in the format of tcpdump."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from tests.rtp_phone import packet


@dataclass
class Capture:
    """``sent``: the sound payloads in the order they leave. Times in milliseconds from the first packet."""

    at: float = 0.0
    seq: int = 65530  # wraps after a few packets
    timestamp: int = 0xFFFFFF00  # and so does this
    ssrc: int = 0x51500001
    sent: list[bytes] = field(default_factory=list)
    _frames: list[tuple[float, bytes]] = field(default_factory=list)

    def sound(self, payload: bytes, *, payload_type: int = 8, wait: float | None = None, marker: bool = False) -> bytes:
        """The next packet in order; ``wait`` milliseconds until the one after it (default: its length)."""
        made = packet(self.seq, self.timestamp, self.ssrc, payload, payload_type, marker)
        self.seq += 1
        self.timestamp += len(payload)
        self.sent.append(payload)
        self.raw(made, len(payload) / 8 if wait is None else wait)
        return made

    def raw(self, data: bytes, wait: float = 0.0) -> None:
        self._frames.append((self.at, data))
        self.at += wait

    def event(self, code: int, duration: int, *, end: bool = False, payload_type: int = 101) -> None:
        """One RFC 4733 packet; the timestamp stands while the key is held."""
        body = bytes((code, (0x80 if end else 0) | 10)) + duration.to_bytes(2, "big")
        self.raw(packet(self.seq, self.timestamp, self.ssrc, body, payload_type), 10)
        self.seq += 1

    def write(self, path: Path) -> None:
        out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, data in self._frames:
            udp = struct.pack(">HHHH", 4000, 4000, 8 + len(data), 0) + data
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
            frame = b"\0" * 12 + b"\x08\0" + ip + udp
            moment = int(at * 1000)
            out += struct.pack("<IIII", 1 + moment // 1_000_000, moment % 1_000_000, len(frame), len(frame)) + frame
        path.write_bytes(out)
