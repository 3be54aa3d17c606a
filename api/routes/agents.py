"""Agents: who is there, one's own desk, ready and pause."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from api.guard import Principal, SignedIn, TheHouse, may
from api.permissions import Permission
from api.problems import NotYourDesk, documented
from api.shapes import AgentShape, DeskShape, OwedShape, Shape, many

router = APIRouter(prefix="/agents", tags=["agents"])

AgentName = Annotated[
    str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", description="A log-in name")
]
Sits = Annotated[Principal, Depends(may(Permission.TAKE_CALLS))]
Watches = Annotated[Principal, Depends(may(Permission.WATCH_CALLS))]
Supervises = Annotated[Principal, Depends(may(Permission.SUPERVISE))]

PROBLEMS = documented(401, 403, 404, 409, 422, 503)


class AgentList(Shape):
    """``now`` is the house's clock: time in a state is reckoned from it."""

    now: datetime
    pause_reasons: list[str]
    abandonment_target: float = Field(description="Share of answered calls a predictive campaign may abandon")
    items: list[AgentShape]


class OwedList(Shape):
    items: list[OwedShape]


class LogInWish(Shape):
    desk: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="A desk of settings; default: the user's own, else the one of the same name"
    )


class PauseWish(Shape):
    reason: Annotated[str, Field(min_length=1, max_length=64, description="One of pause_reasons")]


def own_desk(agent: str, principal: Principal) -> None:
    """Raises NotYourDesk. A command on this machine speaks for everybody."""
    if principal.name != agent and principal.session is not None:
        raise NotYourDesk("this is somebody else's desk", field="agent", remedy="give your own log-in name")


def own_or_led(agent: str, principal: Principal) -> None:
    if Permission.SUPERVISE not in principal.permissions:
        own_desk(agent, principal)


@router.get("", responses=documented(401, 403))
async def list_agents(house: TheHouse, _principal: Watches) -> AgentList:
    """Everybody on the floor of this node, with state and since when."""
    floor = house.settings.floor
    return AgentList(
        now=house.clock.now(),
        pause_reasons=list(floor.pause_reasons),
        abandonment_target=floor.abandonment_target,
        items=many(AgentShape, await house.floor.agents()),
    )


@router.get("/owed", responses=documented(401, 403))
async def list_owed_outcomes(house: TheHouse, principal: Supervises) -> OwedList:
    """Outcomes that nobody has entered yet; those with ``owner`` leader are the team leader's."""
    return OwedList(items=[OwedShape.of(one, principal.sees) for one in await house.floor.owed()])


@router.get("/{agent}/desk", responses=PROBLEMS)
async def show_desk(agent: AgentName, house: TheHouse, principal: SignedIn) -> DeskShape:
    """An agent's screen: state, who is coming, the call, the offered case, outcomes owed."""
    own_or_led(agent, principal)
    return DeskShape.of(await house.floor.desk(agent), principal.sees, house.clock.now())


@router.post("/{agent}/log-in", responses=PROBLEMS)
async def log_in_at_desk(agent: AgentName, wish: LogInWish, house: TheHouse, principal: Sits) -> AgentShape:
    """The desk's phone is called and stays connected; the answer comes when it has answered (30 s at most)."""
    own_desk(agent, principal)
    return AgentShape.model_validate(await house.floor.log_in(agent, wish.desk))


@router.post("/{agent}/log-out", status_code=204, responses=PROBLEMS)
async def log_out_of_desk(agent: AgentName, house: TheHouse, principal: Sits) -> None:
    """Refused while a customer or an outcome waits. A leader may log others out."""
    own_or_led(agent, principal)
    await house.floor.log_out(agent)


@router.post("/{agent}/ready", responses=PROBLEMS)
async def be_ready(agent: AgentName, house: TheHouse, principal: Sits) -> AgentShape:
    """Takes calls. Refused while an outcome is owed (``outcome-owed``)."""
    own_desk(agent, principal)
    return AgentShape.model_validate(await house.floor.ready(agent))


@router.post("/{agent}/pause", responses=PROBLEMS)
async def pause_agent(agent: AgentName, wish: PauseWish, house: TheHouse, principal: Sits) -> AgentShape:
    """With a reason code; after the call in hand when there is one (``pause_wanted``). A leader may pause others."""
    own_or_led(agent, principal)
    return AgentShape.model_validate(await house.floor.pause(agent, wish.reason))
