"""The simulated carrier and phones as processes of their own: started, heard once, ended with us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from config.errors import Unhealthy

_START_SECONDS = 15.0


class SimulationFailed(Unhealthy):
    """The simulated carrier or a simulated phone did not start."""

    error_id = "simulation-failed"


class SimulatedProcess:
    """One of our simulated peers. ``said`` is the JSON line it announced itself with."""

    def __init__(self, process: asyncio.subprocess.Process, said: dict[str, Any]) -> None:
        self._process = process
        self.said = said

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, module: str, *arguments: str) -> SimulatedProcess:
        """Run ``python -m module``; it ends when we end, because it watches its standard input."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            "--with-parent",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to handle: calls are ended before the far side goes
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
        except TimeoutError:
            line = b""
        if not line:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            said = (await process.stderr.read()).decode(errors="replace").strip()
            raise SimulationFailed(f"{module} did not start: {said or 'it said nothing'}", remedy="run it by hand")
        return cls(process, json.loads(line))

    async def stop(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        transport = self._process._transport  # type: ignore[attr-defined]  # asyncio offers no public way to close the pipes
        transport.close()


async def start_carrier(directory: Path | None, *, seed: int = 0, bill: Path | None = None) -> SimulatedProcess:
    """The carrier on a free loopback port; ``said["host"]``, ``said["port"]``."""
    arguments = ["--seed", str(seed)]
    if directory is not None:
        arguments += ["--directory", str(directory)]
    if bill is not None:
        arguments += ["--bill", str(bill)]
    return await SimulatedProcess.start("dialer.simulated.carrier", *arguments)


async def start_phones(count: int) -> SimulatedProcess:
    """Agents' phones that take every call; ``said["uris"]``."""
    return await SimulatedProcess.start("dialer.simulated.phones", "--count", str(count))
