"""The books of a fault drive: what the far side saw, against the store, the tapes and the shelf. Nothing is taken on trust.

What a recording owes: every packet the far side sent from its answer (or early media) until its line was down, or until the
relay that wrote the tape was killed: there was nobody to hear it from then on. What was heard there must be on the tape.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import zlib
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import soundfile

from case_store.audit import AuditLog
from case_store.database import Database
from case_store.proof_reads import ProofReads
from recording.dossier import manifest_name
from recording.from_store import SEALED_STATES, filed_row
from recording.manifest import read_manifest
from recording.seal_job import SealRoom, open_object, open_seal_room
from recording.tape_format import Damage, Direction, Kind, Record, parse_header, read_records
from recording.verify import verify
from tests.faults.drive import KILLS, Drive, Fault
from tests.faults.far_side import HEARD, PACKET, SENT
from tests.faults.plan import Plan

FRAME_MS = 20.0
SECOND = 1_000_000_000
_RTP_HEAD = 12
# Attempts that count as such: not those given back, nor those whose INVITE the engine would not send (trunk trouble).
_TRIED = "select e164 from attempts where state <> 'released' and coalesce(category, '') <> 'trunk-trouble'"
_GIVEN_UP = (
    "select n.e164 from sweep_tries t join numbers n on n.id = t.number_id"
    " where t.state = 'refused' and t.rule = 'trunk-trouble' and t.troubles > 1"
)


@dataclass(kw_only=True)
class FaultReport:
    """Lists name what broke a law and are empty when all hold. Milliseconds and seconds are the worst of the drive.

    ``worst_lost_ms``: of one call, audio sent to a living relay that is not in its recording. ``dead_line_s``: from the
    last kill of whoever held the line until the far side's line was down, by kind; ``longest_dead_line_s`` from the first, where
    kills came faster than a restart takes. ``tape_stop_s``: from the last frame on a tape that met a full disk to the
    BYE; where control was killed at that moment its restart ends the line, which ``dead_line_s`` has.
    ``never_agreed``: lines whose 200 came when whoever placed them was dead; they owe no audio, only their end.
    ``given_up``: numbers whose two attempts both fell to a fault; the sweep reports them as refused for ``trunk-trouble``.
    ``under_load``: faults that came while somebody was on a line; ``cut_off``: how many lines those were.
    """

    numbers: int = 0
    invited: int = 0
    answered: int = 0
    calls: int = 0
    recordings: int = 0
    ways: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    seconds: float = 0.0
    given_up: int = 0
    unaccounted: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    left_on_a_line: list[str] = field(default_factory=list)
    owed_frames: int = 0
    lost_frames: int = 0
    worst_lost_ms: float = 0.0
    worst_lost_call: str = ""
    never_agreed: int = 0
    heard_frames: int = 0
    heard_untaped: int = 0
    under_load: dict[str, int] = field(default_factory=dict)
    cut_off: dict[str, int] = field(default_factory=dict)
    dead_line_s: dict[str, float] = field(default_factory=dict)
    longest_dead_line_s: float = 0.0
    tape_stop_s: float = 0.0

    @property
    def kills(self) -> int:
        return sum(self.faults.get(kind, 0) for kind in KILLS)

    def broken(self) -> list[str]:
        """The laws this drive broke, in words."""
        said = [
            f"{name}: {', '.join(found[:5])}"
            for name, found in (
                ("unaccounted", self.unaccounted),
                ("undecodable", self.undecodable),
                ("unproven", self.unproven),
                ("left on a line", self.left_on_a_line),
            )
            if found
        ]
        if self.worst_lost_ms > 1000:
            said.append(f"{self.worst_lost_ms} ms of {self.worst_lost_call} are not in its recording")
        if self.heard_untaped:
            said.append(f"{self.heard_untaped} frames were heard and not taped")
        for kind, limit in (("control", 10.0), ("all", 10.0), ("relay", 2.0)):
            if self.dead_line_s.get(kind, 0.0) > limit:
                said.append(f"a line stayed up {self.dead_line_s[kind]} s after a kill of {kind}")
        if self.tape_stop_s > 2.0:
            said.append(f"a call went on {self.tape_stop_s} s after its tape had stopped")
        return said

    def as_json(self) -> dict[str, Any]:
        return {"laws_broken": self.broken(), "kills": self.kills, **vars(self)}


@dataclass(frozen=True, kw_only=True)
class _FarCall:
    number: str
    n: int
    invited_ns: int
    ended_ns: int
    ended_by: str
    answered: bool


def count(drive: Drive) -> FaultReport:
    folder, plan = drive.folder, drive.plan
    report = FaultReport(numbers=len(plan.callees), starts=drive.starts, seconds=drive.seconds)
    report.ways = dict(Counter(one.way for one in plan.callees.values()))
    report.faults = dict(Counter(one.kind for one in drive.faults))
    far = [_far_call(json.loads(line)) for line in (folder / "far" / "calls.jsonl").read_text().splitlines()]
    report.invited, report.answered = len(far), sum(one.answered for one in far)
    calls = _calls(folder)
    report.calls = len(calls)
    report.causes = dict(Counter(row["cause"] for row in calls))
    _account(report, folder, plan, far, calls)
    room = open_seal_room(plan.settings(folder))
    armed: dict[str, list[tuple[int, sqlite3.Row]]] = {}
    for row in calls:
        _decode(report, row, room)
        armed.setdefault(row["e164"], []).append((_armed_ns(folder, row), row))
    for one in far:
        # The call whose tape was armed last before this INVITE came: every INVITE has one, and each its own.
        mine = [pair for pair in armed.get(one.number, []) if pair[0] < one.invited_ns]
        if not mine:
            report.unaccounted.append(f"{one.number}: an INVITE without an armed tape")
            continue
        last = max(mine, key=lambda pair: pair[0])
        armed[one.number].remove(last)
        _listen(report, folder, one, last[1], drive.faults)
    _lines(report, far, drive.faults)
    asyncio.run(_prove(report, plan, folder, room))
    return report


def _far_call(raw: dict[str, Any]) -> _FarCall:
    return _FarCall(**{name: raw[name] for name in _FarCall.__dataclass_fields__})


def _calls(folder: Path) -> list[sqlite3.Row]:
    with contextlib.closing(sqlite3.connect(folder / "onrecord.db")) as store:
        store.row_factory = sqlite3.Row
        return store.execute(
            "select c.id, c.state, c.cause, c.answered_at, c.recording_id, a.e164, a.state attempt, r.state tape"
            " from calls c join attempts a on a.id = c.attempt_id left join recordings r on r.id = c.recording_id"
        ).fetchall()


def _armed_ns(folder: Path, row: sqlite3.Row) -> int:
    data = memoryview((folder / "kept" / f"{row['id']}.tape").read_bytes())
    return parse_header(data).monotonic_ns


def _account(report: FaultReport, folder: Path, plan: Plan, far: list[_FarCall], calls: list[sqlite3.Row]) -> None:
    """Every number once, every INVITE a call, every call settled with its recording, no tape left over."""
    invited, placed = Counter(one.number for one in far), Counter(row["e164"] for row in calls)
    with contextlib.closing(sqlite3.connect(folder / "onrecord.db")) as store:
        tried = Counter(e164 for (e164,) in store.execute(_TRIED))
        given_up = {e164 for (e164,) in store.execute(_GIVEN_UP)}
    report.given_up = len(given_up)
    for number in plan.callees:
        owed = 0 if number in given_up else 1  # a kill met both its attempts: the sweep names it as refused, and why
        if tried[number] != owed or invited[number] > placed[number]:
            said = f"{invited[number]} INVITEs, {placed[number]} calls, {tried[number]} attempts that count"
            report.unaccounted.append(f"{number}: {said}")
    for row in calls:
        if (
            row["state"] != "settled"
            or row["tape"] not in ("sealed", "empty")
            or row["attempt"] in ("booked", "dialing")
        ):
            report.unaccounted.append(f"{row['id']}: {row['state']}, {row['attempt']}, {row['tape']}")
    report.unaccounted += [f"{tape.name}: left unsealed" for tape in (folder / "tapes").glob("*.tape")]


def _decode(report: FaultReport, row: sqlite3.Row, room: SealRoom) -> None:
    """Out of the vault, decrypted, as FLAC: as long as its manifest says."""
    try:
        body = read_manifest(room.shelf.get(manifest_name(row["recording_id"])), room.signing.verifier()).body
        master = next(found for found in body["objects"] if found["kind"] == "master")
        data = open_object(room.shelf, room.keys, master["name"]).read(0, master["plain_bytes"])
        samples, rate = soundfile.read(BytesIO(data), dtype="int16", always_2d=True)
        assert rate == 8000
        assert len(samples) == max(body["samples"], 1)  # an empty recording holds one sample of silence
    except Exception as error:  # whatever it is, this call's file cannot be heard
        report.undecodable.append(f"{row['id']}: {type(error).__name__} {error}")
        return
    report.recordings += 1


def _listen(report: FaultReport, folder: Path, one: _FarCall, row: sqlite3.Row, faults: list[Fault]) -> None:
    """What the far side sent and heard, packet by packet, against the tape."""
    sent: list[tuple[int, int]] = []
    heard: list[tuple[int, int]] = []
    for direction, sequence, crc, at in PACKET.iter_unpack((folder / "far" / f"{one.number}-{one.n}.rtp").read_bytes()):
        if direction == SENT:
            sent.append((crc, at))
        elif direction == HEARD:
            heard.append((sequence, crc))
    tape = folder / "kept" / f"{row['id']}.tape"
    data = tape.read_bytes()
    records = list(read_records(memoryview(data)))
    frames = [record for record in records if isinstance(record, Record) and record.kind == Kind.FRAME]
    far = Counter(zlib.crc32(data[r.offset : r.offset + r.length]) for r in frames if r.direction == Direction.FAR)
    near = {
        (data[r.offset + 2] << 8 | data[r.offset + 3], zlib.crc32(data[r.offset + _RTP_HEAD : r.offset + r.length]))
        for r in frames
        if r.direction == Direction.NEAR
    }
    report.heard_frames += len(heard)
    report.heard_untaped += sum(packet not in near for packet in heard)
    last_ns = max((record.monotonic_ns for record in frames), default=0)
    until = one.ended_ns
    closed = any(isinstance(record, Record) and record.kind == Kind.TRAILER for record in records)
    if frames and not closed and any(_met(f, last_ns) for f in faults if f.kind == "disk-full"):
        # From its last frame on nothing was heard by anybody, and control had to end it within two seconds, if it lived.
        until = last_ns
        if not any(f.kind in ("control", "all") and last_ns - SECOND < f.began_ns < one.ended_ns for f in faults):
            report.tape_stop_s = max(report.tape_stop_s, round((one.ended_ns - last_ns) / 1e9, 2))
    if not _agreed(data, records) and any(
        f.kind in KILLS and one.invited_ns - SECOND < f.began_ns < one.ended_ns for f in faults
    ):
        # Its 200 met nobody: who would have agreed on media was dead. Nobody was on this line; its end is dead_line_s.
        report.never_agreed += 1
        return
    # The relay that had this leg was dead from then on; the first packet may have left while the kill was under way.
    armed_ns = parse_header(data).monotonic_ns
    until = min([until, *(f.began_ns for f in faults if f.kind in ("relay", "all") and f.over_ns > armed_ns)])
    owed = [crc for crc, at in sent if at <= until]
    lost = sum(not far[crc] for crc in owed)
    report.owed_frames += len(owed)
    report.lost_frames += lost
    if lost * FRAME_MS > report.worst_lost_ms:
        report.worst_lost_ms, report.worst_lost_call = lost * FRAME_MS, row["id"]


def _met(full: Fault, last_ns: int) -> bool:
    """Whether a tape's last frame is the last before a full disk: one packet may be up to a hold-up older than it."""
    return full.began_ns - SECOND // 2 <= last_ns <= full.over_ns


def _agreed(data: bytes, records: list[Record | Damage]) -> bool:
    """Whether the relay was ever told whom the leg speaks with."""
    marks = [r for r in records if isinstance(r, Record) and r.kind == Kind.MARK]
    return any(json.loads(data[r.offset : r.offset + r.length])["mark"] == "map" for r in marks)


_UNDER_WAY = SECOND // 2  # an INVITE may be read so long after whoever sent it was killed; a restart takes longer


def _lines(report: FaultReport, far: list[_FarCall], faults: list[Fault]) -> None:
    """How long a line stood after whoever held it was killed."""
    report.left_on_a_line = [one.number for one in far if one.ended_by == "shut-down"]
    worst: dict[str, float] = {}
    cut: Counter[str] = Counter()
    loaded: Counter[str] = Counter()
    dead = [fault.began_ns for fault in faults if fault.kind in ("control", "all")]
    for fault in faults:
        # A relay is there again within that time, and whom control calls then is no victim of the kill.
        slack = 0 if fault.kind == "relay" else _UNDER_WAY
        up = [one for one in far if one.invited_ns - slack < fault.began_ns < one.ended_ns]
        loaded[fault.kind] += bool(up)
        cut[fault.kind] += len(up)
        if fault.kind == "relay":  # control ends its lines, unless it is dead itself: then that kill counts
            up = [one for one in up if not any(one.invited_ns - _UNDER_WAY < at < one.ended_ns for at in dead)]
        for one in up if fault.kind in ("control", "all", "relay") else ():
            stood = (one.ended_ns - fault.began_ns) / 1e9
            report.longest_dead_line_s = max(report.longest_dead_line_s, round(stood, 2))
            if not any(fault.began_ns < at < one.ended_ns for at in dead):  # else the next kill came before the restart
                worst[fault.kind] = max(worst.get(fault.kind, 0.0), stood)
    report.under_load, report.cut_off = dict(loaded), dict(cut)
    report.dead_line_s = {kind: round(seconds, 2) for kind, seconds in worst.items()}


async def _prove(report: FaultReport, plan: Plan, folder: Path, room: SealRoom) -> None:
    """The product's own proof over everything the drive left: every recording, the manifest chain, the audit log."""
    database = await Database.open(plan.settings(folder).store.url)
    try:
        known = {row.recording_id: filed_row(row) async for row in ProofReads(database).recordings(*SEALED_STATES)}
        proof = verify(room.shelf, room.signing.verifier(), known=known, keys=room.keys, deep=True)
        proof.add_audit(*await AuditLog(database, room.signing).check(room.signing.verifier(), []))
    finally:
        await database.close()
    report.unproven = [f"{failure['kind']} {failure['id']}" for failure in proof.as_json()["failures"]]
