"""The gate's health: failing and hanging probes both close it, and it opens again by itself."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from config.clock import SystemClock
from config.settings import RecordingSettings
from dialer.campaigns import CampaignState
from dialer.gates import GateFacts, explain, room
from dialer.line_health import STALE_SECONDS, LineHealth, keys_probe, recorder_probe
from recording.keys import load_master_keys
from recording.recorder import Recorder
from recording.signing import load_signing_key
from tests.sealing import settings_in


async def _until(wanted: bool, health: LineHealth) -> None:
    async with asyncio.timeout(10):
        while bool(health.problems()) is not wanted:  # noqa: ASYNC110  # its probes are threads
            await asyncio.sleep(0.02)


async def test_keys_taken_away_close_the_line_and_brought_back_open_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    load_master_keys(settings.vault.master_key, create=True)
    load_signing_key(settings.vault.signing_key, create=True)
    health = LineHealth({"key service": keys_probe(settings)})
    await health.start()
    assert health.problems() == ()
    master = tmp_path / "keys" / "master.json"
    away = master.rename(tmp_path / "keys" / "away.json")
    await _until(True, health)
    assert "key" in health.problems()[0]
    assert not master.exists(), "a lost master key must never be replaced by a new one"
    away.rename(master)
    await _until(False, health)
    health.close()


async def test_the_low_watermark_and_a_missing_directory_close_the_line(tmp_path: Path) -> None:
    directory = tmp_path / "tapes"
    recorder = Recorder(RecordingSettings(directory=directory, low_watermark_bytes=0), SystemClock())
    health = LineHealth({"tape disk": recorder_probe(recorder)})
    await health.start()
    assert health.problems() == ()
    directory.rmdir()
    await _until(True, health)
    directory.mkdir()
    await _until(False, health)
    health.close()
    full = Recorder(RecordingSettings(directory=directory, low_watermark_bytes=10**15), SystemClock())
    assert "watermark" in recorder_probe(full)()[0]


async def test_a_probe_that_hangs_is_a_problem_within_a_second(tmp_path: Path) -> None:
    asked, released, hang = threading.Event(), threading.Event(), threading.Event()
    now = [0.0]

    def probe() -> tuple[str, ...]:
        if hang.is_set():
            asked.set()
            released.wait(10)
        return ()

    health = LineHealth({"key service": probe}, lambda: now[0])
    await health.start()
    assert health.problems() == ()
    hang.set()
    await asyncio.to_thread(asked.wait, 10)
    now[0] += STALE_SECONDS + 0.01
    assert health.problems() == ("the key service does not answer",)
    hang.clear()
    released.set()
    await _until(False, health)
    health.close()


async def test_a_probe_that_falls_over_closes_the_line_and_is_asked_again() -> None:
    broken = [True]

    def probe() -> tuple[str, ...]:
        if broken[0]:
            raise RuntimeError("can't start new thread")
        return ()

    health = LineHealth({"key service": probe})
    await health.start()
    assert health.problems() == ("the key service cannot be judged (RuntimeError)",)
    broken[0] = False
    await _until(False, health)
    health.close()


def test_the_campaign_says_why() -> None:
    facts = GateFacts(
        state=CampaignState.RUNNING,
        lines=4,
        lines_busy=0,
        agents_ready=4,
        agents_on_floor=4,
        trunks=1,
        numbers_left=9,
        recorder_problems=("the key service does not answer",),
    )
    assert room(facts) == 0
    [gate] = [gate for gate in explain(facts) if gate.holds_back]
    assert (gate.name, gate.detail_en) == ("recorder", "the key service does not answer")


KEY_SERVICE = """
import base64, json, sys, pathlib, time
here, verb = pathlib.Path(__file__).parent, sys.argv[1]
ask = json.load(sys.stdin)
if (here / f"{verb}-fails").exists():
    sys.exit(1)
while (here / f"{verb}-hangs").exists():
    time.sleep(0.05)
turn = lambda text: base64.b64encode(bytes(b ^ 90 for b in base64.b64decode(text))).decode()
if (here / "lies").exists():
    turn = lambda text: text
said = {"wrap": lambda: {"version": "k1", "wrapped": turn(ask["key"])}, "unwrap": lambda: {"key": turn(ask["wrapped"])}}
print(json.dumps(said[verb]()))
"""


def test_a_key_service_is_asked_to_close_and_to_open(tmp_path: Path) -> None:
    """Naming a version proves nothing: each verb that fails, and a wrong key handed back, is a problem at the next look."""
    script = tmp_path / "kms.py"
    script.write_text(KEY_SERVICE)
    settings = settings_in(tmp_path, master_key=f"kms:{sys.executable} {script}")
    load_signing_key(settings.vault.signing_key, create=True)
    probe = keys_probe(settings)
    assert probe() == []
    assert probe() == []
    for trouble in ("wrap-fails", "unwrap-fails", "lies"):
        (tmp_path / trouble).touch()
        assert probe() != [], trouble
        (tmp_path / trouble).unlink()
        assert probe() == [], f"it did not recover from {trouble}"
        assert probe() == []


async def test_a_disk_that_stops_flushing_closes_the_line_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes still go to memory; it is the flush that hangs. Nobody new is called on such a disk."""
    directory, stalled = tmp_path / "tapes", threading.Event()
    stalled.set()
    real = os.fsync

    def hanging(descriptor: int) -> None:
        stalled.wait(20)
        real(descriptor)

    recorder = Recorder(RecordingSettings(directory=directory, low_watermark_bytes=0), SystemClock())
    monkeypatch.setattr("recording.recorder.os.fsync", hanging)
    health = LineHealth({"tape disk": recorder_probe(recorder)})
    await health.start()
    assert health.problems() == ()
    stalled.clear()
    await _until(True, health)
    assert health.problems() == ("the tape disk does not answer",)
    stalled.set()
    await _until(False, health)
    health.close()
