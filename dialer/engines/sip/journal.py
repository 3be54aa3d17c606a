"""Which dialogs were open: an append-only file, so that a process killed with -9 leaves no open line.

One JSON object a line. ``here`` first (from where we speak), then ``open`` (an INVITE left; again when a dialog stands) and
``ended``. A line is one ``write`` to a file opened O_APPEND: it is in the kernel when the call returns, and outlives the
process (not a power cut, which ends the calls as well). The file holds numbers as the carrier sees them; it lies beside
the tapes with mode 0600 and is begun anew when it grows.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

COMPACT_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCall:
    """What is needed to end a call from another process. ``headers`` and ``uri`` are the INVITE's."""

    leg: str
    call_id: str | None
    trunk: str | None
    host: str
    port: int
    uri: str
    headers: list[list[str]]
    answered: bool = False
    remote: str = ""
    routes: list[str] = field(default_factory=list)
    target: str = ""
    cseq: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Mouth:
    """From where this process speaks SIP: the address bound, the address told to others, timer T1 in seconds."""

    bind: str
    port: int
    host: str
    user_agent: str
    t1: float


class Journal:
    """``path`` None: keeps nothing. ``mouth`` is kept with the calls for whoever must end them."""

    def __init__(self, path: Path | None, mouth: Mouth | None = None) -> None:
        self._path = path
        self._mouth = mouth
        self._file: int | None = None
        self._open: dict[str, OpenCall] = {}
        self._size = 0

    def start(self) -> list[OpenCall]:
        """The calls that were open when the file was last written; the file is begun anew with them in it."""
        if self._path is None:
            return []
        left = read(self._path) if self._path.exists() else []
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open = {call.leg: call for call in left}
        self._rewrite()
        return left

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def has_open(self) -> bool:
        return self._path is not None and bool(self._open)

    def record(self, call: OpenCall) -> None:
        if self._path is None:
            return
        self._open[call.leg] = call
        self._append({"op": "open", **asdict(call)})

    def end(self, leg: str) -> None:
        if self._open.pop(leg, None) is None:
            return
        self._append({"op": "ended", "leg": leg})
        if self._size > COMPACT_BYTES and len(self._open) < 100:
            self._rewrite()

    def _append(self, entry: dict[str, object]) -> None:
        if self._file is None:
            return
        self._size += os.write(self._file, json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def _rewrite(self) -> None:
        if self._path is None:
            return
        self.close()
        fresh = self._path.with_suffix(".new")
        self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._size = 0
        if self._mouth is not None:
            self._append({"op": "here", **asdict(self._mouth)})
        for call in self._open.values():
            self._append({"op": "open", **asdict(call)})
        fresh.replace(self._path)


def read(path: Path) -> list[OpenCall]:
    """The calls left open. A torn or foreign line is skipped and told in the log: the others still must be ended."""
    calls: dict[str, OpenCall] = {}
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            operation = entry.pop("op")
            if operation == "ended":
                calls.pop(entry["leg"], None)
            elif operation == "open":
                calls[entry["leg"]] = OpenCall(**entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("a line of the dialog journal could not be read (%d bytes)", len(line))
    return list(calls.values())


def read_mouth(path: Path) -> Mouth | None:
    """From where the process that wrote the journal spoke; None where there is no journal, or none that says."""
    try:
        with path.open("rb") as file:
            entry = json.loads(file.readline())
        if entry.pop("op") == "here":
            mouth = Mouth(**entry)
            if 0 < mouth.port < 65536 and 0 < mouth.t1 < 60:
                return mouth
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None
