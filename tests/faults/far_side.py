"""The carrier of a fault drive: ``python -m tests.faults.far_side FOLDER``. It outlives every kill and writes down what it saw.

``far/calls.jsonl`` gets a line for every INVITE dialog when it is over (monotonic ns), ``far/NUMBER-n.rtp`` the packets
it sent and the voiced ones it heard, as ``PACKET`` rows. Its bill is nobody's word but its own.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from dialer.simulated import line as line_module
from dialer.simulated.carrier import announce, serve_until_told
from dialer.simulated.endpoint import Endpoint, Exchange, dialed_user
from dialer.simulated.line import Line, LineHabits
from dialer.simulated.media import MediaClock, MediaPort
from dialer.simulated.script import Answer, HangUp, Hold, Loop, Performance, Release, Ring, Step, Wait
from dialer.simulated.sound import SILENCE
from dialer.simulated.timeline import Timeline
from tests.faults.plan import HOST, Callee, Plan

PACKET = struct.Struct("<BxxxIIQ")
"""direction (1 sent, 2 heard), sequence number, CRC-32 of the packet (heard: of its payload), ns monotonic."""

SENT, HEARD = 1, 2
_FOREVER = 3600.0
_CLIP = "debtor-negotiates-m"
_SILENT = {"PCMA": SILENCE["PCMA"][:1], "PCMU": SILENCE["PCMU"][:1]}


class _Tapped:
    """A media socket that keeps a row of each packet. ``rows`` of silence heard are left out: our fill is not taped."""

    def __init__(self, inner: socket.socket, port: TappedPort) -> None:
        self._inner, self._port = inner, port

    def sendto(self, data: bytes, peer: tuple[str, int]) -> int:
        size = self._inner.sendto(data, peer)
        self._port.rows += PACKET.pack(SENT, data[2] << 8 | data[3], zlib.crc32(data), time.monotonic_ns())
        return size

    def recvfrom_into(self, buffer: bytearray, size: int) -> tuple[int, Any]:
        got, source = self._inner.recvfrom_into(buffer, size)
        payload = bytes(buffer[12:got])
        if payload.strip(_SILENT[self._port.codec]):
            sequence = buffer[2] << 8 | buffer[3]
            self._port.rows += PACKET.pack(HEARD, sequence, zlib.crc32(payload), time.monotonic_ns())
        return got, source

    def fileno(self) -> int:
        return self._inner.fileno()

    def close(self) -> None:
        self._inner.close()


class TappedPort(MediaPort):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rows = bytearray()
        self._socket = _Tapped(self._socket, self)  # type: ignore[assignment]  # all that MediaPort asks of a socket

    def change_source(self) -> None:
        """Another SSRC, sequence and time from the next packet on, as after a carrier's re-route."""
        self._ssrc = (self._ssrc + 1) & 0xFFFFFFFF
        self._sequence = (self._sequence + 20_000) & 0xFFFF
        self._timestamp = (self._timestamp + 1_000_000) & 0xFFFFFFFF


def behave(line: Line, one: Callee) -> Iterator[Step]:
    """The steps of one callee after ``100 Trying``."""
    if one.way == "busy":
        yield Wait(one.rings)
        yield Release(486)
        return
    if one.way == "early":
        yield Ring(183, early=True)
        yield Loop(_CLIP)
    else:
        yield Ring(180)
    yield Wait(one.rings)
    yield Answer()
    yield Loop(_CLIP)
    yield Wait(one.seconds * 0.4)
    if one.way == "new-ssrc":
        assert isinstance(line.media, TappedPort)
        line.media.change_source()
    elif one.way == "far-hold":
        yield Hold(on=True)
    elif one.way == "reinvite":
        yield Hold(on=False)
    yield Wait(one.seconds * 0.3)
    if one.way == "far-hold":
        yield Hold(on=False)
    yield Wait(one.seconds * 0.3)
    if one.way == "hangs-up":
        yield HangUp()
    yield Wait(_FOREVER)


class FarSide:
    def __init__(self, timeline: Timeline, folder: Path) -> None:
        self._plan = Plan.read(folder)
        self._folder = folder / "far"
        self._folder.mkdir(exist_ok=True)
        self._clock = MediaClock(timeline)
        self._calls = (self._folder / "calls.jsonl").open("a", encoding="utf-8")
        self.endpoint = Endpoint(timeline, HOST, 0, Random(7), self._take_invite, None)
        self._open: dict[Line, tuple[Performance, dict[str, Any]]] = {}
        self._lines = os.open(self._folder / "lines", os.O_WRONLY | os.O_CREAT)
        self._seen: dict[str, int] = {}

    def _take_invite(self, exchange: Exchange) -> None:
        number = dialed_user(exchange.request)
        one = self._plan.callees[number]
        n = self._seen[number] = self._seen.get(number, 0) + 1
        facts = {"number": number, "n": n, "invited_ns": time.monotonic_ns()}
        line = Line(self.endpoint, self._clock, exchange, LineHabits(), one.way, on_end=self._ended)
        line.trying()
        performance = Performance(line, behave(line, one))
        self._open[line] = (performance, facts)
        self._tell_lines()
        if not line.take_offer():
            return
        line.media.muted = one.way == "one-way"
        performance.start()

    def _ended(self, line: Line) -> None:
        performance, facts = self._open.pop(line)
        self._tell_lines()
        performance.stop()
        assert isinstance(line.media, TappedPort)
        (self._folder / f"{facts['number']}-{facts['n']}.rtp").write_bytes(line.media.rows)
        bill = line.bill
        facts |= {"ended_ns": time.monotonic_ns(), "ended_by": bill.ended_by, "answered": bill.answered_at is not None}
        facts |= {"invited_at": bill.invited_at.isoformat(), "seconds": bill.seconds}
        self._calls.write(json.dumps(facts) + "\n")
        self._calls.flush()

    def _tell_lines(self) -> None:
        os.pwrite(self._lines, b"%4d" % len(self._open), 0)

    def close(self) -> None:
        """Whoever is still on a line at the end was left there: the count sees ``shut-down``."""
        for line in tuple(self._open):
            line.shut_down()
        self._calls.close()
        self.endpoint.close()


def main() -> None:
    line_module.MediaPort = TappedPort  # type: ignore[misc]  # the one seam a listening far side needs
    timeline = Timeline()
    far = FarSide(timeline, Path(sys.argv[1]))
    announce({"event": "listening", "port": far.endpoint.port})
    serve_until_told(timeline, with_parent=True)
    far.close()


if __name__ == "__main__":
    main()
