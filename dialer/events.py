"""What an engine reports. Frozen values; each with an aware time, the leg, and who caused it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from case_store.network import HangupCause
from dialer.call import CallId, LegId
from dialer.parts import Part


class Origin(StrEnum):
    NEAR = "near"  # we did it
    FAR = "far"  # the other side did it
    ENGINE = "engine"  # the engine's own timers, watchdogs or failures


@dataclass(frozen=True, kw_only=True, slots=True)
class LegEvent:
    at: datetime
    leg: LegId
    call_id: CallId | None  # None on a desk leg
    origin: Origin


@dataclass(frozen=True, kw_only=True, slots=True)
class LegDialed(LegEvent):
    """The INVITE left over this trunk. Sent again with another trunk after a failover."""

    trunk: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LegProgress(LegEvent):
    """A provisional response. ``early_media`` when it carried a session description."""

    sip_status: int
    reason: str
    early_media: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LegAnswered(LegEvent):
    """200 OK, acknowledged."""

    codec: str
    trunk: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LegFirstAudio(LegEvent):
    """The first RTP frame arrived from the leg after its answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LegHeld(LegEvent):
    on: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LegDtmf(LegEvent):
    digit: str
    milliseconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LegBridged(LegEvent):
    """``leg`` (the customer) and ``agent`` hear each other from ``at`` on."""

    agent: LegId


@dataclass(frozen=True, kw_only=True, slots=True)
class LegConferred(LegEvent):
    """From ``at`` on ``leg`` (the customer) is in one conversation with these desks, each in its part."""

    desks: tuple[tuple[LegId, Part], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptFinished(LegEvent):
    prompt: str
    completed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LegEnded(LegEvent):
    """The end, once per leg. ``sip_status`` is the final response to our INVITE (200 after an answer, None if none came)."""

    cause: HangupCause
    sip_status: int | None
    q850: int | None = None
    reason: str = ""
    retry_after: int | None = None
    answered: bool = False
    talk_seconds: float = 0.0
    trunk: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TapeTrouble(LegEvent):
    """The tape of this leg's call stopped advancing or failed; the engine ends the leg with TAPE_FAILED."""

    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayState:
    """The media relay came up or was lost; when lost, every leg it carried gets its own ``LegEnded``."""

    at: datetime
    up: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkState:
    """A trunk became usable or unusable (OPTIONS, registration, repeated failures)."""

    at: datetime
    trunk: str
    up: bool
    detail: str = ""


EngineEvent = LegEvent | RelayState | TrunkState
