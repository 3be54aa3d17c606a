"""The UDP socket and the gate in front of it: what comes from nobody we know is dropped before it is read."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import cast

from dialer.engines.sip.dialog import is_address
from dialer.engines.sip.message import Request, Response
from dialer.engines.sip.reading import read
from dialer.engines.sip.token_bucket import TokenBucket
from dialer.engines.sip.uri import Address, MalformedMessage

log = logging.getLogger(__name__)

Handler = Callable[[Request | Response, Address], None]
_STRANGERS_REMEMBERED = 1000


class Gate:
    """Who may speak to us. Addresses without ports: carriers answer from any port of theirs."""

    def __init__(self, *, open_to_registrations: bool, registers_per_second: float, now: Callable[[], float]) -> None:
        self._networks: tuple[IPv4Network | IPv6Network, ...] = ()
        self._hosts: Counter[str] = Counter()
        self._open_to_registrations = open_to_registrations
        self._rate = registers_per_second
        self._now = now
        self._registering: dict[str, TokenBucket] = {}
        self.counts: Counter[str] = Counter()

    def trust_networks(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)

    def trust(self, host: str) -> None:
        """Each ``trust`` is taken back by one ``distrust``."""
        self._hosts[host] += 1

    def distrust(self, host: str) -> None:
        self._hosts[host] -= 1
        if self._hosts[host] <= 0:
            del self._hosts[host]

    def admits(self, datagram: bytes, host: str) -> bool:
        """Whether to read it; counts what is dropped."""
        if host in self._hosts or (self._networks and self._in_networks(host)):
            return True
        if self._open_to_registrations and datagram.startswith(b"REGISTER "):
            if self._may_register(host):
                return True
            self.counts["registrations_too_fast"] += 1
            return False
        self.counts["unknown_source"] += 1
        return False

    def _in_networks(self, host: str) -> bool:
        address = ip_address(host)
        return any(address in network for network in self._networks)

    def _may_register(self, host: str) -> bool:
        now = self._now()
        bucket = self._registering.get(host)
        if bucket is None:
            if len(self._registering) >= _STRANGERS_REMEMBERED:
                self._registering.clear()  # a flood from many addresses; each starts again with a full bucket
            bucket = self._registering[host] = TokenBucket.full(self._rate, now)
        if not bucket.ready(now):
            return False
        bucket.take(now)
        return True


class SipSocket(asyncio.DatagramProtocol):
    """Reads datagrams for ``handler``. Nothing a peer sends stops it: trouble is counted and logged by kind."""

    def __init__(self, gate: Gate, handler: Handler) -> None:
        self.gate = gate
        self._handler = handler
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        # A burst of answers must not overflow the kernel's default 208 kB; it grants at most net.core.rmem_max.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.gate.admits(data, addr[0]):
            return
        if len(data) < 12 or not data.strip(b"\r\n\x00 "):
            self.gate.counts["keep_alive"] += 1
            return
        try:
            message = read(data)
            self._handler(message, (addr[0], addr[1]))
        except MalformedMessage as error:
            self.gate.counts["malformed"] += 1
            if _worth_a_line(self.gate.counts["malformed"]):
                log.info(
                    "a datagram of %d bytes was no SIP message: %s (number %d)",
                    len(data),
                    error.problem,
                    self.gate.counts["malformed"],
                )
        except Exception:  # one message, however strange, must not stop the calls beside it
            self.gate.counts["failed"] += 1
            if _worth_a_line(self.gate.counts["failed"]):
                log.exception("a SIP message could not be handled (number %d)", self.gate.counts["failed"])

    def error_received(self, exc: Exception) -> None:
        self.gate.counts["icmp"] += 1
        log.info("the SIP socket was told: %s", type(exc).__name__)

    def send(self, data: bytes, address: Address) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not is_address(address[0]) or not 0 < address[1] < 65536:
            self.gate.counts["unsendable"] += 1  # asyncio would look a name up, or close the socket on such a port
            return
        self._transport.sendto(data, address)

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _worth_a_line(count: int) -> bool:
    """The first hundred, then each thousandth: a flood must not become a flood of log lines."""
    return count <= 100 or count % 1000 == 0
