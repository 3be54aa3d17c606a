"""The values a user of the relay sees: addresses, the remote side's media, counters, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

from config.errors import OnrecordError, Unhealthy
from recording.g711 import Law


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaAddress:
    """Where the relay receives a leg's RTP."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteMedia:
    """The remote side's session description, as the relay needs it.

    ``host`` is an address, not a name. ``send``: we may send to it; ``receive``: what it sends is forwarded
    (it is taped either way). ``plausible``: networks RTP may come from besides ``host`` itself.
    """

    host: str
    port: int
    codec: Law
    payload_type: int
    telephone_event_pt: int | None = None
    ptime: int = 20
    plausible: tuple[IPv4Network | IPv6Network, ...] = ()
    send: bool = True
    receive: bool = True

    @classmethod
    def networks(cls, hosts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
        """``TrunkSettings.media_hosts`` as networks."""
        return tuple(ip_network(host, strict=False) for host in hosts)

    def __post_init__(self) -> None:
        ip_address(self.host)


@dataclass(frozen=True, kw_only=True, slots=True)
class LegCounters:
    """Packets of one leg. ``received`` counts sound RTP from its source; ``dropped`` counts the rest by reason.

    ``lost`` estimates by sequence numbers (RFC 3550 A.3); ``jitter_ms`` is its interarrival jitter.
    """

    leg: str
    kind: str
    received: int = 0
    forwarded: int = 0  # its packets that went to the patched leg
    sent: int = 0  # all packets sent to it
    filled: int = 0  # of these, silence
    lost: int = 0
    jitter_ms: float = 0.0
    ssrc_changes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    tape_bytes: int = 0
    first_audio_ns: int | None = None  # monotonic
    last_audio_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LegState:
    """A leg the relay holds, as a control that attaches again finds it."""

    leg: str
    kind: str
    host: str
    port: int
    tape: Path | None
    patched: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaFirstAudio:
    """The first audio packet from the leg since it was opened, or since ``expect_audio`` (the answer)."""

    leg: str
    monotonic_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaDtmf:
    """A whole RFC 4733 event from the leg, once."""

    leg: str
    digit: str
    milliseconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaTimeout:
    """Nothing at all came from the leg for so long. Sent once; again only after packets came in between."""

    leg: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TapeTrouble:
    """The leg's tape failed, stood still, or its file is gone. The relay forwards nothing of this leg any more."""

    leg: str
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptFinished:
    leg: str
    prompt: str
    completed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DtmfSent:
    leg: str
    digits: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayLost:
    """The relay died or does not answer: no audio flows. Every leg in ``legs`` is gone. The last event."""

    legs: tuple[str, ...]
    detail: str


MediaEvent = MediaFirstAudio | MediaDtmf | MediaTimeout | TapeTrouble | PromptFinished | DtmfSent | RelayLost


class RelayUnhealthy(Unhealthy):
    """The relay is not there or does not answer; no call may be placed."""

    error_id = "relay-unhealthy"


class RelayRefused(OnrecordError):
    """The relay understood and could not do it (unknown leg, no free port, a tape that cannot be written)."""

    error_id = "relay-refused"


_EVENTS: dict[str, type[Any]] = {
    "first_audio": MediaFirstAudio,
    "dtmf": MediaDtmf,
    "timeout": MediaTimeout,
    "tape_trouble": TapeTrouble,
    "prompt_finished": PromptFinished,
    "dtmf_sent": DtmfSent,
}


def event_of(message: dict[str, Any]) -> MediaEvent:
    """From the wire."""
    facts = dict(message)
    made: MediaEvent = _EVENTS[facts.pop("event")](**facts)
    return made
