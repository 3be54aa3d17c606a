"""What lives in the signalling thread: the socket, the trunks, the desks and every leg. Called only there."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from case_store.network import HangupCause
from config.clock import Clock
from config.errors import BadInput, describe_shape
from config.settings import Settings, TrunkSettings
from dialer.call import CallId, CallOrder, DeskOrder, LegId
from dialer.engine import EngineFull, EngineUnhealthy
from dialer.engines.sip.conversation import Conversation, unsupported_method
from dialer.engines.sip.dialog import ALLOW, SUPPORTED, Dialog, Here, is_address
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.journal import Journal, OpenCall
from dialer.engines.sip.leg import DESK, Leg, Route
from dialer.engines.sip.line import LineKeeper
from dialer.engines.sip.message import (
    Request,
    Response,
    respond,
)
from dialer.engines.sip.orphan import end_orphan
from dialer.engines.sip.registrar import Registrar
from dialer.engines.sip.sdp import Agreed
from dialer.engines.sip.transactions import Server, Transactions
from dialer.engines.sip.transport import Gate, SipSocket, resolve
from dialer.engines.sip.trunks import Line, Lines, dialed
from dialer.engines.sip.uri import Address, MalformedMessage, read_name_address, read_uri
from dialer.events import LegEnded, LegEvent, Origin, TrunkState

log = logging.getLogger(__name__)

_KNOWN_EXTENSIONS = frozenset(SUPPORTED.split(", "))
_DESK_SESSION_SECONDS = 1800
_REGISTRATION_PATIENCE = 5.0
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # compared, not bound


@dataclass(frozen=True, slots=True)
class MediaAgreed:
    """The relay should speak to this address from now on."""

    leg: LegId
    agreed: Agreed
    media_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AudioExpected:
    leg: LegId


News = LegEvent | TrunkState | MediaAgreed | AudioExpected


@dataclass(slots=True)
class _Adopted:
    conversation: Conversation
    host: str


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
    _lines: Lines = field(init=False)
    _journal: Journal = field(init=False)
    _addresses: dict[str, Address] = field(default_factory=dict)
    _keepers: dict[str, LineKeeper] = field(default_factory=dict)
    _credentials: dict[str, Credentials] = field(default_factory=dict)
    _legs: dict[LegId, Leg] = field(default_factory=dict)
    _desk_hosts: dict[LegId, str] = field(default_factory=dict)
    _talks: dict[tuple[str, str, str], _Adopted] = field(default_factory=dict)
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
            on_request=self._on_request,
            on_stray_ack=self._on_ack,
        )
        await loop.create_datagram_endpoint(lambda: self._socket, local_addr=(sip.bind_host, sip.bind_port))
        try:
            await self._begin()
        except BaseException:
            await self.abandon()
            raise

    async def _begin(self) -> None:
        sip, loop = self.settings.sip, asyncio.get_running_loop()
        await self._resolve_trunks()
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
        self._journal = Journal(sip.journal)
        for call in self._journal.start():
            self._end_orphan(call)
        for keeper in self._keep_lines():
            keeper.start()
        await self._await_registrations()

    async def _resolve_trunks(self) -> None:
        for trunk in self.settings.trunks:
            host = await resolve(trunk.host)
            if host is None:
                log.error("trunk %s: its host name has no address", trunk.name)
                self._lines[trunk.name].up = False
                self.tell(TrunkState(at=self.clock.now(), trunk=trunk.name, up=False, detail="no address"))
                continue
            self._addresses[trunk.name] = (host, trunk.port)
            self.gate.trust(host)
        self.gate.trust_networks(network for trunk in self.settings.trunks for network in trunk.signalling_hosts)

    def _own_host(self) -> str:
        sip = self.settings.sip
        if sip.public_host:
            return sip.public_host
        if sip.bind_host not in _WILDCARDS:
            return sip.bind_host
        target = next(iter(self._addresses.values()), ("192.0.2.1", 5060))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(target)
                return str(probe.getsockname()[0])
            except OSError:
                return "127.0.0.1"

    def _keep_lines(self) -> list[LineKeeper]:
        for trunk in self.settings.trunks:
            password = trunk.password.get_secret_value() if trunk.password else None
            self._credentials[trunk.name] = Credentials(trunk.username, password)
            if trunk.name in self._addresses:
                self._keepers[trunk.name] = LineKeeper(
                    self._lines[trunk.name],
                    self._addresses[trunk.name],
                    transactions=self.transactions,
                    here=self.here,
                    credentials=Credentials(trunk.username, password),
                    tell=self._line_changed,
                )
        return list(self._keepers.values())

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
        self.transactions.close()
        self._socket.close()

    async def close(self, patience: float) -> None:
        """End every leg, wait for the far sides up to ``patience`` seconds, take registrations back."""
        self._closing = True
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
        """A trunk with a free channel, seized; or the seconds until one may be dialed. Raises EngineFull/Unhealthy."""
        now = time.monotonic()
        unknown = [name for name in order.trunks if name not in self._lines]
        if unknown:
            raise BadInput("the order names a trunk that is not in settings", remedy="correct it", field="trunks")
        route = self.next_route(order, frozenset())
        if route is not None:
            return route
        wait = self._lines.wait_for_pace(order.trunks, now)
        if wait is not None:
            return wait
        standings = {line.standing(now).value for line in self._lines.allowed(order.trunks)}
        if "full" in standings:
            raise EngineFull("every channel of the trunks is busy", remedy="place the call when one ends")
        raise EngineUnhealthy(
            f"no trunk can be dialed ({', '.join(sorted(standings)) or 'none configured'})",
            remedy="look at the trunks' states; a paused one comes back by itself",
        )

    def unseize(self, route: Route) -> None:
        if route.line is not None:
            route.line.release()

    def next_route(self, order: CallOrder, tried: frozenset[str]) -> Route | None:
        line = self._lines.choose(order.trunks, time.monotonic(), random.random, tried=tried)
        if line is None:
            return None
        route = self._route_over(line, order)
        line.seize(time.monotonic())
        return route

    def _route_over(self, line: Line, order: CallOrder) -> Route:
        trunk = line.settings
        domain = trunk.from_domain or trunk.host
        caller = order.caller_id or trunk.caller_id or trunk.username
        user = quoted_user(caller, trunk) if caller else "anonymous"
        identity = f"<sip:{user}@{domain}>"
        headers = list(order.headers)
        if trunk.asserted_identity and caller:
            headers.append(("p-asserted-identity", identity))
        name = f'"{order.display_name}" ' if order.display_name else ""
        return Route(
            trunk=trunk.name,
            uri=_callee_uri(order.callee, trunk),
            user=trunk.username or "onrecord",
            sender=name + identity,
            address=self._addresses[trunk.name],
            host=trunk.host,
            codecs=trunk.codecs,
            ptime=trunk.ptime,
            session_expires=trunk.session_expires,
            require_100rel=trunk.require_100rel,
            credentials=self._fresh_credentials(trunk),
            headers=tuple((key.lower(), value) for key, value in headers),
            media_hosts=trunk.media_hosts,
            line=line,
        )

    @staticmethod
    def _fresh_credentials(trunk: TrunkSettings) -> Credentials:
        return Credentials(trunk.username, trunk.password.get_secret_value() if trunk.password else None)

    async def route_to_desk(self, order: DeskOrder) -> Route:
        """Raises EngineUnhealthy when the phone is not registered or its host has no address, BadInput."""
        uri, address, registered = order.uri, None, None
        if not uri:
            binding = self._registrar.find(order.desk)
            if binding is None:
                raise EngineUnhealthy("the desk's phone is not registered", remedy="look at the phone's account")
            uri, address = binding.uri, binding.address
            if address != read_uri(uri).address:
                registered = partial(self._registrar.address_of, order.desk, address)
        try:
            target = read_uri(uri)
        except MalformedMessage:
            raise BadInput(
                "the desk's address is no sip: URI",
                remedy="give sip:user@host:port",
                field="uri",
                shape=describe_shape(uri),
            ) from None
        if address is None:
            host = await resolve(target.address[0])
            if host is None:
                raise EngineUnhealthy("the desk's host name has no address", remedy="correct the desk's uri")
            address = (host, target.address[1])
        return Route(
            trunk=DESK,
            uri=target.text,
            user="onrecord",
            sender=f'"onrecord" <sip:onrecord@{self.here.host}>',
            address=address,
            host=target.host,
            codecs=("PCMA", "PCMU"),
            ptime=20,
            session_expires=_DESK_SESSION_SECONDS,
            require_100rel=False,
            credentials=Credentials(order.username, order.password),
            registered=registered,
        )

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
        key = _key_of(conversation)
        old = self._talks.pop(key, None)
        host = conversation.dialog.next_hop[0]
        self.gate.trust(host)
        if old is not None:
            self.gate.distrust(old.host)
        self._talks[key] = _Adopted(conversation, host)

    def release(self, conversation: Conversation) -> None:
        """The dialog is over; its address stays known while retransmissions may come."""
        adopted = self._talks.pop(_key_of(conversation), None)
        if adopted is not None:
            self._distrust_later(adopted.host)

    def ended(self, leg: Leg) -> None:
        self._legs.pop(leg.id, None)
        host = self._desk_hosts.pop(leg.id, None)
        if host is not None:
            self._distrust_later(host)

    def _distrust_later(self, host: str) -> None:
        self.transactions.timers.call_later(self.transactions.lifetime, lambda: self.gate.distrust(host))

    # Requests that others send

    def _on_request(self, request: Request, server: Server) -> None:
        if request.method == "REGISTER":
            if self._registrar.expects_anyone:
                self._registrar.receive(request, server)
            else:
                self._refuse(request, server, 405, "Method Not Allowed")
            return
        unknown = request.tokens("require") - _KNOWN_EXTENSIONS
        if unknown:
            refusal = respond(request, 420, "Bad Extension")
            refusal.headers.append(("unsupported", ", ".join(sorted(unknown))))
            server.respond(refusal)
            return
        adopted = self._talks.get((request.call_id, request.to_tag, request.from_tag))
        if adopted is not None:
            adopted.conversation.receive(request, server)
        elif request.to_tag or request.method in ("BYE", "NOTIFY", "UPDATE", "PRACK", "INFO"):
            self._refuse(request, server, 481, "Call/Transaction Does Not Exist")
        elif request.method == "OPTIONS":
            response = respond(request, 200, "OK")
            response.headers += [("allow", ALLOW), ("accept", "application/sdp"), ("supported", SUPPORTED)]
            server.respond(response)
        elif request.method == "INVITE":
            self._refuse(request, server, 480, "This line takes no calls")
        else:
            server.respond(unsupported_method(request))

    @staticmethod
    def _refuse(request: Request, server: Server, status: int, reason: str) -> None:
        refusal: Response = respond(request, status, reason)
        if status == 405:
            refusal.headers.append(("allow", ALLOW))
        server.respond(refusal)

    def _on_ack(self, ack: Request) -> None:
        adopted = self._talks.get((ack.call_id, ack.to_tag, ack.from_tag))
        if adopted is not None:
            adopted.conversation.acknowledge(ack)

    # Calls an earlier process left open

    def _end_orphan(self, call: OpenCall) -> None:
        if not is_address(call.host):
            self._journal.end(call.leg)
            return
        self.gate.trust(call.host)
        self._distrust_later(call.host)
        trunk = next((trunk for trunk in self.settings.trunks if trunk.name == call.trunk), None)
        credentials = self._fresh_credentials(trunk) if trunk else Credentials(None, None)
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


def _key_of(conversation: Conversation) -> tuple[str, str, str]:
    dialog = conversation.dialog
    return (dialog.call_id, read_name_address(dialog.local).tag or "", dialog.remote_tag)


def quoted_user(caller: str, trunk: TrunkSettings) -> str:
    """The caller ID as the user part of a URI: a number in the trunk's format, or a name as it is."""
    if caller.startswith("+") and caller[1:].isdigit() and trunk.number_format == "digits":
        return caller[1:]
    return caller


def _callee_uri(callee: str, trunk: TrunkSettings) -> str:
    if callee.startswith("sip:"):
        try:
            return read_uri(callee).text
        except MalformedMessage:
            raise BadInput(
                "the callee is no sip: URI", remedy="give sip:user@host", field="callee", shape=describe_shape(callee)
            ) from None
    number = dialed(callee, trunk).replace("#", "%23")
    port = "" if trunk.port == 5060 else f":{trunk.port}"
    return f"sip:{number}@{trunk.host}{port}"
