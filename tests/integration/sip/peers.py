"""SIPp as the far side, and an engine to call it: the tools of this directory's tests."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from config.clock import SystemClock
from config.settings import DeskSettings, Settings, SipSettings, TrunkSettings
from dialer.call import CallId, CallOrder, DeskOrder, LegId
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.events import EngineEvent, LegEnded, LegEvent
from recording import tape as tape_module
from recording.tape import Tape
from tests.integration.sip.stand_in_relay import StandInRelay

SCENARIOS = Path(__file__).parent.parent / "sipp"
HOST = "127.0.0.1"
T1 = 50  # milliseconds: timer B in 3.2 s

Event = TypeVar("Event", bound=EngineEvent)


def free_port() -> int:
    """Free for UDP and TCP (baresip opens both), and below the ports the kernel hands out by itself."""
    while True:
        port = random.randrange(10000, 32000)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        ):
            try:
                udp.bind((HOST, port))
                tcp.bind((HOST, port))
            except OSError:
                continue
            return port


def free_sound_port() -> int:
    """SIPp opens two more beside the one it is given: RTCP's, and two above it a picture's."""
    while True:
        port = free_port()
        try:
            with contextlib.ExitStack() as stack:
                for beside in range(1, 4):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((HOST, port + beside))
        except OSError:
            continue
        return port


@dataclass
class Sipp:
    """One SIPp process playing a scenario; ``log`` is every message it sent and received."""

    process: asyncio.subprocess.Process
    port: int
    folder: Path
    scenario: str

    @property
    def log(self) -> str:
        found = list(self.folder.glob("*_messages.log"))
        return found[0].read_text(errors="replace") if found else ""

    def received(self, method: str) -> list[str]:
        """The requests of this method that SIPp received, whole."""
        parts = re.split(r"-{10,} [^\n]*\n", self.log)
        return [part for part in parts if "message received" in part[:80] and re.search(rf"\n{method} sip:", part)]

    async def finished(self, seconds: float = 15) -> None:
        """Wait for its end; the scenario must have gone through every step."""
        try:
            code = await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            self.process.kill()
            raise AssertionError(f"{self.scenario} did not come to its end\n{self.log[-6000:]}") from None
        errors = "".join(path.read_text(errors="replace") for path in self.folder.glob("*_errors.log"))
        assert code == 0, f"{self.scenario} failed with {code}\n{errors[-3000:]}\n{self.log[-6000:]}"


@contextlib.asynccontextmanager
async def sipp(
    scenario: str,
    folder: Path,
    *,
    port: int = 0,
    calls: int = 1,
    towards: tuple[str, int] | None = None,
    host: str = HOST,
    options: tuple[str, ...] = (),
    **keys: str,
) -> AsyncIterator[Sipp]:
    """SIPp playing ``tests/integration/sipp/<scenario>.xml``: called, or calling ``towards``. ``keys`` stand for [name]."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    text = (SCENARIOS / f"{scenario}.xml").read_text()
    for name, value in keys.items():  # SIPp's own -key does not reach into the status line
        text = text.replace(f"[{name}]", value)
    (folder / f"{scenario}.xml").write_text(text)
    arguments = ["-sf", str(folder / f"{scenario}.xml"), "-i", host, "-p", str(port), "-m", str(calls), *options]
    arguments += ["-trace_msg", "-trace_err", "-nostdin", "-timeout", "25s", "-timeout_error"]
    arguments += ["-mp", str(free_sound_port())]
    if towards is not None:
        arguments += ["-r", "1", f"{towards[0]}:{towards[1]}"]
    process = await asyncio.create_subprocess_exec(
        "sipp", *arguments, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    if towards is None:
        await _listening(port, process)
    try:
        yield Sipp(process, port, folder, scenario)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    line = f":{port:04X} "
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert process.returncode is None, "the peer did not start"
        if any(line in row for row in Path("/proc/net/udp").read_text().splitlines()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the peer did not open its port")


@dataclass
class Listener:
    """Takes an engine's events as they come."""

    engine: SipTrunkEngine
    events: list[EngineEvent] = field(default_factory=list)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        async for event in self.engine.events():
            async with self._more:
                self.events.append(event)
                self._more.notify_all()

    def of(self, leg: LegId) -> list[LegEvent]:
        return [event for event in self.events if isinstance(event, LegEvent) and event.leg == leg]

    def all(self, kind: type[Event], **facts: Any) -> list[Event]:
        return [
            event
            for event in self.events
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in facts.items())
        ]

    async def wait(self, kind: type[Event], seconds: float = 10, count: int = 1, **facts: Any) -> Event:
        """The ``count``-th such event, now or when it comes."""
        async with self._more:
            try:
                await asyncio.wait_for(self._more.wait_for(lambda: len(self.all(kind, **facts)) >= count), seconds)
            except TimeoutError:
                raise AssertionError(f"no {kind.__name__} {facts} among {self.events}") from None
        return self.all(kind, **facts)[count - 1]

    async def ended(self, leg: LegId, seconds: float = 10) -> LegEnded:
        return await self.wait(LegEnded, seconds, leg=leg)


@dataclass
class Office:
    engine: SipTrunkEngine
    relay: Any
    heard: Listener
    settings: Settings

    async def place(self, callee: str = "+8613800138000", **changes: Any) -> LegId:
        return await self.engine.place(order(callee, **changes))

    async def desk(self, uri: str, **changes: Any) -> LegId:
        return await self.engine.nail_up(DeskOrder(desk="101", uri=uri, **changes))


def trunk(port: int, name: str = "main", **changes: Any) -> TrunkSettings:
    return TrunkSettings(
        **{"name": name, "host": HOST, "port": port, "options_seconds": 0, "session_expires": 0, **changes}
    )


def order(callee: str = "+8613800138000", *, path: Path = Path("/nonexistent"), **changes: Any) -> CallOrder:
    """An order with a tape that no relay opens (the stand-in relay only remembers it)."""
    tape = Tape(
        id="tape_1",
        call_id="call_1",
        path=path,
        armed_at=datetime.now(UTC),
        armed_by=tape_module._ARMED_BY_RECORDER,
    )
    facts = {"call_id": CallId("call_1"), "attempt_id": "attempt_1", "tape": tape, **changes}
    return CallOrder(callee=callee, **facts)


@contextlib.asynccontextmanager
async def office(
    *trunks: TrunkSettings, relay: Any = None, desks: tuple[DeskSettings, ...] = (), **sip: Any
) -> AsyncIterator[Office]:
    """A running engine on a free port."""
    settings = Settings(
        sip=SipSettings(**{"bind_host": HOST, "bind_port": 0, "t1_milliseconds": T1, **sip}), trunks=trunks, desks=desks
    )
    relay = relay or StandInRelay()
    engine = SipTrunkEngine(settings, SystemClock(), relay)
    await engine.start()
    heard = Listener(engine)
    listening = asyncio.create_task(heard.run())
    try:
        yield Office(engine, relay, heard, settings)
    finally:
        await engine.close()
        await asyncio.wait_for(listening, 5)
        _each_leg_ended_once(heard)


def _each_leg_ended_once(heard: Listener) -> None:
    legs = {event.leg for event in heard.events if isinstance(event, LegEvent)}
    for leg in legs:
        ends = [event for event in heard.of(leg) if isinstance(event, LegEnded)]
        assert len(ends) == 1, f"{leg} ended {len(ends)} times"
        assert heard.of(leg)[-1] is ends[0], "an event came after the end"
