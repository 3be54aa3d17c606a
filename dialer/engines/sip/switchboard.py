"""What lives in the signalling thread: the socket, the trunks, the desks and every leg. Called only there."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from case_store.network import HangupCause
from config.clock import Clock
from config.settings import Settings, TrunkSettings
from dialer.call import CallId, CallOrder, DeskOrder, LegId
from dialer.engines.sip.addresses import TrunkAddresses
from dialer.engines.sip.conversation import Conversation
from dialer.engines.sip.dialog import Dialog, Here, is_address
from dialer.engines.sip.dialogs import Dialogs
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.journal import Journal, Mouth, OpenCall
from dialer.engines.sip.leg import Leg
from dialer.engines.sip.line import LineKeeper
from dialer.engines.sip.message import Request
from dialer.engines.sip.news import AudioExpected, MediaAgreed, News
from dialer.engines.sip.orphan import end_orphan
from dialer.engines.sip.registrar import Registrar
from dialer.engines.sip.route import Route
from dialer.engines.sip.routing import Routing, credentials_of
from dialer.engines.sip.sdp import Agreed
from dialer.engines.sip.transactions import Transactions
from dialer.engines.sip.transport import Gate, SipSocket
from dialer.engines.sip.trunks import Line, Lines
from dialer.events import LegEnded, LegEvent, Origin, TrunkState

log = logging.getLogger(__name__)

LONGEST_PAUSE = 3600.0  # seconds: a Retry-After of days would take the trunk out of service for good
_REGISTRATION_PATIENCE = 5.0
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # compared, not bound


@dataclass(slots=True)
class Switchboard:
    """``tell`` gets events and words for the relay, in order."""

    settings: Settings
    clock: Clock
    tell: Callable[[News], None]
    transactions: Transactions = field(init=False)
    here: Here = field(init=False)
    gate: Gate = field(init=False)
    desk_keep_alive: float = field(init=False)
    _socket: SipSocket = field(init=False)
    _registrar: Registrar = field(init=False)
    _dialogs: Dialogs = field(init=False)
    _routing: Routing = field(init=False)
    _addresses: TrunkAddresses = field(init=False)
    _lines: Lines = field(init=False)
    _journal: Journal = field(init=False)
    _keepers: dict[str, LineKeeper] = field(default_factory=dict)
    _legs: dict[LegId, Leg] = field(default_factory=dict)
    _desk_hosts: dict[LegId, str] = field(default_factory=dict)
    _started: bool = False
    _closing: bool = False

    # Life

    async def start(self) -> None:
        sip, loop = self.settings.sip, asyncio.get_running_loop()
        self.desk_keep_alive = sip.desk_options_seconds
        self._lines = Lines(self.settings.trunks, time.monotonic())
        expects_desks = any(desk.uri is None for desk in self.settings.desks)
        self.gate = Gate(
            open_to_registrations=expects_desks, registers_per_second=sip.registers_per_second, now=time.monotonic
        )
        self._socket = SipSocket(self.gate, lambda message, source: self.transactions.receive(message, source))
        self.transactions = Transactions(
            send=self._socket.send,
            timers=loop,
            t1=sip.t1_milliseconds / 1000,
            on_request=lambda request, server: self._dialogs.receive(request, server),
            on_stray_ack=lambda ack: self._dialogs.acknowledge(ack),
        )
        await loop.create_datagram_endpoint(lambda: self._socket, local_addr=(sip.bind_host, sip.bind_port))
        try:
            await self._begin()
        except BaseException:
            await self.abandon()
            raise

    async def _begin(self) -> None:
        sip, loop = self.settings.sip, asyncio.get_running_loop()
        self._addresses = TrunkAddresses(
            self.settings.trunks,
            sip.resolve_seconds,
            trust=self.gate.trust,
            distrust=lambda host: self._dialogs.distrust_later(host),
            moved=self._trunk_moved,
        )
        await self._addresses.start()
        self.gate.trust_networks(network for trunk in self.settings.trunks for network in trunk.signalling_hosts)
        self.here = Here(host=self._own_host(), port=self._socket.port, user_agent=sip.user_agent)
        self._registrar = Registrar(
            self.settings.desks,
            realm=sip.user_agent,
            digests=sip.desk_digests,
            longest=sip.desk_register_seconds,
            timers=loop,
            now=time.time,
            trust=self.gate.trust,
            distrust=self.gate.distrust,
        )
        self._dialogs = Dialogs(self.gate, self.transactions, self._registrar)
        self._routing = Routing(self._lines, self._registrar, self.here, self._addresses.of)
        self._journal = Journal(
            sip.journal,
            Mouth(
                bind=sip.bind_host,
                port=self._socket.port,
                host=self.here.host,
                user_agent=sip.user_agent,
                t1=self.transactions.t1,
            ),
        )
        for call in self._journal.start():
            self._end_orphan(call)
        for trunk in self.settings.trunks:
            self._begin_line(trunk)
        self._started = True
        await self._await_registrations()

    def _own_host(self) -> str:
        sip = self.settings.sip
        if sip.public_host:
            return sip.public_host
        if sip.bind_host not in _WILDCARDS:
            return sip.bind_host
        known = (self._addresses.of(trunk.name) for trunk in self.settings.trunks)
        target = next((address for address in known if address is not None), ("192.0.2.1", 5060))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(target)
                return str(probe.getsockname()[0])
            except OSError:
                return "127.0.0.1"

    def _begin_line(self, trunk: TrunkSettings) -> None:
        address, line = self._addresses.of(trunk.name), self._lines[trunk.name]
        if address is None:
            line.up = False
            self._line_changed(line, False, "no address")
            return
        keeper = self._keepers[trunk.name] = LineKeeper(
            line,
            address,
            transactions=self.transactions,
            here=self.here,
            credentials=credentials_of(trunk),
            tell=self._line_changed,
            unanswered=lambda: self._addresses.unanswered(trunk.name),
        )
        keeper.start()
        if line.up and self._started:
            self._line_changed(line, True, "its host name has an address now")

    def _trunk_moved(self, name: str) -> None:
        if not self._started or self._closing:
            return
        keeper, address = self._keepers.get(name), self._addresses.of(name)
        if keeper is None:
            self._begin_line(self._lines[name].settings)
        elif address is not None:
            keeper.move(address)

    async def _await_registrations(self) -> None:
        """Trunks that register are up once they have; give them a moment, not more."""
        patience = time.monotonic() + min(_REGISTRATION_PATIENCE, self.transactions.lifetime)
        registering = [keeper.line for keeper in self._keepers.values() if keeper.line.settings.registers]
        while any(not line.up for line in registering) and time.monotonic() < patience:  # noqa: ASYNC110  # once, at start
            await asyncio.sleep(0.01)

    def _line_changed(self, line: Line, up: bool, detail: str) -> None:
        self.tell(TrunkState(at=self.clock.now(), trunk=line.name, up=up, detail=detail))

    async def abandon(self) -> None:
        """Undo a start that failed half-way."""
        if hasattr(self, "_addresses"):
            self._addresses.close()
        self.transactions.close()
        self._socket.close()

    async def close(self, patience: float) -> None:
        """End every leg, wait for the far sides up to ``patience`` seconds, take registrations back."""
        self._closing = True
        self._addresses.close()
        deadline = time.monotonic() + patience
        for leg in list(self._legs.values()):
            leg.hang_up(HangupCause.ENGINE_SHUTDOWN, Origin.NEAR)
        waiting = set(self._keepers)
        for name, keeper in self._keepers.items():
            keeper.close(partial(waiting.discard, name))
        while (self._legs or waiting or self._journal.has_open) and time.monotonic() < deadline:  # noqa: ASYNC110  # once, at the end
            await asyncio.sleep(0.01)
        for leg in list(self._legs.values()):
            leg.give_up(HangupCause.ENGINE_SHUTDOWN)
        self._registrar.close()
        self.transactions.close()
        self._journal.close()
        self._socket.close()
        await asyncio.sleep(0)

    # Verbs

    def seize(self, order: CallOrder) -> Route | float:
        return self._routing.seize(order)

    def unseize(self, route: Route) -> None:
        self._routing.unseize(route)

    def next_route(self, order: CallOrder, tried: frozenset[str]) -> Route | None:
        return self._routing.next_route(order, tried)

    async def route_to_desk(self, order: DeskOrder) -> Route:
        return await self._routing.route_to_desk(order)

    def dial(self, leg_id: LegId, order: CallOrder | DeskOrder, route: Route, host: str, port: int) -> None:
        leg = Leg(self, leg_id, order, host, port)
        self._legs[leg_id] = leg
        if isinstance(order, DeskOrder):
            self.gate.trust(route.address[0])
            self._desk_hosts[leg_id] = route.address[0]
        leg.dial(route)

    def hang_up(self, leg_id: LegId, cause: HangupCause, origin: Origin) -> None:
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.hang_up(cause, origin)

    def hang_up_all(self, cause: HangupCause) -> None:
        for leg in list(self._legs.values()):
            leg.hang_up(cause, Origin.ENGINE)

    def hold(self, leg_id: LegId, on: bool) -> None:
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.hold(on)

    # What legs need (leg.Exchange)

    def emit(self, event: LegEvent) -> None:
        self.tell(event)

    def media(self, leg: LegId, agreed: Agreed, media_hosts: tuple[str, ...]) -> None:
        self.tell(MediaAgreed(leg, agreed, media_hosts))

    def answered(self, leg: LegId) -> None:
        self.tell(AudioExpected(leg))

    def pause(self, line: Line, seconds: float) -> None:
        seconds = min(seconds, LONGEST_PAUSE)
        log.warning("trunk %s: asked us to wait %.0f s", line.name, seconds)
        line.paused_until = max(line.paused_until, time.monotonic() + seconds)
        self._line_changed(line, False, f"asked us to wait {seconds:.0f} s")
        self.transactions.timers.call_later(seconds, partial(self._pause_over, line))

    def _pause_over(self, line: Line) -> None:
        if line.up and time.monotonic() >= line.paused_until - 0.05 and not self._closing:
            self._line_changed(line, True, "the wait it asked for is over")

    def silent(self, line: Line) -> None:
        keeper = self._keepers.get(line.name)
        if keeper is not None:
            keeper.no_answer()

    def journal_dialed(self, leg: Leg, request: Request, route: Route) -> None:
        self._journal.record(
            OpenCall(
                leg=leg.id,
                call_id=leg.call_id,
                trunk=route.trunk,
                host=route.address[0],
                port=route.address[1],
                uri=request.uri,
                headers=[list(pair) for pair in request.headers if pair[0] in _JOURNALED],
            )
        )

    def journal_answered(self, leg: Leg, dialog: Dialog, route: Route) -> None:
        self._journal.record(
            OpenCall(
                leg=leg.id,
                call_id=leg.call_id,
                trunk=route.trunk,
                host=dialog.next_hop[0],
                port=dialog.next_hop[1],
                uri=dialog.remote_target.text,
                headers=[["from", dialog.local], ["call-id", dialog.call_id]],
                answered=True,
                remote=dialog.remote,
                routes=list(dialog.route_set),
                target=dialog.remote_target.text,
                cseq=dialog.local_cseq,
            )
        )

    def journal_ended(self, leg: LegId) -> None:
        self._journal.end(leg)

    def adopt(self, conversation: Conversation) -> None:
        self._dialogs.adopt(conversation)

    def release(self, conversation: Conversation) -> None:
        self._dialogs.release(conversation)

    def ended(self, leg: Leg) -> None:
        self._legs.pop(leg.id, None)
        host = self._desk_hosts.pop(leg.id, None)
        if host is not None:
            self._dialogs.distrust_later(host)

    # Calls an earlier process left open

    def _end_orphan(self, call: OpenCall) -> None:
        if not is_address(call.host):
            self._journal.end(call.leg)
            return
        self.gate.trust(call.host)
        self._dialogs.distrust_later(call.host)
        trunk = next((trunk for trunk in self.settings.trunks if trunk.name == call.trunk), None)
        credentials = credentials_of(trunk) if trunk else Credentials(None, None)
        end_orphan(call, self.transactions, self.here, credentials, lambda: self._journal.end(call.leg))
        log.warning("leg %s: left open by an earlier process; %s sent", call.leg, "BYE" if call.answered else "CANCEL")
        self.tell(
            LegEnded(
                at=self.clock.now(),
                leg=LegId(call.leg),
                call_id=CallId(call.call_id) if call.call_id else None,
                origin=Origin.ENGINE,
                cause=HangupCause.ORPHANED,
                sip_status=200 if call.answered else None,
                answered=call.answered,
                trunk=call.trunk,
            )
        )


_JOURNALED = frozenset({"via", "from", "to", "call-id", "cseq", "route"})
