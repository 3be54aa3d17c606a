"""A campaign's pacing is kept in the store while it dials, and taken up when it starts again.

A campaign that never dialed begins with what the house's last campaign learnt (rings, talks, wrap-ups and how its numbers
answer are much alike); the first campaign of a house begins with nothing. What cannot be used is said and left alone: a
pacer that knows nothing is slower to start, and safe.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from case_store.pacing_memory import PacingMemory
from case_store.store import CaseStore
from config.clock import Clock, half_hour_began
from config.errors import OnrecordError
from dialer.pacing.remembering import VERSION, Learnt, Now, UnusableMemory, kept, taken_up

log = structlog.get_logger(__name__)

KEPT_EVERY = 60.0
"""Seconds of dialing that a crash may cost what was learnt."""

_OTHERS = timedelta(days=30)  # what another campaign learnt longer ago tells nothing


class PaceMemory:
    """One a campaign and node."""

    def __init__(self, *, store: CaseStore, clock: Clock, campaign_id: str, node: str) -> None:
        self._store = store
        self._clock = clock
        self._campaign_id = campaign_id
        self._node = node
        self._kept_at: float | None = None
        self._kept: int | None = None

    async def recall(self, *, target: float, patience: float) -> Learnt | None:
        """The nearest that can be used, or None. ``target`` and ``patience`` as the settings have them now."""
        now = self._clock.now()
        for memory in await self._store.pacing.nearest(self._campaign_id, self._node, now - _OTHERS):
            away = max(0.0, (now - memory.kept_at).total_seconds())
            other = memory.campaign_id != self._campaign_id
            try:
                _sound(memory)
                as_of_now = Now(
                    at=self._clock.monotonic(),
                    away=away,
                    target=target,
                    patience=patience,
                    half_hours_begin=half_hour_began(self._clock),
                    other_list=other,
                )
                learnt = taken_up(memory.body, as_of_now)
            except UnusableMemory as error:
                log.error(
                    "pacing-memory",
                    campaign=self._campaign_id,
                    of=memory.campaign_id,
                    error_id=error.error_id,
                    problem=error.problem,
                    field=error.field,
                    shape=error.shape,
                )
                continue
            log.info("pacing-memory", campaign=self._campaign_id, of=memory.campaign_id, seconds_ago=round(away))
            return learnt
        return None

    async def keep(self, learnt: Learnt, seen: int, *, at_once: bool = False) -> None:
        """At most once in ``KEPT_EVERY`` (or ``at_once``), and only when more than before was ``seen``. What the store
        refuses is logged: dialing goes on, and the next try comes with the next turn."""
        now = self._clock.monotonic()
        if self._kept_at is None:
            self._kept_at = now
        if seen == self._kept or (not at_once and now - self._kept_at < KEPT_EVERY):
            return
        self._kept_at = now
        try:
            await self._store.pacing.keep(
                self._campaign_id, self._node, self._clock.now(), version=VERSION, body=kept(learnt, now)
            )
        except OnrecordError as error:
            log.error("pacing-not-kept", campaign=self._campaign_id, error_id=error.error_id, problem=error.problem)
        else:
            self._kept = seen


def _sound(memory: PacingMemory) -> None:
    if not memory.whole:
        raise UnusableMemory(
            "what the pacer had learnt was changed in the store",
            field="sha256",
            shape=f"{len(memory.body)} letters",
            remedy="none needed: it learns anew",
        )
    if memory.version != VERSION:
        raise UnusableMemory(
            "what the pacer had learnt was kept by another version",
            field="version",
            shape=str(memory.version),
            remedy="none needed: it learns anew",
        )
