"""Offers and answers (RFC 3264)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.engines.sip.sdp import Agreed, Direction, Ours, SdpTrouble, agree, answer, offer, parse

OURS = Ours(host="192.0.2.1", port=20000, codecs=("PCMA", "PCMU"), ptime=20, session=1)
codecs = st.permutations(["PCMA", "PCMU"]).flatmap(lambda both: st.sampled_from([tuple(both), (both[0],)]))
ours = st.builds(
    Ours,
    host=st.just("192.0.2.1"),
    port=st.integers(1024, 65534),
    codecs=codecs,
    ptime=st.sampled_from([20, 30]),
    session=st.integers(0, 2**31),
    version=st.integers(1, 9),
    hold=st.booleans(),
)


@given(caller=ours, called=ours)
def test_both_sides_agree_on_the_same_thing(caller: Ours, called: Ours) -> None:
    """Whatever we offer another of us: both know one codec, one number, and who may speak."""
    offered = parse(offer(caller))
    at_called = agree(offered, called, answering=True)
    if not set(caller.codecs) & set(called.codecs):
        assert at_called is None
        return
    assert at_called is not None
    at_caller = agree(parse(answer(called, offered, at_called)), caller, answering=False)
    assert at_caller is not None
    assert (at_caller.codec, at_caller.payload_type) == (at_called.codec, at_called.payload_type)
    assert at_caller.telephone_event_pt == at_called.telephone_event_pt == 101
    assert at_caller.send or not at_called.receive
    assert not (caller.hold and at_caller.receive)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, "v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 8\r\n" + text):
        try:
            assert 0 < parse(candidate).port < 65536
        except SdpTrouble:
            continue


@pytest.mark.parametrize(
    ("lines", "held"), [("a=sendonly", True), ("a=inactive", True), ("a=recvonly", False), ("a=sendrecv", False)]
)
def test_hold(lines: str, held: bool) -> None:
    assert parse(f"v=0\nc=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 8\n{lines}\n").on_hold is held


def test_hold_as_in_rfc_2543() -> None:
    theirs = parse("v=0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 8\n")
    agreed = agree(theirs, OURS, answering=True)
    assert theirs.on_hold
    assert agreed is not None
    assert not agreed.send


def test_dynamic_numbers_ptime_and_declined_video() -> None:
    theirs = parse(
        "v=0\nc=IN IP4 192.0.2.9\nm=video 5000 RTP/AVP 99\nm=audio 4000 RTP/AVP 18 96 98\n"
        "a=rtpmap:96 PCMU/8000\na=rtpmap:98 telephone-event/8000\na=ptime:30\n"
    )
    agreed = agree(theirs, OURS, answering=True)
    assert agreed == Agreed(
        host="192.0.2.9",
        port=4000,
        codec="PCMU",
        payload_type=96,
        telephone_event_pt=98,
        ptime=30,
        send=True,
        receive=True,
    )
    text = answer(OURS, theirs, agreed)
    assert text.index("m=video 0 RTP/AVP 99") < text.index("m=audio 20000 RTP/AVP 96 98")


def test_no_codec_in_common() -> None:
    theirs = parse("v=0\nc=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 18 101\na=rtpmap:101 telephone-event/8000\n")
    assert agree(theirs, OURS, answering=True) is None


@pytest.mark.parametrize(
    "bad", ["", "v=0\n", "v=0\nm=audio 0 RTP/AVP 8\n", "v=0\nm=audio 9 RTP/AVP 8\n", "v=0\nc=IN IP4 x\n"]
)
def test_useless_descriptions(bad: str) -> None:
    with pytest.raises(SdpTrouble):
        parse(bad)


@given(first=st.booleans(), second=st.booleans())
def test_direction_is_what_it_does(first: bool, second: bool) -> None:
    direction = Direction.of(sends=first, receives=second)
    assert (direction.sends, direction.receives) == (first, second)
    assert replace(OURS, hold=True).next_version(hold=False).version == OURS.version + 1
