"""RFC 4475's own messages from the trunk's own address, and floods: calls go on, valid requests are answered."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from case_store.network import HangupCause
from config.clock import SystemClock
from config.settings import DeskSettings, RecordingSettings
from dialer.events import LegAnswered, LegEnded, LegHeld
from dialer.media.client import MediaRelay
from recording.recorder import Recorder
from recording.tape_reading import read_tape
from tests.integration.sip.peers import HOST, Office, office, order, trunk
from tests.integration.sip.wire import Wire, description, until, wire
from tests.rtp_phone import Phone

RFC4475 = Path(__file__).parent.parent / "torture" / "rfc4475"
MESSAGES = {path.stem: path.read_bytes() for path in sorted(RFC4475.glob("*.dat"))}

# What a line that takes no calls and no registrations says to each. Not named: no answer, dropped and counted.
ANSWERS = {
    **dict.fromkeys(("lwsdisp", "semiuri", "transports", "trws", "zeromf", "badbranch"), 200),
    **dict.fromkeys(("esc01", "escruri", "longreq", "baddate", "lwsstart", "invut", "sdp01", "inv2543"), 480),
    **dict.fromkeys(("escnull", "dblreq", "cparam01", "cparam02", "regescrt", "regaut01", "regbadct"), 405),
    **dict.fromkeys(("intmeth", "esc02"), 501),
    **dict.fromkeys(("badinv01", "ncl"), 480),  # the RFC would have them refused with 400; refused they are
    "wsinv": 481,  # it has a To tag: no dialog of ours
    "bext01": 420,
}
# They have branch and Via of another REGISTER: rightly taken for its repetition until that is forgotten.
REPEATING = ("regescrt", "cparam02")
RESPONSES = ("bcast", "unreason", "noreason")


def overhear(ours: Office) -> Callable[[str], list[bytes]]:
    """What the engine sends about one Call-ID, wherever the message's Via would have it go."""
    transactions = ours.engine._board.transactions
    before, sent = transactions.send, []

    def send(data: bytes, address: tuple[str, int]) -> None:
        sent.append(data)
        if address[1] != 5060:  # the RFC's messages name no port of this test
            before(data, address)

    transactions.send = send
    return lambda name: [data for data in list(sent) if call_id_of(MESSAGES[name]).encode() in data]


def call_id_of(message: bytes) -> str:
    found = re.search(rb"(?im)^(?:call-id|i)\s*:\s*(\S+)", message)
    return found[1].decode() if found else "none at all"


async def test_each_message_of_rfc_4475_has_its_answer() -> None:
    assert len(MESSAGES) == 48
    async with wire() as far, office(trunk(far.port), t1_milliseconds=10) as ours:
        answers: dict[str, int] = {}
        heard = overhear(ours)
        for name, message in MESSAGES.items():
            if name not in REPEATING:
                far.send(message, ours.engine.address)
        await until(lambda: heard("escnull") and len(ours.engine._board.transactions) == 0)
        for name in REPEATING:
            far.send(MESSAGES[name], ours.engine.address)
        counts = ours.engine._board.gate.counts
        dropped = len(MESSAGES) - len(ANSWERS) - len(RESPONSES)
        await until(lambda: counts["malformed"] == dropped and all(heard(name) for name in ANSWERS))
        for name in MESSAGES:
            codes = {int(data.split()[1]) for data in heard(name)}
            assert len(codes) <= 1, name
            if codes:
                answers[name] = codes.pop()
        assert answers == ANSWERS
        assert b"nothingsupportsthis, nothingsupportsthiseither" in heard("bext01")[0]
        assert counts["failed"] == 0
        assert ours.engine._board.transactions.unmatched_responses == len(RESPONSES)


async def test_registrations_of_rfc_4475_are_challenged_where_desks_register() -> None:
    desk = DeskSettings(name="101", username="101", password="letmein")  # type: ignore[arg-type]  # pydantic wraps it
    names = ("cparam01", "regescrt", "regaut01", "regbadct")
    async with wire() as far, office(trunk(far.port), desks=(desk,)) as ours:
        heard = overhear(ours)
        for name in names:
            far.send(MESSAGES[name], ours.engine.address)
        await until(lambda: all(heard(name) for name in names))
        assert {heard(name)[0].split()[1] for name in names} == {b"401"}


async def test_torture_before_during_and_after_a_call() -> None:
    async with wire() as far, office(trunk(far.port)) as ours:
        counts = ours.engine._board.gate.counts

        async def torture() -> None:
            before = counts["malformed"]
            for message in MESSAGES.values():
                far.send(message, ours.engine.address)
            await until(lambda: counts["malformed"] - before == len(MESSAGES) - len(ANSWERS) - len(RESPONSES))

        await torture()
        leg = await ours.place()
        invite = await far.hear("INVITE")
        far.respond(invite, 180)
        await torture()
        far.respond(invite, 200, body=description(4000))
        await far.hear("ACK")
        await ours.heard.wait(LegAnswered, leg=leg)
        await torture()
        far.ask("INVITE", body=description(4000, "8", "a=inactive"))
        await far.hear(200)
        far.ask("ACK", cseq=far.cseq)
        await ours.heard.wait(LegHeld, leg=leg)
        await ours.engine.hangup(leg)
        await torture()
        await far.hung_up()
        assert (await ours.heard.ended(leg)).cause is HangupCause.NORMAL
        assert counts["failed"] == 0
        assert len(ours.heard.all(LegEnded)) == 1


FLOOD = """
import random, socket, sys, time
host, port, source, seconds, rate = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), int(sys.argv[5])
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.bind((source, 0))
chance = random.Random(1)
noise = [chance.randbytes(chance.randrange(20, 900)) for _ in range(200)]
noise += [b"INVITE sip:x@y SIP/2.0\\r\\nVia: " + one for one in noise]
begin, sent = time.monotonic(), 0
while (now := time.monotonic() - begin) < seconds:
    for _ in range(int(now * rate) - sent):
        peer.sendto(noise[sent % 400], (host, port))
        sent += 1
    time.sleep(0.001)
print(sent)
"""


@pytest.mark.parametrize("source", [HOST, "127.0.0.66"], ids=["from the trunk", "from a stranger"])
async def test_a_flood_of_garbage_does_not_touch_a_call(tmp_path: Path, source: str) -> None:
    """20,000 datagrams a second for two seconds at the SIP port, while a customer speaks and then hangs up."""
    relay = MediaRelay(runtime_dir=tmp_path / "run", unflushed_seconds=30.0)
    recorder = Recorder(RecordingSettings(directory=tmp_path / "tapes", low_watermark_bytes=0), SystemClock())
    customer = Phone()
    async with wire() as far, office(trunk(far.port), relay=relay) as ours:
        tape = recorder.arm("call_1")
        leg = await ours.engine.place(replace(order(), tape=tape))
        media = (await far.answered(customer.port)).media
        await ours.heard.wait(LegAnswered, leg=leg)
        flood = subprocess.Popen(  # noqa: ASYNC220  # its own process, so that it does not wait for this loop
            [sys.executable, "-c", FLOOD, ours.engine.address[0], str(ours.engine.address[1]), source, "2", "20000"],
            stdout=subprocess.PIPE,
        )
        while flood.poll() is None:
            customer.send(media)
            await asyncio.sleep(0.02)
        assert flood.stdout is not None
        assert int(flood.stdout.read()) > 5_000
        flood.stdout.close()
        await hang_up(far)
        ended = await ours.heard.ended(leg)
        assert (ended.cause, ended.answered) == (HangupCause.NORMAL, True)
        assert ours.engine.counts["malformed" if source == HOST else "unknown_source"] > 1_000
        assert "failed" not in ours.engine.counts
    tape_found = read_tape(tape.path)
    frames = zip(tape_found.far.offset.tolist(), tape_found.far.length.tolist(), strict=True)
    assert [tape_found.data[at : at + size].tobytes() for at, size in frames] == customer.payloads
    customer.close()


async def hang_up(far: Wire) -> None:
    """BYE, repeated as RFC 3261 17.1.2 has it: the first may drown."""
    for _ in range(40):
        far.ask("BYE", cseq=500, branch="bye")
        await asyncio.sleep(0.1)
        if far.of(200):
            return
    raise AssertionError("the BYE was never answered")
