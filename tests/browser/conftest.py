from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import Page, async_playwright

from api.app import create_app
from tests.sample_house import Sample, sample_house

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class RunningHouse:
    """A real server on a port of its own, in its own thread and loop, as ``onrecord serve`` runs it."""

    url: str
    sample: Sample
    loop: asyncio.AbstractEventLoop

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do something in the server's own loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningHouse]:
    listener = socket.create_server(("127.0.0.1", 0))
    ready, stop = threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        found["sample"] = await sample_house(tmp_path)
        found["loop"] = asyncio.get_running_loop()
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(found["sample"].house), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
            )
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        ready.set()
        while not stop.is_set():  # noqa: ASYNC110  # set from another thread
            await asyncio.sleep(0.05)
        server.should_exit = True
        await task

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    yield RunningHouse(f"http://127.0.0.1:{listener.getsockname()[1]}", found["sample"], found["loop"])
    stop.set()
    thread.join(20)
    listener.close()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = await chromium.new_context(viewport={"width": 1360, "height": 860}, locale="zh-CN")
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        await chromium.close()
        assert errors == []
