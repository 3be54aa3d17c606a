"""The tape file: append-only, framed, checksummed, both directions of one call. ``docs/tape.md`` describes it for others.

    header   256 bytes: magic, version, wall and monotonic anchor (ns), tape id, call id, CRC-32
    record    20 bytes: CRC-32 of the rest | sync word | kind | direction | body length | arrival, ns monotonic
              then the body: a whole RTP packet as it came (kind FRAME) or JSON (kinds MARK and TRAILER)

Space ahead of the last record is preallocated and reads as zeros. A reader stops at zeros, skips what
fails its checksum by looking for the next good record, and reports the bytes it skipped.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from config.errors import BadInput, OnrecordError

MAGIC = b"ONRTAPE\x00"
VERSION = 1
HEADER_LENGTH = 256
RECORD_HEAD = 20
SYNC = 0xA7C3
MAX_BODY = 65535
_ID_LENGTH = 64

_HEADER = struct.Struct(f"<8sHHIQQ{_ID_LENGTH}s{_ID_LENGTH}s")
HEAD_AFTER_CRC = struct.Struct("<HBBIQ")
CRC = struct.Struct("<I")
PACKED_HEAD = struct.Struct("<QQ")  # the same 16 bytes as two numbers: see FRAME_HEADS
_HEAD = struct.Struct("<IHBBIQ")
_SYNC_BYTES = struct.pack("<H", SYNC)


class Kind(IntEnum):
    FRAME = 1
    MARK = 2
    TRAILER = 3


class Direction(IntEnum):
    NONE = 0
    NEAR = 1  # what the customer is made to hear: the agent, prompts, DTMF we send
    FAR = 2  # what came from the customer
    ASIDE = 3  # what desks say to each other and the customer does not hear: a whisper, a consultation


# Sync word, kind and direction of a frame's head as they lie in a little-endian number; the body's length goes above.
FRAME_HEADS = tuple(SYNC | Kind.FRAME << 16 | direction << 24 for direction in Direction)


class TapeDamaged(OnrecordError):
    """The file's header cannot be read; its records can still be searched for."""

    error_id = "tape-damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class TapeHeader:
    """``wall_ns`` (since 1970, UTC) and ``monotonic_ns`` are one instant on both clocks."""

    tape_id: str
    call_id: str
    wall_ns: int
    monotonic_ns: int


class Record(NamedTuple):
    """``offset`` and ``length`` locate the body in the file."""

    kind: int
    direction: int
    monotonic_ns: int
    offset: int
    length: int


class Damage(NamedTuple):
    """Bytes ``start`` to ``end`` hold no readable record."""

    start: int
    end: int


def pack_header(header: TapeHeader) -> bytes:
    """256 bytes. Raises BadInput if an id is longer than 64 bytes."""
    ids = []
    for field, value in (("tape_id", header.tape_id), ("call_id", header.call_id)):
        raw = value.encode()
        if not raw or len(raw) > _ID_LENGTH:
            raise BadInput(
                "an id does not fit the tape's header",
                field=field,
                shape=f"{len(raw)} bytes",
                remedy=f"use 1 to {_ID_LENGTH} bytes of UTF-8",
            )
        ids.append(raw)
    body = _HEADER.pack(MAGIC, VERSION, HEADER_LENGTH, 0, header.wall_ns, header.monotonic_ns, ids[0], ids[1])
    body = body.ljust(HEADER_LENGTH - 4, b"\x00")
    return body + CRC.pack(zlib.crc32(body))


def parse_header(data: bytes | memoryview) -> TapeHeader:
    """Raises TapeDamaged when the first 256 bytes are not a sound header of a known version."""
    raw = bytes(data[:HEADER_LENGTH])
    if len(raw) < HEADER_LENGTH:
        raise TapeDamaged("the tape ends inside its header", shape=f"{len(raw)} bytes", remedy=_SEAL_REMEDY)
    magic, version, length, _flags, wall, mono, tape_id, call_id = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise TapeDamaged("the file does not begin like a tape", remedy=_SEAL_REMEDY)
    if CRC.unpack_from(raw, HEADER_LENGTH - 4)[0] != zlib.crc32(raw[:-4]):
        raise TapeDamaged("the tape's header fails its checksum", remedy=_SEAL_REMEDY)
    if version != VERSION or length != HEADER_LENGTH:
        raise TapeDamaged("the tape's version is unknown", shape=f"version {version}", remedy="use a newer onrecord")
    return TapeHeader(
        tape_id=tape_id.rstrip(b"\x00").decode(),
        call_id=call_id.rstrip(b"\x00").decode(),
        wall_ns=wall,
        monotonic_ns=mono,
    )


_SEAL_REMEDY = "seal it all the same: the seal classifies it and keeps what can be read"


def pack_record(kind: Kind, direction: Direction, monotonic_ns: int, body: bytes) -> bytes:
    """One record. Raises BadInput if the body is longer than 65,535 bytes."""
    if len(body) > MAX_BODY:
        raise BadInput("a record is too long", field="body", shape=f"{len(body)} bytes", remedy="split it")
    rest = HEAD_AFTER_CRC.pack(SYNC, kind, direction, len(body), monotonic_ns) + body
    return CRC.pack(zlib.crc32(rest)) + rest


def pack_mark(name: str, monotonic_ns: int, facts: dict[str, Any], kind: Kind = Kind.MARK) -> bytes:
    """A JSON mark: ``{"mark": name, …facts}``."""
    return pack_record(kind, Direction.NONE, monotonic_ns, json.dumps({"mark": name, **facts}).encode())


def read_records(data: memoryview, start: int = HEADER_LENGTH) -> Iterator[Record | Damage]:
    """Every sound record from ``start`` on, and each damaged span, in file order; never raises on bad bytes."""
    size = len(data)
    at = start
    unpack, crc32 = _HEAD.unpack_from, zlib.crc32
    while at + RECORD_HEAD <= size:
        crc, sync, kind, direction, length, when = unpack(data, at)
        end = at + RECORD_HEAD + length
        if sync == SYNC and end <= size and crc32(data[at + 4 : end]) == crc:
            yield Record(kind, direction, when, at + RECORD_HEAD, length)
            at = end
            continue
        found = _next_record(data, at)
        if found is None:
            last = _last_used(data, at)
            if last > at:
                yield Damage(at, last)
            return
        yield Damage(at, found)
        at = found
    if at < size and (last := _last_used(data, at)) > at:
        yield Damage(at, last)


def end_of_records(data: memoryview) -> int:
    """Where the next record goes: after the last sound one."""
    end = HEADER_LENGTH
    for record in read_records(data):
        if isinstance(record, Record):
            end = record.offset + record.length
    return end


def _next_record(data: memoryview, at: int) -> int | None:
    """Offset of the next sound record after ``at``, by its sync word and checksum."""
    window, size = 1 << 20, len(data)
    seek = at + 5
    while seek < size:
        piece = bytes(data[seek : seek + window + 1])
        if not piece.strip(b"\x00"):
            seek += window
            continue
        inside = piece.find(_SYNC_BYTES)
        while inside >= 0:
            start = seek + inside - 4
            if start > at and start + RECORD_HEAD <= size and _is_sound(data, start, size):
                return start
            inside = piece.find(_SYNC_BYTES, inside + 1)
        seek += window
    return None


def _is_sound(data: memoryview, at: int, size: int) -> bool:
    crc, _sync, _kind, _direction, length, _when = _HEAD.unpack_from(data, at)
    end = at + RECORD_HEAD + int(length)
    return end <= size and zlib.crc32(data[at + 4 : end]) == int(crc)


def _last_used(data: memoryview, at: int) -> int:
    """End of the last non-zero byte from ``at`` on, or ``at`` when only zeros follow."""
    window = 1 << 20
    end = len(data)
    while end > at:
        begin = max(at, end - window)
        piece = bytes(data[begin:end]).rstrip(b"\x00")
        if piece:
            return begin + len(piece)
        end = begin
    return at
