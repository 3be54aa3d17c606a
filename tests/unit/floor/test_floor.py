"""Agents: one door, no answer promised to two."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.clock import VirtualClock
from config.errors import BadInput
from dialer.call import CallId, LegId
from dialer.floor import AGENT_MOVES, AgentState, Floor

START = datetime(2026, 11, 23, 9, tzinfo=UTC)


def floor_with(count: int) -> Floor:
    floor = Floor(VirtualClock(START))
    for n in range(count):
        floor.add(agent_id=f"a{n}", name=f"Agent {n}", desk=f"d{n}")
        floor.desk_up(f"a{n}", LegId(f"leg{n}"))
    return floor


async def test_the_longest_waiting_agent_is_reserved_first() -> None:
    clock = VirtualClock(START)
    floor = Floor(clock)
    for name in ("late", "early"):
        floor.add(agent_id=name, name=name, desk=name)
    floor.desk_up("early", LegId("1"))
    await clock.advance(5)
    floor.desk_up("late", LegId("2"))
    reserved = floor.reserve(CallId("c"))
    assert reserved is not None
    assert reserved.id == "early"


def test_no_agent_is_reserved_twice() -> None:
    floor = floor_with(2)
    taken = [floor.reserve(CallId(f"c{n}")) for n in range(3)]
    assert {agent.id for agent in taken if agent} == {"a0", "a1"}
    assert taken[2] is None


def test_losing_a_desk_names_the_call_that_hangs_in_the_air() -> None:
    floor = floor_with(1)
    floor.reserve(CallId("c"))
    floor.talking("a0", CallId("c"))
    assert floor.desk_lost("a0") == "c"
    assert floor.agent("a0").state is AgentState.OFFLINE
    with pytest.raises(BadInput, match="not connected"):
        floor.ready("a0")


@given(st.lists(st.sampled_from(["reserve", "release", "talk", "wrap", "ready", "pause", "lost", "up"]), max_size=40))
def test_no_sequence_of_verbs_leaves_the_table(verbs: list[str]) -> None:
    moves: list[tuple[AgentState, AgentState]] = []
    floor = Floor(VirtualClock(START), on_move=lambda agent, old: moves.append((old, agent.state)))
    floor.add(agent_id="a", name="A", desk="d")
    act = {
        "reserve": lambda: floor.reserve(CallId("c")),
        "release": lambda: floor.release("a"),
        "talk": lambda: floor.talking("a", CallId("c")),
        "wrap": lambda: floor.wrap_up("a"),
        "ready": lambda: floor.ready("a"),
        "pause": lambda: floor.pause("a", "lunch"),
        "lost": lambda: floor.desk_lost("a"),
        "up": lambda: floor.desk_up("a", LegId("l")),
    }
    for verb in verbs:
        before = floor.agent("a").state
        try:
            act[verb]()
        except BadInput:
            assert floor.agent("a").state is before
    assert all(new in AGENT_MOVES[old] for old, new in moves)
