"""Who may speak to us, and what may be said: strangers, desks, torture, noise."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from config.settings import DeskSettings
from dialer.engine import EngineUnhealthy
from dialer.events import LegAnswered
from tests.integration.sip.peers import office, sipp, trunk

TORTURE = Path(__file__).parent.parent / "torture"


def say(datagrams: list[bytes], to: tuple[str, int], source: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((source, 0))
        for datagram in datagrams:
            peer.sendto(datagram, to)


async def test_a_stranger_is_dropped_and_counted(tmp_path: Path) -> None:
    request = (
        "OPTIONS sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:{port};branch=z9hG4bKx;rport\r\n"
        "From: <sip:a@b>;tag=1\r\nTo: <sip:us@127.0.0.1>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
    async with sipp("answer", tmp_path) as far, office(trunk(far.port)) as ours:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.2", 0))
            stranger.settimeout(0.3)
            stranger.sendto(request.replace("{port}", str(stranger.getsockname()[1])).encode(), ours.engine.address)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(stranger.recv, 2000)
        assert ours.engine.counts["unknown_source"] == 1
        assert "malformed" not in ours.engine.counts, "it was dropped before it was read"


async def test_a_strangers_sipp_hears_nothing(tmp_path: Path) -> None:
    async with (
        office(trunk(9)) as ours,
        sipp("stranger", tmp_path, towards=ours.engine.address, host="127.0.0.67") as far,
    ):
        await far.finished()
        assert ours.engine.counts["unknown_source"] >= 1


async def test_requests_outside_a_call(tmp_path: Path) -> None:
    """OPTIONS 200, BYE without a dialog 481, INVITE 480, an unknown method 405, an unknown extension 420."""
    async with office(trunk(9)) as ours, sipp("strangers_requests", tmp_path, towards=ours.engine.address) as far:
        await far.finished()


async def test_torture_and_noise_from_a_known_peer_stop_nothing(tmp_path: Path) -> None:
    """RFC 4475's kinds of message, then random bytes, then mutations of a valid one; then a call."""
    chance = random.Random(4475)
    torture = [path.read_bytes() for path in sorted(TORTURE.glob("*.sip"))]
    assert len(torture) >= 20
    noise = [chance.randbytes(chance.randrange(1, 1400)) for _ in range(300)]
    mutations = [_mutated(chance.choice(torture), chance) for _ in range(700)]
    async with sipp("answer", tmp_path) as far, office(trunk(far.port)) as ours:
        await asyncio.to_thread(say, torture + noise + mutations, ours.engine.address, "127.0.0.1")
        await asyncio.sleep(0.5)  # a flood that fills the socket is not what this test is about
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await asyncio.to_thread(say, torture + mutations, ours.engine.address, "127.0.0.1")
        await asyncio.sleep(0.5)
        await ours.engine.hangup(leg)
        await ours.heard.ended(leg)
        await far.finished()
        assert ours.engine.counts["malformed"] > 100
        assert "failed" not in ours.engine.counts, "a message went through reading and broke its handler"


def _mutated(message: bytes, chance: random.Random) -> bytes:
    raw = bytearray(message)
    for _ in range(chance.randrange(1, 20)):
        position = chance.randrange(len(raw))
        match chance.randrange(3):
            case 0:
                raw[position] = chance.randrange(256)
            case 1:
                del raw[position : position + chance.randrange(1, 10)]
            case _:
                raw[position:position] = chance.randbytes(chance.randrange(1, 10))
        if not raw:
            raw += b"x"
    return bytes(raw)


PHONE = DeskSettings(name="101", username="101", password="letmein")  # type: ignore[arg-type]  # pydantic wraps it


async def test_a_desk_registers_and_is_called(tmp_path: Path) -> None:
    async with sipp("answer", tmp_path / "phone") as phone, office(trunk(9), desks=(PHONE,)) as ours:
        with pytest.raises(EngineUnhealthy):
            await ours.desk("")
        word = {"word": "letmein", "phone": str(phone.port)}
        async with sipp("desk_registers", tmp_path / "reg", towards=ours.engine.address, **word) as desk:
            await desk.finished()
        leg = await ours.desk("")
        await ours.heard.wait(LegAnswered, leg=leg)
        assert ours.relay.opened[0][1:] == ("desk", None)
        await ours.engine.hangup(leg)
        await phone.finished()


async def test_a_wrong_password_does_not_register(tmp_path: Path) -> None:
    async with office(trunk(9), desks=(PHONE,)) as ours:
        word = {"word": "guess", "phone": "9"}
        async with sipp("desk_registers", tmp_path, towards=ours.engine.address, **word) as desk:
            assert await asyncio.wait_for(desk.process.wait(), 10) != 0
        assert "401" in desk.log
        with pytest.raises(EngineUnhealthy):
            await ours.desk("")


async def test_registrations_from_strangers_are_limited() -> None:
    request = (
        "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3:9;branch=z9hG4bK{n}\r\n"
        "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x{n}\r\nCSeq: 1 REGISTER\r\n\r\n"
    )
    flood = [request.replace("{n}", str(number)).encode() for number in range(100)]
    async with office(trunk(9), desks=(PHONE,), registers_per_second=5) as ours:
        await asyncio.to_thread(say, flood, ours.engine.address, "127.0.0.3")
        await asyncio.sleep(0.2)
        assert ours.engine.counts["registrations_too_fast"] >= 90
    async with office(trunk(9)) as ours:  # no desk registers here: not even read
        await asyncio.to_thread(say, flood, ours.engine.address, "127.0.0.3")
        await asyncio.sleep(0.2)
        assert ours.engine.counts["unknown_source"] == 100


async def test_a_challenged_phone_is_nailed_up_and_kept_alive(tmp_path: Path) -> None:
    """Digest before it rings; OPTIONS inside the dialog until it says 481."""
    async with sipp("challenged_phone", tmp_path) as phone, office(trunk(9), desk_options_seconds=0.3) as ours:
        leg = await ours.desk(f"sip:101@127.0.0.1:{phone.port}", username="101", password="letmein")
        answered = await ours.heard.wait(LegAnswered, leg=leg)
        assert (answered.call_id, answered.codec) == (None, "PCMU")
        ended = await ours.heard.ended(leg)
        await phone.finished()
        assert ended.answered
        assert ours.relay.remotes[leg][-1].telephone_event_pt == 96
        assert ours.relay.remotes[leg][-1].ptime == 30
