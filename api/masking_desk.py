"""Masking a sensitive moment after the seal: audited first, then amended and copied anew, then noted in the store."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact
from case_store.calls import Recordings
from config.errors import Unhealthy
from config.settings import Settings
from recording.dossier import Dossier, amendments_noted, read_dossier
from recording.masking import MaskOrder, check_span, is_masked, mask_sealed
from recording.recordings import Mask
from recording.seal_job import open_seal_room
from recording.shelf import Shelf
from recording.signing import Verifier


class MaskingFailed(Unhealthy):
    """The process that makes the new copies died. What was masked before is masked; ask again."""

    error_id = "masking-failed"


class MaskingDesk:
    """Satisfies ``api.house.Masking``. Copies are made in a process of their own: encoding must not delay calls."""

    def __init__(
        self, settings: Settings, recordings: Recordings, audit: AuditLog, shelf: Shelf, verifier: Verifier
    ) -> None:
        self._settings = settings
        self._recordings = recordings
        self._audit = audit
        self._shelf = shelf
        self._verifier = verifier

    async def masks(self, recording_id: str) -> tuple[Mask, ...]:
        """Every masked stretch as it stands."""
        row = await self._recordings.get(recording_id)
        known = amendments_noted(row.manifest)
        dossier = await asyncio.to_thread(read_dossier, self._shelf, self._verifier, recording_id, amendments=known)
        return dossier.recording.masks

    async def mask(self, order: MaskOrder) -> tuple[Mask, ...]:
        """Silence the stretch in every copy from now on. Asking twice leaves one amendment and one audit entry."""
        row = await self._recordings.get(order.recording_id)
        recording = (await asyncio.to_thread(read_dossier, self._shelf, self._verifier, row.id)).recording
        check_span(order, recording)
        if not is_masked(order, recording):
            detail = {"from_ms": order.from_ms, "to_ms": order.to_ms, "reason": order.reason, "case_id": row.case_id}
            fact = AuditFact(at=order.at, actor=order.actor, action="recording.masked", subject=row.id, detail=detail)
            await self._audit.append([fact], order.at)
        dossier = await self._amend(order)
        await self._recordings.annotate(row.id, manifest={**row.manifest, **_noted(dossier)})
        return dossier.recording.masks

    async def _amend(self, order: MaskOrder) -> Dossier:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=os.nice, initargs=(5,)) as apart:
            try:
                return await asyncio.get_running_loop().run_in_executor(apart, _mask, self._settings, order)
            except BrokenProcessPool as error:
                raise MaskingFailed(
                    "the process that silences copies died", remedy="ask for the same stretch again"
                ) from error


def _mask(settings: Settings, order: MaskOrder) -> Dossier:
    return mask_sealed(order, open_seal_room(settings))


def _noted(dossier: Dossier) -> dict[str, Any]:
    """What the store keeps of it. A shelf with fewer amendments than this is refused to listeners."""
    recording = dossier.recording
    return {
        "amendments": recording.amendments,
        "masks": len(recording.masks),
        "objects": {found.kind: found.name for found in recording.objects},
    }
