"""Placements in the store: loading a parsed file in one transaction, and asking what became of it.

What is good goes in, what is bad comes back. Loading the same bytes again changes nothing; loading a corrected file
adds only what is missing. Rows are taken in batches, so memory stays flat.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from sqlalchemy import select, update

from case_store.database import Database, Unit
from case_store.intake.errors import FileRefused, Rejection
from case_store.intake.identity import MARK, KeyIdentity
from case_store.intake.placement import ParsedPlacement
from case_store.model import Placement
from case_store.placement_coverage import Coverage, NumberCoverage, coverage_of, standing_of_pair
from case_store.placement_loading import Loading
from case_store.placement_report import FirstAction, ImportReport, RowFate, first_action
from case_store.tables import persons, placement_files, placements
from config.errors import BadInput

__all__ = [
    "Coverage",
    "FirstAction",
    "ImportReport",
    "NumberCoverage",
    "Placements",
    "RowFate",
    "first_action",
    "standing_of_pair",
]

BATCH = 1000


class Placements:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(
        self,
        parsed: ParsedPlacement,
        now: datetime,
        *,
        plan: FirstAction = first_action,
        identity: KeyIdentity | None = None,
        strict: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        each: Callable[[RowFate], None] | None = None,
    ) -> ImportReport:
        """Put a file's good rows in, in one transaction. ``progress`` is told the rows done, ``each`` every row's fate.

        ``identity`` keys the digests of identity numbers (every door passes it; without it they stay plain).

        Raises ``FileRefused`` when ``strict`` and anything at all is wrong; then nothing went in.
        """
        try:
            async with self._database.write() as unit:
                await unit.lock([f"intake:{parsed.client.name}"])
                earlier = await _earlier_load(unit, parsed)
                if earlier is not None:
                    return earlier
                if identity is not None:
                    await _key_plain_digests(unit, identity)
                loading = Loading(unit, parsed, now, plan, identity, each)
                for batch in _batches(parsed.rows(), BATCH):
                    await loading.take(batch)
                    if progress is not None:
                        progress(loading.rows)
                report = loading.report(dry_run)
                if strict and (report.rejected_rows or report.rejected_fields):
                    first = (report.rejected_rows or report.rejected_fields)[0]
                    raise FileRefused(
                        f"row {first.row}, {first.field}: {first.problem}; "
                        f"{report.rejected_row_count} rows and {len(report.rejected_fields)} fields are bad",
                        field="file",
                        shape=first.shape,
                        remedy="correct them all, or load without --strict",
                    )
                if dry_run:
                    raise _DryRun(report)
                await loading.finish(report)
        except _DryRun as done:
            return done.report
        return report

    async def list(self) -> tuple[Placement, ...]:
        async with self._database.read() as connection:
            rows = await connection.execute(select(placements).order_by(placements.c.received_at, placements.c.id))
            return tuple(Placement(**row) for row in rows.mappings())

    async def get(self, placement_id: str) -> Placement:
        found = [one for one in await self.list() if placement_id in (one.id, one.name)]
        if not found:
            raise BadInput("there is no such placement", field="placement", remedy="list the placements and name one")
        if len(found) > 1:  # one bank's cases must never go out as another's
            raise BadInput(
                "placements of several clients have this name",
                field="placement",
                shape=", ".join(f"{one.client}: {one.id}" for one in found),
                remedy="give the id of the one that is meant",
            )
        return found[0]

    async def coverage(self, placement_id: str, *, untried_limit: int = 1000) -> Coverage:
        """What became of each (case, number) pair of a placement, over all its sweeps."""
        placement = await self.get(placement_id)
        async with self._database.read() as connection:
            return await coverage_of(connection, placement, untried_limit=untried_limit)


class _DryRun(Exception):  # not an error: it rolls the rehearsal back
    def __init__(self, report: ImportReport) -> None:
        super().__init__()
        self.report = report


async def _key_plain_digests(unit: Unit, identity: KeyIdentity) -> None:
    """Digests of an earlier version get their key, once; the index finds them (hex sorts before the mark)."""
    while True:
        rows = (
            await unit.connection.execute(
                select(persons.c.id, persons.c.identity_key).where(persons.c.identity_key < MARK).limit(BATCH)
            )
        ).all()
        for row in rows:
            await unit.connection.execute(
                update(persons).where(persons.c.id == row.id).values(identity_key=identity(row.identity_key))
            )
        if len(rows) < BATCH:
            return


async def _earlier_load(unit: Unit, parsed: ParsedPlacement) -> ImportReport | None:
    row = (
        await unit.connection.execute(
            select(placement_files).where(
                placement_files.c.client == parsed.client.name,
                placement_files.c.kind == "placement",
                placement_files.c.sha256 == parsed.sha256,
            )
        )
    ).first()
    if row is None:
        return None
    kept = row.report
    return ImportReport(
        placement_id=row.placement_id,
        name=kept["name"],
        client=parsed.client.name,
        rows=kept["rows"],
        cases=kept["cases"],
        numbers=kept["numbers"],
        existing=kept["existing"],
        rejected_rows=tuple(Rejection(**one) for one in kept["rejected_rows"]),
        rejected_fields=tuple(Rejection(**one) for one in kept["rejected_fields"]),
        already_loaded=True,
        dry_run=False,
        unknown_columns=tuple(kept["unknown_columns"]),
        header=parsed.table.header,
        returned=(),
    )


Item = TypeVar("Item")


def _batches(rows: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
