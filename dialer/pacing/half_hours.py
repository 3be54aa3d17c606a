"""What of a half-hour's drops is gone, and how much more it can bear. Pure.

The half-hours of the clock, on the hour and at half past, are those of the trade's reports, and the ones that are kept
within their share. No half-hour from whichever minute it is counted has much more than they: a cluster that lies across
two of them is a cluster all the same.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from dialer.pacing.caution import HANDFUL

HALF_HOUR = 1800.0
"""Seconds."""

TRUSTED = 0.028
"""A target at which all figures here are as they stand, and predictions of drops are taken as they are; rarer drops are
predicted less well, and come by chance more."""

_MINUTE = 60.0
_MINUTES = 30  # of a half-hour
_SAME_MOMENT = 1e-3  # seconds

_FOR_STORMS = 0.5  # of the aim, where rates surely jump
_STORM_AGENTS = 10.0  # up to so many; less with more
_SELDOM = 2.3  # standard deviations between what is steered for and what a half-hour may have, with few agents
_LEAST = 3.4  # drops; fewer say nothing
_SHARE = 1.75  # of the target: steered for, so that more (6% for 2.8%) is had in no half-hour
_MOST = 2.14  # of the target, or of 2.8% where it is less: what no half-hour shall have
_ACROSS = 1.25  # times as much may any half-hour have that does not begin with the clock's
_SHARE_LIVELY = 0.15  # and more where rates jump, for there the answers to come are not counted on
_UNFORESEEN = 0.5  # of the answers a half-hour may still bring, not counted on where rates jump
# power of trusted by target, and its most: a half-hour may have more where drops are rarer
_RARER, _MOST_RARER = 0.25, 1.3
_SPARE, _SPARE_LIVELY = 0.3, 0.3  # kept free below it, in standard deviations of so many drops; more where rates jump
_SOFT, _SOFT_LIVELY = 1.0, 0.2  # and in so many below that risk shrinks


def minute_of(at: float, begin: float) -> int:
    """The number of the minute in which answers and drops are counted; every thirtieth begins a half-hour."""
    return math.floor((at - begin) / _MINUTE)


class HalfHours:
    """``target``: share of answered calls that may be dropped; ``aim``: share steered for in quiet times; ``begin``: an
    instant, in seconds on the scale of all others here, at which a half-hour begins."""

    def __init__(self, target: float, aim: float, begin: float = 0.0) -> None:
        self._target, self._aim, self._begin = target, aim, begin
        # number of the minute, answers and drops in it, of the last half-hour
        self._minutes: deque[list[int]] = deque()
        self._most_answers = 0.0  # in half an hour, with the agents there are; 0 until told
        self._lively = 0.5
        self._size = self._capacity = 0.0
        self.kept = 0.0
        """The share of the aim that is left alone so that single half-hours stay within theirs."""
        # asked at, room and left; until something changes
        self._then: tuple[float, float, float] | None = None

    def expect(self, half_hour: float, lively: float, size: float) -> None:
        """As ``Budget.expect``."""
        self._capacity, self._lively, self._size = half_hour, lively, size
        self._most_answers = half_hour * (1.0 - _UNFORESEEN * lively)
        self.kept = self._to_be_kept()
        self._then = None

    def _to_be_kept(self) -> float:
        """Where rates jump, a storm may take all that a half-hour of few agents has. And a guard that has to close often
        costs more than to steer for a little less: the mean stays so many standard deviations below what a half-hour may
        have. A handful's half-hours are too small to be kept, many agents' bear both."""
        if self._size <= HANDFUL:
            return 0.0
        storms = _FOR_STORMS * max(0.0, 2.0 * self._lively - 1.0) * min(1.0, (_STORM_AGENTS / self._size) ** 2)
        usual = self._aim * self._capacity
        may = max(self._least, self._share * self._capacity)
        mean = (0.5 * (math.sqrt(_SELDOM**2 + 4.0 * may) - _SELDOM)) ** 2
        guard = max(0.0, 1.0 - mean / usual) * min(1.0, (self._size - HANDFUL) / HANDFUL) if usual > 0.0 else 0.0
        return max(storms, guard)

    @property
    def _share(self) -> float:
        """Of a half-hour's answers, so many may be dropped."""
        return (_SHARE + _SHARE_LIVELY * self._lively) * self._target * self._rarer

    @property
    def _least(self) -> float:
        """And so many drops in any case, short of what else is kept free."""
        return _LEAST * self._rarer

    @property
    def _rarer(self) -> float:
        """The fewer drops a half-hour has on average, the more of that average comes by chance alone: a guard as near to a
        low target as to a high one would close so often that the target is missed from below."""
        rarer: float = max(1.0, TRUSTED / self._target) ** _RARER
        return min(_MOST_RARER, rarer)

    def room(self, now: float) -> float:
        """1 while every half-hour that is not over yet is well within what it may have, falling to 0 when one has had all:
        then only calls without risk are placed. One that began some minutes ago has what was answered since, and what the
        agents who are there can still answer."""
        return self._look(now)[1]

    def left(self, now: float) -> float:
        """Drops that the clock's half-hour under way may still have; below 0 when it has had more."""
        return self._look(now)[2]

    def bears(self, now: float) -> int:
        """Drops that the clock's half-hour can have from now on and be within 6%, or more in proportion where the target is
        above 2.8%; the next one is one too many. Not less where drops are rarer: there one or two more than usual are chance,
        and a target of 1% would realise .86% with ten agents."""
        limit, drops = self._of_the_clock(now)
        return max(0, math.floor(limit * _MOST * max(TRUSTED, self._target) / self._share) - drops)

    def _of_the_clock(self, now: float) -> tuple[float, int]:
        """What the clock's half-hour may have, and has had."""
        into = now - self._begin
        first = math.floor(into / HALF_HOUR) * _MINUTES
        answers, drops = self._since(first)
        rest = first * _MINUTE + HALF_HOUR - into
        return self._share * (answers + rest * self._most_answers / HALF_HOUR), drops

    def _look(self, now: float) -> tuple[float, float, float]:
        then = self._then
        if then is not None and 0.0 <= now - then[0] < _SAME_MOMENT:
            return then
        limit, drops = self._of_the_clock(now)
        room, left = self._room(drops, limit, self._least), limit - drops
        into, pace, share = now - self._begin, self._most_answers / HALF_HOUR, self._share
        first = math.floor(into / HALF_HOUR) * _MINUTES
        answers = drops = 0
        for minute, answered, dropped in reversed(self._minutes):
            rest = minute * _MINUTE + HALF_HOUR - into
            if rest <= 0.0:
                break
            answers += answered
            drops += dropped
            if dropped and minute < first:
                across = self._room(drops, _ACROSS * share * (answers + rest * pace), _ACROSS * self._least)
                room = min(room, across)
        self._then = then = now, room, left
        return then

    def _since(self, first: int) -> tuple[int, int]:
        answers = drops = 0
        for minute, answered, dropped in reversed(self._minutes):
            if minute < first:
                break
            answers += answered
            drops += dropped
        return answers, drops

    def _room(self, drops: int, limit: float, least: float) -> float:
        if drops <= 1:
            return 1.0
        spread = math.sqrt(limit)
        may = max(least, limit - (_SPARE + _SPARE_LIVELY * self._lively) * spread)
        return min(1.0, max(0.0, (may - drops) / max(1.0, (_SOFT + _SOFT_LIVELY * self._lively) * spread)))

    def answered(self, at: float) -> None:
        self._remember(at, 1, 0)

    def dropped(self, at: float) -> None:
        self._remember(at, 0, 1)

    def _remember(self, at: float, answers: int, drops: int) -> None:
        self._then = None
        minute = minute_of(at, self._begin)
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1][1] += answers
            self._minutes[-1][2] += drops
            return
        self._minutes.append([minute, answers, drops])
        while self._minutes[0][0] * _MINUTE < at - self._begin - HALF_HOUR:
            self._minutes.popleft()

    def as_record(self) -> dict[str, Any]:
        return {
            "begin": self._begin,
            "minutes": [list(one) for one in self._minutes],
            "most_answers": self._most_answers,
            "lively": self._lively,
            "size": self._size,
            "capacity": self._capacity,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], target: float, aim: float) -> HalfHours:
        made = cls(target, aim, record["begin"])
        made._minutes = deque(list(one) for one in record["minutes"])
        made._most_answers, made._lively = record["most_answers"], record["lively"]
        made._size, made._capacity = record["size"], record["capacity"]
        made.kept = made._to_be_kept()
        return made
