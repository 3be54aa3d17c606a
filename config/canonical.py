"""One spelling of a JSON value, so that two people who hash the same facts get the same hash.

Keys sorted, no spaces, UTF-8, no NaN; a subset of RFC 8785 in which floats are not used (figures are
integers or decimal text), so that no two languages can disagree about the digits.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from config.errors import InvariantBroken

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def canonical_json(value: Any) -> bytes:
    """``value`` as canonical UTF-8. Raises ``InvariantBroken`` for what JSON cannot say (dates, bytes, NaN)."""
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise InvariantBroken(
            f"a value has no canonical form: {type(error).__name__}", remedy="turn it into text or an integer first"
        ) from error


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
