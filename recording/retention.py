"""``onrecord retain``: how long a recording is kept, and how it goes.

Keep-until is the longest of the policy's figure, the contract's and whatever was promised for this one recording. It
can be raised, never lowered below the policy; a legal hold overrides every date. Disposal destroys the data key
(crypto-shredding), leaves a signed record of itself, and keeps the manifest: that there was a recording stays provable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from config.errors import OnrecordError, Refused
from config.settings import RetentionSettings
from recording.dossier import read_dossier
from recording.keys import DataKeys
from recording.shelf import Shelf
from recording.signing import SigningKey, Verifier, read_document, sign_document

DISPOSAL = "onrecord-disposal-1"


class RetentionLowered(Refused):
    """A keep-until date was to be set below what policy and contract ask for."""

    error_id = "retention-lowered"


class UnderLegalHold(Refused):
    """A recording under legal hold was to be disposed of."""

    error_id = "under-legal-hold"


class NotYetDue(Refused):
    """A recording was to be disposed of before its time."""

    error_id = "retention-not-over"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptRecording:
    """What retention needs of a recording: when it was made, for whom, what was promised, whether it is held."""

    recording_id: str
    case_id: str
    client: str
    recorded_at: datetime
    keep_until: datetime | None = None
    legal_hold: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Disposal:
    """One recording that goes, or would go. ``keep_until`` is the date that was reached."""

    recording_id: str
    case_id: str
    keep_until: datetime


@dataclass(kw_only=True)
class RetainReport:
    """``held``: due, and kept by a legal hold. ``next_due``: when the next one's time is up. ``finished``: disposed of
    before, and deleted again because a backup had brought key or sound back.
    """

    looked_at: int = 0
    kept: int = 0
    held: int = 0
    disposed: list[Disposal] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    next_due: datetime | None = None
    dry_run: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "recordings": self.looked_at,
            "kept": self.kept,
            "held": self.held,
            "disposed": [
                {"recording_id": one.recording_id, "case_id": one.case_id, "keep_until": one.keep_until.isoformat()}
                for one in self.disposed
            ],
            "finished": self.finished,
            "next_due": self.next_due.isoformat() if self.next_due else None,
        }


def keep_until(
    recorded_at: datetime, client: str, settings: RetentionSettings, promised: datetime | None = None
) -> datetime:
    """max(policy, contract, what was promised for this recording)."""
    days = max(settings.policy_days, settings.contract_days.get(client, 0))
    lawful = recorded_at + timedelta(days=days)
    return lawful if promised is None else max(lawful, promised)


def raise_keep_until(kept: KeptRecording, wanted: datetime, settings: RetentionSettings) -> datetime:
    """The date to store. Raises ``RetentionLowered``: neither below the law nor below what stands already."""
    floor = keep_until(kept.recorded_at, kept.client, settings, kept.keep_until)
    if wanted < floor:
        raise RetentionLowered(
            f"this recording is kept until {floor.date().isoformat()} at least",
            field="keep_until",
            remedy="choose that day or a later one",
        )
    return wanted


def due(kept: KeptRecording, now: datetime, settings: RetentionSettings) -> bool:
    """Whether its time is up. A hold never lets it be."""
    return not kept.legal_hold and keep_until(kept.recorded_at, kept.client, settings, kept.keep_until) <= now


def plan(recordings: Iterable[KeptRecording], now: datetime, settings: RetentionSettings) -> RetainReport:
    """What a run would do: the dry run."""
    report = RetainReport()
    for kept in recordings:
        report.looked_at += 1
        until = keep_until(kept.recorded_at, kept.client, settings, kept.keep_until)
        if until <= now and not kept.legal_hold:
            report.disposed.append(Disposal(recording_id=kept.recording_id, case_id=kept.case_id, keep_until=until))
            continue
        report.kept += 1
        if until <= now:
            report.held += 1
        elif report.next_due is None or until < report.next_due:
            report.next_due = until
    return report


def unfinished(shelf: Shelf, verifier: Verifier) -> list[tuple[str, list[str]]]:
    """``(recording, what is there again)`` of every disposal whose key or sound lies on the shelf: a restored backup
    brought it back, or a run was killed. Only a signed disposal record of that very recording counts.
    """
    found = []
    for name in shelf.list("disposals/"):
        try:
            record = read_document(shelf.get(name), verifier)
            recording_id = str(record.get("recording_id"))
            if record.get("format") != DISPOSAL or name != f"disposals/{recording_id}.json":
                continue  # verify says so
            dossier = read_dossier(shelf, verifier, recording_id)
        except OnrecordError:
            continue  # verify says so: nothing is deleted on the word of what does not hold
        if record.get("manifest_sha256") != dossier.manifest.sha256:
            continue
        names = [f"keys/{dossier.manifest.body['data_key_id']}.json", *dossier.every_name()]
        if there := [one for one in names if shelf.exists(one)]:
            found.append((recording_id, there))
    return found


def dispose(
    kept: KeptRecording,
    now: datetime,
    settings: RetentionSettings,
    *,
    actor: str,
    shelf: Shelf,
    keys: DataKeys,
    signing: SigningKey,
) -> dict[str, Any]:
    """Destroy one recording's key and objects; returns the disposal record. Running it again finishes a crash.

    The audit entry comes first, from the caller. Raises ``UnderLegalHold`` or ``NotYetDue``; both are judged
    here again, whatever the plan said: a hold may have come between.
    """
    if kept.legal_hold:
        raise UnderLegalHold("this recording is under legal hold", remedy="lift the hold first, if the law allows it")
    until = keep_until(kept.recorded_at, kept.client, settings, kept.keep_until)
    if until > now:
        raise NotYetDue(f"it is kept until {until.date().isoformat()}", remedy="wait, or correct the settings")
    dossier = read_dossier(shelf, signing.verifier(), kept.recording_id)
    manifest = dossier.manifest
    record = {
        "format": DISPOSAL,
        "recording_id": kept.recording_id,
        "case_id": kept.case_id,
        "manifest_sha256": manifest.sha256,
        "sha256": manifest.body["sha256"],
        "recorded_at": kept.recorded_at.astimezone(UTC).isoformat(),
        "keep_until": until.astimezone(UTC).isoformat(),
        "disposed_at": now.astimezone(UTC).isoformat(),
        "actor": actor,
        "method": "data key destroyed, encrypted objects deleted",
    }
    keys.destroy(str(manifest.body["data_key_id"]), sign_document(record, signing))
    for name in dossier.every_name():
        shelf.delete(name)
    return record
