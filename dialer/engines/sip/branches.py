"""The dialogs that one INVITE made: a phone each, where a proxy forked it. Early, acknowledged, or left behind."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from dialer.engines.sip.conversation import Conversation, ConversationUser
from dialer.engines.sip.dialog import Dialog
from dialer.engines.sip.exchange import Exchange
from dialer.engines.sip.message import Request, Response
from dialer.engines.sip.route import Route
from dialer.engines.sip.sdp import Ours

log = logging.getLogger(__name__)

MOST_EARLY = 16  # phones that may ring at once for one INVITE


@dataclass(slots=True)
class Branches:
    """Dialogs by To tag. ``user`` hears what happens in them; ``keep_alive`` as in ``Conversation``."""

    exchange: Exchange
    route: Route
    ours: Ours
    user: ConversationUser
    keep_alive: float = 0.0
    _dialogs: dict[str, Conversation] = field(default_factory=dict)
    _rseq: dict[str, int] = field(default_factory=dict)
    _acked: set[str] = field(default_factory=set)

    @property
    def answered(self) -> bool:
        """Whether a 2xx of any of them was acknowledged."""
        return bool(self._acked)

    def early(self, invite: Request, response: Response, session_expires: int) -> Conversation | None:
        """By its To tag; a peer of RFC 2543 has none, and its early media is heard all the same (12.1.2)."""
        tag = response.to_tag
        if tag not in self._dialogs:
            if len(self._dialogs) >= MOST_EARLY or not (tag or response.description):
                return None
            self._dialogs[tag] = self._begin(invite, response, session_expires)
        return self._dialogs[tag]

    def _dialog(self, invite: Request, response: Response) -> Dialog:
        route = self.route
        return Dialog.from_response(invite, response, self.exchange.here, route.user, route.address, route.registered)

    def _begin(self, invite: Request, response: Response, session_expires: int) -> Conversation:
        conversation = Conversation(
            dialog=self._dialog(invite, response),
            credentials=self.route.credentials,
            ours=self.ours,
            transactions=self.exchange.transactions,
            user=self.user,
            session_expires=session_expires,
            keep_alive=self.keep_alive,
        )
        self.exchange.adopt(conversation)
        return conversation

    def acknowledge_reliable(self, conversation: Conversation, response: Response) -> bool:
        """RFC 3262 4: PRACK each reliable response once, in order. False: a repeat or one out of order."""
        rseq = response.number("rseq")
        if "100rel" not in response.tokens("require") or rseq is None:
            return True
        last = self._rseq.get(response.to_tag)
        if last is not None and rseq != last + 1:
            return False
        self._rseq[response.to_tag] = rseq
        conversation.prack(rseq, _on_prack_answer)
        return True

    def acknowledged_again(self, invite: Request, response: Response) -> bool:
        """A 2xx that came before: ACK again. False: it is new."""
        if response.to_tag not in self._acked or response.to_tag not in self._dialogs:
            return False
        self._send_ack(self._dialogs[response.to_tag], invite)
        return True

    def confirm(self, invite: Request, response: Response, session_expires: int) -> Conversation:
        """The dialog of a 2xx, acknowledged (13.2.2.4)."""
        tag = response.to_tag
        talk = self._dialogs.get(tag)
        if talk is None:
            talk = self._dialogs[tag] = self._begin(invite, response, session_expires)
        else:
            fresh = self._dialog(invite, response)
            fresh.local_cseq = max(talk.dialog.local_cseq, fresh.local_cseq)
            fresh.remote_cseq = talk.dialog.remote_cseq
            talk.dialog = fresh
            self.exchange.adopt(talk)
        talk.confirmed = True
        self._acked.add(tag)
        self._send_ack(talk, invite)
        return talk

    def _send_ack(self, talk: Conversation, invite: Request) -> None:
        ack = talk.dialog.ack(invite.cseq[0])
        self.exchange.transactions.send(ack.render(), talk.dialog.next_hop)

    def keep_only(self, talk: Conversation) -> None:
        """It was answered there: the other phones stop ringing, or will be released when they answer too."""
        for tag, other in self._dialogs.items():
            if other is not talk:
                log.info("the early dialog %s ends unanswered", tag[:8])
                self._leave(other)

    def forget_early(self) -> None:
        """The INVITE is over or sent again: what was only early is gone."""
        for tag, conversation in self._dialogs.items():
            if tag not in self._acked:
                self._leave(conversation)
        self._dialogs = {tag: talk for tag, talk in self._dialogs.items() if tag in self._acked}
        self._rseq.clear()

    def _leave(self, conversation: Conversation) -> None:
        conversation.close()
        self.exchange.release(conversation)


def _on_prack_answer(answer: Response | None) -> None:
    if answer is None or answer.status >= 300:
        log.warning("a PRACK was answered with %s", answer.status if answer else "nothing")
