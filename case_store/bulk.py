"""Many rows at once, past the statement compiler: a placement file is half a million rows and must load in seconds."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import Table

from case_store.columns import SQLITE_INSTANT, Amount, Instant
from case_store.database import Unit
from config.errors import InvariantBroken

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


async def insert_rows(unit: Unit, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, each with a value for every name in order: COPY on PostgreSQL, one executemany on SQLite."""
    columns = ", ".join(f'"{name}"' for name in names)
    if unit.dialect == "postgresql":
        await _copy(unit, f'COPY "{table.name}" ({columns}) FROM STDIN', rows)
        return
    adapters = [_ADAPTERS.get(type(table.c[name].type)) for name in names]
    # Column by column: an adapter runs only where there is one, the rest is turned over by zip.
    columns_of_values = [
        [adapt(value) for value in column] if adapt else column
        for adapt, column in zip(adapters, zip(*rows, strict=True), strict=True)
    ]
    values = list(zip(*columns_of_values, strict=True))
    marks = ", ".join("?" * len(names))
    # Names come from our own table definitions; every value is bound.
    await unit.connection.exec_driver_sql(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', values)  # noqa: S608


async def _copy(unit: Unit, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """One write for all rows: the driver's own way takes a coroutine and a dozen calls a row."""
    raw = await unit.connection.get_raw_connection()
    driver: Any = raw.driver_connection
    lines = "".join(["\t".join([_copied(value) for value in row]) + "\n" for row in rows])
    async with driver.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(lines)


def _copied(value: Any) -> str:
    """A value in COPY's text format (PostgreSQL manual, COPY, "Text Format")."""
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_COPY_ESCAPES) if _COPY_SPECIAL.search(value) else value
    if isinstance(value, datetime):
        return _copied_instant(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvariantBroken(
        "a value without a text form reached a bulk load", remedy=f"write {type(value).__name__} here"
    )


_COPY_SPECIAL = re.compile(r"[\\\t\n\r]")
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@lru_cache(maxsize=1024)
def _copied_instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()


@lru_cache(maxsize=1024)
def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).strftime(SQLITE_INSTANT)


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


_ADAPTERS: dict[type, Callable[[Any], Any]] = {Instant: _instant, Amount: _amount}
