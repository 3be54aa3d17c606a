"""Structured logs. Facts are fields, never sentences with a person in them; numbers are masked before they come here."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, TextIO

import structlog


def _configure(stream: TextIO, *, level: int, as_json: bool) -> None:
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
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=stream, level=max(level, logging.INFO), format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def log_to_stderr(level: int = logging.INFO) -> None:
    """JSON lines for a service; readable lines for a person at a terminal."""
    _configure(sys.stderr, level=level, as_json=not sys.stderr.isatty())


def quiet_console(path: Path, level: int = logging.INFO) -> None:
    """Everything into a file, so that the terminal shows only what the command has to say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _configure(path.open("a", encoding="utf-8"), level=level, as_json=True)
