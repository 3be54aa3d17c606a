"""The audit log's chain: pure figures. ``audit_file`` keeps it in a file, ``audit`` in the database.

An entry's hash covers its canonical form, which names the hash before it. So an edit, a deletion or a reordering
breaks the chain. A *truncation* leaves a shorter chain that still holds: it is found by heads, ``(seq, hash)`` pairs
signed at each append and anchored outside this machine from time to time.

    <hash> <canonical JSON {"action","actor","at","detail","prev","seq","subject"}>\\n
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from config.canonical import canonical_json
from config.errors import InvariantBroken, Unhealthy

GENESIS = "0" * 64
CHECKPOINT = 1000  # a signed head is kept for good each time the log passes so many entries


class AuditLogBroken(Unhealthy):
    """The log's end cannot be read, or does not reach its own signed head: nothing is appended to a broken chain."""

    error_id = "audit-log-broken"


class Signer(Protocol):
    """What signs a head; ``recording.signing.SigningKey`` does."""

    @property
    def key_id(self) -> str: ...
    def sign(self, message: bytes) -> bytes: ...


class SignatureCheck(Protocol):
    """What checks a head; ``recording.signing.Verifier`` does."""

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFact:
    """Something that must never be forgotten. ``detail`` holds ids and figures, never personal data."""

    at: datetime
    actor: str  # user id, or "system"
    action: str  # noun.verb, such as recording.disposed
    subject: str  # the id it was done to
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """A fact in its place. ``body`` is the canonical form that ``hash`` covers."""

    seq: int
    hash: str
    body: bytes

    @property
    def fact(self) -> AuditFact:
        raw = json.loads(self.body)
        return AuditFact(
            at=datetime.fromisoformat(raw["at"]),
            actor=raw["actor"],
            action=raw["action"],
            subject=raw["subject"],
            detail=raw["detail"],
        )

    def line(self) -> bytes:
        return self.hash.encode() + b" " + self.body + b"\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditHead:
    """``seq`` entries were there and the last one's hash was ``hash``: signed, so nobody can take it back."""

    chain: str
    seq: int
    hash: str
    at: str
    key_id: str
    signature: bytes

    def message(self) -> bytes:
        return head_message(self.chain, self.seq, self.hash, self.at)

    def line(self) -> bytes:
        return (
            canonical_json(
                {
                    "chain": self.chain,
                    "seq": self.seq,
                    "hash": self.hash,
                    "at": self.at,
                    "key_id": self.key_id,
                    "signature": base64.b64encode(self.signature).decode(),
                }
            )
            + b"\n"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainFault:
    """Something that does not hold: ``kind`` is edited, missing, reordered, truncated or forged."""

    kind: str
    seq: int
    detail: str


def chain_entry(fact: AuditFact, seq: int, prev: str) -> AuditEntry:
    """Put a fact in its place. ``at`` must be aware; raises ``InvariantBroken``."""
    if fact.at.tzinfo is None:
        raise InvariantBroken("an audit fact has a naive time", remedy="take it from the clock")
    body = canonical_json(
        {
            "seq": seq,
            "at": fact.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": fact.actor,
            "action": fact.action,
            "subject": fact.subject,
            "detail": dict(fact.detail),
        }
    )
    return AuditEntry(seq=seq, hash=link(prev, hashlib.sha256(body).hexdigest()), body=body)


def link(prev: str, body_sha256: str) -> str:
    """An entry's hash from the one before it and its body's."""
    return hashlib.sha256((prev + body_sha256).encode()).hexdigest()


def head_message(chain: str, seq: int, entry_hash: str, at: str) -> bytes:
    """What a head's signature covers."""
    return canonical_json({"chain": chain, "seq": seq, "hash": entry_hash, "at": at})


def sign_head(chain: str, seq: int, entry_hash: str, at: datetime, signer: Signer) -> AuditHead:
    said = at.astimezone(UTC).isoformat(timespec="microseconds")
    signature = signer.sign(head_message(chain, seq, entry_hash, said))
    return AuditHead(chain=chain, seq=seq, hash=entry_hash, at=said, key_id=signer.key_id, signature=signature)


def read_head(line: bytes) -> AuditHead | None:
    """A head from its line; None when it is none, or not exactly what ``AuditHead.line`` writes."""
    try:
        raw = json.loads(line)
        head = AuditHead(
            chain=raw["chain"],
            seq=raw["seq"],
            hash=raw["hash"],
            at=raw["at"],
            key_id=raw["key_id"],
            signature=base64.b64decode(raw["signature"], validate=True),
        )
        return head if head.line().rstrip(b"\n") == line.rstrip(b"\n") else None
    except (ValueError, KeyError, TypeError):
        return None


class ChainCheck:
    """Verifies ``(seq, hash, body)`` rows in stored order against themselves and against signed heads.

    Fed in pieces, in one pass; memory is constant beside the heads.
    """

    def __init__(self, heads: Sequence[AuditHead], check: SignatureCheck, chain: str) -> None:
        self._faults, self._wanted = _check_heads(heads, check, chain)
        self._count, self._prev, self._expected, self._seen = 0, GENESIS, 1, 0

    def feed(self, rows: Iterable[tuple[int, str, bytes]]) -> None:
        fault, wanted = self._fault, self._wanted
        count, prev, expected, seen = self._count, self._prev, self._expected, self._seen
        sha256, loads = hashlib.sha256, json.loads
        for seq, said, body in rows:
            count += 1
            if seq != expected:
                fault("missing" if seq > expected else "reordered", seq, f"number {expected} was due here")
            elif sha256((prev + sha256(body).hexdigest()).encode()).hexdigest() != said:
                fault("edited", seq, "its hash does not fit its contents")
            if _seq_of(body, loads) != seq:
                fault("edited", seq, "it does not call itself by its number")
            if (head := wanted.get(seq)) is not None and head != said:
                fault("edited", seq, "a signed head says another hash")
            prev, expected, seen = said, seq + 1, max(seen, seq)
        self._count, self._prev, self._expected, self._seen = count, prev, expected, seen

    def result(self) -> tuple[int, list[ChainFault]]:
        """How many rows there were and what does not hold."""
        last = max(self._wanted, default=0)
        if self._seen < last:
            self._fault("truncated", self._seen, f"a signed head says there were {last} entries, {self._seen} are left")
        return self._count, self._faults

    def _fault(self, kind: str, seq: int, detail: str) -> None:
        self._faults.append(ChainFault(kind=kind, seq=seq, detail=detail))


def check_chain(
    rows: Iterable[tuple[int, str, bytes]], heads: Sequence[AuditHead], check: SignatureCheck, chain: str
) -> tuple[int, list[ChainFault]]:
    """All rows at once."""
    checking = ChainCheck(heads, check, chain)
    checking.feed(rows)
    return checking.result()


def _seq_of(body: bytes, loads: Callable[[bytes], Any]) -> int | None:
    try:
        return int(loads(body)["seq"])
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditProof:
    """That one entry is in the log, for a stranger: the entry, the hashes around it, and a signed head."""

    body: bytes
    prev: str
    following: tuple[str, ...]  # SHA-256 of each later body, up to the head
    head: AuditHead

    def as_document(self) -> dict[str, Any]:
        return {
            "entry": self.body.decode(),
            "prev": self.prev,
            "following": list(self.following),
            "head": json.loads(self.head.line()),
        }

    def holds(self, check: SignatureCheck) -> bool:
        found = link(self.prev, hashlib.sha256(self.body).hexdigest())
        for body_sha256 in self.following:
            found = link(found, body_sha256)
        seq = _seq_of(self.body, json.loads)
        return (
            seq is not None
            and seq + len(self.following) == self.head.seq
            and found == self.head.hash
            and check.verify(self.head.key_id, self.head.message(), self.head.signature)
        )


def prove(rows: Iterable[tuple[int, str, bytes]], seq: int, heads: Sequence[AuditHead]) -> AuditProof:
    """A proof of entry ``seq`` from rows that begin at or before ``seq - 1``, up to the nearest head after it."""
    head = min((head for head in heads if head.seq >= seq), key=lambda head: head.seq, default=None)
    prev, body, following = GENESIS, None, []
    for at, said, found in rows if head is not None else ():
        if at == seq - 1:
            prev = said
        elif at == seq:
            body = found
        elif head is not None and seq < at <= head.seq:
            following.append(hashlib.sha256(found).hexdigest())
        if head is not None and at >= head.seq:
            break
    if body is None or head is None:
        raise AuditLogBroken("the audit log has no such entry under a signed head", remedy="run onrecord verify")
    return AuditProof(body=body, prev=prev, following=tuple(following), head=head)


def _check_heads(
    heads: Sequence[AuditHead], check: SignatureCheck, chain: str
) -> tuple[list[ChainFault], dict[int, str]]:
    faults: list[ChainFault] = []
    wanted: dict[int, str] = {}
    for head in heads:
        if head.chain != chain:
            continue
        if not check.verify(head.key_id, head.message(), head.signature):
            faults.append(ChainFault(kind="forged", seq=head.seq, detail="a head's signature does not fit"))
        elif wanted.setdefault(head.seq, head.hash) != head.hash:
            faults.append(ChainFault(kind="forged", seq=head.seq, detail="two heads disagree: the log was forked"))
    return faults, wanted
