"""How much likelier than usual a number is answered, learnt from the outcomes of a campaign's own calls.

A pacer follows the *level* of answering by itself, within a dozen calls of a jump; what it cannot see is that this number
is a workplace and that one a mobile. So it is told the contrast alone: ``USUAL`` for the numbers dialed of late as they
are on average, twice that for one that is twice as likely. Were the model's own level told, the pacer would hear it twice
(every run of silence would count in both), and the moment from which it is told would look like a jump of all chances:
in a list answered at 5% calls for ten times the agents would leave.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from dialer.pacing.answer_chance import AnswerChance, NumberFacts
from dialer.pacing.state import CallKey

USUAL = 0.5
"""Of a number like those dialed of late: what a pacer assumes of one nothing is known of."""

_TELLING = 200  # outcomes before the contrast is believed
_LIKE_THESE = 400  # outcomes that "of late" means
_NEXT = 100  # numbers asked for that say what the next in line will be like
_LEAST, _MOST = 0.05, 4.0
_FACT_TYPES = [type(one) for one in asdict(NumberFacts(hour=0)).values()]
_STUCK = 120.0  # seconds after which a call no longer holds up what was learnt from later ones


@dataclass(slots=True)
class _Dial:
    facts: NumberFacts
    at: float
    answered: bool | None = None


class NumberChances:
    """``placed`` and ``ended`` tell it; ``chance`` asks it. Times are seconds on a scale that never steps back."""

    def __init__(self) -> None:
        self._model = AnswerChance()
        self._unlearnt: dict[CallKey, _Dial] = {}  # in order of placement
        self._learnt = 0
        self._late: deque[NumberFacts] = deque(maxlen=_LIKE_THESE)
        self._usual = 0.0  # the model's chance, averaged over ``_late``; 0: to be taken afresh
        self._asked: deque[float] = deque(maxlen=_NEXT)

    @property
    def of_next(self) -> float | None:
        """What the next numbers in line will be like: as those asked for last, which are of the same list."""
        return sum(self._asked) / len(self._asked) if self._asked else None

    def chance(self, facts: NumberFacts) -> float | None:
        """Beside ``USUAL``; None while too few outcomes are known to tell."""
        if self._learnt < _TELLING:
            return None
        if not self._usual:
            kinds = Counter(self._late)
            self._usual = sum(self._model.chance(kind) * count for kind, count in kinds.items()) / len(self._late)
        told = min(_MOST, max(_LEAST, USUAL * self._model.chance(facts) / self._usual))
        self._asked.append(told)
        return told

    def placed(self, call: CallKey, facts: NumberFacts, at: float) -> None:
        self._unlearnt[call] = _Dial(facts, at)

    def ended(self, call: CallKey, now: float, *, answered: bool | None) -> None:
        """It rang to its end; ``answered`` None: it was given up, which tells nothing.

        Learnt in order of placement: networks refuse at once and people take their time, so that outcomes taken as they
        come would say that hardly anybody answers, and the first rush would be dropped.
        """
        if answered is None:
            self._unlearnt.pop(call, None)
        elif (dial := self._unlearnt.get(call)) is not None:
            dial.answered = answered
        while self._unlearnt:
            first = next(iter(self._unlearnt))
            head = self._unlearnt[first]
            if head.answered is None and now - head.at < _STUCK:
                return
            del self._unlearnt[first]
            if head.answered is not None:
                self._learn(head.facts, head.answered)

    def _learn(self, facts: NumberFacts, answered: bool) -> None:
        self._model.observe(facts, answered)
        self._late.append(facts)
        self._learnt += 1
        self._usual = 0.0

    def as_record(self) -> dict[str, Any]:
        """What was learnt, as plain values; of calls on their way it says nothing."""
        return {
            "model": self._model.as_record(),
            "learnt": self._learnt,
            "late": [[asdict(facts), count] for facts, count in Counter(self._late).items()],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> NumberChances:
        """Raises ValueError, TypeError, KeyError for what it never wrote."""
        made = cls()
        model = {str(name): (float(weight), float(doubt)) for name, (weight, doubt) in record["model"].items()}
        if not all(math.isfinite(weight) and 0.0 <= doubt < math.inf for weight, doubt in model.values()):
            raise ValueError("a weight is no number")
        made._model = AnswerChance.from_record(model)
        made._learnt = int(record["learnt"])
        for facts, count in record["late"]:
            if not 0 < count <= _LIKE_THESE:
                raise ValueError("more numbers than are kept")
            if [type(one) for one in facts.values()] != _FACT_TYPES:
                raise ValueError("not what is known of a number")
            made._late.extend([NumberFacts(**facts)] * int(count))
        if made._learnt >= _TELLING and not made._late:
            raise ValueError("outcomes without the numbers they are of")
        return made
