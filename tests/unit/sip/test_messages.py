"""Reading and writing SIP messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.engines.sip.message import Request, Response, reply_address, respond
from dialer.engines.sip.reading import read
from dialer.engines.sip.uri import MalformedMessage, read_name_address, read_uri, read_via

BASE = (
    "Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa;rport\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
    "Call-ID: x@y\r\nCSeq: 7 INVITE\r\n"
)


def test_transport_in_capitals_is_normalised() -> None:
    """sippy's own UA raises on ;transport=UDP and its BYE is not sent."""
    assert read_uri("sip:a@192.0.2.1:5070;transport=UDP").text == "sip:a@192.0.2.1:5070;transport=udp"
    assert read_name_address("<sip:a@h;transport=Udp>;tag=2").uri.text == "sip:a@h;transport=udp"


def test_a_body_with_non_ascii_characters_is_whole() -> None:
    """sippy alone counts characters, not bytes, and refuses it."""
    body = "v=0\r\ns=催收\r\n".encode()
    head = f"INVITE sip:c@d SIP/2.0\r\n{BASE}Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    message = read(head.encode() + body)
    assert message.body.encode("latin-1") == body


def test_compact_names_and_lists_are_read() -> None:
    message = read(
        b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h:5060;branch=z9hG4bKb\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\n"
        b"i: x\r\nCSeq: 1 INVITE\r\nx: 90;refresher=uac\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nk: timer, 100REL\r\nl: 0\r\n\r\n"
    )
    assert isinstance(message, Response)
    assert message.number("session-expires") == 90
    assert message.values("record-route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert message.tokens("supported") == {"timer", "100rel"}
    assert (message.from_tag, message.to_tag, message.cseq) == ("1", "2", (1, "INVITE"))


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x00" * 40,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SIP/2.0 4294967301 x\r\n" + BASE.encode() + b"\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\n" + BASE.encode() + b"\r\n",
        b"INVITE sip:a@b SIP/7.0\r\n" + BASE.encode() + b"\r\n",
    ],
)
def test_what_is_no_sip_message_is_refused(datagram: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read(datagram)


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_read_or_be_refused(noise: bytes) -> None:
    for datagram in (noise, b"INVITE sip:a@b SIP/2.0\r\n" + BASE.encode() + noise):
        try:
            message = read(datagram)
        except MalformedMessage:
            continue
        assert message.call_id


token = st.text("abcXYZ019-", min_size=1, max_size=12)


@given(user=token, tag=token, call_id=token, cseq=st.integers(0, 2**32 - 1), body=st.text(max_size=60))
def test_what_is_written_is_read_again(user: str, tag: str, call_id: str, cseq: int, body: str) -> None:
    text = body.encode().decode("latin-1")
    headers = [
        ("via", "SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bKq"),
        ("from", f"<sip:{user}@h>;tag={tag}"),
        ("to", "<sip:c@d>"),
        ("call-id", call_id),
        ("cseq", f"{cseq} INVITE"),
    ]
    if text:
        headers.append(("content-type", "application/sdp"))
    message = read(Request(headers=headers, body=text, method="INVITE", uri=f"sip:{user}@h").render())
    assert isinstance(message, Request)
    assert (message.from_tag, message.call_id, message.cseq[0], message.body) == (tag, call_id, cseq, text)


def test_a_response_copies_what_it_must_and_goes_where_the_packet_came_from() -> None:
    request = read(f"INVITE sip:c@d SIP/2.0\r\n{BASE}\r\n".encode())
    assert isinstance(request, Request)
    response = respond(request, 486, "Busy Here")
    assert response.values("via") == request.values("via")
    assert response.to_tag
    assert reply_address(request, ("198.51.100.1", 9)) == ("198.51.100.1", 9)
    assert read_via("SIP / 2.0 / UDP h:5070 ; branch=q").port == 5070
