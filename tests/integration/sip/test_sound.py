"""Engine, real relay, real tape, and a far side that sends exactly known packets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from case_store.network import HangupCause
from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.call import LegId
from dialer.engine import EngineUnhealthy
from dialer.events import LegAnswered, LegDtmf, LegFirstAudio, LegProgress, RelayState, TapeTrouble
from dialer.media.client import MediaRelay
from recording.recorder import Recorder
from recording.tape_reading import TapeContents, read_tape
from tests.integration.sip.peers import HOST, Office, office, order, trunk
from tests.integration.sip.wire import Wire, description, until, wire
from tests.rtp_phone import Heard, Phone, packet


@dataclass
class House:
    """An office with a real relay; a carrier and a desk by hand, each with a phone's media end."""

    ours: Office
    relay: MediaRelay
    recorder: Recorder
    far: Wire
    desk: Wire
    customer: Phone
    agent: Phone
    tapes: Path

    async def call(self, call_id: str = "call_1") -> LegId:
        return await self.ours.engine.place(replace(order(), tape=self.recorder.arm(call_id)))

    async def talking(self) -> tuple[LegId, tuple[str, int]]:
        leg = await self.call()
        media = (await self.far.answered(self.customer.port)).media
        await self.ours.heard.wait(LegAnswered, leg=leg)
        return leg, media

    async def nailed_up(self) -> tuple[LegId, tuple[str, int]]:
        leg = await self.ours.desk(f"sip:101@{HOST}:{self.desk.port}")
        media = (await self.desk.answered(self.agent.port)).media
        await self.ours.heard.wait(LegAnswered, leg=leg)
        return leg, media

    def tape(self, call_id: str = "call_1") -> TapeContents:
        return read_tape(self.tapes / f"{call_id}.tape")


@contextlib.asynccontextmanager
async def house(folder: Path, **relay_options: float) -> AsyncIterator[House]:
    options = {"unflushed_seconds": 30.0, **relay_options}
    relay = MediaRelay(runtime_dir=folder / "run", **options)  # type: ignore[arg-type]  # numbers all
    recorder = Recorder(RecordingSettings(directory=folder / "tapes", low_watermark_bytes=0), SystemClock())
    customer, agent = Phone(), Phone()
    try:
        async with wire() as far, wire() as desk, office(trunk(far.port), relay=relay) as ours:
            yield House(ours, relay, recorder, far, desk, customer, agent, folder / "tapes")
    finally:
        customer.close()
        agent.close()


def payloads(tape: TapeContents, side: str) -> list[bytes]:
    one = tape.near if side == "near" else tape.far
    pairs = zip(one.offset.tolist(), one.length.tolist(), strict=True)
    return [tape.data[at : at + size].tobytes() for at, size in pairs]


async def over(made: House, leg: LegId) -> None:
    await made.ours.engine.hangup(leg)
    await made.far.hung_up()
    await made.ours.heard.ended(leg)


# RFC 4733


def event(phone: Phone, code: int, timestamp: int, duration: int, *, end: bool = False) -> bytes:
    phone.seq += 1
    payload = bytes((code, (0x80 if end else 0) | 10)) + duration.to_bytes(2, "big")
    return packet(phone.seq - 1, timestamp, phone.ssrc, payload, 101)


async def test_digits_come_in_once_each(tmp_path: Path) -> None:
    """Three ends; begin and middle lost; duplicates; a long one; all ends lost; one pressed before the answer."""
    async with house(tmp_path) as made:
        leg = await made.call()
        invite = await made.far.hear("INVITE")
        media = invite.media
        phone = made.customer

        def say(*packets: bytes) -> None:
            for one in packets:
                phone.sock.sendto(one, media)

        made.far.respond(invite, 183, body=description(phone.port))
        await made.ours.heard.wait(LegProgress, leg=leg, early_media=True)
        say(event(phone, 9, 100, 160), *[event(phone, 9, 100, 400, end=True) for _ in range(3)])
        await made.ours.heard.wait(LegDtmf, leg=leg, digit="9")
        made.far.respond(invite, 200, body=description(phone.port))
        await made.far.hear("ACK")
        await made.ours.heard.wait(LegAnswered, leg=leg)
        say(*[event(phone, 1, 2000, d) for d in (160, 320, 480)], *[event(phone, 1, 2000, 640, end=True)] * 3)
        say(event(phone, 2, 9000, 800, end=True))  # only the last of its packets arrived
        twice = event(phone, 3, 20000, 160), event(phone, 3, 20000, 320)
        say(*twice, *twice, *[event(phone, 3, 20000, 480, end=True) for _ in range(3)], twice[0])
        say(*[event(phone, 11, 40000, d) for d in range(160, 40000, 1600)])  # five seconds of #
        say(*[event(phone, 11, 40000, 40000, end=True) for _ in range(3)])
        say(event(phone, 4, 90000, 160), event(phone, 4, 90000, 320))  # its ends are lost
        say(event(phone, 16, 99000, 160, end=True))  # a hook flash is no key
        await made.ours.heard.wait(LegDtmf, leg=leg, digit="4")
        await asyncio.sleep(0.4)
        heard = [(one.digit, one.milliseconds) for one in made.ours.heard.all(LegDtmf)]
        assert heard == [("9", 50), ("1", 80), ("2", 100), ("3", 60), ("#", 5000), ("4", 40)]
        await over(made, leg)


async def test_our_digits_are_on_the_wire_as_rfc_4733_has_them(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        leg, media = await made.talking()
        made.customer.send(media)
        await made.ours.heard.wait(LegFirstAudio, leg=leg)
        await made.ours.engine.send_dtmf(leg, "15*#")
        events: list[Heard] = []

        def all_there() -> bool:
            made.customer.listen()
            events[:] = [one for one in made.customer.heard if one.payload_type == 101]
            return len(events) >= 28

        await until(all_there)
        keys = [events[at : at + 7] for at in range(0, 28, 7)]
        assert [key[0].payload[0] for key in keys] == [1, 5, 10, 11]
        for key in keys:
            assert {one.timestamp for one in key} == {key[0].timestamp}, "an event keeps its first timestamp (2.1)"
            assert [one.marker for one in key] == [True] + [False] * 6
            durations = [int.from_bytes(one.payload[2:4], "big") for one in key]
            assert durations == [160, 320, 480, 640, 800, 800, 800]
            assert [bool(one.payload[1] & 0x80) for one in key] == [False] * 4 + [True] * 3
        seqs = [one.seq for one in made.customer.heard]
        assert [(b - a) & 0xFFFF for a, b in pairwise(seqs)] == [1] * (len(seqs) - 1)
        await over(made, leg)
        near = made.tape().near
        assert int((near.payload_type == 101).sum()) == 28


# RTP habits


async def test_sound_before_the_answer_from_another_port_and_another_stream(tmp_path: Path) -> None:
    """RTP before any description; from a port nobody named; a new SSRC; comfort noise; 30 ms; mu-law in between."""
    async with house(tmp_path) as made:
        leg = await made.call()
        invite = await made.far.hear("INVITE")
        phone, media = made.customer, invite.media
        for _ in range(5):
            phone.send(media)
        made.far.respond(invite, 180)
        made.far.respond(invite, 200, body=description(phone.port + 1 if phone.port < 65000 else phone.port - 1))
        await made.far.hear("ACK")
        await made.ours.heard.wait(LegAnswered, leg=leg)
        for _ in range(5):
            phone.send(media)
            await asyncio.sleep(0.02)
        await made.ours.heard.wait(
            LegFirstAudio, leg=leg
        )  # of what came after the answer: the rest may be read before it
        phone.ssrc, phone.seq, phone.timestamp = 0x1234, 5, 777
        for _ in range(3):
            phone.send(media, phone.rng.randbytes(240))
        phone.sock.sendto(packet(phone.seq, phone.timestamp, phone.ssrc, b"\x20", 13), media)
        phone.seq += 1
        phone.payload_type = 0
        phone.send(media)
        await until(lambda: (made.tapes / "call_1.tape").exists())
        counters = await made.relay.counters(leg)
        while counters.received < 15:
            counters = await made.relay.counters(leg)
        assert counters.ssrc_changes == 1
        assert counters.dropped == {"comfort_noise": 1}
        await until(lambda: phone.listen() or phone.heard)  # we send to where it speaks from, not to where it said
        await over(made, leg)
        assert [one for one in payloads(made.tape(), "far") if len(one) > 1] == phone.payloads


async def test_what_a_desk_says_is_on_the_tape_and_at_the_customer_bit_by_bit(tmp_path: Path) -> None:
    """An agent whose computer stops for 150 ms now and then: nothing lost, nothing put between, in order."""
    async with house(tmp_path) as made:
        desk_leg, at_desk = await made.nailed_up()
        leg, at_customer = await made.talking()
        made.customer.send(at_customer)
        await made.ours.heard.wait(LegFirstAudio, leg=leg)
        await made.ours.engine.bridge(leg, desk_leg)
        for number in range(60):
            burst = 8 if number % 20 == 19 else 1
            await asyncio.sleep(0.02 * burst)
            for _ in range(burst):
                made.agent.send(at_desk)
            made.customer.listen()
        await asyncio.sleep(0.1)
        made.customer.listen()
        await over(made, leg)
        said = made.agent.payloads
        assert payloads(made.tape(), "near") == said
        heard = [one for one in made.customer.heard if one.payload in set(said)]
        assert [one.payload for one in heard] == said
        steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(heard)]
        assert all(step >= 160 and step % 160 == 0 for step in steps)
        await made.ours.engine.hangup(desk_leg)
        await made.desk.hung_up()


# What is taken away


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_the_real_relay_is_lost_in_a_call(tmp_path: Path, how: signal.Signals) -> None:
    """BYE to the customer and to the desk, CANCEL to who rings, RELAY_LOST once each; then it is back and a call works."""
    async with house(tmp_path) as made:
        desk_leg, _ = await made.nailed_up()
        leg, media = await made.talking()
        made.customer.send(media)
        await made.ours.heard.wait(LegFirstAudio, leg=leg)
        await made.ours.engine.bridge(leg, desk_leg)
        ringing = await made.call("call_2")
        second = await made.far.hear("INVITE", count=2)
        made.far.respond(second, 180, tag="ringing")
        await made.ours.heard.wait(LegProgress, leg=ringing, sip_status=180)
        pid = made.relay.pid
        assert pid is not None
        os.kill(pid, how)
        assert (await made.far.hung_up()).header("Call-ID") == made.far.of("INVITE")[0].header("Call-ID")
        await made.desk.hung_up()
        cancel = await made.far.hear("CANCEL")
        made.far.respond(cancel, 200, tag="ringing")
        made.far.respond(second, 487, tag="ringing")
        for one in (leg, desk_leg, ringing):
            assert (await made.ours.heard.ended(one)).cause is HangupCause.RELAY_LOST
        await made.ours.heard.wait(RelayState, up=True)
        assert [one.up for one in made.ours.heard.all(RelayState)] == [False, True]
        assert payloads(made.tape(), "far") == made.customer.payloads
        assert made.relay.pid != pid
        assert not Path(f"/proc/{pid}").exists(), "the old one must not go on beside the new one"
        again = await made.call("call_3")
        third = await made.far.hear("INVITE", count=3)
        made.far.respond(third, 200, body=description(made.customer.port))
        await made.ours.heard.wait(LegAnswered, leg=again)
        made.customer.send(third.media)
        await made.ours.heard.wait(LegFirstAudio, leg=again)
        made.far.messages.clear()
        await over(made, again)


async def test_a_tape_taken_away_ends_the_call(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        leg, media = await made.talking()
        made.customer.send(media)
        await made.ours.heard.wait(LegFirstAudio, leg=leg)
        shutil.rmtree(made.tapes)
        await made.ours.heard.wait(TapeTrouble, leg=leg)
        assert "cause=41" in (await made.far.hung_up()).header("Reason")
        assert (await made.ours.heard.ended(leg)).cause is HangupCause.TAPE_FAILED
        with pytest.raises((OSError, EngineUnhealthy)):
            await made.ours.engine.place(replace(order(), tape=replace_path(made)))


def replace_path(made: House):  # type: ignore[no-untyped-def]  # the tape of a directory that is gone
    return replace(order().tape, path=made.tapes / "gone.tape")


async def test_a_silent_line_is_ended(tmp_path: Path) -> None:
    async with house(tmp_path, media_timeout_seconds=0.5) as made:
        leg, media = await made.talking()
        made.customer.send(media)
        assert "cause=38" in (await made.far.hung_up()).header("Reason")
        assert (await made.ours.heard.ended(leg)).cause is HangupCause.MEDIA_TIMEOUT
