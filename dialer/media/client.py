"""The engine's handle on one relay process: verbs in, events out. All of asyncio's side is here, none in the relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal

from config.settings import Settings
from dialer.media.commands import HEARTBEAT_LOST_SECONDS, pack, unpack
from dialer.media.prompt_files import PromptFiles
from dialer.media.relay_process import connect, spawn
from dialer.media.standstill import Standstill
from dialer.media.words import (
    DtmfSent,
    LegCounters,
    LegState,
    MediaAddress,
    MediaDtmf,
    MediaEvent,
    MediaFirstAudio,
    MediaTimeout,
    PromptFinished,
    RelayLost,
    RelayRefused,
    RelayUnhealthy,
    RemoteMedia,
    TapeTrouble,
    event_of,
)

__all__ = [
    "DtmfSent",
    "LegCounters",
    "LegState",
    "MediaAddress",
    "MediaDtmf",
    "MediaEvent",
    "MediaFirstAudio",
    "MediaRelay",
    "MediaTimeout",
    "PromptFinished",
    "RelayLost",
    "RelayRefused",
    "RelayUnhealthy",
    "RemoteMedia",
    "TapeTrouble",
]

_START_SECONDS = 10.0
_REMEDY = "look at the relay's log beside its socket; calls resume when a relay is started again"


class MediaRelay:
    """One relay process. ``start`` attaches to a relay that outlived an earlier control, or starts one."""

    def __init__(
        self,
        *,
        runtime_dir: Path,
        rtp_ports: tuple[int, int] = (0, 0),
        stall_seconds: float = 1.5,
        media_timeout_seconds: float = 30.0,
        unflushed_seconds: float = 1.0,
        grace_seconds: float = 10.0,
        chunk_bytes: int | None = None,
        relay_index: int = 0,
    ) -> None:
        """``rtp_ports`` (0, 0): any free ports. The runtime directory holds the socket, the log and prompts."""
        self._runtime_dir = runtime_dir
        self._rtp_ports = rtp_ports
        self._stall_seconds = stall_seconds
        self._media_timeout_seconds = media_timeout_seconds
        self._unflushed_seconds = unflushed_seconds
        self._grace_seconds = grace_seconds
        self._chunk_bytes = chunk_bytes
        self._relay_index = relay_index
        self._prompts = PromptFiles(runtime_dir / "prompts")
        self._socket: socket.socket | None = None
        self._pid: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._next_id = 0
        self._legs: set[str] = set()
        self._events: asyncio.Queue[MediaEvent] = asyncio.Queue()
        self._heard_at = 0.0
        self._watch: asyncio.Task[None] | None = None
        self._up = False
        self._status: dict[str, Any] = {}
        self._standstill = Standstill(stall_seconds)

    @classmethod
    def from_settings(cls, settings: Settings, *, relay_index: int = 0) -> MediaRelay:
        """The relay of this node; its runtime directory lies beside the tapes."""
        return cls(
            runtime_dir=settings.recording.directory.parent / "relay",
            rtp_ports=settings.sip.rtp_ports,
            stall_seconds=settings.recording.stall_seconds,
            media_timeout_seconds=settings.sip.media_timeout_seconds,
            unflushed_seconds=settings.recording.unflushed_seconds,
            relay_index=relay_index,
        )

    @property
    def up(self) -> bool:
        return self._up

    @property
    def pid(self) -> int | None:
        """The relay's process id, for tests and operators."""
        return self._pid

    @property
    def status(self) -> dict[str, Any]:
        """The relay's last status: ``legs``, ``cpu_seconds``, ``tapes`` {leg: [bytes, unflushed seconds]}, counters."""
        return self._status

    # Life

    async def start(self) -> tuple[LegState, ...]:
        """Attach or start; returns the legs a surviving relay still holds. Raises RelayUnhealthy."""
        self._runtime_dir.mkdir(parents=True, exist_ok=True)
        if not await self._connect():
            await self._spawn()
        loop = asyncio.get_running_loop()
        assert self._socket is not None
        self._up = True
        self._heard_at = time.monotonic()
        loop.add_reader(self._socket, self._on_readable)
        self._watch = asyncio.create_task(self._watch_heartbeat(), name=f"relay-{self._relay_index}-watch")
        answer = await self._ask("attach")
        self._pid = int(answer["pid"])
        legs = await self.list_legs()
        self._legs = {leg.leg for leg in legs}
        return legs

    async def close(self) -> None:
        """Close every leg and tape, then end the relay."""
        if self._up:
            with contextlib.suppress(RelayUnhealthy, RelayRefused):
                await self._ask("stop")
        self._up = False
        await self._drop_connection("closed")
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 5)
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    async def detach(self) -> None:
        """Leave the relay running; it finishes its tapes after the grace time unless a control attaches again."""
        self._up = False
        await self._drop_connection("detached")

    # Verbs

    async def open_leg(
        self, leg: str, *, kind: Literal["customer", "desk"], tape: Path | None, bind_host: str
    ) -> MediaAddress:
        """A socket for the leg. A customer's leg needs its armed tape, a desk has none. Raises RelayRefused."""
        answer = await self._ask("open_leg", leg=leg, kind=kind, tape=_absolute(tape), bind_host=bind_host)
        self._legs.add(leg)
        return MediaAddress(host=answer["host"], port=answer["port"])

    async def set_remote(self, leg: str, media: RemoteMedia) -> None:
        """Tell the relay the remote's session description; again on early media, 200, re-INVITE, hold."""
        await self._ask(
            "set_remote",
            leg=leg,
            host=media.host,
            port=media.port,
            codec=media.codec,
            payload_type=media.payload_type,
            telephone_event_pt=media.telephone_event_pt,
            ptime=media.ptime,
            plausible=[str(network) for network in media.plausible],
            send=media.send,
            receive=media.receive,
        )

    async def expect_audio(self, leg: str) -> None:
        """From now on (the answer) the next audio packet of the leg is its first: ``MediaFirstAudio`` comes again."""
        await self._ask("expect_audio", leg=leg)

    async def patch(self, customer: str, agent: str) -> None:
        """Let the two hear each other from the next packet on; parts whoever was patched to either."""
        await self._ask("patch", customer=customer, agent=agent)

    async def unpatch(self, agent: str) -> None:
        """Part the leg from its peer; both hear silence. Harmless when it has none."""
        await self._ask("unpatch", leg=agent)

    async def confer(self, customer: str, parts: Mapping[str, str]) -> None:
        """A customer and several desks: desk leg → ``talks``, ``listens``, ``whispers`` or ``aside`` (see ``mixing``).

        Parts whoever was patched to any of them; naming them anew changes their parts. ``patch`` ends it.
        """
        await self._ask("confer", customer=customer, parts=dict(parts))

    async def play(self, leg: str, prompt_name: str, path: Path) -> None:
        """Play a mono file once, in place of the agent's audio. ``PromptFinished`` follows. Raises BadInput."""
        sound = await asyncio.to_thread(self._prompts.encoded, path)
        await self._ask("play", leg=leg, prompt=prompt_name, pcma=str(sound.pcma), pcmu=str(sound.pcmu))

    async def stop_prompt(self, leg: str) -> None:
        await self._ask("stop_prompt", leg=leg)

    async def send_dtmf(self, leg: str, digits: str) -> None:
        """RFC 4733 events, each 100 ms, 60 ms apart; ``DtmfSent`` follows. Raises RelayRefused without an agreed type."""
        await self._ask("send_dtmf", leg=leg, digits=digits)

    async def mark(self, leg: str, kind: str, **facts: Any) -> None:
        """Write a mark on the leg's tape, e.g. ``answered``, ``ended``, ``mask`` (on=True), ``hold``."""
        await self._ask("mark", leg=leg, mark=kind, facts=facts)

    async def counters(self, leg: str) -> LegCounters:
        return LegCounters(**await self._ask("counters", leg=leg))

    async def close_leg(self, leg: str) -> LegCounters:
        """Close the socket; on a customer's leg the tape gets its trailer, is cut to length and flushed."""
        answer = await self._ask("close_leg", leg=leg)
        self._legs.discard(leg)
        self._standstill.forget(leg)
        return LegCounters(**answer)

    async def list_legs(self) -> tuple[LegState, ...]:
        states: list[LegState] = []
        more = True
        while more:
            answer = await self._ask("list_legs", after=states[-1].leg if states else "")
            more = bool(answer["more"])
            for one in answer["legs"]:
                tape = one.pop("tape")
                states.append(LegState(tape=None if tape is None else Path(tape), **one))
        return tuple(states)

    async def tap(self, leg: str, on: bool = True) -> socket.socket | None:
        """A stream of what comes from the leg: SOCK_DGRAM datagrams of 12-byte head and payload; None when turned off.

        Head: ``<QHBB`` arrival ns monotonic, sequence number, payload type, zero. A reader that falls behind
        misses datagrams; the tape does not.
        """
        if not on:
            await self._ask("tap", leg=leg, path=None)
            return None
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.setblocking(False)
        receiver.bind(b"")  # autobind: an abstract name of the kernel's choice
        await self._ask("tap", leg=leg, path=bytes(receiver.getsockname()).hex())
        return receiver

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Every event in order; one consumer. Ends after RelayLost or ``close``."""
        while True:
            event = await self._events.get()
            if event is _END:
                return
            yield event
            if isinstance(event, RelayLost):
                return

    # The wire

    def _socket_path(self) -> Path:
        return self._runtime_dir / f"relay-{self._relay_index}.sock"

    async def _connect(self) -> bool:
        self._socket = connect(self._socket_path())
        return self._socket is not None

    async def _spawn(self) -> None:
        options = {
            "index": self._relay_index,
            "rtp-ports": f"{self._rtp_ports[0]}-{self._rtp_ports[1]}",
            "unflushed-seconds": self._unflushed_seconds,
            "media-timeout-seconds": self._media_timeout_seconds,
            "grace-seconds": self._grace_seconds,
        }
        if self._chunk_bytes is not None:
            options["chunk-bytes"] = self._chunk_bytes
        log = self._runtime_dir / f"relay-{self._relay_index}.log"
        with contextlib.suppress(FileNotFoundError):
            self._socket_path().unlink()
        self._process = await spawn(self._socket_path(), log, options)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.returncode is None:
            if await self._connect():
                return
            await asyncio.sleep(0.01)
        raise RelayUnhealthy("the media relay did not start", remedy=_REMEDY)

    async def _ask(self, verb: str, **facts: Any) -> Any:
        if not self._up or self._socket is None:
            raise RelayUnhealthy("the media relay is not running", remedy=_REMEDY)
        self._next_id += 1
        number = self._next_id
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._asked[number] = answer
        try:
            await loop.sock_sendall(self._socket, pack({"id": number, "do": verb, **facts}))
            return await answer
        except OSError as error:
            raise RelayUnhealthy("the media relay went away", remedy=_REMEDY) from error
        finally:
            self._asked.pop(number, None)

    def _on_readable(self) -> None:
        assert self._socket is not None
        for _ in range(64):
            try:
                datagram = self._socket.recv(1 << 20)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                datagram = b""
            if not datagram:
                self._lose("its process ended")
                return
            self._heard_at = time.monotonic()
            self._take(unpack(datagram))

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._events.put_nowait(event_of(message))
        elif "status" in message:
            self._status = message["status"]
            for problem in self._standstill.look(self._status["tapes"], time.monotonic()):
                self._events.put_nowait(problem)
        else:
            answer = self._asked.get(message["id"])
            if answer is None or answer.done():
                return
            if "error" in message:
                error = message["error"]
                answer.set_exception(RelayRefused(error["problem"], remedy=error["remedy"], field=error.get("field")))
            else:
                answer.set_result(message["ok"])

    async def _watch_heartbeat(self) -> None:
        before = time.monotonic()
        while self._up:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            if now - before > HEARTBEAT_LOST_SECONDS / 2:
                self._heard_at += now - before  # we slept ourselves; the relay's word may still wait in the socket
            before = now
            if now - self._heard_at > HEARTBEAT_LOST_SECONDS:
                # Alive but silent is as bad as dead: end it, so that it does not forward what nobody watches.
                self._kill()
                self._lose("it did not answer")

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None:
                self._process.kill()
            elif self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)

    def _lose(self, detail: str) -> None:
        if not self._up:
            return
        self._up = False
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._events.put_nowait(RelayLost(legs=tuple(sorted(self._legs)), detail=detail))
        self._legs.clear()
        self._fail_asked()

    async def _drop_connection(self, _why: str) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._fail_asked()
        self._events.put_nowait(_END)

    def _fail_asked(self) -> None:
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(RelayUnhealthy("the media relay went away", remedy=_REMEDY))


_END: Any = object()


def _absolute(tape: Path | None) -> str | None:
    return None if tape is None else str(tape.absolute())


TAP_HEAD = struct.Struct("<QHBB")
