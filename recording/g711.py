"""G.711 as tables of plain integers: what the relay needs without numpy. Source: ITU-T G.711, tables 1a to 2b.

Linear values are 16-bit: mu-law's 14 bits times 4, A-law's 13 bits times 8.
"""

from __future__ import annotations

from typing import Literal

Law = Literal["PCMA", "PCMU"]

_BIAS = 0x84
_CLIP = 32635


def _expand_mu(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS) << ((code & 0x70) >> 4)
    return _BIAS - magnitude if code & 0x80 else magnitude - _BIAS


def _expand_a(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = (code & 0x70) >> 4, code & 0x0F
    magnitude = (mantissa << 4) + 8
    if exponent:
        magnitude = (magnitude + 0x100) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


def compress_mu(sample: int) -> int:
    """The mu-law code of a 16-bit sample (G.711 table 2)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(-sample if sample < 0 else sample, _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF


def compress_a(sample: int) -> int:
    """The A-law code of a 16-bit sample (G.711 table 1)."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(sample if sample >= 0 else -sample - 1, 32767)
    exponent = max(magnitude.bit_length() - 8, 0)
    mantissa = magnitude >> 4 if exponent == 0 else magnitude >> (exponent + 3)
    return (sign | exponent << 4 | mantissa & 0x0F) ^ 0x55


MU_TO_LINEAR: tuple[int, ...] = tuple(_expand_mu(code) for code in range(256))
A_TO_LINEAR: tuple[int, ...] = tuple(_expand_a(code) for code in range(256))
MU_TO_A: bytes = bytes(compress_a(sample) for sample in MU_TO_LINEAR)
A_TO_MU: bytes = bytes(compress_mu(sample) for sample in A_TO_LINEAR)

SILENCE: dict[Law, int] = {"PCMA": compress_a(0), "PCMU": compress_mu(0)}
PAYLOAD_TYPE: dict[Law, int] = {"PCMU": 0, "PCMA": 8}
LAW_OF_TYPE: dict[int, Law] = {0: "PCMU", 8: "PCMA"}
TRANSCODE: dict[tuple[Law, Law], bytes] = {("PCMU", "PCMA"): MU_TO_A, ("PCMA", "PCMU"): A_TO_MU}
