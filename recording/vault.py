"""The vault: a file format for sound at rest that can be read in ranges and not be tampered with unseen.

    magic (8) | header length (4, big-endian) | header (canonical JSON) | chunk 0 | chunk 1 | …

Each chunk is AES-256-GCM over ``chunk_bytes`` of plain bytes (the last one shorter) plus a 16-byte tag. The file's
own key is HKDF-SHA256 of the recording's data key with a random salt, so no nonce is ever used twice, however often
a crashed seal is run again. The nonce is the chunk's index and whether it is the last one; the header's hash is
authenticated with every chunk. So a changed bit, a chunk that moved, one from another file, a file cut short or
lengthened: each is found (compare the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.canonical import canonical_json
from config.errors import BadInput, Refused

MAGIC = b"ORVAULT1"
TAG_BYTES = 16
HEADER_ROOM = 1024  # a header is far smaller; one read fetches it

ReadRange = Callable[[int, int], bytes]
"""``(start, length)`` → that slice of the encrypted file, shorter at its end."""


class VaultDamaged(Refused):
    """An encrypted file was changed, cut, lengthened, or does not belong to this key."""

    error_id = "vault-damaged"


@dataclass(frozen=True, kw_only=True)
class VaultHeader:
    """What a vault file says of itself, in the clear and authenticated."""

    file_id: str
    key_id: str
    chunk_bytes: int
    plain_bytes: int
    salt: bytes

    def as_bytes(self) -> bytes:
        body = canonical_json(
            {
                "file_id": self.file_id,
                "key_id": self.key_id,
                "chunk_bytes": self.chunk_bytes,
                "plain_bytes": self.plain_bytes,
                "salt": self.salt.hex(),
            }
        )
        return MAGIC + len(body).to_bytes(4, "big") + body

    @property
    def chunks(self) -> int:
        """At least one: an empty file is one empty, authenticated chunk."""
        return max(1, -(-self.plain_bytes // self.chunk_bytes))

    def plain_length(self, index: int) -> int:
        return min(self.chunk_bytes, self.plain_bytes - index * self.chunk_bytes)

    def file_bytes(self) -> int:
        """The exact size of the whole encrypted file."""
        return len(self.as_bytes()) + self.plain_bytes + self.chunks * TAG_BYTES


def encrypt_file(source: Path, target: Path, *, file_id: str, key_id: str, data_key: bytes, chunk_bytes: int) -> None:
    """Write ``target``, flushed to the disk. Memory: one chunk."""
    header = VaultHeader(
        file_id=file_id,
        key_id=key_id,
        chunk_bytes=chunk_bytes,
        plain_bytes=source.stat().st_size,
        salt=os.urandom(16),
    )
    with source.open("rb") as plain, target.open("wb") as closed:
        for piece in encrypt_pieces(plain, header, data_key):
            closed.write(piece)
        closed.flush()
        os.fsync(closed.fileno())


def encrypt_pieces(plain: BinaryIO, header: VaultHeader, data_key: bytes) -> Iterator[bytes]:
    """The encrypted file, header first. Raises ``BadInput`` when ``plain`` is not as long as the header says."""
    head = header.as_bytes()
    cipher, bound = _cipher(header, data_key), hashlib.sha256(head).digest()
    yield head
    for index in range(header.chunks):
        piece = plain.read(header.plain_length(index))
        if len(piece) != header.plain_length(index):
            raise BadInput("a file changed while it was encrypted", remedy="run the seal again")
        yield cipher.encrypt(_nonce(index, header), piece, bound)


class VaultReader:
    """Opens a vault file over ranged reads. ``read`` fetches and decrypts only the chunks asked for.

    The last few chunks stay decrypted, so that a player's neighbouring requests cost nothing.
    """

    def __init__(self, read_range: ReadRange, open_key: Callable[[str], bytes], *, kept_chunks: int = 8) -> None:
        """``open_key`` turns the header's key id into its data key (``DataKeys.open``)."""
        self._read_range = read_range
        self.header, self._start = _parse_header(read_range(0, HEADER_ROOM))
        self._cipher = _cipher(self.header, open_key(self.header.key_id))
        self._bound = hashlib.sha256(self.header.as_bytes()).digest()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_chunks = kept_chunks

    @property
    def size(self) -> int:
        """Bytes of the plain file. Authenticated with the first chunk that is read."""
        return self.header.plain_bytes

    def read(self, offset: int, length: int) -> bytes:
        """As a slice: ``plain[offset:offset+length]``. Raises ``VaultDamaged``."""
        if offset < 0 or length < 0:
            raise BadInput("a range is below zero", field="range", remedy="ask for bytes that can be there")
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first, last = offset // self.header.chunk_bytes, (end - 1) // self.header.chunk_bytes
        plain = b"".join(self._chunks(first, last))
        skip = offset - first * self.header.chunk_bytes
        return plain[skip : skip + end - offset]

    def pieces(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same as ``read`` in pieces of at most a chunk: streams a long file in little memory."""
        end = self.size if length is None else min(offset + length, self.size)
        while offset < end:
            step = min(end, (offset // self.header.chunk_bytes + 1) * self.header.chunk_bytes) - offset
            yield self.read(offset, step)
            offset += step

    def check(self, file_bytes: int) -> str:
        """Decrypt everything. Returns the plain SHA-256; ``VaultDamaged`` for any change, cut or addition."""
        if file_bytes != self.header.file_bytes():
            raise _damaged("its length is not what its header says")
        digest = hashlib.sha256()
        for index in range(self.header.chunks):
            digest.update(self._chunk(index, self._fetch(index, index)))
        return digest.hexdigest()

    def _chunks(self, first: int, last: int) -> Iterator[bytes]:
        missing = [index for index in range(first, last + 1) if index not in self._kept]
        fetched = self._fetch(missing[0], missing[-1]) if missing else b""
        stride = self.header.chunk_bytes + TAG_BYTES
        for index in range(first, last + 1):
            plain = self._kept.get(index)
            if plain is None:
                at = (index - missing[0]) * stride
                plain = self._chunk(index, fetched[at : at + self.header.plain_length(index) + TAG_BYTES])
                self._keep(index, plain)
            yield plain

    def _fetch(self, first: int, last: int) -> bytes:
        stride = self.header.chunk_bytes + TAG_BYTES
        length = (last - first) * stride + self.header.plain_length(last) + TAG_BYTES
        return self._read_range(self._start + first * stride, length)

    def _chunk(self, index: int, closed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(index, self.header), closed, self._bound)
        except (InvalidTag, ValueError) as error:
            raise _damaged(f"chunk {index} of {self.header.chunks} does not open") from error

    def _keep(self, index: int, plain: bytes) -> None:
        self._kept[index] = plain
        while len(self._kept) > self._kept_chunks:
            self._kept.popitem(last=False)


def _parse_header(start: bytes) -> tuple[VaultHeader, int]:
    if start[:8] != MAGIC:
        raise _damaged("it does not begin as a vault file")
    end = 12 + int.from_bytes(start[8:12], "big")
    try:
        raw = json.loads(start[12:end])
        header = VaultHeader(
            file_id=raw["file_id"],
            key_id=raw["key_id"],
            chunk_bytes=int(raw["chunk_bytes"]),
            plain_bytes=int(raw["plain_bytes"]),
            salt=bytes.fromhex(raw["salt"]),
        )
        same = header.as_bytes() == start[:end] and header.chunk_bytes > 0 and header.plain_bytes >= 0
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged("its header cannot be read") from error
    if not same:
        raise _damaged("its header was changed")
    return header, end


def _cipher(header: VaultHeader, data_key: bytes) -> AESGCM:
    info = b"onrecord vault 1 " + header.file_id.encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=header.salt, info=info).derive(data_key))


def _nonce(index: int, header: VaultHeader) -> bytes:
    return index.to_bytes(11, "big") + (b"\x01" if index == header.chunks - 1 else b"\x00")


def _damaged(problem: str) -> VaultDamaged:
    return VaultDamaged(
        f"an encrypted recording was changed: {problem}", remedy="restore it from a backup; run onrecord verify"
    )
