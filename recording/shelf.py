"""Where sealed bytes lie: a local folder by default, an S3-compatible bucket by settings.

A shelf is told names such as ``audio/rec_….flac.vault``; it puts whole objects atomically, reads ranges, and
says the SHA-256 of what it *holds* by reading it back, so that a local copy goes only when the other is proven.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import obstore
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import S3Store

from config.errors import InvariantBroken, OnrecordError, Unhealthy

if TYPE_CHECKING:
    from config.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_PIECE = 1 << 20


class ObjectMissing(OnrecordError):
    """Nothing lies under this name."""

    error_id = "object-missing"


class ShelfUnhealthy(Unhealthy):
    """The shelf does not answer, is full, or holds other bytes than it was given."""

    error_id = "shelf-unhealthy"


class Shelf(Protocol):
    """All verbs raise ``ShelfUnhealthy``; those that read raise ``ObjectMissing``."""

    def put(self, name: str, data: bytes) -> None: ...
    def put_file(self, name: str, path: Path) -> None: ...
    def get(self, name: str) -> bytes: ...
    def get_range(self, name: str, start: int, length: int) -> bytes: ...
    def size(self, name: str) -> int: ...
    def exists(self, name: str) -> bool: ...
    def sha256(self, name: str) -> str: ...
    def list(self, prefix: str) -> Iterator[str]: ...
    def delete(self, name: str) -> None: ...


class FolderShelf:
    """A directory. ``put`` writes beside, flushes to the disk, renames: a reader sees all or nothing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        self._write(name, iter((data,)))

    def put_file(self, name: str, path: Path) -> None:
        with path.open("rb") as source:
            self._write(name, iter(lambda: source.read(_PIECE), b""))

    def get(self, name: str) -> bytes:
        with _folder_errors(name):
            return self._path(name).read_bytes()

    def get_range(self, name: str, start: int, length: int) -> bytes:
        with _folder_errors(name), self._path(name).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def size(self, name: str) -> int:
        with _folder_errors(name):
            return self._path(name).stat().st_size

    def exists(self, name: str) -> bool:
        return self._path(name).is_file()

    def sha256(self, name: str) -> str:
        with _folder_errors(name):
            return sha256_of_file(self._path(name))

    def list(self, prefix: str) -> Iterator[str]:
        for path in sorted((self._root / prefix).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self._root).as_posix()

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _folder_errors(name):
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _flush_directory(path.parent)

    def _write(self, name: str, pieces: Iterator[bytes]) -> None:
        path = self._path(name)
        with _folder_errors(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                with draft.open("wb") as file:
                    for piece in pieces:
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            _flush_directory(path.parent)

    def _path(self, name: str) -> Path:
        return self._root / _checked(name)


class S3Shelf:
    """A bucket of an S3-compatible server, by obstore. Objects appear whole or not at all: that is S3's own rule."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def put(self, name: str, data: bytes) -> None:
        with _s3_errors(name):
            obstore.put(self._store, _checked(name), data)

    def put_file(self, name: str, path: Path) -> None:
        with _s3_errors(name), path.open("rb") as file:
            obstore.put(self._store, _checked(name), file)

    def get(self, name: str) -> bytes:
        with _s3_errors(name):
            return bytes(obstore.get(self._store, _checked(name)).bytes())

    def get_range(self, name: str, start: int, length: int) -> bytes:
        length = min(length, self.size(name) - start)
        if length <= 0:
            return b""
        with _s3_errors(name):
            return bytes(obstore.get_range(self._store, _checked(name), start=start, length=length))

    def size(self, name: str) -> int:
        with _s3_errors(name):
            return obstore.head(self._store, _checked(name))["size"]

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except ObjectMissing:
            return False
        return True

    def sha256(self, name: str) -> str:
        digest = hashlib.sha256()
        with _s3_errors(name):
            for piece in obstore.get(self._store, _checked(name)).stream(min_chunk_size=_PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def list(self, prefix: str) -> Iterator[str]:
        with _s3_errors(prefix):
            names = [found["path"] for batch in obstore.list(self._store, prefix=prefix) for found in batch]
        yield from sorted(names)

    def delete(self, name: str) -> None:
        with _s3_errors(name):
            obstore.delete(self._store, _checked(name))


def open_shelf(settings: Settings) -> Shelf:
    """The shelf that settings name: a bucket when ``vault.bucket`` is given, else ``recording.shelf``."""
    vault = settings.vault
    if vault.bucket is None:
        return FolderShelf(settings.recording.shelf)
    plain_http = (vault.endpoint or "").startswith("http://")
    store = S3Store(
        vault.bucket,
        prefix=vault.prefix or None,
        config={
            "region": vault.region,
            **({"endpoint": vault.endpoint} if vault.endpoint else {}),
            **({"access_key_id": vault.access_key.get_secret_value()} if vault.access_key else {}),
            **({"secret_access_key": vault.secret_key.get_secret_value()} if vault.secret_key else {}),
        },
        client_options={"allow_http": plain_http, "timeout": "60s"},
    )
    return S3Shelf(store)


def put_verified(shelf: Shelf, name: str, path: Path) -> str:
    """Put a file, read it back, compare. Returns its SHA-256; raises ``ShelfUnhealthy`` when the bytes differ."""
    ours = sha256_of_file(path)
    shelf.put_file(name, path)
    if shelf.sha256(name) != ours:
        raise ShelfUnhealthy(
            "the shelf gave other bytes back than it was given", remedy="check its disk; the local copy was kept"
        )
    return ours


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvariantBroken("a name does not fit the shelf", remedy="use letters, digits, dots, dashes and slashes")
    return name


def _flush_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _folder_errors:  # noqa: N801  # reads as a verb where it is used
    """OSError → the shelf's own errors."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise ObjectMissing(f"nothing lies under {self._name}", remedy="restore it from a backup") from error
        if isinstance(error, OSError):
            raise ShelfUnhealthy(
                f"the shelf failed: {error.strerror}", remedy="check its disk: space, mount, permissions"
            ) from error


class _s3_errors(_folder_errors):  # noqa: N801  # reads as a verb where it is used
    """obstore's errors → the shelf's own."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise ObjectMissing(f"nothing lies under {self._name}", remedy="restore it from a backup") from error
        if isinstance(error, (ObstoreError, OSError)):
            raise ShelfUnhealthy(
                f"the object store failed: {type(error).__name__}",
                remedy="check vault.endpoint, its credentials and the network",
            ) from error
