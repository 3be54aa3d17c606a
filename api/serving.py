"""Run the doors: uvicorn on an address of settings, with the key of this machine beside it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from api.app import create_app
from api.house import House
from api.machine_key import published
from config.errors import Unhealthy


class AddressTaken(Unhealthy):
    """The web address cannot be listened on."""

    error_id = "web-address-taken"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises AddressTaken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise AddressTaken(
            f"the address cannot be listened on ({error.strerror})",
            field="web.port",
            remedy="stop the program that has it, or set web.host and web.port",
        ) from error


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # how an unbound address is written, not a binding
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Doors(uvicorn.Server):
    """uvicorn raises the signal again after its own clean-up, which would end the process before ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for one in signals:
            loop.add_signal_handler(one, self._stop)
        try:
            yield
        finally:
            for one in signals:
                loop.remove_signal_handler(one)

    def _stop(self) -> None:
        self.should_exit = True


async def serve_doors(house: House, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve until told to stop (SIGINT, SIGTERM, or cancelled). ``ready`` is called with the address."""
    web = house.settings.web
    with listen(web.host, web.port) as listener:
        url = address_of(listener)
        with published(web.key_file, url) as key:
            config = uvicorn.Config(
                create_app(house, machine_key=key),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws_max_size=1 << 16,
                timeout_graceful_shutdown=5,
                h11_max_incomplete_event_size=1 << 16,
            )
            server = _Doors(config)
            if ready is not None:
                ready(url)
            try:
                await server.serve(sockets=[listener])
            except asyncio.CancelledError:
                server.should_exit = True
                raise
