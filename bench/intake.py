"""How long a large placement file takes to read and to load, and how much memory: ``python -m bench.intake [--rows N]``.

Each step runs in a process of its own, so that its peak of memory is its own. First files are only read, row by row as
loading does: a tenth, half, all and twice the rows as CSV (GB18030), as a workbook with shared texts (what a spreadsheet
saves) and with inline ones (what exports write). Then a tenth and all of the rows are loaded as CSV and as a workbook with
shared texts, with identity digests keyed as every door keys them. Writes bench/results/intake.txt (``intake-postgresql.txt``
with --postgresql URL, an empty database each time); --reading stops before the loads and writes ``intake-reading.txt``.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import platform
import random
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
    forget_peak()
    before = peak()
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
    return (
        f"load {_kind(path):12}{rows:7} rows, {report.cases} cases, {report.numbers} numbers, {len(report.rejected_fields)} "
        f"rejected fields: {seconds:.1f} s, {worked:.1f} s of CPU ({rows / seconds:.0f} rows/s); "
        f"peak memory before {before} MB, after {peak()} MB"
    )


def as_workbook(path: Path, *, shared: bool) -> Path:
    made = path.with_name(f"{path.stem}-{'shared' if shared else 'inline'}.xlsx")
    with (
        xlsxwriter.Workbook(str(made), {"constant_memory": not shared}) as book,
        path.open(encoding="gb18030", newline="") as text,
    ):
        sheet = book.add_worksheet()
        for row, cells in enumerate(csv.reader(text)):
            for column, cell in enumerate(cells):
                sheet.write_string(row, column, cell)
    return made


def forget_peak() -> None:
    """Imports need more for a moment than what follows: from here on the peak is that of the work."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most memory this process has held, in MB. ``ru_maxrss`` would count what its parent held, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def read(path: Path, rows: int) -> str:
    """Parse every row and keep none."""
    forget_peak()
    before = peak()
    worked = time.process_time()
    parsed = parse_placement(path, ClientSettings(name="bank"))
    count = sum(1 for _ in parsed.rows())
    assert count == rows
    return (
        f"read {_kind(path):12}{rows:7} rows: {time.process_time() - worked:.1f} s of CPU; "
        f"peak memory before {before} MB, after {peak()} MB"
    )


def _kind(path: Path) -> str:
    return "csv" if path.suffix == ".csv" else f"xlsx {path.stem.rpartition('-')[2]}"


def alone(path: Path, rows: int, url: str | None) -> str:
    """In a process of its own."""
    command = [sys.executable, "-m", "bench.intake", "--one", str(path), "--rows", str(rows)]
    done = subprocess.run(command + (["--url", url] if url else []), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--postgresql", nargs="+", metavar="URL", help="empty databases, one a load")
    options.add_argument("--reading", action="store_true", help="only read, load nothing")
    options.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--url", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one is not None:
        if chosen.url is None:
            print(read(chosen.one, chosen.rows))
        else:
            print(asyncio.run(measure(chosen.one, chosen.rows, chosen.url)))
        return
    lines = [machine()]

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        loads = []
        for rows in (chosen.rows // 10, chosen.rows // 2, chosen.rows, chosen.rows * 2):
            path = Path(folder) / f"placement-{rows}.csv"
            write_sample(path, rows)
            files = (path, as_workbook(path, shared=True), as_workbook(path, shared=False))
            for file in files:
                say(alone(file, rows, None))
            if rows in (chosen.rows // 10, chosen.rows):
                loads += [(file, rows) for file in files[:2]]
        if not chosen.reading:
            urls = chosen.postgresql or [f"sqlite+aiosqlite:///{folder}/{place}.db" for place in range(len(loads))]
            for (file, rows), url in zip(loads, urls, strict=False):
                say(alone(file, rows, url))
    name = "intake-reading" if chosen.reading else "intake-postgresql" if chosen.postgresql else "intake"
    (Path(__file__).parent / "results" / f"{name}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
