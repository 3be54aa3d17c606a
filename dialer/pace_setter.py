"""Between the floor and the pacer: what the pacer is shown, what it is told, and the 30-day gate around it.

One per predictive campaign. It hears every call and every agent of the node, because campaigns share the agents: a call
of another campaign rings for the same people. The pacer itself stays pure; what it decided is kept in a ``PaceLog``.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from case_store.network import HangupCause
from config.clock import Clock, half_hour_began
from dialer.events import LegEnded
from dialer.floor import Agent, AgentState, Floor
from dialer.pace_log import PaceLog
from dialer.pacing.answer_chance import NumberFacts
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.ledger import Gated, Ledger
from dialer.pacing.number_chances import NumberChances
from dialer.pacing.remembering import Learnt, Now, kept, taken_up
from dialer.pacing.state import (
    Answered,
    Bridged,
    Dropped,
    FloorView,
    Pace,
    PacingEvent,
    Placed,
    Sample,
    Served,
    TalkEnded,
    Unanswered,
    WrapEnded,
)
from dialer.switchboard import CallInFlight

KINDEST_RING = 15.0
"""Nobody's phone is given up after less ringing, whatever a pacer says (16 CFR 310.4(b)(4)(ii))."""

_HOME = ZoneInfo("UTC")


_READY, _TALKING, _WRAP_UP = (
    AgentState.READY,
    AgentState.TALKING,
    AgentState.WRAP_UP,
)  # looked at a thousand times a second
_UNWATCHED = (
    10.0  # seconds without a look at the floor after which what was seen last says nothing of what happened since
)
_TEACHING = ("answered", "unanswered", "dropped", "talkended", "wrapended")


def restore_gated(record: dict[str, Any]) -> Gated:
    """The pacer of a ``PaceLog``'s first line."""
    gated = Gated(HazardPacer.from_record(record["hazard"]), Ledger.from_record(record["ledger"]), record["day"])
    gated.restore_reserve(record["in_air"])
    return gated


class FloorEar(ABC):
    """Turns what happens on the floor into a pacer's events, and the floor into its view. Times are the clock's
    monotonic seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._own: set[str] = set()
        self._since: dict[str, float] = {}

    @property
    def chance_of_next(self) -> float | None:
        return None

    def view(
        self,
        unanswered: Iterable[CallInFlight],
        waiting: Iterable[CallInFlight],
        floor: Floor,
        now: float,
        *,
        room: int | None = None,
    ) -> FloorView:
        """The floor at this instant. A call with an agent reserved for it, and that agent, are no business of the pacer."""
        idle, leaving = 0, 0
        talking: list[float] = []
        wrapping: list[float] = []
        since = self._since
        for agent in floor:  # most of them talk: that is looked for first
            state = agent.state
            if state is _TALKING or state is _WRAP_UP:
                if agent.is_leader:
                    continue
                if agent.pause_wanted is not None:
                    leaving += 1
                elif state is _TALKING:
                    talking.append(now - since.get(agent.id, now))
                else:
                    wrapping.append(now - since.get(agent.id, now))
            elif state is _READY and agent.leg is not None and not agent.is_leader:
                idle += 1
        ringing = [call for call in unanswered if call.agent_id is None]
        return FloorView(
            idle=idle,
            talking=tuple(talking),
            wrapping=tuple(wrapping),
            leaving=leaving,
            ringing=tuple([call.order.call_id for call in ringing]),
            ringing_age=tuple([now - call.placed_mono for call in ringing]),
            ringing_rung=tuple([0.0 if call.rang_mono is None else now - call.rang_mono for call in ringing]),
            ringing_chance=tuple([call.chance for call in ringing]),
            waiting=tuple([now - call.answered_mono for call in waiting if call.answered_mono is not None]),
            next_chance=self.chance_of_next,
            room=room,
        )

    def placed(self, call: CallInFlight) -> None:
        """A call has left for nobody in particular; what becomes of it will be told."""
        self._own.add(call.call_id)
        self._tell(Placed(call.placed_mono, call.call_id, call.chance, call.risk))

    def answered(self, call: CallInFlight) -> None:
        if call.call_id in self._own:
            self._outcome(call, answered=True)
            self._tell(Answered(self._now(), call.call_id))

    def bridged(self, call: CallInFlight) -> None:
        if call.call_id in self._own and call.answered_mono is not None:
            now = self._now()
            self._tell(Bridged(now, call.call_id, now - call.answered_mono))

    def abandoned(self, call: CallInFlight) -> None:
        if call.call_id in self._own and not call.agents_served:
            self._tell(Dropped(self._now(), call.call_id))

    def ended(self, call: CallInFlight, event: LegEnded) -> None:
        if call.call_id not in self._own:
            return
        self._own.discard(call.call_id)
        if call.answered_at is None:
            given_up = event.cause is HangupCause.CANCELLED
            self._outcome(call, answered=None if given_up else False)
            self._tell(Unanswered(self._now(), call.call_id, cancelled=given_up))

    def agent_moved(self, agent: Agent, old: AgentState) -> None:
        now = self._now()
        spell = now - self._since.get(agent.id, now)
        self._since[agent.id] = now
        if agent.is_leader:
            return
        if old is AgentState.TALKING:
            self._tell(TalkEnded(now, spell))
        if old is AgentState.WRAP_UP:
            self._tell(WrapEnded(now, spell, returns=agent.state is AgentState.READY))

    def _outcome(self, call: CallInFlight, *, answered: bool | None) -> None:
        """The call rang to its end, or was given up (None): a subclass may learn from it."""
        return

    @abstractmethod
    def _tell(self, event: PacingEvent) -> None: ...

    def _now(self) -> float:
        return self._clock.monotonic()


class PaceSetter(FloorEar):
    """``decide`` asks the pacer; the other verbs tell it. ``zone`` says when a day of the ledger begins; ``learnt`` is what
    was known before (times on ``clock``'s own scale)."""

    def __init__(
        self,
        *,
        clock: Clock,
        campaign_id: str,
        target: float,
        limit: float,
        patience: float,
        zone: ZoneInfo = _HOME,
        log: PaceLog | None = None,
        learnt: Learnt | None = None,
    ) -> None:
        super().__init__(clock)
        self._campaign_id = campaign_id
        self._target, self._patience = target, patience
        self._zone = zone
        self._log = log
        self._hazard = (
            learnt.pacer
            if learnt is not None
            else HazardPacer(target, patience=patience, half_hours_begin=half_hour_began(clock))
        )
        self._gated = Gated(self._hazard, Ledger(limit), self.today)
        self._chances = learnt.chances if learnt is not None else NumberChances()
        self._log_begun = False
        self._next_sample = 0.0
        self._watched_until: float | None = None
        self._news = asyncio.Event()
        self.last: Pace | None = None
        self.counts: Counter[str] = Counter()

    @property
    def chance_of_next(self) -> float | None:
        """Of the numbers dialed last: the best guess at the next in line, which are of the same list."""
        return self._chances.of_next

    @property
    def today(self) -> int:
        return self._clock.now().astimezone(self._zone).date().toordinal()

    @property
    def ledger(self) -> Ledger:
        return self._gated.ledger

    @property
    def ledger_open(self) -> bool:
        """Whether the 30-day account lets calls leave that nobody is reserved for."""
        return self.last is None or self.last.why.get("binding") != "ledger"

    @property
    def learnt(self) -> Learnt:
        """What is known by now."""
        return Learnt(self._hazard, self._chances)

    @property
    def outcomes(self) -> int:
        """How much was seen that teaches: calls that came to something, talks and wrap-ups that ended."""
        return sum(self.counts[kind] for kind in _TEACHING)

    def load_ledger(self, days: Iterable[tuple[int, int, int]]) -> None:
        """(ordinal day, answered, abandoned) of the last 30 days, over all nodes; the greater count of a day stands."""
        known = self._gated.ledger.as_record()
        for day, answers, drops in days:
            mine = known["days"].get(str(day), [0, 0])
            known["days"][str(day)] = [max(mine[0], answers), max(mine[1], drops)]
        self._gated.ledger = Ledger.from_record(known)
        if self.last is not None:
            self._restart_log()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None  # agents still leave while the house closes

    # Asked

    def decide(self, view: FloorView, now: float) -> Pace:
        """How many calls now, and which ringing ones to give up."""
        self._news.clear()  # what happens from here on, while calls are being placed as well, is for the next decision
        self._gated.day = self.today
        if self._watched_until is not None and now - self._watched_until > _UNWATCHED:
            self._look_anew(now)
        self._watched_until = now
        if self._log is not None and (self._log.full or self.last is None):
            self._restart_log()
        if now >= self._next_sample:
            self._tell(Sample(now, view))
            self._next_sample = now + self._gated.every
        pace = self._gated.decide(view, now)
        if self._log is not None:
            self._log.decided(view, now, pace)
        self.last = pace
        self.counts["decisions"] += 1
        self.counts[f"bound by {pace.why.get('binding', '?')}"] += 1
        return pace

    def chance(self, facts: NumberFacts) -> float | None:
        """That this number is answered by a person, beside 0.5 for a usual one; None while outcomes are too few to tell."""
        return self._chances.chance(facts)

    async def until_due(self) -> None:
        """Until the pacer wants to be asked again: after its ``every``, or soon after an event where it asks for that."""
        every, soonest = self._gated.every, self._gated.soonest
        await self._clock.sleep(min(soonest, every))
        rest = every - soonest
        if rest <= 0 or (self._gated.on_events and self._news.is_set()):
            return
        if not self._gated.on_events:
            await self._clock.sleep(rest)
            return
        ticking = asyncio.ensure_future(self._clock.sleep(rest))
        telling = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({ticking, telling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ticking.cancel()
            telling.cancel()

    # Told

    def answered(self, call: CallInFlight) -> None:
        """A call with an agent reserved is no business of the pacer, but its answer pays into the account: else an account
        once used up would stay so."""
        super().answered(call)
        if call.call_id not in self._own and call.campaign_id == self._campaign_id:
            self._tell(Served(self._now(), call.call_id))

    def placed_with(self, call: CallInFlight, facts: NumberFacts) -> None:
        """``placed``, of a number whose chance was asked for."""
        self._chances.placed(call.call_id, facts, call.placed_mono)
        self.placed(call)

    def _outcome(self, call: CallInFlight, *, answered: bool | None) -> None:
        self._chances.ended(call.call_id, self._now(), answered=answered)

    def _tell(self, event: PacingEvent) -> None:
        self.counts[type(event).__name__.lower()] += 1
        if not isinstance(event, Sample | Placed):
            self._news.set()
        if self._log is not None and self._log_begun:
            self._log.told(event)
        self._gated.observe(event)

    def _look_anew(self, now: float) -> None:
        """The campaign was in another mode meanwhile, or the machine slept: what rang when the floor was last looked at did
        not ring on all that time. Taken for that, minutes of ringing without an answer, and the next step floods."""
        assert self._watched_until is not None
        as_of_now = Now(
            at=now,
            away=now - self._watched_until,
            target=self._target,
            patience=self._patience,
            half_hours_begin=half_hour_began(self._clock),
        )
        learnt = taken_up(kept(self.learnt, self._watched_until), as_of_now)
        in_air = self._gated.reserve_record()
        self._hazard, self._chances = learnt.pacer, learnt.chances
        self._gated = Gated(self._hazard, self._gated.ledger, self._gated.day)
        self._gated.restore_reserve(in_air)
        if self.last is not None:
            self._restart_log()

    def _restart_log(self) -> None:
        """The running pacer goes on as the one a replay restores, so that both say the same to the last digit."""
        if self._log is None:
            return
        record = {
            "hazard": self._hazard.as_record(),
            "ledger": self._gated.ledger.as_record(),
            "day": self._gated.day,
            "in_air": self._gated.reserve_record(),
        }
        self._log.begin(record)
        self._log_begun = True
        self._gated = restore_gated(record)
        inner = self._gated.pacer
        assert isinstance(inner, HazardPacer)
        self._hazard = inner
