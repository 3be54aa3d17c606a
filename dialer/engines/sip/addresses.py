"""Where trunks are: host names looked up at the start, at intervals, and whenever an address stops answering."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address

from config.settings import TrunkSettings
from dialer.engines.sip.transactions import Pending
from dialer.engines.sip.uri import Address

log = logging.getLogger(__name__)

FIRST_RETRY = 5.0  # seconds until a name that had no address is looked up again; doubled up to the interval


async def look_up(host: str) -> tuple[str, ...]:
    """The IPv4 addresses of a name, in the resolver's order; empty without any."""
    try:
        return (str(ip_address(host)),)
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=2)
    except (OSError, UnicodeError):  # UnicodeError: a label that is too long or empty
        return ()
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(slots=True)
class _Place:
    trunk: TrunkSettings
    hosts: tuple[str, ...] = ()
    current: str | None = None
    retry: float = FIRST_RETRY
    timer: Pending | None = None
    looking: asyncio.Task[None] | None = None


@dataclass(slots=True)
class TrunkAddresses:
    """``moved(name)`` whenever ``of(name)`` says another address than before.

    ``trust`` and ``distrust`` open and close the gate: every address of a name may speak, since a carrier answers
    from any of its machines. A name that cannot be looked up keeps the addresses it had. ``interval`` in seconds; 0:
    only after trouble.
    """

    trunks: tuple[TrunkSettings, ...]
    interval: float
    trust: Callable[[str], None]
    distrust: Callable[[str], None]
    moved: Callable[[str], None]
    look: Callable[[str], Awaitable[tuple[str, ...]]] = look_up
    _places: dict[str, _Place] = field(default_factory=dict)
    _closed: bool = False

    async def start(self) -> None:
        self._places = {trunk.name: _Place(trunk) for trunk in self.trunks}
        await asyncio.gather(*(self._look_up(place) for place in self._places.values()))

    def of(self, name: str) -> Address | None:
        place = self._places[name]
        return (place.current, place.trunk.port) if place.current is not None else None

    def unanswered(self, name: str) -> None:
        """Nothing comes from the trunk's address: take the name's next one, and look the name up again."""
        place = self._places[name]
        if len(place.hosts) > 1 and place.current in place.hosts:
            at = (place.hosts.index(place.current) + 1) % len(place.hosts)
            self._move(place, place.hosts[at])
        self._look_up_soon(place)

    def close(self) -> None:
        self._closed = True
        for place in self._places.values():
            if place.timer is not None:
                place.timer.cancel()
            if place.looking is not None:
                place.looking.cancel()

    def _look_up_soon(self, place: _Place) -> None:
        if not self._closed and place.looking is None and not _is_literal(place.trunk.host):
            place.looking = asyncio.get_running_loop().create_task(self._look_up(place))

    async def _look_up(self, place: _Place) -> None:
        try:
            hosts = await self.look(place.trunk.host)
        finally:
            place.looking = None
        if self._closed:
            return
        if hosts:
            place.retry = FIRST_RETRY
            self._take(place, hosts)
        else:
            kept = "its last address is kept" if place.current else "it cannot be dialed"
            log.error("trunk %s: its host name has no address; %s", place.trunk.name, kept)
        self._again(place, found=bool(hosts))

    def _take(self, place: _Place, hosts: tuple[str, ...]) -> None:
        for host in hosts:
            if host not in place.hosts:
                self.trust(host)
        for host in place.hosts:
            if host not in hosts:
                self.distrust(host)
        place.hosts = hosts
        if place.current not in hosts:
            self._move(place, hosts[0])

    def _move(self, place: _Place, host: str) -> None:
        log.info("trunk %s: address %s", place.trunk.name, "found" if place.current is None else "changed")
        place.current = host
        self.moved(place.trunk.name)

    def _again(self, place: _Place, *, found: bool) -> None:
        if _is_literal(place.trunk.host):
            return
        wait = self.interval
        if not found:
            wait = min(place.retry, self.interval or place.retry)
            place.retry *= 2
        if place.timer is not None:
            place.timer.cancel()
        if wait:
            place.timer = asyncio.get_running_loop().call_later(wait, partial(self._look_up_soon, place))


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
