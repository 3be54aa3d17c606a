"""A house makes its key files once; where something stands on keys that are missing, it refuses to start."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recording.first_keys import first_keys
from recording.key_source import KeyUnavailable
from recording.keys import DataKeys, load_master_keys
from recording.seal_job import open_seal_room
from recording.shelf import open_shelf
from tests.sealing import settings_in


def test_a_fresh_house_makes_both_and_a_second_start_keeps_them(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    first_keys(settings)
    made = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert {"master.json", "signing.json"} <= set(made)
    first_keys(settings, sealed_known=True)
    assert {name: (tmp_path / "keys" / name).read_bytes() for name in made} == made


@pytest.mark.parametrize("missing", ["master.json", "signing.json"])
def test_a_lost_key_file_is_never_replaced_where_recordings_stand_on_it(tmp_path: Path, missing: str) -> None:
    settings = settings_in(tmp_path)
    room = open_seal_room(settings)
    room.keys.make("rec_1")
    room.shelf.put("manifests/rec_1.json", b"{}")
    (tmp_path / "keys" / missing).unlink()
    with pytest.raises(KeyUnavailable, match="key file is missing") as refused:
        open_seal_room(settings)
    assert refused.value.field == f"vault.{missing.removesuffix('.json')}_key"
    assert "backup" in (refused.value.remedy or "")
    assert not (tmp_path / "keys" / missing).exists()


def test_an_empty_shelf_does_not_deceive_it(tmp_path: Path) -> None:
    """Keys and shelf on one disk that is not mounted: the case store, or the node's chain, still knows."""
    settings = settings_in(tmp_path)
    with pytest.raises(KeyUnavailable):
        first_keys(settings, sealed_known=True)
    assert not (tmp_path / "keys" / "master.json").exists()
    first_keys(settings)
    (settings.vault.state / f"manifests-{settings.vault.node}.chain").write_bytes(b"0" * 500)
    shutil.rmtree(tmp_path / "keys")
    with pytest.raises(KeyUnavailable):
        first_keys(settings)


def test_a_restored_key_file_opens_what_it_closed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    key = open_seal_room(settings).keys.make("rec_1")
    away = (tmp_path / "keys" / "master.json").rename(tmp_path / "away.json")
    with pytest.raises(KeyUnavailable):
        first_keys(settings)
    away.rename(tmp_path / "keys" / "master.json")
    first_keys(settings)
    assert DataKeys(open_shelf(settings), load_master_keys(settings.vault.master_key)).open("rec_1") == key
