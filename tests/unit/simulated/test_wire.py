"""SIP text of the simulated side: tolerant when reading, never surprised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.simulated.media import read_description
from dialer.simulated.sound import make_sound
from dialer.simulated.wire import (
    Unreadable,
    host_of,
    read_message,
    read_parameters,
    read_via,
    split_list,
    tag_of,
    uri_of,
    user_of,
)
from tests.unit.progress.line_noise import ALAW

# after RFC 4475 section 3.1.1.1: everything a legal message may do to a careless parser
TORTUROUS = (
    b"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
    b"TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
    b'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
    b"MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\nCseq: 0009\r\n  INVITE\r\n"
    b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
    b" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
    b'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\r\n  newvalue ;\r\n  secondparam ; q = 0.33\r\n\r\n'
)


def test_a_torturous_message_is_read() -> None:
    message = read_message(TORTUROUS)
    assert message.method == "INVITE"
    assert tag_of(message.get("to")) == "1918181833n"
    assert tag_of(message.get("from")) == "98asjd8"
    assert message.cseq == (9, "INVITE")
    vias = [read_via(value) for value in message.all("via")]
    assert [via.host for via in vias] == ["spindle.example.com", "192.168.255.111"]
    assert [via.branch for via in vias] == ["z9hG4bK9ikj8", "z9hG4bK30239"]
    assert uri_of(message.get("contact") or "") == "sip:jdrosen@example.com"


def test_bare_line_feeds_compact_names_and_a_long_body() -> None:
    message = read_message(b"BYE sip:a@b SIP/2.0\nf: <sip:x@y>;tag=1\ni: abc\nl: 2\n\nhello")
    assert message.get("call-id") == "abc"
    assert message.body == b"he"
    assert message.complete
    assert not read_message(b"BYE sip:a@b SIP/2.0\r\nl: 9\r\n\r\nhello").complete


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: TORTUROUS[:300] + tail))
def test_any_datagram_is_read_or_unreadable(datagram: bytes) -> None:
    try:
        message = read_message(datagram)
    except Unreadable:
        return
    assert isinstance(message.cseq, tuple)
    for value in message.all("via"):
        read_via(value)
    tag_of(message.get("to"))
    if message.is_request:
        host_of(user_of(message.uri))


@given(st.text(max_size=300))
def test_any_session_description_is_read_or_none(body: str) -> None:
    description = read_description(("v=0\nm=audio 4000 RTP/AVP 8\n" + body).encode("utf-8", "replace"))
    assert description is None or description.port >= 0


@pytest.mark.parametrize(
    ("value", "parts"),
    [('"a, b" <sip:x>, <sip:y,z>', 2), ("one", 1), ("", 0), ("a,,b", 2), ('"unfinished, <sip:x>', 1)],
)
def test_lists_split_only_at_commas_of_the_list(value: str, parts: int) -> None:
    assert len(split_list(value)) == parts


def test_digest_parameters() -> None:
    assert read_parameters('Digest realm="a, b", nonce="x", qop="auth,auth-int"') == {
        "realm": "a, b",
        "nonce": "x",
        "qop": "auth,auth-int",
    }


def test_the_encoder_is_g711() -> None:
    """Every A-law code decodes and encodes to itself; every sample decodes to within its step."""
    again = np.frombuffer(make_sound("all", ALAW).encoded["PCMA"], np.uint8)
    assert np.array_equal(ALAW[again], ALAW)
    samples = np.arange(-32000, 32000, 7).astype(np.int16)
    decoded = ALAW[np.frombuffer(make_sound("ramp", samples).encoded["PCMA"], np.uint8)].astype(np.int32)
    assert np.all(np.abs(decoded - samples) <= np.maximum(16, np.abs(samples.astype(np.int32)) / 16))
