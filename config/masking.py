"""How a phone number looks outside: enough to tell two apart, not enough to dial."""

from __future__ import annotations


def mask_number(e164: str) -> str:
    """The last four and at most the first six characters stay; at least four are hidden.

    >>> mask_number("+8613812345678")
    '+86138****5678'
    >>> mask_number("+12125550108")
    '+121****0108'
    >>> mask_number("+4420")
    '+4****'
    """
    if len(e164) < 11:
        return e164[:2] + "****"
    shown = min(6, len(e164) - 8)
    return e164[:shown] + "*" * (len(e164) - shown - 4) + e164[-4:]
