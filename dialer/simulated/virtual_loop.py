"""An event loop for time that is made: nothing outside can wake it, so it needs no selector, no timers, no wall clock.

A simulated day takes half a million turns of the loop; the standard library's loop asks the kernel for news at each.
Coroutines, tasks and futures of production run on this one as they are. Whoever would wait for something outside (a
socket, a thread, a real second) finds no such method and fails at once.
"""

from __future__ import annotations

import asyncio
from asyncio.events import _set_running_loop  # an event loop's own verb
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from config.errors import InvariantBroken

Result = TypeVar("Result")


class VirtualLoop(asyncio.AbstractEventLoop):
    """``run`` carries out a coroutine or a function and everything that follows from it, until nothing is left to run."""

    def __init__(self) -> None:
        self._due: deque[tuple[Callable[..., Any], tuple[Any, ...], Context | None]] = deque()
        self._closed = False
        self._fault: dict[str, Any] | None = None

    def call_soon(  # type: ignore[override]  # no Handle: nothing that runs here takes back what it asked for
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> None:
        self._due.append((callback, args, context))

    def settle(self) -> None:
        """Run whatever is due, and what becomes due by it. An error of a callback is the caller's."""
        due = self._due
        while due:
            call, args, context = due.popleft()
            if context is None:
                call(*args)
            else:
                context.run(call, *args)

    def run(self, act: Callable[..., Result], *args: Any) -> Result:
        """``act(*args)`` on this loop, then all that follows. Raises ``InvariantBroken`` if a task failed unasked."""
        if self._fault is not None:
            said, fault = self._fault.get("message"), self._fault.get("exception")
            raise InvariantBroken(f"a simulated day failed: {said}", remedy="report it with its scenario") from fault
        _set_running_loop(self)
        try:
            done = act(*args)
            self.settle()
        finally:
            _set_running_loop(None)
        return done

    def finish(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run ``work`` to its end. Raises ``InvariantBroken`` if it waits for something that nobody here will do."""
        task: asyncio.Task[Result] = self.run(self.create_task, work)
        if not task.done():
            raise InvariantBroken("a coroutine waits and nothing is left to run", remedy="let virtual time go on first")
        return task.result()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio.events._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A task failed and nobody asked: kept, for it is told from where nobody can be stopped; ``run`` raises it."""
        self._fault = context

    def close(self) -> None:
        self._closed = True
        self._due.clear()
