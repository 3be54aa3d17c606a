"""A tape read into arrays, one row a frame: what the seal works on. Never raises on a damaged tape."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recording.g711 import LAW_OF_TYPE
from recording.tape_format import Damage, Direction, Kind, TapeDamaged, TapeHeader, parse_header, read_records

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """One direction, in arrival order. ``offset`` and ``length`` locate the payload in the tape's bytes."""

    arrival: Ints  # ns, monotonic
    payload_type: Ints
    marker: Ints
    seq: Ints
    timestamp: Ints
    ssrc: Ints
    offset: Ints
    length: Ints


@dataclass(frozen=True, kw_only=True)
class TapeContents:
    """``header`` is None when it could not be read. ``types``: payload type → codec name, by the tape's maps."""

    data: NDArray[np.uint8]
    header: TapeHeader | None
    near: Frames
    far: Frames
    aside: Frames
    marks: tuple[tuple[int, dict[str, Any]], ...]
    types: dict[int, str]
    closed: bool
    damage: tuple[tuple[int, int], ...]
    unparsed: int  # frames that are no RTP; the relay tapes none


def read_tape(path: Path) -> TapeContents:
    """Read the whole file. Raises OSError when it cannot be opened."""
    raw = path.read_bytes()
    data = memoryview(raw)
    damage: list[tuple[int, int]] = []
    try:
        header: TapeHeader | None = parse_header(data)
    except TapeDamaged:
        header = None
        if raw.strip(b"\x00"):
            damage.append((0, min(len(raw), 256)))
    near: list[tuple[int, int, int]] = []
    far: list[tuple[int, int, int]] = []
    aside: list[tuple[int, int, int]] = []
    rows_of: dict[int, list[tuple[int, int, int]]] = {Direction.NEAR: near, Direction.ASIDE: aside}
    marks: list[tuple[int, dict[str, Any]]] = []
    closed = False
    for record in read_records(data):
        if isinstance(record, Damage):
            damage.append((record.start, record.end))
            continue
        kind, direction, when, offset, length = record
        if kind == Kind.FRAME:
            rows_of.get(direction, far).append((when, offset, length))
        else:
            closed = closed or kind == Kind.TRAILER
            marks.append((when, json.loads(raw[offset : offset + length])))
    array = np.frombuffer(raw, dtype=np.uint8)
    near_frames, near_bad = _frames(array, near)
    far_frames, far_bad = _frames(array, far)
    aside_frames, aside_bad = _frames(array, aside)
    return TapeContents(
        data=array,
        header=header,
        near=near_frames,
        far=far_frames,
        aside=aside_frames,
        marks=tuple(marks),
        types=_types(marks),
        closed=closed,
        damage=tuple(damage),
        unparsed=near_bad + far_bad + aside_bad,
    )


def _frames(data: NDArray[np.uint8], rows: list[tuple[int, int, int]]) -> tuple[Frames, int]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    table = table[table[:, 2] >= 12]
    arrival, at, length = table[:, 0], table[:, 1], table[:, 2]
    heads = data[at[:, None] + np.arange(12)].astype(np.int64)
    first, second = heads[:, 0], heads[:, 1]
    start = np.full(len(table), 12, dtype=np.int64)
    size = length - 12
    for row in np.flatnonzero(first != 0x80):  # CSRC, extension, padding: seldom
        start[row], size[row] = _span(data, int(at[row]), int(length[row]))
    good = size >= 0
    frames = Frames(
        arrival=arrival[good],
        payload_type=(second & 0x7F)[good],
        marker=(second >> 7)[good],
        seq=(heads[:, 2] << 8 | heads[:, 3])[good],
        timestamp=(heads[:, 4] << 24 | heads[:, 5] << 16 | heads[:, 6] << 8 | heads[:, 7])[good],
        ssrc=(heads[:, 8] << 24 | heads[:, 9] << 16 | heads[:, 10] << 8 | heads[:, 11])[good],
        offset=(at + start)[good],
        length=size[good],
    )
    return frames, len(rows) - int(good.sum())


def _span(data: NDArray[np.uint8], at: int, length: int) -> tuple[int, int]:
    """Start and size of a payload behind CSRCs and an extension, before padding; size -1 when the lengths lie."""
    packet = data[at : at + length].tobytes()
    if packet[0] & 0xC0 != 0x80:
        return 0, -1
    head = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if length < head + 4:
            return 0, -1
        head += 4 + 4 * int.from_bytes(packet[head + 2 : head + 4], "big")
    padding = packet[-1] if packet[0] & 0x20 else 0
    size = length - head - padding
    return (head, size) if size >= 0 else (0, -1)


def _types(marks: list[tuple[int, dict[str, Any]]]) -> dict[int, str]:
    types: dict[int, str] = {13: "comfort-noise"}
    for _when, mark in marks:
        if mark.get("mark") == "map":
            types.update({int(number): str(codec) for number, codec in mark["types"].items()})
    return {**types, **LAW_OF_TYPE}
