"""RFC 3261 17 with RFC 6026: what is retransmitted, until when, and who hears of it.

No sockets and no clock of its own: it sends through a function and waits through ``Timers``, so tests
run it on scripted time. Not sippy's SipTransactionManager: see docs/decisions/0004-sip-transactions.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

from dialer.engines.sip.message import COOKIE, Request, Response, reply_address, respond
from dialer.engines.sip.uri import Address, MalformedMessage

log = logging.getLogger(__name__)

OnResponse = Callable[[Response], None]
OnTimeout = Callable[[], None]


class Pending(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """What an asyncio loop already is."""

    def call_later(self, delay: float, callback: Callable[[], Any], /) -> Pending: ...


class State(StrEnum):
    CALLING = "calling"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"  # RFC 6026: more 2xx may come from other branches
    COMPLETED = "completed"
    LOST = "lost"  # timer B fired; a late answer is still told, so that nobody stays on an open line
    TERMINATED = "terminated"


class Transactions:
    """All transactions of one socket.

    ``on_request(request, server)`` gets each new request once. ``t1`` in seconds; T2 = 8 T1, T4 = 10 T1 as in
    the RFC's defaults (0.5, 4, 5 s).
    """

    def __init__(
        self,
        *,
        send: Callable[[bytes, Address], None],
        timers: Timers,
        t1: float,
        on_request: Callable[[Request, Server], None],
        on_stray_ack: Callable[[Request], None],
    ) -> None:
        self.send = send
        self.timers = timers
        self.t1 = t1
        self._on_request = on_request
        self._on_stray_ack = on_stray_ack
        self._clients: dict[tuple[str, str], InviteClient | Client] = {}
        self._servers: dict[tuple[str, ...], Server] = {}
        self.unmatched_responses = 0

    @property
    def t2(self) -> float:
        return 8 * self.t1

    @property
    def t4(self) -> float:
        return 10 * self.t1

    @property
    def lifetime(self) -> float:
        """64 T1: how long either side keeps trying (timers B, D, F, H, J, L, M)."""
        return 64 * self.t1

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def invite(self, request: Request, to: Address, on_response: OnResponse, on_timeout: OnTimeout) -> InviteClient:
        client = InviteClient(self, request, to, on_response, on_timeout)
        self._clients[client.key] = client
        client.start()
        return client

    def resume_invite(
        self, request: Request, to: Address, on_response: OnResponse, on_timeout: OnTimeout
    ) -> InviteClient:
        """An INVITE that an earlier process sent: nothing is sent now, but it can be cancelled and answered."""
        client = InviteClient(self, request, to, on_response, on_timeout)
        client.state = State.PROCEEDING
        self._clients[client.key] = client
        return client

    def request(self, request: Request, to: Address, on_response: OnResponse, on_timeout: OnTimeout) -> Client:
        client = Client(self, request, to, on_response, on_timeout)
        self._clients[client.key] = client
        client.start()
        return client

    def forget_client(self, key: tuple[str, str]) -> None:
        self._clients.pop(key, None)

    def forget_server(self, server: Server) -> None:
        self._servers.pop(server.key, None)

    def receive(self, message: Request | Response, source: Address) -> None:
        """One message that passed the gate."""
        if isinstance(message, Response):
            client = self._clients.get((message.via.branch or "", message.cseq[1]))
            if client is None:
                self.unmatched_responses += 1
            else:
                client.receive(message)
            return
        key = _server_key(message)
        server = self._servers.get(key)
        if message.method == "ACK":
            if server is None or not server.acknowledged():
                self._on_stray_ack(message)
        elif server is not None:
            server.repeat()
        elif message.method == "CANCEL":
            self._receive_cancel(message, key, source)
        else:
            server = Server(self, message, source, key)
            self._servers[key] = server
            try:
                self._on_request(message, server)
            except Exception as error:
                # Answered all the same: an open transaction would be kept for ever, and the far side would repeat it.
                wrong = isinstance(error, MalformedMessage)
                server.respond(respond(message, *((400, "Bad Request") if wrong else (500, "Server Internal Error"))))
                raise

    def _receive_cancel(self, cancel: Request, key: tuple[str, ...], source: Address) -> None:
        # We answer every request at once, so a CANCEL never finds one still open (RFC 3261 9.2).
        target = self._servers.get((*key[:-1], "INVITE"))
        status, reason = (200, "OK") if target else (481, "Call/Transaction Does Not Exist")
        self.send(respond(cancel, status, reason).render(), reply_address(cancel, source))

    def close(self) -> None:
        for client in list(self._clients.values()):
            client.terminate()
        for server in list(self._servers.values()):
            server.terminate()


def _server_key(request: Request) -> tuple[str, ...]:
    via = request.via
    method = "INVITE" if request.method == "ACK" else request.method
    if via.branch and via.branch.startswith(COOKIE):
        return (via.branch, via.sent_by, method)
    return (request.call_id, request.from_tag, str(request.cseq[0]), via.text, method)  # RFC 2543 peers


class _Timed:
    def __init__(self, owner: Transactions) -> None:
        self._owner = owner
        self._running: dict[str, Pending] = {}

    def _start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._stop(name)
        self._running[name] = self._owner.timers.call_later(seconds, action)

    def _stop(self, *names: str) -> None:
        for name in names:
            timer = self._running.pop(name, None)
            if timer is not None:
                timer.cancel()

    def _stop_all(self) -> None:
        self._stop(*list(self._running))


class Client(_Timed):
    """A request other than INVITE: repeated until a final response (17.1.2)."""

    def __init__(
        self, owner: Transactions, request: Request, to: Address, on_response: OnResponse, on_timeout: OnTimeout
    ) -> None:
        super().__init__(owner)
        self.request = request
        self.key = (request.via.branch or "", request.method)
        self.state = State.CALLING
        self._to = to
        self._wire = request.render()
        self._on_response = on_response
        self._on_timeout = on_timeout
        self._interval = owner.t1

    def start(self) -> None:
        self._owner.send(self._wire, self._to)
        self._start("E", self._interval, self._again)
        self._start("F", self._owner.lifetime, self._expired)

    def _again(self) -> None:
        self._owner.send(self._wire, self._to)
        proceeding = self.state is State.PROCEEDING
        self._interval = self._owner.t2 if proceeding else min(2 * self._interval, self._owner.t2)
        self._start("E", self._interval, self._again)

    def _expired(self) -> None:
        self.terminate()
        self._on_timeout()

    def receive(self, response: Response) -> None:
        if self.state is State.COMPLETED:
            return
        if response.status < 200:
            self.state = State.PROCEEDING
        else:
            self.state = State.COMPLETED
            self._stop("E", "F")
            self._start("K", self._owner.t4, self.terminate)
        self._on_response(response)

    def terminate(self) -> None:
        self._stop_all()
        self.state = State.TERMINATED
        self._owner.forget_client(self.key)


class InviteClient(_Timed):
    """An INVITE (17.1.1, RFC 6026). Tells every provisional response, every 2xx, and the first failure."""

    def __init__(
        self, owner: Transactions, request: Request, to: Address, on_response: OnResponse, on_timeout: OnTimeout
    ) -> None:
        super().__init__(owner)
        self.request = request
        self.to = to
        self.key = (request.via.branch or "", "INVITE")
        self.state = State.CALLING
        self.cancelled = False
        self._wire = request.render()
        self._ack: bytes | None = None
        self._on_response = on_response
        self._on_timeout = on_timeout
        self._interval = owner.t1

    @property
    def finished(self) -> bool:
        return self.state in (State.ACCEPTED, State.COMPLETED, State.LOST, State.TERMINATED)

    def start(self) -> None:
        self._owner.send(self._wire, self.to)
        self._start("A", self._interval, self._again)
        self._start("B", self._owner.lifetime, self._expired)

    def _again(self) -> None:
        self._owner.send(self._wire, self.to)
        self._interval *= 2
        self._start("A", self._interval, self._again)

    def _expired(self) -> None:
        """No response at all (timer B), or none after our CANCEL (RFC 3261 9.1): given up, but still listening."""
        self._stop("A", "B", "cancel")
        self.state = State.LOST
        self._start("linger", self._owner.lifetime, self.terminate)
        self._on_timeout()

    def receive(self, response: Response) -> None:
        if response.status < 200:
            self._receive_provisional(response)
        elif response.status < 300:
            self._receive_accepted(response)
        else:
            self._receive_failure(response)

    def _receive_provisional(self, response: Response) -> None:
        if self.state is State.LOST:
            self._on_response(response)
            self.send_cancel()
            return
        if self.state not in (State.CALLING, State.PROCEEDING):
            return
        self.state = State.PROCEEDING
        self._stop("A", "B")
        if self.cancelled:
            self.send_cancel()
        self._on_response(response)

    def _receive_accepted(self, response: Response) -> None:
        if self.state is State.TERMINATED:
            return
        if self.state is State.COMPLETED:
            # After a failure no proxy may pass an answer on (16.7); some do. Told, so that nobody stays on an open line.
            self._on_response(response)
            return
        if self.state is not State.ACCEPTED:
            self._stop_all()
            self.state = State.ACCEPTED
            self._start("M", self._owner.lifetime, self.terminate)
        self._on_response(response)

    def _receive_failure(self, response: Response) -> None:
        if self.state is State.ACCEPTED:
            return
        first = self.state in (State.CALLING, State.PROCEEDING)
        if self._ack is None:
            self._ack = self._ack_of(response).render()
        self._owner.send(self._ack, self.to)
        if self.state is not State.COMPLETED:
            self._stop_all()
            self.state = State.COMPLETED
            self._start("D", self._owner.lifetime, self.terminate)
        if first:
            self._on_response(response)

    def _ack_of(self, response: Response) -> Request:
        """17.1.1.3: the INVITE's top Via, Route and CSeq number, the response's To."""
        return self._hop_request("ACK", response.first("to") or "")

    def _hop_request(self, method: str, to: str) -> Request:
        headers = [("via", self.request.first("via") or "")]
        headers += [("route", route) for route in self.request.values("route")]
        headers += [("max-forwards", "70"), ("from", self.request.first("from") or ""), ("to", to)]
        headers += [("call-id", self.request.call_id), ("cseq", f"{self.request.cseq[0]} {method}")]
        return Request(headers=headers, method=method, uri=self.request.uri)

    def cancel(self) -> None:
        """Take it back: now if a provisional response came, else as soon as one does (RFC 3261 9.1)."""
        if self.cancelled or self.finished:
            return
        self.cancelled = True
        if self.state is State.PROCEEDING:
            self.send_cancel()

    def send_cancel(self) -> None:
        if ("cancel" in self._running) or (self.key[0], "CANCEL") in self._owner._clients:
            return
        request = self._hop_request("CANCEL", self.request.first("to") or "")
        self._owner.request(request, self.to, lambda _response: None, lambda: None)
        if self.state is not State.LOST:
            self._start("cancel", self._owner.lifetime, self._expired)

    def terminate(self) -> None:
        self._stop_all()
        self.state = State.TERMINATED
        self._owner.forget_client(self.key)


class Server(_Timed):
    """A request somebody sent us, and our answer to it (17.2)."""

    def __init__(self, owner: Transactions, request: Request, source: Address, key: tuple[str, ...]) -> None:
        super().__init__(owner)
        self.request = request
        self.source = source
        self.key = key
        self._to = reply_address(request, source)
        self._wire: bytes | None = None
        self._status = 0
        self._interval = owner.t1
        self._on_no_ack: Callable[[], None] = lambda: None

    def respond(self, response: Response, on_no_ack: Callable[[], None] = lambda: None) -> None:
        """Send a response; a final one to INVITE is repeated until its ACK, or ``on_no_ack`` after 64 T1."""
        self._wire = response.render()
        self._status = response.status
        self._owner.send(self._wire, self._to)
        if response.status < 200:
            return
        if self.request.method == "INVITE":
            self._on_no_ack = on_no_ack
            self._start("G", self._interval, self._again)
            self._start("H", self._owner.lifetime, self._no_ack)
        else:
            self._start("J", self._owner.lifetime, self.terminate)

    def _again(self) -> None:
        if self._wire is not None:
            self._owner.send(self._wire, self._to)
        self._interval = min(2 * self._interval, self._owner.t2)
        self._start("G", self._interval, self._again)

    def _no_ack(self) -> None:
        self.terminate()
        self._on_no_ack()

    def repeat(self) -> None:
        """The same request again: the same answer again."""
        if self._wire is not None:
            self._owner.send(self._wire, self._to)

    def acknowledged(self) -> bool:
        """An ACK arrived. True if it belongs to a failure we sent (hop by hop); a 2xx's ACK is the dialog's."""
        if self._status >= 300:
            self.stop_repeating()
            return True
        return False

    def stop_repeating(self) -> None:
        self._stop("G", "H")
        self._start("I", self._owner.t4, self.terminate)

    def terminate(self) -> None:
        self._stop_all()
        self._owner.forget_server(self)
