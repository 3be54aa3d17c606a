"""No recording, no call: the recorder is taken from under a running centre, four ways, and given back."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from case_store.intake.placement import parse_placement
from case_store.model import CallRecord
from case_store.outcomes import NewOutcome
from config.settings import ClientSettings, RecordingSettings, Settings, SipSettings, StoreSettings, VaultSettings
from dialer.campaign import CampaignRunner, DialPlan
from dialer.centre import CallToConclude, Centre, CentreParts
from dialer.demo import DemoOrder, _clock, read_desk, read_trunk
from dialer.engines.sip import SipTrunkEngine
from dialer.media.client import MediaRelay
from dialer.simulated.processes import start_phones
from recording import recorder
from tests.acceptance.demo_run import mobiles, simulated_carrier

AGENTS = 3
TALKER = {"persona": "cardholder", "ring_after": 0.05, "answer_after": 0.2, "waits_for_bye": True, "listens": 0.5}


@dataclass
class Floor:
    centre: Centre
    runner: CampaignRunner
    relay: MediaRelay
    tapes: Path
    ended: list[CallRecord] = field(default_factory=list)

    async def until(self, true: Callable[[], bool | Awaitable[bool]], seconds: float, what: str) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            said = true()
            if await said if not isinstance(said, bool) else said:
                return
            assert asyncio.get_running_loop().time() < deadline, what
            await asyncio.sleep(0.05)

    async def calls(self) -> int:
        """How many calls were ever written; an INVITE never leaves before."""
        report = await self.centre.store.sweep.standing(self.runner.campaign_id)
        assert report is not None
        return sum([len(await self.centre.store.calls.list(limit=1000))])

    def bridged(self) -> int:
        return sum(call.bridged_at is not None for call in self.centre.switchboard)

    async def recorder_gate(self) -> Any:
        return next(gate for gate in await self.runner.explain() if gate.name == "recorder")


@contextlib.asynccontextmanager
async def running_floor(folder: Path) -> AsyncIterator[Floor]:
    numbers = [f"138001390{at:02}" for at in range(40)]
    data = folder / "data"
    data.mkdir()
    phones = await start_phones(AGENTS)
    ended: list[CallRecord] = []
    try:
        with simulated_carrier(folder / "far", {f"+86{number}": TALKER for number in numbers}) as far:
            trunk = read_trunk(far.trunk)
            settings = Settings(
                sip=SipSettings(bind_host="127.0.0.1", bind_port=0, rtp_ports=(0, 0)),
                trunks=(trunk,),
                recording=RecordingSettings(directory=data / "tapes", shelf=data / "shelf", low_watermark_bytes=0),
                store=StoreSettings(url=f"sqlite+aiosqlite:///{data / 'onrecord.db'}"),
                vault=VaultSettings(
                    master_key=f"file:{data / 'master.json'}",
                    signing_key=f"file:{data / 'signing.json'}",
                    state=data / "proof",
                    keep_tapes=False,
                ),
            )
            clock = _clock(DemoOrder(data=data), trunk, settings)
            relay = MediaRelay.from_settings(settings)
            parts = CentreParts(
                engine=SipTrunkEngine(settings, clock, relay),
                clock=clock,
                people=False,
                concluder=_talked,
                on_finished=lambda _call, record, _tape, _code: ended.append(record),
            )
            async with Centre.open(settings, parts) as centre:
                for at, uri in enumerate(phones.said["uris"], 1):
                    await centre.seat(read_desk(uri, at), agent_id=f"agent-{at}", name=f"desk-{at}")
                parsed = parse_placement(mobiles(folder / "numbers.csv", numbers), ClientSettings(name="demo-bank"))
                loaded = await centre.store.placements.load(parsed, clock.now())
                campaign = await centre.create_campaign("sweep", [loaded.placement_id])
                campaign = await centre.store.sweep.change(campaign.id, clock.now(), state="running")
                runner = centre.runner(campaign, DialPlan(lines=AGENTS, ring_seconds=15))
                dialing = asyncio.create_task(runner.run())
                floor = Floor(centre, runner, relay, settings.recording.directory, ended)
                try:
                    await floor.until(lambda: floor.bridged() == AGENTS, 30, "the agents did not get to talk")
                    yield floor
                finally:
                    await runner.pause()
                    await dialing
    finally:
        await phones.stop()


async def no_call_leaves(floor: Floor, problem: str) -> None:
    """From one second on, for two more, nothing is dialed, and the campaign says why."""
    await asyncio.sleep(1)
    before = await floor.calls()
    gate = await floor.recorder_gate()
    assert gate.holds_back
    assert problem in gate.detail_en
    await asyncio.sleep(2)
    assert await floor.calls() == before
    assert floor.bridged() == 0


async def dials_again(floor: Floor) -> None:
    await floor.until(lambda: floor.bridged() == AGENTS, 20, "it did not recover by itself")
    assert not (await floor.recorder_gate()).holds_back


async def test_the_tape_directory_goes_away(tmp_path: Path) -> None:
    async with running_floor(tmp_path) as floor:
        away = floor.tapes.with_name("unmounted")
        floor.tapes.rename(away)
        await floor.until(lambda: len(floor.centre.switchboard) == 0, 2, "calls went on without a tape")
        await no_call_leaves(floor, "the tape directory is gone")
        away.rename(floor.tapes)
        await dials_again(floor)
    causes = [record.cause for record in floor.ended]
    assert causes.count("tape-failed") == AGENTS


async def test_the_disk_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's writes fail (RLIMIT_FSIZE gives EFBIG, as a full disk gives ENOSPC), and so does arming."""
    async with running_floor(tmp_path) as floor:
        pid = floor.relay.pid
        assert pid is not None
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        with monkeypatch.context() as patch:
            patch.setattr(recorder.os, "posix_fallocate", _refuse(errno.ENOSPC))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, hard))
            await floor.until(lambda: len(floor.centre.switchboard) == 0, 2, "calls went on without a tape")
            await no_call_leaves(floor, "the tape disk is full")
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        await dials_again(floor)
    causes = [record.cause for record in floor.ended]
    assert causes.count("tape-failed") == AGENTS


async def test_the_disk_becomes_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be armed: whoever becomes free is given nobody."""
    async with running_floor(tmp_path) as floor:
        with monkeypatch.context() as patch:
            patch.setattr(recorder.os, "posix_fallocate", _refuse(errno.EROFS))
            for call in list(floor.centre.switchboard):
                await floor.centre.switchboard.hang_up(call)
            await no_call_leaves(floor, "the tape disk is mounted read-only")
        await dials_again(floor)


async def test_the_relay_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And cannot be started again for a while."""
    async with running_floor(tmp_path) as floor:
        pid = floor.relay.pid
        assert pid is not None
        with monkeypatch.context() as patch:
            patch.setattr(MediaRelay, "start", _no_relay)
            os.kill(pid, signal.SIGKILL)
            await floor.until(lambda: not floor.centre.switchboard.relay_up, 1, "the relay's death went unnoticed")
            await floor.until(lambda: len(floor.centre.switchboard) == 0, 2, "calls went on without a relay")
            await no_call_leaves(floor, "the media relay is down")
        await dials_again(floor)
    causes = [record.cause for record in floor.ended]
    assert causes.count("relay-lost") == AGENTS


async def _talked(call: CallToConclude) -> NewOutcome:
    """Collectors who conclude as soon as they are asked."""
    return NewOutcome(
        case_id=call.case_id,
        code="SELF_NEGOTIATING",
        agent_id=call.agent_id,
        call_id=call.call_id,
        number_id=call.number_id,
    )


def _refuse(code: int) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


async def _no_relay(_self: MediaRelay) -> Any:
    raise OSError(errno.EAGAIN, "no process can be started")
