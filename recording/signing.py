"""Ed25519 signatures (RFC 8032) over manifests, audit heads and disposal records."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.canonical import canonical_json
from config.errors import InvariantBroken, Refused
from recording.key_source import load_keys


class SignatureBroken(Refused):
    """A signed document was changed, or was not signed by a key we know."""

    error_id = "signature-broken"


def key_id_of(public_key: bytes) -> str:
    """A public key's name: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


@dataclass(frozen=True)
class SigningKey:
    """Signs with the current key; knows the public halves of all its versions, old ones too."""

    _private: Ed25519PrivateKey = field(repr=False)
    public_keys: Mapping[str, bytes]
    key_id: str

    @classmethod
    def from_seeds(
        cls, current: bytes, others: tuple[bytes, ...] = (), lost: Mapping[str, bytes] | None = None
    ) -> SigningKey:
        """From 32-byte RFC 8032 seeds. ``lost``: public keys whose private halves are gone; they verify as ever."""
        public = dict(lost or {})
        for seed in (current, *others):
            raw = _public_bytes(Ed25519PrivateKey.from_private_bytes(seed))
            public[key_id_of(raw)] = raw
        private = Ed25519PrivateKey.from_private_bytes(current)
        return cls(private, public, key_id_of(_public_bytes(private)))

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(message)

    def verifier(self) -> Verifier:
        return Verifier(self.public_keys)


@dataclass(frozen=True)
class Verifier:
    """Public keys by name: all that checking needs."""

    public_keys: Mapping[str, bytes]

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """False for a wrong signature and for a key we do not know."""
        public = self.public_keys.get(key_id)
        if public is None or len(signature) != 64:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def sign_document(body: Mapping[str, Any], key: SigningKey) -> bytes:
    """``{"body", "key_id", "signature"}`` in canonical form with a newline: the signature covers the canonical body."""
    signature = base64.b64encode(key.sign(canonical_json(dict(body)))).decode()
    return canonical_json({"body": dict(body), "key_id": key.key_id, "signature": signature}) + b"\n"


def read_document(data: bytes, verifier: Verifier) -> dict[str, Any]:
    """The body of a signed document. Raises ``SignatureBroken``: any changed bit of the file is found."""
    try:
        raw = json.loads(data)
        body, key_id = raw["body"], str(raw["key_id"])
        signature = base64.b64decode(raw["signature"], validate=True)
        # base64 leaves the last character's low bits open: only the one spelling we write is the document.
        exact = base64.b64encode(signature).decode() == raw["signature"]
        same = exact and canonical_json(raw) + b"\n" == data and isinstance(body, dict)
    except (ValueError, KeyError, TypeError, InvariantBroken) as error:
        raise _broken("it cannot be read") from error
    if not same:
        raise _broken("it is not in canonical form")
    if not verifier.verify(key_id, canonical_json(body), signature):
        raise _broken("its signature does not fit")
    return dict(body)


def _broken(problem: str) -> SignatureBroken:
    return SignatureBroken(
        f"a signed document does not hold: {problem}", remedy="restore it from a backup; run onrecord verify"
    )


def load_signing_key(source: str, *, create: bool = False) -> SigningKey:
    """The node's key from ``vault.signing_key``. A missing file is made only by ``recording.first_keys``, or who says ``create``.

    The public halves are written beside a file (``*.pub.json``) for auditors.
    """
    document = load_keys(source, create=create, setting="vault.signing_key")
    others = tuple(key for name, key in document.keys.items() if name != document.current)
    signing = SigningKey.from_seeds(document.keys[document.current], others, document.public)
    kind, _, place = source.partition(":")
    if kind == "file":
        _publish(Path(place).with_suffix(".pub.json"), signing)
    return signing


def public_keys_json(public_keys: Mapping[str, bytes]) -> dict[str, str]:
    """``key id → hex``, as packs and auditors' files carry them."""
    return {name: raw.hex() for name, raw in sorted(public_keys.items())}


def _publish(path: Path, signing: SigningKey) -> None:
    """What stands there stays: it may be all that is left of a lost key (nothing here trusts this file)."""
    said = public_keys_json(signing.public_keys)
    try:
        known = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    if known | said != known:
        path.write_text(json.dumps(dict(sorted((known | said).items())), indent=1) + "\n")


def _public_bytes(private: Ed25519PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
