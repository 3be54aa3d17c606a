"""The relay's end of the socket control drives it by: one control at a time, and a grace time without any."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dialer.media.commands import pack, unpack

_SEND_BUFFER = 4 << 20


class Poll(Protocol):
    """The loop that watches sockets."""

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None: ...
    def unwatch(self, sock: socket.socket) -> None: ...


class ControlSocket:
    """``take`` is called with each message of whoever is attached."""

    def __init__(self, path: Path, poll: Poll, take: Callable[[dict[str, Any]], None], grace_seconds: float) -> None:
        self._path = path
        self._poll = poll
        self._take = take
        self._grace_seconds = grace_seconds
        self._control: socket.socket | None = None
        self._backlog: deque[bytes] = deque()
        self._grace_until: float | None = time.monotonic() + grace_seconds
        self._listener = _listen(path)
        poll.watch(self._listener, self._on_attach)

    @property
    def is_over(self) -> bool:
        """Whether nobody has been attached for longer than the grace time."""
        return self._grace_until is not None and time.monotonic() > self._grace_until

    @property
    def listens(self) -> bool:
        """Whether somebody is attached and has taken all that was told."""
        return self._control is not None and not self._backlog

    def tell(self, message: dict[str, Any]) -> None:
        if self._control is None:
            return
        self._backlog.append(pack(message))
        self.flush()

    def flush(self) -> None:
        while self._backlog and self._control is not None:
            try:
                self._control.send(self._backlog[0])
            except BlockingIOError:
                return  # control is slow; its next turn comes with the next status
            except OSError:
                self._lose()
                return
            self._backlog.popleft()

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        if self._control is not None:
            self.flush()
        if self._control is not None:
            self._control.close()

    def _on_attach(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        if self._control is not None:
            self._lose()
        connection.setblocking(False)
        # As much as the system allows (net.core.wmem_max); the rest waits in the backlog.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._control = connection
        self._grace_until = None
        self._poll.watch(connection, self._on_message)

    def _on_message(self) -> None:
        assert self._control is not None
        try:
            datagram = self._control.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            datagram = b""
        if datagram:
            self._take(unpack(datagram))
        else:
            self._lose()

    def _lose(self) -> None:
        if self._control is not None:
            self._poll.unwatch(self._control)
            self._control.close()
        self._control = None
        self._backlog.clear()
        self._grace_until = time.monotonic() + self._grace_seconds


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.umask(before)
    finally:
        os.close(directory)
    listener.listen(4)
    return listener
