"""Many rows at once, past the statement compiler: a placement file is half a million rows and must load in seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import Table

from case_store.columns import SQLITE_INSTANT, Amount, Instant
from case_store.database import Unit

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def ids(prefix: str) -> Iterator[str]:
    """Identifiers of ``config.identity``'s form, a million from one draw: 48-bit time, 60 random bits, then a count of 20."""
    while True:
        high = (time.time_ns() // 1_000_000) << 60 | int.from_bytes(os.urandom(8), "big") >> 4
        digits = []
        for _ in range(22):
            digits.append(_ALPHABET[high & 31])
            high >>= 5
        start = f"{prefix}_{''.join(reversed(digits))}"
        for upper in _PAIRS:
            for lower in _PAIRS:
                yield start + upper + lower


async def insert_rows(unit: Unit, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same keys in the same order: COPY on PostgreSQL, one executemany on SQLite."""
    names = list(rows[0])
    if unit.dialect == "postgresql":
        await _copy(unit, table, names, rows)
        return
    adapters = [_ADAPTERS.get(type(table.c[name].type)) for name in names]
    # Column by column: an adapter runs only where there is one, the rest is turned over by zip.
    columns_of_values = [
        [adapt(value) for value in column] if adapt else column
        for adapt, column in zip(adapters, zip(*(row.values() for row in rows), strict=True), strict=True)
    ]
    values = list(zip(*columns_of_values, strict=True))
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" * len(names))
    # Names come from our own table definitions; every value is bound.
    await unit.connection.exec_driver_sql(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', values)  # noqa: S608


async def _copy(unit: Unit, table: Table, names: list[str], rows: Sequence[dict[str, Any]]) -> None:
    raw = await unit.connection.get_raw_connection()
    driver: Any = raw.driver_connection
    columns = ", ".join(f'"{name}"' for name in names)
    async with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN') as copy:
        for row in rows:
            await copy.write_row(tuple(row.values()))


@lru_cache(maxsize=1024)
def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).strftime(SQLITE_INSTANT)


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


_ADAPTERS: dict[type, Callable[[Any], Any]] = {Instant: _instant, Amount: _amount}
