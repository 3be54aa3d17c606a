"""What the signalling thread tells the dialer's side."""

from __future__ import annotations

from dataclasses import dataclass

from dialer.call import LegId
from dialer.engines.sip.sdp import Agreed
from dialer.events import LegEvent, TrunkState


@dataclass(frozen=True, slots=True)
class MediaAgreed:
    """The relay should speak to this address from now on."""

    leg: LegId
    agreed: Agreed
    media_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AudioExpected:
    leg: LegId


News = LegEvent | TrunkState | MediaAgreed | AudioExpected
