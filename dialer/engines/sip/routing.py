"""Which way an order leaves: over which trunk, as whom, to which address; or to which desk."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from config.errors import BadInput, describe_shape
from config.settings import TrunkSettings
from dialer.call import CallOrder, DeskOrder
from dialer.engine import EngineFull, EngineUnhealthy
from dialer.engines.sip.addresses import look_up
from dialer.engines.sip.dialog import Here
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.message import on_the_wire
from dialer.engines.sip.registrar import Registrar
from dialer.engines.sip.route import Route
from dialer.engines.sip.trunks import Line, Lines, dialed
from dialer.engines.sip.uri import Address, MalformedMessage, read_uri

DESK = "desk"
_DESK_SESSION_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Routing:
    """``address_of`` says where a trunk is now; None: its name has no address."""

    lines: Lines
    registrar: Registrar
    here: Here
    address_of: Callable[[str], Address | None]

    def seize(self, order: CallOrder) -> Route | float:
        """A trunk with a free channel, seized; or the seconds until one may be dialed. Raises EngineFull/Unhealthy."""
        now = time.monotonic()
        unknown = [name for name in order.trunks if name not in self.lines]
        if unknown:
            raise BadInput("the order names a trunk that is not in settings", remedy="correct it", field="trunks")
        route = self.next_route(order, frozenset())
        if route is not None:
            return route
        wait = self.lines.wait_for_pace(order.trunks, now)
        if wait is not None:
            return wait
        standings = {line.standing(now).value for line in self.lines.allowed(order.trunks)}
        if "full" in standings:
            raise EngineFull("every channel of the trunks is busy", remedy="place the call when one ends")
        raise EngineUnhealthy(
            f"no trunk can be dialed ({', '.join(sorted(standings)) or 'none configured'})",
            remedy="look at the trunks' states; a paused one comes back by itself",
        )

    def unseize(self, route: Route) -> None:
        if route.line is not None:
            route.line.release()

    def next_route(self, order: CallOrder, tried: frozenset[str]) -> Route | None:
        line = self.lines.choose(order.trunks, time.monotonic(), random.random, tried=tried)
        if line is None:
            return None
        route = self._route_over(line, order)
        if route is None:
            return None
        line.seize(time.monotonic())
        return route

    def _route_over(self, line: Line, order: CallOrder) -> Route | None:
        trunk = line.settings
        address = self.address_of(trunk.name)
        if address is None:
            return None  # its line is down
        domain = trunk.from_domain or trunk.host
        caller = order.caller_id or trunk.caller_id or trunk.username
        user = quoted_user(caller, trunk) if caller else "anonymous"
        identity = f"<sip:{user}@{domain}>"
        headers = list(order.headers)
        if trunk.asserted_identity and caller:
            headers.append(("p-asserted-identity", identity))
        name = f'"{_quoted(order.display_name)}" ' if order.display_name else ""
        return Route(
            trunk=trunk.name,
            uri=_callee_uri(order.callee, trunk),
            user=trunk.username or "onrecord",
            sender=name + identity,
            address=address,
            host=trunk.host,
            codecs=trunk.codecs,
            ptime=trunk.ptime,
            session_expires=trunk.session_expires,
            require_100rel=trunk.require_100rel,
            credentials=credentials_of(trunk),
            headers=tuple((key.lower(), on_the_wire(value)) for key, value in headers),
            media_hosts=trunk.media_hosts,
            line=line,
        )

    async def route_to_desk(self, order: DeskOrder) -> Route:
        """Raises EngineUnhealthy when the phone is not registered or its host has no address, BadInput."""
        uri, address, registered = order.uri, None, None
        if not uri:
            binding = self.registrar.find(order.desk)
            if binding is None:
                raise EngineUnhealthy("the desk's phone is not registered", remedy="look at the phone's account")
            uri, address = binding.uri, binding.address
            if address != read_uri(uri).address:
                registered = partial(self.registrar.address_of, order.desk, address)
        try:
            target = read_uri(uri)
        except MalformedMessage:
            raise BadInput(
                "the desk's address is no sip: URI",
                remedy="give sip:user@host:port",
                field="uri",
                shape=describe_shape(uri),
            ) from None
        if address is None:
            hosts = await look_up(target.address[0])
            if not hosts:
                raise EngineUnhealthy("the desk's host name has no address", remedy="correct the desk's uri")
            address = (hosts[0], target.address[1])
        return Route(
            trunk=DESK,
            uri=target.text,
            user="onrecord",
            sender=f'"onrecord" <sip:onrecord@{self.here.host}>',
            address=address,
            host=target.host,
            codecs=("PCMA", "PCMU"),
            ptime=20,
            session_expires=_DESK_SESSION_SECONDS,
            require_100rel=False,
            credentials=Credentials(order.username, order.password),
            registered=registered,
        )


def credentials_of(trunk: TrunkSettings) -> Credentials:
    return Credentials(trunk.username, trunk.password.get_secret_value() if trunk.password else None)


def _quoted(name: str) -> str:
    """A display name between quotes (RFC 3261 25.1), in the bytes of its UTF-8."""
    return on_the_wire(name.replace("\\", "\\\\"))


def quoted_user(caller: str, trunk: TrunkSettings) -> str:
    """The caller ID as the user part of a URI: a number in the trunk's format, or a name as it is."""
    if caller.startswith("+") and caller[1:].isdigit() and trunk.number_format == "digits":
        return caller[1:]
    return caller


def _callee_uri(callee: str, trunk: TrunkSettings) -> str:
    if callee.startswith("sip:"):
        try:
            return read_uri(callee).text
        except MalformedMessage:
            raise BadInput(
                "the callee is no sip: URI", remedy="give sip:user@host", field="callee", shape=describe_shape(callee)
            ) from None
    number = dialed(callee, trunk).replace("#", "%23")
    port = "" if trunk.port == 5060 else f":{trunk.port}"
    return f"sip:{number}@{trunk.host}{port}"
