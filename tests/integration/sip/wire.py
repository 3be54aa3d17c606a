"""A carrier or phone written by hand on a UDP socket: it says exactly what a test wants, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import cast

from tests.integration.sip.peers import HOST

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}


@dataclass(frozen=True)
class Heard:
    """One datagram as it came."""

    text: str
    source: tuple[str, int]

    @property
    def start(self) -> str:
        return self.text.partition("\r\n")[0]

    @property
    def method(self) -> str:
        """Empty for a response."""
        word = self.start.partition(" ")[0]
        return "" if word == "SIP/2.0" else word

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if not self.method else 0

    @property
    def body(self) -> str:
        return self.text.partition("\r\n\r\n")[2]

    def header(self, name: str) -> str:
        found = re.search(rf"^{name}\s*:\s*(.*)$", self.text.partition("\r\n\r\n")[0], re.IGNORECASE | re.MULTILINE)
        return found[1].strip() if found else ""

    @property
    def media(self) -> tuple[str, int]:
        """Address and port of its session description."""
        host = re.search(r"^c=IN IP4 (\S+)", self.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", self.body, re.MULTILINE)
        assert host is not None
        assert port is not None
        return host[1], int(port[1])


def description(port: int, formats: str = "8 101", *lines: str, host: str = HOST, ptime: int | None = 20) -> str:
    text = ["v=0", f"o=far 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    text += [f"m=audio {port} RTP/AVP {formats}", *(lines or ("a=rtpmap:101 telephone-event/8000",))]
    return "\r\n".join([*text, *([f"a=ptime:{ptime}"] if ptime else []), ""])


@dataclass
class Wire(asyncio.DatagramProtocol):
    """``hear`` waits for the next message of a kind; repeats of what was heard already are only counted."""

    messages: list[Heard] = field(default_factory=list)
    repeats: list[Heard] = field(default_factory=list)
    port: int = 0
    tag: str = "far1"
    invite: Heard | None = None
    cseq: int = 100
    _taken: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is no subclass of it
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        one = Heard(data.decode("latin-1"), addr)
        (self.repeats if any(one.text == other.text for other in self.messages) else self.messages).append(one)
        self._more.set()

    def of(self, kind: str | int) -> list[Heard]:
        return [one for one in self.messages if kind in (one.method, one.status)]

    async def hear(self, kind: str | int, count: int = 1, seconds: float = 8) -> Heard:
        """The ``count``-th request of this method, or response of this status, so far or when it comes."""
        try:
            async with asyncio.timeout(seconds):
                while len(self.of(kind)) < count:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            told = [one.start for one in self.messages]
            raise AssertionError(f"no {kind} number {count} among {told}") from None
        found = self.of(kind)[count - 1]
        if kind == "INVITE" and self.invite is None:
            self.invite = found
        return found

    def send(self, text: str | bytes, to: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(text.encode("latin-1") if isinstance(text, str) else text, to)

    def respond(
        self, request: Heard, status: int, *headers: str, body: str = "", tag: str | None = None, times: int = 1
    ) -> None:
        to = request.header("To")
        if ";tag=" not in to and status > 100:
            to += f";tag={tag or self.tag}"
        lines = [f"SIP/2.0 {status} {REASONS.get(status, 'Said')}", f"Via: {request.header('Via')}"]
        lines += [f"From: {request.header('From')}", f"To: {to}", f"Call-ID: {request.header('Call-ID')}"]
        lines += [f"CSeq: {request.header('CSeq')}", *headers]
        if not any(line.lower().startswith(("contact:", "m:")) for line in headers) and status < 300:
            lines.append(f"Contact: <sip:far@{HOST}:{self.port}>")
        if body:
            lines.append("Content-Type: application/sdp")
        for _ in range(times):
            self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]), request.source)

    def ask(self, method: str, *headers: str, body: str = "", cseq: int | None = None, branch: str = "") -> None:
        """A request of the far side inside the dialog of ``invite``."""
        invite = self.invite
        assert invite is not None
        if cseq is None:
            self.cseq += 1
        target = re.search(r"<(sip:[^>]*)>", invite.header("Contact"))
        assert target is not None
        lines = [f"{method} {target[1]} SIP/2.0"]
        lines += [f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK{branch or secrets.token_hex(6)}"]
        lines += [f"From: {invite.header('To')};tag={self.tag}", f"To: {invite.header('From')}", "Max-Forwards: 70"]
        lines += [f"Call-ID: {invite.header('Call-ID')}", f"CSeq: {cseq or self.cseq} {method}"]
        lines += [f"Contact: <sip:far@{HOST}:{self.port}>", *headers]
        if body and not any(line.lower().startswith("content-type") for line in headers):
            lines.append("Content-Type: application/sdp")
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]), invite.source)

    async def answered(self, media: int, *headers: str, formats: str = "8 101") -> Heard:
        """Take the INVITE, answer it, wait for the ACK; gives the INVITE."""
        invite = await self.hear("INVITE")
        self.respond(invite, 200, *headers, body=description(media, formats))
        await self.hear("ACK")
        return invite

    async def hung_up(self) -> Heard:
        bye = await self.hear("BYE")
        self.respond(bye, 200)
        return bye


REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK"}


@contextlib.asynccontextmanager
async def wire(host: str = HOST) -> AsyncIterator[Wire]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Wire, local_addr=(host, 0))
    try:
        yield protocol
    finally:
        transport.close()


async def until(true: Callable[[], object], seconds: float = 8) -> None:
    """Wait for what no event tells."""
    for _ in range(int(seconds * 100)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")
