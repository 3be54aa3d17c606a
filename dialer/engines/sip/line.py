"""A trunk's own traffic: REGISTER with refresh, OPTIONS keep-alive, and whether it is up."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from dialer.engines.sip.dialog import ALLOW, Here
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.message import Request, Response, new_branch, new_tag
from dialer.engines.sip.transactions import Pending, Transactions
from dialer.engines.sip.trunks import Line
from dialer.engines.sip.uri import Address

log = logging.getLogger(__name__)

_RETRY_T1S = 60  # 30 s with the RFC's T1: wait after a registration failed or a silent line without OPTIONS


class LineKeeper:
    """Keeps one trunk registered and watched; ``tell(up, detail)`` on each change."""

    def __init__(
        self,
        line: Line,
        address: Address,
        *,
        transactions: Transactions,
        here: Here,
        credentials: Credentials,
        tell: Callable[[Line, bool, str], None],
        unanswered: Callable[[], None] = lambda: None,
    ) -> None:
        self.line = line
        self.address = address
        self._transactions = transactions
        self._here = here
        self._credentials = credentials
        self._tell = tell
        self._unanswered = unanswered
        self._timers: dict[str, Pending] = {}
        self._register_call_id = f"{secrets.token_hex(12)}@{here.host}"
        self._register_cseq = 0
        self._register_tag = new_tag()
        self._expires = line.settings.register_seconds
        self._reachable = True
        self._registered = not line.settings.registers
        self._closing = False
        self.line.up = self._registered

    def start(self) -> None:
        if self.line.settings.registers:
            self._register(self._expires)
        if self.line.settings.options_seconds:
            self._ask_alive()

    def move(self, address: Address) -> None:
        """The trunk is elsewhere now: ask there at once."""
        self.address = address
        if self.line.settings.options_seconds:
            self._ask_alive()
        elif not self._reachable:
            self._set(reachable=True, detail="its host name has another address")
        if self.line.settings.registers:
            self._register(self._expires)

    def close(self, on_done: Callable[[], None]) -> None:
        """Stop, and take the registration back."""
        self._closing = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self.line.settings.registers and self._registered:
            self._register(0, on_done=on_done)
        else:
            on_done()

    def no_answer(self) -> None:
        """An INVITE over this line had no response at all."""
        self._set(reachable=False, detail="no response to an INVITE")
        if not self.line.settings.options_seconds:
            self._start("again", _RETRY_T1S * self._transactions.t1, lambda: self._set(reachable=True, detail="again"))
        self._unanswered()

    def _start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        old = self._timers.pop(name, None)
        if old is not None:
            old.cancel()
        if not self._closing:
            self._timers[name] = self._transactions.timers.call_later(seconds, action)

    def _set(self, *, reachable: bool | None = None, registered: bool | None = None, detail: str = "") -> None:
        """The one door of the line's state."""
        self._reachable = self._reachable if reachable is None else reachable
        self._registered = self._registered if registered is None else registered
        up = self._reachable and self._registered
        if up != self.line.up and not self._closing:
            log.info("trunk %s: %s -> %s", self.line.name, *(("up", "down")[:: 1 if self.line.up else -1]))
            self.line.up = up
            self._tell(self.line, up, detail)

    def _request(self, method: str, *, call_id: str, cseq: int, tag: str, extra: list[tuple[str, str]]) -> Request:
        trunk = self.line.settings
        domain = trunk.from_domain or trunk.host
        port = "" if trunk.port == 5060 else f":{trunk.port}"
        who = f"<sip:{trunk.username}@{domain}>" if trunk.username else f"<sip:{domain}>"
        uri = f"sip:{trunk.host}{port}"
        target = who if method == "REGISTER" else f"<{uri}>"
        headers = [
            ("via", self._here.via(new_branch())),
            ("max-forwards", "70"),
            ("from", f"{who};tag={tag}"),
            ("to", target),
            ("call-id", call_id),
            ("cseq", f"{cseq} {method}"),
            ("contact", self._here.contact(trunk.username or "onrecord")),
            ("allow", ALLOW),
            ("user-agent", self._here.user_agent),
            *extra,
            *self._credentials.answer(method, uri),
        ]
        return Request(headers=headers, method=method, uri=uri)

    # OPTIONS

    def _ask_alive(self) -> None:
        call_id = f"{secrets.token_hex(12)}@{self._here.host}"
        request = self._request(
            "OPTIONS", call_id=call_id, cseq=1, tag=new_tag(), extra=[("accept", "application/sdp")]
        )
        self._transactions.request(request, self.address, self._alive, self._dead)
        self._start("options", self.line.settings.options_seconds, self._ask_alive)

    def _alive(self, response: Response) -> None:
        """Any response shows life, except one that says the server is going away."""
        if response.status >= 200:
            up = response.status not in (408, 503)
            self._set(reachable=up, detail=f"OPTIONS answered {response.status}")

    def _dead(self) -> None:
        self._set(reachable=False, detail="OPTIONS not answered")
        if not self._closing:
            self._unanswered()

    # REGISTER

    def _register(self, expires: int, *, again: int = 3, on_done: Callable[[], None] = lambda: None) -> None:
        self._register_cseq += 1
        request = self._request(
            "REGISTER",
            call_id=self._register_call_id,
            cseq=self._register_cseq,
            tag=self._register_tag,
            extra=[("expires", str(expires))],
        )

        def on_response(response: Response) -> None:
            if response.status < 200:
                return
            if response.status in (401, 407) and again and self._credentials.learn(response):
                self._register(expires, again=again - 1, on_done=on_done)
            elif response.status == 423 and again and (shortest := response.number("min-expires")):
                self._expires = max(self._expires, shortest)
                self._register(self._expires, again=again - 1, on_done=on_done)
            else:
                self._registration_answered(response)
                on_done()

        def on_timeout() -> None:
            self._registration_failed("REGISTER not answered")
            if not self._closing:
                self._unanswered()
            on_done()

        self._transactions.request(request, self.address, on_response, on_timeout)

    def _registration_answered(self, response: Response) -> None:
        if self._closing:
            return
        if response.status >= 300:
            wait = response.number("retry-after")
            self._registration_failed(f"REGISTER answered {response.status}", wait)
            return
        granted = self._granted(response)
        self._set(registered=True, detail="registered")
        # Refresh well before the end: half the time, at most a minute early on short ones.
        self._start("register", max(granted / 2, granted - 60), lambda: self._register(self._expires))

    def _granted(self, response: Response) -> int:
        """RFC 3261 10.2.4: expires of our own Contact, else Expires, else what we asked."""
        for text in response.values("contact"):
            if f"@{self._here.host}:{self._here.port}" in text or f"@{self._here.host}>" in text:
                for part in text.split(";")[1:]:
                    name, _, value = part.partition("=")
                    if name.strip().lower() == "expires" and value.strip().isdigit():
                        return max(1, int(value))
        return max(1, response.number("expires") or self._expires)

    def _registration_failed(self, detail: str, wait: int | None = None) -> None:
        self._set(registered=False, detail=detail)
        self._start("register", wait or _RETRY_T1S * self._transactions.t1, lambda: self._register(self._expires))
