"""The scheduler: what is due happens, at the right hour at the callee, whatever the clock and the process did meanwhile.

Three kinds of work. *Looks*: cases in which the clock alone changes something (a promise settles, a window lapses, a
refusal of the policy ends) get ``TIME_PASSED`` through the workflow. *Redials*: due actions of the dialer become
attempts of the campaign that works the case. *Call-backs*: at the agreed minute the same, for the agent who agreed on
it while that agent is ready, for anybody once it is late. Nothing is remembered here: both are read from the store by their time,
so a restart loses nothing, a clock that jumps ahead finds everything, and one that is put back waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from case_store.ledger import Candidate
from case_store.model import StoredAction
from case_store.store import CaseStore
from case_store.verdict import Verdict
from case_store.workflow import CaseEvent, OutcomeCode
from config.clock import Clock
from config.errors import OnrecordError
from dialer.followup import FollowUp

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
_BATCH = 200
_AFTER_TROUBLE = timedelta(minutes=5)  # a case that could not be looked at does not stop the others
_BUSY_PAUSE = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Redial:
    """A due action of the dialer with the pair it dials."""

    action: StoredAction
    candidate: Candidate


class Scheduler:
    """One per node; several nodes over one store share the work (a look is idempotent, a redial is claimed)."""

    def __init__(self, store: CaseStore, follow_up: FollowUp, clock: Clock, node: str) -> None:
        self._store = store
        self._follow_up = follow_up
        self._clock = clock
        self._node = node

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            looked = await self.look()
            await self._clock.sleep(0 if looked == _BATCH else LOOK_SECONDS)

    async def look(self) -> int:
        """Let time pass in every case where that changes something; how many were looked at."""
        now = self._clock.now()
        due = await self._store.agenda.to_look_at(now, limit=_BATCH)
        for case_id in due:
            try:
                await self._follow_up.happened(case_id, CaseEvent(outcome=OutcomeCode.TIME_PASSED, at=now))
            except OnrecordError as error:
                log.error("look-failed", case=case_id, error_id=error.error_id, problem=error.problem)
                await self._store.agenda.look_later(case_id, now + _AFTER_TROUBLE)
        return len(due)

    async def redials(self, campaign_id: str, limit: int) -> list[Redial]:
        """Due call-backs, then due redials of a campaign's cases, claimed for this node; the agreed minute goes first."""
        found = await self.call_backs(campaign_id, limit)
        if len(found) < limit:
            due = await self._store.agenda.claim_due(
                campaign_id, self._node, self._clock.now(), limit=limit - len(found)
            )
            found += await self._dialable(campaign_id, due)
        return found

    async def call_backs(self, campaign_id: str, limit: int) -> list[Redial]:
        """Agreed call-backs whose minute has come, whoever they belong to, claimed for this node."""
        due = await self._store.agenda.claim_due(
            campaign_id, self._node, self._clock.now(), limit=limit, call_backs=True
        )
        return await self._dialable(campaign_id, due)

    async def _dialable(self, campaign_id: str, due: Sequence[StoredAction]) -> list[Redial]:
        """With the pair each dials; an action without its number rests, and is said."""
        found = []
        for action in due:
            candidate = None
            if action.number_id is not None:
                candidate = await self._store.sweep.candidate(campaign_id, action.number_id)
            if candidate is None:
                log.error("redial-without-number", case=action.case_id, action=action.id)
                await self._store.agenda.rest(action.id, self._clock.now() + _AFTER_TROUBLE)
                continue
            found.append(Redial(action=action, candidate=candidate))
        return found

    async def refused(self, redial: Redial, verdict: Verdict | None) -> None:
        """The number may not be dialed now: its action rests until the policy permits it; None: the line is busy."""
        now = self._clock.now()
        until = now + _BUSY_PAUSE if verdict is None else verdict.until or now + _AFTER_TROUBLE
        await self._store.agenda.rest(redial.action.id, until)

    async def next_redial(self, campaign_id: str) -> datetime | None:
        return await self._store.agenda.next_redial(campaign_id, self._clock.now())


async def run_beside(scheduler: Scheduler) -> None:
    """The scheduler as a task of the node: a fault of the store is logged and asked again, never the end of it."""
    while True:
        try:
            await scheduler.run()
        except OnrecordError as error:
            log.error("scheduler-trouble", error_id=error.error_id, problem=error.problem)
            await asyncio.sleep(LOOK_SECONDS)
