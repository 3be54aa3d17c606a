"""Rule 1 over HTTP: who may dial, the records that say so, and the collector's own acknowledgement of the rules in force."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from api.guard import Principal, SignedIn, TheHouse, demand, may
from api.permissions import Permission
from api.problems import documented
from api.shapes import Shape
from config.errors import Refused

router = APIRouter(prefix="/vetting", tags=["vetting"])

Username = Annotated[str, Path(min_length=1, max_length=64)]


class OwnRecord(Refused):
    """Nobody vouches for his own credit or criminal record."""

    error_id = "vetting-of-oneself"


class VettingIn(Shape):
    kind: Literal["criminal-record", "credit-record"]
    reference: Annotated[str, Field(min_length=1, max_length=128, description="File number of the record")]
    valid_from: date
    valid_until: date


class WithdrawIn(Shape):
    kind: Literal["criminal-record", "credit-record", "rules-training"]
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class AcknowledgeIn(Shape):
    rules: Annotated[str, Field(max_length=64, description="The version read; it must be the one in force")]
    valid_until: date


class StandingShape(Shape):
    username: str
    may_dial: bool
    missing: list[str] = Field(description="Kinds of record without a valid one today")
    rules_in_force: str


@router.get("/{username}", responses=documented(401, 403, 404, 409, 422))
async def show_vetting(username: Username, house: TheHouse, principal: SignedIn) -> StandingShape:
    """Whether somebody may dial today, and what is missing. Everybody sees his own."""
    if username != principal.name:
        demand(principal, Permission.SEE_USERS)
    return await _standing(username, house)


@router.post("/{username}", status_code=201, responses=documented(401, 403, 404, 409, 422))
async def record_vetting(
    username: Username,
    given: VettingIn,
    house: TheHouse,
    principal: Annotated[Principal, Depends(may(Permission.VET))],
) -> StandingShape:
    """Record what compliance has seen on paper."""
    if username == principal.name:
        raise OwnRecord("nobody vouches for himself", field="username", remedy="have somebody else record it")
    await house.casework.vet(
        username,
        given.kind,
        reference=given.reference,
        valid_from=given.valid_from,
        valid_until=given.valid_until,
        by=principal.name,
        at=house.clock.now(),
    )
    return await _standing(username, house)


@router.post("/{username}/withdrawals", status_code=201, responses=documented(401, 403, 404, 409, 422))
async def withdraw_vetting(
    username: Username,
    given: WithdrawIn,
    house: TheHouse,
    principal: Annotated[Principal, Depends(may(Permission.VET))],
) -> StandingShape:
    """A record turned out wrong; its collector gets no further customer within a minute."""
    await house.casework.unvet(username, given.kind, by=principal.name, reason=given.reason, at=house.clock.now())
    return await _standing(username, house)


@router.post("/me/acknowledgement", status_code=201, responses=documented(401, 403, 404, 409, 422))
async def acknowledge_rules(given: AcknowledgeIn, house: TheHouse, principal: SignedIn) -> StandingShape:
    """培训确认: I have been trained in the rules in force. Given by the collector himself, from his own log-in."""
    in_force = house.settings.workflow.collector_rules
    if given.rules != in_force:
        raise WrongRules("these are not the rules in force", field="rules", remedy=f"read version {in_force}")
    now = house.clock.now()
    await house.casework.vet(
        principal.name,
        "rules-training",
        reference=in_force,
        valid_from=None,
        valid_until=given.valid_until,
        by=principal.name,
        at=now,
    )
    return await _standing(principal.name, house)


class WrongRules(Refused):
    """The acknowledgement names another version than the one in force."""

    error_id = "rules-not-in-force"


async def _standing(username: str, house: TheHouse) -> StandingShape:
    missing = await house.casework.missing_vettings(username, at=house.clock.now())
    return StandingShape(
        username=username,
        may_dial=not missing,
        missing=list(missing),
        rules_in_force=house.settings.workflow.collector_rules,
    )
