"""The pacers of the best open dialer, in our words, to compare with (source: VICIdial's AST_VDadapt.pl and
AST_VDauto_dial.pl, as summarised in docs/pacing.md).

One number, lines per agent, is raised and lowered; ring ages, answer chances and how long each agent has talked
are not looked at.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from config.errors import BadInput
from dialer.pacing.state import Answered, Dropped, FloorView, Pace, PacingEvent, Placed, Sample

_ROUND = 2.5  # seconds between placements
_SAMPLES = 15  # one-second samples in an adaptation
_HIGHEST = 3.0  # lines per agent
_ENOUGH_CALLS = 50
_REFRESH = 60.0  # seconds between looks at the day's drops
_STORM_CALLS, _STORM_SHARE = 20, 0.5  # in the last minute


class Method(StrEnum):
    """What is done when the day's drops are over the limit."""

    AVERAGE = "average"  # halve the lines per agent, again at every adaptation
    HARD_LIMIT = "hard-limit"  # one line per agent
    TAPERED = "tapered"  # shrink, the less the earlier in the day
    RATIO = "ratio"  # never adapt


class Vicidial:
    """``Pacer``. ``drop_limit``: the share of answers that may be dropped; ``difference``: agents wanted idle
    (negative: customers wanted waiting); ``lines``: to start with, and for ever with RATIO; ``day``: seconds the
    shift lasts (TAPERED)."""

    every = 1.0
    on_events = False
    soonest = 0.5

    def __init__(
        self,
        method: Method = Method.AVERAGE,
        *,
        drop_limit: float = 0.03,
        difference: float = 0.0,
        lines: float = 1.0,
        day: float = 8 * 3600.0,
    ) -> None:
        if not 0.5 <= lines <= 20.0:
            raise BadInput("out of range", field="lines", shape=f"{lines:g}", remedy="Between 0.5 and 20")
        self._method = method
        self._limit = drop_limit
        self._difference = difference
        self._day = day
        self.lines = lines
        self._samples: list[tuple[int, int, int]] = []  # ready, waiting, logged in
        self._calls = self._answers = self._drops = 0
        self._seen_calls = 0
        self._seen_share = 0.0
        self._next_look = _REFRESH
        self._minute: deque[tuple[float, bool]] = deque()  # calls and drops of the last minute
        self._round = -1  # the last round that has passed
        self._due = True

    def decide(self, view: FloorView, now: float) -> Pace:
        in_call = len(view.talking)
        goal = round(self.lines * (view.idle + in_call))
        wanted = goal - (len(view.ringing) + len(view.waiting) + in_call)
        place = max(0, wanted) if self._due else 0
        if view.room is not None:
            place = min(place, view.room)
        return Pace(
            place=place,
            why={"binding": "lines" if self._due else "round", "lines": self.lines, "goal": goal, "idle": view.idle},
        )

    def observe(self, event: PacingEvent) -> None:
        if isinstance(event, Sample):
            self._sampled(event)
        elif isinstance(event, Placed):
            self._calls += 1
            self._minute.append((event.at, False))
        elif isinstance(event, Answered):
            self._answers += 1
        elif isinstance(event, Dropped):
            self._drops += 1
            self._minute.append((event.at, True))

    def _sampled(self, event: Sample) -> None:
        view = event.view
        this_round = int(event.at / _ROUND)
        self._due = this_round != self._round
        self._round = this_round
        self._samples.append((view.idle, len(view.waiting), view.agents))
        if event.at >= self._next_look:
            self._next_look += _REFRESH
            self._seen_calls = self._calls
            self._seen_share = self._drops / self._answers if self._answers else 0.0
        if len(self._samples) >= _SAMPLES:
            if self._method is not Method.RATIO:
                self._adapt(event.at)
            self._samples.clear()

    def _adapt(self, now: float) -> None:
        count = len(self._samples)
        ready, waiting, agents = (sum(one[place] for one in self._samples) / count for place in range(3))
        moved = (ready - waiting + self._difference) / agents if agents else 0.0
        lines = min(_HIGHEST, max(1.0, self.lines * (1.0 + moved)))
        while self._minute and self._minute[0][0] < now - 60.0:
            self._minute.popleft()
        drops = sum(drop for _, drop in self._minute)
        calls = len(self._minute) - drops
        if calls > _STORM_CALLS and drops / calls > _STORM_SHARE:
            lines /= 2.0
        if self._seen_calls > _ENOUGH_CALLS and self._seen_share > self._limit:
            if self._method is Method.HARD_LIMIT:
                lines = 1.0
            elif self._method is Method.AVERAGE:
                lines /= 2.0
            else:
                left = max(0.0, self._day - now) / 36.0  # as HHMM counts: an hour is 100
                lines *= min(1.0, left / 1000.0)
        self.lines = max(1.0, lines)
