"""The dialogs there are, and every request that somebody sends us: to its dialog, to the registrar, or refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from dialer.engines.sip.conversation import Conversation, unsupported_method
from dialer.engines.sip.dialog import ALLOW, SUPPORTED
from dialer.engines.sip.message import Request, Response, respond
from dialer.engines.sip.registrar import Registrar
from dialer.engines.sip.transactions import Server, Transactions
from dialer.engines.sip.transport import Gate
from dialer.engines.sip.uri import tag_of

_KNOWN_EXTENSIONS = frozenset(SUPPORTED.split(", "))


@dataclass(slots=True)
class _Adopted:
    conversation: Conversation
    host: str


@dataclass(slots=True)
class Dialogs:
    """A dialog's next hop passes the gate while it stands, and as long as retransmissions may come."""

    gate: Gate
    transactions: Transactions
    registrar: Registrar
    _talks: dict[tuple[str, str, str], _Adopted] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._talks)

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
            self.distrust_later(adopted.host)

    def distrust_later(self, host: str) -> None:
        self.transactions.timers.call_later(self.transactions.lifetime, lambda: self.gate.distrust(host))

    def receive(self, request: Request, server: Server) -> None:
        if request.method == "REGISTER":
            if self.registrar.expects_anyone:
                self.registrar.receive(request, server)
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

    def acknowledge(self, ack: Request) -> None:
        adopted = self._talks.get((ack.call_id, ack.to_tag, ack.from_tag))
        if adopted is not None:
            adopted.conversation.acknowledge(ack)


def _key_of(conversation: Conversation) -> tuple[str, str, str]:
    dialog = conversation.dialog
    return (dialog.call_id, tag_of(dialog.local), dialog.remote_tag)
