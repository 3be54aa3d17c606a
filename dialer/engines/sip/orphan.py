"""Ending a call whose process died: BYE where it was answered, CANCEL (and BYE for a late answer) where not."""

from __future__ import annotations

from collections.abc import Callable

from case_store.network import HangupCause
from dialer.engines.sip.causes import Release
from dialer.engines.sip.conversation import Conversation
from dialer.engines.sip.dialog import Dialog, Here
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.journal import OpenCall
from dialer.engines.sip.message import Request, Response
from dialer.engines.sip.sdp import Agreed, Ours
from dialer.engines.sip.transactions import Transactions
from dialer.engines.sip.uri import read_name_address, read_uri

# The dead process may have sent more requests than the journal knows; CSeq need only grow (RFC 3261 12.2.1.1).
_CSEQ_LEAP = 1000


class _Nobody:
    """The user of a dialog that is only being ended."""

    def media_agreed(self, conversation: Conversation, agreed: Agreed) -> None: ...
    def held(self, conversation: Conversation, on: bool) -> None: ...
    def digit(self, conversation: Conversation, digit: str, milliseconds: int) -> None: ...
    def far_hung_up(self, conversation: Conversation, release: Release, reason: str) -> None: ...
    def lost(self, conversation: Conversation, cause: HangupCause) -> None: ...


def end_orphan(
    call: OpenCall, transactions: Transactions, here: Here, credentials: Credentials, on_done: Callable[[], None]
) -> None:
    """``on_done`` once the far side confirmed, or stayed silent for 64 T1."""
    headers = [(name, value) for name, value in call.headers]
    if call.answered:
        dialog = Dialog(
            here=here,
            user="onrecord",
            call_id=dict(headers)["call-id"],
            local=dict(headers)["from"],
            remote=call.remote,
            remote_tag=read_name_address(call.remote).tag or "",
            route_set=tuple(call.routes),
            remote_target=read_uri(call.target),
            local_cseq=call.cseq + _CSEQ_LEAP,
            invite_cseq=call.cseq,
            fallback=(call.host, call.port),
        )
        _bye(dialog, transactions, credentials, on_done)
        return
    invite = Request(headers=headers, method="INVITE", uri=call.uri)

    def on_response(response: Response) -> None:
        if response.status < 200:
            return
        if response.status < 300:
            dialog = Dialog.from_response(invite, response, here, "onrecord", (call.host, call.port))
            transactions.send(dialog.ack(invite.cseq[0]).render(), dialog.next_hop)
            _bye(dialog, transactions, credentials, on_done)
        else:
            on_done()

    client = transactions.resume_invite(invite, (call.host, call.port), on_response, on_done)
    client.cancel()


def _bye(dialog: Dialog, transactions: Transactions, credentials: Credentials, on_done: Callable[[], None]) -> None:
    nothing = Ours(host="0.0.0.0", port=9, codecs=("PCMA",), ptime=20, session=1)  # noqa: S104  # never written out
    talk = Conversation(dialog=dialog, credentials=credentials, ours=nothing, transactions=transactions, user=_Nobody())
    talk.bye(HangupCause.ORPHANED, on_done)
