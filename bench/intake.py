"""How long a large placement file takes to load, and how much memory: ``python -m bench.intake [--rows N]``.

Each load runs in a process of its own, so that its peak of memory is its own: a tenth of the rows, then all of them, as
CSV (GB18030) and as a workbook, with identity digests keyed as every door keys them. Writes bench/results/intake.txt
(``intake-postgresql.txt`` with --postgresql URL, an empty database each time).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import xlsxwriter

from case_store.intake.identity import keyed_by
from case_store.intake.placement import parse_placement
from case_store.store import CaseStore
from config.settings import ClientSettings, Settings
from dialer.arrivals import first_steps

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


async def measure(path: Path, rows: int, url: str) -> str:
    store = await CaseStore.open(url)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, processor = time.monotonic(), time.process_time()
    report = await store.placements.load(
        parse_placement(path, ClientSettings(name="bank")),
        datetime.now(UTC),
        plan=first_steps(Settings()),
        identity=keyed_by(b"k" * 32),
    )
    seconds, worked = time.monotonic() - start, time.process_time() - processor
    await store.close()
    assert report.rows == rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        f"{path.suffix[1:]:5}{rows:7} rows, {report.cases} cases, {report.numbers} numbers, {len(report.rejected_fields)} "
        f"rejected fields: {seconds:.1f} s, {worked:.1f} s of CPU ({rows / seconds:.0f} rows/s); "
        f"peak memory before {before // 1024} MB, after {peak // 1024} MB"
    )


def as_workbook(path: Path) -> Path:
    made = path.with_suffix(".xlsx")
    with xlsxwriter.Workbook(str(made), {"constant_memory": True}) as book, path.open(encoding="gb18030") as text:
        sheet = book.add_worksheet()
        for row, cells in enumerate(csv.reader(text)):
            for column, cell in enumerate(cells):
                sheet.write_string(row, column, cell)
    return made


def one_load(path: Path, rows: int, url: str) -> str:
    """In a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.intake", "--one", str(path), "--rows", str(rows), "--url", url],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--postgresql", nargs="+", metavar="URL", help="empty databases, one a load")
    options.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--url", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one is not None:
        print(asyncio.run(measure(chosen.one, chosen.rows, chosen.url)))
        return
    lines = [machine()]
    with tempfile.TemporaryDirectory() as folder:
        urls = iter(chosen.postgresql or [f"sqlite+aiosqlite:///{folder}/{place}.db" for place in range(4)])
        for rows in (chosen.rows // 10, chosen.rows):
            path = Path(folder) / f"placement-{rows}.csv"
            write_sample(path, rows)
            for file, url in zip((path, as_workbook(path)), urls, strict=False):
                lines.append(one_load(file, rows, url))
                print(lines[-1], flush=True)
    name = "intake-postgresql.txt" if chosen.postgresql else "intake.txt"
    (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
