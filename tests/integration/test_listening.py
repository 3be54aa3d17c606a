"""What people may hear: a real tape with a masked stretch, sealed into a real vault, played through the door's reader."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from api.vault_tapes import NoListeningCopy, VaultTapes
from recording.recordings import Mask
from recording.seal_job import SealOrder, SealRoom, open_object, open_seal_room, seal_call
from tests.integration.test_relay import House
from tests.sealing import order_for, room_in, settings_in, stereo

MASK = Mask(start_ms=2000, end_ms=3000, actor="collector_7", reason="card number read out")


class Rows:
    """The store's row of the recording, by what its manifest says."""

    def __init__(self, manifest: dict[str, object]) -> None:
        self.manifest = manifest

    async def get(self, recording_id: str) -> Rows:
        return self


def tapes_of(room: SealRoom, objects: dict[str, str]) -> VaultTapes:
    return VaultTapes(Rows({"objects": objects}), room.shelf, room.keys, room.signing.verifier())  # type: ignore[arg-type]  # a stand-in for the store's row


async def _bytes(tapes: VaultTapes, first: int, last: int) -> bytes:
    return b"".join([piece async for piece in tapes.open_range("rec_1", first, last)])


async def test_a_masked_recording_is_heard_only_as_its_listening_copy(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    made = seal_call(order_for(tmp_path, stereo(5), masks=(MASK,)), room)
    tapes = tapes_of(room, {found.kind: found.name for found in made.objects})
    sound = await tapes.sound("rec_1")
    assert (sound.kind, sound.media_type) == ("listening", "audio/ogg")
    whole = await _bytes(tapes, 0, sound.size - 1)
    assert await _bytes(tapes, 1000, 2999) == whole[1000:3000]
    samples, rate = soundfile.read(io.BytesIO(whole))
    inside = samples[int(2.1 * rate) : int(2.9 * rate)]
    outside = samples[int(0.5 * rate) : int(1.5 * rate)]
    assert np.abs(inside).max() < 0.01
    assert np.abs(outside).max() > 0.05
    body = json.loads(room.shelf.get(made.manifest_name))["body"]
    assert body["masks"] == [
        {"start_ms": 2000, "end_ms": 3000, "actor": "collector_7", "reason": "card number read out"}
    ]


async def test_the_waveform_of_a_masked_stretch_is_flat(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    made = seal_call(order_for(tmp_path, stereo(5), masks=(MASK,)), room)
    peaks = await tapes_of(room, {found.kind: found.name for found in made.objects}).peaks("rec_1")
    at = peaks.per_second
    for channel in peaks.channels:
        assert all(pair == (0, 0) for pair in channel[int(2.1 * at) : int(2.9 * at)])
        assert any(pair != (0, 0) for pair in channel[: int(1.5 * at)])


async def test_the_master_is_never_the_way_out_when_no_copy_was_made(tmp_path: Path) -> None:
    room = room_in(tmp_path, listening_copy="never")
    made = seal_call(order_for(tmp_path, stereo(3), masks=(replace(MASK, end_ms=None),)), room)
    tapes = tapes_of(room, {found.kind: found.name for found in made.objects})
    with pytest.raises(NoListeningCopy):
        await tapes.sound("rec_1")
    with pytest.raises(NoListeningCopy):
        await _bytes(tapes, 0, 10)


async def test_an_unmasked_recording_is_its_master_byte_for_byte(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    made = seal_call(order_for(tmp_path, stereo(2)), room)
    tapes = tapes_of(room, {found.kind: found.name for found in made.objects})
    sound = await tapes.sound("rec_1")
    assert (sound.kind, sound.media_type, sound.sha256) == ("master", "audio/flac", made.sha256)
    samples, _ = soundfile.read(io.BytesIO(await _bytes(tapes, 0, sound.size - 1)), dtype="int16")
    assert np.array_equal(samples, stereo(2))


async def test_a_stretch_masked_on_the_live_call_is_silent_for_listeners_and_whole_in_the_master(
    tmp_path: Path,
) -> None:
    """The relay's tape, the real seal: mask-on and mask-off come as the live command sends them."""
    house = House(tmp_path)
    await house.start()
    phone, where = await house.customer("call_1")
    await house.relay.mark("call_1", "answered")
    await phone.talk(where, 50)
    await house.relay.mark("call_1", "mask-on", actor="collector_7", reason="card number read out")
    await phone.talk(where, 50)
    await house.relay.mark("call_1", "mask-off", actor="collector_7", reason="done")
    await phone.talk(where, 50)
    await house.relay.close_leg("call_1")
    await house.close()
    room = open_seal_room(settings_in(tmp_path))
    order = SealOrder(recording_id="rec_1", call_id="call_1", case_id="case_1", tape_path=house.path())
    made = seal_call(order, room)
    [mask] = made.masks
    assert (mask.actor, mask.reason) == ("collector_7", "card number read out")
    assert mask.end_ms is not None
    assert mask.end_ms - mask.start_ms >= 800
    tapes = tapes_of(room, {found.kind: found.name for found in made.objects})
    sound = await tapes.sound("rec_1")
    heard, rate = soundfile.read(io.BytesIO(await _bytes(tapes, 0, sound.size - 1)))
    master = made.object("master")
    assert master is not None
    whole, _ = soundfile.read(
        io.BytesIO(open_object(room.shelf, room.keys, master.name).read(0, master.plain_bytes)), dtype="int16"
    )
    inside = slice((mask.start_ms + 100) * 8, (mask.end_ms - 100) * 8)
    listened = heard[(mask.start_ms + 100) * rate // 1000 : (mask.end_ms - 100) * rate // 1000]
    assert np.abs(whole[inside, 1]).max() > 1000
    assert np.abs(listened).max() < 0.02
