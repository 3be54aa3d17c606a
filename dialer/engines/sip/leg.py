"""One call to one phone, from the INVITE to the end: the state machine above transactions and dialogs."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from case_store.network import HangupCause
from config.errors import InvariantBroken
from dialer.call import CallId, CallOrder, DeskOrder, LegId, LegState, can_move
from dialer.engines.sip.attempt import Attempt, Next, after_failure
from dialer.engines.sip.branches import Branches
from dialer.engines.sip.causes import Release, failed
from dialer.engines.sip.conversation import Conversation
from dialer.engines.sip.exchange import Exchange
from dialer.engines.sip.message import Response
from dialer.engines.sip.route import Route
from dialer.engines.sip.sdp import Agreed, Ours
from dialer.engines.sip.transactions import InviteClient, Pending
from dialer.events import (
    LegAnswered,
    LegDialed,
    LegDtmf,
    LegEnded,
    LegEvent,
    LegHeld,
    LegProgress,
    Origin,
)

log = logging.getLogger(__name__)


class Leg:
    """``dial`` once; then events come until ``LegEnded``, exactly once."""

    def __init__(self, exchange: Exchange, leg: LegId, order: CallOrder | DeskOrder, host: str, port: int) -> None:
        self.id = leg
        self.order = order
        self.state = LegState.PLACED
        self.call_id: CallId | None = order.call_id if isinstance(order, CallOrder) else None
        self._exchange = exchange
        self._host, self._port = host, port
        self._attempt: Attempt | None = None
        self._tried: set[str] = set()
        self._talk: Conversation | None = None
        self._speaking_to: Agreed | None = None
        self._giving_up: tuple[HangupCause, Origin] | None = None
        self._timers: dict[str, Pending] = {}
        self._answered_at: float | None = None
        self._session = secrets.randbelow(2**31)
        self.wanted_hold = False

    @property
    def trunk(self) -> str | None:
        return self._attempt.route.trunk if self._attempt else None

    # One door

    def _move(self, new: LegState) -> None:
        if new is self.state:
            return
        if not can_move(self.state, new):
            raise InvariantBroken(f"a leg cannot go from {self.state} to {new}", remedy="report this with the log")
        log.info("leg %s: %s -> %s", self.id, self.state, new)
        self.state = new

    def _emit(self, kind: Callable[..., LegEvent], origin: Origin, **facts: object) -> None:
        now = self._exchange.clock.now()
        self._exchange.emit(kind(at=now, leg=self.id, call_id=self.call_id, origin=origin, **facts))

    def _start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._stop(name)
        self._timers[name] = self._exchange.transactions.timers.call_later(seconds, action)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    # Setting up

    def dial(self, route: Route) -> None:
        self._start("set-up", self.order.set_up_seconds, self._set_up_too_long)
        self._dial_over(route)

    def _dial_over(self, route: Route) -> None:
        self._tried.add(route.trunk)
        self._attempt = Attempt.over(route, self._branches(route), self._exchange.here.host)
        self._send_invite(self._attempt)
        self._emit(LegDialed, Origin.NEAR, trunk=route.trunk)

    def _send_invite(self, attempt: Attempt) -> None:
        request = attempt.invite(self._exchange.here, self._ours(attempt.route))
        self._exchange.journal_dialed(self, request, attempt.route)

        def on_response(response: Response) -> None:
            self._on_response(attempt, client, response)

        client = self._exchange.transactions.invite(
            request, attempt.route.address, on_response, lambda: self._on_silence(attempt)
        )
        attempt.client = client

    def _branches(self, route: Route) -> Branches:
        keep_alive = self._exchange.desk_keep_alive if isinstance(self.order, DeskOrder) else 0.0
        return Branches(self._exchange, route, self._ours(route), self, keep_alive)

    def _ours(self, route: Route) -> Ours:
        return Ours(host=self._host, port=self._port, codecs=route.codecs, ptime=route.ptime, session=self._session)

    def _on_silence(self, attempt: Attempt) -> None:
        """Timer B, or no final response after our CANCEL."""
        if attempt is not self._attempt or self.state is LegState.ENDED:
            return
        if self._giving_up:
            self._finish(self._giving_up[0], None, origin=self._giving_up[1])
            return
        line = attempt.route.line
        if line is not None and line.responses == attempt.responses_before:
            self._exchange.silent(line)
        if not self._failed_over(None, attempt):
            self._finish(HangupCause.TRUNK_TIMEOUT, None, origin=Origin.ENGINE)

    def _on_response(self, attempt: Attempt, client: InviteClient, response: Response) -> None:
        if attempt.route.line is not None:
            attempt.route.line.responses += 1
        answered = 200 <= response.status < 300
        if answered and (self._talk is not None or not self._current(attempt) or client is not attempt.client):
            self._acknowledge_late(attempt, client, response)
        elif not self._current(attempt) or client is not attempt.client:
            return
        elif response.status < 200:
            self._on_provisional(attempt, response)
        elif response.status < 300:
            self._on_answer(attempt, client, response)
        else:
            self._on_failure(attempt, response)

    def _current(self, attempt: Attempt) -> bool:
        return attempt is self._attempt and self.state is not LegState.ENDED

    # Provisional responses, several early dialogs among them

    def _on_provisional(self, attempt: Attempt, response: Response) -> None:
        attempt.provisional = True
        if 180 <= response.status < 190:
            attempt.rang = True
        if response.status == 100:
            if self.state is LegState.PLACED:
                self._move(LegState.PROCEEDING)
                self._tell_progress(response, early=False)
            return
        assert attempt.client is not None
        branches = attempt.branches
        conversation = branches.early(attempt.client.request, response, attempt.session_expires)
        if conversation is not None and not branches.acknowledge_reliable(conversation, response):
            return
        early = (
            bool(response.description) and conversation is not None and conversation.take_answer(response.description)
        )
        self._move_to_progress(response.status, early)
        self._tell_progress(response, early=early)
        if attempt.rang and isinstance(self.order, CallOrder) and "ring" not in self._timers:
            self._start("ring", self.order.ring_seconds, self._rang_too_long)

    def _move_to_progress(self, status: int, early: bool) -> None:
        if early:
            self._move(LegState.EARLY)
        elif status == 180:
            self._move(LegState.RINGING)
        elif self.state is LegState.PLACED:
            self._move(LegState.PROCEEDING)

    def _tell_progress(self, response: Response, *, early: bool) -> None:
        self._emit(LegProgress, Origin.FAR, sip_status=response.status, reason=response.reason, early_media=early)

    # The answer

    def _on_answer(self, attempt: Attempt, client: InviteClient, response: Response) -> None:
        talk = attempt.branches.confirm(client.request, response, attempt.session_expires)
        if self._giving_up:  # our CANCEL crossed the answer: ACK was sent, now BYE (RFC 3261 15)
            cause, origin = self._giving_up
            self._hang_up_dialog(talk, cause)
            self._finish(cause, response.status, reason="answered while we cancelled", origin=origin)
            return
        self._talk = talk
        attempt.branches.keep_only(talk)
        self._stop("ring")
        self._stop("set-up")
        if talk.closed:  # its BYE overtook its 200
            self._exchange.release(talk)
            self._exchange.journal_ended(self.id)
            self._finish(HangupCause.NORMAL, response.status, reason="BYE before the answer", origin=Origin.FAR)
            return
        if not self._taken(talk, response):
            self._hang_up_dialog(talk, HangupCause.INCOMPATIBLE)
            self._finish(HangupCause.INCOMPATIBLE, response.status, origin=Origin.ENGINE)
            return
        assert talk.agreed is not None
        self._move(LegState.ANSWERED)
        self._answered_at = self._exchange.clock.monotonic()
        self._speak_to(talk.agreed, attempt.route.media_hosts)
        self._exchange.journal_answered(self, talk.dialog, attempt.route)
        self._emit(LegAnswered, Origin.FAR, codec=talk.agreed.codec, trunk=attempt.route.trunk)
        # After the answer is told: a first packet told before it would be taken for early media, and it comes only once.
        self._exchange.answered(self.id)
        talk.session_from_answer(response)
        if self.wanted_hold:
            talk.hold(True, self._hold_taken(True))

    def _taken(self, talk: Conversation, response: Response) -> bool:
        """Whether there is something to speak with: in the 200, or in what came before it.

        Some carriers describe the session in a 183 under one tag and answer under another without a description.
        """
        if response.description:
            return talk.take_answer(response.description)
        if talk.agreed is None and self._speaking_to is not None and not response.body:
            log.info("leg %s: the answer has no description; the one of another early dialog stands", self.id)
            talk.agreed = self._speaking_to
        return talk.agreed is not None

    def _acknowledge_late(self, attempt: Attempt, client: InviteClient, response: Response) -> None:
        """A 2xx again: ACK again. A 2xx of another branch, or after we gave up: ACK, then BYE (13.2.2.4)."""
        if attempt.branches.acknowledged_again(client.request, response):
            return
        log.info("leg %s: a second phone answered; it is released", self.id)
        talk = attempt.branches.confirm(client.request, response, attempt.session_expires)
        self._hang_up_dialog(talk, HangupCause.CANCELLED)

    def _hang_up_dialog(self, talk: Conversation, cause: HangupCause) -> None:
        self._exchange.release(talk)
        talk.bye(cause, lambda: self._exchange.journal_ended(self.id))

    # Failure, other trunks, other ways

    def _on_failure(self, attempt: Attempt, response: Response) -> None:
        status = response.status
        if self._giving_up:
            self._finish(self._giving_up[0], status, reason=response.reason, origin=self._giving_up[1])
            return
        if attempt.heeds(response):
            attempt.branches.forget_early()
            self._send_invite(attempt)
            return
        retry_after = response.number("retry-after")
        if retry_after is not None and status in (500, 503) and attempt.route.line is not None:
            self._exchange.pause(attempt.route.line, retry_after)
        if self._failed_over(status, attempt):
            return
        reasons = response.values("reason")
        release = failed(status, reasons, rang=attempt.rang)
        self._finish(
            release.cause,
            status,
            q850=release.q850,
            reason=reasons[0] if reasons else response.reason,
            retry_after=retry_after,
            origin=Origin.FAR,
        )

    def _failed_over(self, status: int | None, attempt: Attempt) -> bool:
        if not isinstance(self.order, CallOrder) or self._giving_up:
            return False
        if after_failure(status, provisional=attempt.provisional, rang=attempt.rang) is Next.END:
            return False
        route = self._exchange.next_route(self.order, frozenset(self._tried))
        if route is None:
            return False
        attempt.branches.forget_early()
        self._free_line(attempt)
        self._dial_over(route)
        return True

    @staticmethod
    def _free_line(attempt: Attempt) -> None:
        if attempt.route.line is not None and not attempt.released:
            attempt.released = True
            attempt.route.line.release()

    # The end

    def _rang_too_long(self) -> None:
        self.hang_up(HangupCause.NO_ANSWER, Origin.ENGINE)

    def _set_up_too_long(self) -> None:
        attempt = self._attempt
        rang = attempt is not None and attempt.rang
        self.hang_up(HangupCause.NO_ANSWER if rang else HangupCause.NO_USER_RESPONSE, Origin.ENGINE)

    def hang_up(self, cause: HangupCause, origin: Origin) -> None:
        """BYE, or CANCEL as soon as RFC 3261 9.1 allows; harmless on an ended leg."""
        if self.state is LegState.ENDED:
            return
        if self._talk is not None:
            self._hang_up_dialog(self._talk, cause)
            self._finish(cause, 200, origin=origin)
        elif self._giving_up is None:
            self._giving_up = (HangupCause.CANCELLED if cause is HangupCause.NORMAL else cause, origin)
            assert self._attempt is not None
            assert self._attempt.client is not None
            self._attempt.client.cancel()
            if self._attempt.client.finished:
                self._finish(self._giving_up[0], None, origin=origin)
            else:  # timer B, then 64 T1 after a CANCEL: whatever the far side does, it is over by then
                self._start("over", 2.1 * self._exchange.transactions.lifetime, self._overdue)

    def _overdue(self) -> None:
        assert self._giving_up is not None
        log.error("leg %s: nothing ended it; it is ended now", self.id)
        self._finish(self._giving_up[0], None, origin=self._giving_up[1])

    def give_up(self, cause: HangupCause) -> None:
        """End it here and now, whatever the far side still has to say; only when the engine closes."""
        self._finish(cause, None, origin=Origin.ENGINE)

    def _finish(
        self,
        cause: HangupCause,
        status: int | None,
        *,
        q850: int | None = None,
        reason: str = "",
        retry_after: int | None = None,
        origin: Origin,
    ) -> None:
        if self.state is LegState.ENDED:
            return
        self._move(LegState.ENDED)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        attempt = self._attempt
        if attempt is not None:
            attempt.branches.forget_early()
            self._free_line(attempt)
        if self._talk is None and not (attempt and attempt.branches.answered):
            self._exchange.journal_ended(self.id)
        talked = self._answered_at is not None
        seconds = self._exchange.clock.monotonic() - self._answered_at if self._answered_at is not None else 0.0
        self._emit(
            LegEnded,
            origin,
            cause=cause,
            sip_status=status,
            q850=q850,
            reason=reason,
            retry_after=retry_after,
            answered=talked,
            talk_seconds=max(0.0, seconds),
            trunk=self.trunk,
        )
        self._exchange.ended(self)

    # What the dialog tells (ConversationUser)

    def media_agreed(self, conversation: Conversation, agreed: Agreed) -> None:
        """The latest description heard wins while several phones ring; the answered one from then on."""
        if self._attempt is None or self.state is LegState.ENDED or self._giving_up:
            return
        if self._talk is None or conversation is self._talk:
            self._speak_to(agreed, self._attempt.route.media_hosts)

    def _speak_to(self, agreed: Agreed, media_hosts: tuple[str, ...]) -> None:
        if agreed != self._speaking_to:
            self._speaking_to = agreed
            self._exchange.media(self.id, agreed, media_hosts)

    def held(self, conversation: Conversation, on: bool) -> None:
        if conversation is self._talk and self.state is LegState.ANSWERED:
            self._emit(LegHeld, Origin.FAR, on=on)

    def digit(self, conversation: Conversation, digit: str, milliseconds: int) -> None:
        if conversation is self._talk and self.state is LegState.ANSWERED:
            self._emit(LegDtmf, Origin.FAR, digit=digit, milliseconds=milliseconds)

    def far_hung_up(self, conversation: Conversation, release: Release, reason: str) -> None:
        self._exchange.release(conversation)
        if conversation is not self._talk:
            return
        self._exchange.journal_ended(self.id)
        self._finish(release.cause, 200, q850=release.q850, reason=reason, origin=Origin.FAR)

    def lost(self, conversation: Conversation, cause: HangupCause) -> None:
        if conversation is self._talk:
            self.hang_up(cause, Origin.ENGINE)

    # Verbs on an answered leg

    def hold(self, on: bool) -> None:
        self.wanted_hold = on
        if self._talk is not None and self.state is LegState.ANSWERED:
            self._talk.hold(on, self._hold_taken(on))

    def _hold_taken(self, on: bool) -> Callable[[bool], None]:
        def tell(taken: bool) -> None:
            if taken and self.state is LegState.ANSWERED:
                self._emit(LegHeld, Origin.NEAR, on=on)
            elif not taken:
                log.warning("leg %s: the far side refused %s", self.id, "hold" if on else "resume")

        return tell
