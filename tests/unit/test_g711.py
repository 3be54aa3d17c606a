"""G.711 against the ITU's own figures."""

from __future__ import annotations

import numpy as np
import pytest

from recording.codec import decode, encode
from recording.g711 import A_TO_LINEAR, A_TO_MU, MU_TO_A, MU_TO_LINEAR, Law, compress_a, compress_mu


def test_known_values_of_the_tables() -> None:
    # ITU-T G.711 tables 1a/2a: the largest, smallest and zero values, scaled to 16 bits.
    assert (MU_TO_LINEAR[0x80], MU_TO_LINEAR[0x00], MU_TO_LINEAR[0xFF]) == (32124, -32124, 0)
    assert (A_TO_LINEAR[0xAA], A_TO_LINEAR[0x2A], A_TO_LINEAR[0xD5], A_TO_LINEAR[0x55]) == (32256, -32256, 8, -8)
    assert (MU_TO_LINEAR[0xFE], MU_TO_LINEAR[0xEF]) == (8, 132)
    assert sorted(A_TO_LINEAR) == sorted({*A_TO_LINEAR})


@pytest.mark.parametrize(("table", "compress"), [(A_TO_LINEAR, compress_a), (MU_TO_LINEAR, compress_mu)])
def test_every_code_comes_back(table: tuple[int, ...], compress: object) -> None:
    for code, sample in enumerate(table):
        again = compress(sample)  # type: ignore[operator]  # one of the two functions above
        assert table[again] == sample
        assert again == code or sample == 0  # mu-law has two zeros


@pytest.mark.parametrize(
    ("law", "decision", "below", "above"),
    # Decision values and the codes' values on both sides, from tables 1a and 2a, scaled to 16 bits.
    [("PCMU", 16252, 15996, 16764), ("PCMU", 8060, 7932, 8316), ("PCMA", 16384, 16128, 16896), ("PCMA", 512, 504, 528)],
)
def test_decision_values(law: Law, decision: int, below: int, above: int) -> None:
    samples = np.array([decision - 1, decision], dtype=np.int16)
    assert decode(encode(samples, law), law).tolist() == [below, above]


@pytest.mark.parametrize("law", ["PCMA", "PCMU"])
def test_encoding_keeps_order_and_sign(law: Law) -> None:
    every = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
    again = decode(encode(every, law), law).astype(np.int32)
    assert (np.diff(again) >= 0).all()
    assert (np.abs(again - every) <= np.maximum(8, np.abs(every.astype(np.int32)) // 16)).all()


def test_transcoding_is_decoding_and_encoding() -> None:
    codes = bytes(range(256))
    assert codes.translate(MU_TO_A) == encode(decode(codes, "PCMU"), "PCMA")
    assert codes.translate(A_TO_MU) == encode(decode(codes, "PCMA"), "PCMU")
