"""The audit log in a file, and the places outside where its signed heads are anchored."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from case_store.audit_chain import (
    CHECKPOINT,
    GENESIS,
    AuditEntry,
    AuditFact,
    AuditHead,
    AuditLogBroken,
    AuditProof,
    ChainFault,
    SignatureCheck,
    Signer,
    chain_entry,
    check_chain,
    prove,
    read_head,
    sign_head,
)
from config.errors import InvariantBroken, Unhealthy

_TAIL = 1 << 16


class AnchorUnhealthy(Unhealthy):
    """A signed head could not be kept outside. The log itself goes on; truncation would be found later."""

    error_id = "anchor-unhealthy"


class Anchor(Protocol):
    """A place outside that keeps heads: what was published there cannot be taken back from here."""

    def publish(self, head: AuditHead) -> None: ...


class FileAnchor:
    """Appends heads to a file, best on another host's mount or a write-once disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, head: AuditHead) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(head.line())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AnchorUnhealthy(
                f"the anchor file cannot be written: {error.strerror}", field="vault.anchor_file", remedy="mount it"
            ) from error

    def heads(self) -> list[AuditHead]:
        """Every head published; a line that is none counts as a forged head of its place."""
        return read_heads(self._path)


class CommandAnchor:
    """Runs a command with the head's line on its input: a time stamper (RFC 3161 client), a mail, a ticket."""

    def __init__(self, argv: str) -> None:
        self._argv = argv

    def publish(self, head: AuditHead) -> None:
        try:
            subprocess.run(  # noqa: S603  # the operator's own command, from settings, without a shell
                shlex.split(self._argv), input=head.line(), capture_output=True, timeout=30, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise AnchorUnhealthy(
                f"the anchor command failed: {type(error).__name__}",
                field="vault.anchor_command",
                remedy="run it by hand as this user",
            ) from error


def read_heads(path: Path) -> list[AuditHead]:
    """Heads of a file, oldest first. An unreadable line becomes a head that no signature fits."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        head = read_head(line)
        found.append(head or AuditHead(chain="", seq=0, hash="", at="", key_id="unreadable", signature=b""))
    return found


class AuditFile:
    """An audit log in one file, with its last signed head (``<file>.head``) and every 1,000th (``<file>.heads``) beside.

    ``append`` returns when the entries are on disk. Several processes may append: a file lock orders them. A line cut
    off by a crash was never acknowledged: the next append removes it.
    """

    def __init__(self, path: Path, chain: str, signer: Signer | None = None) -> None:
        self._path, self._chain, self._signer = path, chain, signer
        self._head = path.with_name(path.name + ".head")
        self._checkpoints = path.with_name(path.name + ".heads")
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def chain(self) -> str:
        return self._chain

    def append(self, facts: Sequence[AuditFact], now: datetime) -> list[AuditEntry]:
        """Chain, write, flush, then sign the new head. ``InvariantBroken`` without a signer."""
        if self._signer is None:
            raise InvariantBroken("this audit log was opened to be read", remedy="open it with the signing key")
        with self._locked(), self._path.open("ab+") as file:
            seq, prev, end = _last_entry(file)
            signed = self.head()
            if signed is not None and signed.seq > seq:
                raise AuditLogBroken(
                    "the audit log is shorter than its signed head says",
                    remedy="keep the file as evidence, restore the log from its backup, run onrecord verify",
                )
            file.truncate(end)
            entries = []
            for fact in facts:
                entry = chain_entry(fact, seq + 1, prev)
                seq, prev = entry.seq, entry.hash
                entries.append(entry)
            file.write(b"".join(entry.line() for entry in entries))
            file.flush()
            os.fsync(file.fileno())
            head = sign_head(self._chain, seq, prev, now, self._signer)
            if entries and seq // CHECKPOINT > (seq - len(entries)) // CHECKPOINT:
                FileAnchor(self._checkpoints).publish(head)
            self._write_head(head)
        return entries

    def proof(self, seq: int) -> AuditProof:
        """That entry ``seq`` is in the log. At most about a thousand hashes long."""
        head = self.head()
        return prove(self.rows(), seq, [*read_heads(self._checkpoints), *([head] if head else [])])

    def head(self) -> AuditHead | None:
        return read_head(self._head.read_bytes()) if self._head.exists() else None

    def rows(self) -> Iterator[tuple[int, str, bytes]]:
        """``(seq, hash, body)`` as ``check_chain`` wants them; what is no entry gives a row that cannot hold."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                body = line[65:-1]
                if line[64:65] != b" " or line[-1:] != b"\n":
                    yield number, "", body
                    continue
                at = body.rfind(b'"seq":')
                digits = body[at + 6 : body.find(b",", at)] if at >= 0 else b""
                yield int(digits) if digits.isdigit() else number, line[:64].decode("latin-1"), body

    def check(self, check: SignatureCheck, anchored: Sequence[AuditHead] = ()) -> tuple[int, list[ChainFault]]:
        """The whole log against itself, its own head and the anchored ones."""
        heads, anchored = read_heads(self._head), [*read_heads(self._checkpoints), *anchored]
        count, faults = check_chain(self.rows(), [*heads, *anchored], check, self._chain)
        if count and not heads:
            faults.append(ChainFault(kind="truncated", seq=count, detail="its signed head is gone"))
        faults.extend(
            ChainFault(kind="forged", seq=0, detail="a head cannot be read")
            for head in [*heads, *anchored]
            if head.key_id == "unreadable"
        )
        if heads and heads[-1].key_id != "unreadable" and heads[-1].chain != self._chain:
            faults.append(ChainFault(kind="forged", seq=heads[-1].seq, detail="its head belongs to another log"))
        return count, faults

    def _write_head(self, head: AuditHead) -> None:
        draft = self._head.with_name(self._head.name + ".new")
        with draft.open("wb") as file:
            file.write(head.line())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._head)

    def _locked(self) -> _FileLock:
        return _FileLock(self._path.with_name(self._path.name + ".lock"))


class _FileLock:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _last_entry(file: Any) -> tuple[int, str, int]:
    """``(seq, hash, end)`` of the last whole line of an audit file opened for reading: only its tail is read."""
    size = file.seek(0, os.SEEK_END)
    room = _TAIL
    while True:
        start = max(0, size - room)
        file.seek(start)
        tail = file.read(size - start)
        end = tail.rfind(b"\n")
        begin = tail.rfind(b"\n", 0, max(end, 0)) + 1
        if start == 0 and end < 0:
            return 0, GENESIS, 0
        if begin > 0 or start == 0:
            break
        room *= 4
    line = tail[begin:end]
    try:
        return int(json.loads(line[65:])["seq"]), line[:64].decode(), start + end + 1
    except (ValueError, KeyError, TypeError) as error:
        raise AuditLogBroken(
            "the last entry of the audit log cannot be read",
            remedy="keep the file as evidence, restore the log from its backup, run onrecord verify",
        ) from error
