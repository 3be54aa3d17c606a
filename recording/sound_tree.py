"""A commitment to every 50 ms of a recording, so that a masked copy can be proven without its master.

The manifest carries the root of a hash tree over the master's samples, in blocks of ``BLOCK_SAMPLES`` of both
channels. Each leaf is salted, and the salts form a tree of their own that grows from one secret seed: so a pack
reveals the salts of everything that may be heard in a few seeds, and of what is masked only hashes, which tell
nothing of it, not even to somebody who guesses. (Johnson, Molnar, Song, Wagner: Homomorphic Signature Schemes, 2002;
the salts as Goldreich, Goldwasser, Micali: How to Construct Random Functions, 1986.)

    seed of a child   SHA-256(0x00 for left, 0x01 for right ‖ seed of its parent)
    leaf              SHA-256(0x02 ‖ its seed ‖ its samples, 16 bits little-endian, agent and customer in turn)
    node              SHA-256(0x03 ‖ left ‖ right); a side without a block is the empty string

``recording.offline_verifier`` checks it with the standard library alone.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from config.errors import InvariantBroken

BLOCK_SAMPLES = 400  # 50 ms at 8 kHz
SECRET = b"onrecord sound tree 1"

Samples = npt.NDArray[np.int16]


def tree_seed(data_key: bytes) -> bytes:
    """The secret the salts grow from: who holds the recording's data key has it, and it goes with the key."""
    return hmac.digest(data_key, SECRET, "sha256")


class SoundTree:
    """Fed ``int16[frames, 2]`` blocks of a master in order; ``root`` and ``reveal`` when all are in."""

    def __init__(self, samples: int, seed: bytes) -> None:
        """``samples`` of one channel are to come."""
        self.blocks = max(1, -(-samples // BLOCK_SAMPLES))
        self._depth = (self.blocks - 1).bit_length()
        self._seed, self._expected, self._fed = seed, samples, 0
        self._salts = _leaf_seeds(seed, self._depth, self.blocks)
        self._leaves: list[bytes] = []
        self._whole: list[list[bytes]] | None = None
        self._left_over: Samples = np.empty((0, 2), np.int16)

    def add(self, block: Samples) -> None:
        self._fed += len(block)
        joined = np.concatenate([self._left_over, block]) if len(self._left_over) else block
        whole = len(joined) - len(joined) % BLOCK_SAMPLES
        self._hash(joined[:whole])
        self._left_over = joined[whole:].copy()

    def root(self) -> str:
        """Hexadecimal. Raises ``InvariantBroken`` when another number of samples came than was announced."""
        return self._levels()[0][0].hex()

    def reveal(self, hidden: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """What proves every block outside ``hidden`` (spans of block numbers, end excluded) and tells nothing inside.

        A list of ``{"level", "index", "seed"}`` and ``{"level", "index", "hash"}``, the root being level 0, from left
        to right; their spans are disjoint and together the whole.
        """
        return list(self._reveal(0, 0, self._seed, sorted(hidden)))

    def _reveal(self, level: int, index: int, seed: bytes, hidden: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        width = 1 << (self._depth - level)
        first, last = index * width, min((index + 1) * width, self.blocks)
        if first >= last:
            return
        inside = [(max(first, start), min(last, end)) for start, end in hidden if start < last and end > first]
        if not inside:
            yield {"level": level, "index": index, "seed": seed.hex()}
        elif _covers(inside, first, last):
            yield {"level": level, "index": index, "hash": self._levels()[level][index].hex()}
        else:
            for side in (0, 1):
                yield from self._reveal(level + 1, 2 * index + side, _child(seed, side), inside)

    def _hash(self, block: Samples) -> None:
        data, stride, sha256 = memoryview(block.astype("<i2").tobytes()), BLOCK_SAMPLES * 4, hashlib.sha256
        salts = self._salts[len(self._leaves) :]
        for number in range(-(-len(data) // stride)):
            leaf = sha256(b"\x02" + salts[number])
            leaf.update(data[number * stride : (number + 1) * stride])
            self._leaves.append(leaf.digest())

    def _levels(self) -> list[list[bytes]]:
        """Hashes by level, the root's first."""
        if self._whole is not None:
            return self._whole
        if self._fed != self._expected:
            raise InvariantBroken(
                "a hash tree was fed another length than announced", remedy="seal the tape again: it was kept"
            )
        if len(self._leaves) < self.blocks:  # the last, shorter block
            data = self._left_over.astype("<i2").tobytes()
            self._leaves.append(hashlib.sha256(b"\x02" + self._salts[len(self._leaves)] + data).digest())
            self._left_over = self._left_over[:0]
        levels = [self._leaves]
        while len(levels) <= self._depth:
            below = levels[-1] if len(levels[-1]) % 2 == 0 else [*levels[-1], b""]
            levels.append(
                [
                    hashlib.sha256(b"\x03" + left + right).digest()
                    for left, right in zip(below[::2], below[1::2], strict=True)
                ]
            )
        self._whole = levels[::-1]
        return self._whole


def hidden_blocks(masks_ms: Sequence[tuple[int, int | None]], samples: int, rate: int) -> list[tuple[int, int]]:
    """Spans of blocks that masked stretches touch, joined where they meet; ``None`` as an end: to the end."""
    found: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(masks_ms, key=lambda span: span[0]):
        start = start_ms * rate // 1000
        end = samples if end_ms is None else min(samples, -(-end_ms * rate // 1000))
        if start >= end:
            continue
        first, last = start // BLOCK_SAMPLES, -(-end // BLOCK_SAMPLES)
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _covers(spans: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    at = first
    for start, end in spans:
        if start > at:
            return False
        at = max(at, end)
    return at >= last


def _child(seed: bytes, side: int) -> bytes:
    return hashlib.sha256(bytes((side,)) + seed).digest()


def _leaf_seeds(seed: bytes, depth: int, count: int) -> list[bytes]:
    seeds = [seed]
    for level in range(1, depth + 1):
        wanted = -(-count // (1 << (depth - level)))
        seeds = [_child(parent, side) for parent in seeds for side in (0, 1)][:wanted]
    return seeds
