"""Evidence packs over HTTP: who asks and who approves are their log-ins, and may not be the same."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from api.proof_commands import ProofRoom, ask_for_evidence, make_pack
from case_store.audit import AuditLog
from case_store.proof_reads import ProofReads
from case_store.store import CaseStore
from config.settings import Settings
from recording.shelf import open_shelf
from recording.signing import load_signing_key


class EvidenceDesk:
    """Satisfies ``api.house.Evidence`` over the store, the shelf and the keys."""

    def __init__(self, store: CaseStore, settings: Settings) -> None:
        signing = load_signing_key(settings.vault.signing_key)
        self._room = ProofRoom(
            settings=settings,
            database=store.database,
            reads=ProofReads(store.database),
            audit=AuditLog(store.database, signing),
            shelf=open_shelf(settings),
            signing=signing,
        )

    async def ask(self, recording_id: str, *, actor: str, reason: str, now: datetime, unmasked: bool = False) -> int:
        return await ask_for_evidence(self._room, recording_id, actor, reason, now, unmasked=unmasked)

    async def pack(
        self, recording_id: str, request: int, *, approver: str, out: Path, now: datetime, may_unmask: bool
    ) -> None:
        await make_pack(self._room, recording_id, request, approver, out, now, may_unmask=may_unmask)
