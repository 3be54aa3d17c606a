"""How much risk a call may carry: a threshold that learns online what spends just the target.

The threshold moves on *predicted* drops: every answered call carries the risk it was placed with, a figure far
less noisy than the one drop in a hundred it predicts, so that targets of 0.1% can be steered. How drops that
happened compare with drops predicted (``calibration``) is learnt beside it, and the balance of the account
(target x answers - drops) pulls the aim up or down a little. Two guards stand outside: the half-hours, and the
caller's 30-day ledger.
"""

from __future__ import annotations

import math
from typing import Any

from config.errors import BadInput
from dialer.pacing.half_hours import TRUSTED, HalfHours

_STEP = 0.3  # of the logarithm of the threshold, an expected answer at the threshold's own risk, with one agent
_STEP_AGENTS = 10.0  # more agents answer more: smaller steps
_FEWER = 4.0
_BALANCE = 4.0  # drops of debt that bring the aim to its floor, up to 10 agents; more agents drop in larger clusters
_HIGHEST = 0.5  # threshold
AIM = 0.96  # of the target: keeps what is realised under it
_EARNS = 3.0  # agents
_CATCHES_UP = 0.5  # of the target, steered for beyond it while less than it was dropped
_YOUNG = 0.7  # of the aim that a campaign without answers does without
_YOUNG_ANSWERS = 20.0  # until most of it is given back
_LONG_GROWN = 30.0  # times as many answers: nothing of youth is left
_EACH_BEYOND_SIX, _OF_THIRTY, _EACH_OF_MANY = 60.0, 1440.0, 30.0  # with more agents, for each of them
# drops a young campaign of many agents keeps in hand, and above it until all risk is taken
_IN_HAND, _SOFT_ACCOUNT = 1.0, 3.0
# agents: none of it, all of it; fewer would wait long for their first drop in hand
_ACCOUNT_FROM, _ACCOUNT_ALL = 10.0, 30.0
_PRIOR_DROPS = 3.0  # weight of the first guess of the calibration
_MEMORY_DROPS = 40.0


class Budget:
    """``target`` is the share of answered calls that may be dropped, 0.0001 to 0.2. ``half_hours_begin``: an instant, on the
    scale of the events, at which a half-hour of the clock begins."""

    def __init__(self, target: float, half_hours_begin: float = 0.0) -> None:
        if not 0.0001 <= target <= 0.2:
            raise BadInput("out of range", field="target", shape=f"{target:g}", remedy="Between 0.0001 and 0.2")
        self.target = target
        self.log_threshold = math.log(min(_HIGHEST, 1.5 * target))
        self.answers = 0
        self.drops = 0
        self.balance = 0.0
        self._agents = 1.0
        self._predicted = _PRIOR_DROPS
        self._happened = _PRIOR_DROPS * math.sqrt(math.sqrt(max(1.0, TRUSTED / target)))
        self._least_debt = max(1.0, _BALANCE * math.sqrt(min(1.0, target / TRUSTED)))
        self._debt = self._least_debt
        self.half_hours = HalfHours(target, target * AIM, half_hours_begin)

    @property
    def threshold(self) -> float:
        return math.exp(self.log_threshold)

    @property
    def calibration(self) -> float:
        """Drops that happen for one predicted."""
        return self._happened / self._predicted

    def aim(self) -> float:
        """The share of drops steered for now: a young campaign drops less than it may, for it knows little yet, has a small
        account at stake, and loses next to nothing by it: what is not dropped early may be dropped later."""
        pull = min(_CATCHES_UP, max(-0.9, self.balance / self._debt))
        return self.target * AIM * (1.0 + pull) * (1.0 - _YOUNG / self._grown) * (1.0 - self.half_hours.kept)

    @property
    def _grown(self) -> float:
        """1 without answers, e times as much with every so many more."""
        beyond = self._agents - 6.0
        answers = max(_YOUNG_ANSWERS, min(_EACH_BEYOND_SIX * beyond, max(_OF_THIRTY, _EACH_OF_MANY * beyond)))
        return math.exp(min(_LONG_GROWN, self.answers / answers))

    def room(self, now: float) -> float:
        """0 to 1: the share of the threshold's risk that the half-hours under way and the account leave."""
        return min(self.half_hours.room(now), self.account_room())

    def account_room(self) -> float:
        """A young campaign of many agents stays within its target from the first minutes on: it takes risk as far as its
        account has drops in hand, and no longer looks at it so closely once it is grown."""
        all_of_it = min(1.0, max(0.0, (self._agents - _ACCOUNT_FROM) / (_ACCOUNT_ALL - _ACCOUNT_FROM)))
        in_hand = self.balance - _IN_HAND + (self._grown - 1.0)
        return 1.0 - all_of_it * (1.0 - min(1.0, max(0.0, in_hand / _SOFT_ACCOUNT)))

    def begin(self, agents: float) -> None:
        """A first guess of the threshold, before anything was placed: risks come in larger lumps with fewer agents. With a
        handful each lump is a call that most likely drops somebody, and what is believed of ringing is worth little yet: there
        the threshold has to be earned by answers."""
        self._agents = agents
        # one agent's few drops teach little in a day: start from caution
        self._happened = max(self._happened, self._predicted * (1.0 + 0.5 / max(1.0, agents)))
        lumps = 1.5 + (min(2.0, 6.0 / agents) if agents > _EARNS else 0.0)
        self.log_threshold = math.log(min(_HIGHEST, self.target * lumps))

    def expect(self, half_hour: float, lively: float, size: float) -> None:
        """So many customers the agents who are there can talk to in half an hour: when half of them leave, what was
        answered before they did lets nobody drop more. ``lively``: how surely answer rates jump, 0 to 1: a jump drops
        several at once, for which room must be kept, and in such times agents leave and talks get longer unannounced.
        ``size``: agents of the floor, those away included."""
        self.half_hours.expect(half_hour, lively, size)

    def answered(self, at: float, risk: float) -> None:
        """A customer answered, on a call that was placed with this risk."""
        self.answers += 1
        self.balance = min(self.balance + self.target, self._debt)
        self._predicted += risk
        fade = math.exp(-risk / _MEMORY_DROPS)
        self._predicted *= fade
        self._happened *= fade
        self.half_hours.answered(at)

    def placed(self, at: float, chance: float, risk: float, agents: float) -> None:
        """A call left: it will spend ``risk`` with probability ``chance``. Steering by what is placed, not by
        what came of it half a minute later, keeps the threshold from swinging. The more the half-hour's guard holds
        risk back the less is learnt: the threshold would climb and let a storm loose when the guard lets go."""
        self._agents = agents
        self._debt = self._least_debt * (
            agents / _STEP_AGENTS if agents > _STEP_AGENTS else min(_FEWER, _STEP_AGENTS / max(1.0, agents))
        )
        room = self.room(at)
        worth = max(self.threshold, self.aim())
        move = min(1.0, max(-1.5, (self.aim() - self.calibration * risk) / worth))
        step = _STEP * (1.0 + agents / _STEP_AGENTS) ** -0.75 * chance * room
        lowest, highest = math.log(self.target) - 5.0, math.log(_HIGHEST)
        self.log_threshold = min(highest, max(lowest, self.log_threshold + step * move))

    def dropped(self, at: float) -> None:
        self.drops += 1
        self.balance -= 1.0
        self._happened += 1.0
        self.half_hours.dropped(at)

    def as_record(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "log_threshold": self.log_threshold,
            "answers": self.answers,
            "drops": self.drops,
            "balance": self.balance,
            "debt": self._debt,
            "agents": self._agents,
            "predicted": self._predicted,
            "happened": self._happened,
            "half_hours": self.half_hours.as_record(),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Budget:
        """Raises ValueError for what no budget says of itself."""
        if (
            not all(record[share] > 0.0 for share in ("target", "debt", "predicted", "happened"))
            or record["agents"] < 0.0
        ):
            raise ValueError("a budget has a target, and room below it")
        made = cls(record["target"])
        made.half_hours = HalfHours.from_record(record["half_hours"], made.target, made.target * AIM)
        made.log_threshold, made.balance = record["log_threshold"], record["balance"]
        made.answers, made.drops = record["answers"], record["drops"]
        made._predicted, made._happened = record["predicted"], record["happened"]
        made._debt, made._agents = record["debt"], record["agents"]
        return made
