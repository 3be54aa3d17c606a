"""What a piece of the store's work costs, told apart: our own CPU, the server's, the work itself, and what had to be fetched.

Work is counted so that neither a busy machine nor a cold cache changes it: on PostgreSQL the pages its statements touched
(``pg_stat_statements``: shared, local and temporary, found in its cache or not), on SQLite the virtual machine's steps. CPU is
the scheduler's own count in nanoseconds (``/proc/PID/schedstat``) of every server process of this database.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import make_url

from case_store.store import CaseStore

_STEPS = 10  # SQLite says so every so many steps
_PAGE = 4096
_TOUCHED = (
    "SELECT coalesce(sum(shared_blks_hit + shared_blks_read + local_blks_hit + local_blks_read"
    " + temp_blks_read + temp_blks_written), 0), coalesce(sum(shared_blks_read), 0)"
    " FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = %s"
)
_PROCESSES = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall in milliseconds. ``work``: pages touched, or steps; ``fetched``: pages of them that lay outside the cache."""

    cpu: float
    server_cpu: float
    work: float
    fetched: float
    wall: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))


class Meter(Protocol):
    work: str  # what ``Cost.work`` counts

    async def watch(self, store: CaseStore) -> None: ...

    def read(self) -> Cost:
        """Everything up to now."""
        ...


class SqliteMeter:
    """The database works in this process: its CPU is ours."""

    work = "VM steps"

    def __init__(self) -> None:
        self._steps = 0

    async def watch(self, store: CaseStore) -> None:
        """Connections made from now on, and there are no others, say how far their statements came."""
        engine = store.database._engine
        event.listen(engine.sync_engine, "connect", self._ask)
        await engine.dispose()

    def _ask(self, connection: Any, _record: Any) -> None:
        connection.run_async(lambda driver: driver.set_progress_handler(self._step, _STEPS))

    def _step(self) -> int:
        self._steps += _STEPS
        return 0

    def read(self) -> Cost:
        said = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return Cost(time.process_time() * 1000, 0, self._steps, int(said["rchar"]) / _PAGE, time.perf_counter() * 1000)


class PostgresMeter:
    """Asks over a connection to another database of the server, so that asking is not counted."""

    work = "pages touched"

    def __init__(self, url: str) -> None:
        parsed = make_url(url).set(drivername="postgresql")
        self._database = parsed.database
        self._cpu: dict[int, float] = {}
        self._connection = psycopg.connect(
            parsed.set(database="postgres").render_as_string(hide_password=False), autocommit=True
        )
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    async def watch(self, _store: CaseStore) -> None:
        """The server counts by itself."""

    def read(self) -> Cost:
        said = self._connection.execute(_TOUCHED, (self._database,)).fetchone()
        assert said is not None
        for (process,) in self._connection.execute(_PROCESSES, (self._database,)):
            self._cpu[process] = _cpu_of(process, self._cpu.get(process, 0.0))
        cpu = sum(self._cpu.values())
        return Cost(time.process_time() * 1000, cpu, float(said[0]), float(said[1]), time.perf_counter() * 1000)


def _cpu_of(process: int, known: float) -> float:
    """Milliseconds a server process ran; of one that ended just now, what was known of it."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6
    except FileNotFoundError:
        return known
