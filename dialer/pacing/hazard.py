"""The product's pacer: place a call while the chance that it costs a drop is worth it.

It learns while it works how often and after how long people answer, how long unanswered calls ring, how long
talk and wrap-up last; works out for each further call the chance that nobody will be free when it is answered;
and learns the threshold that spends just the campaign's target. Nothing is to be tuned.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from dialer.pacing import odds
from dialer.pacing.budget import AIM, Budget
from dialer.pacing.caution import Caution
from dialer.pacing.half_hours import HALF_HOUR
from dialer.pacing.knowledge import ANSWERED, BASE_CHANCE, CANCELLED, SILENT, Knowledge
from dialer.pacing.small_floor import MOST_AGENTS, SmallFloor
from dialer.pacing.state import (
    KINDEST_RING,
    Answered,
    CallKey,
    Dropped,
    FloorView,
    Pace,
    PacingEvent,
    Placed,
    Sample,
    TalkEnded,
    Unanswered,
    WrapEnded,
)
from dialer.pacing.tables import Array, Tables, build_tables

_GIVEN_UP_FROM = 0.2  # the chance that a ringing call's answer would be dropped; with few agents
_OF_MANY = 0.5  # with many: a large floor would give up a third of its dials at a fifth, and those count as attempts
_FEW_AGENTS, _MANY_AGENTS = 12, 30
_GUARDED = 2.5  # targets; the highest threshold while a half-hour has less than all of its room
_MOST = 400  # calls in one decision
_MOST_HORIZONS = 32
_LIVELY = 0.55  # from this on answer rates are taken to jump; a campaign that knows nothing begins below
_CREDIT = 1.0  # drops not spent before the optimum was known that it may have
_ALL_RETURN = 0.97
_FEW, _MANY = 4, 20  # agents
_STALE = 0.04  # of what is known: so much newly learnt and the tables are made anew
_FREE = 0.02  # of the target: a risk so small is no risk, whatever happened before
_ALIKE = 0.3  # a coefficient of variation above 1 - this is taken for exponential once it was so taken
_HESITATION = -0.08  # before that, it must come nearer
_SAME = 1.5  # times to answer and to the end of unanswered ringing may differ by this factor


class HazardPacer:
    """``Pacer``. ``target``: share of answered calls that may be dropped; ``patience``: seconds a customer waits
    for an agent; ``cancels``: give up ringing calls that would be dropped (never under 15 s of ringing);
    ``half_hours_begin``: an instant, on the scale of the events, at which a half-hour of the clock begins."""

    @property
    def on_events(self) -> bool:
        """With many agents something happens all the time: once a second is as good."""
        return self._agents <= _MANY

    @property
    def every(self) -> float:
        """With few agents the floor changes by events, and time alone matters little. With many, where answer rates jump, what
        is placed in half a second is more than one wants to find out about later."""
        if self._agents > _MANY and self._known.chance.lively > _LIVELY:
            return 0.5
        return 1.0 if self._agents > _FEW or self._memoryless else 2.0

    @property
    def soonest(self) -> float:
        """A free agent among a few waits for every moment that the next call leaves later."""
        return 0.05 if self._agents <= _FEW_AGENTS else 0.5

    def __init__(
        self,
        target: float = 0.01,
        *,
        patience: float = 2.0,
        cancels: bool = True,
        horizons: int = 4,
        half_hours_begin: float = 0.0,
    ) -> None:
        self._budget = Budget(target, half_hours_begin)
        self._patience = patience
        self._cancels = cancels
        self._horizons = horizons
        self._known = Knowledge()
        self._last_answer: tuple[FloorView, Tables, Array] | None = None
        self._last_sample: float | None = None
        self._expected = 0.0  # answers expected at factor 1 since the last sample
        self._agents = 1.0
        self._caution = Caution()
        self._tables: Tables | None = None
        self._built_scale = 0.0
        self._small = SmallFloor()
        self._judged = 0
        self._memoryless = False  # a small floor whose customers' ringing has no memory

    # -- deciding

    def decide(self, view: FloorView, now: float) -> Pace:
        tables = self._ready_tables()
        factor = self._known.factor
        new_chance = min(0.98, (BASE_CHANCE if view.next_chance is None else view.next_chance) * factor)
        free = self._free_chances(view, tables)
        fixed = view.idle - len(view.waiting)
        answer = self._answer_chances(view, tables)
        cancel = self._would_drop(view, fixed, free.beside, answer) if self._cancels else ()
        room = self._budget.room(now)
        many = self._caution.of_many(view.agents)
        limit = max(room * self._threshold(room, many), _FREE * self._budget.target) * tables.mass
        most = _MOST if view.room is None else min(_MOST, view.room)
        ahead = self._horizons
        nobody = (
            fixed <= 0 and len(free) < _MANY and float(tables.weights @ np.multiply.reduce(1.0 - free.chances)) > limit
        )
        exact = self._exact_place(view, room)
        if exact is not None:
            most, limit, nobody = min(most, exact), math.inf, False
        before, new = answer[:, :ahead], new_chance * tables.gain[0, :ahead]
        storm = None
        if many and exact is None and self._known.enough:  # before, nothing of the kind can be said
            storm = self._caution.bearable(
                fixed,
                free,
                before,
                float(new[-1]),
                self._budget.half_hours.left(now),
                self._known.chance.lively,
                self._known.chance.rate,
            )
            most = min(most, storm)
        swell = self._caution.swell(view.agents, fixed, self._newcomers(view.agents), self._known.doubt)
        if swell > 1.0 and exact is None:
            before, new = np.minimum(before * swell, 1.0), np.minimum(new * swell, 1.0)
        risks = [] if nobody else odds.risks(fixed, free, before, new, tables.weights, most, limit)
        if risks and many and exact is None and self._known.enough:
            last = self._caution.one_too_many(
                self._budget.half_hours.bears(now), self._known.chance.lively, self._known.chance.rate
            )
            if last.matters:
                spared = last.spared(fixed, free, before, new, tables.weights, len(risks))
                if spared < len(risks):
                    risks, storm = risks[:spared], spared
        if view.agents == view.leaving:
            risks = []
        binding = "risk"
        if room < 1.0 or len(risks) == storm:
            binding = "account" if self._budget.account_room() == room < 1.0 else "half-hour guard"
        if exact is not None:
            binding = "optimum"
        if len(risks) == most and most not in (exact, storm):
            binding = "room" if view.room is not None and most == view.room else "step"
        return Pace(
            place=len(risks),
            cancel=cancel,
            risk=tuple(risks),
            why={
                "binding": binding,
                "threshold": limit,
                "aim": self._budget.aim(),
                "answer_chance": new_chance,
                "idle": view.idle,
                "soon_free": float(free.cumulants()[0][ahead // 2]),
                "waiting": len(view.waiting),
                "ringing": len(view.ringing),
                "soon_answered": float(odds.summed(answer)[ahead // 2]),
                "talk_mean": self._known.talk.scale,
            },
        )

    def _threshold(self, room: float, many: bool) -> float:
        """Where part of a half-hour's drops are gone, a threshold that climbed in easy times is no measure of what is left."""
        threshold = self._budget.threshold
        return min(threshold, _GUARDED * self._budget.target) if many and room < 1.0 else threshold

    def _newcomers(self, agents: int) -> float:
        """Agents who came within the last seconds, since the last sample included."""
        return self._caution.joined + max(0.0, agents - self._agents) if self._last_sample is not None else 0.0

    def _exact_place(self, view: FloorView, room: float) -> int | None:
        """What the optimum of a small floor without memory places; None where it is not known or does not apply."""
        agents = view.agents - view.leaving
        if not self._memoryless or not self._small.ready(agents):
            return None
        if not self._caution.of_many(view.agents):
            room = (
                1.0  # a handful's half-hours are too small to be judged: the optimum keeps its share of drops by itself
            )
        if room <= 0.0:
            return None  # the optimum knows no half-hours; the general rule sees what each call may cost one
        in_air = len(view.ringing) + len(view.waiting)
        wanted = self._small.ring_up_to(len(view.talking), len(view.wrapping), in_air, careful=room < 1.0)
        return wanted - in_air

    def _answer_chances(self, view: FloorView, tables: Tables) -> Array:
        if not view.ringing:
            return np.zeros((0, self._horizons + 1))
        if self._last_answer is not None and self._last_answer[0] is view and self._last_answer[1] is tables:
            return self._last_answer[2]  # the same view is sampled and decided on
        found = self._worked_out(view, tables)
        self._last_answer = (view, tables, found)
        return found

    def _worked_out(self, view: FloorView, tables: Tables) -> Array:
        rows = tables.by_ring(view.ringing_age)
        chance = self._chances(view)
        found: Array = (chance / (chance * rows[:, 0] + (1.0 - chance) * rows[:, 1]))[:, None] * rows[:, 2:]
        return found

    def _chances(self, view: FloorView) -> Array | float:
        if not any(view.ringing_chance):
            return min(0.98, BASE_CHANCE * self._known.factor)
        base = np.asarray([BASE_CHANCE if one is None else one for one in view.ringing_chance])
        return np.asarray(np.minimum(base * self._known.factor, 0.98))

    def _free_chances(self, view: FloorView, tables: Tables) -> odds.Chances:
        if not view.talking and not view.wrapping:
            return odds.Chances(np.zeros((0, 3 * self._horizons + 1)))
        found = odds.Chances(tables.by_service(view.talking, view.wrapping))
        if self._known.returns < _ALL_RETURN:
            found = odds.Chances.of(found.chances * self._known.returns, found.beside * self._known.returns)
        return found

    def _would_drop(self, view: FloorView, fixed: int, free: Array, answer: Array) -> tuple[CallKey, ...]:
        """Calls rung long enough whose answer within the next second would too likely be dropped."""
        if fixed > 0 or not view.ringing:
            return ()
        old = [place for place, rung in enumerate(view.ringing_rung) if rung >= KINDEST_RING]
        if not old:
            return ()
        young = np.ones(len(answer), dtype=bool)
        young[old] = False
        others = answer[young, -1:]
        one = np.ones(1)
        risk = odds.risks(fixed, odds.Chances.of(free), others, np.zeros(1), one, 1, 1.0)
        many = min(1.0, max(0.0, (view.agents - _FEW_AGENTS) / (_MANY_AGENTS - _FEW_AGENTS)))
        if risk and risk[0] > _GIVEN_UP_FROM + many * (_OF_MANY - _GIVEN_UP_FROM):
            return tuple(view.ringing[place] for place in old)
        return ()

    # -- learning

    def observe(self, event: PacingEvent) -> None:
        if isinstance(event, Sample):
            self._sampled(event)
        elif isinstance(event, Placed):
            base = BASE_CHANCE if event.chance is None else event.chance
            self._known.placed(event.call, event.at, event.risk, base)
            self._budget.placed(event.at, min(0.98, base * self._known.factor), event.risk, self._agents)
        elif isinstance(event, Answered):
            self._budget.answered(event.at, self._known.risk_of(event.call))
            self._known.settle(event.call, event.at, ANSWERED)
        elif isinstance(event, Unanswered):
            self._known.settle(event.call, event.at, CANCELLED if event.cancelled else SILENT)
        elif isinstance(event, Dropped):
            self._budget.dropped(event.at)
        elif isinstance(event, TalkEnded):
            self._known.talked(event.seconds)
        elif isinstance(event, WrapEnded):
            self._known.wrapped(event.seconds, returns=event.returns)

    def _sampled(self, event: Sample) -> None:
        view = event.view
        passed = 1.0 if self._last_sample is None else event.at - self._last_sample
        before = self._agents if self._last_sample is not None else 0.0
        self._agents = float(view.agents)
        self._caution.saw(self._agents, view.idle, before, passed, self._known.chance.rate)
        self._known.many = self._caution.of_many(self._agents)
        if self._last_sample is None and view.agents:
            self._budget.begin(self._agents)
        busy = max(0.0, self._agents - self._caution.usual_idle)
        half_hour = busy * HALF_HOUR / (self._known.talk_mean + self._known.wrap.scale)
        self._budget.expect(half_hour, self._known.chance.lively, self._caution.size)
        self._consider_optimum(view, passed)
        self._last_sample = event.at
        talks = len(view.talking) + 0.5 * view.leaving
        self._known.passed(passed, self._agents, self._expected, talks, self._caution.turning(self._agents))
        if view.ringing:
            found = self._answer_chances(view, self._ready_tables())
            self._expected = float(np.add.reduce(found[:, -1])) / self._known.factor
        else:
            self._expected = 0.0

    def _consider_optimum(self, view: FloorView, passed: float) -> None:
        agents = view.agents - view.leaving
        if not 1 <= agents <= MOST_AGENTS or not self._known.enough:
            self._memoryless = False
            return
        if self._known.ring.seen != self._judged:
            self._judged = self._known.ring.seen
            alike = _ALIKE if self._memoryless else _ALIKE + _HESITATION
            ratio = self._known.silent.scale / self._known.ring.scale
            self._memoryless = self._known.ring.spread() > 1.0 - alike and self._known.silent.spread() > 1.0 - alike
            self._memoryless = self._memoryless and 1.0 / _SAME <= ratio <= _SAME
        if not self._memoryless:
            self._small.account = min(
                _CREDIT, self._budget.balance
            )  # what is owed so far will be paid, what is left spent
            return
        chance = min(
            0.98,
            BASE_CHANCE * self._known.factor if view.next_chance is None else view.next_chance * self._known.factor,
        )
        answers = len(view.ringing) * chance / self._known.ring.scale * passed
        aim = self._budget.aim()
        self._small.passed(answers, answers if view.idle == 0 else 0.0, aim)
        self._small.consider(
            agents=agents,
            chance=chance,
            ring=self._known.ring.scale,
            talk=self._known.talk_mean,
            wrap=self._known.wrap.scale,
            aim=self._budget.target * AIM * (1.0 - self._budget.half_hours.kept),
        )

    def _ready_tables(self) -> Tables:
        known = self._known.ring.weight
        scale = self._known.talk_mean
        stale = self._tables is None or self._known.fresh >= max(1.0, _STALE * known)
        if stale or abs(scale / self._built_scale - 1.0) > 0.04:
            self._known.talk.scale = self._built_scale = scale
            self._known.fresh = 0.0
            self._tables = build_tables(
                self._known.ring,
                self._known.silent,
                self._known.talk,
                self._known.wrap,
                patience=self._patience,
                horizons=self._horizons,
                risky_until=KINDEST_RING if self._cancels else None,
            )
        assert self._tables is not None
        return self._tables

    # -- keeping

    def as_record(self) -> dict[str, Any]:
        """Everything learnt, as plain values: a pacer restored from it goes on exactly as this one will."""
        self._tables = None  # both look their tables up afresh from here
        self._small.begin_anew()
        return {
            "small": self._small.as_record(),
            "memoryless": self._memoryless,
            "judged": self._judged,
            "budget": self._budget.as_record(),
            "patience": self._patience,
            "cancels": self._cancels,
            "horizons": self._horizons,
            **self._known.as_record(),
            "last_sample": self._last_sample,
            "expected": self._expected,
            "agents": self._agents,
            "usual_idle": self._caution.usual_idle,
            "joined": self._caution.joined,
            "size": self._caution.size,
            "highest": self._caution.highest,
        }

    def snapshot(self) -> dict[str, Any]:
        """``as_record`` of a pacer that goes on undisturbed: its tables and solutions stay, to the last digit."""
        twin = copy.copy(self)
        twin._small, twin._known = copy.copy(self._small), self._known.twin()
        return twin.as_record()

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> HazardPacer:
        """Raises ValueError for what no pacer says of itself."""
        if not all(record[count] >= 0.0 for count in ("agents", "usual_idle", "joined", "size", "highest")):
            raise ValueError("agents are not fewer than none")
        if not 1 <= record["horizons"] <= _MOST_HORIZONS:
            raise ValueError("a handful of moments is looked at")
        made = cls(patience=record["patience"], cancels=record["cancels"], horizons=record["horizons"])
        made._budget = Budget.from_record(record["budget"])
        made._small.account = record["small"]["account"]
        made._memoryless, made._judged = record["memoryless"], record["judged"]
        made._last_sample, made._expected = record["last_sample"], record["expected"]
        made._agents = record["agents"]
        caution = made._caution
        caution.usual_idle, caution.joined = record["usual_idle"], record["joined"]
        caution.size, caution.highest = record["size"], record["highest"]
        made._known = Knowledge.from_record(record, many=caution.of_many(made._agents))
        return made
