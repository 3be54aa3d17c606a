"""Identifiers: a prefix that says what it names, then 26 sortable characters (48-bit ms time, 80 random bits)."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits each
_SHIFTS = range(120, -10, -10)


def new_id(prefix: str) -> str:
    """A fresh identifier such as ``call_01jd...``: unique across nodes, sorting by the time it was made."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"
