"""Desks that stay nailed up: an agent whose phone or relay went away is called again, until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from config.clock import Clock
from config.errors import BadInput, OnrecordError, Refused
from config.settings import DeskSettings
from dialer.call import DeskOrder
from dialer.engine import SipEngine
from dialer.floor import Agent, AgentState, Floor
from dialer.switchboard import Switchboard

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 30.0
AGAIN_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before each new try; the last one for ever. The first are short: a relay is back in half a second."""


class NoDesk(Refused):
    """An agent's phone did not take the nailed-up call."""

    error_id = "desk-not-answering"


class Seating:
    """One per node. ``on_back(agent_id)`` is awaited when a lost desk is nailed up again."""

    def __init__(
        self,
        *,
        engine: SipEngine,
        switchboard: Switchboard,
        floor: Floor,
        clock: Clock,
        on_back: Callable[[str], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._switchboard = switchboard
        self._floor = floor
        self._clock = clock
        self._on_back = on_back
        self._desks: dict[str, DeskSettings] = {}
        self._trying: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def seat(self, desk: DeskSettings, *, agent_id: str, name: str, is_leader: bool = False) -> Agent:
        """Nail up the desk and put the agent on the floor. Raises ``NoDesk``, ``BadInput``, the engine's ``Unhealthy``.

        A desk without an address is a phone that registers to us: ``Unhealthy`` as long as it has not.
        """
        if desk.uri is None and desk.username is None:
            raise BadInput(
                "the desk has neither an address nor an account",
                field="desk",
                remedy="give it uri, or username and password",
            )
        if agent_id not in {agent.id for agent in self._floor}:
            self._floor.add(agent_id=agent_id, name=name, desk=desk.name, is_leader=is_leader)
        self._desks[agent_id] = desk
        await self._nail_up(agent_id, desk)
        return self._floor.agent(agent_id)

    def lost(self, agent_id: str) -> None:
        """The desk's leg ended, or was never answered: keep trying in the background."""
        if agent_id in self._desks and agent_id not in self._trying and not self._closed:
            task = asyncio.get_running_loop().create_task(self._try_again(agent_id), name=f"seat-{agent_id}")
            self._trying[agent_id] = task
            task.add_done_callback(lambda _done: self._trying.pop(agent_id, None))

    def let_go(self, agent_id: str) -> None:
        """The agent logged out: nobody calls the desk again."""
        self._desks.pop(agent_id, None)
        if (trying := self._trying.pop(agent_id, None)) is not None:
            trying.cancel()

    async def close(self) -> None:
        self._closed = True
        trying = list(self._trying.values())
        for task in trying:
            task.cancel()
        await asyncio.gather(*trying, return_exceptions=True)

    async def _try_again(self, agent_id: str) -> None:
        tries = 0
        while self._wanted(agent_id):
            await self._clock.sleep(AGAIN_SECONDS[min(tries, len(AGAIN_SECONDS) - 1)])
            if not self._wanted(agent_id):
                return
            if not self._switchboard.relay_up:
                continue  # no try: the phone is not to blame
            tries += 1
            try:
                await self._nail_up(agent_id, self._desks[agent_id])
            except OnrecordError as error:
                log.warning("desk-still-away", agent=agent_id, tries=tries, error_id=error.error_id)
                continue
            log.info("desk-back", agent=agent_id, tries=tries)
            await self._on_back(agent_id)
            return

    def _wanted(self, agent_id: str) -> bool:
        """Offline because the desk went, not because its agent logged out."""
        agent = next((one for one in self._floor if one.id == agent_id), None)
        return agent is not None and agent.state is AgentState.OFFLINE and agent.reason != "logged-out"

    async def _nail_up(self, agent_id: str, desk: DeskSettings) -> None:
        leg = await self._engine.nail_up(
            DeskOrder(
                desk=desk.name,
                uri=desk.uri or "",  # the engine knows where a registered phone is
                username=desk.username,
                password=desk.password.get_secret_value() if desk.password else None,
            )
        )
        if not await self._switchboard.desk_answered(leg, ANSWER_SECONDS):
            await self._engine.hangup(leg)
            raise NoDesk(f"the phone of {desk.name} did not answer", field="desk", remedy="check the phone")
        self._floor.desk_up(agent_id, leg)
