"""Byte ranges, by the letter of RFC 9110 section 14."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.problems import RangeOutside
from api.ranges import asked_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-499", (0, 499)),
        ("bytes=500-999", (500, 999)),
        ("bytes=-500", (500, 999)),
        ("bytes=500-", (500, 999)),
        ("bytes=0-0", (0, 0)),
        ("bytes=-1", (999, 999)),
        ("bytes=-5000", (0, 999)),
        ("bytes=990-5000", (990, 999)),
        ("BYTES = 1 - 2", (1, 2)),
    ],
)
def test_one_range(header: str, expected: tuple[int, int]) -> None:
    part = asked_range(header, 1000)
    assert part is not None
    assert (part.first, part.last) == expected


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4"]
)
def test_what_is_malformed_or_not_ours_is_ignored(header: str | None) -> None:
    assert asked_range(header, 1000) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
def test_a_range_without_a_single_byte_is_refused(header: str) -> None:
    with pytest.raises(RangeOutside) as caught:
        asked_range(header, 1000)
    assert caught.value.size == 1000


@given(st.text(max_size=40), st.integers(0, 10_000))
def test_whatever_is_sent_the_range_lies_inside_the_recording(junk: str, size: int) -> None:
    for header in (junk, f"bytes={junk}"):
        try:
            part = asked_range(header, size)
        except RangeOutside:
            continue
        assert part is None or 0 <= part.first <= part.last < size
