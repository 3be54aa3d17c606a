"""What the doors need of the floor: agents, their desks and calls, and a leader's ear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from config.errors import Refused
from dialer.desk_views import AgentView, DeskView, OwedView
from dialer.parts import Part


class NoDialer(Refused):
    """This process only shows."""

    error_id = "no-dialer-here"


class FloorDoors(Protocol):
    """Agents are named by their log-in names. Raises ``UnknownAgent`` and the floor's refusals."""

    async def agents(self) -> Sequence[AgentView]: ...
    async def desk(self, agent_id: str) -> DeskView: ...
    async def owed(self) -> Sequence[OwedView]:
        """All that is owed on this node, oldest first."""

    # There, ready, away

    async def log_in(self, agent_id: str, desk: str | None) -> AgentView:
        """Nail up the desk of settings (default: the user's own). Raises ``CollectorBarred``, ``NoDesk``, BadInput."""

    async def log_out(self, agent_id: str) -> None: ...
    async def ready(self, agent_id: str) -> AgentView: ...
    async def pause(self, agent_id: str, reason: str) -> AgentView:
        """At once, or after the call in hand (then ``pause_wanted`` says so)."""

    # Calls of one's own

    async def call(self, agent_id: str, case_id: str, number_id: str) -> str:
        """Click-to-call; the call's id. Raises ``ClickRefused`` with the rule."""

    async def accept(self, agent_id: str) -> str | None:
        """The offered case is dialed; None when the policy refuses it by now."""

    async def skip(self, agent_id: str, reason: str) -> None: ...
    async def hold(self, agent_id: str, on: bool) -> None: ...
    async def press(self, agent_id: str, digits: str) -> None: ...
    async def hang_up(self, agent_id: str) -> None: ...
    async def consult(self, agent_id: str, other_id: str) -> None: ...
    async def three_way(self, agent_id: str) -> None: ...
    async def take_back(self, agent_id: str) -> None: ...
    async def hand_over(self, agent_id: str) -> None: ...

    # A leader's ear

    async def attended(self, agent_id: str) -> tuple[str, str]:
        """(call id, case id) of the call an agent is in. Raises BadInput when there is none."""

    async def attend(self, leader_id: str, agent_id: str, part: Part) -> None: ...
    async def leave(self, leader_id: str) -> None: ...


class _NoFloor:
    """A process without a dialer has no floor: every verb says so."""

    async def agents(self) -> Sequence[AgentView]:
        return ()

    async def owed(self) -> Sequence[OwedView]:
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _refuse


async def _refuse(*_asked: object) -> NoReturn:
    raise NoDialer("no dialer runs in this process", remedy="ask the node that places the calls")


NO_FLOOR: FloorDoors = _NoFloor()
