"""Every contract of the store runs on SQLite and on a PostgreSQL of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from case_store.database import Database
from case_store.store import CaseStore
from tests.contract.store.postgres import Postgres, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """The name of a migrated database that fresh ones are copied from."""
    url = postgres.database()

    async def migrate() -> None:
        await (await Database.open(url)).close()

    asyncio.run(migrate())
    return url.split("@/")[1].split("?")[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database ready to be opened."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/made/on/demand/store.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database(request.getfixturevalue("migrated_template"))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[CaseStore]:
    opened = await CaseStore.open(store_url)
    yield opened
    await opened.close()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
