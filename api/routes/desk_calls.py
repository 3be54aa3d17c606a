"""What a desk does with a call: click-to-call, previews, hold, keys, transfer, three-way; a leader's listen, whisper, join."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.guard import Principal, TheHouse
from api.routes.agents import PROBLEMS, AgentName, Sits, Supervises, own_desk, own_or_led
from api.shapes import Shape
from case_store.audit_chain import AuditFact
from dialer.parts import Part

router = APIRouter(prefix="/agents", tags=["desk calls"])


class CallWish(Shape):
    case_id: Annotated[str, Field(min_length=1, max_length=64)]
    number_id: Annotated[str, Field(min_length=1, max_length=64)]


class CallMade(Shape):
    call_id: str


class OfferTaken(Shape):
    call_id: str | None = Field(description="Null: a rule refuses the number by now; the agent is free again")


class SkipWish(Shape):
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class HoldWish(Shape):
    on: bool


class KeysWish(Shape):
    digits: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,32}$")]


class ConsultWish(Shape):
    agent: Annotated[str, Field(min_length=1, max_length=64, description="A leader or another agent who is ready")]


class AttendWish(Shape):
    leader: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Whose ear; only commands on this machine name another than who asks"
    )
    reason: Annotated[str, Field(min_length=3, max_length=200, description="Kept in the audit log")]


@router.post("/{agent}/calls", status_code=201, responses=PROBLEMS)
async def call_now(agent: AgentName, wish: CallWish, house: TheHouse, principal: Sits) -> CallMade:
    """Click-to-call: judged, booked and taped like any call; refused with the rule (``click-refused``)."""
    own_desk(agent, principal)
    return CallMade(call_id=await house.floor.call(agent, wish.case_id, wish.number_id))


@router.post("/{agent}/offer/accept", responses=PROBLEMS)
async def accept_offer(agent: AgentName, house: TheHouse, principal: Sits) -> OfferTaken:
    """Dial the case that a preview campaign shows."""
    own_desk(agent, principal)
    return OfferTaken(call_id=await house.floor.accept(agent))


@router.post("/{agent}/offer/skip", status_code=204, responses=PROBLEMS)
async def skip_offer(agent: AgentName, wish: SkipWish, house: TheHouse, principal: Sits) -> None:
    """Not this case now; it comes back in an hour, and the reason stays in the event log."""
    own_desk(agent, principal)
    await house.floor.skip(agent, wish.reason)


@router.post("/{agent}/call/hold", status_code=204, responses=PROBLEMS)
async def hold_call(agent: AgentName, wish: HoldWish, house: TheHouse, principal: Sits) -> None:
    own_desk(agent, principal)
    await house.floor.hold(agent, wish.on)


@router.post("/{agent}/call/keys", status_code=204, responses=PROBLEMS)
async def press_keys(agent: AgentName, wish: KeysWish, house: TheHouse, principal: Sits) -> None:
    """DTMF for the far side: an extension, a menu."""
    own_desk(agent, principal)
    await house.floor.press(agent, wish.digits)


@router.post("/{agent}/call/hang-up", status_code=204, responses=PROBLEMS)
async def hang_up(agent: AgentName, house: TheHouse, principal: Sits) -> None:
    """A leader may end others' calls."""
    own_or_led(agent, principal)
    await house.floor.hang_up(agent)


@router.post("/{agent}/call/consult", status_code=204, responses=PROBLEMS)
async def consult(agent: AgentName, wish: ConsultWish, house: TheHouse, principal: Sits) -> None:
    """Speak with a leader or another agent while the customer waits and hears neither: the warm transfer's begin."""
    own_desk(agent, principal)
    await house.floor.consult(agent, wish.agent)


@router.post("/{agent}/call/three-way", status_code=204, responses=PROBLEMS)
async def three_way(agent: AgentName, house: TheHouse, principal: Sits) -> None:
    """Customer, agent and whoever was consulted hear each other."""
    own_desk(agent, principal)
    await house.floor.three_way(agent)


@router.post("/{agent}/call/hand-over", status_code=204, responses=PROBLEMS)
async def hand_over(agent: AgentName, house: TheHouse, principal: Sits) -> None:
    """The warm transfer's end: who was consulted keeps the customer and owes the outcome."""
    own_desk(agent, principal)
    await house.floor.hand_over(agent)


@router.post("/{agent}/call/take-back", status_code=204, responses=PROBLEMS)
async def take_back(agent: AgentName, house: TheHouse, principal: Sits) -> None:
    """The guests leave; agent and customer go on."""
    own_desk(agent, principal)
    await house.floor.take_back(agent)


@router.post("/{agent}/call/listen", status_code=204, responses=PROBLEMS)
async def listen_in(agent: AgentName, wish: AttendWish, house: TheHouse, principal: Supervises) -> None:
    """A leader hears both and is heard by nobody. Audited before the first sound."""
    await _attend(house, principal, agent, wish, Part.LISTENS, "call.listened-in")


@router.post("/{agent}/call/whisper", status_code=204, responses=PROBLEMS)
async def whisper(agent: AgentName, wish: AttendWish, house: TheHouse, principal: Supervises) -> None:
    """The agent hears the leader, the customer does not."""
    await _attend(house, principal, agent, wish, Part.WHISPERS, "call.whispered-in")


@router.post("/{agent}/call/join", status_code=204, responses=PROBLEMS)
async def join_call(agent: AgentName, wish: AttendWish, house: TheHouse, principal: Supervises) -> None:
    """Everybody hears the leader (barge)."""
    await _attend(house, principal, agent, wish, Part.TALKS, "call.joined")


@router.post("/{agent}/call/leave", status_code=204, responses=PROBLEMS)
async def leave_call(agent: AgentName, house: TheHouse, principal: Supervises) -> None:
    """The leader ``agent`` leaves the call attended; agent and customer go on."""
    own_desk(agent, principal)
    await house.floor.leave(agent)


async def _attend(house: TheHouse, principal: Principal, agent: str, wish: AttendWish, part: Part, action: str) -> None:
    leader = wish.leader or principal.name
    own_desk(leader, principal)
    await house.floor.desk(leader)  # at a desk: what nobody could hear is not written down as heard
    call_id, case_id = await house.floor.attended(agent)
    now = house.clock.now()
    detail = {"case_id": case_id, "agent": agent, "leader": leader, "reason": wish.reason}
    fact = AuditFact(at=now, actor=principal.name, action=action, subject=call_id, detail=detail)
    await house.audit.append([fact], now)
    await house.floor.attend(leader, agent, part)
