"""What a node says first of all: BYE and CANCEL on the lines that a dead process left up, before anything else is loaded.

A whole node takes seconds to load, and whoever is on such a line hears silence meanwhile; if starts are killed one after
the other, for longer. This needs the standard library and our message code alone: a tenth of a second. It claims nothing:
the engine ends the same lines again (a second BYE is answered 481), so what is lost here costs no more than time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from dialer.engines.sip.dialog import Here, is_address
from dialer.engines.sip.digest import Credentials
from dialer.engines.sip.journal import Mouth, OpenCall, read, read_mouth
from dialer.engines.sip.message import Request, Response, respond
from dialer.engines.sip.orphan import end_orphan
from dialer.engines.sip.transactions import Server, Transactions
from dialer.engines.sip.uri import Address

log = logging.getLogger(__name__)


class FirstWords:
    """Ends the open calls of ``journal`` from a thread of its own, over the dead process's own port, until ``stop``.

    Where that port is taken, its process lives: nothing is said. Nothing is written either, the journal is the engine's.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._transactions: Transactions | None = None
        self._calls: dict[str, OpenCall] = {}

    def start(self) -> int:
        """How many lines are being ended. Never raises: a node must start whatever lies in its journal."""
        try:
            mouth = read_mouth(self._journal)
            calls = [call for call in read(self._journal) if is_address(call.host)]
            if mouth is None or not calls:
                return 0
            self._socket = _bound(mouth)
        except FileNotFoundError:
            return 0  # the first start in this folder: there is no earlier process
        except OSError as error:
            log.warning("the lines of an earlier process are left to the engine: %s", type(error).__name__)
            return 0
        self._calls = {dict(call.headers).get("call-id", ""): call for call in calls}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(mouth, calls), name="sip-first-words", daemon=True)
        self._thread.start()
        from dialer.engines.sip.reading import read as read_message  # its parser loads while the words are under way

        self._loop.call_soon_threadsafe(self._listen, read_message)
        return len(calls)

    def stop(self) -> None:
        """Before somebody else binds the port."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = None

    def _run(self, mouth: Mouth, calls: list[OpenCall]) -> None:
        assert self._loop is not None
        assert self._socket is not None
        try:
            self._say(mouth, calls)
            self._loop.run_forever()
        except Exception:
            log.exception("the first words failed: the lines of an earlier process are left to the engine")
        finally:
            if self._transactions is not None:
                self._transactions.close()
            self._loop.close()
            self._socket.close()

    def _say(self, mouth: Mouth, calls: list[OpenCall]) -> None:
        assert self._loop is not None
        self._transactions = Transactions(
            send=self._send, timers=self._loop, t1=mouth.t1, on_request=self._asked, on_stray_ack=lambda _ack: None
        )
        here = Here(host=mouth.host, port=mouth.port, user_agent=mouth.user_agent)
        for call in calls:
            try:
                end_orphan(call, self._transactions, here, Credentials(None, None), lambda: None)
                word = "BYE" if call.answered else "CANCEL"
                log.warning("leg %s: left up by an earlier process; first words: %s", call.leg, word)
            except Exception:  # one entry, however damaged, keeps nobody else on a line
                log.exception("leg %s: left to the engine", call.leg)

    def _send(self, data: bytes, address: Address) -> None:
        assert self._socket is not None
        try:
            self._socket.sendto(data, address)
        except OSError as error:
            log.info("first words could not be sent: %s", type(error).__name__)

    def _listen(self, read_message: Callable[[bytes], Request | Response]) -> None:
        assert self._loop is not None
        assert self._socket is not None
        self._loop.add_reader(self._socket, self._hear, read_message)

    def _hear(self, read_message: Callable[[bytes], Request | Response]) -> None:
        assert self._socket is not None
        assert self._transactions is not None
        try:
            data, source = self._socket.recvfrom(65536)
        except OSError:
            return
        if source[0] not in {call.host for call in self._calls.values()}:
            return
        try:
            self._transactions.receive(read_message(data), (source[0], source[1]))
        except Exception:
            log.info("a datagram of %d bytes was not understood before the node was awake", len(data))

    def _asked(self, request: Request, server: Server) -> None:
        """The far side may hang up itself; whatever else it asks is asked again when the node is awake."""
        if request.method == "BYE" and request.call_id in self._calls:
            server.respond(respond(request, 200, "OK"))


def _bound(mouth: Mouth) -> socket.socket:
    family = socket.AF_INET6 if ":" in mouth.bind else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.bind((mouth.bind, mouth.port))
    except OSError:
        opened.close()
        raise
    return opened
