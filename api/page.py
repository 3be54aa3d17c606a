"""Where the browser app's files lie: package data of ``web``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

STATIC = Path(str(files("web"))) / "static"
