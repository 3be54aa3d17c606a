"""The relay as a process: started in a session of its own, so that it outlives control, and reached by its socket."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

_SEND_BUFFER = 1 << 20


async def spawn(socket_path: Path, log_path: Path, options: Mapping[str, object]) -> asyncio.subprocess.Process:
    """Start a relay that will listen at ``socket_path``; ``options`` are its command line's, without dashes."""
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dialer.media.relay", "--socket", str(socket_path), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)


def connect(path: Path) -> socket.socket | None:
    """A connection to the relay that listens there, or None."""
    if not path.exists():
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        # By way of /proc: a deep directory would not fit the 108 bytes of a socket's address.
        connection.connect(f"/proc/self/fd/{directory}/{path.name}")
    except OSError:
        connection.close()
        return None
    finally:
        os.close(directory)
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return connection
