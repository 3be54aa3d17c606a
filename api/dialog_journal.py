"""Where a serving node keeps its dialog journal: by its settings, and before they can be loaded.

Loading settings takes longer than ending a line that a crash left up, so the place is looked up with the standard library
alone; ``tests/unit/api/test_serve_journal.py`` holds both ways to the same answer.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from config.settings import Settings

_TAPES = "var/tapes"  # settings' own default of recording.directory


def with_dialog_journal(settings: Settings) -> Settings:
    """A node always knows which lines it has up, so that its next start ends what a crash left: beside the tapes by default."""
    if settings.sip.journal is not None:
        return settings
    place = beside(settings.recording.directory)
    return settings.model_copy(update={"sip": settings.sip.model_copy(update={"journal": place})})


def beside(tapes: Path) -> Path:
    return tapes.parent / "dialogs.journal"


def place_of_journal(environment: Mapping[str, str] = os.environ) -> Path:
    """The same place, from the environment and the settings file as they stand. Raises ValueError, OSError, TypeError where
    they cannot be read: loading the settings says properly what is wrong.
    """
    said = {name.lower(): value for name, value in environment.items()}
    file = Path(environment.get("ONRECORD_CONFIG", "onrecord.toml"))
    written = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    journal = _setting(said, written, "sip", "journal")
    if journal is not None:
        return Path(journal)
    return beside(Path(_setting(said, written, "recording", "directory") or _TAPES))


def _setting(said: Mapping[str, str], written: Mapping[str, Any], section: str, name: str) -> str | None:
    """The environment before the file; in it ``ONRECORD_SECTION__NAME`` before a whole section as JSON."""
    if (value := said.get(f"onrecord_{section}__{name}")) is not None:
        return value
    whole = json.loads(said.get(f"onrecord_{section}") or "{}")
    found: str | None = whole[name] if name in whole else written.get(section, {}).get(name)
    return found
