"""``python -m bench.seal``: hours of audio sealed per CPU-minute, memory, bytes per stereo hour; speech-like sound."""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from multiprocessing import Process, Queue
from pathlib import Path

import numpy as np

from bench.machine import describe_machine
from recording.codec import encode
from recording.seal import seal
from tests.tape_maker import Sender, write_tape

RESULTS = Path(__file__).parent / "results"
MINUTES = 60


def make(folder: Path) -> None:
    rng = np.random.default_rng(1)
    sides = []
    for seed in (1, 2):
        time_line = np.arange(8000 * 60)
        loudness = np.repeat(rng.choice([0.003, 0.1, 0.3], 60), 8000)  # a minute of bursts and breaths
        sound = np.convolve(rng.normal(size=len(time_line)), np.ones(6) / 6, "same") * loudness * 20000
        codes = encode(np.clip(sound, -32768, 32767).astype(np.int16), "PCMA")
        side = Sender(random.Random(seed), jitter_ms=15, ppm=(-50, 50)[seed - 1])
        for number in range(MINUTES * 3000):
            at = number % 3000 * 160
            side.talk(1, loss=0.005, payload=codes[at : at + 160])
        sides.append(side)
    write_tape(folder / "call_1.tape", near=sides[0], far=sides[1])


def measure(folder: Path, answers: Queue[tuple[float, float, int, float]]) -> None:
    before = time.process_time()
    sealed = seal(folder / "call_1.tape", folder / "sealed")
    cpu = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    answers.put((cpu, peak, sealed.flac_path.stat().st_size, sealed.seconds))


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        maker = Process(target=make, args=(folder,))
        maker.start()
        maker.join()
        answers: Queue[tuple[float, float, int, float]] = Queue()
        sealer = Process(target=measure, args=(folder, answers))
        sealer.start()
        cpu, peak, size, seconds = answers.get()
        sealer.join()
        tape = (folder / "call_1.tape").stat().st_size
    result = {
        "seconds_of_call": round(seconds, 1),
        "cpu_seconds": round(cpu, 2),
        "hours_per_cpu_minute": round(seconds / 3600 / (cpu / 60), 1),
        "peak_memory_mb": round(peak),
        "tape_bytes": tape,
        "flac_bytes_per_stereo_hour": round(size / (seconds / 3600)),
    }
    text = f"python -m bench.seal\n{describe_machine()}\n{json.dumps(result, indent=1)}\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "seal.txt").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
