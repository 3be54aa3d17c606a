"""Can a call be recorded now? Asked all the time, so that the answer at the INVITE is never older than a second.

The tape disk, the key service and the shelf's work disk are probed in threads of their own. A probe that fails is a
problem; a probe that hangs is one too: an answer older than ``STALE_SECONDS`` counts as no answer (fail closed).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from config.errors import OnrecordError
from config.settings import Settings
from recording.key_source import load_keys
from recording.keys import WrappedKey, load_master_keys
from recording.recorder import Recorder

PROBE_SECONDS = 0.4
STALE_SECONDS = 1.0

Probe = Callable[[], Sequence[str]]
"""Blocking; returns what is wrong in an operator's words, empty when all is well."""


class _RoundTrip:
    """A key closed and opened again, as sealing and playing will. Each look closes a fresh key and opens the one of the look
    before, side by side: a slow key service is asked as often as a quick one, and either verb is missed at once.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._both = ThreadPoolExecutor(2, thread_name_prefix="health-key")
        self._before: tuple[bytes, WrappedKey] | None = None

    def look(self) -> str | None:
        """What is wrong. Raises what the keys raise."""
        masters = load_master_keys(self._source)
        fresh, before = os.urandom(32), self._before
        self._before = None
        closing = self._both.submit(masters.wrap, "health", fresh)
        opening = self._both.submit(masters.unwrap, before[1]) if before is not None else None
        closed = closing.result()
        opened = opening.result() if opening is not None else masters.unwrap(closed)
        if opened != (before[0] if before is not None else fresh):
            return "the key service does not give back what it was given"
        self._before = (fresh, closed)
        return None


def keys_probe(settings: Settings) -> Probe:
    """The master keys close and open a key, and the signing key is there, as they are *now*: files are read anew and a key
    service is asked, two short commands a look."""
    trip = _RoundTrip(settings.vault.master_key)

    def probe() -> list[str]:
        try:
            problem = trip.look()
            load_keys(settings.vault.signing_key, create=False, setting="vault.signing_key")
        except OnrecordError as error:
            return [f"the key service: {error.problem}"]
        except OSError as error:
            return [f"the key service does not answer ({type(error).__name__})"]
        except (ValueError, KeyError) as error:
            return [f"the key service gives no answer that can be read ({type(error).__name__})"]
        return [problem] if problem else []

    return probe


def recorder_probe(recorder: Recorder) -> Probe:
    return lambda: recorder.health().problems


@dataclass(slots=True)
class _Seen:
    """What a probe said last, and when that was known (``time.monotonic``)."""

    problems: tuple[str, ...] = ()
    at: float = field(default=float("-inf"))


class LineHealth:
    """``problems()`` costs nothing: it reads what the probes saw last."""

    def __init__(self, probes: dict[str, Probe], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._probes = probes
        self._monotonic = monotonic
        self._seen = {name: _Seen() for name in probes}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    @classmethod
    def of(cls, settings: Settings, recorder: Recorder) -> LineHealth:
        return cls({"tape disk": recorder_probe(recorder), "key service": keys_probe(settings)})

    async def start(self) -> None:
        """The first answers are there when it returns (or the wait for them is over)."""
        first = []
        for name, probe in self._probes.items():
            answered = threading.Event()
            first.append(answered)
            thread = threading.Thread(
                target=self._watch, args=(name, probe, answered), name=f"health-{name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        await asyncio.gather(*(asyncio.to_thread(answered.wait, 10) for answered in first))

    def close(self) -> None:
        """A probe that hangs is left behind: its thread is a daemon."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1)

    def problems(self) -> tuple[str, ...]:
        found: list[str] = []
        now = self._monotonic()
        for name, seen in self._seen.items():
            found += seen.problems
            if now - seen.at > STALE_SECONDS:
                found.append(f"the {name} does not answer")
        return tuple(found)

    def _watch(self, name: str, probe: Probe, answered: threading.Event) -> None:
        while not self._stop.is_set():
            try:
                problems = tuple(probe())
            except (
                Exception
            ) as error:  # its thread must live: a probe that fell over is asked again, and the line opens by itself
                problems = (f"the {name} cannot be judged ({type(error).__name__})",)
            self._seen[name] = _Seen(problems, self._monotonic())
            answered.set()
            self._stop.wait(PROBE_SECONDS)
