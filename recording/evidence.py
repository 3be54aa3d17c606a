"""The evidence pack: one zip that opens and verifies on a machine without the product.

    recording.flac       the master, byte for byte as it was sealed; where something is masked instead
    recording.wav        … its samples with every masked stretch silent (widened to whole blocks of 50 ms), and
    masked-sound.json    … what proves that all the rest is the master's (``sound_tree``)
    manifest.json        its signed manifest
    amendment-N.json     what was masked after the seal: signed, each names the document before it
    vcon.json            the call's facts and the policy verdict, in the shape of a vCon (draft-ietf-vcon-vcon-core)
    audit.json           each audit entry about it, with its proof up to a signed head
    public-keys.json     for comparison with the key the stranger got by another way
    verify.py            the offline verifier: Python's standard library is all it needs
    contents.json        the hash of every file above, who asked, who approved; signed

Two people make a pack: whoever asks cannot approve. Whoever asks may ask for the master of a masked recording; the
doors let only those do both who may give it out.
"""

from __future__ import annotations

import io
import json
import os
import wave
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import soundfile

from case_store.audit_chain import AuditProof
from config.canonical import canonical_json, sha256_hex
from config.errors import BadInput, InvariantBroken, Refused
from recording import offline_verifier
from recording.copies import Samples
from recording.dossier import Dossier
from recording.sealed import RATE
from recording.signing import SigningKey, public_keys_json, sign_document
from recording.sound_tree import BLOCK_SAMPLES, SoundTree, hidden_blocks, tree_seed


class OnePersonOnly(Refused):
    """The same person asked for a pack and approved it."""

    error_id = "one-person-only"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOrder:
    """Who asked for the evidence, who approved it, and why; ``unmasked``: with the master of a masked recording."""

    requester: str
    approver: str
    reason: str
    unmasked: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)  # the call's facts: JSON, numbers masked by the caller
    verdict: Mapping[str, Any] = field(default_factory=dict)  # the policy verdict with its figures

    def __post_init__(self) -> None:
        """Raises ``OnePersonOnly`` or ``BadInput``: an order that may not be cannot exist."""
        for name in ("requester", "approver", "reason"):
            if not str(getattr(self, name)).strip():
                raise BadInput("evidence needs who asks, who approves and why", field=name, remedy="name it")
        if self.requester.strip().casefold() == self.approver.strip().casefold():
            raise OnePersonOnly(
                "whoever asks for evidence cannot approve it", field="approver", remedy="ask a second person"
            )


def write_pack(
    path: Path,
    order: PackOrder,
    *,
    master: bytes,
    dossier: Dossier,
    data_key: bytes,
    proofs: Sequence[AuditProof],
    signing: SigningKey,
    now: datetime,
) -> dict[str, Any]:
    """Write the zip, whole or not at all; returns its contents list. What does not verify is not written.

    Raises ``BadInput`` when master, dossier or proofs do not belong together.
    """
    manifest, recording = dossier.manifest, dossier.recording
    if sha256_hex(master) != recording.sha256:
        raise BadInput("the master is not the one the manifest speaks of", field="master", remedy="run onrecord verify")
    subjects = {json.loads(proof.body)["subject"] for proof in proofs}
    if recording.id not in subjects or not all(proof.holds(signing.verifier()) for proof in proofs):
        raise BadInput("no audit proof of this recording holds", field="proofs", remedy="run onrecord verify")
    masked = bool(recording.masks) and not order.unmasked
    sounds = _masked_sound(master, dossier, data_key) if masked else {"recording.flac": master}
    sound = next(iter(sounds))
    files = {
        **sounds,
        "manifest.json": manifest.data,
        **{f"amendment-{number}.json": one.data for number, one in enumerate(dossier.amendments, start=1)},
        "vcon.json": _pretty(as_vcon(manifest.body, order, now, sound, sounds[sound])),
        "audit.json": _pretty([proof.as_document() for proof in proofs]),
        "public-keys.json": _pretty(public_keys_json(signing.public_keys)),
        "verify.py": Path(offline_verifier.__file__).read_bytes(),
    }
    contents = {
        "format": "onrecord-pack-1",
        "recording_id": recording.id,
        "sound": sound,
        "masked": masked,
        "requester": order.requester,
        "approver": order.approver,
        "reason": order.reason,
        "made_at": now.astimezone(UTC).isoformat(timespec="seconds"),
        "files": {name: sha256_hex(data) for name, data in files.items()},
    }
    whole = {**files, "contents.json": sign_document(contents, signing)}
    try:
        offline_verifier.check_pack(whole, dict(signing.public_keys))
    except offline_verifier.DoesNotHold as error:
        raise InvariantBroken(
            f"the pack does not verify: {error}", remedy="run onrecord verify --deep; nothing was given out"
        ) from error
    _write_zip(path, whole)
    return contents


def _masked_sound(master: bytes, dossier: Dossier, data_key: bytes) -> dict[str, bytes]:
    """The WAV with whole blocks silent, and the proof of what is left."""
    recording, body = dossier.recording, dossier.manifest.body
    samples: Samples = soundfile.read(io.BytesIO(master), dtype="int16", always_2d=True)[0]
    tree = SoundTree(len(samples), tree_seed(data_key))
    tree.add(samples)
    if body.get("sound_tree", {}).get("root") != tree.root():
        raise BadInput(
            "this recording has no hash tree that fits its sound: a masked copy of it cannot be proven",
            field="recording_id",
            remedy="run onrecord verify --deep, or ask for the master (unmasked)",
        )
    hidden = hidden_blocks([(mask.start_ms, mask.end_ms) for mask in recording.masks], len(samples), RATE)
    quiet = samples.copy()
    for first, last in hidden:
        quiet[first * BLOCK_SAMPLES : last * BLOCK_SAMPLES] = 0
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(quiet.astype("<i2").tobytes())
    return {"recording.wav": out.getvalue(), "masked-sound.json": _pretty(tree.reveal(hidden))}


def as_vcon(
    manifest: Mapping[str, Any], order: PackOrder, now: datetime, filename: str, sound: bytes
) -> dict[str, Any]:
    """The call as a vCon: parties, one dialog, analysis (vitals), attachments (verdict, facts)."""
    facts = dict(order.facts) or dict(manifest["call"])
    return {
        "vcon": "0.3.0",
        "uuid": _uuid(str(manifest["recording_id"])),
        "created_at": now.astimezone(UTC).isoformat(timespec="seconds"),
        "subject": str(manifest["call_id"]),
        "parties": [
            {"role": "agent", "name": str(facts.get("agent", "agent"))},
            {"role": "customer", "tel": str(facts.get("callee", ""))},
        ],
        "dialog": [
            {
                "type": "recording",
                "start": manifest["started_at"],
                "duration": manifest["vitals"]["milliseconds"] / 1000,
                "parties": [[0], [1]],
                "mediatype": "audio/flac" if filename.endswith(".flac") else "audio/x-wav",
                "filename": filename,
                "content_hash": f"sha256-{sha256_hex(sound)}",
            }
        ],
        "analysis": [
            {"type": "vitals", "dialog": 0, "vendor": "onrecord", "encoding": "json", "body": manifest["vitals"]}
        ],
        "attachments": [
            {"purpose": "call-facts", "encoding": "json", "body": facts},
            {"purpose": "policy-verdict", "encoding": "json", "body": dict(order.verdict)},
        ],
    }


def _uuid(recording_id: str) -> str:
    """Version 8 (RFC 9562): made from the recording's id, so the same call is the same vCon."""
    raw = bytearray(bytes.fromhex(sha256_hex(recording_id.encode())[:32]))
    raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _pretty(value: Any) -> bytes:
    canonical_json(value)  # refuses what has no canonical form
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as pack:
            for name, data in files.items():
                entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
                packed = zipfile.ZIP_STORED if name.endswith(".flac") else zipfile.ZIP_DEFLATED
                pack.writestr(entry, data, packed)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
