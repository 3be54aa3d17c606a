"""Proof while it runs: every ended call is reconciled within a minute, audit and manifest chains are anchored on
time, yesterday's report lies ready in the morning.

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
from recording.from_store import SEALED_STATES, kept_sound, recorded, recorded_beside, signalled
from recording.manifest import ManifestChain
from recording.reconcile import LineGap, LiveReconciler, reconcile
from recording.recordings import Recording
from recording.signing import load_signing_key
from recording.verify import manifest_head_chain

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
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
        await self._report_yesterday(now)

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

    async def _report_yesterday(self, now: datetime) -> None:
        house = zone(self._settings.timezone)
        day = local_day(now, house) - timedelta(days=1)
        place = self.reports / f"reconcile-{day.isoformat()}.json"
        if not place.exists():
            await self.report(day, place)

    async def report(self, day: date, place: Path) -> dict[str, Any]:
        """Reconcile one day of the house and keep the answer at ``place``."""
        house = zone(self._settings.timezone)
        begin = local_instant(day, time(), house)
        end = local_instant(day + timedelta(days=1), time(), house)
        calls = [signalled(call) async for call in self._reads.ended_calls(begin, end)]
        facts = await recorded_beside(self._reads, calls, begin, end)
        said = {"day": day.isoformat(), **reconcile(calls, facts, None, self._settings.bill).as_json()}
        await asyncio.to_thread(_write_whole, place, said)
        log.info("reconciled-day", day=said["day"], calls=said["calls"], clean=said["clean"], gaps=len(said["gaps"]))
        return said


def _write_whole(place: Path, said: dict[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(f".{os.getpid()}.new")
    draft.write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(place)


__all__ = ["LineProof"]
