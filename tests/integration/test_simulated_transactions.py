"""The simulated carrier's transactions, by a caller that misbehaves: raw datagrams, timers a twenty-fifth of RFC 3261's."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from random import Random

import pytest

from dialer.simulated.carrier import Carrier, CarrierSettings
from dialer.simulated.directory import Directory
from dialer.simulated.line import LineHabits
from dialer.simulated.personas import Person, Persona
from dialer.simulated.timeline import Timeline

T1 = 0.02
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n"
PEOPLE = {
    "+861": Person(persona=Persona.BUSY, ring_after=0.0),
    "+862": Person(persona=Persona.CARDHOLDER, ring_after=0.0, answer_after=0.01, listens=60.0),
    "+863": Person(persona=Persona.RINGS_OUT, ring_after=0.0),
    "+864": Person(persona=Persona.NO_RESPONSE),
    "+865": Person(persona=Persona.ANNOUNCEMENT, ring_after=0.0, announced_for=0.1),
}


class RawCaller:
    """Turns the carrier's loop itself, so that everything happens in this thread."""

    def __init__(self, habits: LineHabits | None = None, max_calls: int = 500) -> None:
        self.timeline = Timeline()
        settings = CarrierSettings(
            directory=Directory(PEOPLE), habits=habits or LineHabits(), t1=T1, max_calls=max_calls
        )
        self.carrier = Carrier(self.timeline, settings)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def send(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, (self.carrier.endpoint.host, self.carrier.endpoint.port))

    def request(
        self,
        method: str,
        number: str,
        cseq: int = 1,
        branch: str = "",
        to_tag: str = "",
        body: str = "",
        extra: str = "",
    ) -> None:
        content = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        self.send(
            (
                f"{method} sip:{number}@127.0.0.1 SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};rport;branch=z9hG4bK{branch or number[1:] + 'i'}\r\n"
                f"From: <sip:caller@127.0.0.1>;tag=c\r\nTo: <sip:{number}@127.0.0.1>{to_tag}\r\nCall-ID: call{number}\r\n"
                f"CSeq: {cseq} {method}\r\nContact: <sip:caller@127.0.0.1:{self.port}>\r\nMax-Forwards: 70\r\n{extra}{content}"
            ).encode()
        )

    def hear(self, seconds: float) -> list[str]:
        """Every datagram that comes within ``seconds``."""
        end = time.monotonic() + seconds
        came = []
        while time.monotonic() < end:
            self.timeline.turn(0.005)
            try:
                came.append(self.socket.recv(65535).decode())
            except BlockingIOError:
                continue
        return came

    def hear_until(self, start: str, seconds: float = 3.0) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in self.hear(0.01):
                if message.startswith(start):
                    return message
        raise AssertionError(f"no {start}")

    def close(self) -> None:
        self.carrier.close()
        self.timeline.close()
        self.socket.close()


@pytest.fixture
def caller() -> Iterator[RawCaller]:
    raw = RawCaller()
    yield raw
    raw.close()


def tag(message: str) -> str:
    found = re.search(r"\r\nTo: [^\r]*(;tag=\w+)", message)
    assert found is not None
    return found[1]


def finals(messages: list[str], status: int) -> int:
    return sum(message.startswith(f"SIP/2.0 {status}") for message in messages)


def test_a_refusal_is_repeated_until_its_ack(caller: RawCaller) -> None:
    caller.request("INVITE", "+861", body=SDP)
    heard = caller.hear(0.2)
    assert finals(heard, 486) >= 3  # at 0, T1, 3 T1, 7 T1
    caller.request("ACK", "+861", to_tag=tag(heard[-1]))
    caller.hear(0.1)
    assert finals(caller.hear(0.3), 486) == 0


def test_a_repeated_invite_gets_the_same_answer_and_makes_no_second_call(caller: RawCaller) -> None:
    caller.request("INVITE", "+863", body=SDP)
    first = caller.hear_until("SIP/2.0 180")
    caller.request("INVITE", "+863", body=SDP)
    assert caller.hear_until("SIP/2.0 180") == first
    assert len(caller.carrier.lines) == 1


def test_an_answer_without_ack_is_repeated_and_then_taken_back(caller: RawCaller) -> None:
    caller.request("INVITE", "+862", body=SDP)
    heard = caller.hear(64 * T1 + 0.5)
    assert finals(heard, 200) >= 5
    assert any(message.startswith("BYE ") for message in heard)
    assert caller.carrier.bill[0].ended_by == "no-ack"


def test_ringing_reliably_is_repeated_until_prack() -> None:
    raw = RawCaller(LineHabits(reliable=True))
    try:
        raw.request("INVITE", "+863", body=SDP, extra="Supported: 100rel\r\n")
        heard = raw.hear(0.2)
        assert finals(heard, 180) >= 3
        rseq = re.search(r"RSeq: (\d+)", heard[-1])
        assert rseq is not None
        raw.request("PRACK", "+863", 2, "wrong", tag(heard[-1]), extra="RAck: 1 1 INVITE\r\n")
        assert raw.hear_until("SIP/2.0 481")
        raw.request("PRACK", "+863", 3, "right", tag(heard[-1]), extra=f"RAck: {rseq[1]} 1 INVITE\r\n")
        assert raw.hear_until("SIP/2.0 200")
        raw.hear(0.05)
        assert finals(raw.hear(0.3), 180) == 0
    finally:
        raw.close()


def test_without_prack_the_call_is_given_up() -> None:
    raw = RawCaller(LineHabits(reliable=True))
    try:
        raw.request("INVITE", "+863", body=SDP, extra="Supported: 100rel\r\n")
        assert raw.hear_until("SIP/2.0 504", 64 * T1 + 2)
        assert raw.carrier.bill[0].ended_by == "no-prack"
    finally:
        raw.close()


def test_no_response_is_silence(caller: RawCaller) -> None:
    caller.request("INVITE", "+864", body=SDP)
    caller.request("INVITE", "+864", body=SDP)
    assert caller.hear(0.3) == []


def test_an_offer_without_a_codec_we_speak(caller: RawCaller) -> None:
    caller.request("INVITE", "+862", body=SDP.replace("RTP/AVP 8", "RTP/AVP 18"))
    assert caller.hear_until("SIP/2.0 488")


def test_a_late_offer_is_made_in_the_answer(caller: RawCaller) -> None:
    caller.request("INVITE", "+862")
    answer = caller.hear_until("SIP/2.0 200")
    assert "m=audio" in answer
    caller.request("ACK", "+862", branch="ack", to_tag=tag(answer), body=SDP)
    caller.hear(0.1)
    (line,) = caller.carrier.lines
    assert line.media.sent > 0


def test_a_stray_bye_and_cancel_find_nothing(caller: RawCaller) -> None:
    caller.request("BYE", "+862", 2, "b", ";tag=nobody")
    assert caller.hear_until("SIP/2.0 481")
    caller.request("CANCEL", "+863", 1, "c")
    assert caller.hear_until("SIP/2.0 481")


def test_more_calls_than_channels_are_refused_with_retry_after() -> None:
    raw = RawCaller(max_calls=1)
    try:
        raw.request("INVITE", "+863", body=SDP)
        raw.hear_until("SIP/2.0 180")
        raw.request("INVITE", "+865", body=SDP)
        assert "Retry-After: 2" in raw.hear_until("SIP/2.0 503")
    finally:
        raw.close()


def test_garbage_is_counted_and_changes_nothing(caller: RawCaller) -> None:
    rng = Random(4)
    for size in range(0, 300, 3):
        caller.send(rng.randbytes(size))
    caller.send(b"INVITE\r\n\r\n")
    caller.send(b"SIP/2.0 banana\r\n\r\n")
    caller.send(b"INVITE sip:+861@127.0.0.1 SIP/2.0\r\nContent-Length: 999\r\n\r\n")
    caller.send(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKnone\r\n\r\n")
    caller.hear(0.05)
    caller.request("OPTIONS", "+861", 1, "o")
    assert "Allow: INVITE" in caller.hear_until("SIP/2.0 200")
    assert caller.carrier.endpoint.counters.unreadable > 50
    assert not caller.carrier.lines


def test_hanging_up_leaves_no_socket_and_no_line(caller: RawCaller) -> None:
    caller.request("INVITE", "+862", body=SDP)
    answer = caller.hear_until("SIP/2.0 200")
    caller.request("ACK", "+862", 1, "a", tag(answer))
    caller.request("BYE", "+862", 2, "b", tag(answer))
    assert caller.hear_until("SIP/2.0 200")
    assert not caller.carrier.lines
    (bill,) = caller.carrier.bill
    assert bill.ended_by == "caller"
    caller.request("BYE", "+862", 2, "b", tag(answer))  # its 200 was lost
    assert caller.hear_until("SIP/2.0 200")
