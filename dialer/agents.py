"""The people at the desks: who may log in, who is owed an outcome, and what happens when a phone or a screen dies.

After a talk an outcome is owed. It is entered by ``conclude``; until then the case's next action is to enter it. When
the wrap-up takes longer than its limit the screen is taken for dead: the agent is paused (no further customer is risked
there), the outcome becomes the team leader's, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from case_store.model import CallRecord, NextAction
from case_store.outcomes import NewOutcome
from case_store.owed import Owed
from case_store.people import User
from case_store.store import CaseStore
from case_store.workflow import OutcomeCode
from config.calendars import local_day
from config.clock import Clock
from config.errors import BadInput, Refused, describe_shape
from config.settings import DeskSettings, FloorSettings
from dialer.call import CallId
from dialer.engine import SipEngine
from dialer.floor import Agent, AgentState, Floor
from dialer.seating import Seating
from dialer.switchboard import CallInFlight, Switchboard

log = structlog.get_logger(__name__)

ENTER_OUTCOME = "ENTER_OUTCOME"
LEADER = "leader"
_LEADING_ROLES = frozenset({"team_leader", "leader"})
_WATCH_SECONDS = 1.0
_GATE_SECONDS = 60.0
_ENTER_WITHIN = timedelta(hours=4)


def leads(user: User | None) -> bool:
    """Whether this user sits on the floor as a leader: listens and takes over, but is never given a call by the dialer."""
    return user is not None and user.role in _LEADING_ROLES


class CollectorBarred(Refused):
    """Rule 1 of the twelve: no vetting or no training, no line."""

    error_id = "collector-barred"


class NothingOwed(BadInput):
    error_id = "no-outcome-owed"


class OutcomeOwed(BadInput):
    """The agent talked, and has not said what came of it."""

    error_id = "outcome-owed"


class Agents:
    """One per node. ``on_ready`` is awaited when somebody may take a call; ``record`` concludes an outcome.

    ``people`` is False where simulated collectors sit: rule 1 is for people.
    """

    def __init__(
        self,
        *,
        node: str,
        settings: FloorSettings,
        zone: ZoneInfo,
        store: CaseStore,
        clock: Clock,
        engine: SipEngine,
        floor: Floor,
        switchboard: Switchboard,
        record: Callable[[NewOutcome, datetime], Awaitable[NextAction | None]],
        on_ready: Callable[[], Awaitable[None]],
        rules_version: str,
        people: bool = True,
    ) -> None:
        self._node = node
        self._settings = settings
        self._zone = zone
        self._store = store
        self._clock = clock
        self._engine = engine
        self._floor = floor
        self._switchboard = switchboard
        self._record = record
        self._on_ready = on_ready
        self._rules_version = rules_version
        self._people = people
        self._seating = Seating(engine=engine, switchboard=switchboard, floor=floor, clock=clock, on_back=self._back)
        self._owed: dict[CallId, Owed] = {}
        self._kept: set[CallId] = set()  # of those, in the store
        self._early: set[CallId] = set()  # concluded while they talk
        self._gated_at = clock.monotonic()

    # At the desk

    async def seat(self, desk: DeskSettings, *, agent_id: str, name: str, is_leader: bool = False) -> Agent:
        """Nail up an agent's desk and put the agent on the floor. Raises ``CollectorBarred``, ``NoDesk``, ``BadInput``."""
        await self._check_vetting(agent_id, desk.name)
        agent = await self._seating.seat(desk, agent_id=agent_id, name=name, is_leader=is_leader)
        await self._back(agent_id)
        return agent

    def not_seated(self, agent_id: str) -> None:
        """The phone did not answer at log-in: it is called again until it does. Nothing follows for whoever is barred."""
        self._seating.lost(agent_id)

    async def user_at(self, desk: str) -> User | None:
        """Who sits at a desk: its user, else the user of the desk's name."""
        users = await self._store.people.users()
        found = [one for one in users if one.desk == desk] + [one for one in users if one.name == desk]
        return next((one for one in found if not one.disabled), found[0] if found else None)

    async def log_out(self, agent_id: str) -> None:
        """The desk's line is let go. Raises BadInput while a customer or an outcome waits for the agent."""
        leg = self._floor.agent(agent_id).leg
        self._floor.log_out(agent_id)
        self._seating.let_go(agent_id)
        if leg is not None:
            await self._engine.hangup(leg)

    async def ready(self, agent_id: str) -> None:
        """The pause is over, or the outcome is entered. Raises ``OutcomeOwed``."""
        agent = self._floor.agent(agent_id)
        wraps_up = agent.state is AgentState.WRAP_UP and agent.call_id in self._owed
        if wraps_up or (agent.state is not AgentState.TALKING and self._owed_by(agent_id) is not None):
            raise OutcomeOwed("an outcome is owed", field="outcome", remedy="enter what the call came to")
        await self._check_vetting(agent_id, agent.desk)
        self._floor.ready(agent_id)
        await self._on_ready()

    def pause(self, agent_id: str, reason: str) -> bool:
        """True at once; False: after the call in hand. The reason is one of ``floor.pause_reasons``."""
        return self._floor.pause(agent_id, reason)

    def moved(self, agent: Agent) -> None:
        """Told by the floor: a desk that is lost is called again."""
        if agent.state is AgentState.OFFLINE and agent.reason == "desk-lost":
            self._seating.lost(agent.id)

    async def _back(self, agent_id: str) -> None:
        if self._owed_by(agent_id) is not None:
            # The call went down with the phone, but its outcome is still owed: no new customer before it.
            self._floor.send_away(agent_id, "outcome-missing")
        else:
            await self._on_ready()

    async def _check_vetting(self, agent_id: str, desk: str) -> None:
        """Rule 1: nobody is put on a line without valid vetting and the training of the rules in force."""
        if not self._people:
            return
        user = await self._store.people.user(agent_id) or await self.user_at(desk)
        if user is None:
            raise CollectorBarred(
                "nobody of the house sits at this desk", field="desk", remedy="onrecord agent add NAME, then vet them"
            )
        if user.disabled:
            raise CollectorBarred("the user is switched off", field="agent", remedy="an admin switches the user on")
        today = local_day(self._clock.now(), self._zone)
        missing = await self._store.people.missing_vettings(user.id, today, rules_version=self._rules_version)
        if missing:
            raise CollectorBarred(
                f"rule 1: no valid record of {', '.join(missing)}",
                field="agent",
                remedy=f"onrecord agent vet NAME --kind {missing[0]} --valid-until YYYY-MM-DD"
                + (f" --reference {self._rules_version}" if missing[0] == "rules-training" else ""),
            )

    # Outcomes

    def talked(self, call: CallInFlight) -> None:
        """The talk is over: its outcome is owed from now on. Nothing is awaited here, the desk must not wait."""
        early = call.call_id in self._early
        self._early.discard(call.call_id)
        if early or not call.agents_served:
            return
        agent_id = call.agents_served[-1]
        self._owed[call.call_id] = Owed(
            call_id=call.call_id,
            case_id=call.case_id,
            number_id=call.number_id,
            agent_id=agent_id,
            since=self._clock.now(),
            owner=agent_id,
        )

    def is_owed(self, call_id: CallId) -> bool:
        return call_id in self._owed

    def owed(self) -> tuple[Owed, ...]:
        """Oldest first."""
        return tuple(self._owed.values())

    async def keep(self, call_id: CallId) -> None:
        """Into the store, before anything else is done with the ended call."""
        if (owed := self._owed.get(call_id)) is not None:
            await self._store.owed.keep(owed, self._node)
            self._kept.add(call_id)
            if call_id not in self._owed:  # entered in this very moment
                await self._store.owed.drop(call_id)

    async def remember(self, call_id: CallId) -> None:
        """The call's end is in the store: what is owed becomes the case's next action, where people see it."""
        if (owed := self._owed.get(call_id)) is not None:
            await self._set_action(owed)
        else:
            await self._free(call_id)  # it was entered already

    async def recall(self) -> None:
        """After a restart: what was owed before is owed still."""
        for owed in await self._store.owed.of_node(self._node):
            self._owed[CallId(owed.call_id)] = owed
            self._kept.add(CallId(owed.call_id))
        if self._owed:
            log.warning("outcomes-owed", calls=len(self._owed))

    async def left(self, call: CallRecord) -> bool:
        """A crash ended a call in which ``call.agent_id`` talked: only a person knows what it came to. Whether it is owed."""
        if call.bridged_at is None or call.agent_id is None:
            return False
        owed = Owed(
            call_id=call.id,
            case_id=call.case_id,
            number_id=call.number_id,
            agent_id=call.agent_id,
            since=self._clock.now(),
            owner=call.agent_id,
        )
        self._owed[CallId(call.id)] = owed
        await self.keep(CallId(call.id))
        await self._set_action(owed)
        return True

    async def forgive(self, call_id: CallId) -> None:
        """Nothing is owed (any more): the network's word is enough, or somebody concluded. Its agent is free."""
        self._owed.pop(call_id, None)
        if call_id in self._kept:
            self._kept.discard(call_id)
            await self._store.owed.drop(call_id)
        await self._free(call_id)

    async def entered(self, call_id: CallId) -> None:
        """The outcome came in through the doors, maybe before the call was over."""
        if self._switchboard.find(call_id) is not None:
            self._early.add(call_id)
        await self.forgive(call_id)

    async def conclude(self, outcome: NewOutcome) -> NextAction | None:
        """What the collector (or, later, the leader) concluded. Raises ``NothingOwed`` and the workflow's refusals."""
        owed = self._owed.get(CallId(outcome.call_id or ""))
        if owed is None or owed.case_id != outcome.case_id:
            raise NothingOwed("no outcome is owed for this call", field="call_id", remedy="name the call just ended")
        if outcome.code not in {code.value for code in OutcomeCode}:
            raise BadInput("is no outcome", field="code", shape=describe_shape(outcome.code), remedy="use an SOP code")
        action = await self._record(outcome, self._clock.now())
        await self.forgive(CallId(owed.call_id))
        return action

    async def _free(self, call_id: CallId) -> None:
        for agent in list(self._floor):
            if agent.state is AgentState.WRAP_UP and agent.call_id == call_id:
                self._floor.ready(agent.id)
                await self._on_ready()

    def _owed_by(self, agent_id: str) -> Owed | None:
        return next((one for one in self._owed.values() if one.agent_id == agent_id and one.owner == agent_id), None)

    async def _set_action(self, owed: Owed) -> None:
        now = self._clock.now()
        await self._store.owed.become_action(
            owed.call_id,
            NextAction(
                case_id=owed.case_id,
                action=ENTER_OUTCOME,
                earliest=now,
                latest=now + _ENTER_WITHIN,
                owner=owed.owner,
                escalation=LEADER,
                reason_en="The call was answered and talked on; what it came to has not been entered.",
                reason_zh="通话已结束,尚未录入通话结果。",
                number_id=owed.number_id,
            ),
            now,
        )

    # Time

    async def watch(self) -> None:
        """Until cancelled: wrap-ups beyond their limit."""
        while True:
            await self._clock.sleep(_WATCH_SECONDS)
            await self.look()

    async def _bar_the_lapsed(self) -> None:
        """Rule 1 holds every minute, not at log-in only: whose record lapsed or was withdrawn gets no further customer."""
        if not self._people or self._clock.monotonic() - self._gated_at < _GATE_SECONDS:
            return
        self._gated_at = self._clock.monotonic()
        for agent in [one for one in self._floor if one.state is AgentState.READY]:
            try:
                await self._check_vetting(agent.id, agent.desk)
            except CollectorBarred as error:
                log.error("collector-barred", agent=agent.id, problem=error.problem)
                if agent.state is AgentState.READY:
                    self._floor.send_away(agent.id, "collector-barred")

    async def look(self) -> None:
        """One round of ``watch``."""
        await self._bar_the_lapsed()
        if self._kept:
            for entered in self._kept - await self._store.owed.still(self._kept):
                await self.forgive(CallId(entered))
        limit = self._settings.wrap_up_seconds
        now = self._clock.now()
        if limit <= 0:
            return
        for owed in list(self._owed.values()):
            if owed.owner != LEADER and (now - owed.since).total_seconds() > limit:
                await self._overdue(owed, now)

    async def _overdue(self, owed: Owed, now: datetime) -> None:
        """The screen is taken for dead: the outcome is the leader's, and no further customer is risked on the agent."""
        owed.owner = LEADER
        log.warning("wrap-up-limit", agent=owed.agent_id, call=owed.call_id)
        for agent in list(self._floor):
            if agent.state is AgentState.WRAP_UP and agent.call_id == owed.call_id:
                self._floor.send_away(agent.id, "outcome-missing")
        await self._store.owed.hand_to(owed.call_id, LEADER)
        await self._store.events.append(
            "outcome.overdue", now, case_id=owed.case_id, subject_id=owed.call_id, agent_id=owed.agent_id
        )
        await self._set_action(owed)

    async def close(self) -> None:
        """No desk is called again from now on."""
        await self._seating.close()
