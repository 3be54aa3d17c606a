"""How a campaign's people answer and how its agents work, learnt from its events while it dials. Pure."""

from __future__ import annotations

import copy
import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from dialer.pacing.caution import lively_at_first
from dialer.pacing.durations import Durations
from dialer.pacing.state import CallKey
from dialer.pacing.switching import SwitchingRate
from dialer.pacing.tracking import RateTracker

USUAL_TALK = 90.0
"""Seconds; the tracker learns the factor to it."""

BASE_CHANCE = 0.5
"""Of a number nothing is known of; the tracker learns the factor to it."""

ANSWERED, SILENT, CANCELLED = 1, 2, 3
"""How a call ended, for ``Knowledge.settle``."""

_ENOUGH = 20  # answers seen before the ages of ringing calls are trusted to tell the answer chance
_ENOUGH_OF_HANDFUL = 12  # a handful waits half an hour for as many
_RETURN_STEP = 0.12  # how fast "agents leave for a break instead of getting ready" is believed, a wrap-up
_MANY = 20  # agents
_FIRST_WEIGHT = 10.0  # of what the first outcomes said of the answer chance, in events; more when there were more
_STUCK = 120.0  # seconds after which a call no longer holds up what was learnt from later ones
_WORTH_IT = 0.5  # expected events without one happening, before the trackers are told
_LOOK, _LOOK_AT_TALK = 1.5, 4.5  # seconds between two looks at least, where so much happens that each tells little


@dataclass(slots=True)
class _Dial:
    """A call on its way: when it was placed, the risk it was placed with, its base chance, and how it ended."""

    at: float
    risk: float
    base: float
    how: int = 0
    after: float = 0.0


class Knowledge:
    """``ring``, ``silent``, ``talk``, ``wrap``: seconds to the answer, to the end of unanswered ringing, of talk and of
    wrap-up. ``returns``: share of agents who get ready after wrap-up instead of going away. ``fresh``: so much was learnt
    since it was last set to nothing. ``many``: whether the floor is more than a handful."""

    def __init__(self) -> None:
        self.chance = SwitchingRate(1.0)
        self.ring = Durations(15.0, 0.8, 6.0, 2000.0)
        self.silent = Durations(30.0, 0.5, 3.0, 2000.0)
        self.talk = Durations(USUAL_TALK, 1.0, 10.0, 3000.0, own_scale=False)
        self.wrap = Durations(15.0, 0.8, 6.0, 400.0)
        self.returns = 1.0
        self.fresh = 0.0
        self.many = False
        self._talk_pace = SwitchingRate(1.0, 1.5)  # talks ended for one expected at the usual length
        self._settled = RateTracker(1.0)
        self._placed: dict[CallKey, _Dial] = {}  # in order of placement
        self._answers = 0
        self._talk_ends = 0
        self._answer_exposure = self._talk_exposure = self._answer_seconds = self._talk_seconds = 0.0

    @property
    def enough(self) -> bool:
        """Whether it is known how long people take to answer."""
        return self.ring.seen >= self._enough

    @property
    def _enough(self) -> int:
        return _ENOUGH if self.many else _ENOUGH_OF_HANDFUL

    @property
    def factor(self) -> float:
        """To the base chance. Ringing calls tell sooner, but only once it is known how long people take."""
        return self.chance.rate if self.enough else self._settled.rate

    @property
    def doubt(self) -> float:
        """How far off the factor may be, as a share of it."""
        return self.chance.doubt if self.enough else 1.0 / math.sqrt(1.0 + self._settled.seen)

    @property
    def talk_mean(self) -> float:
        """Seconds."""
        return USUAL_TALK / self._talk_pace.rate

    def placed(self, call: CallKey, at: float, risk: float, base: float) -> None:
        self._placed[call] = _Dial(at, risk, base)

    def risk_of(self, call: CallKey) -> float:
        """That the call was placed with; 0 of one it does not know."""
        dial = self._placed.get(call)
        return dial.risk if dial else 0.0

    def settle(self, call: CallKey, at: float, how: int) -> None:
        """A call was answered or came to its end. Outcomes are learnt in order of placement: taken as they come, the quick
        answers among calls that still ring would make answering look quicker and likelier than it is."""
        self._answers += how == ANSWERED
        dial = self._placed.get(call)
        if dial is None:
            return
        dial.how, dial.after = how, at - dial.at
        first = next(iter(self._placed))
        while (head := self._placed[first]).how or at - head.at > _STUCK:
            del self._placed[first]
            self._learn(head)
            if not self._placed:
                break
            first = next(iter(self._placed))

    def _learn(self, dial: _Dial) -> None:
        if dial.how == ANSWERED:
            self.ring.observe(dial.after)
            self.fresh += 1.0
        elif dial.how == SILENT:
            self.silent.observe(dial.after)
            self.fresh += 0.1
        if self.ring.seen > self._enough or not dial.how:
            return
        exposure = dial.base
        if dial.how == CANCELLED:  # had it rung on, so much of the answers would have been seen
            exposure *= float(self.ring.distribution(np.array([dial.after]))[0])
        self._settled.observe(float(dial.how == ANSWERED), exposure)

    def talked(self, seconds: float) -> None:
        self.talk.scale = self.talk_mean
        self.talk.observe(seconds)
        self._talk_ends += 1
        self.fresh += 1.0

    def wrapped(self, seconds: float, *, returns: bool) -> None:
        self.wrap.observe(seconds)
        self.returns += _RETURN_STEP * (float(returns) - self.returns)

    def passed(self, seconds: float, agents: float, answers: float, talks: float, turning: float) -> None:
        """So much time, with so many ``answers`` expected a second at factor 1, and so many ``talks`` under way.
        ``turning`` as in ``SwitchingRate.observe``."""
        self._hear_answers(seconds, agents, answers, turning)
        self._talk_exposure += talks * seconds / USUAL_TALK
        self._talk_seconds += seconds
        expected = self._talk_exposure * self._talk_pace.rate
        if _worth_telling(self._talk_ends, expected, agents, self._talk_seconds, _LOOK_AT_TALK):
            self._talk_pace.observe(self._talk_ends, self._talk_exposure, self._talk_seconds)
            self._talk_ends, self._talk_exposure, self._talk_seconds = 0, 0.0, 0.0

    def _hear_answers(self, seconds: float, agents: float, answers: float, turning: float) -> None:
        if not self.enough:
            weight = max(_FIRST_WEIGHT, self._settled.seen)
            self.chance = SwitchingRate(self._settled.rate, weight, lively_at_first(agents))
            self._answers, self._answer_exposure, self._answer_seconds = 0, 0.0, 0.0
            return
        self._answer_exposure += answers * seconds
        self._answer_seconds += seconds
        expected = self._answer_exposure * self.chance.rate
        if _worth_telling(self._answers, expected, agents, self._answer_seconds, _LOOK):
            self.chance.observe(self._answers, self._answer_exposure, self._answer_seconds, turning=turning)
            self._answers, self._answer_exposure, self._answer_seconds = 0, 0.0, 0.0

    # -- keeping

    def twin(self) -> Knowledge:
        """One that may be written down while this one goes on undisturbed."""
        made = copy.copy(self)
        for part in ("ring", "silent", "talk", "wrap"):
            setattr(made, part, copy.copy(getattr(self, part)))
        return made

    def as_record(self) -> dict[str, Any]:
        return {
            "chance": self.chance.as_record(),
            "settled": self._settled.as_record(),
            "ring": self.ring.as_record(),
            "silent": self.silent.as_record(),
            "talk": self.talk.as_record(),
            "talk_pace": self._talk_pace.as_record(),
            "wrap": self.wrap.as_record(),
            "returns": self.returns,
            "placed": [[key, *astuple(dial)] for key, dial in self._placed.items()],
            "answers": self._answers,
            "answer_exposure": self._answer_exposure,
            "answer_seconds": self._answer_seconds,
            "talk_ends": self._talk_ends,
            "talk_exposure": self._talk_exposure,
            "talk_seconds": self._talk_seconds,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], *, many: bool) -> Knowledge:
        """Raises ValueError for what none says of itself."""
        made = cls()
        made.many = many
        made.chance = SwitchingRate.from_record(record["chance"])
        made._settled = RateTracker.from_record(record["settled"])
        made.ring = Durations.from_record(record["ring"])
        made.silent = Durations.from_record(record["silent"])
        made.talk = Durations.from_record(record["talk"])
        made._talk_pace = SwitchingRate.from_record(record["talk_pace"])
        made.wrap = Durations.from_record(record["wrap"])
        made.returns = record["returns"]
        made._placed = {key: _Dial(*dial) for key, *dial in record["placed"]}
        made._answers, made._talk_ends = record["answers"], record["talk_ends"]
        made._answer_exposure, made._answer_seconds = record["answer_exposure"], record["answer_seconds"]
        made._talk_exposure, made._talk_seconds = record["talk_exposure"], record["talk_seconds"]
        return made


def _worth_telling(events: int, expected: float, agents: float, seconds: float, between: float) -> bool:
    """Whether a tracker should hear of so much by now."""
    return (events > 0 or expected > _WORTH_IT) and (agents <= _MANY or seconds > between)
