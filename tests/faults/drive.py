"""Drives calls through the real relay, tapes and seal while killing their processes; counts what was lost.

What a call is owed: every packet its phone sent while the relay lived and the leg was open, less what its kernel
socket held unread at a kill. The law allows a second of it; the drive reports the worst case it saw.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile

from recording.dossier import manifest_name
from recording.manifest import read_manifest
from recording.seal_job import open_object, open_seal_room
from recording.tape_reading import read_tape
from tests.faults.control import read_ledger, settings_of
from tests.rtp_phone import packet

FRAME = 0.02
KINDS = ("control", "relay", "worker", "all", "disk-full")
_FULL_FROM = 9_000  # bytes of a file, under a second of it, after which the "full" disk takes no more


@dataclass(kw_only=True)
class FaultReport:
    """``worst_lost_ms``: of any call, audio that was sent to a living relay and is not in its recording."""

    calls: int = 0
    placed: int = 0
    refused: int = 0
    recordings: int = 0
    unaccounted: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)
    worst_lost_ms: float = 0.0
    owed_frames: int = 0
    lost_frames: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "kills": dict(self.kills)}


class _Phones(threading.Thread):
    """Every far end: one socket a call, 50 packets a second each, from its answer until nobody wants it."""

    def __init__(self, plan: list[dict[str, Any]]) -> None:
        super().__init__(name="phones", daemon=True)
        self.plan = {one["id"]: one for one in plan}
        self.sockets: dict[str, socket.socket] = {}
        for one in plan:
            phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            phone.bind(("127.0.0.1", 0))
            one["port"] = phone.getsockname()[1]
            self.sockets[one["id"]] = phone
        self.sent: dict[str, list[tuple[int, int, int]]] = {one["id"]: [] for one in plan}  # (ns, ssrc, seq)
        self.talking: dict[str, int] = {}  # call → the relay's port
        self.stopped = threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        while not self.stopped.is_set():
            for call, port in list(self.talking.items()):
                self._send(call, port)
            due += FRAME
            time.sleep(max(0.0, due - time.monotonic()))

    def _send(self, call: str, port: int) -> None:
        one, sent = self.plan[call], self.sent[call]
        if one.get("one_way"):
            return
        n = len(sent)
        ssrc = 1000 if not one.get("new_ssrc") or n < one["seconds"] * 25 else 2000
        now = time.monotonic_ns()
        with contextlib.suppress(OSError):
            self.sockets[call].sendto(packet(n, n * 160, ssrc, bytes([n % 251]) * 160), ("127.0.0.1", port))
            sent.append((now, ssrc, n))

    def close(self) -> None:
        self.stopped.set()
        self.join()
        for phone in self.sockets.values():
            phone.close()


class Drive:
    """``kill_every``: mean seconds between two faults."""

    def __init__(self, folder: Path, *, calls: int, seed: int, at_once: int = 12, kill_every: float = 1.5) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.rng = random.Random(seed)
        plan = [self._imagine(n) for n in range(calls)]
        self.phones = _Phones(plan)
        (folder / "plan.json").write_text(json.dumps({"at_once": at_once, "calls": plan}))
        self.kill_every = kill_every
        self.report = FaultReport(calls=calls)
        self.deaths: list[int] = []  # when a relay died, ns
        self.full: list[tuple[int, int]] = []  # from when to when its disk took nothing more
        self._control: subprocess.Popen[bytes] | None = None
        self._seen = 0
        self._begun = 0  # calls placed or refused

    def _imagine(self, n: int) -> dict[str, Any]:
        one: dict[str, Any] = {"id": f"call_{n:05d}", "seconds": self.rng.uniform(1.0, 3.0)}
        odd = self.rng.random()
        if odd < 0.1:
            one["one_way"] = True
        elif odd < 0.3:
            one["new_ssrc"] = True
        elif odd < 0.5:
            one |= {"at_40": "hold", "at_70": "resume"}
        elif odd < 0.7:
            one["at_40"] = "reinvite"
        return one

    def run(self, limit_seconds: float) -> FaultReport:
        """Raises TimeoutError when control never finishes: a call nobody can end is a fault too."""
        begun = time.monotonic()
        self.phones.start()
        self._start_control()
        next_kill = time.monotonic() + 2.0
        try:
            while True:
                self._follow()
                assert self._control is not None
                if self._control.poll() is not None:
                    if self._control.returncode == 0:
                        break
                    self._start_control()
                # Once all are placed only seals are left; a worker that is killed faster than it starts never ends.
                if time.monotonic() > next_kill and self._begun < self.report.calls:
                    self._strike()
                    next_kill = time.monotonic() + self.rng.expovariate(1 / self.kill_every)
                if time.monotonic() - begun > limit_seconds:
                    raise TimeoutError(f"control did not finish; {self.report}")
                time.sleep(0.02)
        finally:
            self.phones.close()
            if self._control is not None and self._control.poll() is None:
                self._control.kill()
                self._control.wait()
            self._kill(self._last_pid("relay"))
        self._count()
        self.report.seconds = round(time.monotonic() - begun, 1)
        return self.report

    def _start_control(self) -> None:
        ahead = self.rng.choice((0.0, 0.0, 3600.0, -3600.0, 86_400.0))  # the wall clock is stepped between starts
        with (self.folder / "control.log").open("ab") as log:
            self._control = subprocess.Popen(  # our own module
                [sys.executable, "-m", "tests.faults.control", str(self.folder), str(ahead)], stdout=log, stderr=log
            )

    def _follow(self) -> None:
        with contextlib.suppress(FileNotFoundError), (self.folder / "ledger").open("rb") as file:
            file.seek(self._seen)
            whole = file.read().rpartition(b"\n")[0]
            self._seen += len(whole) + bool(whole)
            for line in map(json.loads, whole.splitlines()):
                self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        self._begun += line["what"] in ("placed", "refused")
        if line["what"] == "answered":
            self.phones.talking[line["call"]] = line["port"]
        elif line["what"] in ("closing", "trouble"):
            self.phones.talking.pop(line["call"], None)

    def _last_pid(self, kind: str) -> int | None:
        pids = [line["pid"] for line in read_ledger(self.folder / "ledger") if line["what"] == kind]
        return pids[-1] if pids else None

    def _strike(self) -> None:
        kind = self.rng.choice(KINDS)
        relay, worker = self._last_pid("relay"), self._last_pid("worker")
        struck = False
        if kind in ("relay", "all"):
            struck = self._kill(relay)
            self.deaths.append(time.monotonic_ns())
        if kind == "disk-full" and relay is not None:
            full_from = time.monotonic_ns()
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(relay, resource.RLIMIT_FSIZE, (_FULL_FROM, resource.RLIM_INFINITY))
                time.sleep(0.5)
                resource.prlimit(relay, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                self.full.append((full_from, time.monotonic_ns()))
                struck = True
        if kind in ("worker", "all"):
            struck = self._kill(worker) or struck
        if kind in ("control", "all"):
            assert self._control is not None
            self._control.kill()
            self._control.wait()
            struck = True
        self.report.kills[kind] += struck

    @staticmethod
    def _kill(pid: int | None) -> bool:
        """Only what the ledger says we started, and only while it still is ours."""
        if pid is None:
            return False
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"dialer.media.relay" not in words and b"multiprocessing" not in words:
                return False
            os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return True

    # The count

    def _count(self) -> None:
        lines = read_ledger(self.folder / "ledger")
        placed = [line["call"] for line in lines if line["what"] == "placed"]
        self.report.placed = len(placed)
        self.report.refused = sum(line["what"] == "refused" for line in lines)
        room = open_seal_room(settings_of(self.folder))
        ended: dict[str, int] = {}
        for line in lines:
            if line["what"] in ("closing", "trouble"):
                ended.setdefault(line["call"], line["at"])
        if Counter(placed).most_common(1)[0][1] > 1 or len(placed) + self.report.refused != self.report.calls:
            self.report.unaccounted.append(f"{len(placed)} placed, {self.report.refused} refused")
        for call in placed:
            try:
                manifest = read_manifest(room.shelf.get(manifest_name(f"rec_{call}")), room.signing.verifier())
            except Exception as error:
                self.report.unaccounted.append(f"{call}: {type(error).__name__}")
                continue
            self.report.recordings += 1
            self._decode(call, manifest.body, room)
            self._lost(call, ended.get(call))

    def _decode(self, call: str, body: dict[str, Any], room: Any) -> None:
        from io import BytesIO

        master = next(found for found in body["objects"] if found["kind"] == "master")
        data = open_object(room.shelf, room.keys, master["name"]).read(0, master["plain_bytes"])
        if body["samples"] == 0:  # nothing was ever heard: an empty file is what is owed
            return
        samples, rate = soundfile.read(BytesIO(data), dtype="int16", always_2d=True)
        if rate != 8000 or len(samples) != body["samples"]:
            self.report.undecodable.append(call)

    def _lost(self, call: str, ended: int | None) -> None:
        tape = read_tape(self.folder / "tapes" / f"{call}.tape")
        kept = set(zip(tape.far.ssrc.tolist(), tape.far.seq.tolist(), strict=True))
        sent = self.phones.sent[call]
        if not sent:
            return
        until = min([ended or sent[-1][0], *(death for death in self.deaths if death > sent[0][0])])
        heard_last = int(tape.far.arrival.max()) if len(tape.far.arrival) else 0
        # A tape that stopped while the disk was full owes nothing from then on: its call was ended, unheard.
        until = min([until, *(begin for begin, end in self.full if sent[0][0] < begin and heard_last <= end)])
        owed = [(ssrc, seq) for at, ssrc, seq in sent if at <= until]
        lost = sum(one not in kept for one in owed)
        self.report.owed_frames += len(owed)
        self.report.lost_frames += lost
        self.report.worst_lost_ms = max(self.report.worst_lost_ms, lost * FRAME * 1000)
