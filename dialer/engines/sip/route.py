"""How an INVITE leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.trunks import Line
from dialer.engines.sip.uri import Address


@dataclass(frozen=True, slots=True)
class Route:
    """How an INVITE leaves: towards which address, as whom, with what."""

    trunk: str
    uri: str
    user: str  # of our Contact
    sender: str  # From, without a tag
    address: Address
    host: str  # the carrier's own name, for redirects
    codecs: tuple[str, ...]
    ptime: int
    session_expires: int
    require_100rel: bool
    credentials: Credentials
    headers: tuple[tuple[str, str], ...] = ()
    media_hosts: tuple[str, ...] = ()
    line: Line | None = None
    registered: Callable[[], Address] | None = None  # where a phone behind a NAT is reached, now
