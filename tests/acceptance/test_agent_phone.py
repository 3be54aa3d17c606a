"""An agent's phone we did not write: Debian's baresip is the desk, SIPp the customer, and the tape has both."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import soundfile

from tests.acceptance.demo_run import demo, mobiles, sipp
from tests.acceptance.test_carriers import a_law
from tests.integration.sip.test_foreign_phones import baresip, speech_of_levels


async def test_baresip_talks_to_the_customer(tmp_path: Path) -> None:
    """Left is what baresip spoke, right what SIPp played: found in the kept file sample by sample."""
    spoken = speech_of_levels(tmp_path / "agent.wav", seed=5, seconds=60.0)
    folder = tmp_path / "sipp"
    folder.mkdir()
    known = np.random.default_rng(9).integers(0, 256, 8000 * 6, dtype=np.uint8).tobytes()
    (folder / "known.alaw").write_bytes(known)
    (folder / "announcement.alaw").write_bytes(known)
    placement = mobiles(tmp_path / "numbers.csv", ["13800138000"])
    kept = tmp_path / "kept"
    async with baresip(tmp_path / "phone", tmp_path / "agent.wav") as port:
        with (
            sipp("carrier", folder) as far,
            demo(
                tmp_path / "run" / "data",
                *("--trunk", far.trunk, "--placement", str(placement), "--agent", f"sip:phone@127.0.0.1:{port}"),
                *("--talk-seconds", "4", "--keep-tapes", str(kept)),
                ONRECORD_RECORDING__ANNOUNCEMENT="false",
            ) as run,
        ):
            report = await asyncio.to_thread(run.report)
    (call,) = report["calls"]
    assert call["answered"]
    assert report["recordings"][0]["classification"] == "two-way"
    samples, _ = soundfile.read(kept / f"{call['id']}.flac", dtype="int16", always_2d=True)
    customer = samples[:, 1]
    first, last = (int(at) for at in np.flatnonzero(customer)[[0, -1]])
    sent = a_law(known)
    length = min(last + 1 - first, len(sent))
    assert length > 3 * 8000
    assert (customer[first : first + length] == sent[:length]).all()
    agent = samples[8000:24000, 0]
    at = next(
        int(start)
        for start in np.flatnonzero(spoken[: -len(agent)] == agent[0])
        if (spoken[start : start + 160] == agent[:160]).all()
    )
    assert (spoken[at : at + len(agent)] == agent).mean() > 0.95  # baresip's own clock may drop or double a packet
