"""The network's word about a number, from everything that was signalled and heard. Total and pure.

What is trusted first: an answer; a recognised announcement; a tone; the Q.850 cause; the SIP status; our own cause.
An announcement beats the status because Chinese networks say 空号 or 关机 in early media and release with
whatever status their gateway prefers (ENGINES.md, call-progress facts).
"""

from __future__ import annotations

from dataclasses import dataclass

from case_store.network import HangupCause, ProgressCategory
from dialer.progress.announcements import AnnouncementHeard
from dialer.progress.machine import MachineVerdict, WhoAnswered
from dialer.progress.tones import Tone, ToneKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """``evidence`` names what decided, first, then what agreed or disagreed; ``delay`` is seconds from the INVITE to
    the moment it was known."""

    category: ProgressCategory
    evidence: tuple[str, ...]
    delay: float


C = ProgressCategory

# Q.850 causes that say something about the number or the trunk; the others leave it to the SIP status
BY_Q850: dict[int, ProgressCategory] = {
    1: C.NOT_IN_SERVICE,
    2: C.UNREACHABLE,  # no route: retried for ever if it were called the trunk's trouble
    3: C.UNREACHABLE,
    17: C.BUSY,
    18: C.UNREACHABLE,
    19: C.NO_ANSWER,
    20: C.SWITCHED_OFF,
    21: C.REJECTED,
    22: C.NUMBER_CHANGED,
    27: C.UNREACHABLE,
    28: C.INVALID_NUMBER,
    29: C.TRUNK_TROUBLE,
    34: C.NETWORK_BUSY,
    38: C.TRUNK_TROUBLE,
    41: C.TRUNK_TROUBLE,
    42: C.NETWORK_BUSY,
    43: C.TRUNK_TROUBLE,
    44: C.NETWORK_BUSY,
    47: C.TRUNK_TROUBLE,
    50: C.TRUNK_TROUBLE,
    52: C.TRUNK_TROUBLE,  # outgoing calls barred: our line's
    54: C.BARRED,  # incoming calls barred
    55: C.BARRED,
    57: C.TRUNK_TROUBLE,
    58: C.TRUNK_TROUBLE,
    63: C.TRUNK_TROUBLE,
    65: C.TRUNK_TROUBLE,
    88: C.TRUNK_TROUBLE,
    102: C.TRUNK_TROUBLE,
}

BY_STATUS: dict[int, ProgressCategory] = {
    301: C.NUMBER_CHANGED,
    302: C.UNREACHABLE,  # redirected out of the trunk, and not followed
    403: C.REJECTED,
    404: C.NOT_IN_SERVICE,
    408: C.UNREACHABLE,
    410: C.NUMBER_CHANGED,
    480: C.UNREACHABLE,  # NO_ANSWER when it had rung
    484: C.INVALID_NUMBER,
    485: C.INVALID_NUMBER,
    486: C.BUSY,
    503: C.NETWORK_BUSY,
    600: C.BUSY,
    603: C.REJECTED,
    604: C.NOT_IN_SERVICE,
    607: C.REJECTED,
    608: C.REJECTED,
}

BY_CAUSE: dict[HangupCause, ProgressCategory] = {
    HangupCause.NORMAL: C.UNKNOWN,
    HangupCause.BUSY: C.BUSY,
    HangupCause.NO_USER_RESPONSE: C.UNREACHABLE,
    HangupCause.NO_ANSWER: C.NO_ANSWER,
    HangupCause.SUBSCRIBER_ABSENT: C.SWITCHED_OFF,
    HangupCause.REJECTED: C.REJECTED,
    HangupCause.NUMBER_CHANGED: C.NUMBER_CHANGED,
    HangupCause.DESTINATION_OUT_OF_ORDER: C.UNREACHABLE,
    HangupCause.INVALID_NUMBER: C.INVALID_NUMBER,
    HangupCause.UNALLOCATED: C.NOT_IN_SERVICE,
    HangupCause.NO_ROUTE: C.UNREACHABLE,
    HangupCause.CONGESTION: C.NETWORK_BUSY,
    HangupCause.NETWORK_OUT_OF_ORDER: C.TRUNK_TROUBLE,
    HangupCause.TEMPORARY_FAILURE: C.TRUNK_TROUBLE,
    HangupCause.INCOMPATIBLE: C.TRUNK_TROUBLE,
    HangupCause.INTERWORKING: C.UNKNOWN,
    HangupCause.AUTHENTICATION: C.TRUNK_TROUBLE,
    HangupCause.TRUNK_TIMEOUT: C.TRUNK_TROUBLE,
    HangupCause.TRUNK_DOWN: C.TRUNK_TROUBLE,
    HangupCause.MEDIA_TIMEOUT: C.UNKNOWN,
    HangupCause.TAPE_FAILED: C.TRUNK_TROUBLE,
    HangupCause.RELAY_LOST: C.TRUNK_TROUBLE,
    HangupCause.SESSION_EXPIRED: C.UNKNOWN,
    HangupCause.CANCELLED: C.CANCELLED,
    HangupCause.ABANDONED: C.CANCELLED,
    HangupCause.ENGINE_SHUTDOWN: C.TRUNK_TROUBLE,
    HangupCause.ORPHANED: C.TRUNK_TROUBLE,
}

# ends that are ours: whatever final status followed (487) tells nothing about the number
OURS = frozenset(
    {
        HangupCause.CANCELLED,
        HangupCause.ABANDONED,
        HangupCause.TAPE_FAILED,
        HangupCause.RELAY_LOST,
        HangupCause.ENGINE_SHUTDOWN,
        HangupCause.ORPHANED,
        HangupCause.TRUNK_DOWN,
        HangupCause.TRUNK_TIMEOUT,
        HangupCause.AUTHENTICATION,
    }
)

# after an answer a person may be on the line: only an all but exact match may say that there is none
SURE_AFTER_ANSWER = 0.8

_BY_TONE = {
    ToneKind.BUSY: C.BUSY,
    ToneKind.CONGESTION: C.NETWORK_BUSY,
    ToneKind.SIT: C.NOT_IN_SERVICE,
}


def classify(
    *,
    cause: HangupCause,
    sip_status: int | None = None,
    q850: int | None = None,
    answered: bool = False,
    rang: bool = False,
    announcement: AnnouncementHeard | None = None,
    tone: Tone | None = None,
    machine: MachineVerdict | None = None,
    announced_after_answer: bool = False,
    delay: float = 0.0,
) -> Progress:
    """One category for every combination. ``announcement`` and ``tone`` are what was heard before the answer,
    unless ``announced_after_answer``: some lines answer falsely, and then speak. ``rang`` is whether a 180 or a
    ringback tone came."""
    evidence = _everything_said(cause, sip_status, q850, rang, announcement, tone, machine)
    if answered and announced_after_answer and announcement is not None and announcement.score >= SURE_AFTER_ANSWER:
        answered = False  # the network answered, nobody else
    category, decided_by = _decide(cause, sip_status, q850, answered, rang, announcement, tone, machine)
    ordered = (decided_by, *(item for item in evidence if item != decided_by))
    return Progress(category=category, evidence=ordered, delay=delay)


def _decide(
    cause: HangupCause,
    sip_status: int | None,
    q850: int | None,
    answered: bool,
    rang: bool,
    announcement: AnnouncementHeard | None,
    tone: Tone | None,
    machine: MachineVerdict | None,
) -> tuple[ProgressCategory, str]:
    if answered:
        if machine is not None and machine.who is WhoAnswered.MACHINE:
            return C.MACHINE, f"machine:{machine.evidence[0]}"
        return C.ANSWERED, "answered"
    if announcement is not None:
        return announcement.category, f"announcement:{announcement.name}"
    if tone is not None and tone.kind in _BY_TONE and cause is not HangupCause.BUSY:
        return _BY_TONE[tone.kind], f"tone:{tone.kind}"
    if cause in OURS:
        return BY_CAUSE[cause], f"cause:{cause}"
    if q850 in BY_Q850:
        return BY_Q850[q850], f"q850:{q850}"
    if sip_status == 480 and (rang or (cause is HangupCause.NO_ANSWER and q850 is None)):
        return (C.NO_ANSWER, "sip:480 after ringing") if rang else (C.UNREACHABLE, "sip:480")
    if sip_status == 408 and rang:
        return C.NO_ANSWER, "sip:408 after ringing"
    if sip_status in BY_STATUS:
        return BY_STATUS[sip_status], f"sip:{sip_status}"
    if sip_status is not None and sip_status >= 600 and cause is HangupCause.BUSY:
        return C.BUSY, f"sip:{sip_status} as 600"  # RFC 3261 8.1.3.2
    if sip_status is not None and sip_status >= 400 and sip_status != 487:
        return C.TRUNK_TROUBLE, f"sip:{sip_status}"
    return BY_CAUSE[cause], f"cause:{cause}"


def _everything_said(
    cause: HangupCause,
    sip_status: int | None,
    q850: int | None,
    rang: bool,
    announcement: AnnouncementHeard | None,
    tone: Tone | None,
    machine: MachineVerdict | None,
) -> tuple[str, ...]:
    said = [f"cause:{cause}"]
    if sip_status is not None:
        said.append(f"sip:{sip_status}")
    if q850 is not None:
        said.append(f"q850:{q850}")
    if rang:
        said.append("rang")
    if announcement is not None:
        said.append(f"announcement:{announcement.name} score {announcement.score:.2f} at {announcement.at:.1f} s")
    if tone is not None:
        said.append(f"tone:{tone.kind} ({tone.plan})")
    if machine is not None:
        said += [f"{machine.who}:{item}" for item in machine.evidence]
    return tuple(said)
