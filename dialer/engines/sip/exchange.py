"""The seam between a leg and the place it lives in (the switchboard)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from config.clock import Clock
from dialer.call import CallOrder, LegId
from dialer.engines.sip.conversation import Conversation
from dialer.engines.sip.dialog import Dialog, Here
from dialer.engines.sip.message import Request
from dialer.engines.sip.route import Route
from dialer.engines.sip.sdp import Agreed
from dialer.engines.sip.transactions import Transactions
from dialer.engines.sip.trunks import Line
from dialer.events import LegEvent

if TYPE_CHECKING:
    from dialer.engines.sip.leg import Leg


class Exchange(Protocol):
    """What a leg needs."""

    transactions: Transactions
    clock: Clock
    here: Here
    desk_keep_alive: float

    def emit(self, event: LegEvent) -> None: ...
    def media(self, leg: LegId, agreed: Agreed, media_hosts: tuple[str, ...]) -> None: ...
    def answered(self, leg: LegId) -> None:
        """The leg was answered: audio is expected from now on."""

    def next_route(self, order: CallOrder, tried: frozenset[str]) -> Route | None:
        """Another line, seized for us; None when there is none."""

    def pause(self, line: Line, seconds: float) -> None: ...
    def silent(self, line: Line) -> None:
        """The line gave no response at all to an INVITE."""

    def journal_dialed(self, leg: Leg, request: Request, route: Route) -> None: ...
    def journal_answered(self, leg: Leg, dialog: Dialog, route: Route) -> None: ...
    def journal_ended(self, leg: LegId) -> None: ...
    def adopt(self, conversation: Conversation) -> None:
        """Requests inside its dialog come to it, and its next hop passes the gate."""

    def release(self, conversation: Conversation) -> None: ...
    def ended(self, leg: Leg) -> None: ...
