"""The load: in its own process, sends 50 packets a second to each relay port from one socket, reads what comes back.

``python -m bench.rtp_load SECONDS PORT…`` waits for the end of its standard input before it goes away, so that nothing is
refused meanwhile. It prints one JSON object: sent, got, late_ms (worst pacing of its own), and ``forwarding_ms`` {p50,
p95, p99, p99_9, worst}: from just before a packet is sent to the kernel's receive time of what the relay made of it.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
from array import array

_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SLOTS = 20  # a packet time in 1 ms slots
_SILENCE = bytes([0xD5]) * 8
_HEAD = struct.Struct(">HI")
_WHEN = struct.Struct("<Q")
_SPEC = struct.Struct("<qq")
_ANCILLARY = socket.CMSG_SPACE(_SPEC.size)


class Load:
    """One socket, all phones of all calls behind it."""

    def __init__(self, ports: list[int]) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
        except PermissionError:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.sock.bind(("127.0.0.1", 0))
        rng = random.Random(1)
        self.slots: list[list[tuple[bytearray, tuple[str, int]]]] = [[] for _ in range(_SLOTS)]
        for at, port in enumerate(ports):
            packet = bytearray(struct.pack(">BBHII", 0x80, 8, 0, 0, rng.getrandbits(32)) + rng.randbytes(160))
            self.slots[at % _SLOTS].append((packet, ("127.0.0.1", port)))
        self.sent = self.got = 0
        self.delays = array("d")
        self.worst = 0.0

    def run(self, seconds: float) -> None:
        start = time.monotonic()
        for turn in range(int(seconds * 1000)):
            due = start + turn / 1000
            self.receive()
            left = due - time.monotonic()
            if left > 0:
                time.sleep(left)
            else:
                self.worst = max(self.worst, -left)
            self.send(turn)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            self.receive()
            time.sleep(0.01)

    def send(self, turn: int) -> None:
        number = turn // _SLOTS
        for packet, target in self.slots[turn % _SLOTS]:
            _HEAD.pack_into(packet, 2, number & 0xFFFF, number * 160 & 0xFFFFFFFF)
            _WHEN.pack_into(packet, 12, time.time_ns())
            self.sock.sendto(packet, target)
            self.sent += 1

    def receive(self) -> None:
        """All that waits. The relay's own silence has no time in it."""
        receive = self.sock.recvmsg
        try:
            for _ in range(4096):
                data, ancillary, _flags, _source = receive(2048, _ANCILLARY)
                self.got += 1
                if data[12:20] == _SILENCE:
                    continue
                seconds, nanoseconds = _SPEC.unpack(ancillary[0][2])
                self.delays.append(seconds * 1e3 + (nanoseconds - _WHEN.unpack_from(data, 12)[0]) / 1e6)
        except BlockingIOError:
            pass

    def percentiles(self) -> dict[str, float]:
        delays = sorted(self.delays)
        if not delays:
            return {}
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "worst": 1.0}
        return {
            name: round(delays[min(len(delays) - 1, int(share * len(delays)))], 3) for name, share in shares.items()
        }


def main() -> None:
    seconds, ports = float(sys.argv[1]), [int(port) for port in sys.argv[2:]]
    load = Load(ports)
    load.run(seconds)
    report = {
        "sent": load.sent,
        "got": load.got,
        "late_ms": round(load.worst * 1000, 1),
        "forwarding_ms": load.percentiles(),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
