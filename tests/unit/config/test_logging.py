"""A log line goes where standard error is now, and never takes anything down with it. Category: unit."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from config.logging import log_to_stderr


class _Gone(io.StringIO):
    """A pipe whose reader went away."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    kept = structlog.get_config()
    yield
    structlog.configure(**kept)


def test_a_line_is_written_to_the_standard_error_of_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", first)
    log_to_stderr(logging.INFO)
    log = structlog.get_logger("test")
    log.info("before")
    first.close()
    monkeypatch.setattr("sys.stderr", second)
    log.info("after")
    assert '"event": "after"' in second.getvalue()


def test_a_reader_that_went_away_and_a_closed_stream_cost_the_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", _Gone())
    log_to_stderr(logging.INFO)
    log = structlog.get_logger("test")
    log.error("into the void")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    log.error("into the void")
