"""Master keys and data keys.

Every recording has its own data key. The data key lies on the shelf *wrapped* by a master key, apart from the
sound it opens: rotation rewraps small objects and never rewrites audio; destroying the wrapped key destroys the
recording for good (crypto-shredding), wherever copies of the encrypted sound may lie.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.canonical import canonical_json
from config.errors import Refused
from recording.key_source import BadKeyDocument, KeyDocument, KeyUnavailable, load_keys, run_key_command
from recording.shelf import ObjectMissing, Shelf

DATA_KEY_BYTES = 32


class KeyDestroyed(Refused):
    """The data key was destroyed on purpose: the recording can never be opened again."""

    error_id = "key-destroyed"


class KeyDamaged(Refused):
    """A wrapped key does not open: it was changed, or belongs to another recording."""

    error_id = "key-damaged"


@dataclass(frozen=True, kw_only=True)
class WrappedKey:
    """A data key closed by ``version`` of the master key. ``key_id`` is bound in: a swap does not open."""

    key_id: str
    version: str
    wrapped: bytes = field(repr=False)

    def as_json(self) -> bytes:
        return canonical_json(
            {"key_id": self.key_id, "version": self.version, "wrapped": base64.b64encode(self.wrapped).decode()}
        )

    @classmethod
    def from_json(cls, data: bytes) -> WrappedKey:
        """Raises ``KeyDamaged`` unless ``data`` is exactly what ``as_json`` writes."""
        try:
            raw = json.loads(data)
            key = cls(
                key_id=raw["key_id"], version=raw["version"], wrapped=base64.b64decode(raw["wrapped"], validate=True)
            )
            same = key.as_json() == data
        except (ValueError, KeyError, TypeError) as error:
            raise KeyDamaged("a wrapped key cannot be read", remedy="restore the key object from a backup") from error
        if not same:
            raise KeyDamaged("a wrapped key was changed", remedy="restore the key object from a backup")
        return key


class MasterKeys(Protocol):
    """Wraps and unwraps data keys. ``current`` names the version new keys are wrapped with."""

    @property
    def current(self) -> str: ...
    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey: ...
    def unwrap(self, key: WrappedKey) -> bytes: ...


class HeldMasterKeys:
    """Master keys we hold in memory: from a file, the environment or a command that prints them."""

    def __init__(self, document: KeyDocument) -> None:
        self._document = document

    @property
    def current(self) -> str:
        return self._document.current

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        nonce = secrets.token_bytes(12)
        closed = AESGCM(self._document.keys[self.current]).encrypt(nonce, data_key, _bound(key_id, self.current))
        return WrappedKey(key_id=key_id, version=self.current, wrapped=nonce + closed)

    def unwrap(self, key: WrappedKey) -> bytes:
        master = self._document.keys.get(key.version)
        if master is None:
            raise KeyUnavailable(
                f"master key version {key.version} is not among the keys given",
                field="vault.master_key",
                remedy="add that version back to the key document: old versions stay until every key is rewrapped",
            )
        try:
            return AESGCM(master).decrypt(key.wrapped[:12], key.wrapped[12:], _bound(key.key_id, key.version))
        except (InvalidTag, ValueError) as error:
            raise KeyDamaged(
                "a wrapped key does not open", remedy="restore the key object or the right master key"
            ) from error


class KmsMasterKeys:
    """A key service behind a command: ``ARGV current | wrap | unwrap``, JSON in and out, base64 keys.

    ``current`` prints ``{"version"}``; ``wrap`` reads ``{"key_id", "key"}`` and prints ``{"version", "wrapped"}``;
    ``unwrap`` reads ``{"key_id", "version", "wrapped"}`` and prints ``{"key"}``.
    """

    def __init__(self, argv: str) -> None:
        self._argv = argv

    @property
    def current(self) -> str:
        return self._ask("current", {})["version"]

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        said = self._ask("wrap", {"key_id": key_id, "key": base64.b64encode(data_key).decode()})
        return WrappedKey(key_id=key_id, version=said["version"], wrapped=base64.b64decode(said["wrapped"]))

    def unwrap(self, key: WrappedKey) -> bytes:
        said = self._ask("unwrap", json.loads(key.as_json()))
        return base64.b64decode(said["key"])

    def _ask(self, verb: str, request: dict[str, str]) -> dict[str, str]:
        answer = run_key_command(self._argv, verb, json.dumps(request), "vault.master_key")
        try:
            said = json.loads(answer)
        except ValueError as error:
            raise BadKeyDocument(
                "the key service does not speak JSON", remedy="see docs/operations.md, Keys"
            ) from error
        return {str(name): str(value) for name, value in said.items()}


def load_master_keys(source: str, *, create: bool = False) -> MasterKeys:
    """Behind ``vault.master_key``. A missing file is made only by ``recording.first_keys``, or by who says ``create``."""
    kind, _, place = source.partition(":")
    if kind == "kms":
        return KmsMasterKeys(place)
    return HeldMasterKeys(load_keys(source, create=create))


class DataKeys:
    """Wrapped data keys on a shelf, one small object each under ``keys/``."""

    def __init__(self, shelf: Shelf, masters: MasterKeys) -> None:
        self._shelf = shelf
        self._masters = masters

    @property
    def current(self) -> str:
        """The master version new keys are closed with."""
        return self._masters.current

    def make(self, key_id: str) -> bytes:
        """A data key for ``key_id``; the one that is there already, when a crashed run made it.

        Raises ``KeyDestroyed`` for a recording that was disposed of: its id never gets a second key.
        """
        try:
            return self.open(key_id)
        except ObjectMissing:
            data_key = os.urandom(DATA_KEY_BYTES)
            self._shelf.put(_place(key_id), self._masters.wrap(key_id, data_key).as_json())
            return data_key

    def open(self, key_id: str) -> bytes:
        """The data key in the clear. ``KeyDestroyed``, ``KeyDamaged``, ``KeyUnavailable`` or ``ObjectMissing``."""
        if self._shelf.exists(_grave(key_id)):
            raise KeyDestroyed("this recording was disposed of", remedy="see its disposal record")
        return self._masters.unwrap(read_wrapped(self._shelf, key_id))

    def rewrap_all(self) -> int:
        """Every key closed by an older master version is closed by the current one; no audio is touched."""
        current, moved = self._masters.current, 0
        for place in self._shelf.list("keys/"):
            wrapped = WrappedKey.from_json(self._shelf.get(place))
            if wrapped.version != current:
                self._shelf.put(place, self._masters.wrap(wrapped.key_id, self._masters.unwrap(wrapped)).as_json())
                moved += 1
        return moved

    def versions(self) -> Iterator[tuple[str, str]]:
        """``(key id, master version)`` of every key that is left."""
        for place in self._shelf.list("keys/"):
            wrapped = WrappedKey.from_json(self._shelf.get(place))
            yield wrapped.key_id, wrapped.version

    def destroy(self, key_id: str, disposal_record: bytes) -> None:
        """Crypto-shred: the disposal record first, then the key. A crash between the two leaves it closed."""
        self._shelf.put(_grave(key_id), disposal_record)
        self._shelf.delete(_place(key_id))


def read_wrapped(shelf: Shelf, key_id: str) -> WrappedKey:
    """As it lies there. ``ObjectMissing``, or ``KeyDamaged`` when it is no wrapped key or another recording's."""
    wrapped = WrappedKey.from_json(shelf.get(_place(key_id)))
    if wrapped.key_id != key_id:
        raise KeyDamaged("a wrapped key belongs to another recording", remedy="restore the key object")
    return wrapped


def _bound(key_id: str, version: str) -> bytes:
    return canonical_json({"purpose": "onrecord data key 1", "key_id": key_id, "version": version})


def _place(key_id: str) -> str:
    return f"keys/{key_id}.json"


def _grave(key_id: str) -> str:
    return f"disposals/{key_id}.json"
