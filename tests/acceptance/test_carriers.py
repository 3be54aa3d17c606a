"""The acceptance test of a carrier we did not write: `onrecord demo --trunk` against SIPp and its many habits."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dialer.simulated.sound import sound
from tests.acceptance.demo_run import demo, mobiles, sipp

EXPECTED = {
    "0": (200, "normal", True),
    "1": (486, "busy", False),
    "2": (404, "unallocated", False),
    "3": (480, "no-answer", False),
    "4": (480, "subscriber-absent", False),
    "5": (487, "no-answer", False),
    "6": (200, "normal", True),
    "7": (200, "normal", True),
    "8": (302, "interworking", False),
    "9": (603, "rejected", False),
}


def a_law(samples: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """The samples of an A-law payload, by libsndfile."""
    from io import BytesIO

    decoded, _ = soundfile.read(
        BytesIO(samples), dtype="int16", samplerate=8000, channels=1, format="RAW", subtype="ALAW"
    )
    return np.asarray(decoded, dtype=np.int16)


@pytest.fixture
def far_sound(tmp_path: Path) -> bytes:
    """Six seconds of every A-law byte in a random order, and an announcement, where SIPp finds them."""
    folder = tmp_path / "sipp"
    folder.mkdir()
    known = np.random.default_rng(7).integers(0, 256, 8000 * 6, dtype=np.uint8).tobytes()
    (folder / "known.alaw").write_bytes(known)
    soundfile.write(folder / "announcement.alaw", sound("switched-off").pcm, 8000, subtype="ALAW", format="RAW")
    return known


def test_every_habit_is_told_taped_and_kept(tmp_path: Path, far_sound: bytes) -> None:
    """Ten habits, one number each; what the answering one sent is on the kept tape, sample by sample."""
    numbers = [f"1380013800{digit}" for digit in EXPECTED]
    placement = mobiles(tmp_path / "numbers.csv", numbers)
    kept = tmp_path / "kept"
    arguments = ["--placement", str(placement), "--agents", "4", "--ring-seconds", "6", "--talk-seconds", "4"]
    with (
        sipp("carrier", tmp_path / "sipp") as far,
        demo(tmp_path / "run" / "data", "--trunk", far.trunk, *arguments, "--keep-tapes", str(kept)) as run,
    ):
        report = run.report()
        byes, cancels = len(far.received("BYE")), len(far.received("CANCEL"))
    calls = {call["number"][-1]: call for call in report["calls"]}
    found = {digit: (call["sip_status"], call["cause"], call["answered"]) for digit, call in calls.items()}
    assert found == EXPECTED
    assert calls["4"]["category"] == "switched-off", "the announcement in early media was not understood"
    assert calls["9"]["category"] == "rejected", "nonsense before the refusal changed the refusal"
    assert byes >= 2
    assert cancels >= 1
    for call in report["calls"]:
        assert (kept / f"{call['id']}.tape").stat().st_size > 0
        assert (kept / f"{call['id']}.flac").exists()
    for recording in report["recordings"]:  # whoever has only the object finds the sound and can hash it
        assert hashlib.sha256(Path(recording["sound"]).read_bytes()).hexdigest() == recording["sha256"]
    samples, rate = soundfile.read(kept / f"{calls['0']['id']}.flac", dtype="int16", always_2d=True)
    assert rate == 8000
    assert samples.shape[1] == 2
    heard = samples[:, 1]
    # A-law knows no zero: where the file has one, no packet had come yet, or none came any more.
    first, last = (int(at) for at in np.flatnonzero(heard)[[0, -1]])
    sent = a_law(far_sound)
    offset = next(at for at in range(8) if (heard[first : first + 800] == sent[at : at + 800]).all())
    length = min(last + 1 - first, len(sent) - offset)
    assert length > 3 * 8000
    same = heard[first : first + length] == sent[offset : offset + length]
    assert same.all(), f"{int((~same).sum())} of {length} samples differ, the first at {int(np.flatnonzero(~same)[0])}"
    recording = next(one for one in report["recordings"] if one["call_id"] == calls["0"]["id"])
    assert recording["classification"] == "two-way"


def test_a_silent_trunk_is_named(tmp_path: Path) -> None:
    """Nobody listens there: the run ends with the trunk's name, not after hours of tries."""
    placement = mobiles(tmp_path / "numbers.csv", ["13800138000", "13800138001"])
    arguments = ["--trunk", "sip:127.0.0.1:9", "--placement", str(placement), "--agents", "1"]
    with demo(tmp_path / "run" / "data", *arguments, ONRECORD_SIP__T1_MILLISECONDS="50") as run:
        assert run.wait() == 1
        assert '"error_id": "trunk-silent"' in run.err.read_text()
        assert "Traceback" not in run.err.read_text()
        assert run.out.read_text() == ""


def test_a_phone_that_refuses_is_named(tmp_path: Path, far_sound: bytes) -> None:
    """The agent's phone says 486: nobody is called, and no placement is loaded."""
    placement = mobiles(tmp_path / "numbers.csv", ["13800138000"])
    assert far_sound
    with (
        sipp("carrier", tmp_path / "sipp") as far,
        demo(
            tmp_path / "run" / "data",
            "--trunk",
            far.trunk,
            "--placement",
            str(placement),
            "--agent",
            f"sip:1@127.0.0.1:{far.port}",
        ) as run,
    ):
        assert run.wait() == 2
        assert '"error_id": "desk-not-answering"' in run.err.read_text()
        assert [row["n"] for row in run.rows("select count(*) n from calls")] == [0]
        assert [row["n"] for row in run.rows("select count(*) n from cases")] == [0]
