"""One dialog of a call: requests inside it both ways, offers and answers, hold, session timer (RFC 4028), BYE."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from case_store.network import HangupCause
from dialer.engines.sip import sdp
from dialer.engines.sip.causes import Release, reason_header, released
from dialer.engines.sip.dialog import ALLOW, KNOWN_METHODS, SUPPORTED, Dialog
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.message import Request, Response, respond
from dialer.engines.sip.sdp import Agreed, Ours, SdpTrouble
from dialer.engines.sip.transactions import InviteClient, Pending, Server, Transactions

log = logging.getLogger(__name__)

SHORTEST_SESSION = 90  # RFC 4028 5: Min-SE


class ConversationUser(Protocol):
    """Whoever the dialog belongs to (the leg)."""

    def media_agreed(self, conversation: Conversation, agreed: Agreed) -> None: ...
    def held(self, conversation: Conversation, on: bool) -> None: ...
    def digit(self, conversation: Conversation, digit: str, milliseconds: int) -> None: ...
    def far_hung_up(self, conversation: Conversation, release: Release, reason: str) -> None: ...
    def lost(self, conversation: Conversation, cause: HangupCause) -> None:
        """The dialog is gone or must go (no ACK, 481, no refresh); ``bye`` was sent where it makes sense."""


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """RFC 4028: the interval in seconds and whether we refresh."""

    interval: int
    we_refresh: bool

    @property
    def refresh_after(self) -> float:
        return self.interval / 2

    @property
    def expires_after(self) -> float:
        """Section 10: BYE a little before the interval is over."""
        return self.interval - min(32.0, self.interval / 3)


def session_terms(message: Request | Response, *, we_asked: bool) -> SessionTerms | None:
    """What a 2xx to us (``we_asked``) or a request to us says of the session timer; None: no timer."""
    interval = message.number("session-expires")
    if not interval:
        return None
    refresher = ""
    for part in (message.first("session-expires") or "").split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "refresher":
            refresher = value.strip().lower()
    uac_refreshes = refresher != "uas"
    return SessionTerms(interval=interval, we_refresh=uac_refreshes == we_asked)


def unsupported_method(request: Request) -> Response:
    """RFC 3261 8.2.1 and 21.5.2: 405 for a method we know and do not do, 501 for one we never heard of."""
    known = request.method in KNOWN_METHODS
    refusal = respond(request, *((405, "Method Not Allowed") if known else (501, "Not Implemented")))
    refusal.headers.append(("allow", ALLOW))
    return refusal


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
    terms: SessionTerms | None = None
    _ours_pending: InviteClient | None = None
    _theirs_pending: Server | None = None
    _offered: Ours | None = None
    _timers: dict[str, Pending] = field(default_factory=dict)

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
        body: str = "",
        again: bool = True,
    ) -> None:
        """A request other than INVITE; ``on_final`` gets the final response, or None on a time-out."""
        extra = [*(headers or []), *self.credentials.answer(method, self.dialog.remote_target.text)]
        request = self.dialog.request(method, headers=extra, body=body)

        def on_response(response: Response) -> None:
            if response.status < 200:
                return
            if response.status in (401, 407) and again and self.credentials.learn(response):
                self._send(method, on_final, headers=headers, body=body, again=False)
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
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def hold(self, on: bool, on_done: Callable[[bool], None]) -> None:
        """re-INVITE with sendonly, or sendrecv again; ``on_done`` says whether the far side took it."""
        self._reinvite(self.ours.next_version(hold=on), on_done)

    def _reinvite(self, ours: Ours, on_done: Callable[[bool], None], *, auth_again: bool = True) -> None:
        if self.closed:
            return
        if self._ours_pending is not None or self._theirs_pending is not None:
            self._later(lambda: self._reinvite(ours, on_done))
            return
        uri = self.dialog.remote_target.text
        headers = [*self._session_headers(), *self.credentials.answer("INVITE", uri)]
        request = self.dialog.request("INVITE", headers=headers, body=sdp.offer(ours))
        self.dialog.credentials = [pair for pair in headers if "authorization" in pair[0]]

        def on_response(response: Response) -> None:
            if response.status < 200:
                return
            if response.status < 300:
                self._send_ack(request.cseq[0])
                if self._ours_pending is client:
                    self._ours_pending = None
                    self._reinvite_accepted(response, ours, on_done)
                return
            self._ours_pending = None
            self._reinvite_refused(response, ours, on_done, auth_again)

        def on_timeout() -> None:
            self._ours_pending = None
            self._dead(HangupCause.SESSION_EXPIRED)

        client = self.transactions.invite(request, self.dialog.next_hop, on_response, on_timeout)
        self._ours_pending = client

    def _send_ack(self, cseq: int, body: str = "") -> None:
        self.transactions.send(self.dialog.ack(cseq, body=body).render(), self.dialog.next_hop)

    def _reinvite_accepted(self, response: Response, ours: Ours, on_done: Callable[[bool], None]) -> None:
        if self.closed:
            return
        self.dialog.refresh_target(response)
        self.ours = ours
        self._session_from(response, we_asked=True)
        on_done(not response.body or self.take_answer(response.body))

    def _reinvite_refused(
        self, response: Response, ours: Ours, on_done: Callable[[bool], None], auth_again: bool
    ) -> None:
        if self.closed:
            return
        if response.status == 491:
            self._later(lambda: self._reinvite(ours, on_done))
        elif response.status in (401, 407) and auth_again and self.credentials.learn(response):
            self._reinvite(ours, on_done, auth_again=False)
        elif response.status == 422 and (shortest := response.number("min-se")) and auth_again:
            self.session_expires = max(self.session_expires, shortest)
            self._reinvite(ours, on_done, auth_again=False)
        elif response.status in (408, 481):
            self._dead(HangupCause.SESSION_EXPIRED)
        else:
            on_done(False)

    def _later(self, action: Callable[[], None]) -> None:
        """RFC 3261 14.1: after a glare the owner of the Call-ID waits 2.1 to 4 s (counted in T1s: 4.2 to 8)."""
        wait = self.transactions.t1 * random.uniform(4.2, 8.0)  # noqa: S311  # spreads retries, keeps no secret
        self._start("glare", wait, action)

    def _dead(self, cause: HangupCause) -> None:
        if not self.closed:
            self.user.lost(self, cause)

    # Session timer and keep-alive

    def session_from_answer(self, response: Response) -> None:
        """The 2xx of the first INVITE."""
        self._session_from(response, we_asked=True)
        if self.terms is None and self.keep_alive > 0:
            self._start("alive", self.keep_alive, self._ask_alive)

    def _session_from(self, message: Request | Response, *, we_asked: bool) -> None:
        terms = session_terms(message, we_asked=we_asked)
        if terms is None and self.terms is None:
            return
        self.terms = terms or self.terms
        assert self.terms is not None
        if self.terms.we_refresh:
            self._start("refresh", self.terms.refresh_after, self._refresh)
        else:
            self._stop("refresh")
        self._start("expiry", self.terms.expires_after, lambda: self._dead(HangupCause.SESSION_EXPIRED))

    def _session_headers(self) -> list[tuple[str, str]]:
        headers = [("supported", SUPPORTED)]
        if self.terms is not None:
            refresher = "uac" if self.terms.we_refresh else "uas"
            interval = max(self.terms.interval, self.session_expires if self.terms.we_refresh else 0)
            headers.append(("session-expires", f"{interval};refresher={refresher}"))
        return headers

    def _refresh(self) -> None:
        if self.dialog.allow_update:
            self._send("UPDATE", self._refreshed, headers=self._session_headers())
        else:
            self._reinvite(self.ours, lambda _taken: None)

    def _refreshed(self, response: Response | None) -> None:
        if self.closed:
            return
        if response is None or response.status in (408, 481):
            self._dead(HangupCause.SESSION_EXPIRED)
        elif response.status < 300:
            self.dialog.refresh_target(response)
            self._session_from(response, we_asked=True)
        elif response.status in (405, 501):
            self.dialog.allow_update = False
            self._refresh()
        elif response.status == 422 and (shortest := response.number("min-se")) and self.terms is not None:
            self.session_expires = max(self.session_expires, shortest)
            self._refresh()
        elif response.status == 491:
            self._later(self._refresh)

    def _ask_alive(self) -> None:
        self._send("OPTIONS", self._alive_or_not)

    def _alive_or_not(self, response: Response | None) -> None:
        if self.closed:
            return
        if response is None or response.status in (408, 481):
            self._dead(HangupCause.SESSION_EXPIRED)
        else:
            self._start("alive", self.keep_alive, self._ask_alive)

    def _start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._stop(name)
        if not self.closed:
            self._timers[name] = self.transactions.timers.call_later(seconds, action)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    # Requests of theirs

    def receive(self, request: Request, server: Server) -> None:
        if self.closed:
            server.respond(respond(request, 481, "Call/Transaction Does Not Exist"))
            return
        if not self.dialog.accepts(request):
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
        elif request.method in ("INVITE", "UPDATE") and self._too_short(request):
            refusal = respond(request, 422, "Session Interval Too Small")
            refusal.headers.append(("min-se", str(SHORTEST_SESSION)))
            server.respond(refusal)
        else:
            handler(request, server)

    def _too_short(self, request: Request) -> bool:
        """RFC 4028 9: below our Min-SE (and below what runs already), from a peer that understands 422."""
        interval = request.number("session-expires")
        least = SHORTEST_SESSION if self.terms is None else min(SHORTEST_SESSION, self.terms.interval)
        return interval is not None and interval < least and "timer" in request.tokens("supported")

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
        """Some gateways send keys as INFO application/dtmf-relay instead of RFC 4733."""
        server.respond(respond(request, 200, "OK"))
        if (request.first("content-type") or "").lower().startswith("application/dtmf-relay"):
            fields = dict(line.partition("=")[::2] for line in request.body.splitlines() if "=" in line)
            signal, duration = fields.get("Signal", "").strip(), fields.get("Duration", "").strip()
            if len(signal) == 1 and signal in "0123456789*#ABCD":
                known = duration.isascii() and duration.isdigit() and len(duration) < 6
                self.user.digit(self, signal, int(duration) if known else 100)

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
        if self._ours_pending is not None and request.body:
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
        try:
            theirs = sdp.parse(request.body)
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
        self._session_from(request, we_asked=False)

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
        if self._offered is not None:
            self._offered = None
            if not ack.body or not self.take_answer(ack.body):
                self._dead(HangupCause.INCOMPATIBLE)
