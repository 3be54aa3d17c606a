"""How much risk a call may carry: a threshold that learns online what spends just the target.

The threshold moves on *predicted* drops: every answered call carries the risk it was placed with, a figure far
less noisy than the one drop in a hundred it predicts, so that targets of 0.1% can be steered. How drops that
happened compare with drops predicted (``calibration``) is learnt beside it, and the balance of the account
(target x answers - drops) pulls the aim up or down a little. Two guards stand outside: a rolling half-hour, and
the caller's 30-day ledger.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from config.errors import BadInput

_STEP = 0.3  # of the logarithm of the threshold, an expected answer at the threshold's own risk, with one agent
_STEP_AGENTS = 10.0  # more agents answer more: smaller steps
_FEWER = 4.0
_BALANCE = 4.0  # drops of debt that bring the aim to its floor, up to 10 agents; more agents drop in larger clusters
_HIGHEST = 0.5  # threshold
AIM = 0.98  # of the target: keeps what is realised under it
_PRIOR_DROPS = 3.0  # weight of the first guess of the calibration
_TRUSTED = 0.028  # a target at which predictions are taken as they are; rarer drops are predicted less well
_MEMORY_DROPS = 40.0
_WINDOW = 1800.0
_WINDOW_LEAST = 4.0  # drops; fewer say nothing
_WINDOW_SOFT = 0.4  # the last part of it in which risk shrinks
_WINDOW_SHARE = 1.9  # of the target; the half-hour's answers times it is what may be dropped in it


class Budget:
    """``target`` is the share of answered calls that may be dropped, 0.0001 to 0.2."""

    def __init__(self, target: float) -> None:
        if not 0.0001 <= target <= 0.2:
            raise BadInput("out of range", field="target", shape=f"{target:g}", remedy="Between 0.0001 and 0.2")
        self.target = target
        self.log_threshold = math.log(min(_HIGHEST, 1.5 * target))
        self.answers = 0
        self.drops = 0
        self.balance = 0.0
        self._predicted = _PRIOR_DROPS
        self._happened = _PRIOR_DROPS * math.sqrt(math.sqrt(max(1.0, _TRUSTED / target)))
        self._least_debt = max(1.0, _BALANCE * math.sqrt(min(1.0, target / _TRUSTED)))
        self._debt = self._least_debt
        self._recent: deque[tuple[float, bool]] = deque()
        self._recent_drops = 0
        self._begun: float | None = None
        self._most_answers = math.inf  # in half an hour, with the agents there are

    @property
    def threshold(self) -> float:
        return math.exp(self.log_threshold)

    @property
    def calibration(self) -> float:
        """Drops that happen for one predicted."""
        return self._happened / self._predicted

    def aim(self) -> float:
        """The share of drops steered for now."""
        pull = min(0.25, max(-0.9, self.balance / self._debt))
        return self.target * AIM * (1.0 + pull)

    def begin(self, agents: float) -> None:
        """A first guess of the threshold, before anything was placed: risks come in larger lumps with few agents."""
        # one agent's few drops teach little in a day: start from caution
        self._happened = max(self._happened, self._predicted * (1.0 + 0.5 / max(1.0, agents)))
        self.log_threshold = math.log(min(_HIGHEST, self.target * (1.5 + min(2.0, 6.0 / max(1.0, agents)))))

    def can_answer(self, half_hour: float) -> None:
        """So many customers the agents who are there can talk to in half an hour: when half of them leave, what was
        answered before they did lets nobody drop more."""
        self._most_answers = half_hour

    def answered(self, at: float, risk: float) -> None:
        """A customer answered, on a call that was placed with this risk."""
        self.answers += 1
        self.balance = min(self.balance + self.target, self._debt)
        self._predicted += risk
        fade = math.exp(-risk / _MEMORY_DROPS)
        self._predicted *= fade
        self._happened *= fade
        self._remember(at, False)

    def placed(self, at: float, chance: float, risk: float, agents: float) -> None:
        """A call left: it will spend ``risk`` with probability ``chance``. Steering by what is placed, not by
        what came of it half a minute later, keeps the threshold from swinging. While the half-hour's guard holds
        risk back nothing is learnt: the threshold would climb and let a storm loose when the guard lets go."""
        self._debt = self._least_debt * (
            agents / _STEP_AGENTS if agents > _STEP_AGENTS else min(_FEWER, _STEP_AGENTS / max(1.0, agents))
        )
        if self.half_hour_room(at) < 1.0:
            return
        worth = max(self.threshold, self.aim())
        move = min(1.0, max(-1.5, (self.aim() - self.calibration * risk) / worth))
        step = _STEP * (1.0 + agents / _STEP_AGENTS) ** -0.75 * chance
        lowest, highest = math.log(self.target) - 5.0, math.log(_HIGHEST)
        self.log_threshold = min(highest, max(lowest, self.log_threshold + step * move))

    def dropped(self, at: float) -> None:
        self.drops += 1
        self.balance -= 1.0
        self._happened += 1.0
        self._remember(at, True)

    def half_hour_room(self, now: float) -> float:
        """1 while the last half-hour is well within what it may have, falling to 0 when it has had all: then only
        calls without risk are placed."""
        self._forget(now)
        if self._recent_drops < _WINDOW_LEAST / 2.0:
            return 1.0
        answers: float = len(self._recent) - self._recent_drops
        elapsed = max(300.0, min(_WINDOW, now - (self._begun if self._begun is not None else now)))
        answers = min(answers * _WINDOW / elapsed, self._most_answers)
        may = max(_WINDOW_LEAST, _WINDOW_SHARE * self.target * answers)
        return min(1.0, max(0.0, (may - self._recent_drops) / (_WINDOW_SOFT * may)))

    def _remember(self, at: float, drop: bool) -> None:
        if self._begun is None:
            self._begun = at
        self._recent.append((at, drop))
        self._recent_drops += drop
        self._forget(at)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - _WINDOW:
            self._recent_drops -= self._recent.popleft()[1]

    def as_record(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "log_threshold": self.log_threshold,
            "answers": self.answers,
            "drops": self.drops,
            "balance": self.balance,
            "debt": self._debt,
            "predicted": self._predicted,
            "happened": self._happened,
            "recent": [list(one) for one in self._recent],
            "begun": self._begun,
            "most_answers": self._most_answers if math.isfinite(self._most_answers) else None,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Budget:
        made = cls(record["target"])
        made.log_threshold, made.balance = record["log_threshold"], record["balance"]
        made.answers, made.drops = record["answers"], record["drops"]
        made._predicted, made._happened = record["predicted"], record["happened"]
        made._recent = deque((at, bool(drop)) for at, drop in record["recent"])
        made._recent_drops = sum(drop for _, drop in made._recent)
        made._debt = record["debt"]
        made._begun = record["begun"]
        if record["most_answers"] is not None:
            made._most_answers = record["most_answers"]
        return made
