"""A phone's media end for tests: sends numbered G.711 packets and keeps what it hears."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass, field

HEADER = struct.Struct(">BBHII")


@dataclass(frozen=True)
class Heard:
    marker: bool
    payload_type: int
    seq: int
    timestamp: int
    ssrc: int
    payload: bytes


def packet(seq: int, timestamp: int, ssrc: int, payload: bytes, payload_type: int = 8, marker: bool = False) -> bytes:
    head = HEADER.pack(0x80, payload_type | (0x80 if marker else 0), seq & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return head + payload


def parse(data: bytes) -> Heard:
    _first, second, seq, timestamp, ssrc = HEADER.unpack_from(data)
    return Heard(bool(second & 0x80), second & 0x7F, seq, timestamp, ssrc, data[12:])


@dataclass
class Phone:
    """Bound to a free loopback port; ``payloads`` is what it sent, ``heard`` what it got."""

    host: str = "127.0.0.1"
    payload_type: int = 8
    ssrc: int = 0
    seq: int = 0
    timestamp: int = 0
    heard: list[Heard] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind((self.host, 0))
        self.port = self.sock.getsockname()[1]
        self.rng = random.Random(self.port)
        self.ssrc = self.ssrc or self.rng.getrandbits(32)
        self.seq = self.rng.getrandbits(15)
        self.timestamp = self.rng.getrandbits(31)

    def send(self, to: tuple[str, int], payload: bytes | None = None) -> bytes:
        payload = payload if payload is not None else self.rng.randbytes(160)
        self.sock.sendto(packet(self.seq, self.timestamp, self.ssrc, payload, self.payload_type), to)
        self.seq += 1
        self.timestamp += len(payload)
        self.payloads.append(payload)
        return payload

    def listen(self) -> list[Heard]:
        new = []
        while True:
            try:
                data = self.sock.recv(4096)
            except BlockingIOError:
                break
            new.append(parse(data))
        self.heard += new
        return new

    async def talk(self, to: tuple[str, int], packets: int, gap: float = 0.02) -> None:
        for _ in range(packets):
            self.send(to)
            await asyncio.sleep(gap)
            self.listen()

    def close(self) -> None:
        self.sock.close()
