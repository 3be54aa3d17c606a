"""A relay without sound: it opens ports and remembers what it was told. For tests of signalling alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from dialer.media import words


class StandInRelay:
    def __init__(self) -> None:
        self.up = False
        self.remotes: dict[str, list[words.RemoteMedia]] = {}
        self.opened: list[tuple[str, str, Path | None]] = []
        self.closed: list[str] = []
        self.expected: list[str] = []
        self.marked: list[tuple[str, str, dict[str, Any]]] = []
        self.patched: list[tuple[str, str]] = []
        self.starts = 0
        self.speaks_at_once = False  # each leg is heard as soon as it is expected to be
        self.may_start = asyncio.Event()
        self.may_start.set()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._port = 40000

    async def start(self) -> tuple[words.LegState, ...]:
        await self.may_start.wait()
        self.starts += 1
        self.up = True
        self._queue = asyncio.Queue()
        return ()

    async def close(self) -> None:
        self.up = False
        self._queue.put_nowait(None)

    async def open_leg(self, leg: str, *, kind: str, tape: Path | None, bind_host: str) -> words.MediaAddress:
        self.opened.append((leg, kind, tape))
        self._port += 2
        return words.MediaAddress(host=bind_host, port=self._port)

    async def set_remote(self, leg: str, media: words.RemoteMedia) -> None:
        self.remotes.setdefault(leg, []).append(media)

    async def expect_audio(self, leg: str) -> None:
        self.expected.append(leg)
        if self.speaks_at_once:
            self.tell(words.MediaFirstAudio(leg=leg, monotonic_ns=1))

    async def patch(self, customer: str, agent: str) -> None:
        self.patched.append((customer, agent))

    async def unpatch(self, agent: str) -> None: ...

    async def confer(self, customer: str, parts: Mapping[str, str]) -> None: ...

    async def play(self, leg: str, prompt_name: str, path: Path) -> None: ...

    async def send_dtmf(self, leg: str, digits: str) -> None: ...

    async def mark(self, leg: str, kind: str, **facts: Any) -> None:
        self.marked.append((leg, kind, facts))

    async def close_leg(self, leg: str) -> words.LegCounters:
        self.closed.append(leg)
        return words.LegCounters(leg=leg, kind="customer")

    def tell(self, event: words.MediaEvent) -> None:
        self._queue.put_nowait(event)

    def die(self) -> None:
        self.up = False
        self._queue.put_nowait(words.RelayLost(legs=(), detail="killed by the test"))

    async def events(self) -> AsyncIterator[words.MediaEvent]:
        queue = self._queue
        while (event := await queue.get()) is not None:
            yield event
            if isinstance(event, words.RelayLost):
                return
