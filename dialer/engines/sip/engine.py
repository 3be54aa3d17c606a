"""The default ``SipEngine``: signalling in a thread of its own, media in the relay process, one queue of events.

Signalling has its own asyncio loop so that an ACK leaves in a millisecond whatever the dialer's loop is
busy with. The two loops share nothing: verbs cross by ``run_coroutine_threadsafe``, news by
``call_soon_threadsafe``. The relay's client belongs to the dialer's loop, where taps are read too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from case_store.network import HangupCause
from config.clock import Clock
from config.errors import BadInput
from config.identity import new_id
from config.settings import Settings
from dialer.call import CallId, CallOrder, DeskOrder, LegId
from dialer.engine import EngineCapabilities, EngineFull, EngineUnhealthy, Prompt, UnknownLeg
from dialer.engines.sip.first_words import FirstWords
from dialer.engines.sip.news import AudioExpected, MediaAgreed, News
from dialer.engines.sip.relay_side import Held, Relay, RelaySide
from dialer.engines.sip.route import Route
from dialer.engines.sip.switchboard import Switchboard
from dialer.events import (
    EngineEvent,
    LegAnswered,
    LegBridged,
    LegConferred,
    LegEnded,
    LegEvent,
    LegHeld,
    Origin,
)
from dialer.media import words
from dialer.parts import Part

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PACE_PATIENCE = 1.0  # seconds ``place`` waits for a trunk's calls-a-second limit before EngineFull
CLOSE_PATIENCE = 5.0
_LAST_WORDS = 1.0  # seconds
_RELAY_STARTS = 3  # at a node's start; later it is tried for ever
_END: Any = object()


class SipTrunkEngine:
    """Calls people over ``settings.trunks`` and desks at their phones; see ``dialer.engine.SipEngine``.

    It starts and closes ``relay`` with itself. ``counts`` tells what was dropped and why. ``first_words`` are over when
    signalling wakes up.
    """

    def __init__(
        self, settings: Settings, clock: Clock, relay: Relay, *, first_words: FirstWords | None = None
    ) -> None:
        self._first_words = first_words
        self._settings = settings
        self._clock = clock
        self._relay = relay
        self._board = Switchboard(settings, clock, self._told)
        self._queue: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self._legs: dict[LegId, Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._deaf = False  # signalling takes no more words
        self._side = RelaySide(
            relay, clock, settings.sip.bind_host, self._legs, self._publish, self._end_leg, self._end_legs
        )
        self._begun: Future[None] | None = None

    @property
    def capabilities(self) -> EngineCapabilities:
        return EngineCapabilities(
            max_legs=self._settings.sip.max_legs,
            early_media=True,
            bridging=True,
            prompts=True,
            dtmf=True,
            hold=True,
            transports=("udp",),
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where SIP is received, for logs and phones that register to us."""
        return (self._board.here.host, self._board.here.port)

    @property
    def counts(self) -> dict[str, int]:
        """Datagrams dropped before or at reading: ``unknown_source``, ``malformed``, ``registrations_too_fast`` …"""
        return dict(self._board.gate.counts)

    # Life

    def begin(self) -> None:
        """Signalling wakes up in its thread, and the lines a dead process left up are ended, whatever else the node still has
        to load. ``start`` follows. Call it where ``start`` will be: in the dialer's loop.
        """
        if self._first_words is not None:
            self._first_words.stop()
        self._home = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sip-signalling", daemon=True)
        self._thread.start()
        self._begun = asyncio.run_coroutine_threadsafe(self._board.start(), self._loop)

    async def start(self) -> None:
        """Raises RelayUnhealthy, OSError when the port is taken."""
        if self._begun is None:
            self.begin()
        assert self._begun is not None
        # Side by side: whoever a crash left on a line is not kept there by a relay that takes its time, or never comes.
        started = await asyncio.gather(self._start_media(), asyncio.wrap_future(self._begun), return_exceptions=True)
        if failed := [one for one in started if isinstance(one, BaseException)]:
            if not isinstance(started[1], BaseException):
                await self._await_signal(
                    self._board.close(CLOSE_PATIENCE)
                )  # until the orphans' far sides have answered
            await self._stop_thread()
            self._loop = None  # nothing is left to close
            await self._relay.close()
            raise failed[0]
        self._spawn(self._side.watch())

    async def _start_media(self) -> None:
        for tries_left in range(_RELAY_STARTS - 1, -1, -1):
            try:
                for left in await self._relay.start():
                    await self._relay.close_leg(
                        left.leg
                    )  # the calls of an earlier process: their tapes are finished here
                return
            except words.RelayUnhealthy as error:  # killed while it woke up: that alone keeps no node from starting
                log.error("the media relay could not be started (%d tries left): %s", tries_left, error)
                if tries_left == 0:
                    raise

    async def close(self) -> None:
        if self._closing or self._loop is None:
            return
        self._closing = self._side.closing = True
        await self._await_signal(self._board.close(CLOSE_PATIENCE))
        await asyncio.sleep(0)  # the last LegEnded of the signalling thread are taken in before its legs are counted
        while any(task.get_name().startswith("end-") for task in self._tasks):
            await asyncio.gather(*(task for task in self._tasks if task.get_name().startswith("end-")))
        await self._stop_thread()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._relay.close()
        self._queue.put_nowait(_END)

    async def _stop_thread(self) -> None:
        """Words that signalling was told before are carried out first: whoever waits for one must not wait for ever."""
        assert self._loop is not None
        assert self._thread is not None
        self._deaf = True
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_all_but_me(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str | None = None) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the engine failed", exc_info=error)

    async def _await_signal(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        assert self._loop is not None
        if self._deaf:
            work.close()
            raise EngineUnhealthy("the engine is closed", remedy="start it again")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _signal(self, verb: Callable[..., Answer], *args: object) -> Answer:
        async def run() -> Answer:
            return verb(*args)

        return await self._await_signal(run())

    # Verbs

    async def place(self, order: CallOrder) -> LegId:
        _check_headers(order)
        self._admit()
        leg = self._reserve(order.call_id)
        try:
            route = await self._seize(order)
            try:
                media = await self._side.open(leg, "customer", order.tape.path)
                self._relay_still_there()
            except BaseException:
                await self._signal(self._board.unseize, route)
                raise
        except BaseException:
            self._legs.pop(leg, None)
            raise
        await self._signal(self._board.dial, leg, order, route, self._media_host(media), media.port)
        return leg

    async def nail_up(self, order: DeskOrder) -> LegId:
        self._admit()
        leg = self._reserve(None)
        try:
            route = await self._await_signal(self._board.route_to_desk(order))
            media = await self._side.open(leg, "desk", None)
            self._relay_still_there()
        except BaseException:
            self._legs.pop(leg, None)
            raise
        await self._signal(self._board.dial, leg, order, route, self._media_host(media), media.port)
        return leg

    def _relay_still_there(self) -> None:
        """Just before the INVITE: no recording, no call."""
        if not self._relay.up:
            raise EngineUnhealthy("the media relay is down: nothing could be taped", remedy="it is being restarted")

    def _admit(self) -> None:
        if self._closing or self._loop is None:
            raise EngineUnhealthy("the engine is not running", remedy="start it first")
        self._relay_still_there()
        if len(self._legs) >= self._settings.sip.max_legs:
            raise EngineFull("every leg of the engine is in use", remedy="place the call when one ends")

    def _reserve(self, call_id: CallId | None) -> LegId:
        leg = LegId(new_id("leg"))
        self._legs[leg] = Held(call_id)
        return leg

    async def _seize(self, order: CallOrder) -> Route:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PACE_PATIENCE
        while True:
            route = await self._signal(self._board.seize, order)
            if isinstance(route, Route):
                return route
            if loop.time() + route > deadline:
                raise EngineFull("the trunks' calls a second are used up", remedy="place the call a second later")
            await asyncio.sleep(route)

    def _media_host(self, media: words.MediaAddress) -> str:
        if media.host in ("0.0.0.0", "::") or self._settings.sip.public_host:  # noqa: S104  # compared, not bound
            return self._board.here.host
        return media.host

    async def bridge(self, customer: LegId, agent: LegId) -> None:
        held = self._known(customer)
        self._known(agent)
        await self._relay.patch(customer, agent)
        self._publish(
            LegBridged(at=self._clock.now(), leg=customer, call_id=held.call_id, origin=Origin.NEAR, agent=agent)
        )

    async def unbridge(self, agent: LegId) -> None:
        self._known(agent)
        await self._relay.unpatch(agent)

    async def confer(self, customer: LegId, desks: Mapping[LegId, Part]) -> None:
        held = self._known(customer)
        if not desks:
            raise BadInput("a conference needs a desk", field="desks", remedy="name the agent's leg at least")
        for desk in desks:
            self._known(desk)
        await self._relay.confer(customer, {desk: part.value for desk, part in desks.items()})
        self._publish(
            LegConferred(
                at=self._clock.now(),
                leg=customer,
                call_id=held.call_id,
                origin=Origin.NEAR,
                desks=tuple(desks.items()),
            )
        )

    async def play(self, leg: LegId, prompt: Prompt) -> None:
        self._known(leg)
        await self._relay.play(leg, prompt.name, prompt.path)

    async def hold(self, leg: LegId, on: bool) -> None:
        self._known(leg)
        await self._signal(self._board.hold, leg, on)

    async def send_dtmf(self, leg: LegId, digits: str) -> None:
        self._known(leg)
        if not digits or any(digit not in "0123456789*#ABCD" for digit in digits):
            raise BadInput("only 0-9, *, #, A-D can be sent", remedy="correct the digits", field="digits")
        await self._relay.send_dtmf(leg, digits)

    async def mark(self, leg: LegId, what: str, **facts: str | int | bool) -> None:
        self._known(leg)
        await self._relay.mark(leg, what, **facts)

    async def hangup(self, leg: LegId, cause: HangupCause = HangupCause.NORMAL) -> None:
        if leg in self._legs and not self._deaf:  # every line is down once signalling is closed
            await self._signal(self._board.hang_up, leg, cause, Origin.NEAR)

    async def _end_leg(self, leg: LegId, cause: HangupCause) -> None:
        if not self._deaf:
            await self._signal(self._board.hang_up, leg, cause, Origin.ENGINE)

    async def _end_legs(self, cause: HangupCause) -> None:
        if not self._deaf:
            await self._signal(self._board.hang_up_all, cause)

    def _known(self, leg: LegId) -> Held:
        held = self._legs.get(leg)
        if held is None:
            raise UnknownLeg("the leg does not exist any more", remedy="wait for its LegEnded before another verb")
        return held

    async def events(self) -> AsyncIterator[EngineEvent]:
        """One consumer; ends when the engine is closed."""
        while (event := await self._queue.get()) is not _END:
            yield event

    def _publish(self, event: EngineEvent) -> None:
        self._queue.put_nowait(event)

    # News from the signalling thread

    def _told(self, news: News) -> None:
        """In the signalling thread."""
        assert self._home is not None
        self._home.call_soon_threadsafe(self._take, news)

    def _take(self, news: News) -> None:
        if isinstance(news, MediaAgreed):
            self._spawn(self._side.set_remote(news))
        elif isinstance(news, AudioExpected):
            self._spawn(self._side.say(news.leg, self._relay.expect_audio(news.leg)))
        elif isinstance(news, LegEnded):
            self._spawn(self._end(news), name=f"end-{news.leg}")
        else:
            if isinstance(news, LegEvent) and (held := self._legs.get(news.leg)):
                if isinstance(news, LegAnswered) and not held.answered and held.call_id is not None:
                    self._spawn(self._side.say(news.leg, self._relay.mark(news.leg, "answered", trunk=news.trunk)))
                held.answered = held.answered or isinstance(news, LegAnswered)
                if isinstance(news, LegHeld):
                    held.held = news.on
                    if not news.on:  # silence counts from here on again
                        self._spawn(self._side.say(news.leg, self._relay.expect_audio(news.leg)))
            self._publish(news)

    async def _end(self, ended: LegEnded) -> None:
        """The tape is closed before the end is told, so that whoever hears of it may seal."""
        if ended.leg in self._legs and self._relay.up:
            # It may have died meanwhile: that is told on its own.
            if ended.call_id is not None:
                with contextlib.suppress(words.RelayRefused, words.RelayUnhealthy):
                    await self._relay.mark(ended.leg, "ended", cause=ended.cause.value, origin=ended.origin.value)
            with contextlib.suppress(words.RelayRefused, words.RelayUnhealthy):
                await self._relay.close_leg(ended.leg)
        self._legs.pop(ended.leg, None)
        self._publish(ended)


def _check_headers(order: CallOrder) -> None:
    """Nothing a caller gives may break out of its header line."""
    texts = [order.callee, order.caller_id or "", order.display_name or ""]
    texts += [part for pair in order.headers for part in pair]
    if any(ch in text for text in texts for ch in "\r\n\x00") or '"' in (order.display_name or ""):
        raise BadInput("a line break or quote in a SIP header", remedy="remove it", field="order")
    if any(ch in (order.caller_id or "") for ch in '<>@";, \t'):
        raise BadInput(
            "the caller ID is no user part of a URI", remedy="give a number or a plain name", field="caller_id"
        )


async def _all_but_me() -> None:
    """Until the tasks of this loop are done; those that never end (they listen) are left after a moment."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_LAST_WORDS)
