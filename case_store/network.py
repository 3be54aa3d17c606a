"""The network's word: why a leg ended and what the network said about a number.

Kept apart from ``Outcome`` (what a collector concluded): both are always stored, neither is derived
from the other (law 4).
"""

from __future__ import annotations

from enum import StrEnum


class HangupCause(StrEnum):
    """One name for a release, whoever said it: SIP status, Q.850 cause (RFC 3326 Reason) or ourselves."""

    NORMAL = "normal"  # Q.850 16
    BUSY = "busy"  # 17, SIP 486/600
    NO_USER_RESPONSE = "no-user-response"  # 18, SIP 408
    NO_ANSWER = "no-answer"  # 19, SIP 480; or our ring time-out (we cancelled)
    SUBSCRIBER_ABSENT = "subscriber-absent"  # 20: switched off or out of reach
    REJECTED = "rejected"  # 21, SIP 603, 403
    NUMBER_CHANGED = "number-changed"  # 22, SIP 410
    DESTINATION_OUT_OF_ORDER = "destination-out-of-order"  # 27, SIP 502
    INVALID_NUMBER = "invalid-number"  # 28, SIP 484
    UNALLOCATED = "unallocated"  # 1, SIP 404
    NO_ROUTE = "no-route"  # 2, 3
    CONGESTION = "congestion"  # 34, 42, SIP 503
    NETWORK_OUT_OF_ORDER = "network-out-of-order"  # 38, SIP 500
    TEMPORARY_FAILURE = "temporary-failure"  # 41
    INCOMPATIBLE = "incompatible"  # 88, SIP 488, 606: no codec in common
    INTERWORKING = "interworking"  # 127: anything without a better name
    AUTHENTICATION = "authentication"  # SIP 401/407 not satisfied
    TRUNK_TIMEOUT = "trunk-timeout"  # no answer to the INVITE at all (timer B)
    TRUNK_DOWN = "trunk-down"  # the trunk was marked down before the INVITE left
    MEDIA_TIMEOUT = "media-timeout"  # answered, then no RTP for too long
    TAPE_FAILED = "tape-failed"  # the watchdog ended it: no recording, no call
    RELAY_LOST = "relay-lost"  # the media relay died
    SESSION_EXPIRED = "session-expired"  # RFC 4028 refresh failed
    CANCELLED = "cancelled"  # we took it back before an answer, for a reason of ours
    ABANDONED = "abandoned"  # answered, nobody free in time, message played
    ENGINE_SHUTDOWN = "engine-shutdown"
    ORPHANED = "orphaned"  # control died; ended on restart


class ProgressCategory(StrEnum):
    """What the network said about the number, from status, cause, tones and spoken announcements together."""

    ANSWERED = "answered"
    NO_ANSWER = "no-answer"  # 无人接听
    BUSY = "busy"  # 用户忙, 正在通话中
    REJECTED = "rejected"
    SWITCHED_OFF = "switched-off"  # 关机
    UNREACHABLE = "unreachable"  # 无法接通, 不在服务区
    NOT_IN_SERVICE = "not-in-service"  # 空号
    SUSPENDED = "suspended"  # 停机, 暂停服务
    BARRED = "barred"  # 呼入限制
    NUMBER_CHANGED = "number-changed"
    INVALID_NUMBER = "invalid-number"
    NETWORK_BUSY = "network-busy"  # 网络忙
    TRUNK_TROUBLE = "trunk-trouble"  # says nothing about the number: the attempt does not count as tried
    MACHINE = "machine"  # answered by a voicemail or an answering machine
    CANCELLED = "cancelled"  # ours
    UNKNOWN = "unknown"
