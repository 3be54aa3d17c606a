"""What the network said -> one ``HangupCause``. Pure.

Sources: RFC 3398 8.2.6.1 (status -> Q.850) read backwards, RFC 3326 (Reason), ITU-T Q.850 table 1.
A Q.850 cause is the exchange's own word and wins over the SIP status a gateway made of it, except
where it says nothing (16, 31, 127 before an answer) and the status does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from case_store.network import HangupCause

_BY_Q850 = {
    1: HangupCause.UNALLOCATED,
    2: HangupCause.NO_ROUTE,
    3: HangupCause.NO_ROUTE,
    16: HangupCause.NORMAL,
    17: HangupCause.BUSY,
    18: HangupCause.NO_USER_RESPONSE,
    19: HangupCause.NO_ANSWER,
    20: HangupCause.SUBSCRIBER_ABSENT,
    21: HangupCause.REJECTED,
    22: HangupCause.NUMBER_CHANGED,
    23: HangupCause.NUMBER_CHANGED,
    27: HangupCause.DESTINATION_OUT_OF_ORDER,
    28: HangupCause.INVALID_NUMBER,
    31: HangupCause.NORMAL,
    34: HangupCause.CONGESTION,
    38: HangupCause.NETWORK_OUT_OF_ORDER,
    41: HangupCause.TEMPORARY_FAILURE,
    42: HangupCause.CONGESTION,
    44: HangupCause.CONGESTION,
    47: HangupCause.CONGESTION,
    55: HangupCause.REJECTED,
    57: HangupCause.REJECTED,
    58: HangupCause.INCOMPATIBLE,
    65: HangupCause.INCOMPATIBLE,
    79: HangupCause.INCOMPATIBLE,
    87: HangupCause.REJECTED,
    88: HangupCause.INCOMPATIBLE,
    102: HangupCause.NO_USER_RESPONSE,
    127: HangupCause.INTERWORKING,
}
_BY_STATUS = {
    301: HangupCause.NUMBER_CHANGED,
    401: HangupCause.AUTHENTICATION,
    403: HangupCause.REJECTED,
    404: HangupCause.UNALLOCATED,
    407: HangupCause.AUTHENTICATION,
    408: HangupCause.NO_USER_RESPONSE,
    410: HangupCause.NUMBER_CHANGED,
    415: HangupCause.INCOMPATIBLE,
    480: HangupCause.NO_ANSWER,
    484: HangupCause.INVALID_NUMBER,
    486: HangupCause.BUSY,
    487: HangupCause.INTERWORKING,  # RFC 3398 8.2.6.1: 127; when it answers our CANCEL, our own cause counts instead
    488: HangupCause.INCOMPATIBLE,
    500: HangupCause.NETWORK_OUT_OF_ORDER,
    502: HangupCause.DESTINATION_OUT_OF_ORDER,
    503: HangupCause.CONGESTION,
    504: HangupCause.TEMPORARY_FAILURE,
    600: HangupCause.BUSY,
    603: HangupCause.REJECTED,
    604: HangupCause.UNALLOCATED,
    606: HangupCause.INCOMPATIBLE,
    607: HangupCause.REJECTED,
    608: HangupCause.REJECTED,
}
# A status nobody knows is as good as the x00 of its class (RFC 3261 8.1.3.2); 400 says nothing about the number.
_BY_CLASS = {5: _BY_STATUS[500], 6: _BY_STATUS[600]}
_RING_TIMED_OUT = frozenset({408, 487})  # after ringing: the carrier's own patience ended, or a proxy's
_SAYS_NOTHING = frozenset({16, 31, 127})
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_Q850 = re.compile(r"(?:^|,)\s*Q\.850\s*;[^,]*?cause\s*=\s*(\d{1,3})(?!\d)", re.IGNORECASE)

# What we tell the far side when we end a leg (RFC 3326); anything else is 16.
_TO_Q850 = {
    HangupCause.NO_ANSWER: 19,
    HangupCause.MEDIA_TIMEOUT: 38,
    HangupCause.TAPE_FAILED: 41,
    HangupCause.RELAY_LOST: 41,
    HangupCause.SESSION_EXPIRED: 102,
    HangupCause.INCOMPATIBLE: 88,
    HangupCause.ORPHANED: 41,
}


@dataclass(frozen=True, slots=True)
class Release:
    cause: HangupCause
    q850: int | None


def q850_of(reasons: list[str]) -> int | None:
    """The Q.850 cause in the values of a message's Reason headers, or None."""
    for text in reasons:
        found = _Q850.search(_QUOTED.sub('""', text))
        if found and int(found[1]) <= 127:
            return int(found[1])
    return None


def failed(status: int, reasons: list[str], *, rang: bool = False) -> Release:
    """A final failure response to our INVITE (3xx-6xx) with the values of its Reason headers.

    ``rang``: a phone may have rung before. Not for what answers our own CANCEL.
    """
    q850 = q850_of(reasons)
    by_status = _BY_STATUS.get(status) or _BY_CLASS.get(status // 100)
    if q850 is not None and (by_status is None or q850 not in _SAYS_NOTHING):
        return Release(by_q850(q850), q850)
    if rang and status in _RING_TIMED_OUT:
        return Release(HangupCause.NO_ANSWER, q850)
    return Release(by_status or HangupCause.INTERWORKING, q850)


def released(reasons: list[str]) -> Release:
    """The far side's BYE."""
    q850 = q850_of(reasons)
    return Release(HangupCause.NORMAL if q850 is None else by_q850(q850), q850)


def by_q850(q850: int) -> HangupCause:
    """Any Q.850 cause; unknown values take the name of their class's "unspecified" (Q.850 2.2.7)."""
    known = _BY_Q850.get(q850)
    if known is not None:
        return known
    unspecified = (31, 31, 47, 47, 63, 79, 95, 111)[q850 // 16] if 0 <= q850 <= 127 else 127
    return _BY_Q850.get(unspecified, HangupCause.INTERWORKING)


def reason_header(cause: HangupCause) -> str:
    return f"Q.850;cause={_TO_Q850.get(cause, 16)}"
