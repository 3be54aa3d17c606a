"""The loop of made time: coroutines run as on any loop, and whoever waits for the outside is found out."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from datetime import UTC, datetime

import pytest

from config.clock import VirtualClock
from config.errors import InvariantBroken
from dialer.simulated.virtual_loop import VirtualLoop

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
who: ContextVar[str] = ContextVar("who", default="nobody")


def loop() -> VirtualLoop:
    return VirtualLoop()  # type: ignore[abstract]  # what it lacks, nobody here may ask for


def test_sleepers_wake_each_at_its_own_instant_and_what_follows_runs_before_time_goes_on() -> None:
    made, clock, woke = loop(), VirtualClock(AT), []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woke.append((name, clock.monotonic()))
        if name == "first":
            await clock.sleep(0.0)
            woke.append(("again", clock.monotonic()))

    async def begin() -> None:
        for name, seconds in (("second", 5.0), ("first", 2.0), ("never", 50.0)):
            made.create_task(sleeper(name, seconds))

    made.finish(begin())
    made.run(clock.go_to, 10.0, made.settle)
    assert woke == [("first", 2.0), ("again", 2.0), ("second", 5.0)]
    assert (clock.monotonic(), clock.next_due()) == (10.0, 50.0)


def test_queues_tasks_and_their_contexts_are_as_on_any_loop() -> None:
    made = loop()
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def consumer() -> list[str]:
        return [await queue.get() for _ in range(3)]

    async def producer() -> list[str]:
        taking = asyncio.create_task(consumer())
        who.set("the producer")
        await asyncio.gather(*(asyncio.create_task(tell(n)) for n in range(3)))
        return await taking

    async def tell(number: int) -> None:
        queue.put_nowait(f"{number} by {who.get()}")

    assert made.finish(producer()) == [f"{number} by the producer" for number in range(3)]
    assert who.get() == "nobody"
    assert not made.is_running()


def test_whoever_would_take_back_a_turn_finds_nothing_to_take_back() -> None:
    assert loop().call_soon(print) is None


def test_a_wait_for_what_nobody_will_do_is_found_out() -> None:
    made = loop()
    waits = made.create_future()

    async def forever() -> None:
        await waits

    with pytest.raises(InvariantBroken, match="nothing is left to run"):
        made.finish(forever())
    made.run(waits.set_result, None)


def test_a_real_second_is_not_to_be_had() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(0.01)

    with pytest.raises(NotImplementedError):
        loop().finish(sleeps())


def test_a_failed_task_that_nobody_asked_ends_the_day() -> None:
    made = loop()

    async def fails() -> None:
        raise ValueError("of ours")

    made.run(made.create_task, fails())
    gc.collect()
    with pytest.raises(InvariantBroken, match="never retrieved") as found:
        made.run(made.settle)
    assert isinstance(found.value.__cause__, ValueError)
