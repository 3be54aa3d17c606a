"""From tape to proven recording: ``python -m bench.seal_pipeline [minutes]``.

Says hours of stereo audio per CPU-minute for the whole line (seal, vitals, peaks, Opus, encryption, shelf, read back,
manifest) and for each part, the bytes of a stereo hour, and how fast ``verify`` goes over the result.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from bench.machine import describe_machine
from config.settings import RecordingSettings, Settings, VaultSettings
from recording.codec import encode
from recording.copies import OPUS_LEVEL
from recording.peaks import peaks_of
from recording.seal import seal
from recording.seal_job import SealOrder, open_object, open_seal_room, seal_call
from recording.verify import verify
from recording.vitals import TalkFact, VitalsMeter
from tests.sealing import RATE, speech_like
from tests.tape_maker import Sender, write_tape

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0


def conversation(minutes: float) -> np.ndarray:
    """Turns of 6 s with a pause of 1 s, a quiet line noise under both."""
    turn, rng = speech_like(6, 1), np.random.default_rng(3)
    sound = rng.integers(-12, 12, (int(minutes * 60 * RATE), 2)).astype(np.int16)
    for number, at in enumerate(range(0, len(sound) - len(turn), 7 * RATE)):
        sound[at : at + len(turn), number % 2] += turn
    return sound


def tape_of(path: Path, sound: np.ndarray) -> None:
    import random

    senders = []
    for channel in range(2):
        payload, sender = encode(sound[:, channel], "PCMA"), Sender(random.Random(channel))
        for at in range(0, len(payload) - 159, 160):
            sender.talk(1, payload=bytes(payload[at : at + 160]))
        senders.append(sender)
    write_tape(path, near=senders[0], far=senders[1])


def timed(job: Callable[[], object]) -> float:
    begun = time.process_time()
    job()
    return time.process_time() - begun


def main() -> None:
    hours = MINUTES / 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = conversation(MINUTES)
        tape = folder / "call_1.tape"
        tape_of(tape, sound)
        tape_bytes = tape.stat().st_size
        settings = Settings(
            recording=RecordingSettings(shelf=folder / "shelf"),
            vault=VaultSettings(
                master_key=f"file:{folder}/m.json",
                signing_key=f"file:{folder}/s.json",
                state=folder / "p",
                keep_tapes=True,
            ),
        )
        room = open_seal_room(settings)
        order = SealOrder(
            recording_id="rec_1",
            call_id="call_1",
            case_id="case_1",
            tape_path=tape,
            talk=TalkFact(answered_ms=0, talk_seconds=MINUTES * 60),
        )
        begun = time.perf_counter()
        whole = timed(lambda: seal_call(order, room))
        wall = time.perf_counter() - begun
        made = seal_call(order, room)
        assert made.vitals["length_ok"] is True
        (folder / "o").mkdir()
        master = open_object(room.shelf, room.keys, made.objects[0].name)

        def opus() -> None:
            with soundfile.SoundFile(
                folder / "o.opus", "w", RATE, 2, "OPUS", format="OGG", compression_level=OPUS_LEVEL
            ) as copy:
                copy.write(sound)

        def vitals() -> None:
            meter = VitalsMeter(RATE)
            meter.add(sound)
            meter.result()

        parts = {
            "seal (tape to FLAC)": timed(lambda: seal(tape, folder / "o")),
            "vitals": timed(vitals),
            "peaks": timed(lambda: peaks_of([sound], RATE)),
            "Opus copy (not in the line unless vault.listening_copy is always)": timed(opus),
            "FLAC read": timed(lambda: soundfile.read(io.BytesIO(master.read(0, 1 << 40)), dtype="int16")),
        }
        seeks = []
        for at in range(0, master.size, max(1, master.size // 200)):
            reader = open_object(room.shelf, room.keys, made.objects[0].name)
            begun = time.perf_counter()
            reader.read(at, 65_536)
            seeks.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        shallow = verify(room.shelf, room.signing.verifier())
        shallow_wall = time.perf_counter() - begun
        begun = time.perf_counter()
        deep = verify(room.shelf, room.signing.verifier(), keys=room.keys, deep=True)
        deep_wall = time.perf_counter() - begun
        assert shallow.ok
        assert deep.ok
    sizes = {found.kind: found.vault_bytes / hours / 1e6 for found in made.objects}
    stored = sum(sizes.values()) * hours
    _keep(
        [
            describe_machine(),
            f"one call of {MINUTES:g} minutes, two voices in turns, PCMA, 20 ms",
            f"whole line: {whole:.1f} s CPU, {wall:.1f} s wall: {hours / (whole / 60):.2f} hours of stereo audio per CPU-minute",
            *(
                f"  {part}: {cost:.2f} s CPU, {hours / (cost / 60):.1f} hours per CPU-minute"
                for part, cost in parts.items()
            ),
            f"a stereo hour: tape {tape_bytes / hours / 1e6:.1f} MB; "
            + ", ".join(f"{kind} {size:.2f} MB" for kind, size in sizes.items()),
            (
                f"verify: {stored / shallow_wall:.0f} MB/s by hash, {stored / deep_wall:.0f} MB/s opened and hashed "
                f"({hours / shallow_wall * 60:.0f} and {hours / deep_wall * 60:.0f} hours of audio a minute)"
            ),
            (
                f"ranged read of 64 KiB from the vault, cold: p50 {sorted(seeks)[len(seeks) // 2] * 1e3:.2f} ms, "
                f"p99 {sorted(seeks)[len(seeks) * 99 // 100] * 1e3:.2f} ms"
            ),
        ],
    )


def _keep(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    print(text, end="")
    (Path(__file__).parent / "results" / f"{Path(__file__).stem}.txt").write_text(text)


if __name__ == "__main__":
    main()
