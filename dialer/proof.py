"""Proof while it runs: every ended call is reconciled within a minute, audit and manifest chains are anchored on
time, a report of every day that is over lies ready in the morning, of missed ones too.

The centre tells it when a call ended and when its recording was sealed. Its work follows the calls at hand: what
waits for a seal is in memory, what a restart forgot is read back from the calls of the last hour.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact, AuditHead
from case_store.audit_file import CommandAnchor, FileAnchor
from case_store.calls import UnknownCall
from case_store.proof_reads import ProofReads
from case_store.store import CaseStore
from config.calendars import local_day, local_instant, zone
from config.clock import Clock
from config.errors import OnrecordError
from config.settings import Settings
from recording.from_store import SEALED_STATES, kept_sound, never_ended, recorded, recorded_beside, signalled
from recording.manifest import ManifestChain
from recording.reconcile import LONGEST_CALL, LineGap, LiveReconciler, reconcile
from recording.recordings import Recording
from recording.signing import load_signing_key
from recording.verify import manifest_head_chain

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
_RIPE_AFTER = timedelta(minutes=2)  # the last call of a day may be sealed and judged first
_REMEMBERED = timedelta(hours=1)  # calls of the time before a restart that are judged again


class LineProof:
    """One node's running proofs. ``gaps`` counts findings by class for the metrics."""

    def __init__(self, store: CaseStore, settings: Settings, clock: Clock, registry: CollectorRegistry) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._signing = load_signing_key(settings.vault.signing_key)
        self.audit = AuditLog(store.database, self._signing)
        self._reads = ProofReads(store.database)
        self._live = LiveReconciler()
        self._anchored_at: datetime | None = None
        self._reported_to: date | None = None
        self._owed: list[date] = []
        self.gaps = Counter(
            "onrecord_recording_gaps", "Gaps between signalling and recordings", ["class"], registry=registry
        )
        self.judged = Counter("onrecord_calls_reconciled", "Ended calls that were reconciled", registry=registry)
        self.waiting = Gauge(
            "onrecord_calls_awaiting_seal", "Answered calls whose recording is not sealed", registry=registry
        )

    @property
    def reports(self) -> Path:
        return self._settings.vault.state / "reports"

    # Told by the centre

    async def ended(self, call_id: str) -> None:
        """The call's end is in the store."""
        call = await self._reads.call(call_id)
        if call is not None:
            self._live.ended(signalled(call))
            self.judged.inc()
            self.waiting.set(self._live.waiting)

    async def sealed(self, recording: Recording, at: datetime) -> None:
        """Its recording is in the store: judge it now."""
        fact = kept_sound(recording, at)
        await self._publish(self._live.sealed(fact))
        self.waiting.set(self._live.waiting)

    async def note(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        """An audit entry of its own. Raises ``AuditLogBroken``."""
        now = self._clock.now()
        await self.audit.append([AuditFact(at=now, actor=actor, action=action, subject=subject, detail=detail)], now)

    # By itself

    async def recall(self) -> None:
        """After a start: what the last hour left unsettled waits again; what was sealed meanwhile is judged."""
        since = self._clock.now() - _REMEMBERED
        calls = [signalled(call) async for call in self._reads.ended_calls(since)]
        for call in calls:
            self._live.ended(call)
        async for row in self._reads.recordings(*SEALED_STATES, since=since):
            fact = recorded(row)
            if fact is not None:
                self._live.sealed(fact)  # judged before the restart, or by the daily report
        self.waiting.set(self._live.waiting)

    async def run(self) -> None:
        """Until cancelled. Trouble is logged and tried again: a proof that is late must not stop the others."""
        while True:
            try:
                await self.look()
            except (OnrecordError, OSError) as error:
                log.error("proof-failed", problem=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """One round: overdue calls, the anchor when its hour came, the report of a day that is over."""
        now = self._clock.now()
        await self._publish(self._live.overdue(now))
        self.waiting.set(self._live.waiting)
        every = timedelta(minutes=self._settings.vault.anchor_minutes)
        if self._anchored_at is None or now - self._anchored_at >= every:
            await self.anchor()
            self._anchored_at = now
        await self._report_owed(now)

    async def anchor(self) -> list[AuditHead]:
        """Sign the ends of both chains and hand them to every anchor; always also to ``heads`` in ``vault.state``."""
        vault = self._settings.vault
        heads = [head for head in (await self.audit.head(),) if head is not None]
        chain = ManifestChain(vault.state, vault.node)
        heads.append(chain.signed_head(manifest_head_chain(vault.node), self._clock.now(), self._signing))
        anchors: list[FileAnchor | CommandAnchor] = [FileAnchor(vault.state / "heads")]
        if vault.anchor_file is not None:
            anchors.append(FileAnchor(vault.anchor_file))
        if vault.anchor_command is not None:
            anchors.append(CommandAnchor(vault.anchor_command))
        for anchor in anchors:
            for head in heads:
                await asyncio.to_thread(anchor.publish, head)
        return heads

    async def _publish(self, found: Sequence[LineGap]) -> None:
        for gap in found:
            self.gaps.labels(gap.gap_class.value).inc()
            log.warning("recording-gap", gap=gap.gap_class.value, call=gap.call_id, detail=gap.detail)
            case_id = await self._case_of(gap.call_id)
            await self._store.events.append(
                "recording.gap", self._clock.now(), case_id=case_id, subject_id=gap.call_id, **gap.as_json()
            )

    async def _case_of(self, call_id: str | None) -> str | None:
        try:
            return (await self._store.calls.get(call_id)).case_id if call_id else None
        except UnknownCall:
            return None

    # The daily report

    async def _report_owed(self, now: datetime) -> None:
        """The oldest day that has no report yet, one a round: a node that stood still for days catches up on each.

        A day is ripe when every call placed in it has ended and had time to be sealed; a call that stays open does
        not keep a day waiting for ever.
        """
        yesterday = local_day(now, zone(self._settings.timezone)) - timedelta(days=1)
        if self._reported_to is None:
            self._owed = await self._missing_days(yesterday)
        else:
            self._owed += _days(self._reported_to + timedelta(days=1), yesterday)
        self._reported_to = max(yesterday, self._reported_to or yesterday)
        if self._owed and await self._ripe(self._owed[0], now):
            await self.report(self._owed[0], self._place(self._owed[0]))
            del self._owed[0]

    async def _missing_days(self, yesterday: date) -> list[date]:
        """Days without a report, from that of the first call on; yesterday also when nothing was called."""
        first = await self._reads.first_placed()
        begin = local_day(first, zone(self._settings.timezone)) if first is not None else yesterday
        kept = {place.name for place in await asyncio.to_thread(lambda: list(self.reports.glob("reconcile-*.json")))}
        return [day for day in _days(min(begin, yesterday), yesterday) if self._place(day).name not in kept]

    async def _ripe(self, day: date, now: datetime) -> bool:
        begin, end = self._bounds(day)
        if now < end + _RIPE_AFTER:
            return False
        return now >= end + LONGEST_CALL or await self._reads.open_calls(begin, end) == 0

    def _place(self, day: date) -> Path:
        return self.reports / f"reconcile-{day.isoformat()}.json"

    def _bounds(self, day: date) -> tuple[datetime, datetime]:
        house = zone(self._settings.timezone)
        return local_instant(day, time(), house), local_instant(day + timedelta(days=1), time(), house)

    async def report(self, day: date, place: Path) -> dict[str, Any]:
        """Reconcile the calls placed in one day of the house and keep the answer at ``place``."""
        begin, end = self._bounds(day)
        calls = [signalled(call) async for call in self._reads.ended_calls(begin, end)]
        facts = await recorded_beside(self._reads, calls, begin, end)
        lost = await never_ended(self._reads, begin, end, self._clock.now())
        found = reconcile(calls, facts, None, self._settings.bill, lost)
        still_open = await self._reads.open_calls(begin, end)
        said = {"day": day.isoformat(), **found.as_json(), "by_class": found.by_class(), "open": still_open}
        await asyncio.to_thread(_write_whole, place, said)
        log.info("reconciled-day", day=said["day"], calls=said["calls"], clean=said["clean"], gaps=len(said["gaps"]))
        return said


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _write_whole(place: Path, said: dict[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(f".{os.getpid()}.new")
    draft.write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(place)


__all__ = ["LineProof"]
