"""Byte ranges of RFC 9110 section 14 (RFC 7233 before it): one range, pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.problems import RangeOutside

_ONE_RANGE = re.compile(r"^\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*$", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Both ends inclusive, 0-based."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def asked_range(header: str | None, size: int) -> ByteRange | None:
    """The range to send, or None to send the whole.

    A header that is malformed, in another unit, or that asks for several ranges is ignored, as section 14.2 allows.
    Raises RangeOutside when it is well formed and no byte of it exists.
    """
    found = _ONE_RANGE.match(header) if header else None
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        wanted = min(int(last), size)
        if wanted == 0:
            raise RangeOutside(size)
        return ByteRange(size - wanted, size - 1)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeOutside(size)
    return ByteRange(int(first), min(int(last), size - 1) if last else size - 1)
