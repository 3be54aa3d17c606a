"""What the pacer was told and what it said, kept so that any decision can be replayed afterwards.

One JSON line each, in order: ``{"pacer": …}`` is everything it had learnt (the first line of every file), then events
``{"e": kind, …}`` and decisions ``{"view": …, "now": …, "pace": …}``. No personal data: calls are ids, numbers are
chances. A full file becomes ``NAME.1.jsonl`` and a new one begins with what the pacer knows by then, so the disk
holds at most two files a campaign.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from config.errors import BadInput
from dialer.pacing import state
from dialer.pacing.state import FloorView, Pace, Pacer, PacingEvent

EVENT_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        state.Sample,
        state.Placed,
        state.Answered,
        state.Unanswered,
        state.Bridged,
        state.Dropped,
        state.Served,
        state.TalkEnded,
        state.WrapEnded,
    )
}


class PaceLog:
    """Append-only; ``most_bytes`` bounds a file. ``begin`` must be called first, and again whenever ``full``."""

    def __init__(self, folder: Path, name: str, most_bytes: int) -> None:
        self.path = folder / f"{name}.jsonl"
        self._older = folder / f"{name}.1.jsonl"
        self._most_bytes = most_bytes
        self._file: IO[str] | None = None
        self._written = 0

    @property
    def full(self) -> bool:
        return self._written >= self._most_bytes

    def begin(self, pacer: dict[str, Any]) -> None:
        """A new file that starts from what the pacer knows now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._file is not None:
            self._file.close()
        if self.path.exists():
            self.path.replace(self._older)
        self._file = self.path.open("w", encoding="utf-8")
        self._written = 0
        self._write({"pacer": pacer})

    def told(self, event: PacingEvent) -> None:
        facts = dict(event._asdict())
        if isinstance(event, state.Sample):
            facts["view"] = event.view.as_record()
        self._write({"e": type(event).__name__, **facts})

    def decided(self, view: FloorView, now: float, pace: Pace) -> None:
        self._write({"view": view.as_record(), "now": now, "pace": pace.as_record()})
        assert self._file is not None
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, record: dict[str, Any]) -> None:
        assert self._file is not None, "begin the log first"
        line = json.dumps(record, default=float, separators=(",", ":"))
        self._file.write(line + "\n")
        self._written += len(line) + 1


def replay(path: Path, restore: Callable[[dict[str, Any]], Pacer]) -> Iterator[tuple[int, Pace, Pace]]:
    """(line, what was decided, what the same pacer decides now) for every decision of a file. Raises BadInput.

    A last line that was torn when the power went is left out."""
    pacer: Pacer | None = None
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                record = json.loads(line)
            except ValueError:
                raise BadInput("is no line of a pace log", field=f"line {number}", remedy="give a whole file") from None
            try:
                if "pacer" in record:
                    pacer = restore(record["pacer"])
                    continue
                if pacer is None:
                    raise BadInput("does not begin with a pacer", field="line 1", remedy="give a whole file")
                if "e" in record:
                    pacer.observe(_event(record))
                    continue
                then, now, view = _pace(record["pace"]), record["now"], FloorView.from_record(record["view"])
            except (KeyError, TypeError, AttributeError) as wrong:
                raise BadInput(
                    "was written by another version",
                    field=f"line {number}",
                    shape=type(wrong).__name__,
                    remedy="replay it with the version that wrote it",
                ) from wrong
            again = pacer.decide(view, now)
            yield number, then, _pace(json.loads(json.dumps(again.as_record(), default=float)))


def _event(record: dict[str, Any]) -> PacingEvent:
    kind = EVENT_KINDS[record.pop("e")]
    if kind is state.Sample:
        record["view"] = FloorView.from_record(record["view"])
    made: PacingEvent = kind(**record)
    return made


def _pace(record: dict[str, Any]) -> Pace:
    return Pace(
        place=record["place"], cancel=tuple(record["cancel"]), risk=tuple(record["risk"]), why=dict(record["why"])
    )
