"""Whether the store's daily work costs the same with a large history: ``python -m bench.store_growth [--full] [--postgresql]``.

Fills one store with few cases and one with many (10 past attempts a case, with their calls, recordings and verdicts; see
``bench.large_store``) and measures in both: claiming the next 100 attempts, a verdict's facts, a booking, a case's page,
the agenda, what a campaign asks before each step, its start, a placement's coverage, a placement file, a payment file
(``bench.daily_work``). The ratio large/small is what matters, of the work before all (``bench.growth_meters``): it is the
same on a busy machine; what is beside it (CPU, pages fetched from outside the cache, the clock) is not.

``--full`` is 10,000 against 1,000,000 cases (10 million attempts, some 40 GB on disk, ten minutes of writing and more).
``--postgresql`` starts a server of its own from Debian's package, as an unprivileged user: filled without fsync, then started
anew as Debian sets it up (fsync on, 128 MB of shared buffers) to be measured. ``--kept FOLDER`` keeps the large store there, and
a later run measures it again; the small one is always made anew. Writes bench/results/store_growth.txt (``-postgresql``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.daily_work import DailyWork
from bench.growth_meters import Cost, Meter, PostgresMeter, SqliteMeter
from bench.large_store import ATTEMPTS_A_CASE, write_history
from bench.machine import describe_machine
from case_store.store import CaseStore
from tests.contract.store.postgres import Postgres, postgres_server

_FILLING = (
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=8GB",
    "shared_buffers=1GB",
    "autovacuum=off",
)
_MEASURED = ("shared_preload_libraries=pg_stat_statements",)
_LOCALE = "C.UTF-8"  # as a Debian server has it; the tests' is C


async def measure(store: CaseStore, cases: int, meter: Meter, *, only: str) -> dict[str, tuple[int, Cost]]:
    """{piece: (how often it was done, its median cost)}."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        work = DailyWork(store, cases, Path(folder))
        for name, (one, often) in work.pieces().items():
            if not re.search(only, name):
                continue
            costs = []
            for place in range(often + 2):
                before = meter.read()
                await one()
                if place > 1:  # the first two only open what stays open
                    costs.append(meter.read() - before)
            print(f"{cases:8} {name:32} {often} times, {sum(one.wall for one in costs) / 1000:.1f} s", flush=True)
            found[name] = often, _median(costs)
        await work.clear_away()
    return found


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(one, name) for one in costs) for name in Cost.__slots__))


async def fill(url: str, cases: int) -> None:
    await (await CaseStore.open(url)).close()
    await asyncio.to_thread(write_history, url, cases, say=print)


async def compare(stores: list[tuple[str, int]], *, only: str) -> list[str]:
    """One line a piece of work."""
    both = []
    for url, cases in stores:
        meter: Meter = SqliteMeter() if url.startswith("sqlite") else PostgresMeter(url)
        store = await CaseStore.open(url)
        await meter.watch(store)
        both.append(await measure(store, cases, meter, only=only))
        await store.close()
    pairs = [(name, often, one, both[1][name][1]) for name, (often, one) in both[0].items()]
    return [_head(meter), *(_line(name, often, one, many, meter) for name, often, one, many in pairs)]


def _columns(meter: Meter) -> list[tuple[str, str, int]]:
    """(heading, field, digits after the point)."""
    ours, server = (
        ("CPU ms", []) if isinstance(meter, SqliteMeter) else ("our CPU ms", [("its CPU ms", "server_cpu", 2)])
    )
    return [
        (meter.work, "work", 0),
        (ours, "cpu", 2),
        *server,
        ("pages fetched", "fetched", 0),
        ("wall ms", "wall", 2),
    ]


def _head(meter: Meter) -> str:
    return f"{'':31}{'times':>6}" + "".join(f"{title:>20}{'ratio':>7}" for title, _, _ in _columns(meter))


def _line(name: str, often: int, one: Cost, many: Cost, meter: Meter) -> str:
    text = f"{name:31}{often:6}"
    for _, field, digits in _columns(meter):
        few, large = getattr(one, field), getattr(many, field)
        ratio = f"{large / few:7.2f}" if few else f"{'-':>7}"
        text += f"{few:10.{digits}f}{large:10.{digits}f}{ratio}"
    return text


@contextmanager
def sqlite_stores(folder: Path, sizes: tuple[int, int]) -> Iterator[list[tuple[str, int]]]:
    found = []
    for cases, kept in zip(sizes, (False, True), strict=True):
        path, filling = folder / f"{cases}.db", folder / f"{cases}.filling"
        if not kept or not path.exists():
            for old in folder.glob(f"{cases}.*"):
                old.unlink()
            asyncio.run(fill(f"sqlite+aiosqlite:///{filling}", cases))
            filling.rename(path)
        found.append((f"sqlite+aiosqlite:///{path}", cases))
    yield found


@contextmanager
def postgresql_stores(folder: Path, sizes: tuple[int, int]) -> Iterator[list[tuple[str, int]]]:
    with postgres_server(_FILLING, kept=folder, locale=_LOCALE) as server:
        for cases, kept in zip(sizes, (False, True), strict=True):
            _filled(server, f"growth_{cases}", cases, kept=kept)
    with postgres_server(_MEASURED, kept=folder) as server:
        yield [(server.url(f"growth_{cases}"), cases) for cases in sizes]


def _filled(server: Postgres, name: str, cases: int, *, kept: bool) -> None:
    if kept and server.sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
        return
    for old in (name, f"filling_{cases}"):
        server.sql(f"DROP DATABASE IF EXISTS {old}")
    server.sql(f"CREATE DATABASE filling_{cases}")
    asyncio.run(fill(server.url(f"filling_{cases}"), cases))
    server.sql(f"ALTER DATABASE filling_{cases} RENAME TO {name}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--postgresql", action="store_true", help="a PostgreSQL of the bench's own instead of SQLite")
    options.add_argument("--full", action="store_true", help="10,000 against 1,000,000 cases")
    options.add_argument("--small", type=int, default=10_000)
    options.add_argument("--large", type=int, default=50_000)
    options.add_argument("--kept", type=Path, help="the folder in which the large store stays")
    options.add_argument("--only", default="", help="pieces whose name this expression finds; nothing is written")
    options.add_argument("--urls", nargs=2, help="two databases filled by an earlier run, on a server of this machine")
    chosen = options.parse_args()
    sizes = (10_000, 1_000_000) if chosen.full else (chosen.small, chosen.large)
    kind = "postgresql" if chosen.postgresql or chosen.urls else "sqlite"
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.kept or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        stores = postgresql_stores if kind == "postgresql" else sqlite_stores
        if chosen.urls:
            found = asyncio.run(compare(list(zip(chosen.urls, sizes, strict=True)), only=chosen.only))
        else:
            with stores(folder, sizes) as both:
                found = asyncio.run(compare(both, only=chosen.only))
    head = f"{kind}: {sizes[0]} against {sizes[1]} cases, {ATTEMPTS_A_CASE} attempts each; medians, random cases; load when it began {busy:.1f}"
    text = "\n".join([describe_machine(), head, *found]) + "\n"
    print(text)
    if not chosen.only:
        name = "store_growth.txt" if kind == "sqlite" else f"store_growth-{kind}.txt"
        (Path(__file__).parent / "results" / name).write_text(text)


if __name__ == "__main__":
    main()
