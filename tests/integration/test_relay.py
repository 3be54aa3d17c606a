"""The real relay process on loopback: what is heard, what is taped, and what happens when something is taken away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shutil
import signal
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from config.clock import SystemClock
from config.errors import BadInput
from config.settings import RecordingSettings
from dialer.media.client import (
    TAP_HEAD,
    DtmfSent,
    MediaAddress,
    MediaDtmf,
    MediaEvent,
    MediaFirstAudio,
    MediaRelay,
    MediaTimeout,
    PromptFinished,
    RelayLost,
    RelayRefused,
    RelayUnhealthy,
    RemoteMedia,
    TapeTrouble,
)
from recording.codec import decode, encode
from recording.g711 import A_TO_MU, MU_TO_A
from recording.recorder import Recorder
from recording.seal import seal
from recording.sealed import Channel, SealedTape
from recording.tape_reading import TapeContents, read_tape
from tests.rtp_phone import HEADER, Phone, packet

LOOPBACK = "127.0.0.1"


class House:
    """A recorder, a relay, and legs with phones on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorder = Recorder(RecordingSettings(directory=folder / "tapes", low_watermark_bytes=0), SystemClock())
        self.relay = self.make_relay()
        self.phones: list[Phone] = []
        self.events: list[MediaEvent] = []
        self._listening: asyncio.Task[None] | None = None

    def make_relay(self, **how: float) -> MediaRelay:
        # A shared disk under test load may need longer than the product allows itself to flush.
        options = {"unflushed_seconds": 30.0, "media_timeout_seconds": 30.0, "grace_seconds": 1.0, **how}
        return MediaRelay(runtime_dir=self.folder / "run", **options)  # type: ignore[arg-type]  # numbers all

    async def start(self) -> None:
        await self.relay.start()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self.relay.events():
            self.events.append(event)

    async def until(self, kind: type[MediaEvent]) -> MediaEvent:
        for _ in range(1000):
            for event in self.events:
                if isinstance(event, kind):
                    return event
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind.__name__} came; {self.events}")

    async def customer(self, call_id: str = "call_1", **how: object) -> tuple[Phone, tuple[str, int]]:
        tape = self.recorder.arm(call_id)
        address = await self.relay.open_leg(call_id, kind="customer", tape=tape.path, bind_host=LOOPBACK)
        return await self.describe(call_id, address, **how)

    async def desk(self, name: str = "desk_1", **how: object) -> tuple[Phone, tuple[str, int]]:
        address = await self.relay.open_leg(name, kind="desk", tape=None, bind_host=LOOPBACK)
        return await self.describe(name, address, **how)

    async def describe(self, leg: str, address: MediaAddress, **how: object) -> tuple[Phone, tuple[str, int]]:
        codec = str(how.pop("codec", "PCMA"))
        phone = Phone(payload_type=8 if codec == "PCMA" else 0)
        self.phones.append(phone)
        await self.relay.set_remote(leg, remote(phone, codec, **how))
        return phone, (address.host, address.port)

    def path(self, call_id: str = "call_1") -> Path:
        return self.folder / "tapes" / f"{call_id}.tape"

    def tape(self, call_id: str = "call_1") -> TapeContents:
        return read_tape(self.path(call_id))

    def seal(self, call_id: str = "call_1") -> tuple[SealedTape, np.ndarray]:
        sealed = seal(self.path(call_id), self.folder / "sealed")
        return sealed, soundfile.read(sealed.flac_path, dtype="int16", always_2d=True)[0]

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.relay.pid is not None:
                os.kill(self.relay.pid, signal.SIGCONT)
        await self.relay.close()
        if self._listening is not None:
            await self._listening
        for phone in self.phones:
            phone.close()


def remote(phone: Phone, codec: str = "PCMA", **how: object) -> RemoteMedia:
    facts = {"telephone_event_pt": 101, **how}
    return RemoteMedia(
        host=phone.host,
        port=phone.port,
        codec=codec,
        payload_type=8 if codec == "PCMA" else 0,
        **facts,  # type: ignore[arg-type]  # checked by the dataclass's users
    )


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.start()
    yield made
    await made.close()


def frames(contents: TapeContents, side: str) -> list[bytes]:
    one = contents.near if side == "near" else contents.far
    return [
        contents.data[at : at + size].tobytes()
        for at, size in zip(one.offset.tolist(), one.length.tolist(), strict=True)
    ]


async def settle(*phones: Phone) -> None:
    await asyncio.sleep(0.1)
    for phone in phones:
        phone.listen()


async def test_a_bridged_call_is_heard_and_taped_exactly(house: House) -> None:
    customer, at_customer = await house.customer()
    desk, at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    await asyncio.gather(customer.talk(at_customer, 60), desk.talk(at_desk, 60))
    await settle(customer, desk)
    assert [heard.payload for heard in desk.heard if heard.payload in customer.payloads] == customer.payloads
    assert [heard.payload for heard in customer.heard if heard.payload in desk.payloads] == desk.payloads
    counters = await house.relay.close_leg("call_1")
    assert (counters.received, counters.forwarded, counters.lost, counters.dropped) == (60, 60, 0, {})
    tape = house.tape()
    assert tape.closed
    assert (frames(tape, "far"), frames(tape, "near")) == (customer.payloads, desk.payloads)
    sealed, sound = house.seal()
    for column, phone in ((0, desk), (1, customer)):
        expected = decode(b"".join(phone.payloads), "PCMA")
        channel = Channel.AGENT if column == 0 else Channel.CUSTOMER
        filled = np.ones(len(sound), dtype=bool)
        for gap in sealed.gaps:
            if gap.channel is channel:
                filled[gap.start : gap.start + gap.length] = False
        assert np.array_equal(sound[filled, column], expected)
    first = await house.until(MediaFirstAudio)
    assert isinstance(first, MediaFirstAudio)


async def test_what_has_no_tape_is_heard_by_nobody(house: House) -> None:
    customer, at_customer = await house.customer()
    desk, at_desk = await house.desk()
    other, at_other = await house.desk("desk_2")
    await asyncio.gather(customer.talk(at_customer, 15), desk.talk(at_desk, 15), other.talk(at_other, 15))
    await settle(customer, desk, other)
    silence = {b"\xd5" * 160}
    for phone in (customer, desk, other):
        assert {heard.payload for heard in phone.heard} == silence
    for one, two in (("desk_1", "desk_2"), ("call_1", "call_1")):
        with pytest.raises(RelayRefused):
            await house.relay.patch(one, two)
    with pytest.raises(RelayRefused, match="tape"):
        await house.relay.open_leg("call_9", kind="customer", tape=None, bind_host=LOOPBACK)
    with pytest.raises(RelayRefused, match="tape"):
        await house.relay.open_leg("call_9", kind="customer", tape=house.folder / "none.tape", bind_host=LOOPBACK)


async def test_a_desk_hears_one_stream_across_customers_silence_and_codecs(house: House) -> None:
    first, at_first = await house.customer("call_1")
    second, at_second = await house.customer("call_2", codec="PCMU")
    desk, at_desk = await house.desk()
    await desk.talk(at_desk, 10)
    await house.relay.patch("call_1", "desk_1")
    await asyncio.gather(first.talk(at_first, 20), desk.talk(at_desk, 20))
    await house.relay.unpatch("desk_1")
    await asyncio.gather(first.talk(at_first, 10), desk.talk(at_desk, 10))
    await house.relay.patch("call_2", "desk_1")
    await asyncio.gather(second.talk(at_second, 20), desk.talk(at_desk, 20))
    await settle(desk, second)
    seqs = [heard.seq for heard in desk.heard]
    assert {heard.ssrc for heard in desk.heard} == {desk.heard[0].ssrc}
    assert [(b - a) & 0xFFFF for a, b in pairwise(seqs)] == [1] * (len(seqs) - 1)
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(desk.heard)]
    assert all(step >= 160 and step % 160 == 0 and step < 8000 for step in steps)
    payloads = [heard.payload for heard in desk.heard]
    assert all(payload in payloads for payload in first.payloads[:20])
    assert not any(payload in payloads for payload in first.payloads[20:])
    assert all(payload.translate(MU_TO_A) in payloads for payload in second.payloads)
    assert all(payload.translate(A_TO_MU) in [h.payload for h in second.heard] for payload in desk.payloads[-18:])
    starts = [
        heard for heard in desk.heard if heard.payload in (first.payloads[0], second.payloads[0].translate(MU_TO_A))
    ]
    assert [heard.marker for heard in starts] == [True, True]


async def test_a_prompt_is_heard_taped_and_finished(house: House) -> None:
    sound = (np.sin(np.arange(4000) / 5) * 9000).astype(np.int16)
    path = house.folder / "prompt.wav"
    soundfile.write(path, sound, 8000)
    customer, at_customer = await house.customer()
    desk, at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    await customer.talk(at_customer, 3)
    await house.relay.play("call_1", "greeting", path)
    await asyncio.gather(customer.talk(at_customer, 40), desk.talk(at_desk, 20))
    finished = await house.until(PromptFinished)
    assert finished == PromptFinished(leg="call_1", prompt="greeting", completed=True)
    await settle(customer)
    await house.relay.close_leg("call_1")
    expected = encode(sound, "PCMA")
    taped = b"".join(frames(house.tape(), "near"))
    assert expected in taped
    assert expected in b"".join(heard.payload for heard in customer.heard)
    sealed, _sound = house.seal()
    assert sealed.channels[0].lost == 0, "our own silence before the prompt is no loss"
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(customer.heard)]
    assert all(0 < step < 4000 for step in steps)
    marks = [mark["mark"] for _when, mark in house.tape().marks]
    assert marks.index("prompt-started") < marks.index("prompt-ended")
    await house.relay.play("desk_1", "beep", path)
    await house.relay.stop_prompt("desk_1")
    with pytest.raises(BadInput):
        await house.relay.play("desk_1", "none", house.folder / "none.wav")


async def test_digits_go_out_as_events_and_come_in_once(house: House) -> None:
    customer, at_customer = await house.customer()
    customer.send(at_customer)
    await house.relay.send_dtmf("call_1", "7#")
    for payload in (b"\x05\x0a\x01\x90", b"\x05\x0a\x02\x58", *[b"\x05\x8a\x03\x20"] * 3):
        customer.sock.sendto(packet(customer.seq, 1234, customer.ssrc, payload, 101), at_customer)
        customer.seq += 1
    sent = await house.until(DtmfSent)
    assert sent == DtmfSent(leg="call_1", digits="7#")
    await settle(customer)
    events = [heard for heard in customer.heard if heard.payload_type == 101]
    assert [heard.payload[0] for heard in events] == [7] * 7 + [11] * 7
    assert len({heard.timestamp for heard in events}) == 2
    assert [event for event in house.events if isinstance(event, MediaDtmf)] == [
        MediaDtmf(leg="call_1", digit="5", milliseconds=100)
    ]
    await house.relay.close_leg("call_1")
    assert [payload for payload in frames(house.tape(), "near") if len(payload) == 4] == [
        heard.payload for heard in events
    ]
    with pytest.raises(RelayRefused):
        await house.relay.send_dtmf("call_1", "1")


async def test_early_media_is_taped_from_its_first_packet(house: House) -> None:
    """The carrier's announcement often comes before its 183 has been read."""
    tape = house.recorder.arm("call_1")
    address = await house.relay.open_leg("call_1", kind="customer", tape=tape.path, bind_host=LOOPBACK)
    phone = Phone()
    house.phones.append(phone)
    for _ in range(40):
        phone.send((address.host, address.port))
    await house.relay.set_remote("call_1", remote(phone))
    await house.until(MediaFirstAudio)
    await house.relay.close_leg("call_1")
    assert frames(house.tape(), "far") == phone.payloads


async def test_an_address_of_zeros_shuts_nobody_out(house: House) -> None:
    """RFC 2543's hold, and answers that name their address only later: what comes before the word of it is kept."""
    tape = house.recorder.arm("call_1")
    address = await house.relay.open_leg("call_1", kind="customer", tape=tape.path, bind_host=LOOPBACK)
    phone, stranger, where = Phone(), Phone(host="127.0.0.2"), (address.host, address.port)
    house.phones += [phone, stranger]
    nowhere = replace(remote(phone), host="0.0.0.0", send=False)
    await house.relay.set_remote("call_1", nowhere)
    for _ in range(10):
        phone.send(where)
    await house.relay.set_remote("call_1", remote(phone))
    await house.until(MediaFirstAudio)
    await house.relay.set_remote("call_1", nowhere)
    for _ in range(10):
        phone.send(where)
        stranger.send(where)
    await settle()
    await house.relay.set_remote("call_1", remote(phone))
    phone.send(where)
    await settle()
    assert (await house.relay.counters("call_1")).dropped == {"foreign": 10}
    await house.relay.close_leg("call_1")
    assert frames(house.tape(), "far") == phone.payloads


async def test_strangers_and_garbage_are_dropped_and_counted(house: House) -> None:
    customer, at_customer = await house.customer()
    desk, _at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    customer.send(at_customer)
    stranger = Phone(host="127.0.0.2")
    house.phones.append(stranger)
    for _ in range(5):
        stranger.send(at_customer)
    rng = random.Random(4)
    for size in range(60):
        customer.sock.sendto(b"\x80\xc8" + rng.randbytes(size) if size % 2 else rng.randbytes(size), at_customer)
    customer.sock.sendto(bytes(3000), at_customer)
    customer.send(at_customer)
    await settle(desk)
    counters = await house.relay.counters("call_1")
    assert counters.dropped["foreign"] >= 5
    assert counters.dropped["rtcp"] == 27
    assert {"short", "version", "oversize"} <= counters.dropped.keys()
    heard = [one.payload for one in desk.heard]
    assert customer.payloads[0] in heard
    assert customer.payloads[1] in heard
    assert not any(payload in heard for payload in stranger.payloads)


async def test_a_held_customer_is_taped_but_not_heard(house: House) -> None:
    customer, at_customer = await house.customer()
    desk, at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    await house.relay.set_remote("call_1", remote(customer, send=False, receive=False))
    await settle(customer)
    customer.heard.clear()  # silence from before the hold
    await asyncio.gather(customer.talk(at_customer, 5), desk.talk(at_desk, 5))
    await settle(customer, desk)
    assert customer.heard == []
    assert {heard.payload for heard in desk.heard} == {b"\xd5" * 160}
    await house.relay.close_leg("call_1")
    assert frames(house.tape(), "far") == customer.payloads
    assert frames(house.tape(), "near") == []
    assert [mark["on"] for _when, mark in house.tape().marks if mark["mark"] == "hold"] == [True]


async def test_a_tap_copies_what_comes_from_the_leg(house: House) -> None:
    customer, at_customer = await house.customer()
    tap = await house.relay.tap("call_1")
    assert tap is not None
    with tap:
        await customer.talk(at_customer, 5)
        await settle()
        copies = [tap.recv(2048) for _ in range(5)]
    assert [copy[TAP_HEAD.size :] for copy in copies] == customer.payloads
    assert [TAP_HEAD.unpack_from(copy)[2] for copy in copies] == [8] * 5
    await house.relay.tap("call_1", on=False)


async def test_silence_of_the_line_is_reported(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.relay = house.make_relay(media_timeout_seconds=0.3)
    await house.start()
    await house.customer()
    timeout = await house.until(MediaTimeout)
    assert isinstance(timeout, MediaTimeout)
    assert timeout.leg == "call_1"
    await house.close()


# What is taken away


async def test_a_killed_relay_is_noticed_and_its_tape_keeps_all_that_was_heard(house: House) -> None:
    customer, at_customer = await house.customer()
    desk, _at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    await customer.talk(at_customer, 30)
    assert house.relay.pid is not None
    os.kill(house.relay.pid, signal.SIGKILL)
    lost = await house.until(RelayLost)
    assert lost == RelayLost(legs=("call_1", "desk_1"), detail="its process ended")
    desk.listen()
    taped = frames(house.tape(), "far")
    heard = [one.payload for one in desk.heard if one.payload in customer.payloads]
    assert heard
    assert taped[: len(heard)] == heard
    assert not house.tape().closed
    sealed, _sound = house.seal()
    assert not sealed.closed
    with pytest.raises(RelayUnhealthy):
        await house.relay.open_leg("call_2", kind="desk", tape=None, bind_host=LOOPBACK)


async def test_a_relay_that_does_not_answer_is_lost_and_ended(house: House) -> None:
    assert house.relay.pid is not None
    os.kill(house.relay.pid, signal.SIGSTOP)
    lost = await house.until(RelayLost)
    assert isinstance(lost, RelayLost)
    assert lost.detail == "it did not answer"
    assert not house.relay.up


async def test_a_new_control_finds_the_legs_of_the_old(house: House) -> None:
    customer, at_customer = await house.customer()
    old, pid = house.relay, house.relay.pid
    await old.detach()
    await customer.talk(at_customer, 5)
    house.relay = house.make_relay()
    legs = await house.relay.start()
    assert [(leg.leg, leg.kind, leg.tape, leg.port) for leg in legs] == [
        ("call_1", "customer", house.path(), at_customer[1])
    ]
    assert house.relay.pid == pid
    await customer.talk(at_customer, 5)
    await settle()
    counters = await house.relay.close_leg("call_1")
    assert counters.received == 10
    await house.relay.close()
    await old.close()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


CONTROL = """
import asyncio, sys
from pathlib import Path
from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.media.client import MediaRelay, RemoteMedia
from recording.recorder import Recorder

async def main():
    folder = Path(sys.argv[1])
    tape = Recorder(RecordingSettings(directory=folder / "tapes", low_watermark_bytes=0), SystemClock()).arm("call_1")
    relay = MediaRelay(runtime_dir=folder / "run", grace_seconds=1.0, unflushed_seconds=30.0)
    await relay.start()
    address = await relay.open_leg("call_1", kind="customer", tape=tape.path, bind_host="127.0.0.1")
    await relay.set_remote("call_1", RemoteMedia(host="127.0.0.1", port=int(sys.argv[2]), codec="PCMA", payload_type=8))
    print(address.port, relay.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_control_leaves_finished_tapes(tmp_path: Path) -> None:
    phone = Phone()
    control = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONTROL, str(tmp_path), str(phone.port), stdout=asyncio.subprocess.PIPE
    )
    assert control.stdout is not None
    port, pid = map(int, (await control.stdout.readline()).split())
    await phone.talk((LOOPBACK, port), 10)
    control.kill()
    await control.wait()
    await phone.talk((LOOPBACK, port), 20)
    for _ in range(1000):
        if not is_alive(pid):
            break
        await asyncio.sleep(0.01)
    assert not is_alive(pid)
    tape = read_tape(tmp_path / "tapes" / "call_1.tape")
    assert tape.closed
    assert frames(tape, "far") == phone.payloads
    phone.close()


async def test_a_full_disk_silences_the_call_before_anything_untaped_is_heard(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.relay = MediaRelay(runtime_dir=tmp_path / "run", chunk_bytes=64 * 1024, unflushed_seconds=30.0)
    await house.start()
    assert house.relay.pid is not None
    # No file of the relay may pass 300 kB: the disk is full for it, whoever runs the test.
    resource.prlimit(house.relay.pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    customer, at_customer = await house.customer()
    desk, _at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    for _ in range(80):
        for _ in range(20):
            customer.send(at_customer)
        await asyncio.sleep(0.005)
        desk.listen()
    trouble = await house.until(TapeTrouble)
    assert trouble == TapeTrouble(leg="call_1", problem="the tape disk is full")
    await settle(desk)
    sent = set(customer.payloads)
    heard = [one.payload for one in desk.heard if one.payload in sent]
    taped = frames(house.tape(), "far")
    assert 1000 < len(heard) < 1600
    assert set(heard) <= set(taped)
    with pytest.raises(RelayRefused):
        await house.relay.patch("call_1", "desk_1")
    await house.relay.close_leg("call_1")
    await house.close()


@pytest.mark.parametrize("loss", ["directory", "file", "cut"])
async def test_a_tape_taken_away_ends_its_audio(house: House, loss: str) -> None:
    customer, at_customer = await house.customer()
    desk, _at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    await customer.talk(at_customer, 5)
    if loss == "directory":
        shutil.rmtree(house.folder / "tapes")
    elif loss == "file":
        house.path().unlink()
    else:
        os.truncate(house.path(), 100)
    trouble = await house.until(TapeTrouble)
    assert isinstance(trouble, TapeTrouble)
    assert trouble.leg == "call_1"
    await settle(desk)
    before = len(customer.payloads)
    await customer.talk(at_customer, 5)
    await settle(desk)
    assert not {one.payload for one in desk.heard} & set(customer.payloads[before:])
    await house.relay.close_leg("call_1")


async def test_a_phone_with_odd_packets_is_heard(house: House) -> None:
    """30 ms packets, CSRC, an extension, padding: all in one."""
    customer, at_customer = await house.customer()
    desk, _at_desk = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    sound = random.Random(3).randbytes(240)
    raw = HEADER.pack(0xB1, 8, 7, 70, customer.ssrc) + bytes(4) + struct.pack(">HH", 0xBEDE, 1) + bytes(4)
    raw += sound + b"\x00\x00\x00\x04"
    customer.sock.sendto(raw, at_customer)
    await settle(desk)
    assert sound in [one.payload for one in desk.heard]
    await house.relay.close_leg("call_1")
    assert frames(house.tape(), "far") == [sound]
