"""A SIP server over UDP: transactions of RFC 3261 section 17, nothing of what is said on the line.

``Endpoint`` reads datagrams, absorbs retransmissions, answers what needs no call (OPTIONS, REGISTER, strays) and
hands each new INVITE to ``on_invite``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from dialer.simulated.digest import Credentials, Gate
from dialer.simulated.timeline import Timeline, Timer
from dialer.simulated.wire import (
    REASONS,
    SipMessage,
    Unreadable,
    host_of,
    read_message,
    read_via,
    tag_of,
    uri_of,
    user_of,
    write_message,
)

T1, T2, T4 = 0.5, 4.0, 5.0
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REGISTER"

Address = tuple[str, int]
Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Exchange:
    """A server transaction: the request, and the response to repeat when the request is repeated."""

    key: tuple[str, ...]
    request: SipMessage
    source: Address
    response: bytes = b""
    status: int = 0
    timer: Timer | None = None
    call: InviteOwner | None = None


class InviteOwner(Protocol):
    """What an endpoint needs of a call; ``dialer.simulated.line.Line`` is one."""

    def take_ack(self, message: SipMessage) -> None: ...
    def take_cancel(self) -> None: ...
    def take_request(self, exchange: Exchange) -> None: ...


@dataclass(slots=True)
class Asked:
    """A client transaction: our own BYE or re-INVITE until its final response."""

    datagram: bytes
    target: Address
    on_final: Callable[[SipMessage | None], None]
    timer: Timer | None = None
    interval: float = T1
    left: float = 64 * T1


@dataclass(slots=True)
class Counters:
    datagrams: int = 0
    unreadable: int = 0
    undelivered: int = 0
    retransmissions: int = 0
    invites: int = 0
    registrations: dict[str, str] = field(default_factory=dict)  # address of record → contact


class Endpoint:
    """``silent`` makes it deaf: datagrams are read and dropped (a carrier that is down)."""

    def __init__(
        self,
        timeline: Timeline,
        host: str,
        port: int,
        rng: Random,
        on_invite: Callable[[Exchange], None],
        credentials: Credentials | None = None,
        name: str = "simulated-carrier",
        t1: float = T1,
    ) -> None:
        self.timeline, self.rng, self._on_invite, self._name = timeline, rng, on_invite, name
        self.t1 = t1
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._socket.bind((host, port))
        self.host: str = self._socket.getsockname()[0]
        self.port: int = self._socket.getsockname()[1]
        self._exchanges: dict[tuple[str, ...], Exchange] = {}
        self._dialogs: dict[tuple[str, str], InviteOwner] = {}
        self._asked: dict[str, Asked] = {}
        self._gate = Gate(credentials) if credentials is not None else None
        self.counters = Counters()
        self.silent = False
        timeline.read(self._socket, self._read)

    # -- sending -----------------------------------------------------------------------------------

    def respond(
        self,
        exchange: Exchange,
        status: int,
        headers: Headers | None = None,
        body: bytes = b"",
        reason: str = "",
        to_tag: str = "",
    ) -> bytes:
        """Build and send a response to the exchange's request; it is repeated when the request is."""
        request = exchange.request
        lines = self._copied(request, exchange.source, to_tag)
        lines += headers or []
        lines.append(("server", self._name))
        start = f"SIP/2.0 {status} {reason or REASONS.get(status, 'Unknown')}"
        exchange.response = write_message(start, lines, body, "application/sdp")
        exchange.status = status
        self.send_again(exchange)
        if status >= 200 and request.method != "INVITE":
            self.timeline.after(64 * self.t1, lambda: self._forget(exchange))
        return exchange.response

    def send_again(self, exchange: Exchange, datagram: bytes = b"") -> None:
        self._send(datagram or exchange.response, self._return_address(exchange))

    def ask(
        self,
        method: str,
        uri: str,
        headers: Headers,
        body: bytes,
        target: Address,
        on_final: Callable[[SipMessage | None], None],
    ) -> None:
        """Send a request of our own; ``on_final`` gets the final response, or None when none came (timer F)."""
        branch = "z9hG4bK" + self.token(8)
        datagram = self.write_request(method, uri, branch, headers, body)
        asked = Asked(datagram, target, on_final, interval=self.t1, left=64 * self.t1)
        self._asked[branch] = asked
        self._repeat(branch, asked)

    def write_request(self, method: str, uri: str, branch: str, headers: Headers, body: bytes = b"") -> bytes:
        via = ("via", f"SIP/2.0/UDP {self.host}:{self.port};rport;branch={branch}")
        return write_message(
            f"{method} {uri} SIP/2.0", [via, ("max-forwards", "70"), *headers], body, "application/sdp"
        )

    def send_raw(self, datagram: bytes, target: Address) -> None:
        self._send(datagram, target)

    def token(self, size: int) -> str:
        return f"{self.rng.getrandbits(size * 8):0{size * 2}x}"

    def _repeat(self, branch: str, asked: Asked) -> None:
        if asked.left <= 0:
            self._asked.pop(branch, None)
            asked.on_final(None)
            return
        self._send(asked.datagram, asked.target)
        interval = asked.interval
        asked.left -= interval
        asked.interval = min(interval * 2, T2)
        asked.timer = self.timeline.after(max(min(interval, asked.left), 0.0), lambda: self._repeat(branch, asked))

    def _send(self, datagram: bytes, target: Address) -> None:
        try:
            self._socket.sendto(datagram, target)
        except OSError:
            self.counters.undelivered += 1  # a closed peer; the timers repeat or give up

    def _copied(self, request: SipMessage, source: Address, to_tag: str) -> Headers:
        """Via, From, To, Call-ID, CSeq as RFC 3261 section 8.2.6.2 wants them, with received and rport (RFC 3581)."""
        lines: Headers = []
        for at, value in enumerate(request.all("via")):
            if at == 0:
                via = read_via(value)
                if "rport" in via.params:
                    plain = ";".join(p for p in value.split(";") if p.partition("=")[0].strip().lower() != "rport")
                    value = f"{plain};rport={source[1]};received={source[0]}"
                elif via.host != source[0]:
                    value = f"{value};received={source[0]}"
            lines.append(("via", value))
        for name in ("from", "to", "call-id", "cseq"):
            value = request.get(name) or ""
            if name == "to" and to_tag and not tag_of(value):
                value = f"{value};tag={to_tag}"
            lines.append((name, value))
        if request.method == "INVITE":
            lines += [("record-route", value) for value in request.all("record-route")]
        return lines

    def _return_address(self, exchange: Exchange) -> Address:
        vias = exchange.request.all("via")
        via = read_via(vias[0]) if vias else None
        if via is None or "rport" in via.params:
            return exchange.source
        return exchange.source[0], via.port or 5060

    # -- receiving ---------------------------------------------------------------------------------

    def _read(self) -> None:
        for _ in range(64):
            try:
                datagram, source = self._socket.recvfrom(65535)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            self.counters.datagrams += 1
            if self.silent or not datagram.strip():
                continue
            try:
                message = read_message(datagram)
            except Unreadable:
                self.counters.unreadable += 1
                continue
            if message.is_request:
                self._take_request(message, source)
            else:
                self._take_response(message, source)

    def _take_response(self, message: SipMessage, source: Address) -> None:
        vias = message.all("via")
        branch = read_via(vias[0]).branch if vias else ""
        asked = self._asked.get(branch)
        if asked is None:
            return
        if message.status < 200:
            return
        if asked.timer is not None:
            asked.timer.cancel()
        del self._asked[branch]
        asked.on_final(message)

    def _take_request(self, message: SipMessage, source: Address) -> None:
        method = message.method
        if method == "ACK":
            self._take_ack(message)
            return
        key = self._key(message, method)
        known = self._exchanges.get(key)
        if known is not None:
            self.counters.retransmissions += 1
            if known.response:
                self.send_again(known)
            return
        exchange = Exchange(key, message, source)
        self._exchanges[key] = exchange
        problem = self._problem(message)
        if problem:
            self._refuse(exchange, problem)
        elif method == "CANCEL":
            self._take_cancel(exchange)
        elif tag_of(message.get("to")):
            self._take_in_dialog(exchange)
        elif method == "INVITE":
            self.counters.invites += 1
            if self._authorized(exchange, 407):
                self._on_invite(exchange)
        elif method == "OPTIONS":
            self.respond(exchange, 200, [("allow", ALLOW), ("accept", "application/sdp")], to_tag=self.token(4))
        elif method == "REGISTER":
            self._take_registration(exchange)
        else:
            self._refuse(exchange, 481 if method in ("BYE", "PRACK", "UPDATE", "INFO") else 405)

    def _problem(self, message: SipMessage) -> int:
        """A status for a request that cannot be served, else 0."""
        required = ("via", "from", "to", "call-id", "cseq")
        if not message.complete or any(message.get(name) is None for name in required):
            return 400
        if message.cseq[1] != message.method.upper():
            return 400
        if (message.get("max-forwards") or "70").strip() == "0":
            return 483
        if message.method in ("INVITE", "REGISTER", "OPTIONS") and message.tokens("require") - {
            "100rel",
            "timer",
            "path",
            "gruu",
            "outbound",
        }:
            return 420
        return 0

    def _refuse(self, exchange: Exchange, status: int) -> None:
        headers: Headers = []
        if status == 420:
            unknown = exchange.request.tokens("require") - {"100rel", "timer"}
            headers.append(("unsupported", ", ".join(sorted(unknown))))
        if status == 405:
            headers.append(("allow", ALLOW))
        if exchange.request.method == "INVITE":
            self.finish_invite(exchange, status, headers)
        else:
            self.respond(exchange, status, headers, to_tag=self.token(4))

    def _take_in_dialog(self, exchange: Exchange) -> None:
        message = exchange.request
        call = self._dialogs.get((message.get("call-id") or "", tag_of(message.get("to"))))
        if call is None:
            self._refuse(exchange, 481)
        else:
            call.take_request(exchange)

    def _take_ack(self, message: SipMessage) -> None:
        exchange = self._exchanges.get(self._key(message, "INVITE"))
        if exchange is not None and exchange.status >= 300:
            if exchange.timer is not None:
                exchange.timer.cancel()
            self.timeline.after(T4, lambda: self._forget(exchange))
            if exchange.call is not None:
                exchange.call.take_ack(message)
            return
        call = self._dialogs.get((message.get("call-id") or "", tag_of(message.get("to"))))
        if call is not None:
            call.take_ack(message)

    def _take_cancel(self, exchange: Exchange) -> None:
        invite = self._exchanges.get(self._key(exchange.request, "INVITE"))
        if invite is None:
            self.respond(exchange, 481, to_tag=self.token(4))
            return
        self.respond(exchange, 200, to_tag=self.token(4))
        if invite.call is not None and invite.status < 200:
            invite.call.take_cancel()

    def _take_registration(self, exchange: Exchange) -> None:
        if not self._authorized(exchange, 401):
            return
        request = exchange.request
        who = uri_of(request.get("to") or "")
        contact = request.get("contact") or ""
        seconds = request.get("expires") or "600"
        for item in contact.rpartition(">")[2].split(";"):
            name, _, value = item.partition("=")
            if name.strip().lower() == "expires" and value.strip().isdigit():
                seconds = value.strip()
        if seconds == "0":
            self.counters.registrations.pop(who, None)
            self.respond(exchange, 200, to_tag=self.token(4))
            return
        self.counters.registrations[who] = uri_of(contact)
        self.respond(exchange, 200, [("contact", f"<{uri_of(contact)}>;expires={seconds}")], to_tag=self.token(4))

    def _authorized(self, exchange: Exchange, status: int) -> bool:
        """Whether the request may pass; it is challenged otherwise, with 407 (INVITE) or 401 (REGISTER)."""
        if self._gate is None:
            return True
        request = exchange.request
        challenge = self._gate.challenge_for(
            request.method, request.get("proxy-authorization" if status == 407 else "authorization"), self.token(12)
        )
        if challenge is None:
            return True
        header = ("proxy-authenticate" if status == 407 else "www-authenticate", challenge)
        if request.method == "INVITE":
            self.finish_invite(exchange, status, [header])
        else:
            self.respond(exchange, status, [header], to_tag=self.token(4))
        return False

    # -- INVITE transactions -----------------------------------------------------------------------

    def finish_invite(
        self, exchange: Exchange, status: int, headers: Headers | None = None, to_tag: str = "", reason: str = ""
    ) -> None:
        """A final response of 300 and above, repeated until its ACK (timers G and H)."""
        self.respond(exchange, status, headers, reason=reason, to_tag=to_tag or self.token(4))
        self._repeat_final(exchange, self.t1, 64 * self.t1)

    def _repeat_final(self, exchange: Exchange, interval: float, left: float) -> None:
        if left <= 0:
            self._forget(exchange)
            return

        def again() -> None:
            self.send_again(exchange)
            self._repeat_final(exchange, min(interval * 2, T2), left - interval)

        exchange.timer = self.timeline.after(min(interval, left), again)

    def _forget(self, exchange: Exchange) -> None:
        self._exchanges.pop(exchange.key, None)

    def forget_later(self, exchange: Exchange) -> None:
        self.timeline.after(64 * self.t1, lambda: self._forget(exchange))

    def _key(self, message: SipMessage, method: str) -> tuple[str, ...]:
        vias = message.all("via")
        via = read_via(vias[0]) if vias else read_via("")
        if via.branch.startswith("z9hG4bK"):
            return via.branch, via.host.lower(), str(via.port), method
        number = str(message.cseq[0])
        return message.get("call-id") or "", tag_of(message.get("from")), number, via.host, via.branch, method

    # -- dialogs -----------------------------------------------------------------------------------

    def join(self, call_id: str, tag: str, call: InviteOwner) -> None:
        self._dialogs[(call_id, tag)] = call

    def part(self, call_id: str, tag: str) -> None:
        self._dialogs.pop((call_id, tag), None)

    def close(self) -> None:
        self.timeline.forget(self._socket)
        self._socket.close()


def target_of(uri: str, fallback: Address) -> Address:
    """Where a request to ``uri`` is sent: its address when it is a numeric one, else where the call came from."""
    host, port = host_of(uri)
    if host and host.replace(".", "").isdigit():
        return host, port or 5060
    return fallback


def dialed_user(message: SipMessage) -> str:
    return user_of(message.uri)
