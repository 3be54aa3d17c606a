"""One dialog of a call: requests inside it both ways, offers and answers, hold, BYE."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from case_store.network import HangupCause
from dialer.engines.sip import sdp
from dialer.engines.sip.bodies import kind_of
from dialer.engines.sip.causes import Release, reason_header, released
from dialer.engines.sip.dialog import ALLOW, KNOWN_METHODS, SUPPORTED, Dialog
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.message import Request, Response, respond
from dialer.engines.sip.sdp import Agreed, Ours, SdpTrouble
from dialer.engines.sip.session_timer import SHORTEST_SESSION, SessionTimer, session_terms
from dialer.engines.sip.transactions import InviteClient, Pending, Server, Transactions

log = logging.getLogger(__name__)

KEYS = "0123456789*#ABCD"


class ConversationUser(Protocol):
    """Whoever the dialog belongs to (the leg)."""

    def media_agreed(self, conversation: Conversation, agreed: Agreed) -> None: ...
    def held(self, conversation: Conversation, on: bool) -> None: ...
    def digit(self, conversation: Conversation, digit: str, milliseconds: int) -> None: ...
    def far_hung_up(self, conversation: Conversation, release: Release, reason: str) -> None: ...
    def lost(self, conversation: Conversation, cause: HangupCause) -> None:
        """The dialog is gone or must go (no ACK, 481, no refresh); ``bye`` was sent where it makes sense."""


def unsupported_method(request: Request) -> Response:
    """RFC 3261 8.2.1 and 21.5.2: 405 for a method we know and do not do, 501 for one we never heard of."""
    known = request.method in KNOWN_METHODS
    refusal = respond(request, *((405, "Method Not Allowed") if known else (501, "Not Implemented")))
    refusal.headers.append(("allow", ALLOW))
    return refusal


def key_of(info: Request) -> tuple[str, int] | None:
    """The key an INFO tells and its milliseconds (100 where it names none), or None."""
    kind = kind_of(info.first("content-type"))
    if kind == "application/dtmf-relay":
        fields = {name.strip().lower(): value.strip() for name, _, value in _pairs(info.body)}
        signal, duration = fields.get("signal", ""), fields.get("duration", "")
    elif kind == "application/dtmf":
        signal, duration = info.body.strip(), ""
    else:
        return None
    signal = {"10": "*", "11": "#"}.get(signal, signal.upper())
    known = duration.isascii() and duration.isdigit() and len(duration) < 6
    return (signal, int(duration) if known else 100) if len(signal) == 1 and signal in KEYS else None


def _pairs(body: str) -> list[tuple[str, str, str]]:
    return [line.partition("=") for line in body.splitlines()]


@dataclass(slots=True)
class Conversation:
    dialog: Dialog
    credentials: Credentials
    ours: Ours
    transactions: Transactions
    user: ConversationUser
    session_expires: int = 0
    keep_alive: float = 0.0  # OPTIONS inside the dialog, where no session timer runs; 0: none
    agreed: Agreed | None = None
    confirmed: bool = False
    closed: bool = False
    far_holds: bool = False
    timer: SessionTimer = field(init=False)
    _ours_pending: InviteClient | None = None
    _theirs_pending: Server | None = None
    _offered: Ours | None = None
    _glare: Pending | None = None
    _overdue: Pending | None = None

    def __post_init__(self) -> None:
        self.timer = SessionTimer(
            session=self,
            timers=self.transactions.timers,
            t1=self.transactions.t1,
            asked=self.session_expires,
            keep_alive=self.keep_alive,
        )

    # Offers and answers

    def take_answer(self, text: str) -> bool:
        """The answer to our offer. False when there is no codec in common or it cannot be read."""
        try:
            theirs = sdp.parse(text)
        except SdpTrouble as error:
            log.warning("an answer was no use: %s", error.problem)
            return False
        agreed = sdp.agree(theirs, self.ours, answering=False)
        if agreed is None:
            return False
        self._settle(agreed, theirs.on_hold)
        return True

    def _settle(self, agreed: Agreed, on_hold: bool) -> None:
        if agreed != self.agreed:
            self.agreed = agreed
            self.user.media_agreed(self, agreed)
        if on_hold != self.far_holds and self.confirmed:
            self.far_holds = on_hold
            self.user.held(self, on_hold)

    # Requests of ours

    def _send(
        self,
        method: str,
        on_final: Callable[[Response | None], None],
        *,
        headers: list[tuple[str, str]] | None = None,
        again: bool = True,
    ) -> None:
        """A request other than INVITE; ``on_final`` gets the final response, or None on a time-out."""
        extra = [*(headers or []), *self.credentials.answer(method, self.dialog.request_uri)]
        request = self.dialog.request(method, headers=extra)

        def on_response(response: Response) -> None:
            if response.status < 200:
                return
            if response.status in (401, 407) and again and self.credentials.learn(response):
                self._send(method, on_final, headers=headers, again=False)
            else:
                on_final(response)

        self.transactions.request(request, self.dialog.next_hop, on_response, lambda: on_final(None))

    def prack(self, rseq: int, on_final: Callable[[Response | None], None]) -> None:
        """RFC 3262 7.2: acknowledge a reliable provisional response."""
        self._send("PRACK", on_final, headers=[("rack", f"{rseq} {self.dialog.invite_cseq} INVITE")])

    def bye(self, cause: HangupCause, on_done: Callable[[], None] = lambda: None) -> None:
        """End the dialog; ``on_done`` once the far side confirmed it or 64 T1 passed."""
        self.close()
        self._send("BYE", lambda _response: on_done(), headers=[("reason", reason_header(cause))])

    def close(self) -> None:
        self.closed = True
        self.timer.stop()
        for waiting in (self._glare, self._overdue):
            if waiting is not None:
                waiting.cancel()
        if self._ours_pending is not None:
            self._ours_pending.cancel()  # or it would wait for its answer for ever

    def hold(self, on: bool, on_done: Callable[[bool], None]) -> None:
        """re-INVITE with sendonly, or sendrecv again; ``on_done`` says whether the far side took it."""
        self._reinvite(on, on_done)

    def _reinvite(self, hold: bool | None, on_done: Callable[[bool], None], *, auth_again: bool = True) -> None:
        """``hold`` None: nothing changes, the session is only refreshed."""
        if self.closed:
            return
        if self._ours_pending is not None or self._theirs_pending is not None:
            self._later(lambda: self._reinvite(hold, on_done))
            return
        ours = self.ours if hold is None else self.ours.next_version(hold=hold)
        body = sdp.offer(ours)
        headers = [*self.timer.headers(), *self.credentials.answer("INVITE", self.dialog.request_uri, body)]
        request = self.dialog.request("INVITE", headers=headers, body=body)
        self.dialog.credentials = [pair for pair in headers if "authorization" in pair[0]]

        def on_response(response: Response) -> None:
            if response.status < 200:
                return
            if response.status < 300:
                self._send_ack(request.cseq[0])
            if self._ours_pending is not client:
                return
            self._no_longer_pending()
            if response.status < 300:
                self._reinvite_accepted(response, ours, on_done)
            else:
                self._reinvite_refused(response, hold, on_done, auth_again)

        def on_timeout() -> None:
            self._no_longer_pending()
            self._dead(HangupCause.SESSION_EXPIRED)

        client = self.transactions.invite(request, self.dialog.next_hop, on_response, on_timeout)
        self._ours_pending = client
        # A far side that says 100 and nothing more would otherwise be waited for until the end of the call.
        self._overdue = self.transactions.timers.call_later(self.transactions.lifetime, client.cancel)

    def _no_longer_pending(self) -> None:
        self._ours_pending = None
        if self._overdue is not None:
            self._overdue.cancel()

    def _send_ack(self, cseq: int, body: str = "") -> None:
        self.transactions.send(self.dialog.ack(cseq, body=body).render(), self.dialog.next_hop)

    def _reinvite_accepted(self, response: Response, ours: Ours, on_done: Callable[[bool], None]) -> None:
        if self.closed:
            return
        self.dialog.refresh_target(response)
        self.ours = ours
        self.timer.take(response, we_asked=True)
        on_done(not response.description or self.take_answer(response.description))

    def _reinvite_refused(
        self, response: Response, hold: bool | None, on_done: Callable[[bool], None], auth_again: bool
    ) -> None:
        if self.closed:
            return
        if response.status == 491:
            self._later(lambda: self._reinvite(hold, on_done))
        elif (response.status in (401, 407) and auth_again and self.credentials.learn(response)) or (
            response.status == 422 and self.timer.accept_longer(response)
        ):
            self._reinvite(hold, on_done, auth_again=False)
        elif response.status in (408, 481):
            self._dead(HangupCause.SESSION_EXPIRED)
        else:
            on_done(False)

    def _later(self, action: Callable[[], None]) -> None:
        """RFC 3261 14.1: after a glare the owner of the Call-ID waits 2.1 to 4 s (counted in T1s: 4.2 to 8)."""
        wait = self.transactions.t1 * random.uniform(4.2, 8.0)  # noqa: S311  # spreads retries, keeps no secret
        if self._glare is not None:
            self._glare.cancel()
        if not self.closed:
            self._glare = self.transactions.timers.call_later(wait, action)

    def _dead(self, cause: HangupCause) -> None:
        if not self.closed:
            self.user.lost(self, cause)

    # What the session timer asks for

    def session_from_answer(self, response: Response) -> None:
        """The 2xx of the first INVITE."""
        self.timer.begin(response)

    @property
    def takes_updates(self) -> bool:
        return self.dialog.allow_update

    def refresh_by_update(self, headers: list[tuple[str, str]], on_final: Callable[[Response | None], None]) -> None:
        self._send("UPDATE", on_final, headers=headers)

    def refresh_by_reinvite(self) -> None:
        self._reinvite(None, lambda _taken: None)

    def refresh_target(self, response: Response) -> None:
        self.dialog.refresh_target(response)

    def ask_alive(self, on_final: Callable[[Response | None], None]) -> None:
        self._send("OPTIONS", on_final)

    def expired(self) -> None:
        self._dead(HangupCause.SESSION_EXPIRED)

    # Requests of theirs

    def receive(self, request: Request, server: Server) -> None:
        if self.closed:
            server.respond(respond(request, 481, "Call/Transaction Does Not Exist"))
            return
        if not self.dialog.accepts(request) and request.method != "BYE":
            # A BYE is heeded whatever its number: who sent it has hung up, and nothing in the call comes after it.
            server.respond(respond(request, 500, "CSeq out of order"))
            return
        handlers: dict[str, Callable[[Request, Server], None]] = {
            "BYE": self._on_bye,
            "INVITE": self._on_reinvite,
            "UPDATE": self._on_update,
            "INFO": self._on_info,
            "OPTIONS": self._on_harmless,
            "NOTIFY": self._on_harmless,
        }
        handler = handlers.get(request.method)
        if handler is None:
            server.respond(unsupported_method(request))
        elif request.method in ("INVITE", "UPDATE") and self.timer.too_short(request):
            refusal = respond(request, 422, "Session Interval Too Small")
            refusal.headers.append(("min-se", str(SHORTEST_SESSION)))
            server.respond(refusal)
        else:
            handler(request, server)

    def _on_harmless(self, request: Request, server: Server) -> None:
        response = respond(request, 200, "OK")
        response.headers += [("allow", ALLOW), ("supported", SUPPORTED)]
        server.respond(response)

    def _on_bye(self, request: Request, server: Server) -> None:
        server.respond(respond(request, 200, "OK"))
        self.close()
        reasons = request.values("reason")
        self.user.far_hung_up(self, released(reasons), reasons[0] if reasons else "")

    def _on_info(self, request: Request, server: Server) -> None:
        """Some gateways send keys as INFO instead of RFC 4733: application/dtmf-relay, or application/dtmf."""
        server.respond(respond(request, 200, "OK"))
        key = key_of(request)
        if key is not None:
            self.user.digit(self, *key)

    def _on_reinvite(self, request: Request, server: Server) -> None:
        if self._ours_pending is not None or not self.confirmed:
            server.respond(respond(request, 491, "Request Pending"))
        elif self._theirs_pending is not None:
            busy = respond(request, 500, "Previous INVITE not acknowledged")
            busy.headers.append(("retry-after", "3"))
            server.respond(busy)
        else:
            self._answer_offer(request, server)

    def _on_update(self, request: Request, server: Server) -> None:
        unanswered = self._ours_pending is not None or (self.agreed is None and not self.confirmed)
        if unanswered and request.body:  # RFC 3311 5.2: our own offer comes first
            server.respond(respond(request, 491, "Request Pending"))
        elif request.body:
            self._answer_offer(request, server)
        else:
            self.dialog.refresh_target(request)
            self._accept(request, server, "")

    def _answer_offer(self, request: Request, server: Server) -> None:
        if not request.body:
            self._offered = self.ours
            self.dialog.refresh_target(request)
            self._accept(request, server, sdp.offer(self.ours))
            return
        if not request.description:
            refusal = respond(request, 415, "Unsupported Media Type")
            refusal.headers.append(("accept", sdp.CONTENT_TYPE))
            server.respond(refusal)
            return
        try:
            theirs = sdp.parse(request.description)
        except SdpTrouble as error:
            log.warning("a re-INVITE's description was no use: %s", error.problem)
            server.respond(respond(request, 488, "Not Acceptable Here"))
            return
        ours = self.ours.next_version(hold=self.ours.hold)
        agreed = sdp.agree(theirs, ours, answering=True)
        if agreed is None:
            refusal = respond(request, 488, "Not Acceptable Here")
            refusal.headers.append(("warning", f'305 {self.dialog.here.host} "G.711 only"'))
            server.respond(refusal)
            return
        self.dialog.refresh_target(request)
        self.ours = ours
        self._accept(request, server, sdp.answer(ours, theirs, agreed))
        self._settle(agreed, theirs.on_hold)

    def _accept(self, request: Request, server: Server, body: str) -> None:
        response = respond(request, 200, "OK")
        response.headers += [("contact", self.dialog.here.contact(self.dialog.user)), ("allow", ALLOW)]
        response.headers += [("supported", SUPPORTED), ("user-agent", self.dialog.here.user_agent)]
        terms = session_terms(request, we_asked=False)
        if terms is not None and "timer" in request.tokens("supported") | request.tokens("require"):
            refresher = "uas" if terms.we_refresh else "uac"
            response.headers.append(("session-expires", f"{terms.interval};refresher={refresher}"))
            if not terms.we_refresh:
                response.headers.append(("require", "timer"))
        if body:
            response.headers.append(("content-type", sdp.CONTENT_TYPE))
            response.body = body
        if request.method == "INVITE":
            self._theirs_pending = server
            server.respond(response, self._never_acknowledged)
        else:
            server.respond(response)
        self.timer.take(request, we_asked=False)

    def _never_acknowledged(self) -> None:
        """RFC 3261 13.3.1.4: no ACK for our 200 in 64 T1: the dialog stands, the session does not: BYE."""
        self._theirs_pending = None
        self._dead(HangupCause.SESSION_EXPIRED)

    def acknowledge(self, ack: Request) -> None:
        """The ACK of our 200; with the answer, where our 200 held the offer."""
        if self._theirs_pending is None or self._theirs_pending.request.cseq[0] != ack.cseq[0]:
            return
        self._theirs_pending.stop_repeating()
        self._theirs_pending = None
        if self._offered is None:
            return
        self._offered = None
        if not ack.description:
            log.warning("an offer of ours was acknowledged without an answer; what was agreed before stands")
        elif not self.take_answer(ack.description):
            self._dead(HangupCause.INCOMPATIBLE)
