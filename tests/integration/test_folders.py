"""A folder that cannot be made is said before anything is opened, with the setting's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.settings import FloorSettings
from dialer.centre import Centre, CentreParts
from recording.folders import FolderUnwritable
from tests.integration.test_the_floor import SILENT, House


@pytest.mark.parametrize(
    ("section", "field"), [("recording", "directory"), ("recording", "shelf"), ("floor", "pace_log")]
)
async def test_a_folder_that_cannot_be_made_is_named_and_nothing_is_opened(
    tmp_path: Path, section: str, field: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    at = House(tmp_path, lambda _order: SILENT, FloorSettings())
    part: Any = getattr(at.settings, section)
    settings = at.settings.model_copy(update={section: part.model_copy(update={field: tmp_path / "file" / "folder"})})
    with pytest.raises(FolderUnwritable) as refused:
        async with Centre.open(settings, CentreParts(engine=at.engine, clock=at.clock)):
            pass
    assert (refused.value.error_id, refused.value.field) == ("folder-unwritable", f"{section}.{field}")
    assert not (tmp_path / "store.db").exists()
