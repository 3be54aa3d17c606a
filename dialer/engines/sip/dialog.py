"""RFC 3261 12: what two ends of a call agree on, and the requests they send inside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from dialer.engines.sip.message import Request, Response, new_branch
from dialer.engines.sip.uri import Address, Uri, read_name_address


@dataclass(frozen=True, slots=True)
class Here:
    """Who we say we are on the wire."""

    host: str
    port: int
    user_agent: str

    def via(self, branch: str) -> str:
        return f"SIP/2.0/UDP {self.host}:{self.port};rport;branch={branch}"

    def contact(self, user: str) -> str:
        return f"<sip:{user}@{self.host}:{self.port}>"


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY"
KNOWN_METHODS = frozenset((*ALLOW.split(", "), "REGISTER", "REFER", "SUBSCRIBE", "MESSAGE", "PUBLISH"))
SUPPORTED = "timer, 100rel"


@dataclass(slots=True)
class Dialog:
    """One dialog that our INVITE made. ``local`` and ``remote`` are whole From and To values with their tags."""

    here: Here
    user: str
    call_id: str
    local: str
    remote: str
    remote_tag: str
    route_set: tuple[str, ...]
    remote_target: Uri
    local_cseq: int
    invite_cseq: int
    fallback: Address
    registered: Callable[[], Address] | None = None  # a phone behind a NAT: where its registration came from
    remote_cseq: int = -1
    allow_update: bool = False
    credentials: list[tuple[str, str]] = field(default_factory=list)

    @staticmethod
    def from_response(
        invite: Request,
        response: Response,
        here: Here,
        user: str,
        fallback: Address,
        registered: Callable[[], Address] | None = None,
    ) -> Dialog:
        """12.1.2: the route set is Record-Route reversed, the target the Contact (or where the INVITE went)."""
        target = response.target or read_name_address(f"<{invite.uri}>").uri
        return Dialog(
            here=here,
            user=user,
            call_id=invite.call_id,
            local=invite.first("from") or "",
            remote=response.first("to") or "",
            remote_tag=response.to_tag,
            route_set=tuple(reversed(response.routes)),
            remote_target=target,
            local_cseq=invite.cseq[0],
            invite_cseq=invite.cseq[0],
            fallback=fallback,
            registered=registered,
            allow_update="update" in response.tokens("allow"),
            credentials=[pair for pair in invite.headers if pair[0] in ("authorization", "proxy-authorization")],
        )

    @property
    def next_hop(self) -> Address:
        """Where requests go. A host that is a name goes the INVITE's way: no look-up between an answer and its ACK.

        A phone behind a NAT names an address nobody can reach: it is spoken to where its registration comes from.
        """
        if self.registered is not None and not self.route_set:
            return self.registered()
        first = read_name_address(self.route_set[0]).uri if self.route_set else self.remote_target
        return first.address if is_address(first.address[0]) else self.fallback

    def refresh_target(self, message: Request | Response) -> None:
        """12.2: a re-INVITE or UPDATE, and its 2xx, may move the target."""
        self.remote_target = message.target or self.remote_target

    def request(self, method: str, *, headers: list[tuple[str, str]] | None = None, body: str = "") -> Request:
        """The next request of ours inside the dialog (12.2.1.1)."""
        self.local_cseq += 1
        return self._request(method, self.local_cseq, headers or [], body)

    def ack(self, cseq: int, *, body: str = "") -> Request:
        """The ACK of a 2xx: a new branch, the INVITE's CSeq number and its credentials (13.2.2.4)."""
        return self._request("ACK", cseq, self.credentials, body)

    @property
    def request_uri(self) -> str:
        """16.12.1.2: with a strict router first in the route set its own URI, else the target's."""
        if self.route_set and not (first := read_name_address(self.route_set[0]).uri).loose:
            return first.text
        return self.remote_target.text

    def _request(self, method: str, cseq: int, extra: list[tuple[str, str]], body: str) -> Request:
        uri, routes = self.request_uri, list(self.route_set)
        if routes and not read_name_address(routes[0]).uri.loose:
            routes = [*routes[1:], f"<{self.remote_target.text}>"]
        headers = [("via", self.here.via(new_branch()))]
        headers += [("route", route) for route in routes]
        headers += [("max-forwards", "70"), ("from", self.local), ("to", self.remote)]
        headers += [("call-id", self.call_id), ("cseq", f"{cseq} {method}")]
        if method in ("INVITE", "UPDATE"):
            headers += [("contact", self.here.contact(self.user)), ("allow", ALLOW)]
        headers += [("user-agent", self.here.user_agent), *extra]
        if body:
            headers.append(("content-type", "application/sdp"))
        return Request(headers=headers, body=body, method=method, uri=uri)

    def accepts(self, request: Request) -> bool:
        """12.2.2: the far side's CSeq grows; an older one is out of order (answer 500)."""
        number = request.cseq[0]
        if number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True
