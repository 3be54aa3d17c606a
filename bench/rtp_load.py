"""The load: in its own process, sends 50 packets a second to each relay port from one socket, counts what comes back.

``python -m bench.rtp_load SECONDS PORT…`` reads nothing; prints one JSON object: sent, got, late_ms (worst pacing).
"""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import sys
import time

_SO_RCVBUFFORCE = 33
_SLOTS = 20  # a packet time in 1 ms slots


def main() -> None:
    seconds, ports = float(sys.argv[1]), [int(port) for port in sys.argv[2:]]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
    sock.bind(("127.0.0.1", 0))
    rng = random.Random(1)
    legs = []
    for at, port in enumerate(ports):
        packet = bytearray(struct.pack(">BBHII", 0x80, 8, 0, 0, rng.getrandbits(32)) + rng.randbytes(160))
        legs.append((at % _SLOTS, packet, ("127.0.0.1", port)))
    slots = [[(packet, target) for slot, packet, target in legs if slot == one] for one in range(_SLOTS)]
    pack, sendto, recv_into = struct.Struct(">HI").pack_into, sock.sendto, sock.recv_into
    buffer = bytearray(2048)
    sent = got = 0
    worst = 0.0
    clock = time.monotonic
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    start = clock()
    for turn in range(int(seconds * 1000)):
        due = start + turn / 1000
        while True:
            left = due - clock()
            if left <= 0:
                break
            if poll.poll(left * 1000):
                try:
                    for _ in range(64):
                        recv_into(buffer)
                        got += 1
                except BlockingIOError:
                    pass
        worst = max(worst, -left)
        number = turn // _SLOTS
        for packet, target in slots[turn % _SLOTS]:
            pack(packet, 2, number & 0xFFFF, number * 160 & 0xFFFFFFFF)
            sendto(packet, target)
            sent += 1
        try:
            for _ in range(256):
                recv_into(buffer)
                got += 1
        except BlockingIOError:
            pass
    end = clock() + 0.3
    while clock() < end:
        if poll.poll(20):
            try:
                while True:
                    recv_into(buffer)
                    got += 1
            except BlockingIOError:
                pass
    print(json.dumps({"sent": sent, "got": got, "late_ms": round(worst * 1000, 1), "seconds": seconds}))


if __name__ == "__main__":
    main()
