"""No recording, no call: the recorder is taken from under a running centre, in every way it can go, and given back.

What counts is what reached the wire: the far side's own book of INVITEs and BYEs, written by another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from case_store.intake.placement import parse_placement
from case_store.model import CallRecord, RecordingState
from case_store.outcomes import NewOutcome
from config.settings import ClientSettings, RecordingSettings, Settings, SipSettings, StoreSettings, VaultSettings
from dialer.campaign import CampaignRunner, DialPlan
from dialer.centre import CallToConclude, Centre, CentreParts
from dialer.demo import DemoOrder, _clock, read_desk, read_trunk
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.media.client import MediaRelay
from dialer.simulated.processes import start_phones
from recording import recorder
from tests.acceptance.demo_run import Carrier, mobiles, simulated_carrier
from tests.unit.test_line_health import KEY_SERVICE

AGENTS = 3
TALKER = {"persona": "cardholder", "ring_after": 0.05, "answer_after": 0.2, "waits_for_bye": True, "listens": 0.5}


@dataclass
class Floor:
    centre: Centre
    runner: CampaignRunner
    relay: MediaRelay
    tapes: Path
    ended: list[CallRecord] = field(default_factory=list)
    induced: datetime | None = None
    lines_cut: bool = False
    given_back: datetime | None = None

    def trouble_begins(self, *, lines_cut: bool) -> None:
        """``lines_cut``: the tapes of the calls under way stop too."""
        self.induced, self.lines_cut = datetime.now(UTC), lines_cut

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

    async def failed_seals(self) -> int:
        return len(await self.centre.store.recordings.list(state=RecordingState.FAILED))

    async def all_failed(self) -> bool:
        return await self.failed_seals() == AGENTS

    async def all_sealed(self) -> bool:
        """Of the calls the trouble met."""
        armed = await self.centre.store.recordings.list(state=RecordingState.ARMED)
        ended = {record.id for record in self.ended}
        return await self.failed_seals() == 0 and not [one for one in armed if one.call_id in ended]

    def bridged(self) -> int:
        return sum(call.bridged_at is not None for call in self.centre.switchboard)

    async def recorder_gate(self) -> Any:
        return next(gate for gate in await self.runner.explain() if gate.name == "recorder")


@contextlib.asynccontextmanager
async def running_floor(
    folder: Path, master_key: str | None = None, *, tapes: Path | None = None, watermark: int = 1_000_000
) -> AsyncIterator[Floor]:
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
                recording=RecordingSettings(
                    directory=tapes or data / "tapes", shelf=data / "shelf", low_watermark_bytes=watermark
                ),
                store=StoreSettings(url=f"sqlite+aiosqlite:///{data / 'onrecord.db'}"),
                vault=VaultSettings(
                    master_key=master_key or f"file:{data / 'master.json'}",
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
            _judge_the_wire(floor, far)
    finally:
        await phones.stop()


def _judge_the_wire(floor: Floor, far: Carrier) -> None:
    """No INVITE came from a second after the trouble until it was over; where tapes stopped, BYE came within two."""
    lines = [
        (datetime.fromisoformat(one["invited_at"]), datetime.fromisoformat(one["ended_at"]), one) for one in far.lines()
    ]
    assert floor.induced is not None
    assert floor.given_back is not None
    shut = (floor.induced + timedelta(seconds=1), floor.given_back)
    assert [one for invited, _ended, one in lines if shut[0] < invited < shut[1]] == []
    assert [one for invited, _ended, one in lines if invited > shut[1]], "nothing was dialed when the trouble was over"
    if floor.lines_cut:
        cut = [(ended, one) for invited, ended, one in lines if invited < floor.induced < ended and one["answered_at"]]
        assert len(cut) == AGENTS
        assert {one["ended_by"] for _ended, one in cut} == {"caller"}, "BYE is owed to whoever talked"
        assert max(ended for ended, _one in cut) <= floor.induced + timedelta(seconds=2)


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
    floor.given_back = datetime.now(UTC)


async def dials_again(floor: Floor) -> None:
    await floor.until(lambda: floor.bridged() == AGENTS, 20, "it did not recover by itself")
    assert not (await floor.recorder_gate()).holds_back


async def test_the_tape_directory_goes_away(tmp_path: Path) -> None:
    async with running_floor(tmp_path) as floor:
        away = floor.tapes.with_name("unmounted")
        floor.trouble_begins(lines_cut=True)
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
            floor.trouble_begins(lines_cut=True)
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
            floor.trouble_begins(lines_cut=False)
            patch.setattr(recorder.os, "posix_fallocate", _refuse(errno.EROFS))
            await everybody_hangs_up(floor)
            await no_call_leaves(floor, "the tape disk is mounted read-only")
        await dials_again(floor)


async def test_the_disk_sinks_below_its_low_watermark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls under way are taped to their end; no new one leaves."""
    async with running_floor(tmp_path) as floor:
        with monkeypatch.context() as patch:
            floor.trouble_begins(lines_cut=False)
            patch.setattr(recorder.os, "statvfs", lambda _path: _ALMOST_FULL)
            await asyncio.sleep(0.5)
            assert floor.bridged() == AGENTS, "a call under way was ended without need"
            await everybody_hangs_up(floor)
            await no_call_leaves(floor, "below the watermark of 1 MB")
        await dials_again(floor)
    assert "tape-failed" not in [record.cause for record in floor.ended]


@pytest.mark.parametrize("verb", ["wrap", "unwrap"])
async def test_the_key_service_fails(tmp_path: Path, verb: str) -> None:
    """A command that stops to answer: calls under way are taped, nobody new is called."""
    script = tmp_path / "kms.py"
    script.write_text(KEY_SERVICE)
    async with running_floor(tmp_path, f"kms:{sys.executable} -I -S {script}") as floor:
        floor.trouble_begins(lines_cut=False)
        (tmp_path / f"{verb}-fails").touch()
        await floor.until(lambda: bool(floor.centre.health.problems()), 1, "the key service's failure went unnoticed")
        assert floor.bridged() == AGENTS, "a call under way was ended without need"
        await everybody_hangs_up(floor)
        await no_call_leaves(floor, "the key service")
        await floor.until(floor.all_failed, 20, "a seal without a key went through")
        (tmp_path / f"{verb}-fails").unlink()
        await dials_again(floor)

        await floor.until(floor.all_sealed, 30, "tapes that could not be sealed were left to the next start")


@pytest.mark.parametrize("verb", ["wrap", "unwrap"])
async def test_the_key_service_hangs(tmp_path: Path, verb: str) -> None:
    """No answer is as good as none: nobody new is called, and neither audio nor the calls under way wait for it."""
    script = tmp_path / "kms.py"
    script.write_text(KEY_SERVICE)
    async with running_floor(tmp_path, f"kms:{sys.executable} -I -S {script}") as floor:
        (tmp_path / f"{verb}-hangs").touch()
        floor.trouble_begins(lines_cut=False)
        await floor.until(lambda: bool(floor.centre.health.problems()), 2, "the key service's hanging went unnoticed")
        assert floor.bridged() == AGENTS, "a call under way was ended without need"
        await everybody_hangs_up(floor)
        await no_call_leaves(floor, "the key service")
        (tmp_path / f"{verb}-hangs").unlink()
        await dials_again(floor)
        await floor.until(floor.all_sealed, 30, "tapes that could not be sealed were left to the next start")
    assert "tape-failed" not in [record.cause for record in floor.ended]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_relay_dies_or_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    """And cannot be started again for a while."""
    async with running_floor(tmp_path) as floor:
        pid = floor.relay.pid
        assert pid is not None
        with monkeypatch.context() as patch:
            patch.setattr(MediaRelay, "start", _no_relay)
            floor.trouble_begins(lines_cut=True)
            os.kill(pid, how)
            await floor.until(lambda: not floor.centre.switchboard.relay_up, 1.5, "the relay's death went unnoticed")
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


_ALMOST_FULL = SimpleNamespace(f_bavail=1, f_frsize=4096, f_flag=0)


async def everybody_hangs_up(floor: Floor) -> None:
    for call in list(floor.centre.switchboard):
        await floor.centre.switchboard.hang_up(call)


def _refuse(code: int) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


async def _no_relay(_self: MediaRelay) -> Any:
    raise OSError(errno.EAGAIN, "no process can be started")
