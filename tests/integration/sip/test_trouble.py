"""The relay dies, a tape fails, the sound stops, control is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from case_store.network import HangupCause
from dialer.engine import EngineUnhealthy
from dialer.engines.sip.journal import Journal, OpenCall
from dialer.events import LegAnswered, LegEnded, LegFirstAudio, LegProgress, Origin, RelayState, TapeTrouble
from dialer.media import words
from tests.integration.sip.peers import free_port, office, sipp, trunk


async def test_the_relay_dies_and_comes_back(tmp_path: Path) -> None:
    """One leg talks, one rings: BYE for one, CANCEL for the other; no call is placed until the relay is back."""
    async with sipp("answer", tmp_path / "a") as talking, sipp("ring_out", tmp_path / "b") as ringing:
        lines = trunk(talking.port, "a"), trunk(ringing.port, "b")
        async with office(*lines) as ours:
            first = await ours.place(trunks=("a",))
            await ours.heard.wait(LegAnswered, leg=first)
            second = await ours.place(trunks=("b",))
            await ours.heard.wait(LegProgress, leg=second)
            ours.relay.may_start.clear()
            ours.relay.die()
            for leg in (first, second):
                assert (await ours.heard.ended(leg)).cause is HangupCause.RELAY_LOST
            await talking.finished()
            await ringing.finished()
            with pytest.raises(EngineUnhealthy):
                await ours.place()
            ours.relay.may_start.set()
            await ours.heard.wait(RelayState, up=True)
            assert ours.relay.starts == 2
            assert [state.up for state in ours.heard.all(RelayState)] == [False, True]


async def test_a_failed_tape_ends_its_call_at_once(tmp_path: Path) -> None:
    async with sipp("answer", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        ours.relay.tell(words.TapeTrouble(leg=leg, problem="the disk is full"))
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.origin) == (HangupCause.TAPE_FAILED, Origin.ENGINE)
        assert ours.heard.all(TapeTrouble)[0].problem == "the disk is full"


async def test_a_call_without_sound_is_ended(tmp_path: Path) -> None:
    async with sipp("answer", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        ours.relay.tell(words.MediaFirstAudio(leg=leg, monotonic_ns=1))
        ours.relay.tell(words.MediaTimeout(leg=leg, seconds=30))
        assert (await ours.heard.ended(leg)).cause is HangupCause.MEDIA_TIMEOUT
        await far.finished()
        assert len(ours.heard.all(LegFirstAudio)) == 1


async def test_who_speaks_at_once_is_heard_however_slow_the_journal_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first packet is told once: it must not be told of a leg whose answer is not known yet."""
    record = Journal.record

    def slowly(journal: Journal, call: OpenCall) -> None:
        time.sleep(0.1)
        record(journal, call)

    monkeypatch.setattr(Journal, "record", slowly)
    async with sipp("answer", tmp_path) as far, office(trunk(far.port)) as ours:
        ours.relay.speaks_at_once = True
        leg = await ours.place()
        await ours.heard.wait(LegFirstAudio, leg=leg)
        kinds = [type(event) for event in ours.heard.of(leg)]
        assert kinds.index(LegAnswered) < kinds.index(LegFirstAudio)
        await ours.engine.hangup(leg)
        await ours.heard.ended(leg)
        await far.finished()


VICTIM = Path(__file__).parent / "victim.py"


@pytest.mark.parametrize(("scenario", "event"), [("answer", "LegAnswered"), ("ring_out", "LegProgress")])
async def test_a_killed_process_leaves_no_open_line(tmp_path: Path, scenario: str, event: str) -> None:
    """kill -9, then a new engine: BYE for the answered call, CANCEL for the ringing one; told as ORPHANED."""
    journal, own = tmp_path / "dialogs", free_port()
    async with sipp(scenario, tmp_path / "far") as far:
        arguments = [str(VICTIM), str(far.port), str(own), str(journal), event]
        victim = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        assert victim.stdout is not None
        ready = (await asyncio.wait_for(victim.stdout.readline(), 20)).decode().split()
        assert ready, "the victim did not start"
        os.kill(victim.pid, signal.SIGKILL)
        await victim.wait()
        async with office(trunk(far.port), bind_port=own, journal=journal) as ours:
            orphan = await ours.heard.wait(LegEnded)
            assert (orphan.leg, orphan.cause) == (ready[1], HangupCause.ORPHANED)
            await far.finished()
    assert b'"op":"open"' not in journal.read_bytes().split(b'"op":"ended"')[-1]


async def test_nobody_waits_for_ever_for_an_engine_that_closes(tmp_path: Path) -> None:
    """Words told to signalling up to its last moment are carried out or refused; a line is hung up again and again meanwhile."""
    async with sipp("answer", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        closing = asyncio.create_task(ours.engine.close())
        told: list[asyncio.Task[None]] = []
        while not closing.done():
            told.append(asyncio.create_task(ours.engine._end_legs(HangupCause.NORMAL)))
            told.append(asyncio.create_task(ours.engine.hangup(leg)))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            said = await asyncio.gather(*told, return_exceptions=True)
        assert {type(one) for one in said} <= {type(None), EngineUnhealthy}
        await ours.engine.hangup(leg)
        await far.finished()
