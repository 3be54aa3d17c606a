"""RFC 3261 17 on scripted time: what is sent when, and who hears of it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dialer.engines.sip.message import Request, Response, respond
from dialer.engines.sip.reading import read
from dialer.engines.sip.transactions import Server, State, Transactions
from dialer.engines.sip.uri import Address

T1 = 0.5
FAR = ("192.0.2.9", 5060)


class Pending:
    def __init__(self, action: Callable[[], Any]) -> None:
        self.action: Callable[[], Any] | None = action

    def cancel(self) -> None:
        self.action = None


class Wire:
    """Time that moves when told, and everything that was sent with its moment."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self.requests: list[tuple[Request, Server]] = []
        self.acks: list[Request] = []
        self._due: list[tuple[float, int, Pending]] = []
        self._order = itertools.count()
        self.transactions = Transactions(
            send=self._send,
            timers=self,
            t1=T1,
            on_request=lambda request, server: self.requests.append((request, server)),
            on_stray_ack=self.acks.append,
        )

    def _send(self, data: bytes, address: Address) -> None:
        self.sent.append((round(self.now, 3), data.split(b" ")[0 if not data.startswith(b"SIP") else 1].decode()))

    def call_later(self, delay: float, callback: Callable[[], Any]) -> Pending:
        pending = Pending(callback)
        heapq.heappush(self._due, (self.now + delay, next(self._order), pending))
        return pending

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, pending = heapq.heappop(self._due)
            if pending.action is not None:
                pending.action()
        self.now = until

    def moments(self, what: str) -> list[float]:
        return [at for at, name in self.sent if name == what]


def request(method: str, branch: str = "z9hG4bK1") -> Request:
    headers = [
        ("via", f"SIP/2.0/UDP 192.0.2.1:5060;rport;branch={branch}"),
        ("from", "<sip:a@b>;tag=1"),
        ("to", "<sip:c@d>"),
        ("call-id", "x"),
        ("cseq", f"1 {method}"),
    ]
    return Request(headers=headers, method=method, uri="sip:c@d")


def answer(to: Request, status: int, tag: str = "t") -> Response:
    made = read(respond(to, status, "x", to_tag=tag).render())
    assert isinstance(made, Response)
    return made


def test_an_invite_is_repeated_doubling_and_given_up_after_64_t1() -> None:
    wire, lost = Wire(), []
    wire.transactions.invite(request("INVITE"), FAR, lambda _r: None, lambda: lost.append(wire.now))
    wire.run(100)
    assert wire.moments("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert lost == [32.0]
    assert len(wire.transactions) == 0, "nothing is kept for ever"


def test_another_request_is_repeated_up_to_t2() -> None:
    wire, lost = Wire(), []
    wire.transactions.request(request("BYE"), FAR, lambda _r: None, lambda: lost.append(wire.now))
    wire.run(100)
    assert wire.moments("BYE")[:5] == [0, 0.5, 1.5, 3.5, 7.5]
    assert wire.moments("BYE")[5] == 11.5
    assert lost == [32.0]


def test_a_failure_is_told_once_and_acknowledged_each_time() -> None:
    wire, heard = Wire(), []
    invite = request("INVITE")
    wire.transactions.invite(invite, FAR, lambda r: heard.append(r.status), lambda: None)
    for _ in range(3):
        wire.transactions.receive(answer(invite, 486), FAR)
    assert heard == [486]
    assert len(wire.moments("ACK")) == 3
    wire.run(100)
    assert wire.moments("INVITE") == [0]
    assert len(wire.transactions) == 0


def test_every_2xx_is_told_and_no_ack_is_sent_for_it() -> None:
    wire, heard = Wire(), []
    invite = request("INVITE")
    wire.transactions.invite(invite, FAR, lambda r: heard.append((r.status, r.to_tag)), lambda: None)
    for tag in ("a", "a", "b"):
        wire.transactions.receive(answer(invite, 200, tag), FAR)
    assert heard == [(200, "a"), (200, "a"), (200, "b")]
    assert not wire.moments("ACK")


def test_cancel_waits_for_a_provisional_response() -> None:
    wire, lost = Wire(), []
    invite = request("INVITE")
    client = wire.transactions.invite(invite, FAR, lambda _r: None, lambda: lost.append(wire.now))
    client.cancel()
    wire.run(2)
    assert not wire.moments("CANCEL")
    wire.transactions.receive(answer(invite, 100), FAR)
    assert wire.moments("CANCEL") == [2]
    wire.run(100)
    assert lost == [34.0], "no final response 64 T1 after the CANCEL: given up"


def test_a_late_ringing_after_timer_b_is_cancelled_and_a_late_answer_told() -> None:
    wire, heard = Wire(), []
    invite = request("INVITE")
    client = wire.transactions.invite(invite, FAR, lambda r: heard.append(r.status), lambda: None)
    wire.run(33)
    assert client.state is State.LOST
    wire.transactions.receive(answer(invite, 180), FAR)
    assert wire.moments("CANCEL") == [33]
    wire.transactions.receive(answer(invite, 200), FAR)
    assert heard == [180, 200]


def test_a_repeated_request_gets_the_same_answer_and_is_told_once() -> None:
    wire = Wire()
    bye = request("BYE")
    wire.transactions.receive(bye, FAR)
    wire.requests[0][1].respond(respond(bye, 200, "OK"))
    wire.transactions.receive(bye, FAR)
    assert len(wire.requests) == 1
    assert len(wire.moments("200")) == 2


def test_our_200_to_a_reinvite_is_repeated_until_its_ack() -> None:
    wire, unacknowledged = Wire(), []
    invite = request("INVITE")
    wire.transactions.receive(invite, FAR)
    server = wire.requests[0][1]
    server.respond(respond(invite, 200, "OK"), lambda: unacknowledged.append(wire.now))
    wire.run(40)
    assert unacknowledged == [32.0]
    assert wire.moments("200")[:4] == [0, 0.5, 1.5, 3.5]
    wire.transactions.receive(request("ACK", "z9hG4bK2"), FAR)
    assert len(wire.acks) == 1, "the ACK of a 2xx is the dialog's"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("response"), st.sampled_from([100, 180, 183, 200, 202, 302, 404, 486, 503, 603])),
        st.tuples(st.just("wait"), st.sampled_from([0, 1, 5, 31, 40])),
        st.tuples(st.just("cancel"), st.just(0)),
    ),
    max_size=12,
)


@given(steps)
def test_no_order_of_things_tells_two_ends_or_keeps_anything(script: list[tuple[str, int]]) -> None:
    wire = Wire()
    ends: list[object] = []
    invite = request("INVITE")

    def heard(response: Response) -> None:
        if response.status >= 300:
            ends.append(response.status)

    client = wire.transactions.invite(invite, FAR, heard, lambda: ends.append("silence"))
    first_provisional: float | None = None
    for what, value in script:
        if what == "response":
            if value < 200 and first_provisional is None:
                first_provisional = wire.now
            wire.transactions.receive(answer(invite, value), FAR)
        elif what == "wait":
            wire.run(wire.now + value)
        else:
            client.cancel()
    cancels = wire.moments("CANCEL")
    assert not cancels or (first_provisional is not None and cancels[0] >= first_provisional)
    assert len(ends) <= 1
    client.cancel()
    if client.state is State.PROCEEDING:
        wire.run(wire.now + 200)
    wire.run(wire.now + 200)
    assert len(wire.transactions) <= 1, "only an INVITE that still rings may live on"
