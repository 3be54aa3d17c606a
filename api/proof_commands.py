"""``onrecord verify | reconcile | retain | export | evidence``: the proofs from the command line.

Each prints a table, or one JSON object with ``--json``. Exit code 0: all holds; 1: something does not; 3: something
critical does not (a call without a recording, a call made outside).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from api import custody_commands
from case_store.audit import AuditLog
from case_store.audit_chain import AuditFact, AuditHead
from case_store.audit_file import CommandAnchor, FileAnchor, read_heads
from case_store.calls import Calls, Recordings
from case_store.database import Database
from case_store.proof_reads import ProofReads, StoredRecording
from config.errors import BadInput, OnrecordError, Refused
from config.settings import Settings, load_settings
from recording.attach import as_filed
from recording.bill import read_bill
from recording.dossier import Dossier, amendments_noted, read_dossier
from recording.evidence import PackOrder, write_pack
from recording.export import ExportChannels, ExportFormat, ExportOrder, cannot_write, render, write_export
from recording.first_keys import first_keys
from recording.from_store import SEALED_STATES, filed_row, kept, never_ended, recorded_beside, signalled
from recording.keys import DataKeys, load_master_keys
from recording.manifest import ManifestChain
from recording.reconcile import GapClass, ReconcileReport, reconcile
from recording.retention import RetainReport, dispose, due, plan, unfinished
from recording.seal_job import open_object
from recording.shelf import Shelf, open_shelf
from recording.signing import SigningKey, load_signing_key
from recording.verify import STRAY, UNKNOWN, VerifyReport, manifest_head_chain, verify

_T = TypeVar("_T")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object")]


class NotForThisRole(Refused):
    """What is masked is given out only by people who may, and who say so."""

    error_id = "not-for-this-role"


@dataclass(frozen=True, kw_only=True)
class ProofRoom:
    """What the commands stand on, opened for one run."""

    settings: Settings
    database: Database
    reads: ProofReads
    audit: AuditLog
    shelf: Shelf
    signing: SigningKey

    def keys(self) -> DataKeys:
        return DataKeys(self.shelf, load_master_keys(self.settings.vault.master_key))

    def anchored(self) -> list[AuditHead]:
        """Heads kept by this node, and those outside: only the latter stand against somebody who has this machine."""
        own, outside = self.settings.vault.state / "heads", self.settings.vault.anchor_file
        return [head for place in (own, outside) if place is not None and place.exists() for head in read_heads(place)]

    def own_end(self) -> AuditHead:
        """Where this node's own index says its chain of manifests ends: not even the newest may be gone."""
        node = self.settings.vault.node
        return self.chain().signed_head(manifest_head_chain(node), datetime.now(UTC), self.signing)

    def chain(self) -> ManifestChain:
        return ManifestChain(self.settings.vault.state, self.settings.vault.node)


@asynccontextmanager
async def proof_room(settings: Settings) -> AsyncIterator[ProofRoom]:
    """Raises ``StoreUnavailable`` or ``KeyUnavailable``."""
    database = await Database.open(settings.store.url)
    try:
        first_keys(settings)
        signing = load_signing_key(settings.vault.signing_key)
        yield ProofRoom(
            settings=settings,
            database=database,
            reads=ProofReads(database),
            audit=AuditLog(database, signing),
            shelf=open_shelf(settings),
            signing=signing,
        )
    finally:
        await database.close()


def register(app: typer.Typer) -> None:
    """Add the commands to ``onrecord``."""
    app.command("verify")(verify_command)
    app.command("reconcile")(reconcile_command)
    app.command("retain")(retain_command)
    app.command("export")(export_command)
    app.command("evidence")(evidence_command)
    app.command("anchor")(anchor_command)
    app.command("mask")(custody_commands.mask)
    app.add_typer(custody_commands.keys_app, name="keys")
    app.add_typer(custody_commands.hold_app, name="hold")


def verify_command(
    as_json: AsJson = False,
    deep: Annotated[bool, typer.Option(help="Open every recording with the master key and hash its sound")] = False,
) -> None:
    """Check every recording and the audit log: any changed bit, deletion, reordering or truncation."""

    async def run() -> VerifyReport:
        async with proof_room(load_settings()) as room:
            known = {row.recording_id: filed_row(row) async for row in room.reads.recordings(*SEALED_STATES)}
            anchored = [*room.anchored(), room.own_end()]
            with Progress(console=Console(stderr=True), disable=as_json, transient=True) as progress:
                task = progress.add_task("recordings", total=len(known) or None)
                report = verify(
                    room.shelf,
                    room.signing.verifier(),
                    known=known,
                    keys=_keys_to_verify_with(room, deep),
                    deep=deep,
                    heads=anchored,
                    own=room.chain(),
                    tick=lambda done: progress.update(task, completed=done),
                )
            await _excuse_what_was_sealed_meanwhile(room, report, set(known))
            report.add_audit(*await room.audit.check(room.signing.verifier(), anchored))
            return report

    found = run_proof(run(), as_json)
    said = found.as_json()
    if not as_json:
        console = Console()
        console.print(
            f"{found.recordings_ok} of {found.recordings} recordings hold "
            f"({found.disposed} disposed of), {found.audit_entries} audit entries"
        )
        _table(console, "What does not hold", ("kind", "id", "detail"), said["failures"])
    _finish(said, as_json, 1 if said["failures"] else 0)


def _keys_to_verify_with(room: ProofRoom, deep: bool) -> DataKeys | None:
    """None: wrapped keys are read and not opened. A key service (``kms:``) is asked once a recording: only when deep."""
    if deep:
        return room.keys()
    if room.settings.vault.master_key.startswith("kms:"):
        return None
    try:
        return room.keys()
    except OnrecordError as error:
        said = f"[yellow]The master key is not here ({error.error_id}): wrapped keys are read, but not opened."
        Console(stderr=True).print(said)
        return None


_ATTACH_SECONDS = 10


async def _excuse_what_was_sealed_meanwhile(room: ProofRoom, report: VerifyReport, known: Collection[str]) -> None:
    """On a living house a recording is sealed after the store was asked, and attached some moments later."""
    waits = {one.id: one for one in report.failures if one.kind == UNKNOWN and one.id not in known}
    for _ in range(_ATTACH_SECONDS):
        states = await room.reads.states(waits)
        for recording_id in [one for one, state in states.items() if state in SEALED_STATES]:
            row, failure = await room.reads.recording(recording_id), waits.pop(recording_id)
            if row is not None and filed_row(row) == as_filed(
                read_dossier(room.shelf, room.signing.verifier(), recording_id), amendments_noted(row.manifest)
            ):
                report.excuse(failure)
        if not waits:
            break
        await asyncio.sleep(1)
    strays = {one.id: one for one in report.failures if one.kind == STRAY}
    for recording_id, state in (await room.reads.states(strays)).items():
        if state not in SEALED_STATES or recording_id not in known:  # it is being sealed, or failed to be
            report.excuse(strays[recording_id])


def reconcile_command(
    carrier_bill: Annotated[Path | None, typer.Option(help="The carrier's bill: CSV or a spreadsheet")] = None,
    since: Annotated[datetime | None, typer.Option(help="First day (UTC); default: the bill's, else all")] = None,
    until: Annotated[datetime | None, typer.Option(help="Up to and without this day (UTC)")] = None,
    as_json: AsJson = False,
) -> None:
    """Our signalling × the recordings × the carrier's bill, per call, leg and channel."""

    async def run() -> ReconcileReport:
        settings = load_settings()
        bill = read_bill(carrier_bill, settings.bill) if carrier_bill is not None else None
        begin, end = _aware(since), _aware(until)
        if bill:
            margin = timedelta(seconds=settings.bill.clock_tolerance_seconds, hours=14)
            begin = begin or min(row.starts[0] for row in bill) - margin
            end = end or max(row.starts[-1] for row in bill) + margin
        async with proof_room(settings) as room:
            calls = [signalled(call) async for call in room.reads.ended_calls(begin, end)]
            facts = await recorded_beside(room.reads, calls, begin, end)
            lost = await never_ended(room.reads, begin, end, datetime.now(UTC))
            return reconcile(calls, facts, bill, settings.bill, lost)

    report = run_proof(run(), as_json)
    said = report.as_json()
    if report.hint:
        Console(stderr=True).print(f"[yellow]{report.hint}")
    if not as_json:
        console = Console()
        billed = "" if report.billed is None else f", {report.billed} lines on the bill"
        console.print(f"{report.clean} of {report.calls} calls are clean{billed}")
        for found, count in sorted(report.by_class().items()):
            console.print(f"  {found}: {count}{' (critical)' if GapClass(found).is_critical else ''}")
        _table(console, "Gaps", ("class", "call_id", "leg", "channel", "detail"), said["gaps"])
    _finish(said, as_json, 3 if report.critical else 1 if report.gaps else 0)


def retain_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go")] = False,
    actor: Annotated[str, typer.Option(help="Who runs this, for the audit log")] = "system",
    as_json: AsJson = False,
) -> None:
    """Dispose of recordings whose time is up: max(policy, contract); a legal hold overrides."""

    async def run() -> dict[str, Any]:
        settings, now = load_settings(), datetime.now(UTC)
        async with proof_room(settings) as room:
            # Whatever was recorded since cannot be due under any contract: the policy's days are the least.
            youngest = now - timedelta(days=settings.retention.policy_days)
            rows = {row.recording_id: row async for row in room.reads.recordings("sealed", "empty", until=youngest)}
            report = plan((kept(row) for row in rows.values()), now, settings.retention)
            report.dry_run = dry_run
            left = unfinished(room.shelf, room.signing.verifier())
            report.finished = [recording_id for recording_id, _ in left]
            if not dry_run:
                await _dispose(room, report, rows, now, actor)
                for recording_id, names in left:
                    await _audit(room, now, actor, "recording.disposal-finished", recording_id, objects=names)
                    for name in names:
                        room.shelf.delete(name)
            return report.as_json()

    said = run_proof(run(), as_json)
    if not as_json:
        console = Console()
        verb = "would go" if said["dry_run"] else "disposed of"
        console.print(f"{len(said['disposed'])} {verb}, {said['kept']} kept ({said['held']} of them by legal hold)")
        _table(console, "Recordings", ("recording_id", "case_id", "keep_until"), said["disposed"])
        if said["finished"]:
            console.print(f"{len(said['finished'])} had come back, from a backup: {', '.join(said['finished'])}")
    _finish(said, as_json, 0)


async def _dispose(
    room: ProofRoom, report: RetainReport, rows: dict[str, StoredRecording], now: datetime, actor: str
) -> None:
    recordings, keys = Recordings(room.database), room.keys()
    for one in report.disposed:
        latest = await recordings.get(one.recording_id)  # again: a hold or a promise may have come since the plan
        held = replace(kept(rows[one.recording_id]), legal_hold=latest.legal_hold, keep_until=latest.keep_until)
        if not due(held, now, room.settings.retention):
            continue
        fact = AuditFact(
            at=now,
            actor=actor,
            action="recording.disposed",
            subject=one.recording_id,
            detail={"case_id": one.case_id, "keep_until": one.keep_until.isoformat(), "sha256": latest.sha256},
        )
        await room.audit.append([fact], now)
        dispose(held, now, room.settings.retention, actor=actor, shelf=room.shelf, keys=keys, signing=room.signing)
        await recordings.dispose(one.recording_id, now)


def export_command(
    recording_id: str,
    out: Annotated[Path, typer.Option(help="Folder")],
    actor: Annotated[str, typer.Option(help="Who exports")],
    reason: Annotated[str, typer.Option(help="What for: it is audited")],
    file_format: Annotated[ExportFormat, typer.Option("--format")] = ExportFormat.WAV,
    channels: ExportChannels = ExportChannels.STEREO,
    from_ms: int = 0,
    to_ms: int | None = None,
    normalise: Annotated[bool, typer.Option(help="Even loudness, for listening")] = False,
    template: Annotated[str, typer.Option(help="File name, such as {date}_{call_id}")] = "{date}_{time}_{call_id}",
    as_json: AsJson = False,
) -> None:
    """Export a recording or a stretch of it for people. Audited; provenance goes inside and beside the file."""

    async def run() -> dict[str, Any]:
        now = datetime.now(UTC)
        order = ExportOrder(
            actor=actor,
            reason=reason,
            format=file_format,
            channels=channels,
            from_ms=from_ms,
            to_ms=to_ms,
            normalise=normalise,
            template=template,
        )
        async with proof_room(load_settings()) as room:
            dossier, master, _ = await _open_master(room, recording_id)
            made = render(master, dossier.recording, order, now)
            detail = {
                "from_ms": from_ms,
                "to_ms": to_ms,
                "channels": channels.value,
                "format": file_format.value,
                "file": made.name,
                "sha256": made.sha256,
                "reason": reason,
            }
            await _audit(room, now, actor, "recording.exported", recording_id, **detail)
            path = write_export(made, out)
            return {"path": str(path), "sha256": made.sha256, "provenance": dict(made.provenance)}

    said = run_proof(run(), as_json)
    if not as_json:
        Console().print(said["path"])
    _finish(said, as_json, 0)


def evidence_command(
    recording_id: str,
    actor: Annotated[str, typer.Option(help="Who asks, or who approves")],
    reason: Annotated[str, typer.Option(help="What for, when asking")] = "",
    approve: Annotated[int | None, typer.Option(help="The number of the request that is approved")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the pack goes, when approving")] = None,
    unmasked: Annotated[
        bool, typer.Option("--unmasked", help="With the master although something is masked; both people say so")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """An evidence pack, by two people: one asks (prints a number), another approves that number and gets the pack."""

    async def run() -> dict[str, Any]:
        now = datetime.now(UTC)
        async with proof_room(load_settings()) as room:
            if approve is None:
                seq = await ask_for_evidence(room, recording_id, actor, reason, now, unmasked=unmasked)
                return {"request": seq, "recording_id": recording_id}
            if out is None:
                raise BadInput("a pack needs a place", field="out", remedy="name the zip file to write")
            return await make_pack(room, recording_id, approve, actor, out, now, may_unmask=unmasked)

    said = run_proof(run(), as_json)
    if not as_json:
        Console().print(said.get("path") or f"request {said['request']}: another person approves it with --approve")
    _finish(said, as_json, 0)


async def ask_for_evidence(
    room: ProofRoom, recording_id: str, actor: str, reason: str, now: datetime, *, unmasked: bool = False
) -> int:
    """The number of the request. ``unmasked``: for the master of a masked recording. Raises ``BadInput``."""
    if not reason.strip():
        raise BadInput("a request needs a reason", field="reason", remedy="say what the evidence is for")
    return await _audit(room, now, actor, "evidence.asked", recording_id, reason=reason, unmasked=unmasked)


async def make_pack(
    room: ProofRoom, recording_id: str, request: int, approver: str, out: Path, now: datetime, *, may_unmask: bool
) -> dict[str, Any]:
    """``may_unmask``: the approver may give out what is masked, and says so. Raises ``NotForThisRole``."""
    entries = await room.audit.about(recording_id)
    asked = next((one for one in entries if one.seq == request and one.fact.action == "evidence.asked"), None)
    if asked is None:
        raise BadInput("there is no such request for this recording", field="approve", remedy="ask first")
    wanted = asked.fact.detail
    order = PackOrder(
        requester=asked.fact.actor,
        approver=approver,
        reason=str(wanted["reason"]),
        unmasked=bool(wanted.get("unmasked")),
    )
    if order.unmasked and not may_unmask:
        raise NotForThisRole(
            "this request is for what is masked, and this approval is not",
            field="unmasked",
            remedy="compliance approves it (--unmasked on the command line), or ask again without it",
        )
    dossier, master, data_key = await _open_master(room, recording_id)
    call = await Calls(room.database).get(dossier.recording.call_id)
    facts = {
        **dossier.manifest.body["call"],
        "cause": call.cause,
        "category": call.category,
        "sip_status": call.sip_status,
    }
    verdict = await room.reads.verdict_of(call.id)
    await _audit(room, now, approver, "evidence.approved", recording_id, request=request, unmasked=order.unmasked)
    proofs = [await room.audit.proof(one.seq) for one in await room.audit.about(recording_id)]
    try:
        contents = write_pack(
            out,
            replace(order, facts=facts, verdict=verdict),
            master=master,
            dossier=dossier,
            data_key=data_key,
            proofs=proofs,
            signing=room.signing,
            now=now,
        )
    except OSError as error:
        raise cannot_write(error) from error
    return {"path": str(out), "contents": contents}


def anchor_command(as_json: AsJson = False) -> None:
    """Sign the heads of audit log and manifest chain and keep them outside (vault.anchor_file, anchor_command)."""

    async def run() -> dict[str, Any]:
        settings = load_settings()
        vault = settings.vault
        if vault.anchor_file is None and vault.anchor_command is None:
            raise BadInput("there is no place to anchor", field="vault.anchor_file", remedy="name a file elsewhere")
        async with proof_room(settings) as room:
            heads = [head for head in (await room.audit.head(),) if head is not None]
            heads.append(room.own_end())
        for anchor in (
            *((FileAnchor(vault.anchor_file),) if vault.anchor_file else ()),
            *((CommandAnchor(vault.anchor_command),) if vault.anchor_command else ()),
        ):
            for head in heads:
                anchor.publish(head)
        return {"anchored": [{"chain": head.chain, "seq": head.seq, "hash": head.hash} for head in heads]}

    said = run_proof(run(), as_json)
    if not as_json:
        _table(Console(), "Anchored", ("chain", "seq", "hash"), said["anchored"])
    _finish(said, as_json, 0)


async def _open_master(room: ProofRoom, recording_id: str) -> tuple[Dossier, bytes, bytes]:
    """What is signed about it, its master in the clear, its data key."""
    row = await Recordings(room.database).get(recording_id)
    known = amendments_noted(row.manifest)
    dossier = read_dossier(room.shelf, room.signing.verifier(), recording_id, amendments=known)
    keys, recording = room.keys(), dossier.recording
    master = recording.object("master")
    if master is None:
        raise BadInput("this recording has no master", field="recording_id", remedy="run onrecord verify")
    data_key = keys.open(recording.data_key_id)  # first: of one disposed of, this is what there is to say
    plain = open_object(room.shelf, keys, master.name).read(0, master.plain_bytes)
    return dossier, plain, data_key


async def _audit(room: ProofRoom, now: datetime, actor: str, action: str, subject: str, **detail: Any) -> int:
    fact = AuditFact(at=now, actor=actor, action=action, subject=subject, detail=detail)
    return (await room.audit.append([fact], now))[0].seq


def run_proof(job: Coroutine[Any, Any, _T], as_json: bool) -> _T:
    """An error we know becomes its message (or its problem+json members) and exit code 1."""
    try:
        return asyncio.run(job)
    except OnrecordError as error:
        if as_json:
            typer.echo(json.dumps(error.as_problem(), ensure_ascii=False))
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _finish(said: dict[str, Any], as_json: bool, code: int) -> NoReturn:
    if as_json:
        typer.echo(json.dumps(said, ensure_ascii=False))
    raise typer.Exit(code)


def _table(console: Console, title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows[:200]:
        table.add_row(*(str(row[column] if row[column] is not None else "-") for column in columns))
    console.print(table)
    if len(rows) > 200:
        console.print(f"and {len(rows) - 200} more: use --json")


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
