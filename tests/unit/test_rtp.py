"""RTP parsing never raises and never believes lengths that lie."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dialer.media.rtp import LENGTHS, RTCP, SHORT, VERSION, payload_span


def build(payload: bytes, csrcs: int, extension: bytes | None, padding: int) -> bytes:
    first = 0x80 | csrcs | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    head = bytes([first, 8]) + bytes(10) + bytes(4 * csrcs)
    if extension is not None:
        head += b"\xbe\xde" + (len(extension) // 4).to_bytes(2, "big") + extension
    tail = bytes(padding - 1) + bytes([padding]) if padding else b""
    return head + payload + tail


@given(
    st.binary(max_size=200),
    st.integers(0, 15),
    st.none() | st.integers(0, 8).map(lambda words: bytes(4 * words)),
    st.integers(0, 20),
    st.integers(0, 30),
)
def test_the_payload_is_found(payload: bytes, csrcs: int, extension: bytes | None, padding: int, start: int) -> None:
    raw = build(payload, csrcs, extension, padding)
    span = payload_span(bytes(start) + raw + b"rest", start, len(raw))
    assert not isinstance(span, str)
    at, size = span
    assert (bytes(start) + raw)[at : at + size] == payload


@given(st.binary(max_size=100))
def test_garbage_is_named_and_stays_inside(raw: bytes) -> None:
    span = payload_span(raw, 0, len(raw))
    if isinstance(span, str):
        assert span in (SHORT, VERSION, RTCP, LENGTHS)
    else:
        assert 12 <= span[0] <= len(raw)
        assert 0 <= span[1] <= len(raw) - span[0]


def test_each_kind_of_garbage() -> None:
    assert payload_span(b"\x80\x08", 0, 2) == SHORT
    assert payload_span(b"\x40\x08" + bytes(10), 0, 12) == VERSION
    assert payload_span(b"\x80\xc8" + bytes(26), 0, 28) == RTCP
    assert payload_span(b"\x8f\x08" + bytes(20), 0, 22) == LENGTHS  # 15 CSRCs do not fit
    assert payload_span(b"\x90\x08" + bytes(12) + b"\xff\xff", 0, 16) == LENGTHS
    assert payload_span(b"\xa0\x08" + bytes(20) + b"\xff", 0, 23) == LENGTHS
    assert payload_span(b"\xa0\x08" + bytes(20) + b"\x00", 0, 23) == LENGTHS
