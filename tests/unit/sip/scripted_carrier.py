"""The engine's signalling on scripted time with a far side that says anything: no sockets, no waiting."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.settings import Settings, SipSettings, TrunkSettings
from dialer.call import CallId, CallOrder, LegId
from dialer.engines.sip.addresses import TrunkAddresses
from dialer.engines.sip.dialog import Here
from dialer.engines.sip.dialogs import Dialogs
from dialer.engines.sip.journal import Journal
from dialer.engines.sip.news import News
from dialer.engines.sip.registrar import Registrar
from dialer.engines.sip.route import Route
from dialer.engines.sip.routing import Routing
from dialer.engines.sip.switchboard import Switchboard
from dialer.engines.sip.transactions import Transactions
from dialer.engines.sip.transport import Gate, SipSocket
from dialer.engines.sip.trunks import Lines
from dialer.engines.sip.uri import Address
from recording import tape as tape_module
from recording.tape import Tape

TRUNK = ("192.0.2.1", 5060)
T1 = 0.5


class Pending:
    def __init__(self, action: Callable[[], Any]) -> None:
        self.action: Callable[[], Any] | None = action

    def cancel(self) -> None:
        self.action = None


class ScriptedTime:
    """Timers and clock in one; ``run`` moves both."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._due: list[tuple[float, int, Pending]] = []
        self._order = itertools.count()

    def call_later(self, delay: float, callback: Callable[[], Any], /) -> Pending:
        pending = Pending(callback)
        heapq.heappush(self._due, (self.seconds + delay, next(self._order), pending))
        return pending

    def run(self, seconds: float) -> None:
        end = self.seconds + seconds
        while self._due and self._due[0][0] <= end:
            self.seconds, _, pending = heapq.heappop(self._due)
            if pending.action is not None:
                pending.action()
        self.seconds = end

    def now(self) -> datetime:
        return datetime(2026, 1, 5, 10, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


class ScriptedCarrier:
    """A switchboard with one trunk; ``sent`` is what it sent, ``told`` what it told the dialer."""

    def __init__(self, **trunk: Any) -> None:
        facts = {"name": "main", "host": TRUNK[0], "options_seconds": 0, "channels": 3, "cps": 500, **trunk}
        settings = Settings(sip=SipSettings(bind_host="192.0.2.100"), trunks=(TrunkSettings(**facts),))
        self.time = ScriptedTime()
        self.sent: list[tuple[str, Address]] = []
        self.told: list[News] = []
        self.board = board = Switchboard(settings, self.time, self.told.append)
        board.here = Here(host="192.0.2.100", port=5060, user_agent="onrecord")
        board.gate = Gate(open_to_registrations=False, registers_per_second=5, now=time.monotonic)
        board.desk_keep_alive = 30
        board._lines = Lines(settings.trunks, time.monotonic())
        board.transactions = Transactions(
            send=lambda data, to: self.sent.append((data.decode("latin-1"), to)),
            timers=self.time,
            t1=T1,
            on_request=lambda request, server: board._dialogs.receive(request, server),
            on_stray_ack=lambda ack: board._dialogs.acknowledge(ack),
        )
        board._socket = SipSocket(board.gate, lambda message, source: board.transactions.receive(message, source))
        board._registrar = Registrar(
            (), realm="x", digests=("MD5",), longest=60, timers=self.time, now=time.time,
            trust=board.gate.trust, distrust=board.gate.distrust,
        )  # fmt: skip
        board._dialogs = Dialogs(board.gate, board.transactions, board._registrar)
        board._addresses = TrunkAddresses(
            settings.trunks, 0, board.gate.trust, board._dialogs.distrust_later, board._trunk_moved
        )
        asyncio.run(board._addresses.start())
        board._routing = Routing(board._lines, board._registrar, board.here, board._addresses.of)
        board._journal = Journal(None)
        for one in settings.trunks:
            board._begin_line(one)

    @property
    def line(self) -> Any:
        return self.board._lines["main"]

    def place(self, leg: str = "leg_1") -> LegId:
        tape = Tape(id="t", call_id="c", path=Path("-"), armed_at=datetime.now(UTC),
                    armed_by=tape_module._ARMED_BY_RECORDER)  # fmt: skip
        order = CallOrder(call_id=CallId("c"), attempt_id="a", callee="+8613800138000", tape=tape)
        route = self.board.seize(order)
        assert isinstance(route, Route)
        self.board.dial(LegId(leg), order, route, "192.0.2.100", 20000)
        return LegId(leg)

    def hear(self, text: str | bytes, source: Address = TRUNK) -> None:
        """One datagram from the far side."""
        data = text.encode("latin-1") if isinstance(text, str) else text
        self.board._socket.datagram_received(data, source)

    def requests(self, method: str) -> list[str]:
        return [text for text, _to in self.sent if text.startswith(f"{method} ")]

    @property
    def invite(self) -> str:
        """The latest first INVITE (its To has no tag)."""
        return [text for text in self.requests("INVITE") if ";tag=" not in header(text, "To")][-1]

    def forgotten(self) -> None:
        """After enough time nothing of any call is kept."""
        assert len(self.board.transactions) == 0
        assert len(self.board._dialogs) == 0
        assert not self.board._legs
        assert self.line.busy == 0
        assert dict(self.board.gate._hosts) == {TRUNK[0]: 1}
        assert "failed" not in self.board.gate.counts


def header(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)\r$", text, re.MULTILINE)
    return found[1] if found else ""
