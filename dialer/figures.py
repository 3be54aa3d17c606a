"""The floor in the trade's terms, read when Prometheus asks. Nothing is counted on the way of a call but totals.

cps: calls placed a second, over the last minute; erlangs: calls in progress; ASR: answered / seizures; ACD: mean
talk; abandonment: abandoned / answered; occupancy: (talking + wrap-up) / logged in and not paused.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from config.clock import Clock
from dialer.events import LegEnded
from dialer.floor import AgentState, Floor
from dialer.pace_setter import PaceSetter
from dialer.switchboard import CallInFlight, Switchboard

_BUSY = (AgentState.TALKING, AgentState.WRAP_UP)
_AWAY = (AgentState.OFFLINE, AgentState.PAUSED)
_CPS_SECONDS = 60.0
_PATCHED_WITHIN = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class CallTotals:
    """Totals since the start, fed with every call that left and every call that ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: deque[float] = deque()
        self.seizures = 0
        self.answered = 0
        self.abandoned = 0
        self.talk_seconds = 0.0
        self.causes: Counter[str] = Counter()
        self.patched: Counter[float] = Counter()
        self.patch_seconds = 0.0
        self.patches = 0

    def placed(self) -> None:
        """An INVITE left."""
        now = self._clock.monotonic()
        self._left.append(now)
        while self._left[0] <= now - _CPS_SECONDS:
            self._left.popleft()

    def cps(self) -> float:
        oldest = self._clock.monotonic() - _CPS_SECONDS
        return sum(at > oldest for at in self._left) / _CPS_SECONDS

    def ended(self, call: CallInFlight, event: LegEnded) -> None:
        self.seizures += call.dialed_at is not None
        self.causes[event.cause.value] += 1
        if call.answered_at is None:
            return
        self.answered += 1
        self.abandoned += call.abandoned
        self.talk_seconds += event.talk_seconds
        if call.bridged_at is not None:
            took = max(0.0, (call.bridged_at - call.answered_at).total_seconds())
            self.patches += 1
            self.patch_seconds += took
            for bound in _PATCHED_WITHIN:
                self.patched[bound] += took <= bound


class FloorFigures(Collector):
    """A Prometheus collector over the live floor; register it on the doors' registry."""

    def __init__(
        self,
        *,
        totals: CallTotals,
        floor: Floor,
        switchboard: Switchboard,
        pacers: Callable[[], Iterable[tuple[str, PaceSetter]]],
    ) -> None:
        self._totals = totals
        self._floor = floor
        self._switchboard = switchboard
        self._pacers = pacers

    def collect(self) -> Iterator[Metric]:
        yield from self._calls()
        yield from self._agents()
        yield from self._pacing()

    def _calls(self) -> Iterator[Metric]:
        totals = self._totals
        yield GaugeMetricFamily("onrecord_cps", "Calls placed a second, over the last minute", totals.cps())
        yield CounterMetricFamily("onrecord_seizures", "Calls placed that ended", totals.seizures)
        yield CounterMetricFamily("onrecord_answers", "Calls answered that ended", totals.answered)
        yield CounterMetricFamily("onrecord_abandoned", "Answered calls no agent was free for", totals.abandoned)
        yield CounterMetricFamily("onrecord_talk_seconds", "Seconds from answers to ends", totals.talk_seconds)
        causes = CounterMetricFamily("onrecord_call_ends", "Calls by the network's cause", labels=["cause"])
        for cause, count in sorted(totals.causes.items()):
            causes.add_metric([cause], count)
        yield causes
        patch = CounterMetricFamily(
            "onrecord_patched_within", "Answered calls given to an agent within so many seconds", labels=["le"]
        )
        for bound in _PATCHED_WITHIN:
            patch.add_metric([str(bound)], totals.patched[bound])
        patch.add_metric(["+Inf"], totals.patches)
        yield patch
        yield GaugeMetricFamily("onrecord_erlangs", "Calls in progress", len(self._switchboard))
        yield GaugeMetricFamily("onrecord_asr_ratio", "Answered / seizures", _share(totals.answered, totals.seizures))
        yield GaugeMetricFamily("onrecord_acd_seconds", "Mean talk", _share(totals.talk_seconds, totals.answered))
        yield GaugeMetricFamily(
            "onrecord_abandonment_ratio", "Abandoned / answered", _share(totals.abandoned, totals.answered)
        )

    def _agents(self) -> Iterator[Metric]:
        agents = [agent for agent in self._floor if not agent.is_leader]
        states = GaugeMetricFamily("onrecord_agents", "Agents by state", labels=["state"])
        for state in AgentState:
            states.add_metric([state.value], sum(agent.state is state for agent in agents))
        yield states
        there = sum(agent.state not in _AWAY for agent in agents)
        busy = sum(agent.state in _BUSY for agent in agents)
        yield GaugeMetricFamily("onrecord_occupancy_ratio", "(Talking + wrap-up) / there", _share(busy, there))

    def _pacing(self) -> Iterator[Metric]:
        happened = CounterMetricFamily("onrecord_pacing", "What pacers saw and said", labels=["campaign", "what"])
        room = GaugeMetricFamily("onrecord_ledger_room", "Drops the 30-day account allows", labels=["campaign"])
        for campaign, setter in self._pacers():
            for what, count in sorted(setter.counts.items()):
                happened.add_metric([campaign, what], count)
            room.add_metric([campaign], setter.ledger.room(setter.today))
        yield happened
        yield room


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
