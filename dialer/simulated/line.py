"""One call as the called side sees it: an INVITE dialog and its sound, as verbs a script can use."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from dialer.simulated.endpoint import T2, Endpoint, Exchange, Headers, target_of
from dialer.simulated.media import Description, MediaClock, MediaPort, NoCodecInCommon, read_description
from dialer.simulated.timeline import Timer
from dialer.simulated.wire import SipMessage, uri_of, user_of

_LOG = logging.getLogger(__name__)


class LineState(StrEnum):
    EARLY = "early"
    ANSWERED = "answered"  # 200 sent
    ENDED = "ended"


class EndedBy(StrEnum):
    CALLER = "caller"  # BYE
    CANCEL = "cancel"
    CALLED = "called"  # our BYE
    REFUSED = "refused"  # our final response
    NO_ACK = "no-ack"
    NO_PRACK = "no-prack"
    SESSION_EXPIRED = "session-expired"
    SHUT_DOWN = "shut-down"


@dataclass(slots=True)
class BillLine:
    """What a carrier knows of a call: written once, when it is over. Times are aware UTC, seconds are of talk."""

    sip_call_id: str
    number: str
    caller_id: str
    persona: str
    invited_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str = ""
    final_status: int = 0
    seconds: float = 0.0
    rtp_sent: int = 0
    rtp_received: int = 0
    rtp_voiced: int = 0
    digits: str = ""
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LineHabits:
    """How a carrier or phone speaks SIP and RTP."""

    codecs: tuple[str, ...] = ("PCMA", "PCMU")
    ptime: int | None = None  # None: as offered
    reliable: bool = False  # 100rel whenever the caller supports it
    min_session_seconds: int = 90
    rtp_ports: tuple[int, int] | None = None


class Line:
    """Verbs: ``ring``, ``answer``, ``refuse``, ``hang_up``, ``hold``; the sound is ``media``. ``on_end`` fires once."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: MediaClock,
        invite: Exchange,
        habits: LineHabits,
        persona: str,
        on_end: Callable[[Line], None],
    ) -> None:
        self.endpoint, self.invite, self.habits, self._on_end = endpoint, invite, habits, on_end
        self.timeline = endpoint.timeline
        request = invite.request
        self.call_id = request.get("call-id") or ""
        self.tag = endpoint.token(4)
        self.state = LineState.EARLY
        self.answers_into_cancel = False
        self.on_cancel: Callable[[], None] | None = None
        self.bill = BillLine(
            self.call_id, user_of(request.uri), user_of(uri_of(request.get("from") or "")), persona, datetime.now(UTC)
        )
        self._clock = clock
        self.media = MediaPort(self.timeline, clock, endpoint.host, endpoint.rng, habits.rtp_ports)
        self._session = endpoint.rng.getrandbits(31)
        self._version = 0
        self._reliable = "100rel" in request.tokens("require") or (
            habits.reliable and "100rel" in request.tokens("supported")
        )
        self._rseq = endpoint.rng.randrange(1, 100000)
        self._unacknowledged: tuple[int, Timer | None] | None = None
        self._waiting: list[Callable[[], None]] = []
        self._answer_timer: Timer | None = None
        self._session_timer: Timer | None = None
        self._session_seconds = 0
        self._remote_target = uri_of(request.get("contact") or "") or request.uri
        self._route = request.all("record-route")
        self._local_cseq = endpoint.rng.randrange(1, 10000)
        self._remote_cseq = request.cseq[0]
        self._answered_monotonic = 0.0
        self._acked = False
        self._offered_late = False
        self._reinvite_pending = False
        invite.call = self
        endpoint.join(self.call_id, self.tag, self)

    # -- before the answer -------------------------------------------------------------------------

    def take_offer(self) -> bool:
        """Read the INVITE's offer; a late offer (no body) is made in the 200. False: refused with 488."""
        offer = read_description(self.invite.request.body) if self.invite.request.body else None
        if offer is None and self.invite.request.body:
            self.refuse(488)
            return False
        if offer is None:
            self._offered_late = True
            self.media.codec, self.media.payload_type = (
                self.habits.codecs[0],
                8 if self.habits.codecs[0] == "PCMA" else 0,
            )
            return True
        try:
            self.media.agree(offer, self.habits.codecs, self.habits.ptime)
        except NoCodecInCommon:
            self.refuse(488)
            return False
        return self._take_session_interval()

    def _take_session_interval(self) -> bool:
        """RFC 4028: the caller refreshes; too small an interval is refused with 422."""
        request = self.invite.request
        seconds = (request.get("session-expires") or "").partition(";")[0].strip()
        if "timer" not in request.tokens("supported") or not seconds.isdigit():
            return True
        if int(seconds) < self.habits.min_session_seconds:
            self.refuse(422, [("min-se", str(self.habits.min_session_seconds))])
            return False
        self._session_seconds = int(seconds)
        return True

    def trying(self) -> None:
        self.endpoint.respond(self.invite, 100)

    def ring(self, status: int = 180, reason: str = "", early_media: bool = False) -> None:
        """A provisional response; with ``early_media`` the line is open towards the caller."""
        if self.state is not LineState.EARLY:
            return
        if self._unacknowledged is not None:
            self._waiting.append(lambda: self.ring(status, reason, early_media))
            return
        headers: Headers = [("contact", self._contact())]
        body = self._description() if early_media and not self._offered_late else b""
        if body:
            self.media.start()
        if self._reliable:
            self._rseq += 1
            headers += [("require", "100rel"), ("rseq", str(self._rseq))]
        datagram = self.endpoint.respond(self.invite, status, headers, body, reason, self.tag)
        if self._reliable:
            self._repeat_reliable(datagram, self.endpoint.t1, 64 * self.endpoint.t1)

    def _repeat_reliable(self, datagram: bytes, interval: float, left: float) -> None:
        """RFC 3262 section 3: repeat with doubled intervals until PRACK, give up after 64*T1."""
        if left <= 0:
            self._unacknowledged = None
            self.refuse(504, by=EndedBy.NO_PRACK)
            return

        def again() -> None:
            self.endpoint.send_again(self.invite, datagram)
            self._repeat_reliable(datagram, interval * 2, left - interval)

        self._unacknowledged = (self._rseq, self.timeline.after(min(interval, left), again))

    def _take_prack(self, exchange: Exchange) -> None:
        words = (exchange.request.get("rack") or "").split()
        expected = self._unacknowledged
        if expected is None or len(words) != 3 or words[0] != str(expected[0]) or words[1] != str(self._invite_cseq()):
            self.endpoint.respond(exchange, 481)
            return
        if expected[1] is not None:
            expected[1].cancel()
        self._unacknowledged = None
        self.endpoint.respond(exchange, 200)
        waiting, self._waiting = self._waiting, []
        for at, action in enumerate(waiting):
            if self._unacknowledged is not None:
                self._waiting += waiting[at:]
                break
            action()

    def _invite_cseq(self) -> int:
        return self.invite.request.cseq[0]

    # -- answer and end ----------------------------------------------------------------------------

    def answer(self) -> None:
        if self.state is not LineState.EARLY:
            return
        if self._unacknowledged is not None:
            self._waiting.append(self.answer)
            return
        self._become(LineState.ANSWERED)
        self._answered_monotonic = time.monotonic()
        self.bill.answered_at = datetime.now(UTC)
        self.bill.final_status = 200
        headers: Headers = [
            ("contact", self._contact()),
            ("allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK"),
        ]
        headers.append(("supported", "100rel, timer"))
        if self._session_seconds:
            headers += [("session-expires", f"{self._session_seconds};refresher=uac"), ("require", "timer")]
            self._watch_session()
        datagram = self.endpoint.respond(self.invite, 200, headers, self._description(), to_tag=self.tag)
        self.endpoint.forget_later(self.invite)
        self._repeat_answer(self.invite, datagram, self.endpoint.t1, 64 * self.endpoint.t1)
        if not self._offered_late:
            self.media.start()

    def _repeat_answer(self, exchange: Exchange, datagram: bytes, interval: float, left: float) -> None:
        """RFC 3261 section 13.3.1.4: the 200 is repeated until ACK; without one the call is ended."""
        if left <= 0:
            self.hang_up(EndedBy.NO_ACK)
            return

        def again() -> None:
            if self.state is LineState.ANSWERED:
                self.endpoint.send_again(exchange, datagram)
                self._repeat_answer(exchange, datagram, min(interval * 2, T2), left - interval)

        self._answer_timer = self.timeline.after(min(interval, left), again)

    def refuse(
        self, status: int, headers: Headers | None = None, reason: str = "", by: EndedBy = EndedBy.REFUSED
    ) -> None:
        """A final response of 300 and above."""
        if self.state is not LineState.EARLY:
            return
        self.bill.final_status = status
        self.endpoint.finish_invite(self.invite, status, headers, self.tag, reason)
        self._end(by)

    def hang_up(self, by: EndedBy = EndedBy.CALLED) -> None:
        """BYE when answered, a refusal when not."""
        if self.state is LineState.EARLY:
            self.refuse(480, by=by)
        elif self.state is LineState.ANSWERED:
            self._ask("BYE", b"", lambda response: None)
            self._end(by)

    def hold(self, on: bool) -> None:
        """A re-INVITE from the called side: sendonly, and back."""
        if self.state is not LineState.ANSWERED or self._reinvite_pending:
            return
        self._reinvite_pending = True
        self._version += 1
        direction = "sendonly" if on else "sendrecv"
        body = self.media.describe(self._session, self._version, direction)
        cseq = self._local_cseq + 1

        def answered(response: SipMessage | None) -> None:
            self._reinvite_pending = False
            if response is None or self.state is not LineState.ANSWERED:
                return
            self._acknowledge(response, cseq)
            if response.status < 300:
                agreed = read_description(response.body)
                if agreed is not None:
                    self.media.agree(agreed, self.habits.codecs, self.media.ptime)

        self._ask("INVITE", body, answered)

    def _acknowledge(self, response: SipMessage, cseq: int) -> None:
        """ACK of our own re-INVITE: a new transaction after 2xx, the INVITE's branch otherwise."""
        branch = "z9hG4bK" + self.endpoint.token(8)
        if response.status >= 300:
            branch = response.all("via")[0].partition("branch=")[2].partition(";")[0]
        datagram = self.endpoint.write_request("ACK", self._remote_target, branch, self._dialog_headers(cseq, "ACK"))
        self.endpoint.send_raw(datagram, self._target())

    def _ask(self, method: str, body: bytes, on_final: Callable[[SipMessage | None], None]) -> None:
        self._local_cseq += 1
        headers = self._dialog_headers(self._local_cseq, method)
        if method == "INVITE":
            headers.append(("contact", self._contact()))
        self.endpoint.ask(method, self._remote_target, headers, body, self._target(), on_final)

    def _dialog_headers(self, cseq: int, method: str) -> Headers:
        request = self.invite.request
        return [
            *(("route", value) for value in self._route),
            ("from", f"{request.get('to')};tag={self.tag}"),
            ("to", request.get("from") or ""),
            ("call-id", self.call_id),
            ("cseq", f"{cseq} {method}"),
        ]

    def _target(self) -> tuple[str, int]:
        return target_of(uri_of(self._route[0]) if self._route else self._remote_target, self.invite.source)

    # -- what the caller asks within the call --------------------------------------------------------

    def take_ack(self, message: SipMessage) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        if self._offered_late and not self._acked and message.body:
            agreed = read_description(message.body)
            if agreed is not None:
                self._agree(agreed)
                self.media.start()
        self._acked = True

    def take_cancel(self) -> None:
        """CANCEL came before a final response: 487, unless this person picks up at that very moment."""
        if self.answers_into_cancel:
            self._unacknowledged, self._waiting = None, []
            self.answer()
            return
        if self.on_cancel is not None:
            self.on_cancel()
        self.refuse(487, by=EndedBy.CANCEL)

    def take_request(self, exchange: Exchange) -> None:
        request = exchange.request
        method = request.method
        if method == "PRACK":
            self._take_prack(exchange)
            return
        if request.cseq[0] <= self._remote_cseq:
            self.endpoint.respond(exchange, 500, reason="CSeq out of order")
            return
        self._remote_cseq = request.cseq[0]
        if method == "BYE":
            self.endpoint.respond(exchange, 200)
            if self.state is LineState.EARLY:
                self.refuse(487, by=EndedBy.CALLER)
            else:
                self._end(EndedBy.CALLER)
        elif method == "INVITE":
            self._take_reinvite(exchange)
        elif method == "UPDATE":
            self._watch_session()
            self._take_new_description(exchange)
        elif method in ("INFO", "OPTIONS"):
            self.endpoint.respond(exchange, 200)
        else:
            self.endpoint.respond(exchange, 405, [("allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK")])

    def _take_reinvite(self, exchange: Exchange) -> None:
        exchange.call = self
        if self.state is not LineState.ANSWERED or self._reinvite_pending or not self._acked:
            self.endpoint.finish_invite(exchange, 491)
            return
        self._watch_session()
        datagram = self._take_new_description(exchange)
        if datagram:
            self._repeat_answer(exchange, datagram, self.endpoint.t1, 64 * self.endpoint.t1)
            self.endpoint.forget_later(exchange)

    def _take_new_description(self, exchange: Exchange) -> bytes:
        offer = read_description(exchange.request.body) if exchange.request.body else None
        if offer is not None:
            try:
                self._agree(offer)
            except NoCodecInCommon:
                if exchange.request.method == "INVITE":
                    self.endpoint.finish_invite(exchange, 488)
                else:
                    self.endpoint.respond(exchange, 488)
                return b""
        headers: Headers = [("contact", self._contact())]
        if self._session_seconds and "timer" in exchange.request.tokens("supported"):
            headers += [("session-expires", f"{self._session_seconds};refresher=uac"), ("require", "timer")]
        wants_body = exchange.request.method == "INVITE" or offer is not None
        self._version += 1
        body = self.media.describe(self._session, self._version) if wants_body else b""
        return self.endpoint.respond(exchange, 200, headers, body)

    def _agree(self, offer: Description) -> None:
        self.media.agree(offer, self.habits.codecs, self.habits.ptime)

    # -- the rest ----------------------------------------------------------------------------------

    def _watch_session(self) -> None:
        if not self._session_seconds:
            return
        if self._session_timer is not None:
            self._session_timer.cancel()
        self._session_timer = self.timeline.after(
            float(self._session_seconds), lambda: self.hang_up(EndedBy.SESSION_EXPIRED)
        )

    def _description(self) -> bytes:
        return self.media.describe(self._session, self._version)

    def _contact(self) -> str:
        return f"<sip:{self.endpoint.host}:{self.endpoint.port}>"

    def _become(self, new: LineState) -> None:
        _LOG.debug("line %s: %s -> %s", self.tag, self.state, new)
        self.state = new

    def _end(self, by: EndedBy) -> None:
        if self.state is LineState.ENDED:
            return
        answered = self.state is LineState.ANSWERED
        self._become(LineState.ENDED)
        for timer in (self._answer_timer, self._session_timer, self._unacknowledged and self._unacknowledged[1]):
            if timer is not None:
                timer.cancel()
        self._waiting = []
        bill, media = self.bill, self.media
        bill.ended_at, bill.ended_by = datetime.now(UTC), by.value
        bill.seconds = round(time.monotonic() - self._answered_monotonic, 3) if answered else 0.0
        bill.rtp_sent, bill.rtp_received, bill.rtp_voiced, bill.digits = (
            media.sent,
            media.received,
            media.loud,
            media.digits,
        )
        media.close()
        # late requests of the dialog are still answered for a while, then forgotten
        self.timeline.after(32.0, lambda: self.endpoint.part(self.call_id, self.tag))
        self._on_end(self)

    def shut_down(self) -> None:
        self.hang_up(EndedBy.SHUT_DOWN)
