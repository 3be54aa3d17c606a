"""RFC 4028: how long a session lasts without a sign of life, and who gives it. Pure but for ``Timers``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dialer.engines.sip.dialog import SUPPORTED
from dialer.engines.sip.message import Request, Response
from dialer.engines.sip.transactions import Pending, Timers

SHORTEST_SESSION = 90  # section 5: Min-SE


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
    if isinstance(message, Request) and not refresher and "timer" not in message.tokens("supported"):
        refresher = "uas"  # section 9: a proxy wants the timer, its caller has none: we refresh
    uac_refreshes = refresher != "uas"
    return SessionTerms(interval=interval, we_refresh=uac_refreshes == we_asked)


class Session(Protocol):
    """The dialog a timer keeps alive."""

    def refresh_by_update(
        self, headers: list[tuple[str, str]], on_final: Callable[[Response | None], None]
    ) -> None: ...
    def refresh_by_reinvite(self) -> None: ...
    def refresh_target(self, response: Response) -> None: ...
    def ask_alive(self, on_final: Callable[[Response | None], None]) -> None: ...
    def expired(self) -> None:
        """Nobody refreshed, or the far side does not know the dialog any more."""

    @property
    def takes_updates(self) -> bool: ...


@dataclass(slots=True)
class SessionTimer:
    """``asked``: the Session-Expires of our INVITE. ``keep_alive``: seconds between OPTIONS where no timer runs; 0: none."""

    session: Session
    timers: Timers
    t1: float
    asked: int = 0
    keep_alive: float = 0.0
    terms: SessionTerms | None = None
    stopped: bool = False
    _updates_refused: bool = False
    _running: dict[str, Pending] = field(default_factory=dict)

    def begin(self, response: Response) -> None:
        """The 2xx of the first INVITE."""
        self.take(response, we_asked=True)
        if self.terms is None and self.keep_alive > 0:
            self._start("alive", self.keep_alive, self._ask_alive)

    def take(self, message: Request | Response, *, we_asked: bool) -> None:
        """A refresh, ours or theirs, went through: the time begins anew."""
        self.terms = session_terms(message, we_asked=we_asked) or self.terms
        if self.terms is None:
            return
        if self.terms.we_refresh:
            self._start("refresh", self.terms.refresh_after, self._refresh)
        else:
            self._stop("refresh")
        self._start("expiry", self.terms.expires_after, self._expired)

    def headers(self) -> list[tuple[str, str]]:
        """Of our re-INVITE or UPDATE."""
        headers = [("supported", SUPPORTED)]
        if self.terms is not None:
            refresher = "uac" if self.terms.we_refresh else "uas"
            interval = max(self.terms.interval, self.asked if self.terms.we_refresh else 0)
            headers.append(("session-expires", f"{interval};refresher={refresher}"))
        return headers

    def too_short(self, request: Request) -> bool:
        """Section 9: below our Min-SE (and below what runs already), from a peer that understands 422."""
        interval = request.number("session-expires")
        least = SHORTEST_SESSION if self.terms is None else min(SHORTEST_SESSION, self.terms.interval)
        return interval is not None and interval < least and "timer" in request.tokens("supported")

    def accept_longer(self, refusal: Response) -> bool:
        """A 422: whether its Min-SE is longer than what we asked, and the same request is worth another try."""
        shortest = refusal.number("min-se") or 0
        asked = max(self.asked, self.terms.interval if self.terms is not None else 0)
        self.asked = max(self.asked, shortest)
        return shortest > asked

    def stop(self) -> None:
        self.stopped = True
        for name in list(self._running):
            self._stop(name)

    def _expired(self) -> None:
        if not self.stopped:
            self.session.expired()

    def _refresh(self) -> None:
        if self.session.takes_updates and not self._updates_refused:
            self.session.refresh_by_update(self.headers(), self._refreshed)
        else:
            self.session.refresh_by_reinvite()

    def _refreshed(self, response: Response | None) -> None:
        if self.stopped:
            return
        if response is None or response.status in (408, 481):
            self.session.expired()
        elif response.status < 300:
            self.session.refresh_target(response)
            self.take(response, we_asked=True)
        elif response.status == 491:
            self._start("refresh", 4 * self.t1, self._refresh)
        elif response.status == 422 and self.accept_longer(response):
            self._refresh()
        elif not self._updates_refused:
            # 405, 501, or a server that only fails on UPDATE: a re-INVITE is understood by everybody.
            self._updates_refused = True
            self._refresh()

    def _ask_alive(self) -> None:
        self.session.ask_alive(self._alive_or_not)

    def _alive_or_not(self, response: Response | None) -> None:
        if self.stopped:
            return
        if response is None or response.status in (408, 481):
            self.session.expired()
        else:
            self._start("alive", self.keep_alive, self._ask_alive)

    def _start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._stop(name)
        if not self.stopped:
            self._running[name] = self.timers.call_later(seconds, action)

    def _stop(self, name: str) -> None:
        timer = self._running.pop(name, None)
        if timer is not None:
            timer.cancel()
