"""Log in, who am I, log out."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from math import ceil
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.guard import COOKIE, SignedIn, TheDoorkeeper, TheHouse, check_origin
from api.passwords import MAX_PASSWORD, csrf_token, hash_password, needs_rehash, new_token, token_hash
from api.permissions import Permission, permissions_of
from api.problems import TooMany, WrongCredentials, documented
from api.shapes import Shape, UserShape
from case_store.audit_chain import AuditFact
from case_store.views import Role
from config.errors import describe_shape

router = APIRouter(prefix="/sessions", tags=["sessions"])


class SessionKind(StrEnum):
    COOKIE = "cookie"  # a browser
    TOKEN = "token"  # noqa: S105  # a kind of session, not a secret


class LogIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD)]
    kind: SessionKind = SessionKind.COOKIE


class SessionShape(Shape):
    name: str
    user: UserShape | None = Field(description="null for the key of this machine")
    roles: list[Role]
    permissions: list[Permission]
    timezone: str = Field(description="The house's own time zone: show times in it")
    csrf_token: str | None = Field(description="Send it as X-CSRF-Token with every change; null for bearer tokens")


class SessionOpened(SessionShape):
    token: str | None = Field(description="Bearer token, when one was asked for; it is shown once")


@router.post("", status_code=201, responses=documented(401, 403, 413, 422, 429))
async def log_in(
    wanted: LogIn, request: Request, response: Response, house: TheHouse, doorkeeper: TheDoorkeeper
) -> SessionOpened:
    """Open a session: an HttpOnly cookie for a browser, or a bearer token for a machine."""
    check_origin(request)
    address = request.client.host if request.client else "unknown"
    name_key, now = f"{address} {wanted.username}", house.clock.monotonic()
    wait = max(doorkeeper.by_name.wait_seconds(name_key, now), doorkeeper.by_address.wait_seconds(address, now))
    if wait > 0:
        request.app.state.metrics.log_ins.labels("throttled").inc()
        raise TooMany("too many failed log-ins", remedy="wait, then try again", retry_after=max(1, ceil(wait)))
    # Counted before the slow check, so that many at once cannot slip through while it runs.
    doorkeeper.by_name.fail(name_key, now)
    doorkeeper.by_address.fail(address, now)
    user, kept_hash = await house.accounts.credentials(wanted.username) or (None, None)
    fits = await doorkeeper.passwords.fits(wanted.password, kept_hash)
    if user is None or kept_hash is None or not fits or not user.active:
        request.app.state.metrics.log_ins.labels("failed").inc()
        # A name typed into the wrong box may be a password: only its shape is kept, unless the user exists.
        who = user.username if user else describe_shape(wanted.username)
        now_at = house.clock.now()
        fact = AuditFact(at=now_at, actor=who, action="session.refused", subject=address, detail={})
        await house.audit.append([fact], now_at)
        await house.events.append("session.refused", now_at, actor=who)
        raise WrongCredentials("the name or the password is wrong", remedy="check both and try again")
    doorkeeper.by_name.succeed(name_key)
    if needs_rehash(kept_hash):
        await house.accounts.replace_password_hash(user.id, hash_password(wanted.password))
    token, now_at = new_token(), house.clock.now()
    hours = timedelta(hours=house.settings.web.session_hours)
    await house.accounts.open_session(user, token_hash(token), now_at, now_at + hours)
    await house.events.append("session.opened", now_at, subject_id=user.id, actor=user.username)
    request.app.state.metrics.log_ins.labels("ok").inc()
    by_cookie = wanted.kind is SessionKind.COOKIE
    if by_cookie:
        secure = house.settings.web.secure_cookie
        response.set_cookie(
            COOKIE, token, max_age=int(hours.total_seconds()), httponly=True, samesite="strict", secure=secure
        )
    return SessionOpened(
        name=user.username,
        user=UserShape.model_validate(user),
        roles=[user.role],
        permissions=sorted(permissions_of({user.role})),
        timezone=house.settings.timezone,
        csrf_token=csrf_token(token) if by_cookie else None,
        token=None if by_cookie else token,
    )


@router.get("/current", responses=documented(401))
async def current_session(principal: SignedIn, house: TheHouse) -> SessionShape:
    """Who is logged in, with what permissions, and the anti-forgery token of a browser session."""
    return SessionShape(
        name=principal.name,
        user=UserShape.model_validate(principal.session.user) if principal.session else None,
        roles=sorted(principal.roles),
        permissions=sorted(principal.permissions),
        timezone=house.settings.timezone,
        csrf_token=csrf_token(principal.token) if principal.by_cookie else None,
    )


@router.delete("/current", status_code=204, responses=documented(401, 403))
async def log_out(principal: SignedIn, house: TheHouse, response: Response) -> None:
    """Close this session for good."""
    now = house.clock.now()
    if principal.session is not None:
        await house.accounts.close_session(principal.session.id, now)
        await house.events.append("session.closed", now, actor=principal.name)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=house.settings.web.secure_cookie)
