"""What people, agents and the carrier do in a simulation, and how it varies over the day.

Read from TOML (docs/pacing.md) or from the command line; every figure is checked and a bad one raises
``BadInput`` naming it.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

from config.errors import BadInput, describe_shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """Factors that take turns, each for ``every_minutes``; one factor: constant."""

    factors: tuple[float, ...] = (1.0,)
    every_minutes: float = 20.0

    def at(self, seconds: float) -> float:
        return self.factors[int(seconds // (self.every_minutes * 60.0)) % len(self.factors)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Break:
    """``share`` of the agents is away for ``minutes`` from ``from_minute`` of every ``every_minutes``.

    An agent in a call leaves when its wrap-up ends. ``announced``: the desk shows it beforehand ("pause after
    this call"), so the pacer does not count on that agent; otherwise it finds out when the agent is gone.
    """

    share: float
    minutes: float
    from_minute: float = 48.0
    every_minutes: float = 60.0
    announced: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberKind:
    """One kind of number in the list: its share, and its answer rate as a factor of the scenario's."""

    name: str
    share: float
    factor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """Times are seconds, means of a lognormal with the coefficient of variation beside it (0: always the mean).

    ``markov``: ring, talk and wrap-up exponential, a ring ends unanswered after the same time as it is answered,
    and nobody waits (patience 0): the world of ``bound``.
    """

    agents: int = 10
    answer_rate: float = 0.3
    ring: float = 12.0
    ring_cv: float = 0.5
    no_answer: float = 30.0
    no_answer_cv: float = 0.0
    talk: float = 90.0
    talk_cv: float = 1.0
    wrap: float = 15.0
    wrap_cv: float = 0.5
    patience: float = 2.0
    markov: bool = False
    carrier_delay: float = 0.0  # INVITE to the first sign of ringing
    progress_delay: float = 0.0  # answer to "a person", while the customer already listens
    channels: int | None = None
    cps: float | None = None
    answer_steps: Steps = Steps()
    talk_steps: Steps = Steps()
    breaks: tuple[Break, ...] = ()
    numbers: tuple[NumberKind, ...] = field(default=())
    kinds_known: bool = True  # the pacer is told each number's own chance

    def __post_init__(self) -> None:
        _whole(self.agents, "agents", 1, 10_000)
        _between(self.answer_rate, "answer_rate", 0.001, 1.0)
        for name in ("ring", "no_answer", "talk"):
            _between(getattr(self, name), name, 0.1, 86_400.0)
        for name in ("wrap", "patience", "carrier_delay", "progress_delay"):
            _between(getattr(self, name), name, 0.0, 3_600.0)
        for name in ("ring_cv", "no_answer_cv", "talk_cv", "wrap_cv"):
            _between(getattr(self, name), name, 0.0, 10.0)
        if self.channels is not None:
            _whole(self.channels, "channels", 1, 1_000_000)
        if self.cps is not None:
            _between(self.cps, "cps", 0.01, 10_000.0)
        for name, steps in (("answer_steps", self.answer_steps), ("talk_steps", self.talk_steps)):
            _between(steps.every_minutes, f"{name}.every_minutes", 0.1, 1440.0)
            if not steps.factors:
                raise BadInput("no factors", field=f"{name}.factors", shape="empty list", remedy="Give at least one")
            for factor in steps.factors:
                _between(factor, f"{name}.factors", 0.0, 100.0)
        for pause in self.breaks:
            _between(pause.share, "breaks.share", 0.0, 1.0)
            _between(pause.every_minutes, "breaks.every_minutes", 1.0, 1440.0)
            _between(pause.from_minute, "breaks.from_minute", 0.0, pause.every_minutes)
            _between(pause.minutes, "breaks.minutes", 0.1, pause.every_minutes)
        for kind in self.numbers:
            _between(kind.share, "numbers.share", 0.0, 1.0)
            _between(kind.factor, "numbers.factor", 0.0, 1000.0)
        if self.numbers and abs(sum(kind.share for kind in self.numbers) - 1.0) > 1e-6:
            raise BadInput("the shares do not add up to 1", field="numbers.share", remedy="Make them add up to 1")

    def changed(self, **values: Any) -> Scenario:
        """The same with other figures; checked again."""
        return replace(self, **values)


def scenario_from_toml(text: str, under: Scenario | None = None) -> Scenario:
    """A scenario from TOML, over ``under`` (default: the defaults). Raises ``BadInput``."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise BadInput("not TOML", field="scenario", remedy=f"Correct it: {wrong}") from wrong
    known = {one.name for one in fields(Scenario)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise BadInput("unknown figure", field=name, remedy="Known: " + ", ".join(sorted(known)))
        if name in ("answer_steps", "talk_steps"):
            values[name] = _made(Steps, value, name)
        elif name == "breaks":
            values[name] = tuple(_made(Break, one, name) for one in _list(value, name))
        elif name == "numbers":
            values[name] = tuple(_made(NumberKind, one, name) for one in _list(value, name))
        elif name in ("markov", "kinds_known"):
            values[name] = _yes_or_no(value, name)
        else:
            values[name] = value
    return replace(under or Scenario(), **values)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadInput("not a list of tables", field=name, shape=type(value).__name__, remedy=f"Write [[{name}]]")
    return value


def _made(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise BadInput("not a table", field=name, shape=type(value).__name__, remedy=f"Write [{name}]")
    known = {one.name: one for one in fields(kind)}
    ready: dict[str, Any] = {}
    for key, item in value.items():
        if key not in known:
            raise BadInput("unknown figure", field=f"{name}.{key}", remedy="Known: " + ", ".join(known))
        if key == "factors":
            ready[key] = tuple(_number(one, f"{name}.{key}") for one in _list(item, f"{name}.{key}"))
        elif key == "announced":
            ready[key] = _yes_or_no(item, f"{name}.{key}")
        elif key == "name":
            if not isinstance(item, str):
                raise BadInput("not a name", field=f"{name}.{key}", shape=type(item).__name__, remedy="Write a text")
            ready[key] = item
        else:
            ready[key] = _number(item, f"{name}.{key}")
    absent = [one.name for one in known.values() if one.default is MISSING and one.name not in ready]
    if absent:
        raise BadInput("a figure is missing", field=f"{name}.{absent[0]}", remedy=f"Add {', '.join(absent)}")
    return kind(**ready)


def _yes_or_no(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadInput("not true or false", field=name, shape=type(value).__name__, remedy="Write true or false")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput("not a number", field=name, shape=_shape(value), remedy="Give a plain number")
    return float(value)


def _shape(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else describe_shape(value)


def _between(value: Any, name: str, low: float, high: float) -> None:
    number = _number(value, name)
    if not low <= number <= high:
        raise BadInput("out of range", field=name, shape=f"{number:g}", remedy=f"Between {low:g} and {high:g}")


def _whole(value: Any, name: str, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInput("not a whole number", field=name, shape=_shape(value), remedy="Give a whole number")
    _between(value, name, low, high)
