"""Agents, desks and pacing as the doors see them. Pure values; ``api.floor_doors`` is how a door asks for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from case_store.model import Channel, Money
from dialer.floor import Agent, AgentState
from dialer.parts import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentView:
    """An agent on the floor. ``since`` is when the state began, ``owes`` how many outcomes only this agent can enter."""

    id: str
    name: str
    desk: str
    state: AgentState
    since: datetime | None
    reason: str | None
    pause_wanted: str | None
    call_id: str | None
    is_leader: bool
    owes: int = 0

    @classmethod
    def of(cls, agent: Agent, *, owes: int) -> AgentView:
        return cls(
            id=agent.id,
            name=agent.name,
            desk=agent.desk,
            state=agent.state,
            since=agent.since,
            reason=agent.reason,
            pause_wanted=agent.pause_wanted,
            call_id=agent.call_id,
            is_leader=agent.is_leader,
            owes=owes,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WhoIsCalled:
    """What an agent must know of the person on the line. ``e164`` is masked at the door.

    ``balance`` is None where a third party is called: nobody can let slip what is not on the screen.
    """

    case_id: str
    number_id: str
    e164: str
    channel: Channel
    contact: str
    relation: str
    debtor: str
    client: str
    client_ref: str
    balance: Money | None
    last_outcome: str | None = None

    @property
    def third_party(self) -> bool:
        return not self.channel.is_debtors_own


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskCall:
    """The call at a desk. ``part`` is how this desk takes part in it, ``guests`` who is there beside its own agent."""

    call_id: str
    agent_id: str
    state: str
    placed_at: datetime | None
    answered_at: datetime | None
    held: bool
    part: Part
    guests: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferView:
    campaign_id: str
    until: datetime
    who: WhoIsCalled


@dataclass(frozen=True, kw_only=True, slots=True)
class OwedView:
    """An outcome to enter with ``POST /calls/{call_id}/outcome``."""

    call_id: str
    agent_id: str
    owner: str
    since: datetime
    who: WhoIsCalled


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskView:
    """Everything on an agent's screen. ``coming`` is who is being called, offered or talked to."""

    agent: AgentView
    coming: WhoIsCalled | None
    call: DeskCall | None
    offer: OfferView | None
    owed: tuple[OwedView, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PaceView:
    """What a predictive campaign's pacer said last and why. ``counts``: events and decisions since the start."""

    campaign_id: str
    target: float
    limit: float
    answered_30_days: int
    abandoned_30_days: int
    ledger_open: bool
    ledger_room: float | None
    place: int | None
    cancel: int | None
    why: dict[str, float | str]
    counts: dict[str, int]
    kept: bool

    @property
    def abandonment_30_days(self) -> float:
        return self.abandoned_30_days / self.answered_30_days if self.answered_30_days else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One kept decision of a pacer, and what the same pacer decides from the same facts when it is asked again."""

    line: int
    place: int
    cancel: int
    why: dict[str, Any]
    same: bool
