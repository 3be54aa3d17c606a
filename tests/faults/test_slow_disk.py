"""A disk that stops flushing: audio goes on while the bound allows it, then the call ends and nothing more is heard."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialer.media.client import MediaRelay, TapeTrouble
from tests.integration.test_relay import House

LOOK_SECONDS = 0.3  # how seldom the relay looks at the age of unflushed audio, at the most


class StallingHouse(House):
    def make_relay(self, **how: float) -> MediaRelay:
        return MediaRelay(runtime_dir=self.folder / "run", grace_seconds=1.0)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[StallingHouse]:
    made = StallingHouse(tmp_path)
    (tmp_path / "run").mkdir()
    socket = tmp_path / "run" / "relay-0.sock"
    running = subprocess.Popen(  # noqa: ASYNC220  # our own module, started before anything runs
        [sys.executable, "-m", "tests.faults.stalling_relay", "--socket", str(socket), "--grace-seconds", "20"],
        env={"STALL_FILE": str(tmp_path / "stall"), "PATH": ""},
    )
    async with asyncio.timeout(20):
        while not socket.exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.02)
    await made.start()
    assert made.relay.pid == running.pid
    yield made
    (tmp_path / "stall").unlink(missing_ok=True)
    await made.close()
    await asyncio.to_thread(running.wait, 10)


async def test_a_stalled_flush_never_stalls_audio_and_a_second_of_it_ends_the_call(house: StallingHouse) -> None:
    customer, to_customer = await house.customer()
    desk, _ = await house.desk()
    await house.relay.patch("call_1", "desk_1")
    sending = asyncio.create_task(customer.talk(to_customer, 400))
    await asyncio.sleep(0.5)
    before = _voiced(desk, customer)
    assert before > 5
    (house.folder / "stall").touch()
    await asyncio.sleep(0.5)
    during = _voiced(desk, customer)
    assert during > before + 10, "audio stood still with the disk"
    trouble = await house.until(TapeTrouble)
    assert isinstance(trouble, TapeTrouble)
    assert trouble.leg == "call_1"
    await asyncio.sleep(0.1)
    ended = _voiced(desk, customer)
    # From the stall on the disk took nothing: what was heard since is what a crash would lose. A second, and a look's time.
    assert ended - before <= (1.0 + LOOK_SECONDS) / 0.02
    await asyncio.sleep(0.5)
    assert _voiced(desk, customer) == ended, "something was heard that no disk may hold"
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


def _voiced(desk: object, customer: object) -> int:
    """Packets at the desk that carry what the customer said."""
    said = set(customer.payloads)  # type: ignore[attr-defined]  # tests.rtp_phone.Phone
    desk.listen()  # type: ignore[attr-defined]  # tests.rtp_phone.Phone
    return sum(one.payload in said for one in desk.heard)  # type: ignore[attr-defined]  # tests.rtp_phone.Phone
