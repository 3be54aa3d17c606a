"""Supervision and transfers on the real relay: each hears whom it may, and all of it is on tape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dialer.media.client import RelayRefused
from recording.codec import decode
from recording.g711 import compress_a
from tests.integration.test_relay import House, settle
from tests.rtp_phone import Phone

LEVELS = {"call_1": 1000, "agent": 3000, "leader": 9000}
CODES = {name: bytes([compress_a(level)]) * 160 for name, level in LEVELS.items()}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.start()
    yield made
    await made.close()


class Room:
    """A customer, an agent and a leader who each hum one level; sums tell who is heard."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.phones: dict[str, tuple[Phone, tuple[str, int]]] = {}

    async def fill(self) -> None:
        self.phones["call_1"] = await self.house.customer()
        for name in ("agent", "leader"):
            self.phones[name] = await self.house.desk(name)

    async def hum(self, packets: int = 40) -> dict[str, frozenset[str]]:
        """Everybody hums; whom each heard in the end."""
        for phone, _at in self.phones.values():
            phone.listen()
            phone.heard.clear()
        for _ in range(packets):
            for name, (phone, at) in self.phones.items():
                phone.send(at, CODES[name])
            await asyncio.sleep(0.02)
        await settle(*(phone for phone, _at in self.phones.values()))
        return {name: heard_by(phone) for name, (phone, _at) in self.phones.items()}


def whom(level: float) -> frozenset[str]:
    names = sorted(LEVELS)
    for mask in range(8):
        who = frozenset(name for place, name in enumerate(names) if mask >> place & 1)
        if abs(sum(LEVELS[name] for name in who) - level) <= 40 + level / 20:
            return who
    raise AssertionError(f"a level of {level} is nobody's")


def heard_by(phone: Phone) -> frozenset[str]:
    """The loudest that came for a while: a late packet leaves a hole of silence, never a stranger's voice."""
    levels = [float(np.median(decode(heard.payload, "PCMA"))) for heard in phone.heard if heard.payload_type == 8]
    seen = [whom(max(0.0, level)) for level in levels]
    often = {who for who in seen if seen.count(who) >= 8}
    return frozenset().union(*often)


C, A, L = "call_1", "agent", "leader"


async def test_listen_whisper_and_join_are_heard_by_whom_they_may_and_taped(house: House) -> None:
    room = Room(house)
    await room.fill()
    await house.relay.patch(C, A)
    await house.relay.confer(C, {A: "talks", L: "listens"})
    assert await room.hum() == {C: {A}, A: {C}, L: {C, A}}
    await house.relay.confer(C, {A: "talks", L: "whispers"})
    assert await room.hum() == {C: {A}, A: {C, L}, L: {C, A}}
    await house.relay.confer(C, {A: "talks", L: "talks"})
    assert await room.hum() == {C: {A, L}, A: {C, L}, L: {C, A}}
    await house.relay.close_leg(C)
    sealed, sound = house.seal()
    agents_side = {whom(level) for level in np.unique(sound[:, 0][sound[:, 0] > 500])}
    assert agents_side == {frozenset({A}), frozenset({A, L})}  # what the customer heard; the whisper is not in it
    assert {whom(level) for level in np.unique(sound[:, 1][sound[:, 1] > 500])} == {frozenset({C})}
    assert sealed.aside_path is not None
    aside, _rate = soundfile.read(sealed.aside_path, dtype="int16")
    assert {whom(level) for level in np.unique(aside[aside > 500])} == {frozenset({L})}
    assert np.count_nonzero(aside > 500) > 20 * 160
    assert [mark.facts["parts"][L] for mark in sealed.marks if mark.name == "conference"] == [
        "listens",
        "whispers",
        "talks",
    ]


async def test_a_warm_transfer_consults_aside_and_ends_as_a_call_of_two(house: House) -> None:
    room = Room(house)
    await room.fill()
    await house.relay.patch(C, A)
    await house.relay.confer(C, {A: "aside", L: "aside"})
    assert await room.hum() == {C: frozenset(), A: {L}, L: {A}}
    await house.relay.confer(C, {A: "talks", L: "talks"})
    assert await room.hum() == {C: {A, L}, A: {C, L}, L: {C, A}}
    await house.relay.patch(C, L)
    assert await room.hum() == {C: {L}, A: frozenset(), L: {C}}
    await house.relay.close_leg(C)
    sealed, _sound = house.seal()
    assert sealed.aside_path is not None
    aside, _rate = soundfile.read(sealed.aside_path, dtype="int16")
    assert {whom(level) for level in np.unique(aside[aside > 500])} == {frozenset({A, L})}


async def test_without_the_customers_tape_nobody_confers(house: House) -> None:
    room = Room(house)
    await room.fill()
    with pytest.raises(RelayRefused, match="tape"):
        await house.relay.confer(A, {L: "talks"})
    with pytest.raises(RelayRefused, match="part is unknown"):
        await house.relay.confer(C, {A: "shouts"})
    await house.relay.confer(C, {A: "talks", L: "listens"})
    await house.relay.close_leg(C)
    assert await room_without_customer(room) == {A: frozenset(), L: frozenset()}


async def room_without_customer(room: Room) -> dict[str, frozenset[str]]:
    room.phones.pop(C)
    return await room.hum(15)
