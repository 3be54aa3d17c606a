"""The far side of ``bench.patch_latency`` in its own process: a carrier's customers and agents' phones, with a stop-watch.

Every customer rings for ``--ring`` seconds, answers, and speaks every 20 ms from then on; each packet names its speaker.
It hangs up after ``--talk`` seconds or so. The phones take every call and send silence. The watch runs from just before a
200 OK leaves to the kernel's receive time of the first packet at an agent's phone that names that customer.

Prints one JSON line with its addresses, and one with ``answers`` [{at, talking, ms}] when its standard input ends.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import re
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SPEC = struct.Struct("<qq")
_ANCILLARY = socket.CMSG_SPACE(_SPEC.size)
_RTP = struct.Struct(">BBHII")
_NAME = struct.Struct(">4sI")
_SILENCE = bytes([0xD5]) * 160
_SLOTS = 20
HOST = "127.0.0.1"

Address = tuple[str, int]


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    sock.bind((HOST, 0))
    return sock


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found.group(1) if found else ""


@dataclass
class Talk:
    """One dialog, and the stream it sends."""

    number: int
    invite: str
    tag: str
    port: int
    media: Address
    customer: bool
    ssrc: int
    seq: int = 0
    up: bool = False
    answered_ns: int = 0
    others: int = 0
    heard_ms: float | None = None
    last_sent: str = ""
    payload: bytes = field(default=_SILENCE)


class Peers:
    """Two SIP addresses (carrier, phones) and one socket for all sound, in one loop of 1 ms slots."""

    def __init__(self, ring: float, talk: float) -> None:
        self.ring, self.talk_seconds = ring, talk
        self.carrier, self.phones, self.sound = udp(), udp(), udp()
        self.sound.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.talks: dict[str, Talk] = {}
        self.speakers: dict[int, Talk] = {}
        self.slots: list[dict[int, Talk]] = [{} for _ in range(_SLOTS)]
        self.later: list[tuple[float, int, Callable[[], None]]] = []
        self.asked = 0
        self.number = 0
        self.up = 0
        self.rng = random.Random(5)

    def run(self) -> None:
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
        start, turn = time.monotonic(), 0
        while turn % 100 or not poll.poll(0):
            for sock in (self.carrier, self.phones):
                self._read_sip(sock)
            now = time.monotonic()
            while self.later and self.later[0][0] <= now:
                heapq.heappop(self.later)[2]()
            self._speak(turn)
            self._listen()
            turn += 1
            left = start + turn / 1000 - time.monotonic()
            if left > 0:
                time.sleep(left)

    def _in(self, seconds: float, work: Callable[[], None]) -> None:
        self.asked += 1
        heapq.heappush(self.later, (time.monotonic() + seconds, self.asked, work))

    # Sound

    def _speak(self, turn: int) -> None:
        for talk in self.slots[turn % _SLOTS].values():
            talk.seq += 1
            head = _RTP.pack(0x80, 8, talk.seq & 0xFFFF, talk.seq * 160 & 0xFFFFFFFF, talk.ssrc)
            self.sound.sendto(head + talk.payload, talk.media)

    def _listen(self) -> None:
        try:
            for _ in range(4096):
                data, ancillary, _flags, _source = self.sound.recvmsg(2048, _ANCILLARY)
                mark, number = _NAME.unpack_from(data, 12)
                if mark != b"SAID":
                    continue
                talk = self.speakers.get(number)
                if talk is not None and talk.heard_ms is None:
                    seconds, nanoseconds = _SPEC.unpack(ancillary[0][2])
                    talk.heard_ms = (seconds * 10**9 + nanoseconds - talk.answered_ns) / 1e6
        except BlockingIOError:
            pass

    # Signalling

    def _read_sip(self, sock: socket.socket) -> None:
        try:
            for _ in range(256):
                data, source = sock.recvfrom(65536)
                self._take(sock, data.decode("latin-1"), source)
        except BlockingIOError:
            pass

    def _take(self, sock: socket.socket, message: str, source: Address) -> None:
        method = message.split(" ", 1)[0]
        known = self.talks.get(header(message, "Call-ID"))
        if method == "INVITE" and known is None:
            self._ring(sock, message, source)
        elif method == "INVITE" and known is not None:
            if known.last_sent:
                sock.sendto(known.last_sent.encode(), source)
        elif method in ("BYE", "CANCEL"):
            sock.sendto(self._answer(message, 200, "OK", known.tag if known else "").encode(), source)
            if known is not None:
                if method == "CANCEL" and not known.up:
                    self._say(sock, source, known, self._answer(known.invite, 487, "Request Terminated", known.tag))
                self._end(known)
        elif method not in ("ACK", "SIP/2.0"):
            sock.sendto(self._answer(message, 200, "OK", known.tag if known else "x").encode(), source)

    def _ring(self, sock: socket.socket, invite: str, source: Address) -> None:
        self.number += 1
        port = int(re.search(r"^m=audio (\d+)", invite, re.MULTILINE).group(1))  # type: ignore[union-attr]  # our own offer
        customer = sock is self.carrier
        talk = Talk(
            self.number, invite, f"t{self.number}", sock.getsockname()[1], (HOST, port), customer,
            self.rng.getrandbits(32),
        )  # fmt: skip
        if customer:
            talk.payload = _NAME.pack(b"SAID", talk.number) + self.rng.randbytes(152)
        self.talks[header(invite, "Call-ID")] = talk
        self._say(sock, source, talk, self._answer(invite, 180, "Ringing", talk.tag))
        wait = self.ring * (0.5 + self.rng.random()) if customer else 0.0
        self._in(wait, lambda: self._pick_up(sock, source, talk))

    def _pick_up(self, sock: socket.socket, source: Address, talk: Talk) -> None:
        if header(talk.invite, "Call-ID") not in self.talks:
            return
        talk.up = True
        description = (
            f"v=0\r\no=- {talk.number} 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {self.sound.getsockname()[1]} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
        )
        message = self._answer(talk.invite, 200, "OK", talk.tag, description)
        self.slots[self.rng.randrange(_SLOTS)][talk.number] = talk
        if talk.customer:
            talk.others = self.up
            self.up += 1
            self.speakers[talk.number] = talk
            self._in(self.talk_seconds * (0.5 + self.rng.random()), lambda: self._hang_up(sock, source, talk))
        talk.answered_ns = time.time_ns()
        self._say(sock, source, talk, message)

    def _hang_up(self, sock: socket.socket, source: Address, talk: Talk) -> None:
        if header(talk.invite, "Call-ID") not in self.talks:
            return
        contact = re.search(r"<([^>]+)>", header(talk.invite, "Contact"))
        assert contact is not None
        bye = (
            f"BYE {contact.group(1)} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{talk.port};branch=z9hG4bKb{talk.number}\r\n"
            f"Max-Forwards: 70\r\nFrom: {header(talk.invite, 'To')};tag={talk.tag}\r\nTo: {header(talk.invite, 'From')}\r\n"
            f"Call-ID: {header(talk.invite, 'Call-ID')}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        )
        sock.sendto(bye.encode(), source)
        self._end(talk)

    def _end(self, talk: Talk) -> None:
        if self.talks.pop(header(talk.invite, "Call-ID"), None) is None:
            return
        for slot in self.slots:
            slot.pop(talk.number, None)
        if talk.customer and talk.up:
            self.up -= 1

    def _say(self, sock: socket.socket, source: Address, talk: Talk, message: str) -> None:
        talk.last_sent = message
        sock.sendto(message.encode(), source)

    def _answer(self, request: str, status: int, phrase: str, tag: str, description: str = "") -> str:
        to = header(request, "To")
        if ";tag=" not in to and tag:
            to += f";tag={tag}"
        via = "".join(f"Via: {one}\r\n" for one in re.findall(r"^Via\s*:\s*(.*?)\r$", request, re.MULTILINE))
        routes = "".join(
            f"Record-Route: {one}\r\n" for one in re.findall(r"^Record-Route\s*:\s*(.*?)\r$", request, re.MULTILINE)
        )
        port = re.match(r"\S+ sip:[^@\s]*@?[^:;\s>]+:(\d+)", request)
        where = port.group(1) if port else str(self.carrier.getsockname()[1])
        body = f"Content-Type: application/sdp\r\nContent-Length: {len(description)}\r\n\r\n{description}"
        return (
            f"SIP/2.0 {status} {phrase}\r\n{via}{routes}From: {header(request, 'From')}\r\nTo: {to}\r\n"
            f"Call-ID: {header(request, 'Call-ID')}\r\nCSeq: {header(request, 'CSeq')}\r\n"
            f"Contact: <sip:peer@{HOST}:{where}>\r\n" + (body if description else "Content-Length: 0\r\n\r\n")
        )

    def report(self) -> list[dict[str, float | None]]:
        return [
            {"at": talk.answered_ns / 1e9, "talking": talk.others, "ms": talk.heard_ms}
            for talk in self.speakers.values()
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ring", type=float, default=1.0)
    parser.add_argument("--talk", type=float, default=15.0)
    given = parser.parse_args()
    peers = Peers(given.ring, given.talk)
    ports = {"carrier": peers.carrier.getsockname()[1], "phones": peers.phones.getsockname()[1]}
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    peers.run()
    sys.stdout.write(json.dumps({"answers": peers.report()}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
