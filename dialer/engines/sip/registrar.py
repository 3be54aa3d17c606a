"""Desks that register to us (RFC 3261 10.3), with digest; nobody else is let in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from config.settings import DeskSettings
from dialer.engines.sip.digest import Doorkeeper
from dialer.engines.sip.message import Request, Response, respond
from dialer.engines.sip.transactions import Pending, Server, Timers
from dialer.engines.sip.uri import Address

log = logging.getLogger(__name__)

SHORTEST = 10  # seconds


@dataclass(slots=True)
class Binding:
    """Where a registered phone is."""

    uri: str
    address: Address
    timer: Pending


class Registrar:
    """``trust``/``distrust`` open and close the gate for a registered phone's address."""

    def __init__(
        self,
        desks: tuple[DeskSettings, ...],
        *,
        realm: str,
        digests: tuple[str, ...],
        longest: int,
        timers: Timers,
        now: Callable[[], float],
        trust: Callable[[str], None],
        distrust: Callable[[str], None],
    ) -> None:
        self._passwords: dict[str, str] = {}
        self._desk_of: dict[str, str] = {}
        for desk in desks:
            if desk.uri is None and desk.username and desk.password is not None:
                self._passwords[desk.username] = desk.password.get_secret_value()
                self._desk_of[desk.username] = desk.name
        self._doorkeeper = Doorkeeper(realm, digests, now=now)
        self._longest = longest
        self._timers = timers
        self._trust = trust
        self._distrust = distrust
        self._bindings: dict[str, Binding] = {}

    @property
    def expects_anyone(self) -> bool:
        return bool(self._passwords)

    def find(self, desk: str) -> Binding | None:
        return self._bindings.get(desk)

    def address_of(self, desk: str, last: Address) -> Address:
        """Where the desk's phone is now (its NAT may have moved it); ``last`` when it is registered no more."""
        binding = self._bindings.get(desk)
        return binding.address if binding is not None else last

    def receive(self, request: Request, server: Server) -> None:
        stale = False
        for text in request.values("authorization"):
            username, stale = self._doorkeeper.verdict(text, "REGISTER", self._passwords)
            if username is not None:
                server.respond(self._registered(request, self._desk_of[username], server.source))
                return
        refusal = respond(request, 401, "Unauthorized")
        refusal.headers += self._doorkeeper.challenges(stale=stale)
        server.respond(refusal)

    def _registered(self, request: Request, desk: str, source: Address) -> Response:
        contact = request.contact
        if contact is None:
            return self._with_bindings(respond(request, 200, "OK"), desk, 0)
        expires = self._wanted_seconds(request)
        if expires == 0:
            self._forget(desk)
            return respond(request, 200, "OK")
        if expires < SHORTEST or contact.star:
            refusal = respond(request, 423, "Interval Too Brief")
            refusal.headers.append(("min-expires", str(SHORTEST)))
            return refusal
        seconds = min(expires, self._longest)
        self._forget(desk)
        self._trust(source[0])
        timer = self._timers.call_later(seconds, lambda: self._forget(desk))
        # Behind a NAT the Contact names an address nobody can reach; the packet came from one that can be.
        address = contact.uri.address if contact.uri.address[0] == source[0] else source
        self._bindings[desk] = Binding(uri=contact.uri.text, address=address, timer=timer)
        log.info("desk %s: registered for %d s", desk, seconds)
        return self._with_bindings(respond(request, 200, "OK"), desk, seconds)

    def _with_bindings(self, response: Response, desk: str, seconds: int) -> Response:
        binding = self._bindings.get(desk)
        if binding is not None:
            response.headers.append(("contact", f"<{binding.uri}>;expires={seconds}"))
        return response

    def _wanted_seconds(self, request: Request) -> int:
        contact = request.contact
        text = contact.param("expires") if contact is not None else None
        if text is not None and text.isascii() and text.isdigit() and len(text) < 10:
            return int(text)
        wanted = request.number("expires")
        return self._longest if wanted is None else wanted

    def _forget(self, desk: str) -> None:
        binding = self._bindings.pop(desk, None)
        if binding is not None:
            binding.timer.cancel()
            self._distrust(binding.address[0])
            log.info("desk %s: no longer registered", desk)

    def close(self) -> None:
        for desk in list(self._bindings):
            self._forget(desk)
