"""The audit log in the database: appended inside the transaction it speaks of, or on its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store.audit_chain import (
    CHECKPOINT,
    GENESIS,
    AuditEntry,
    AuditFact,
    AuditHead,
    AuditLogBroken,
    AuditProof,
    ChainCheck,
    ChainFault,
    SignatureCheck,
    Signer,
    chain_entry,
    prove,
    read_head,
    sign_head,
)
from case_store.database import Database, Unit
from case_store.tables import audit_heads, audit_log
from config.errors import InvariantBroken

_BATCH = 20_000
_NEWEST = 0


class AuditLog:
    """One chain for the whole store, whatever node appends. Appends wait for one another: the chain has one end."""

    chain = "store"

    def __init__(self, database: Database, signer: Signer | None = None) -> None:
        self._database = database
        self._signer = signer

    async def append(self, facts: Sequence[AuditFact], now: datetime) -> list[AuditEntry]:
        """In a transaction of its own."""
        async with self._database.write() as unit:
            return await self.append_in(unit, facts, now)

    async def append_in(self, unit: Unit, facts: Sequence[AuditFact], now: datetime) -> list[AuditEntry]:
        """Inside the caller's transaction: the deed and its entry are kept together or not at all.

        Raises ``AuditLogBroken`` when the log is shorter than its signed head says.
        """
        if self._signer is None:
            raise InvariantBroken("this audit log was opened to be read", remedy="open it with the signing key")
        await unit.lock(["audit-log"])
        newest = select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
        row = (await unit.connection.execute(newest)).first()
        first, prev = (row.seq, row.hash) if row is not None else (0, GENESIS)
        signed = await _newest_head(unit.connection)
        if signed is not None and (signed.seq, signed.hash) != (first, prev):
            raise AuditLogBroken(
                "the audit log does not end where its signed head says",
                remedy="keep the database as evidence, restore it from its backup, run onrecord verify",
            )
        entries, seq = [], first
        for fact in facts:
            entry = chain_entry(fact, seq + 1, prev)
            seq, prev = entry.seq, entry.hash
            entries.append(entry)
        if entries:
            await unit.connection.execute(
                insert(audit_log),
                [
                    {
                        "seq": entry.seq,
                        "hash": entry.hash,
                        "body": entry.body.decode(),
                        "action": fact.action,
                        "subject": fact.subject,
                    }
                    for entry, fact in zip(entries, facts, strict=True)
                ],
            )
            await self._sign(unit, first, seq, prev, now)
        return entries

    async def head(self) -> AuditHead | None:
        """The newest signed head: what an anchor publishes."""
        async with self._database.read() as connection:
            return await _newest_head(connection)

    async def check(self, check: SignatureCheck, anchored: Sequence[AuditHead] = ()) -> tuple[int, list[ChainFault]]:
        """The whole log against itself, its heads and the anchored ones, in batches."""
        async with self._database.read() as connection:
            heads = await _heads(connection)
            newest = await _newest_head(connection)
            checking = ChainCheck([*heads, *([newest] if newest else []), *anchored], check, self.chain)
            misfiled: list[ChainFault] = []
            async for rows in _rows(connection, 0):
                checking.feed((row.seq, row.hash, row.body) for row in rows)
                misfiled += [_misfiled(row.seq) for row in rows if not _filed_rightly(row)]
        count, faults = checking.result()
        faults += misfiled
        faults.extend(
            ChainFault(kind="forged", seq=one.seq, detail="a head belongs to another log")
            for one in [*heads, *([newest] if newest else [])]
            if one.chain != self.chain
        )
        if count and newest is None:
            faults.append(ChainFault(kind="truncated", seq=count, detail="its signed head is gone"))
        return count, faults

    async def about(self, subject: str) -> list[AuditEntry]:
        """Every entry that speaks of ``subject``, oldest first."""
        query = select(audit_log).where(audit_log.c.subject == subject).order_by(audit_log.c.seq)
        async with self._database.read() as connection:
            return [
                AuditEntry(seq=row.seq, hash=row.hash, body=row.body.encode())
                for row in await connection.execute(query)
            ]

    async def proof(self, seq: int) -> AuditProof:
        """That entry ``seq`` is in the log; at most about a thousand hashes."""
        async with self._database.read() as connection:
            newest = await _newest_head(connection)
            heads = [*await _heads(connection, at_least=seq, limit=1), *([newest] if newest else [])]
            last = min((head.seq for head in heads if head.seq >= seq), default=seq)
            query = select(audit_log).where(audit_log.c.seq.between(seq - 1, last)).order_by(audit_log.c.seq)
            rows = [(row.seq, row.hash, row.body.encode()) for row in await connection.execute(query)]
        return prove(rows, seq, heads)

    async def _sign(self, unit: Unit, first: int, seq: int, entry_hash: str, now: datetime) -> None:
        assert self._signer is not None
        line = sign_head(self.chain, seq, entry_hash, now, self._signer).line().decode()
        if seq // CHECKPOINT > first // CHECKPOINT:
            await unit.connection.execute(insert(audit_heads).values(seq=seq, line=line))
        await unit.connection.execute(delete(audit_heads).where(audit_heads.c.seq == _NEWEST))
        await unit.connection.execute(insert(audit_heads).values(seq=_NEWEST, line=line))


class _Row(NamedTuple):
    seq: int
    hash: str
    body: bytes
    action: str
    subject: str


def _filed_rightly(row: _Row) -> bool:
    """``action`` and ``subject`` stand beside the body, to find entries by: they must be the body's own.

    A canonical body begins with its action and ends with its subject, so a million need not be parsed for this.
    """
    return row.body.startswith(f'{{"action":{_spelt(row.action)},'.encode()) and row.body.endswith(
        f',"subject":{_spelt(row.subject)}}}'.encode()
    )


_spelt = json.JSONEncoder(ensure_ascii=False).encode


def _misfiled(seq: int) -> ChainFault:
    detail = "it is filed under another action or subject than it says: whoever asks by these would not find it"
    return ChainFault(kind="edited", seq=seq, detail=detail)


async def _rows(connection: AsyncConnection, after: int) -> AsyncIterator[list[_Row]]:
    while True:
        query = (
            select(audit_log.c.seq, audit_log.c.hash, audit_log.c.body, audit_log.c.action, audit_log.c.subject)
            .where(audit_log.c.seq > after)
            .order_by(audit_log.c.seq)
            .limit(_BATCH)
        )
        rows = [
            _Row(seq, said, body.encode(), action, subject)
            for seq, said, body, action, subject in await connection.execute(query)
        ]
        if not rows:
            return
        yield rows
        after = rows[-1].seq


async def _newest_head(connection: AsyncConnection) -> AuditHead | None:
    line = await connection.scalar(select(audit_heads.c.line).where(audit_heads.c.seq == _NEWEST))
    return _head(line) if line is not None else None


async def _heads(connection: AsyncConnection, at_least: int = 1, limit: int | None = None) -> list[AuditHead]:
    query = select(audit_heads.c.line).where(audit_heads.c.seq >= at_least).order_by(audit_heads.c.seq).limit(limit)
    return [_head(line) for line in await connection.scalars(query)]


def _head(line: str) -> AuditHead:
    """An unreadable line becomes a head that no signature fits."""
    unreadable = AuditHead(chain=AuditLog.chain, seq=0, hash="", at="", key_id="unreadable", signature=b"")
    return read_head(line.encode()) or unreadable
