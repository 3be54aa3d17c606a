"""A sealing worker is killed at any moment: the tape is there, or the recording is; running it again completes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recording.attach import as_filed
from recording.dossier import read_dossier
from recording.recordings import RecordingClass
from recording.seal import seal
from recording.seal_job import SealOrder, seal_call
from recording.verify import verify
from recording.worker import SealWorkers
from tests.sealing import order_for, room_in, seal_raw, settings_in, stereo
from tests.tape_maker import Sender, write_tape

# Imports once; then each round a forked child seals and is killed after a random moment.
_ROUNDS = """
import os, random, signal, sys, time
from pathlib import Path
from recording.seal import seal
from recording.seal_job import SealOrder, seal_call
from tests.sealing import room_in
folder, count, rounds, rng = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), random.Random(11)
room, killed = room_in(folder), 0
for _ in range(rounds):
    child = os.fork()
    if child == 0:
        for n in range(count):
            tape = folder / f"tapes/rec_{n}.tape"
            seal_call(SealOrder(recording_id=f"rec_{n}", call_id=f"call_{n}", case_id="case_1", tape_path=tape), room)
        os._exit(0)
    time.sleep(rng.uniform(0, 0.3))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
print(killed)
"""


def test_kill_9_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    count = 20
    orders = [order_for(tmp_path, stereo(0.3), f"rec_{n}") for n in range(count)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ROUNDS, str(tmp_path), str(count), "20"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) > 0, "no round was killed in the middle"
    room = room_in(tmp_path)
    sealed = {order.recording_id: room.chain.find(order.recording_id) for order in orders}
    for order in orders:
        assert order.tape_path.exists() or sealed[order.recording_id] is not None
    made = [
        seal_call(
            SealOrder(recording_id=o.recording_id, call_id=o.call_id, case_id="case_1", tape_path=o.tape_path), room
        )
        for o in orders
    ]
    assert not any(order.tape_path.exists() for order in orders)
    known = {one.id: as_filed(read_dossier(room.shelf, room.signing.verifier(), one.id)) for one in made}
    report = verify(room.shelf, room.signing.verifier(), known=known, keys=room.keys, deep=True)
    assert (report.recordings_ok, report.failures) == (count, [])
    assert room.chain.head()[0] == count


async def test_a_killed_worker_is_replaced_and_its_job_run_again(tmp_path: Path) -> None:
    workers = SealWorkers(settings_in(tmp_path), seal_raw)
    try:
        first = await workers.seal(order_for(tmp_path, stereo(0.3), "rec_0"))
        [victim] = workers.process_ids()
        running = asyncio.ensure_future(workers.seal(order_for(tmp_path, stereo(30), "rec_1")))
        while not (tmp_path / "proof" / "work" / "rec_1").exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.005)
        os.kill(victim, signal.SIGKILL)
        second = await running
        assert victim not in workers.process_ids()
        assert (first.chain_seq, second.chain_seq, second.seconds) == (1, 2, 30.0)
    finally:
        await workers.close()


async def test_errors_of_the_job_come_through_as_they_are(tmp_path: Path) -> None:
    workers = SealWorkers(settings_in(tmp_path), seal_raw)
    try:
        gone = SealOrder(recording_id="rec_1", call_id="c", case_id="k", tape_path=tmp_path / "none.tape")
        with pytest.raises(FileNotFoundError):
            await workers.seal(gone)
    finally:
        await workers.close()


def test_a_real_tape_goes_through_the_whole_line(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    near, far = Sender(random.Random(1)), Sender(random.Random(2))
    near.talk(250)
    far.talk(250, loss=0.1)
    tape = tmp_path / "call_7.tape"
    write_tape(tape, near=near, far=far)
    real = replace(room, seal_tape=seal)
    made = seal_call(SealOrder(recording_id="rec_7", call_id="call_7", case_id="case_1", tape_path=tape), real)
    assert made.classification is RecordingClass.TWO_WAY
    assert made.seconds == pytest.approx(5, abs=0.1)
    assert {gap.reason for gap in made.gaps} >= {"lost"}
    manifest = room.chain.find("rec_7")
    assert manifest is not None
    assert manifest.body["streams"]["customer"]["lost"] > 0
