"""Sweeps numbers with the real node while killing its processes, as a supervisor starting it again; see ``count`` for the books.

Faults come at exponential intervals, every kind as often as any other: ``kill -9`` of control, relay, worker and all at
once, a full tape disk (the relay's writes fail). Most wait until somebody is on a line, some hit whatever is going on, the
start after an earlier kill too. The wall clock is stepped at moments of its own.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.calendars import Calendar, local_day, local_instant, zone
from config.clock import SystemClock
from tests.faults.plan import HOST, Plan
from tests.faults.set_clock import SHIFT

KINDS = ("control", "relay", "worker", "all", "disk-full")
KILLS = KINDS[:4]
RESTART_SECONDS = 0.1  # as RestartSec of docs/onrecord.service
FULL_SECONDS = 0.7
_FULL_FROM = 9_000  # bytes of a file, under a second of it, after which the "full" disk takes no more
_STEPS = (-3600.0, -90.0, 0.0, 0.0, 90.0, 3600.0)
_STEP_EVERY = 8.0  # seconds, on the mean
_IDLE_STRIKES = 0.15  # the share of faults that come whoever talks; the others wait until somebody does


@dataclass(frozen=True, kw_only=True)
class Fault:
    """``began_ns`` is just before the deed, ``over_ns`` just after (of a full disk: when it had room again)."""

    kind: str
    began_ns: int
    over_ns: int


class Drive:
    """``kill_every``: mean seconds between two faults. ``talk``: seconds of talk, least and most. ``most_faults``: and then
    the sweep is left to finish."""

    def __init__(
        self,
        folder: Path,
        *,
        calls: int,
        seed: int,
        agents: int = 10,
        kill_every: float = 2.0,
        talk: tuple[float, float] = (1.5, 4.0),
        most_faults: int | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.plan = Plan.imagine(calls=calls, agents=agents, talk=talk, seed=seed)
        self.rng = random.Random(seed)
        self.kill_every = kill_every
        self.most_faults = most_faults
        self.faults: list[Fault] = []
        self.starts = 0
        self.seconds = 0.0
        self._deck: list[str] = []
        self._struck = 0
        self._node: subprocess.Popen[bytes] | None = None
        self._died = 0.0

    def run(self, limit_seconds: float) -> None:
        """Until the sweep is finished. Raises TimeoutError when it never is: a call nobody can end is a fault too."""
        begun = time.monotonic()
        self._set_clock(0.0)
        with self._far_side():
            try:
                self._supervise(begun + limit_seconds)
            finally:
                self._end_node()
        self.seconds = round(time.monotonic() - begun, 1)
        (self.folder / "faults.json").write_text(json.dumps([asdict(one) for one in self.faults]))

    # The far side

    @contextlib.contextmanager
    def _far_side(self) -> Any:
        self.plan.sip_port = _free_port()
        self._write_numbers()
        self.plan.write(self.folder)
        far = self._peer("tests.faults.far_side", str(self.folder))
        phones = self._peer("dialer.simulated.phones", "--count", str(self.plan.agents), "--with-parent")
        self.plan.trunk_port = _said(far)["port"]
        self.plan.phones = _said(phones)["uris"]
        self.plan.write(self.folder)
        try:
            yield
        finally:
            for one in (phones, far):
                assert one.stdin is not None
                one.stdin.close()  # they watch it, and write their books as they go
                one.wait(20)
                assert one.stdout is not None
                one.stdout.close()

    def _peer(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "peers.log").open("ab") as log:
            return subprocess.Popen(  # our own modules
                [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )

    def _write_numbers(self) -> None:
        with (self.folder / "numbers.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["案件编号", "姓名", "余额", "币种", "持卡人手机"])
            rows.writerows(
                [f"T{at:05}", "测试", "1000.00", "CNY", number.removeprefix("+86")]
                for at, number in enumerate(self.plan.callees)
            )

    def _set_clock(self, step: float) -> None:
        """Ten in the morning of a working day where the house is, and the step."""
        if not hasattr(self, "_base"):
            house, now = zone("Asia/Shanghai"), SystemClock().now()
            day, calendar = local_day(now, house), Calendar("CN")
            while not calendar.is_working_day(day):
                day = type(day).fromordinal(day.toordinal() + 1)
            ten = local_instant(day, type(now.time())(10), house)
            self._base = (ten - now).total_seconds()
        with (self.folder / "clock").open("r+b" if (self.folder / "clock").exists() else "wb") as file:
            file.write(SHIFT.pack(self._base + step))

    # The supervisor and its opposite

    def _supervise(self, deadline: float) -> None:
        self._start()
        next_fault = time.monotonic() + 4.0
        next_step = time.monotonic() + _STEP_EVERY
        anyhow = False
        while True:
            assert self._node is not None
            if (code := self._node.poll()) is not None:
                if code == 0:
                    return
                self._died = self._died or time.monotonic()
                if time.monotonic() >= self._died + RESTART_SECONDS:
                    self._start()
            now = time.monotonic()
            spent = self.most_faults is not None and self._struck >= self.most_faults
            if now > next_fault and not spent and (anyhow or self._lines_up()):
                self._strike()
                next_fault = time.monotonic() + self.rng.expovariate(1 / self.kill_every)
                anyhow = self.rng.random() < _IDLE_STRIKES
            if now > next_step:
                self._step_clock()
                next_step = now + self.rng.expovariate(1 / _STEP_EVERY)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the sweep did not finish; its node's log: {self._log_tail()}")
            time.sleep(0.02)

    def _start(self) -> None:
        self.starts += 1
        self._died = 0.0
        with (self.folder / "node.log").open("ab") as log:
            self._node = subprocess.Popen(  # our own module
                [sys.executable, "-m", "tests.faults.node", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _strike(self) -> None:
        """The next of a shuffled deck; put back when there was nobody to hit."""
        if not self._deck:
            self._deck = [*KINDS]
            self.rng.shuffle(self._deck)
        kind = self._deck.pop()
        began = time.monotonic_ns()
        if self._do(kind):
            self._struck += 1
            self.faults.append(Fault(kind=kind, began_ns=began, over_ns=time.monotonic_ns()))
        else:
            self._deck.insert(0, kind)

    def _step_clock(self) -> None:
        began = time.monotonic_ns()
        self._set_clock(self.rng.choice(_STEPS))
        self.faults.append(Fault(kind="clock-step", began_ns=began, over_ns=time.monotonic_ns()))

    def _lines_up(self) -> int:
        """How many callees are on a line now, as the far side counts them."""
        with contextlib.suppress(FileNotFoundError):
            if told := (self.folder / "far" / "lines").read_bytes():
                return int(told)
        return 0

    def _do(self, kind: str) -> bool:
        assert self._node is not None
        alive = self._node.poll() is None
        relay = self._found("dialer.media.relay")
        if kind == "disk-full":
            return bool(relay) and self._fill(relay[0])
        workers = _children(self._node.pid, b"spawn_main") if alive else []
        struck = {
            "control": [self._node.pid] if alive else [],
            "relay": relay,
            "worker": workers,
            "all": [self._node.pid, *relay, *workers] if alive and relay else [],
        }[kind]
        return sum(map(_kill, struck)) > 0  # every one of them, whatever becomes of the others

    @staticmethod
    def _fill(relay: int) -> bool:
        whole = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        try:
            resource.prlimit(relay, resource.RLIMIT_FSIZE, (_FULL_FROM, resource.RLIM_INFINITY))
            time.sleep(FULL_SECONDS)
            resource.prlimit(relay, resource.RLIMIT_FSIZE, whole)
        except ProcessLookupError:
            return False
        return True

    def _found(self, module: str) -> list[int]:
        """Our processes that run ``module``; a relay may have been started by a node that is dead by now."""
        return [pid for pid, words in _processes() if module.encode() in words and str(self.folder).encode() in words]

    def _end_node(self) -> None:
        if self._node is not None and self._node.poll() is None:
            self._node.kill()
            self._node.wait()
        for pid in self._found("dialer.media.relay"):
            _kill(pid)

    def _log_tail(self) -> str:
        return (self.folder / "node.log").read_text(errors="replace")[-3000:]


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _said(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


def _processes() -> list[tuple[int, bytes]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.append((int(entry.name), (entry / "cmdline").read_bytes()))
    return found


def _children(parent: int, word: bytes) -> list[int]:
    found = []
    for pid, words in _processes():
        if word in words:
            with contextlib.suppress(OSError):
                if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(pid)
    return found


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
