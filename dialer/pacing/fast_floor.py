"""A floor in virtual time: agents, customers and a carrier drawn from a ``Scenario``.

It keeps counts, not media: 8 hours of 100 agents take seconds. The production floor over the scripted engine
can stand in its place, see ``simulator.Floor``.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from dialer.pacing.scenario import Scenario
from dialer.pacing.state import (
    Answered,
    Bridged,
    CallKey,
    Dropped,
    FloorView,
    Pace,
    PacingEvent,
    Placed,
    TalkEnded,
    Unanswered,
    WrapEnded,
)

_ANSWER, _NO_ANSWER, _PERSON, _PATIENCE, _TALK_END, _WRAP_END, _LEAVE, _RETURN = range(8)
_BLOCK = 2048


class _Draws:
    """Durations of one mean and spread, drawn in blocks: lognormal, exponential or constant."""

    def __init__(self, random: np.random.Generator, mean: float, cv: float, exponential: bool) -> None:
        self._random, self._mean, self._cv, self._exponential = random, mean, cv, exponential
        self._left: list[float] = []

    def next(self) -> float:
        if not self._left:
            self._left = self._block()
        return self._left.pop()

    def _block(self) -> list[float]:
        if self._exponential:
            return list(self._random.exponential(self._mean, _BLOCK).tolist())
        if self._cv == 0 or self._mean == 0:
            return [self._mean] * _BLOCK
        spread = math.sqrt(math.log1p(self._cv**2))
        return list(self._random.lognormal(math.log(self._mean) - spread**2 / 2, spread, _BLOCK).tolist())


class Fate(NamedTuple):
    """What a call comes to: whether a person answers, and after how many seconds of ringing it is decided."""

    answers: bool
    after: float


class Fates:
    """What people and agents do, in the very draws ``FastFloor`` makes of a seed: for another floor beside it."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._floor = FastFloor(scenario, seed)

    def next(self, now: float) -> Fate:
        """Of the call placed next."""
        floor, scenario = self._floor, self._floor._scenario
        if not floor._coins:
            floor._coins = list(floor._uniform.random(_BLOCK).tolist())
        if floor._coins.pop() < min(1.0, scenario.answer_rate * scenario.answer_steps.at(now)):
            return Fate(True, floor._ring.next())
        return Fate(False, floor._no_answer.next())

    def talk(self, now: float) -> float:
        return self._floor._talk.next() * self._floor._scenario.talk_steps.at(now)

    def wrap(self) -> float:
        return self._floor._wrap.next()


class FastFloor:
    """``simulator.Floor`` in memory. One instance is one day."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        seeds = np.random.SeedSequence(seed).spawn(7)
        streams = [np.random.default_rng(one) for one in seeds]
        markov = scenario.markov
        self._ring = _Draws(streams[0], scenario.ring, scenario.ring_cv, markov)
        self._no_answer = _Draws(
            streams[1], scenario.ring if markov else scenario.no_answer, scenario.no_answer_cv, markov
        )
        self._talk = _Draws(streams[2], scenario.talk, scenario.talk_cv, markov)
        self._wrap = _Draws(streams[3], scenario.wrap, scenario.wrap_cv, markov)
        self._uniform = streams[4]
        self._coins: list[float] = []
        self._patience = 0.0 if markov else scenario.patience
        self._kind_rates = [(kind.factor, kind.share) for kind in scenario.numbers]
        self._kind_order = streams[5]
        self._next_factor: deque[float] = deque()
        self.now = 0.0
        self._heap: list[tuple[float, int, int, Any]] = []
        self._order = 0
        self._last_call = 0
        self._idle: list[int] = list(range(scenario.agents))
        self._away: set[int] = set()
        self._leaving: set[int] = set()
        self._talk_start: dict[int, float] = {}
        self._wrap_start: dict[int, float] = {}
        self._ringing: dict[CallKey, tuple[float, float, float | None]] = {}  # placed, rings from, chance told
        self._waiting: dict[CallKey, float] = {}  # in order of answer
        self._tokens = 1.0 if scenario.cps else 0.0
        self._tokens_at = 0.0
        self._logged_in = scenario.agents
        for number, pause in enumerate(scenario.breaks):
            self._push(pause.from_minute * 60.0, _LEAVE, number)

    # -- the Floor protocol

    def next_at(self) -> float:
        return self._heap[0][0] if self._heap else math.inf

    def step(self) -> list[PacingEvent]:
        """Let the next thing happen."""
        at, _, kind, key = heapq.heappop(self._heap)
        self._reach(at)
        events: list[PacingEvent] = []
        if kind == _ANSWER:
            if key in self._ringing:
                if self._scenario.progress_delay > 0:
                    placed, _, told = self._ringing[key]
                    self._ringing[key] = (placed, math.inf, told)  # rings no more: not to be given up
                    self._push(at + self._scenario.progress_delay, _PERSON, key)
                else:
                    self._answered(key, events)
        elif kind == _NO_ANSWER:
            if self._ringing.pop(key, None) is not None:
                events.append(Unanswered(at, key))
        elif kind == _TALK_END:
            self._talk_ended(key, events)
        elif kind == _WRAP_END:
            self._wrap_ended(key, events)
        elif kind == _PATIENCE:
            if self._waiting.pop(key, None) is not None:
                events.append(Dropped(at, key))
        elif kind == _PERSON:
            if key in self._ringing:
                self._answered(key, events)
        elif kind == _LEAVE:
            self._leave(key)
        else:
            self._return(key, events)
        return events

    def view(self, now: float) -> FloorView:
        self._reach(now)
        leaving = self._leaving
        if leaving:
            talking = tuple([now - since for agent, since in self._talk_start.items() if agent not in leaving])
            wrapping = tuple([now - since for agent, since in self._wrap_start.items() if agent not in leaving])
        else:
            talking = tuple([now - since for since in self._talk_start.values()])
            wrapping = tuple([now - since for since in self._wrap_start.values()])
        ringing = self._ringing.values()
        age = tuple([now - one[0] for one in ringing])
        late = self._scenario.carrier_delay > 0 or self._scenario.progress_delay > 0
        rung = tuple([max(0.0, now - one[1]) for one in ringing]) if late else age
        return FloorView(
            idle=len(self._idle),
            talking=talking,
            wrapping=wrapping,
            leaving=len(leaving & (self._talk_start.keys() | self._wrap_start.keys())) if leaving else 0,
            ringing=tuple(self._ringing),
            ringing_age=age,
            ringing_rung=rung,
            ringing_chance=tuple([one[2] for one in ringing]),
            waiting=tuple([now - since for since in self._waiting.values()]),
            next_chance=self._told(self._peek_factor()),
            room=self._room(now),
        )

    def carry_out(self, pace: Pace, now: float) -> list[PacingEvent]:
        """Place and cancel as told; more than there is room for is not placed."""
        self._reach(now)
        events: list[PacingEvent] = []
        given_up = [key for key in pace.cancel if self._ringing.pop(key, None) is not None]
        events.extend(Unanswered(now, key, cancelled=True) for key in given_up)
        room = self._room(now)
        wanted = pace.place if room is None else min(pace.place, room)
        known = len(pace.risk)
        events.extend(self._place(now, pace.risk[place] if place < known else 0.0) for place in range(wanted))
        return events

    def staffed(self) -> int:
        """Agents logged in and not away."""
        return self._logged_in

    def occupied(self) -> int:
        """Agents talking or in wrap-up."""
        return len(self._talk_start) + len(self._wrap_start)

    # -- what happens

    def _reach(self, now: float) -> None:
        self.now = now

    def _push(self, at: float, kind: int, key: Any) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, kind, key))

    def _room(self, now: float) -> int | None:
        scenario = self._scenario
        if scenario.channels is None and scenario.cps is None:
            return None
        room = 1_000_000
        if scenario.channels is not None:
            room = scenario.channels - len(self._ringing) - len(self._waiting) - len(self._talk_start)
        if scenario.cps is not None:
            full = max(1.0, scenario.cps)
            self._tokens = min(full, self._tokens + (now - self._tokens_at) * scenario.cps)
            self._tokens_at = now
            room = min(room, int(self._tokens + 1e-9))
        return max(0, room)

    def _peek_factor(self) -> float:
        if not self._kind_rates:
            return 1.0
        if not self._next_factor:
            shares = [share for _, share in self._kind_rates]
            picks = self._kind_order.choice(len(shares), size=_BLOCK, p=shares)
            self._next_factor.extend(self._kind_rates[int(pick)][0] for pick in picks)
        return self._next_factor[0]

    def _told(self, factor: float) -> float | None:
        if not self._kind_rates or not self._scenario.kinds_known:
            return None
        return min(0.99, self._scenario.answer_rate * factor)

    def _place(self, now: float, risk: float) -> Placed:
        scenario = self._scenario
        factor = self._peek_factor()
        if self._next_factor:
            self._next_factor.popleft()
        told = self._told(factor)
        if scenario.cps is not None:
            self._tokens -= 1.0
        if not self._coins:
            self._coins = list(self._uniform.random(_BLOCK).tolist())
        self._last_call += 1
        key = self._last_call
        rings_from = now + scenario.carrier_delay
        self._ringing[key] = (now, rings_from, told)
        chance = min(1.0, scenario.answer_rate * factor * scenario.answer_steps.at(now))
        answers = self._coins.pop() < chance
        if answers:
            self._push(rings_from + self._ring.next(), _ANSWER, key)
        else:
            self._push(rings_from + self._no_answer.next(), _NO_ANSWER, key)
        return Placed(now, key, told, risk)

    def _answered(self, key: CallKey, events: list[PacingEvent]) -> None:
        del self._ringing[key]
        events.append(Answered(self.now, key))
        if self._idle:
            self._bridge(key, 0.0, events)
        elif self._patience <= 0:
            events.append(Dropped(self.now, key))
        else:
            self._waiting[key] = self.now
            self._push(self.now + self._patience, _PATIENCE, key)

    def _bridge(self, key: CallKey, waited: float, events: list[PacingEvent]) -> None:
        agent = self._idle.pop()
        self._talk_start[agent] = self.now
        self._push(self.now + self._talk.next() * self._scenario.talk_steps.at(self.now), _TALK_END, agent)
        events.append(Bridged(self.now, key, waited))

    def _talk_ended(self, agent: int, events: list[PacingEvent]) -> None:
        events.append(TalkEnded(self.now, self.now - self._talk_start.pop(agent)))
        self._wrap_start[agent] = self.now
        self._push(self.now + self._wrap.next(), _WRAP_END, agent)

    def _wrap_ended(self, agent: int, events: list[PacingEvent]) -> None:
        seconds = self.now - self._wrap_start.pop(agent)
        returns = agent not in self._away
        events.append(WrapEnded(self.now, seconds, returns))
        if returns:
            self._ready(agent, events)
        else:
            self._leaving.discard(agent)
            self._logged_in -= 1

    def _ready(self, agent: int, events: list[PacingEvent]) -> None:
        self._idle.append(agent)
        if self._waiting:
            key = next(iter(self._waiting))
            self._bridge(key, self.now - self._waiting.pop(key), events)

    def _who(self, number: int) -> range:
        share = self._scenario.breaks[number].share
        return range(round(self._scenario.agents * share))

    def _leave(self, number: int) -> None:
        pause = self._scenario.breaks[number]
        for agent in self._who(number):
            self._away.add(agent)
            if agent in self._idle:
                self._idle.remove(agent)
                self._logged_in -= 1
            elif pause.announced:
                self._leaving.add(agent)
        self._push(self.now + pause.minutes * 60.0, _RETURN, number)
        self._push(self.now + pause.every_minutes * 60.0, _LEAVE, number)

    def _return(self, number: int, events: list[PacingEvent]) -> None:
        for agent in self._who(number):
            self._away.discard(agent)
            self._leaving.discard(agent)
            if agent in self._idle or agent in self._talk_start or agent in self._wrap_start:
                continue
            self._logged_in += 1
            self._ready(agent, events)
