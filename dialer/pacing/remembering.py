"""What a pacer has learnt, carried over a restart, a night, or to the next campaign. Pure.

A record holds no instant, only "so many seconds before it was kept", so that it can be taken up on another scale of time.
Calls that were on their way are left out: whoever kept them on their way is gone. What was learnt long ago, or of another
list, is believed less: the figures stand, but it takes a few calls to correct them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

from config.errors import BadInput
from dialer.pacing.budget import Budget
from dialer.pacing.caution import Caution, lively_at_first
from dialer.pacing.half_hours import minute_of
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.number_chances import USUAL, NumberChances
from dialer.pacing.state import (
    Answered,
    Bridged,
    Dropped,
    FloorView,
    Placed,
    Sample,
    TalkEnded,
    Unanswered,
    WrapEnded,
)
from dialer.pacing.switching import SwitchingRate

VERSION = 4
"""Of the record. Another one is not read: what a campaign learnt in a day is not worth a wrong guess."""

LONG_AGO = 1200.0
"""Seconds after which a rate may well have jumped (``switching``): from then on a kept one is only a first guess."""

_WORTH = 10.0  # answers or ends that such a first guess is worth


class UnusableMemory(BadInput):
    """What a pacer had learnt was kept by another version, or is damaged."""

    error_id = "pacing-memory-unusable"


@dataclass(frozen=True, slots=True)
class Learnt:
    """All that a campaign's calls have taught."""

    pacer: HazardPacer
    chances: NumberChances


def kept(learnt: Learnt, now: float) -> str:
    """As text; the pacer goes on undisturbed. ``now``: seconds on the scale of the pacer's events. Raises
    ``UnusableMemory`` when the pacer holds a figure that is no number."""
    record = learnt.pacer.snapshot()
    for gone in ("placed", "last_sample", "expected", "joined", "answers", "talk_ends", *_EXPOSURES):
        del record[gone]
    half_hours = record["budget"]["half_hours"]
    kept_at = minute_of(now, half_hours.pop("begin"))
    half_hours["minutes"] = [[kept_at - at, answers, drops] for at, answers, drops in half_hours["minutes"]]
    whole = {"version": VERSION, "pacer": record, "chances": learnt.chances.as_record()}
    try:
        return json.dumps(whole, allow_nan=False, separators=(",", ":"))
    except ValueError as wrong:
        raise UnusableMemory(
            "what the pacer learnt holds a figure that is no number",
            field="body",
            remedy="the pacing log tells how it came about; restart the campaign's node",
        ) from wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class Now:
    """In what a memory is taken up: ``at`` on the scale of the events to come, on which a half-hour of the clock began at
    ``half_hours_begin``, ``away`` seconds after it was kept; ``target`` and ``patience`` as the settings have them now, with
    another target the steering begins anew. ``other_list``: another campaign learnt it; its account of drops is not this
    one's."""

    at: float
    away: float
    target: float
    patience: float
    half_hours_begin: float = 0.0
    other_list: bool = False


def taken_up(text: str, now: Now) -> Learnt:
    """Go on from what was ``kept``. Raises ``UnusableMemory``."""
    try:
        record = json.loads(text, parse_constant=_no_number)
        if record["version"] != VERSION:
            raise UnusableMemory(
                "what the pacer had learnt was kept by another version",
                field="version",
                shape=type(record["version"]).__name__,
                remedy="none needed: it learns anew",
            )
        pattern = json.loads(kept(Learnt(HazardPacer(now.target), NumberChances()), 0.0))
        _alike(record["pacer"], pattern["pacer"])
        _tried(_made(record, replace(now, at=0.0)))
        return _made(record, now)
    except UnusableMemory:
        raise
    except Exception as wrong:  # whatever a damaged record makes the pacer do, it must not do it to a campaign
        raise UnusableMemory(
            "what the pacer had learnt cannot be read",
            field="body",
            shape=type(wrong).__name__,
            remedy="none needed: it learns anew",
        ) from wrong


_EXPOSURES = ("answer_exposure", "answer_seconds", "talk_exposure", "talk_seconds")


def _made(record: dict[str, Any], now: Now) -> Learnt:
    pacer = dict(record["pacer"])
    pacer |= {"placed": [], "expected": 0.0, "answers": 0, "talk_ends": 0, **dict.fromkeys(_EXPOSURES, 0.0)}
    agents, pacer["agents"], pacer["joined"] = max(1.0, pacer["agents"]), 0.0, 0.0  # all of them come anew
    pacer["last_sample"], pacer["patience"], pacer["size"] = now.at, now.patience, 0.0
    if now.other_list:
        pacer["highest"] = Caution().highest
    if now.other_list or now.away > LONG_AGO:
        first = {"chance": lively_at_first(agents), "talk_pace": 0.5}
        for rate, lively in first.items():
            known = SwitchingRate.from_record(pacer[rate]).rate
            pacer[rate] = SwitchingRate(known, _WORTH, lively).as_record()
    budget = dict(pacer["budget"])
    if now.other_list or budget["target"] != now.target:
        fresh = Budget(now.target, now.half_hours_begin)
        fresh.begin(agents)
        pacer["budget"] = fresh.as_record()
    else:
        kept_at = minute_of(now.at - now.away, now.half_hours_begin)
        half_hours = dict(budget["half_hours"], begin=now.half_hours_begin)
        half_hours["minutes"] = [[kept_at - ago, answers, drops] for ago, answers, drops in half_hours["minutes"]]
        pacer["budget"] = budget | {"half_hours": half_hours}
    return Learnt(HazardPacer.from_record(pacer), NumberChances.from_record(record["chances"]))


def _alike(value: Any, pattern: Any) -> None:
    """Written by this very code: the same names, numbers where it writes numbers, as many as it writes."""
    if isinstance(pattern, dict):
        if value.keys() != pattern.keys():
            raise ValueError("other names")
        for name, one in pattern.items():
            _alike(value[name], one)
    elif isinstance(pattern, list):
        if pattern and len(value) != len(pattern):
            raise ValueError("more or fewer figures")
        for place, one in enumerate(value):
            _alike(one, pattern[place] if pattern else ([0, 0, 0] if isinstance(one, list) else 0))
    elif isinstance(pattern, bool) or not isinstance(pattern, int | float | None):
        if type(value) is not type(pattern):
            raise ValueError("another kind of value")
    elif (value is None) != (pattern is None) and pattern is not None:
        raise ValueError("a figure is missing")
    elif value is not None and (isinstance(value, bool) or not abs(value) < _HUGE):
        raise ValueError("not a figure of ours")


_HUGE = 1e15


def _tried(learnt: Learnt) -> None:
    """A damaged record shows here, on a floor of its own, and not when people are called."""
    pacer = learnt.pacer
    view = FloorView(
        idle=2,
        talking=(5.0, 80.0),
        wrapping=(3.0,),
        ringing=("a", "b"),
        ringing_age=(4.0, 20.0),
        ringing_rung=(3.0, 19.0),
        ringing_chance=(None, USUAL),
        room=50,
    )
    busy = replace(view, idle=0, waiting=(0.5,))
    for turn in range(3):
        now = 1.0 + turn
        pacer.observe(Placed(now, turn, None, 0.01))
        for one in (view, busy):
            pacer.observe(Sample(now, one))
            pace = pacer.decide(one, now)
            told = [float(value) for value in pace.why.values() if not isinstance(value, str)]
            if not all(math.isfinite(value) or value == math.inf for value in told):
                raise ValueError("a figure is no number")
            if not all(0.0 <= risk <= 1.0 for risk in pace.risk):
                raise ValueError("a risk is no share")
            if not 0.0 <= float(pace.why["answer_chance"]) <= 1.0 or not 0.0 < float(pace.why["talk_mean"]) < 86_400.0:
                raise ValueError("a figure is out of all proportion")
        pacer.observe(Answered(now + 0.1, turn))
        pacer.observe(Bridged(now + 0.1, turn, 0.0))
        pacer.observe(TalkEnded(now + 0.2, 60.0))
        pacer.observe(WrapEnded(now + 0.3, 10.0))
    pacer.observe(Placed(5.0, "c", USUAL, 0.01))
    pacer.observe(Dropped(5.5, "c"))
    pacer.observe(Unanswered(6.0, "c"))


def _no_number(name: str) -> float:
    raise ValueError(name)
