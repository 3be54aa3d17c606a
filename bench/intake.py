"""How long a large placement file takes to load, and how much memory: ``python -m bench.intake [--rows N]``.

Writes bench/results/intake.txt.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import platform
import random
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from case_store.intake.placement import parse_placement
from case_store.store import CaseStore
from config.settings import ClientSettings

HEADER = [
    "案件编号",
    "姓名",
    "证件号",
    "欠款金额",
    "币种",
    "单位电话",
    "手机",
    "宅电",
    "亲属1姓名",
    "亲属1电话",
    "亲属1关系",
    "紧急联系人姓名",
    "紧急联系人电话",
]


def write_sample(path: Path, rows: int, *, first: int = 0) -> None:
    """``rows`` cases with five numbers each; ``first`` counts their case numbers on from there."""
    dice = random.Random(7)  # a sample, not a secret
    with path.open("w", encoding="gb18030", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(HEADER)
        for place in range(first, first + rows):
            mobile = [f"1{dice.choice('38')}{dice.randrange(10**9):09d}" for _ in range(3)]
            writer.writerow(
                [
                    f"C{place:07d}",
                    f"持卡人{place}",
                    f"ID{dice.randrange(rows):012d}",
                    f"{dice.randrange(100, 90000):,}.50",
                    "CNY",
                    f"021-6{dice.randrange(10**7):07d}",
                    mobile[0],
                    f"0755-8{dice.randrange(10**7):07d}",
                    "亲属",
                    mobile[1],
                    "配偶",
                    "朋友",
                    mobile[2] if place % 50 else "1.38E+10",
                ]
            )


def machine() -> str:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown CPU",
    )
    import os

    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"


async def measure(rows: int, url: str | None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "placement.csv"
        write_sample(path, rows)
        store = await CaseStore.open(url or f"sqlite+aiosqlite:///{folder}/store.db")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seen: list[tuple[int, int]] = []
        start, processor = time.monotonic(), time.process_time()
        report = await store.placements.load(
            parse_placement(path, ClientSettings(name="bank")),
            datetime.now(UTC),
            progress=lambda done: seen.append((done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)),
        )
        seconds, worked = time.monotonic() - start, time.process_time() - processor
        await store.close()
    half = next(peak for done, peak in seen if done >= rows // 2)
    return (
        f"{rows} rows, {report.cases} cases, {report.numbers} numbers, {len(report.rejected_fields)} rejected fields: "
        f"{seconds:.1f} s, {worked:.1f} s of CPU ({rows / seconds:.0f} rows/s); peak memory before {before // 1024} MB, "
        f"half way {half // 1024} MB, at the end {seen[-1][1] // 1024} MB"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--url", help="another database; default: SQLite in a temporary folder")
    chosen = options.parse_args()
    text = f"{machine()}\n{asyncio.run(measure(chosen.rows, chosen.url))}\n"
    print(text)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "intake.txt").write_text(text)


if __name__ == "__main__":
    main()
