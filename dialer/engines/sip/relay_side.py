"""The engine's side of the media relay: words to it, news from it, and what happens when it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from case_store.network import HangupCause
from config.clock import Clock
from dialer.call import CallId, LegId
from dialer.engine import EngineUnhealthy
from dialer.engines.sip.news import MediaAgreed
from dialer.events import EngineEvent, LegDtmf, LegFirstAudio, Origin, PromptFinished, RelayState, TapeTrouble
from dialer.media import words

log = logging.getLogger(__name__)

_RELAY_RETRY = (0.1, 0.5, 1.0, 2.0, 5.0)


class Relay(Protocol):
    """What this engine needs of ``dialer.media.client.MediaRelay``."""

    @property
    def up(self) -> bool: ...
    async def start(self) -> tuple[words.LegState, ...]: ...
    async def close(self) -> None: ...
    async def open_leg(
        self, leg: str, *, kind: Literal["customer", "desk"], tape: Path | None, bind_host: str
    ) -> words.MediaAddress: ...
    async def set_remote(self, leg: str, media: words.RemoteMedia) -> None: ...
    async def expect_audio(self, leg: str) -> None: ...
    async def patch(self, customer: str, agent: str) -> None: ...
    async def unpatch(self, agent: str) -> None: ...
    async def confer(self, customer: str, parts: Mapping[str, str]) -> None: ...
    async def play(self, leg: str, prompt_name: str, path: Path) -> None: ...
    async def send_dtmf(self, leg: str, digits: str) -> None: ...
    async def mark(self, leg: str, kind: str, **facts: Any) -> None: ...
    async def close_leg(self, leg: str) -> words.LegCounters: ...
    def events(self) -> AsyncIterator[words.MediaEvent]: ...


class Held:
    """What the dialer's side knows of a leg."""

    __slots__ = ("answered", "call_id", "first_audio", "held")

    def __init__(self, call_id: CallId | None) -> None:
        self.call_id = call_id
        self.answered = False
        self.first_audio = False
        self.held = False


@dataclass(slots=True)
class RelaySide:
    """``legs`` is the engine's own; ``hang_up`` ends a leg, ``publish`` tells an event."""

    relay: Relay
    clock: Clock
    bind_host: str
    legs: dict[LegId, Held]
    publish: Callable[[EngineEvent], None]
    hang_up: Callable[[LegId, HangupCause], Awaitable[None]]
    hang_up_all: Callable[[HangupCause], Awaitable[None]]
    closing: bool = False

    async def open(self, leg: LegId, kind: Literal["customer", "desk"], tape: Path | None) -> words.MediaAddress:
        try:
            return await self.relay.open_leg(leg, kind=kind, tape=tape, bind_host=self.bind_host)
        except words.RelayUnhealthy as error:
            raise EngineUnhealthy(error.problem, remedy=error.remedy) from error
        except words.RelayRefused as error:
            raise EngineUnhealthy(f"the relay refused the leg: {error.problem}", remedy=error.remedy) from error

    async def set_remote(self, news: MediaAgreed) -> None:
        agreed = news.agreed
        media = words.RemoteMedia(
            host=agreed.host,
            port=agreed.port,
            codec=cast(Literal["PCMA", "PCMU"], agreed.codec),
            payload_type=agreed.payload_type,
            telephone_event_pt=agreed.telephone_event_pt,
            ptime=agreed.ptime,
            plausible=words.RemoteMedia.networks(news.media_hosts),
            send=agreed.send,
            receive=agreed.receive,
        )
        await self.say(news.leg, self.relay.set_remote(news.leg, media))

    async def say(self, leg: LegId, word: Coroutine[Any, Any, None]) -> None:
        """A word about a leg that nobody waits for; if the relay cannot take it, the leg has no sound and ends."""
        if leg not in self.legs:
            word.close()
            return
        try:
            await word
        except (words.RelayRefused, words.RelayUnhealthy) as error:
            if leg in self.legs and not self.closing:
                log.error("leg %s: the relay did not take it: %s", leg, error.problem)
                await self.hang_up(leg, HangupCause.RELAY_LOST)

    async def watch(self) -> None:
        while not self.closing:
            async for event in self.relay.events():
                await self._heard(event)
                if isinstance(event, words.RelayLost):
                    break
            if self.closing:
                return
            await self._restart()

    async def _restart(self) -> None:
        attempt = 0
        while not self.closing:
            await asyncio.sleep(_RELAY_RETRY[min(attempt, len(_RELAY_RETRY) - 1)])
            attempt += 1
            try:
                for left in await self.relay.start():
                    await self.relay.close_leg(left.leg)
            except (words.RelayUnhealthy, words.RelayRefused, OSError) as error:
                log.error("the media relay could not be started: %s", error)
                continue
            self.publish(RelayState(at=self.clock.now(), up=True, detail="restarted"))
            return

    async def _heard(self, event: words.MediaEvent) -> None:
        if isinstance(event, words.RelayLost):
            self.publish(RelayState(at=self.clock.now(), up=False, detail=event.detail))
            await self.hang_up_all(HangupCause.RELAY_LOST)
            return
        leg = LegId(event.leg)
        held = self.legs.get(leg)
        if held is None:
            return
        now, call_id = self.clock.now(), held.call_id
        if isinstance(event, words.MediaFirstAudio):
            if held.answered and not held.first_audio:
                held.first_audio = True
                self.publish(LegFirstAudio(at=now, leg=leg, call_id=call_id, origin=Origin.FAR))
        elif isinstance(event, words.MediaDtmf):
            self.publish(
                LegDtmf(
                    at=now,
                    leg=leg,
                    call_id=call_id,
                    origin=Origin.FAR,
                    digit=event.digit,
                    milliseconds=event.milliseconds,
                )
            )
        elif isinstance(event, words.PromptFinished):
            self.publish(
                PromptFinished(
                    at=now,
                    leg=leg,
                    call_id=call_id,
                    origin=Origin.ENGINE,
                    prompt=event.prompt,
                    completed=event.completed,
                )
            )
        elif isinstance(event, words.TapeTrouble):
            self.publish(TapeTrouble(at=now, leg=leg, call_id=call_id, origin=Origin.ENGINE, problem=event.problem))
            await self.hang_up(leg, HangupCause.TAPE_FAILED)
        elif isinstance(event, words.MediaTimeout) and held.answered and not held.held:
            await self.hang_up(leg, HangupCause.MEDIA_TIMEOUT)
