"""``onrecord keys status | rotate`` and ``onrecord hold set | lift``: custody of recordings, each deed audited."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from api.masking_desk import MaskingDesk
from api.speaking import Json, say
from case_store.audit_chain import AuditFact
from case_store.calls import Recordings
from case_store.custody import change_hold
from config.errors import BadInput
from config.settings import load_settings
from recording.key_source import add_key_version
from recording.masking import MaskOrder
from recording.signing import load_signing_key

keys_app = typer.Typer(help="Master keys: which versions close recordings, and rotation without rewriting audio.")
hold_app = typer.Typer(help="Legal holds: a held recording is never disposed of, whatever its date.")

Actor = Annotated[str, typer.Option(help="Who does this, for the audit log")]
Reason = Annotated[str, typer.Option(help="Why, for the audit log")]


@keys_app.command("status")
def keys_status(as_json: Json = False) -> None:
    """How many recordings each master key version closes. A version with none may be taken away."""
    from api.proof_commands import proof_room, run_proof  # that module registers this one

    async def run() -> dict[str, Any]:
        async with proof_room(load_settings()) as room:
            keys = room.keys()
            found = Counter(version for _, version in keys.versions())
            return {"current": keys.current, "recordings_by_version": dict(sorted(found.items()))}

    said = run_proof(run(), as_json)
    say(as_json, said, lambda console: _show_versions(console, said))


@keys_app.command("rotate")
def keys_rotate(
    actor: Actor,
    version: Annotated[str | None, typer.Option(help="Name of a new version to make (key files only)")] = None,
    signing: Annotated[
        bool, typer.Option("--signing", help="The signing key instead: new seals are signed anew")
    ] = False,
    as_json: Json = False,
) -> None:
    """Close every data key by the current master key: small objects are rewrapped, no audio is touched.

    With ``--version`` a new current key is added to the key file first. Workers take it at their next start. With
    ``--signing`` the new version is of the signing key; what older versions signed stays as it is and verifies.
    """
    from api.proof_commands import proof_room, run_proof

    async def run() -> dict[str, Any]:
        settings = load_settings()
        setting = "vault.signing_key" if signing else "vault.master_key"
        kind, _, place = (settings.vault.signing_key if signing else settings.vault.master_key).partition(":")
        if signing and version is None:
            raise BadInput("a new signing key needs a name", field="version", remedy="such as --version v2")
        if version is not None and kind != "file":
            raise BadInput(
                "only a key file can be given a new version here",
                field="version",
                remedy=f"add it where {setting} comes from"
                + ("; new seals then use it" if signing else ", then rotate without --version"),
            )
        async with proof_room(settings) as room:
            if version is not None:
                add_key_version(Path(place), version, setting=setting)
            if signing:
                new = load_signing_key(settings.vault.signing_key)  # publishes its public half beside the file
                fact = AuditFact(
                    at=datetime.now(UTC),
                    actor=actor,
                    action="keys.rotated",
                    subject="signing-key",
                    detail={"current": str(version), "key_id": new.key_id},
                )
                await room.audit.append([fact], fact.at)  # signed by the old key: it names its successor
                return {"current": str(version), "key_id": new.key_id}
            keys, now = room.keys(), datetime.now(UTC)
            detail = {"current": keys.current, "made": version is not None}
            await room.audit.append(
                [AuditFact(at=now, actor=actor, action="keys.rotated", subject="master-key", detail=detail)], now
            )
            return {"current": keys.current, "rewrapped": keys.rewrap_all()}

    said = run_proof(run(), as_json)
    done = (
        f"new seals are signed by {said['current']}, public key {said['key_id']}: give signing.pub.json to compliance"
        if signing
        else f"{said.get('rewrapped')} keys are now closed by {said['current']}"
    )
    say(as_json, said, lambda console: console.print(done))


@hold_app.command("set")
def hold_set(recording_id: str, actor: Actor, reason: Reason, as_json: Json = False) -> None:
    """Keep this recording whatever its date, until the hold is lifted."""
    _hold(recording_id, True, actor, reason, as_json)


@hold_app.command("lift")
def hold_lift(recording_id: str, actor: Actor, reason: Reason, as_json: Json = False) -> None:
    """Let its date count again."""
    _hold(recording_id, False, actor, reason, as_json)


def _hold(recording_id: str, on: bool, actor: str, reason: str, as_json: bool) -> None:
    from api.proof_commands import proof_room, run_proof

    async def run() -> dict[str, Any]:
        if not reason.strip():
            raise BadInput("a hold needs a reason", field="reason", remedy="say which proceeding asks for it")
        async with proof_room(load_settings()) as room:
            row = await Recordings(room.database).get(recording_id)
            changed = await change_hold(
                room.database, room.audit, row.id, on, actor=actor, reason=reason, now=datetime.now(UTC)
            )
            return {"recording_id": row.id, "legal_hold": on, "changed": changed}

    said = run_proof(run(), as_json)
    state = "held" if on else "not held"
    say(as_json, said, lambda console: console.print(f"{recording_id} is {state}"))


def mask(
    recording_id: str,
    from_ms: Annotated[int, typer.Option(help="Where the sensitive moment begins, ms from the recording's start")],
    actor: Actor,
    reason: Reason,
    to_ms: Annotated[int | None, typer.Option(help="Where it ends; none: with the recording")] = None,
    as_json: Json = False,
) -> None:
    """Silence a sensitive moment after the seal in all that is played, exported or packed; the master stays."""
    from api.proof_commands import proof_room, run_proof

    async def run() -> dict[str, Any]:
        order = MaskOrder(
            recording_id=recording_id,
            from_ms=from_ms,
            to_ms=to_ms,
            actor=actor,
            reason=reason,
            at=datetime.now(UTC),
        )
        async with proof_room(load_settings()) as room:
            desk = MaskingDesk(
                room.settings, Recordings(room.database), room.audit, room.shelf, room.signing.verifier()
            )
            masks = await desk.mask(order)
            return {"recording_id": recording_id, "masks": [asdict(one) for one in masks]}

    said = run_proof(run(), as_json)
    say(as_json, said, lambda console: console.print(f"{len(said['masks'])} stretches of {recording_id} are silent"))


def _show_versions(console: Console, said: dict[str, Any]) -> None:
    for version, count in said["recordings_by_version"].items():
        current = " (current)" if version == said["current"] else ""
        console.print(f"{version}{current}: {count} recordings")
