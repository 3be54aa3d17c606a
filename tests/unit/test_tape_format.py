"""The tape file survives tearing, bit flips and zeros: what was written whole is read whole, the rest is reported."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import BadInput
from recording.tape_format import (
    HEADER_LENGTH,
    Damage,
    Direction,
    Kind,
    Record,
    TapeDamaged,
    TapeHeader,
    end_of_records,
    pack_header,
    pack_mark,
    pack_record,
    parse_header,
    read_records,
)

HEADER = TapeHeader(tape_id="tape_1", call_id="call_1", wall_ns=1_790_000_000_123_456_789, monotonic_ns=987_654_321)


def make(bodies: list[bytes]) -> bytes:
    records = [
        pack_record(Kind.FRAME, Direction.NEAR if at % 2 else Direction.FAR, at * 20_000_000, body)
        for at, body in enumerate(bodies)
    ]
    return pack_header(HEADER) + b"".join(records)


def bodies_of(data: bytes) -> list[bytes]:
    return [
        data[one.offset : one.offset + one.length] for one in read_records(memoryview(data)) if isinstance(one, Record)
    ]


def damages_of(data: bytes) -> list[Damage]:
    return [one for one in read_records(memoryview(data)) if isinstance(one, Damage)]


@given(st.lists(st.binary(max_size=400), max_size=20), st.integers(0, 5000))
def test_what_is_written_is_read(bodies: list[bytes], zeros: int) -> None:
    data = make(bodies) + bytes(zeros)
    assert bodies_of(data) == bodies
    assert damages_of(data) == []
    assert parse_header(data) == HEADER
    assert end_of_records(memoryview(data)) == len(data) - zeros


def test_torn_at_every_byte() -> None:
    bodies = [bytes([at + 1]) * (30 + at) for at in range(6)]
    data = make(bodies)
    ends = [HEADER_LENGTH]
    for body in bodies:
        ends.append(ends[-1] + 20 + len(body))
    for cut in range(HEADER_LENGTH, len(data)):
        whole = sum(end <= cut for end in ends) - 1
        for torn in (data[:cut], data[:cut] + bytes(5000)):
            assert bodies_of(torn) == bodies[:whole]
    for cut in range(HEADER_LENGTH):
        with pytest.raises(TapeDamaged):
            parse_header(data[:cut])
        assert bodies_of(data[:cut]) == []


@given(st.data())
def test_a_flipped_bit_costs_one_record_and_is_reported(data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 1000)))
    bodies = [rng.randbytes(172) for _ in range(8)]
    tape = bytearray(make(bodies) + bytes(4096))
    at = data.draw(st.integers(HEADER_LENGTH, HEADER_LENGTH + 8 * 192 - 1))
    tape[at] ^= 1 << data.draw(st.integers(0, 7))
    hit = (at - HEADER_LENGTH) // 192
    assert bodies_of(bytes(tape)) == bodies[:hit] + bodies[hit + 1 :]
    assert len(damages_of(bytes(tape))) == 1
    assert damages_of(bytes(tape))[0].start == HEADER_LENGTH + hit * 192


@given(st.binary(max_size=2000))
def test_rubbish_never_raises(rubbish: bytes) -> None:
    data = pack_header(HEADER) + rubbish
    list(read_records(memoryview(data)))
    end_of_records(memoryview(data))


@given(st.integers(0, 255), st.integers(0, 7))
def test_a_flipped_bit_in_the_header_is_found(at: int, bit: int) -> None:
    data = bytearray(pack_header(HEADER))
    data[at] ^= 1 << bit
    with pytest.raises(TapeDamaged):
        parse_header(bytes(data))


def test_ids_and_bodies_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput) as refused:
        pack_header(TapeHeader(tape_id="t", call_id="c" * 65, wall_ns=1, monotonic_ns=1))
    assert refused.value.field == "call_id"
    with pytest.raises(BadInput):
        pack_record(Kind.FRAME, Direction.FAR, 0, bytes(70_000))


def test_marks_are_json() -> None:
    data = pack_header(HEADER) + pack_mark("hold", 5, {"on": True})
    (record,) = read_records(memoryview(data))
    assert isinstance(record, Record)
    assert (record.kind, record.monotonic_ns) == (Kind.MARK, 5)
    assert data[record.offset :] == b'{"mark": "hold", "on": true}'
