"""The engine's start: whoever a crash left on a line is not kept there by the relay, nor is the node by one killed relay."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from config.clock import SystemClock
from config.settings import Settings, SipSettings, TrunkSettings
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.engines.sip.journal import Journal, OpenCall
from dialer.media import words
from tests.integration.sip.stand_in_relay import StandInRelay


class WakingBadly(StandInRelay):
    def __init__(self, times: int) -> None:
        super().__init__()
        self.falls = times

    async def start(self) -> tuple[words.LegState, ...]:
        self.falls -= 1
        if self.falls >= 0:
            raise words.RelayUnhealthy("it was killed", remedy="start it again")
        return await super().start()


def engine_with(relay: StandInRelay, journal: Path | None = None, port: int = 9) -> SipTrunkEngine:
    sip = SipSettings(bind_host="127.0.0.1", bind_port=0, journal=journal)
    return SipTrunkEngine(
        Settings(sip=sip, trunks=(TrunkSettings(name="far", host="127.0.0.1", port=port, options_seconds=0),)),
        SystemClock(),
        relay,
    )


async def test_a_relay_killed_while_it_wakes_up_is_started_again() -> None:
    relay = WakingBadly(2)
    engine = engine_with(relay)
    await engine.start()
    assert relay.up
    await engine.close()


async def test_a_relay_that_never_comes_is_said_and_closing_afterwards_hides_nothing() -> None:
    engine = engine_with(WakingBadly(99))
    with pytest.raises(words.RelayUnhealthy, match="killed"):
        await engine.start()
    await engine.close()


class _Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # it is one
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        lines = data.split(b"\r\n")
        kept = [one for one in lines if one.lower().startswith((b"via:", b"from:", b"to:", b"call-id:", b"cseq:"))]
        answer = [b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]
        self.transport.sendto(b"\r\n".join(answer), addr)


async def test_an_orphaned_line_gets_its_bye_while_the_relay_still_starts(tmp_path: Path) -> None:
    transport, ear = await asyncio.get_running_loop().create_datagram_endpoint(_Ear, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    dead = Journal(tmp_path / "dialogs.journal")
    dead.start()
    headers = [
        ["from", "<sip:me@127.0.0.1>;tag=a"],
        ["to", "<sip:1@127.0.0.1>"],
        ["call-id", "orphan"],
        ["cseq", "1 INVITE"],
    ]
    dead.record(
        OpenCall(
            leg="leg_1",
            call_id="call_1",
            trunk="far",
            host="127.0.0.1",
            port=port,
            uri="sip:1@127.0.0.1",
            headers=headers,
            answered=True,
            remote="<sip:1@127.0.0.1>;tag=b",
            target=f"sip:1@127.0.0.1:{port}",
            cseq=1,
        )
    )
    dead.close()
    relay = StandInRelay()
    relay.may_start.clear()
    engine = engine_with(relay, tmp_path / "dialogs.journal", port)
    starting = asyncio.create_task(engine.start())
    async with asyncio.timeout(10):
        while not any(one.startswith(b"BYE ") for one in ear.heard):  # noqa: ASYNC110  # it comes from another thread
            await asyncio.sleep(0.02)
    assert not starting.done()
    relay.may_start.set()
    await starting
    await engine.close()
    transport.close()
