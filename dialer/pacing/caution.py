"""How much may be in the air at once, beside what each call risks: crowds, storms, and floors that belong together. Pure.

A call that has not rung 15 s cannot be taken back. What leaves for a crowd of agents at a blow, or for few who answer, is
answered before a jump of the answer rate is seen; both are bounded here by what the half-hours under way can still bear.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dialer.pacing import odds
from dialer.pacing.tables import Array

HANDFUL = 5
"""Agents. With no more than these, caution for crowds has nobody to spare, and a jump is seen half an hour late."""

_LIVELY_OF_HANDFUL = 0.01  # before anything was seen; looking for jumps costs a handful more than they do
_TURNING_OF_HANDFUL = 0.125  # of how much calm times are suspected otherwise: a day has some hundred answers
_CROWD = 0.6  # how much likelier an answer is taken to be where all agents come at once
_DOUBTED = 1.5  # and how much more for what is not known of the answer chance, in standard deviations
_NEW_SECONDS = 20.0  # so long an agent is a newcomer
_USUAL_IDLE, _USUAL_SWING = 1.5, 2.5  # more than are free on average: one or two, and so many standard deviations
_USUAL_SECONDS = 300.0  # over which that average is taken
_SIZE_SECONDS = 3600.0  # until a floor is taken to have become as small as it looks; a break is over by then
_HIGHEST_SECONDS = 21_600.0  # until a rate once seen is no longer reckoned with
_STORM = 3.5  # by how much more than one an answer's chance may be multiplied at a blow, where rates jump
_STORM_SPARE, _STORM_SPARE_LIVELY = 1.0, 0.5  # drops kept back from what a storm may cause; more where rates jump
_MANY_LEFT = 8  # drops; a half-hour that has so many left is not looked at so closely
_TOO_MANY = 2.5e-4  # the chance that a call, if answered, is the drop too many
_JUMP = 0.05  # the chance that answers jump before it is seen, where rates surely jump; a dozen seconds of ten minutes, and more
_NEVER = 1e-6  # chance of an answer while one looks ahead; who believes less knows nothing of a storm
_STORM_LUCK = 1.0  # standard deviations of what it may cause beyond its mean


def lively_at_first(agents: float) -> float:
    """How surely answer rates are taken to jump before anything was seen of them, 0 to 1."""
    return 0.5 if agents > HANDFUL else _LIVELY_OF_HANDFUL


class OneTooMany(NamedTuple):
    """``bears``: drops that the half-hour under way can still have; ``storm``: how many times as likely as now answers may
    become at a blow, and ``jump``: the chance that they do before it is seen."""

    bears: int
    storm: float
    jump: float

    @property
    def matters(self) -> bool:
        return self.bears < _MANY_LEFT

    def spared(self, fixed: int, free: odds.Chances, before: Array, new: Array, weights: Array, most: int) -> int:
        """How many of ``most`` calls may leave so that hardly any of them is the drop too many: each has a risk of its own,
        but drops come in clusters, when many answer at once. Arguments as of ``odds.risks``."""
        stormy = odds.risks(
            fixed + self.bears,
            free,
            np.minimum(before * self.storm, 1.0),
            np.minimum(new * self.storm, 1.0),
            weights,
            most,
            _TOO_MANY / self.jump if self.jump > _TOO_MANY else 1.0,
        )
        calm = odds.risks(fixed + self.bears, free, before, new, weights, len(stormy), _TOO_MANY)
        for calls, (usual, at_worst) in enumerate(zip(calm, stormy, strict=False)):
            if (1.0 - self.jump) * usual + self.jump * at_worst > _TOO_MANY:
                return calls
        return len(calm)


class Caution:
    """``usual_idle``: agents free on average; ``size``: agents of the floor, those on a break included."""

    def __init__(self) -> None:
        self.usual_idle = 0.0
        self.joined = 0.0
        self.size = 0.0
        self.highest = 1.0  # of the answer chance's factor, as far as remembered

    def saw(self, agents: float, idle: int, before: float, passed: float, factor: float) -> None:
        """A sample, ``passed`` seconds after the one that saw ``before`` agents; ``factor``: of the answer chance, now."""
        self.joined = self.joined * math.exp(-passed / _NEW_SECONDS) + max(0.0, agents - before)
        self.usual_idle += min(1.0, passed / _USUAL_SECONDS) * (idle - self.usual_idle)
        self.size = max(agents, self.size * math.exp(-passed / _SIZE_SECONDS))
        self.highest = max(factor, self.highest * math.exp(-passed / _HIGHEST_SECONDS))

    def of_many(self, agents: float) -> bool:
        """Whether the floor is more than a handful, though half of it be away: its half-hours are those of the whole."""
        return max(agents, self.size) > HANDFUL

    def turning(self, agents: float) -> float:
        """How much calm times are suspected of jumps (``SwitchingRate.observe``)."""
        return 1.0 if self.of_many(agents) else _TURNING_OF_HANDFUL

    def swell(self, agents: int, fixed: int, newcomers: float, doubt: float) -> float:
        """How much likelier than learnt answers are taken to be: for what is not known of them (much just after a jump,
        little in calm times), and for the share of those who are free that is more than the usual few, or has just come: a
        shift begins, a break ends. Such moments are when answer rates jump as well, and calls for all of them at once would
        be answered before the jump is seen; a part of them a few seconds later costs little."""
        if agents <= HANDFUL:
            return 1.0
        usual = self.usual_idle + _USUAL_SWING * math.sqrt(self.usual_idle) + _USUAL_IDLE
        more = max(fixed - usual, min(float(fixed), newcomers))
        crowd = more / fixed * min(1.0, (agents - HANDFUL) / HANDFUL) if more > 0.0 else 0.0
        return 1.0 + doubt + (_CROWD + _DOUBTED * doubt) * crowd

    def one_too_many(self, bears: int, lively: float, factor: float) -> OneTooMany:
        return OneTooMany(bears, self.storm(lively, factor), _JUMP * lively)

    def storm(self, lively: float, factor: float) -> float:
        """How many times as likely as now (``factor``: of the answer chance) answers may become at a blow: as they were in
        the last hours' best, where rates surely jump (``lively``)."""
        return 1.0 + lively * min(_STORM, max(0.0, self.highest / factor - 1.0))

    def bearable(
        self, fixed: int, free: odds.Chances, before: Array, new: float, left: float, lively: float, factor: float
    ) -> int:
        """How many more calls may ring so that, were answers to come as likely from now on as they were in the last hours'
        best, hardly more customers would find nobody than half-hours under way have ``left``: the mean and a standard
        deviation of what may come. Where few answer, dozens of calls are in the air when the rate trebles.

        ``fixed`` agents are free, ``free`` may be; ``before`` (calls, horizons) and ``new`` are chances of an answer."""
        storm = self.storm(lively, factor)
        each = np.minimum(before[:, -1] * storm, 1.0)
        one = min(1.0, new * storm)
        if one < _NEVER:
            return max(0, fixed)
        mean, spread, _ = free.cumulants()
        answers = float(np.add.reduce(each))
        spare = fixed + float(mean[-1]) + max(0.0, left - _STORM_SPARE - _STORM_SPARE_LIVELY * lively) - answers
        luck = _STORM_LUCK**2
        known = luck * (float(spread[-1]) + answers - float(each @ each))
        if spare <= 0.0 or spare * spare <= known:
            return 0
        # the most calls k with spare - k one >= the root of known + k luck one (1 - one): a parabola's lower root
        half = spare * one + 0.5 * luck * one * (1.0 - one)
        below = half * half - one * one * (spare * spare - known)
        return max(0, math.floor((half - math.sqrt(max(0.0, below))) / (one * one)))
