"""One database behind two dialects: connections, transactions, migrations.

SQLite: WAL, foreign keys on, every write transaction starts with BEGIN IMMEDIATE and waits its turn in this
process. PostgreSQL: READ COMMITTED with explicit locks where a decision rests on what was read.
Commits are durable (synchronous FULL on SQLite): "booked before dialed" must survive a power cut.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, insert, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from case_store.tables import campaign_days, event_head, event_log
from config.errors import BadSetting, Unhealthy

_MIGRATIONS = Path(__file__).parent / "migrations"
_WRITES = "onrecord_writes"
_MANY_ROWS = 500


class StoreUnavailable(Unhealthy):
    """The database cannot be reached or opened."""

    error_id = "store-unavailable"


class StoreDamaged(Unhealthy):
    """The case store holds what cannot be read."""

    error_id = "store-damaged"


_DAMAGED_REMEDY = "keep the database as evidence, restore it from its backup, then run onrecord verify"


def damaged(shape: str) -> StoreDamaged:
    """``shape``: what could not be read, and how that showed; never what was read."""
    return StoreDamaged(
        "the case store cannot be read: somebody wrote into it, or its disk fails", shape=shape, remedy=_DAMAGED_REMEDY
    )


def upsert(dialect: str, table: Any) -> Any:
    """An INSERT that knows ON CONFLICT on this dialect."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@dataclass(slots=True)
class Unit:
    """One write transaction: its connection, and the counts and events that are written just before it commits."""

    connection: AsyncConnection
    dialect: str
    _events: list[dict[str, Any]] = field(default_factory=list)
    _counts: dict[tuple[str, date], Counter[str]] = field(default_factory=dict)

    def count(self, campaign_id: str, booked_at: datetime, what: str) -> None:
        """One more call of a campaign ``attempted``, ``answered`` or ``abandoned``, on the day it was booked."""
        self._counts.setdefault((campaign_id, booked_at.astimezone(UTC).date()), Counter())[what] += 1

    def emit(
        self, kind: str, at: datetime, *, case_id: str | None = None, subject_id: str | None = None, **facts: Any
    ) -> None:
        """Add an event to the log; it gets its number when the transaction commits. ``facts`` must be JSON."""
        self._events.append({"kind": kind, "at": at, "case_id": case_id, "subject_id": subject_id, "facts": facts})

    async def lock(self, keys: Iterable[str]) -> None:
        """Let no other transaction decide about these keys until this one ends. SQLite: it already holds the writer."""
        if self.dialect != "postgresql":
            return
        numbers = sorted(
            {int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True) for key in keys}
        )
        # One statement, arguments in ascending order: two bookers never wait for each other crosswise.
        calls = ", ".join(f"pg_advisory_xact_lock({number})" for number in numbers)
        await self.connection.exec_driver_sql(f"SELECT {calls}")

    async def refresh_statistics(self, added: Mapping[str, int]) -> None:
        """Tell PostgreSQL's planner of many new rows ({table: how many}); SQLite plans without statistics.

        Until its autovacuum comes by, a minute or more, a fresh table is one of 200 values in every column: a claim would
        read the whole campaign, a case's page every number. Analysed here are only tables that grew by a tenth, as
        autovacuum would; their new rows are seen because this transaction wrote them.
        """
        if self.dialect != "postgresql":
            return
        many = {table: rows for table, rows in added.items() if rows >= _MANY_ROWS}
        if not many:
            return
        known = await self.connection.execute(
            text("SELECT relname, reltuples FROM pg_class WHERE oid = ANY(CAST(:names AS regclass[]))"),
            {"names": list(many)},
        )
        grown = sorted(row.relname for row in known if many[row.relname] * 10 >= row.reltuples)
        if grown:
            await self.connection.exec_driver_sql("ANALYZE " + ", ".join(f'"{table}"' for table in grown))

    async def write_counts(self) -> None:
        """Last but for the events, in one order: these rows are shared by every call of a campaign."""
        for (campaign_id, day), added in sorted(self._counts.items(), key=lambda item: item[0]):
            statement = upsert(self.dialect, campaign_days).values(campaign_id=campaign_id, day=day, **added)
            grown = {name: campaign_days.c[name] + number for name, number in added.items()}
            await self.connection.execute(
                statement.on_conflict_do_update(index_elements=["campaign_id", "day"], set_=grown)
            )

    async def number_events(self) -> int:
        """Write the events with the next numbers. The head row is taken last, so numbers commit in order."""
        if not self._events:
            return 0
        taken = await self.connection.execute(
            update(event_head)
            .where(event_head.c.id == 1)
            .values(number=event_head.c.number + len(self._events))
            .returning(event_head.c.number)
        )
        last = int(taken.scalar_one())
        first = last - len(self._events) + 1
        rows = [{"number": first + place, **one} for place, one in enumerate(self._events)]
        await self.connection.execute(insert(event_log), rows)
        return last


class Database:
    """Made by ``Database.open``; ``write()`` and ``read()`` are its two doors."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.dialect = engine.dialect.name
        self._turn = asyncio.Lock()
        self._news = asyncio.Condition()
        self.last_event = 0

    @classmethod
    async def open(cls, url: str, *, migrate_to: str = "head") -> Database:
        """Connect, create the folder of a SQLite file, and bring the schema up to ``migrate_to``.

        Raises ``BadSetting`` for a URL of another kind, ``StoreUnavailable`` when the server does not answer.
        """
        engine = _engine(url)
        database = cls(engine)
        try:
            async with database._connected(writes=True) as connection, connection.begin():
                if database.dialect == "postgresql":
                    await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7165221401)")
                await connection.run_sync(migrate, migrate_to)
        except OperationalError as error:
            await engine.dispose()
            raise StoreUnavailable(
                f"the database could not be opened ({type(error.orig).__name__})",
                field="store.url",
                remedy="check that the server runs, the account may connect, and the folder may be written",
            ) from error
        return database

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Unit]:
        """One transaction. Commits when the block ends well; anything raised inside leaves nothing behind."""
        async with AsyncExitStack() as stack:
            if self.dialect == "sqlite":
                await stack.enter_async_context(self._turn)
            connection = await stack.enter_async_context(self._connected(writes=True))
            async with connection.begin():
                unit = Unit(connection, self.dialect)
                yield unit
                await unit.write_counts()
                last = await unit.number_events()
        if last:
            async with self._news:
                self.last_event = max(self.last_event, last)
                self._news.notify_all()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A consistent look; never waits for a writer."""
        async with self._connected(writes=False) as connection:
            yield connection

    async def wait_for_event(self, after: int, seconds: float) -> bool:
        """True as soon as this process logged an event past ``after``; False when ``seconds`` went by."""
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(lambda: self.last_event > after), seconds)
            except TimeoutError:
                return False
            return True

    @asynccontextmanager
    async def _connected(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield await connection.execution_options(**{_WRITES: writes})
        except DatabaseError as error:
            if "malformed" not in str(error.orig) and "not a database" not in str(error.orig):
                raise
            raise damaged(str(error.orig)) from error


def _engine(url: str) -> AsyncEngine:
    remedy = "use sqlite+aiosqlite:///folder/file.db or postgresql+psycopg://user@host/database"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadSetting("the store's URL cannot be read", field="store.url", remedy=remedy) from None
    if parsed.drivername == "postgresql+psycopg":
        # In a large store the planner's estimates switch its compiler on, which then takes longer than the query.
        ours = {} if "options" in parsed.query else {"options": "-c jit=off"}
        return create_async_engine(parsed, pool_size=10, max_overflow=10, pool_pre_ping=True, connect_args=ours)
    if parsed.drivername != "sqlite+aiosqlite" or not parsed.database or parsed.database == ":memory:":
        raise BadSetting(
            "this is not a database the store knows", field="store.url", shape=parsed.drivername, remedy=remedy
        )
    file = Path(parsed.database)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Names, numbers and balances: for its owner alone, and its journals follow it. A file that is there keeps its mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"the store's file or its folder cannot be made ({error.strerror})",
            field="store.url",
            remedy="name a folder that this account may write",
        ) from error
    engine = create_async_engine(parsed, pool_size=8, max_overflow=8, connect_args={"timeout": 30})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: BEGIN IMMEDIATE is ours to say.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "cache_size=-65536",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the schema of this connection up to ``revision``, inside the caller's transaction."""
    command.upgrade(_alembic(connection), revision)


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def ping(database: Database) -> None:
    """Raise when the database does not answer."""
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
