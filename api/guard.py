"""Who is asking, and may they? Cookie sessions for people, bearer tokens for machines, the key file for this machine.

A cookie session that changes something must send ``X-CSRF-Token`` and come from our own origin. A bearer token needs
neither: no browser sends one by itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.requests import HTTPConnection

from api.house import House
from api.passwords import PasswordCheck, csrf_token, token_hash
from api.permissions import Permission, number_as_seen, permissions_of
from api.problems import CsrfMissing, ForeignOrigin, NotAllowed, NotSignedIn
from api.throttle import Throttle
from case_store.views import Role, Session

COOKIE = "onrecord_session"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Only so that OpenAPI documents them; the reading is done below, for WebSockets too.
_cookie_scheme = APIKeyCookie(name=COOKIE, scheme_name="session", auto_error=False)
_bearer_scheme = HTTPBearer(scheme_name="token", auto_error=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Whoever asks. ``session`` is None for the key of this machine."""

    name: str
    roles: frozenset[Role]
    session: Session | None
    token: str
    by_cookie: bool

    @property
    def permissions(self) -> frozenset[Permission]:
        return permissions_of(self.roles)

    def sees(self, e164: str) -> str:
        return number_as_seen(e164, self.roles)


class Doorkeeper:
    """What the doors remember between requests: failed log-ins, running password checks, this machine's key."""

    def __init__(self, house: House, machine_key: str | None) -> None:
        web = house.settings.web
        self.passwords = PasswordCheck()
        self.by_name = Throttle(web.log_in_failures, web.log_in_window_seconds)
        self.by_address = Throttle(web.log_in_failures * 10, web.log_in_window_seconds)
        self._machine_key = machine_key

    def holds_machine_key(self, token: str) -> bool:
        return self._machine_key is not None and hmac.compare_digest(token.encode(), self._machine_key.encode())


def the_house(connection: HTTPConnection) -> House:
    house: House = connection.app.state.house
    return house


def the_doorkeeper(connection: HTTPConnection) -> Doorkeeper:
    doorkeeper: Doorkeeper = connection.app.state.doorkeeper
    return doorkeeper


TheHouse = Annotated[House, Depends(the_house)]
TheDoorkeeper = Annotated[Doorkeeper, Depends(the_doorkeeper)]


async def recognise(connection: HTTPConnection) -> Principal:
    """The principal of a request or a WebSocket. Raises NotSignedIn."""
    token, by_cookie = _token_of(connection)
    if not by_cookie and the_doorkeeper(connection).holds_machine_key(token):
        everything = frozenset(Role)
        return Principal(name="this-machine", roles=everything, session=None, token=token, by_cookie=False)
    house = the_house(connection)
    session = await house.accounts.session(token_hash(token), house.clock.now())
    if session is None:
        raise NotSignedIn("the session has ended or never was", remedy="log in again: POST /api/v1/sessions")
    user = session.user
    return Principal(
        name=user.username, roles=frozenset({user.role}), session=session, token=token, by_cookie=by_cookie
    )


def _token_of(connection: HTTPConnection) -> tuple[str, bool]:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()[:256], False
    if cookie := connection.cookies.get(COOKIE):
        return cookie[:256], True
    raise NotSignedIn("nobody is logged in", remedy="log in: POST /api/v1/sessions")


def check_origin(connection: HTTPConnection) -> None:
    """Raises ForeignOrigin when a browser says that another site's page asks."""
    origin = connection.headers.get("origin")
    if origin is None:
        return
    own = connection.headers.get("host", "")
    if urlsplit(origin).netloc == own or origin in the_house(connection).settings.web.origins:
        return
    raise ForeignOrigin(
        "the request comes from a page of another origin", field="Origin", remedy="add it to web.origins if it is yours"
    )


async def _signed_in(
    connection: HTTPConnection,
    _cookie: Annotated[str | None, Security(_cookie_scheme)] = None,
    _bearer: Annotated[object, Security(_bearer_scheme)] = None,
) -> Principal:
    principal = await recognise(connection)
    if principal.by_cookie and connection.scope["method"] not in _SAFE_METHODS:
        check_origin(connection)
        sent = connection.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(sent.encode(), csrf_token(principal.token).encode()):
            raise CsrfMissing(
                "a change from a browser session needs its anti-forgery token",
                field="X-CSRF-Token",
                remedy="send csrf_token of GET /api/v1/sessions/current in this header",
            )
    return principal


SignedIn = Annotated[Principal, Depends(_signed_in)]


def demand(principal: Principal, permission: Permission) -> None:
    """Raises NotAllowed unless one of the principal's roles has the permission."""
    if permission not in principal.permissions:
        raise NotAllowed(
            f"your roles do not include {permission.value}", remedy="ask an administrator for the role your work needs"
        )


def may(permission: Permission) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets only principals with ``permission`` through."""

    async def check(principal: SignedIn) -> Principal:
        demand(principal, permission)
        return principal

    return check
