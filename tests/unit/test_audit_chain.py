"""The audit log finds every edit, deletion, reordering and truncation, and survives a crash mid-append."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from case_store.audit_chain import AuditFact, AuditLogBroken, check_chain
from case_store.audit_file import AuditFile, CommandAnchor, FileAnchor
from config.errors import Unhealthy
from recording.signing import SigningKey

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
KEY = SigningKey.from_seeds(b"\x07" * 32)


def facts(count: int) -> list[AuditFact]:
    return [
        AuditFact(
            at=NOW, actor="user_1", action="recording.heard", subject=f"rec_{n}", detail={"from_ms": n, "姓": "名"}
        )
        for n in range(count)
    ]


def filled(path: Path, count: int = 12) -> AuditFile:
    log = AuditFile(path, "node", KEY)
    for fact in facts(count):
        log.append([fact], NOW)
    return log


def test_an_untouched_log_holds_and_keeps_its_facts(tmp_path: Path) -> None:
    log = filled(tmp_path / "audit.log")
    assert log.check(KEY.verifier()) == (12, [])
    again = AuditFile(tmp_path / "audit.log", "node", KEY)
    assert again.append(facts(1), NOW)[0].seq == 13
    assert again.append(facts(3), NOW)[-1].fact == facts(3)[-1]
    assert again.check(KEY.verifier()) == (16, [])


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_one_bit_flip_of_log_or_head_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "audit.log"
    log = filled(path, 3)
    for target in (path, path.with_name("audit.log.head")):
        whole = path.read_bytes() if target == path else target.read_bytes()
        spoiled = bytearray(whole)
        spoiled[int(place * len(whole))] ^= 1 << bit
        target.write_bytes(bytes(spoiled))
        _, faults = log.check(KEY.verifier())
        target.write_bytes(whole)
        assert faults, f"byte {int(place * len(whole))} bit {bit} of {target.name}"
    assert log.check(KEY.verifier())[1] == []


def test_deletion_reordering_and_truncation_are_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    kinds = {}
    for name, left in {
        "deleted": lines[:4] + lines[5:],
        "swapped": [*lines[:4], lines[5], lines[4], *lines[6:]],
        "repeated": [*lines[:5], lines[4], *lines[5:]],
        "cut": lines[:-3],
        "emptied": [],
    }.items():
        path.write_bytes(b"".join(left))
        kinds[name] = {fault.kind for fault in log.check(KEY.verifier())[1]}
    assert "missing" in kinds["deleted"]
    assert "reordered" in kinds["swapped"]
    assert "reordered" in kinds["repeated"]
    assert kinds["cut"] == {"truncated"}
    assert kinds["emptied"] == {"truncated"}


def test_a_rewritten_chain_of_another_hand_is_found(tmp_path: Path) -> None:
    filled(tmp_path / "audit.log")
    other = SigningKey.from_seeds(b"\x09" * 32)
    forged = AuditFile(tmp_path / "forged.log", "node", other)
    forged.append(facts(12)[1:] + facts(1), NOW)
    (tmp_path / "audit.log").write_bytes((tmp_path / "forged.log").read_bytes())
    log = AuditFile(tmp_path / "audit.log", "node")
    assert {fault.kind for fault in log.check(KEY.verifier())[1]} == {"edited"}
    (tmp_path / "audit.log.head").write_bytes((tmp_path / "forged.log.head").read_bytes())
    assert {fault.kind for fault in log.check(KEY.verifier())[1]} == {"forged"}


def test_truncation_of_log_and_head_together_is_found_by_the_anchor(tmp_path: Path) -> None:
    path, anchor = tmp_path / "audit.log", FileAnchor(tmp_path / "elsewhere")
    log = filled(path, 5)
    old_log, old_head = path.read_bytes(), (tmp_path / "audit.log.head").read_bytes()
    log.append(facts(4), NOW)
    head = log.head()
    assert head is not None
    anchor.publish(head)
    path.write_bytes(old_log)
    (tmp_path / "audit.log.head").write_bytes(old_head)
    assert log.check(KEY.verifier())[1] == []  # within this machine the old state is consistent
    assert [fault.kind for fault in log.check(KEY.verifier(), anchor.heads())[1]] == ["truncated"]


def test_a_deleted_head_is_found(tmp_path: Path) -> None:
    log = filled(tmp_path / "audit.log")
    (tmp_path / "audit.log.head").unlink()
    assert [fault.kind for fault in log.check(KEY.verifier())[1]] == ["truncated"]


def test_a_half_written_line_is_removed_by_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = filled(path, 4)
    with path.open("ab") as file:
        file.write(b"0123456789abcdef half a line")
    assert log.append(facts(1), NOW)[0].seq == 5
    assert log.check(KEY.verifier()) == (5, [])


def test_nothing_is_appended_to_a_log_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = filled(path, 4)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(AuditLogBroken, match="shorter than its signed head"):
        log.append(facts(1), NOW)


def test_rows_from_a_database_are_checked_the_same_way(tmp_path: Path) -> None:
    log = filled(tmp_path / "audit.log", 6)
    rows, head = list(log.rows()), log.head()
    assert head is not None
    assert check_chain(rows, [head], KEY.verifier(), "node") == (6, [])
    random.Random(3).shuffle(rows)
    assert check_chain(rows, [head], KEY.verifier(), "node")[1]


def test_a_command_anchor_gets_the_head_and_says_when_it_fails(tmp_path: Path) -> None:
    log = filled(tmp_path / "audit.log", 1)
    head = log.head()
    assert head is not None
    CommandAnchor(f"tee {tmp_path}/stamped").publish(head)
    assert (tmp_path / "stamped").read_bytes() == head.line()
    with pytest.raises(Unhealthy, match="anchor-unhealthy"):
        CommandAnchor("false").publish(head)


def test_one_entry_is_proven_without_showing_the_others(tmp_path: Path) -> None:
    log = filled(tmp_path / "audit.log", 9)
    proof = log.proof(4)
    assert proof.holds(KEY.verifier())
    assert b"rec_3" in proof.body
    assert "rec_5" not in str(proof.as_document())
    assert not replace(proof, body=proof.body.replace(b"rec_3", b"rec_4")).holds(KEY.verifier())
    assert not replace(proof, following=proof.following[:-1]).holds(KEY.verifier())
    assert not proof.holds(SigningKey.from_seeds(b"\x09" * 32).verifier())
    with pytest.raises(AuditLogBroken):
        log.proof(10)


def test_a_proof_ends_at_the_next_checkpoint(tmp_path: Path) -> None:
    log = AuditFile(tmp_path / "audit.log", "node", KEY)
    for _ in range(3):
        log.append(facts(600), NOW)
    assert len(log.proof(1100).following) == 100
    assert log.check(KEY.verifier()) == (1800, [])
