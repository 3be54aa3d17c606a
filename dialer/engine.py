"""The seam between the dialer and whatever speaks SIP.

Verbs return when accepted; the truth comes as events. One contract suite (tests/contract) runs over
every engine: ``scripted`` (in memory, shipped), ``sip`` (sippy and our relay), and whoever comes later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from case_store.network import HangupCause
from config.errors import OnrecordError, Refused, Unhealthy
from dialer.call import CallOrder, DeskOrder, LegId
from dialer.events import EngineEvent
from dialer.parts import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineCapabilities:
    max_legs: int
    early_media: bool
    bridging: bool
    prompts: bool
    dtmf: bool
    hold: bool
    transports: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A sound file in settings or the package: mono, any rate soundfile reads; played at 8 kHz."""

    name: str
    path: Path


class EngineFull(Refused):
    """The engine has no room for another leg; raised before any limit is hit."""

    error_id = "engine-full"


class EngineUnhealthy(Unhealthy):
    """The engine cannot place calls now (relay down, no trunk up, socket lost)."""

    error_id = "engine-unhealthy"


class UnknownLeg(OnrecordError):
    """The leg does not exist (any more)."""

    error_id = "unknown-leg"


class SipEngine(Protocol):
    @property
    def capabilities(self) -> EngineCapabilities: ...

    async def start(self) -> None: ...

    async def close(self) -> None:
        """End every leg with BYE or CANCEL, close every tape, stop."""

    async def place(self, order: CallOrder) -> LegId:
        """Call a person. Raises EngineFull, EngineUnhealthy, BadInput; events follow once it returns."""

    async def nail_up(self, order: DeskOrder) -> LegId:
        """Call an agent's desk and keep the leg; it hears comfort silence until it is bridged."""

    async def bridge(self, customer: LegId, agent: LegId) -> None:
        """Let the two hear each other, without a re-INVITE."""

    async def unbridge(self, agent: LegId) -> None:
        """Part them; both legs stay."""

    async def confer(self, customer: LegId, desks: Mapping[LegId, Part]) -> None:
        """A customer and several desks, each in its part (``dialer.parts``); again to change parts, ``bridge`` to end it.

        All of it is on the customer's tape: what the customer hears as near, what only desks hear as aside.
        Raises UnknownLeg, and BadInput without a desk. ``LegConferred`` follows.
        """

    async def play(self, leg: LegId, prompt: Prompt) -> None:
        """Play once; ``PromptFinished`` follows. What the customer hears of it is on the tape."""

    async def hold(self, leg: LegId, on: bool) -> None:
        """Put the leg on hold (re-INVITE sendonly) or take it back."""

    async def send_dtmf(self, leg: LegId, digits: str) -> None:
        """RFC 4733 events, each digit 100 ms, 60 ms apart."""

    async def mark(self, leg: LegId, what: str, **facts: str | int | bool) -> None:
        """Write a mark on the leg's tape, such as ``mask-on`` (actor, reason) and ``mask-off``."""

    async def hangup(self, leg: LegId, cause: HangupCause = HangupCause.NORMAL) -> None:
        """CANCEL, BYE or give up, whichever fits; harmless on an ended leg."""

    def events(self) -> AsyncIterator[EngineEvent]:
        """Every event from now on, in order; one consumer."""
