"""Symmetric RTP, restricted: which source a leg listens to.

A leg latches on the first packet from a plausible source: the host of its session description, from any port, or a
network the trunk's settings list. It moves to another plausible source only with a new SSRC, when the old source
has been silent for two seconds (a NAT that rebound its port), or when the same stream goes on from there: same SSRC, the
next sequence numbers. A phone that moves to another port by UPDATE or re-INVITE sends from it as soon as it has our
answer, often before we have read its description. A copy from a second port is no next number; like everybody else it is
dropped and counted.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Source = tuple[str, int]

SILENT_NS = 2_000_000_000
_GOES_ON = 150  # sequence numbers: 3 s of packets may be lost on the way from one port to the other


class Latch:
    """``source`` is what the leg listens to and sends to once latched; None before."""

    __slots__ = ("_host", "_networks", "_port", "_verdicts", "source", "ssrc")

    def __init__(self) -> None:
        self._host: str | None = None
        self._port = 0
        self._networks: tuple[IPv4Network | IPv6Network, ...] = ()
        self._verdicts: dict[str, bool] = {}
        self.source: Source | None = None
        self.ssrc: int | None = None

    def expect(self, host: str, port: int, plausible: tuple[str, ...]) -> None:
        """A session description said so. The same host and port again keep the latch."""
        networks = tuple(ip_network(one) for one in plausible)
        if (host, port, networks) == (self._host, self._port, self._networks):
            return
        self._host, self._port, self._networks = host, port, networks
        self._verdicts.clear()
        self.source = self.ssrc = None

    def is_plausible(self, host: str) -> bool:
        verdict = self._verdicts.get(host)
        if verdict is None:
            address = ip_address(host)
            verdict = host == self._host or any(address in network for network in self._networks)
            if len(self._verdicts) < 256:  # strangers may send from many addresses
                self._verdicts[host] = verdict
        return verdict

    def accepts(self, source: Source, ssrc: int, silent_ns: int, ahead: int = 0) -> bool:
        """Whether a sound packet from ``source`` counts; latches or moves when it may. ``silent_ns``: since the last.

        ``ahead``: its sequence number less the highest so far, modulo 2**16.
        """
        if source == self.source:
            self.ssrc = ssrc
            return True
        if not self.is_plausible(source[0]):
            return False
        if self.source is None or ssrc != self.ssrc or silent_ns > SILENT_NS or 0 < ahead <= _GOES_ON:
            self.source, self.ssrc = source, ssrc
            return True
        return False

    def target(self) -> Source | None:
        """Where to send: the latched source, else the address of the session description."""
        if self.source is not None:
            return self.source
        return None if self._host is None else (self._host, self._port)
