"""G.711 over numpy arrays. Comfort noise (RFC 3389) and telephone events (RFC 4733) are never decoded as audio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recording.g711 import A_TO_LINEAR, MU_TO_LINEAR, Law, compress_a, compress_mu

Samples = NDArray[np.int16]

COMFORT_NOISE_TYPE = 13

_DECODE: dict[Law, Samples] = {
    "PCMA": np.array(A_TO_LINEAR, dtype=np.int16),
    "PCMU": np.array(MU_TO_LINEAR, dtype=np.int16),
}


def _encode_table(law: Law) -> NDArray[np.uint8]:
    compress = compress_a if law == "PCMA" else compress_mu
    codes = [compress(value - 65536 if value >= 32768 else value) for value in range(65536)]
    return np.array(codes, dtype=np.uint8)


_ENCODE: dict[Law, NDArray[np.uint8]] = {}


def decode(payload: bytes | NDArray[np.uint8], law: Law) -> Samples:
    """16-bit samples at 8 kHz of an 8-bit payload; any shape of array keeps its shape."""
    codes = np.frombuffer(payload, dtype=np.uint8) if isinstance(payload, bytes) else payload
    return _DECODE[law][codes]


def encode(samples: Samples, law: Law) -> bytes:
    """The payload of 16-bit samples at 8 kHz."""
    table = _ENCODE.get(law)
    if table is None:
        table = _ENCODE[law] = _encode_table(law)
    return table[samples.view(np.uint16)].tobytes()
