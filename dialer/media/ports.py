"""Media sockets: a leg's open one and the one connected to its source. Even UDP ports of a range in turn (RFC 3550 section 11), or any free port."""

from __future__ import annotations

import errno
import os
import socket

_RECEIVE_BYTES = 256 * 1024  # early media waits here until its session description is known


def bind_media(host: str, ports: tuple[int, int], start: int) -> tuple[socket.socket, int]:
    """A non-blocking socket and the port to try next. Raises OSError when every port of the range is taken."""
    first, last = ports
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        if first == 0:
            sock.bind((host, 0))
            return sock, 0
        evens = range(first + first % 2, last + 1, 2)
        at = max(0, (start - evens.start) // 2) if evens else 0
        for turn in range(len(evens)):
            port = evens[(at + turn) % len(evens)]
            try:
                sock.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return sock, port + 2
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    except BaseException:
        sock.close()
        raise


def connect_media(sock: socket.socket, source: tuple[str, int]) -> socket.socket:
    """A second non-blocking socket on ``sock``'s port, connected: the kernel gives it all of ``source``'s packets.

    Until it is connected it may get anybody's: read it by ``recvfrom`` until it is empty, once. Raises OSError.
    """
    line = socket.socket(sock.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        # Both share the port for as long as the bind takes; afterwards it is nobody else's again.
        for one in (sock, line):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            line.bind(sock.getsockname())
        finally:
            for one in (sock, line):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        line.connect(source)
    except BaseException:
        line.close()
        raise
    return line
