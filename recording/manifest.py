"""A recording's manifest: what was recorded, in canonical JSON, chained to the one before it and signed.

    {"body": {…, "chain", "seq", "prev"}, "key_id", "signature"}

``signature`` is Ed25519 over the body's canonical bytes; ``prev`` is the SHA-256 of the whole manifest before it in
the node's chain (64 zeros for the first). Figures are integers (ms, per mille), so that any language agrees on them.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from case_store.audit_chain import AuditHead, sign_head
from config.canonical import sha256_hex
from config.errors import Refused
from recording.signing import SignatureBroken, SigningKey, Verifier, read_document, sign_document

GENESIS = "0" * 64
FORMAT = "onrecord-manifest-1"
AMENDMENT = "onrecord-amendment-1"  # the same envelope and chain; ``recording.dossier`` says what is in it
_LINE = 65  # a SHA-256 in hexadecimal and a newline


class ManifestDamaged(Refused):
    """A manifest was changed, or was not signed by a key we know."""

    error_id = "manifest-damaged"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A checked manifest. ``data`` is the exact file; ``sha256`` its hash, which the next one names."""

    body: dict[str, Any]
    key_id: str
    data: bytes

    @property
    def sha256(self) -> str:
        return sha256_hex(self.data)

    @property
    def recording_id(self) -> str:
        return str(self.body["recording_id"])

    @property
    def seq(self) -> int:
        return int(self.body["seq"])


def sign_manifest(body: dict[str, Any], key: SigningKey) -> Manifest:
    """Sign ``body`` as it stands."""
    return Manifest(body=body, key_id=key.key_id, data=sign_document(body, key))


def read_manifest(data: bytes, verifier: Verifier) -> Manifest:
    """Check form and signature. Raises ``ManifestDamaged``: any changed bit of the file is found."""
    return _read(data, verifier, FORMAT)


def read_amendment(data: bytes, verifier: Verifier) -> Manifest:
    """The same for an amendment to a manifest."""
    return _read(data, verifier, AMENDMENT)


def _read(data: bytes, verifier: Verifier, wanted: str) -> Manifest:
    try:
        body = read_document(data, verifier)
    except SignatureBroken as error:
        raise ManifestDamaged(error.problem, remedy=error.remedy) from error
    if body.get("format") != wanted:
        raise ManifestDamaged(f"this signed document is no {wanted}", remedy="restore it from a backup")
    return Manifest(body=body, key_id=json.loads(data)["key_id"], data=data)


def mask_dtmf(presses: list[dict[str, Any]], policy: str) -> list[dict[str, Any]]:
    """Keys pressed ``{"at_ms", "digit", …}`` as the manifest may show them (``vault.dtmf``)."""
    if policy == "keep":
        return presses
    if policy == "count":
        return [{"pressed": len(presses)}] if presses else []
    return [{**press, "digit": "*masked*"} for press in presses]


class ManifestChain:
    """The order of a node's manifests: a local index of fixed-width lines, guarded by a file lock.

    ``append`` and ``find`` cost the same after a million recordings as after one.
    """

    def __init__(self, state: Path, name: str) -> None:
        self.name = name
        self._index = state / f"manifests-{name}.chain"
        self._drafts = state / "manifests"
        self._drafts.mkdir(parents=True, exist_ok=True)

    def append(
        self, body: dict[str, Any], key: SigningKey, publish: Callable[[Manifest], None], name: str | None = None
    ) -> Manifest:
        """Chain, sign, keep. ``publish`` puts the manifest on the shelf before the index names it.

        ``name``: of the document in this chain; the recording's id for its manifest. Killed before the index line: the place in the chain is still free and the next manifest takes it.
        Two seals of one tape at once: the second gets the manifest of the first.
        """
        name = name or str(body["recording_id"])
        with self._locked():
            made = self.find(name)
            if made is not None:
                return made
            seq, prev = self.head()
            manifest = sign_manifest({"format": FORMAT, **body, "chain": self.name, "seq": seq + 1, "prev": prev}, key)
            _write_flushed(self._drafts / f"{name}.json", manifest.data)
            publish(manifest)
            self._append_line(manifest)
            return manifest

    def find(self, name: str) -> Manifest | None:
        """The document of this name when the chain has it. Its signature is for ``read_manifest`` to check."""
        path = self._drafts / f"{name}.json"
        if not path.exists():
            return None
        data = path.read_bytes()
        raw = json.loads(data)
        manifest = Manifest(body=raw["body"], key_id=raw["key_id"], data=data)
        return manifest if self._line(manifest.seq) == manifest.sha256 else None

    def head(self) -> tuple[int, str]:
        """``(how many, hash of the last)``. A line cut off by a kill does not count."""
        seq = self._index.stat().st_size // _LINE if self._index.exists() else 0
        last = self._line(seq)
        return (seq, last) if last is not None else (0, GENESIS)

    def lines(self) -> list[str]:
        """The hash of every document in its order, as the index has them."""
        if not self._index.exists():
            return []
        data = self._index.read_bytes()
        whole = len(data) // _LINE * _LINE
        return [data[at : at + 64].decode("latin-1") for at in range(0, whole, _LINE)]

    def signed_head(self, chain: str, now: datetime, key: SigningKey) -> AuditHead:
        """The chain's end, signed, for an anchor outside: a later truncation is then found."""
        seq, sha256 = self.head()
        return sign_head(chain, seq, sha256, now, key)

    def _line(self, seq: int) -> str | None:
        if seq < 1 or not self._index.exists():
            return None
        with self._index.open("rb") as file:
            file.seek((seq - 1) * _LINE)
            line = file.read(_LINE)
        return line[:64].decode() if len(line) == _LINE else None

    def _append_line(self, manifest: Manifest) -> None:
        with self._index.open("ab") as file:
            file.truncate((manifest.seq - 1) * _LINE)
            file.write(f"{manifest.sha256}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._index.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _write_flushed(path: Path, data: bytes) -> None:
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
