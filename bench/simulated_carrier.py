"""What the simulated carrier costs: ``python -m bench.simulated_carrier``. Result in bench/results/simulated_carrier.txt.

A peer that loses packets or eats the machine would spoil every other measurement, so: n calls up, 50 packets a second
each way for 8 seconds, CPU of the carrier's process from /proc, packets counted at the other end.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.machine import describe_machine

SECONDS = 8.0
RESULT = Path(__file__).parent / "results" / "simulated_carrier.txt"


def _request(method: str, call: int, ports: tuple[int, int], tag: str = "", body: str = "") -> bytes:
    carrier, mine = ports
    number = f"+86139{call:08d}"
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} sip:{number}@127.0.0.1:{carrier} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{mine};rport;branch=z9hG4bK{method}{call}\r\n"
        f"From: <sip:bench@127.0.0.1:{mine}>;tag=b{call}\r\nTo: <sip:{number}@127.0.0.1>{tag}\r\nCall-ID: bench{call}\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:bench@127.0.0.1:{mine}>\r\nMax-Forwards: 70\r\n"
        f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _set_up(calls: int, carrier: int, signalling: socket.socket, media_port: int) -> list[int]:
    """Call everybody; the carrier's media ports of those who answered."""
    mine = signalling.getsockname()[1]
    offer = (
        f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {media_port} RTP/AVP 8\r\n"
    )
    for call in range(calls):
        signalling.sendto(_request("INVITE", call, (carrier, mine), body=offer), ("127.0.0.1", carrier))
    ports: dict[int, int] = {}
    end = time.monotonic() + 5
    while len(ports) < calls and time.monotonic() < end:
        answer = signalling.recv(4096).decode()
        if not answer.startswith("SIP/2.0 200"):
            continue
        call = re.search(r"Call-ID: bench(\d+)", answer)
        tag = re.search(r"To: [^\r]*(;tag=\w+)", answer)
        port = re.search(r"m=audio (\d+)", answer)
        assert call is not None
        assert tag is not None
        assert port is not None
        ports[int(call[1])] = int(port[1])
        signalling.sendto(_request("ACK", int(call[1]), (carrier, mine), tag[1]), ("127.0.0.1", carrier))
    return list(ports.values())


def _exchange(media: socket.socket, ports: list[int]) -> tuple[int, float]:
    """Packets received and seconds taken, while sending silence to every port."""
    packet = bytearray(b"\x80\x08" + bytes(10) + b"\xd5" * 160)
    received, sequence = 0, 0
    started = due = time.monotonic()
    while (now := time.monotonic()) - started < SECONDS:
        if now >= due:
            due += 0.02
            sequence += 1
            packet[2:4] = (sequence & 0xFFFF).to_bytes(2, "big")
            for port in ports:
                media.sendto(packet, ("127.0.0.1", port))
        try:
            while True:
                media.recv(300)
                received += 1
        except BlockingIOError:
            time.sleep(0.002)
    return received, time.monotonic() - started


def measure(calls: int) -> str:
    person = {"persona": "cardholder", "ring_after": 0.1, "answer_after": 0.1, "listens": 60}
    with tempfile.TemporaryDirectory() as scratch:
        people = Path(scratch) / "people.json"
        people.write_text(json.dumps({f"+86139{call:08d}": person for call in range(calls)}))
        carrier = subprocess.Popen(
            [sys.executable, "-m", "dialer.simulated.carrier", "--directory", str(people), "--with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert carrier.stdin is not None
        assert carrier.stdout is not None
        port = int(json.loads(carrier.stdout.readline())["port"])
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as signalling,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media,
        ):
            signalling.bind(("127.0.0.1", 0))
            signalling.settimeout(2)
            media.bind(("127.0.0.1", 0))
            media.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            media.setblocking(False)
            ports = _set_up(calls, port, signalling, media.getsockname()[1])
            before = _cpu_seconds(carrier.pid)
            received, seconds = _exchange(media, ports)
            share = 100 * (_cpu_seconds(carrier.pid) - before) / seconds
        carrier.stdin.close()
        carrier.wait(10)
        carrier.stdout.close()
    expected = len(ports) * 50 * seconds
    return f"{len(ports):4} calls up: {share:5.1f}% of a core, {received} packets received of {expected:.0f} due"


def main() -> None:
    lines = [describe_machine(), *(measure(calls) for calls in (1, 20, 60, 120))]
    RESULT.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
