"""Structured logs. Facts are fields, never sentences with a person in them; numbers are masked before they come here."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import structlog


class _NeverInTheWay:
    """``stream`` is asked for at each line: what stands for standard error then, not when logging was set up.

    A line that cannot be written (its reader is gone, the disk is full) is lost; the call it speaks of must not be.
    """

    def __init__(self, stream: Callable[[], TextIO]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._stream().write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream().flush()


def _configure(stream: _NeverInTheWay, *, level: int, as_json: bool) -> None:
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, stream)),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=stream, level=max(level, logging.INFO), format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def log_to_stderr(level: int = logging.INFO) -> None:
    """JSON lines for a service; readable lines for a person at a terminal."""
    _configure(_NeverInTheWay(lambda: sys.stderr), level=level, as_json=not sys.stderr.isatty())


def quiet_console(path: Path, level: int = logging.INFO) -> None:
    """Everything into a file, so that the terminal shows only what the command has to say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.open("a", encoding="utf-8")
    _configure(_NeverInTheWay(lambda: lines), level=level, as_json=True)
