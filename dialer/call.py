"""A call and its legs. ``CallOrder.tape`` has no default: no recording, no call (law 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from recording.tape import Tape

CallId = NewType("CallId", str)
LegId = NewType("LegId", str)


class LegState(StrEnum):
    """What a leg does. One door: ``next_state``."""

    PLACED = "placed"
    PROCEEDING = "proceeding"  # 100, or any provisional without ringing
    RINGING = "ringing"  # 180
    EARLY = "early"  # early media is heard (183 or 180 with a session description)
    ANSWERED = "answered"
    ENDED = "ended"


_MOVES: dict[LegState, frozenset[LegState]] = {
    LegState.PLACED: frozenset(LegState) - {LegState.PLACED},
    LegState.PROCEEDING: frozenset({LegState.RINGING, LegState.EARLY, LegState.ANSWERED, LegState.ENDED}),
    LegState.RINGING: frozenset({LegState.EARLY, LegState.ANSWERED, LegState.ENDED}),
    LegState.EARLY: frozenset({LegState.RINGING, LegState.ANSWERED, LegState.ENDED}),
    LegState.ANSWERED: frozenset({LegState.ENDED}),
    LegState.ENDED: frozenset(),
}


def can_move(old: LegState, new: LegState) -> bool:
    """Whether a leg may go from ``old`` to ``new``; staying where it is is no move."""
    return new in _MOVES[old]


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOrder:
    """Everything an engine needs to call a person. ``callee`` is E.164, or a ``sip:`` URI on the trunk.

    ``ring_seconds`` counts from the first sign of ringing; ``set_up_seconds`` bounds the whole time
    before an answer, announcements included.
    """

    call_id: CallId
    attempt_id: str
    callee: str
    tape: Tape
    caller_id: str | None = None
    display_name: str | None = None
    trunks: tuple[str, ...] = ()  # names allowed for this call, in settings; empty: all
    ring_seconds: float = 45.0
    set_up_seconds: float = 90.0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskOrder:
    """Nail up an agent's phone. It carries no customer audio until it is patched to a taped leg.

    A desk is an address in settings or a registered phone, never a number from a case: see
    docs/decisions/0002-desk-legs.md.
    """

    desk: str
    uri: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    set_up_seconds: float = 30.0
