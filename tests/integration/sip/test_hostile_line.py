"""A carrier at its worst on real sockets, with the real relay and real tapes: each call is drawn from the seed and its own
number, so that one call's timing does not change what the next one meets."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.events import LegAnswered, LegEnded
from dialer.media.client import MediaRelay
from recording.recorder import Recorder
from recording.seal import seal
from tests.integration.sip.peers import HOST, office, order, trunk
from tests.integration.sip.wire import Heard, Wire, description, wire
from tests.rtp_phone import Phone

CALLS = 24
FINAL = (404, 408, 480, 486, 488, 500, 503, 600, 603, 607, 699)


def noise(chance: random.Random) -> bytes:
    """Something at the sound port: STUN, RTCP, RTP with its head bent, DTLS, nothing much, too much."""
    rtp = bytes((0x80, chance.choice((0, 8, 13, 18, 101, 127)))) + chance.randbytes(10)
    bent = [
        b"\0\x01\0\0\x21\x12\xa4\x42" + chance.randbytes(12),
        b"\x80\xc8" + chance.randbytes(26),
        bytes((chance.randrange(256),)) + rtp[1:] + chance.randbytes(chance.randrange(200)),
        b"\x16\xfe\xff" + chance.randbytes(100),
        rtp + chance.randbytes(160),
        chance.randbytes(chance.choice((1, 4, 11, 12))),
        rtp + chance.randbytes(4000),
    ]
    return chance.choice(bent)


async def misbehave(far: Wire, invite: Heard, chance: random.Random, phone: Phone) -> None:
    """What one callee's exchange does with one INVITE; it may leave it open."""
    tags = [f"t{chance.randrange(3)}" for _ in range(2)]
    speaks = chance.random() < 0.5
    for _ in range(chance.randrange(5)):
        status = chance.choice((100, 180, 181, 183, 183, 199))
        body = description(phone.port) if chance.random() < 0.5 and status > 100 else ""
        far.respond(invite, status, body=body, tag=chance.choice(tags), times=chance.choice((1, 1, 20)))
    for _ in range(chance.randrange(60) if speaks else 0):
        phone.sock.sendto(noise(chance), invite.media)
        phone.send(invite.media)
    await asyncio.sleep(chance.choice((0, 0.02, 0.1)))
    tag = chance.choice(tags)
    match chance.randrange(6):
        case 0:
            return
        case 1:
            far.respond(invite, chance.choice(FINAL), 'Reason: Q.850;cause=17;text="x"', tag=tag, times=2)
        case _:
            formats = chance.choice(("8 101", "0 8", "18", "97"))
            body = description(phone.port, formats, "a=rtpmap:97 PCMA/8000", ptime=chance.choice((None, 20, 30)))
            far.respond(invite, 200, body=chance.choice((body, body, body, "", "v=0\r\n")), tag=tag, times=2)
            if chance.random() < 0.3:
                far.respond(invite, 200, body=body, tag="another")
            for _ in range(chance.randrange(80)):
                phone.sock.sendto(noise(chance), invite.media)
                phone.send(invite.media)
            far.invite, far.tag = invite, tag
            for method in chance.sample(("INVITE", "UPDATE", "INFO", "NOTIFY", "MESSAGE", "OPTIONS", "WINK", "BYE"), 3):
                far.ask(method, body=chance.choice(("", description(phone.port), "v=")), cseq=chance.randrange(1, 9))


async def agree_to_ends(far: Wire, chance: random.Random) -> None:
    """Answer most of the BYEs and CANCELs that come, some late, some never."""
    answered: set[str] = set()
    while True:
        for one in [*far.of("BYE"), *far.of("CANCEL")]:
            if one.text not in answered and chance.random() < 0.3:
                answered.add(one.text)
                far.respond(one, chance.choice((200, 200, 200, 481, 500)))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", [2, 17, 25])
async def test_every_call_ends_and_nothing_is_left(tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    relay = MediaRelay(runtime_dir=tmp_path / "run", unflushed_seconds=30.0)
    recorder = Recorder(RecordingSettings(directory=tmp_path / "tapes", low_watermark_bytes=0), SystemClock())
    phone = Phone()
    caplog.set_level(logging.INFO)
    async with (
        wire() as far,
        office(trunk(far.port, channels=CALLS, cps=500), relay=relay, t1_milliseconds=10) as ours,
    ):
        agreeing = asyncio.create_task(agree_to_ends(far, random.Random(seed)))
        sockets = len(os.listdir(f"/proc/{relay.pid}/fd"))  # noqa: PTH208  # a directory of the kernel
        legs = {}
        for number in range(CALLS):
            tape = recorder.arm(f"call_{number}")
            leg = await ours.engine.place(replace(order(ring_seconds=0.5, set_up_seconds=1.5), tape=tape))
            legs[leg] = tape
            invites = {one.header("Call-ID"): one for one in far.of("INVITE")}
            while len(invites) <= number:
                await asyncio.sleep(0.005)
                invites = {one.header("Call-ID"): one for one in far.of("INVITE") if ";tag=" not in one.header("To")}
            await misbehave(far, list(invites.values())[number], random.Random(f"{seed}.{number}"), phone)
        await asyncio.sleep(0.5)
        for leg in legs:
            await ours.engine.hangup(leg)
        for leg in legs:
            assert (await ours.heard.ended(leg)).cause
        agreeing.cancel()
        assert len(ours.heard.all(LegEnded)) == CALLS
        assert len(ours.heard.all(LegAnswered)) >= 5, "the test lost its bite"
        board = ours.engine._board
        for _ in range(400):  # an address passes the gate while repetitions may come: longer than its transactions last
            left = len(board.transactions), len(os.listdir(f"/proc/{relay.pid}/fd")), dict(board.gate._hosts)  # noqa: PTH208
            if left == (0, sockets, {HOST: 1}):
                break
            await asyncio.sleep(0.02)
        assert len(board.transactions) == 0
        assert len(board._dialogs) == 0
        assert len(os.listdir(f"/proc/{relay.pid}/fd")) == sockets, "a call's socket or tape is still open"  # noqa: PTH208
        assert dict(board.gate._hosts) == {HOST: 1}
        assert board._lines["main"].busy == 0
        assert "failed" not in ours.engine.counts
        for leg, tape in legs.items():
            assert tape.path.exists(), leg
            assert seal(tape.path, tmp_path / "sealed").classification
    phone.close()
    assert not [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
