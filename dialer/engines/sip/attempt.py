"""One INVITE over one route: how it is written, and the retries a refusal asks for. What follows is the leg's."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from dialer.engines.sip import sdp
from dialer.engines.sip.branches import Branches
from dialer.engines.sip.dialog import ALLOW, SUPPORTED, Here
from dialer.engines.sip.message import Request, Response, new_branch, new_tag
from dialer.engines.sip.route import Route
from dialer.engines.sip.sdp import Ours
from dialer.engines.sip.session_timer import SHORTEST_SESSION
from dialer.engines.sip.transactions import InviteClient
from dialer.engines.sip.uri import MalformedMessage, read_name_address

MOST_REDIRECTS = 3
MOST_RETRIES = 6  # 401, 407, 420, 421, 422 together, per trunk


class Next(StrEnum):
    """What a failed INVITE leads to."""

    END = "end"
    FAIL_OVER = "fail-over"


def after_failure(status: int | None, *, provisional: bool, rang: bool) -> Next:
    """Whether another trunk may be tried; ``status`` None: nothing came at all (timer B). Pure.

    Never once any 18x said that a phone may have rung: the same person is not dialed twice.
    """
    if rang:
        return Next.END
    if status is None:
        return Next.FAIL_OVER
    if status == 408:
        return Next.END if provisional else Next.FAIL_OVER
    return Next.FAIL_OVER if 500 <= status <= 599 else Next.END


@dataclass(slots=True)
class Attempt:
    """One INVITE over one route, with its retries for authentication and the like."""

    route: Route
    branches: Branches
    call_id: str
    uri: str
    tag: str = field(default_factory=new_tag)
    cseq: int = 0
    client: InviteClient | None = None
    provisional: bool = False
    rang: bool = False
    retries: int = 0
    redirects: int = 0
    without: frozenset[str] = frozenset()  # option tags the far side refused (420)
    demanded: frozenset[str] = frozenset()  # option tags it insists on (421)
    session_expires: int = 0
    min_se: int = SHORTEST_SESSION
    released: bool = False
    responses_before: int = 0  # what the line had answered when this attempt began

    @staticmethod
    def over(route: Route, branches: Branches, host: str) -> Attempt:
        return Attempt(
            route=route,
            branches=branches,
            call_id=f"{secrets.token_hex(12)}@{host}",
            uri=route.uri,
            session_expires=route.session_expires,
            responses_before=route.line.responses if route.line is not None else 0,
        )

    def invite(self, here: Here, ours: Ours) -> Request:
        """The next INVITE of this attempt."""
        self.cseq += 1
        self.provisional = False
        route = self.route
        body = sdp.offer(ours)
        headers = [
            ("via", here.via(new_branch())),
            ("max-forwards", "70"),
            ("from", f"{route.sender};tag={self.tag}"),
            ("to", f"<{route.uri}>"),
            ("call-id", self.call_id),
            ("cseq", f"{self.cseq} INVITE"),
            ("contact", here.contact(route.user)),
            ("allow", ALLOW),
            ("user-agent", here.user_agent),
            *self._extensions(),
            *route.headers,
            *route.credentials.answer("INVITE", self.uri, body),
            ("content-type", sdp.CONTENT_TYPE),
        ]
        return Request(headers=headers, body=body, method="INVITE", uri=self.uri)

    def _extensions(self) -> list[tuple[str, str]]:
        supported = [tag for tag in SUPPORTED.split(", ") if tag not in self.without]
        required = set(self.demanded)
        if self.route.require_100rel:
            required.add("100rel")
        headers = [("supported", ", ".join(supported))] if supported else []
        headers += [("require", ", ".join(sorted(required - self.without)))] if required - self.without else []
        if self.session_expires and "timer" in supported:
            headers += [("session-expires", str(self.session_expires)), ("min-se", str(self.min_se))]
        return headers

    def heeds(self, response: Response) -> bool:
        """Whether this refusal asks for another INVITE that we can make; if so, the next ``invite`` is that one."""
        if self.retries >= MOST_RETRIES:
            return False
        handlers = {401: self._heed_challenge, 407: self._heed_challenge, 420: self._heed_bad_extension}
        handlers |= {421: self._heed_extension_required, 422: self._heed_short_session}
        if 300 <= response.status < 400:
            again = self._heed_redirect(response)
        else:
            again = response.status in handlers and handlers[response.status](response)
        self.retries += again
        return again

    def _heed_challenge(self, response: Response) -> bool:
        return self.route.credentials.learn(response)

    def _heed_short_session(self, response: Response) -> bool:
        shortest = response.number("min-se")
        if not shortest or shortest <= self.session_expires:
            return False
        self.min_se = self.session_expires = shortest
        return True

    def _heed_bad_extension(self, response: Response) -> bool:
        refused = response.tokens("unsupported") - self.without
        self.without |= refused
        return bool(refused)

    def _heed_extension_required(self, response: Response) -> bool:
        wanted = response.tokens("require") - self.demanded
        self.demanded |= wanted
        return bool(wanted) and wanted <= frozenset(SUPPORTED.split(", "))

    def _heed_redirect(self, response: Response) -> bool:
        target = self._within_the_trunk(response)
        if target is None or target == self.uri or self.redirects >= MOST_REDIRECTS:
            return False
        self.redirects += 1
        self.uri = target
        return True

    def _within_the_trunk(self, response: Response) -> str | None:
        """The first Contact of a 3xx on the trunk's own host; a redirect elsewhere is not followed."""
        for text in response.values("contact"):
            try:
                uri = read_name_address(text).uri
            except MalformedMessage:
                continue
            if uri.host.lower() in (self.route.host.lower(), self.route.address[0]):
                return uri.text
        return None
