"""An hour on a bad line, from the tape to the manifest: nothing altered, nothing out of step, nothing unsaid."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from recording.manifest import read_manifest
from recording.seal_job import SealOrder, manifest_name, open_object, open_seal_room, seal_call
from tests.sealing import settings_in
from tests.tape_maker import Sender, write_tape
from tests.unit.test_seal import sender, sent

MINUTES = 60
PACKETS_A_MINUTE = 3000


def _edge(far: Sender) -> None:
    """What is lost before a stream's first or after its last packet leaves no missing number behind."""
    far.talk(10)


def _hour(near: Sender, far: Sender) -> tuple[tuple[float, str, dict[str, Any]], ...]:
    """The agent talks through; the customer loses 5%, comes twice or late, is held, and is re-INVITEd to another stream."""
    marks: list[tuple[float, str, dict[str, Any]]] = []
    for minute in range(MINUTES):
        near.talk(PACKETS_A_MINUTE)
        _edge(far)
        far.talk(PACKETS_A_MINUTE - 520, loss=0.05, duplicate=0.01, late=0.002)
        _edge(far)
        if minute % 7 == 3:
            # On hold for ten seconds: some phones' timestamps stand still meanwhile, others' go on.
            marks.append((far.clock, "hold", {"on": True}))
            far.pause(500, counts_on=bool(minute % 2))
            marks.append((far.clock, "hold", {"on": False}))
        else:
            _edge(far)
            far.talk(480, loss=0.05, duplicate=0.01, late=0.002)
            _edge(far)
        if minute % 11 == 5:
            far.restart()  # a re-INVITE that moves the media: another SSRC, other numbers, other timestamps
            marks.append((far.clock, "map", {"types": {"8": "PCMA"}, "ptime": 20, "send": True, "receive": True}))
    return tuple(marks)


@pytest.mark.parametrize(("near_ppm", "far_ppm"), [(100.0, -100.0), (-100.0, 100.0)])
def test_an_hour_with_loss_drift_holds_and_reinvites(tmp_path: Path, near_ppm: float, far_ppm: float) -> None:
    near, far = sender(1, ppm=near_ppm, jitter_ms=15), sender(2, ppm=far_ppm, jitter_ms=15)
    marks = _hour(near, far)
    (tmp_path / "tapes").mkdir()
    tape = write_tape(tmp_path / "tapes" / "call_1.tape", near=near, far=far, marks=marks)
    room = open_seal_room(settings_in(tmp_path, chunk_bytes=65536))
    seal_call(SealOrder(recording_id="rec_1", call_id="call_1", case_id="case_1", tape_path=tape), room)
    body = read_manifest(room.shelf.get(manifest_name("rec_1")), room.signing.verifier()).body
    master = next(found for found in body["objects"] if found["kind"] == "master")
    whole = open_object(room.shelf, room.keys, master["name"]).read(0, master["plain_bytes"])
    sound, rate = soundfile.read(BytesIO(whole), dtype="int16", always_2d=True)
    assert (rate, len(sound)) == (8000, body["samples"])
    assert abs(len(sound) / rate - MINUTES * 60) < 3

    errors = []
    for side, channel, one in ((0, "agent", near), (1, "customer", far)):
        gaps = [gap for gap in body["gaps"] if gap["channel"] == channel]
        starts = _places(sound[:, side], sent(one))
        errors.append(starts / 8000 / (1 + body["timeline_ppb"] / 1e9) - np.array([at for at, _ in one.payloads]))
        _every_gap_is_listed(starts, len(sound), gaps)
    # The channels against each other: what was said at one time lies within 20 ms in the file, from first to last.
    assert max(error.max() for error in errors) - min(error.min() for error in errors) <= 0.020

    oddities: dict[str, Counter[int]] = {"duplicate": Counter(), "late": Counter()}
    for odd in body["oddities"]:
        if odd["channel"] == "customer" and odd["kind"] in oddities:
            oddities[odd["kind"]][odd["seq"]] += 1
    assert oddities["duplicate"] == Counter(far.twice)
    assert oddities["late"] == Counter(far.lates)
    said = body["streams"]["customer"]
    assert said["lost"] == len(far.lost) > 5_000
    assert said["duplicates"] == len(far.twice) > 500
    assert said["late"] == len(far.lates) > 100
    assert (said["displaced"], len(said["ssrcs"])) == (0, 6)
    held = [gap for gap in body["gaps"] if gap["reason"] == "hold"]
    assert len(held) == len(range(3, MINUTES - 1, 7)), "each hold but the one the hour ends with"
    assert all(abs(gap["length_ms"] - 10_000) < 30 for gap in held)
    assert all(gap["length_ms"] < 30 for gap in body["gaps"] if gap["reason"] == "drift")
    assert body["streams"]["agent"]["lost"] == 0


def _places(sound: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Where each frame of 160 samples lies: in order, whole, exact, with digital silence and nothing else between."""
    wanted = frames.reshape(-1, 160)
    at = np.empty(len(wanted), dtype=np.int64)
    place = 0
    for n, frame in enumerate(wanted):
        while not np.array_equal(sound[place : place + 160], frame):
            assert place < len(sound), f"frame {n} is not in the file"
            assert sound[place] == 0, f"something at {place} that nobody sent"
            place += 1
            # Decoded G.711 is never 0: the next sample that is not silence begins the next frame.
            step = int(np.argmax(sound[place : place + 200_000] != 0))
            place += step
        at[n] = place
        place += 160
    assert not sound[place:].any()
    return at


def _every_gap_is_listed(starts: np.ndarray, samples: int, gaps: list[dict[str, Any]]) -> None:
    """The stretches that no frame fills are the manifest's gaps, one for one, to the millisecond."""
    ends = np.concatenate(([0], starts + 160))
    begins = np.concatenate((starts, [samples]))
    found = [(int(end), int(begin)) for end, begin in zip(ends, begins, strict=True) if begin > end]
    assert len(found) == len(gaps)
    for (since, until), gap in zip(found, sorted(gaps, key=lambda one: one["start_ms"]), strict=True):
        assert abs(gap["start_ms"] - since / 8) <= 1
        assert abs(gap["length_ms"] - (until - since) / 8) <= 1
