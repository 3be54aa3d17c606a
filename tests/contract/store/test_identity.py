"""Identity numbers are kept under the house's key. Category: contract, SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from case_store.intake.identity import MARK, house_key, keyed_by
from case_store.intake.placement import parse_placement
from case_store.store import CaseStore
from case_store.tables import persons
from config.errors import BadSetting
from tests.contract.store import world


async def test_plain_digests_are_keyed_and_the_same_person_is_still_found(
    store: CaseStore, tmp_path: Path, now: datetime
) -> None:
    await world.load(store, tmp_path, now, world.case_line("A1", person="SAME-0001", mobile="13800138000"))
    key = keyed_by(house_key(tmp_path / "keys" / "identity.key"))
    path = tmp_path / "second.csv"
    path.write_text(world.HEADER + world.case_line("A2", person="SAME-0001", mobile="13800138001"), encoding="utf-8")
    await store.placements.load(parse_placement(path, world.BANK), now, identity=key)
    debtors = {line.case.debtor_person_id for line in await store.cases.list()}
    assert len(debtors) == 1
    async with store.database.read() as connection:
        kept = set((await connection.execute(select(persons.c.identity_key))).scalars()) - {None}
    assert all(one.startswith(MARK) for one in kept)


def test_the_key_is_private_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity.key"
    first = house_key(path)
    assert house_key(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert keyed_by(first)("a" * 64) != keyed_by(bytes(32))("a" * 64)
    path.chmod(0o644)
    with pytest.raises(BadSetting, match="others may read"):
        house_key(path)
