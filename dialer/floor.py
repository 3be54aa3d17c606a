"""The floor: who is there, who is free, who talks. One door for state changes, every move logged.

Agents wait nailed up at their desks; a free one is *reserved* for a call before it is placed (progressive)
or when it is answered (predictive), so that no answer is promised to two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog

from config.clock import Clock
from config.errors import BadInput, InvariantBroken, describe_shape
from dialer.call import CallId, LegId

log = structlog.get_logger(__name__)


class AgentState(StrEnum):
    OFFLINE = "offline"  # 离线: not logged in, or the desk's phone is gone
    READY = "ready"  # 空闲
    RESERVED = "reserved"  # 预占: a call is being placed for this agent
    TALKING = "talking"  # 通话中
    WRAP_UP = "wrap-up"  # 话后处理: the outcome is being entered
    PAUSED = "paused"  # 小休, with a reason code


_READY = AgentState.READY  # looked for among all agents at every answer

AGENT_MOVES: dict[AgentState, frozenset[AgentState]] = {
    AgentState.OFFLINE: frozenset({AgentState.READY, AgentState.PAUSED}),
    AgentState.READY: frozenset({AgentState.RESERVED, AgentState.TALKING, AgentState.PAUSED, AgentState.OFFLINE}),
    AgentState.RESERVED: frozenset({AgentState.READY, AgentState.TALKING, AgentState.PAUSED, AgentState.OFFLINE}),
    AgentState.TALKING: frozenset({AgentState.WRAP_UP, AgentState.OFFLINE}),
    AgentState.WRAP_UP: frozenset({AgentState.READY, AgentState.PAUSED, AgentState.OFFLINE}),
    AgentState.PAUSED: frozenset({AgentState.READY, AgentState.OFFLINE}),
}


class UnknownAgent(BadInput):
    error_id = "unknown-agent"


@dataclass(slots=True)
class Agent:
    """An agent at a desk. Only ``Floor`` changes it."""

    id: str
    name: str
    desk: str
    leg: LegId | None = None
    state: AgentState = AgentState.OFFLINE
    since: datetime | None = None
    reason: str | None = None
    call_id: CallId | None = None
    is_leader: bool = False  # listens, joins and takes calls over, but is never given one by the dialer
    pause_wanted: str | None = None  # the reason code; takes effect when the call and its outcome are done


class Floor:
    """All agents of a node. ``on_move(agent, old)`` is told after every change of state.

    ``pause_reasons``: the codes a pause may carry; empty takes any. The dialer's own reasons need no listing.
    """

    def __init__(
        self,
        clock: Clock,
        on_move: Callable[[Agent, AgentState], None] | None = None,
        *,
        pause_reasons: Sequence[str] = (),
    ) -> None:
        self._clock = clock
        self._on_move = on_move
        self._pause_reasons = tuple(pause_reasons)
        self._agents: dict[str, Agent] = {}
        self._log = log.bind()

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())

    def __len__(self) -> int:
        return len(self._agents)

    def add(self, *, agent_id: str, name: str, desk: str, is_leader: bool = False) -> Agent:
        if agent_id in self._agents:
            raise BadInput("the agent is on the floor already", field="agent", remedy="log the other desk out first")
        agent = Agent(id=agent_id, name=name, desk=desk, is_leader=is_leader)
        self._agents[agent_id] = agent
        return agent

    def agent(self, agent_id: str) -> Agent:
        if agent_id not in self._agents:
            raise UnknownAgent("no such agent is on the floor", field="agent", remedy="log in first")
        return self._agents[agent_id]

    def at_leg(self, leg: LegId) -> Agent | None:
        return next((agent for agent in self._agents.values() if agent.leg == leg), None)

    def count(self, state: AgentState) -> int:
        return sum(agent.state is state for agent in self._agents.values())

    def desk_up(self, agent_id: str, leg: LegId) -> None:
        """The desk's leg is answered: the agent takes calls."""
        agent = self.agent(agent_id)
        agent.leg = leg
        self._move(agent, AgentState.READY)

    def desk_lost(self, agent_id: str) -> CallId | None:
        """The desk's leg ended. Returns the call it carried, whose customer must not be left in silence."""
        agent = self.agent(agent_id)
        call, agent.leg, agent.call_id = agent.call_id, None, None
        agent.pause_wanted = None
        if agent.state is not AgentState.OFFLINE:
            self._move(agent, AgentState.OFFLINE, reason="desk-lost")
        return call

    def log_out(self, agent_id: str) -> None:
        """Gone for today; refused while a customer is on the line or an outcome is owed."""
        agent = self.agent(agent_id)
        if agent.state in (AgentState.TALKING, AgentState.WRAP_UP, AgentState.RESERVED):
            raise BadInput("the agent has a call", field="agent", remedy="finish it and enter its outcome first")
        agent.leg = agent.call_id = None
        if agent.state is not AgentState.OFFLINE:
            self._move(agent, AgentState.OFFLINE, reason="logged-out")
        del self._agents[agent_id]

    def reserve(self, call_id: CallId, agent_id: str | None = None) -> Agent | None:
        """The ready agent who has waited longest (or this one, if ready), or None. Leaders are reserved by name only."""
        asked = (
            self._agents.values() if agent_id is None else [self._agents[agent_id]] if agent_id in self._agents else ()
        )
        ready = [one for one in asked if one.state is _READY and one.leg is not None]
        if agent_id is None:
            ready = [one for one in ready if not one.is_leader]
        if not ready:
            return None
        agent = min(ready, key=lambda one: (one.since or self._clock.now(), one.id))
        agent.call_id = call_id
        self._move(agent, AgentState.RESERVED)
        return agent

    def release(self, agent_id: str) -> None:
        """The reserved call came to nothing."""
        agent = self.agent(agent_id)
        agent.call_id = None
        if agent.state is AgentState.RESERVED:
            wanted, agent.pause_wanted = agent.pause_wanted, None
            if wanted is not None:
                self._move(agent, AgentState.PAUSED, reason=wanted)
            else:
                self._move(agent, AgentState.READY)

    def talking(self, agent_id: str, call_id: CallId) -> None:
        agent = self.agent(agent_id)
        if agent.call_id not in (None, call_id):
            raise InvariantBroken("an agent was given a second call", remedy="reserve before bridging")
        agent.call_id = call_id
        self._move(agent, AgentState.TALKING)

    def wrap_up(self, agent_id: str) -> None:
        self._move(self.agent(agent_id), AgentState.WRAP_UP)

    def ready(self, agent_id: str) -> None:
        """Takes calls, or goes on the pause that was asked for meanwhile."""
        agent = self.agent(agent_id)
        if agent.leg is None:
            raise BadInput("the desk's phone is not connected", field="agent", remedy="log in at the desk again")
        wanted, agent.pause_wanted = agent.pause_wanted, None
        if wanted is not None and agent.state is AgentState.WRAP_UP:
            agent.call_id = None
            self._move(agent, AgentState.PAUSED, reason=wanted)
            return
        self._move(agent, AgentState.READY)
        agent.call_id = None

    def pause(self, agent_id: str, reason: str) -> bool:
        """With a reason code. True at once; False: after the call in hand. Raises BadInput for a code not in settings."""
        if self._pause_reasons and reason not in self._pause_reasons:
            raise BadInput(
                "is no reason code for a pause",
                field="reason",
                shape=describe_shape(reason),
                remedy="use one of " + ", ".join(self._pause_reasons),
            )
        agent = self.agent(agent_id)
        if agent.state in (AgentState.RESERVED, AgentState.TALKING, AgentState.WRAP_UP):
            agent.pause_wanted = reason
            log.info("agent", agent=agent.id, wants="pause", reason=reason)
            return False
        self._move(agent, AgentState.PAUSED, reason=reason)
        return True

    def send_away(self, agent_id: str, reason: str) -> None:
        """The dialer pauses an agent whose screen or phone seems dead: nobody else's call is risked on it."""
        agent = self.agent(agent_id)
        agent.call_id = None
        self._move(agent, AgentState.PAUSED, reason=reason)

    def _move(self, agent: Agent, new: AgentState, reason: str | None = None) -> None:
        old = agent.state
        if new not in AGENT_MOVES[old]:
            raise BadInput(
                f"an agent cannot go from {old} to {new}", field="state", remedy=f"allowed: {sorted(AGENT_MOVES[old])}"
            )
        agent.state, agent.since, agent.reason = new, self._clock.now(), reason
        self._log.info("agent", agent=agent.id, move=f"{old} -> {new}", reason=reason)
        if self._on_move is not None:
            self._on_move(agent, old)
