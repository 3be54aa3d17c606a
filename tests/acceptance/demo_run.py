"""`onrecord demo` as a person starts it: a process, its words, its files; and carriers for it to call."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dialer.demo import SAMPLE

ONRECORD = Path(sys.executable).with_name("onrecord")
SCENARIOS = Path(__file__).parent / "sipp"
HOST = "127.0.0.1"


@dataclass
class Run:
    """One `onrecord demo`. ``out`` and ``err`` are files, so that nothing waits for a reader."""

    process: subprocess.Popen[bytes]
    data: Path
    out: Path
    err: Path

    def wait(self, seconds: float = 150) -> int:
        return self.process.wait(seconds)

    def report(self, seconds: float = 150) -> dict[str, Any]:
        code = self.wait(seconds)
        assert code == 0, f"exit {code}: {self.err.read_text()[-2000:]}\n{self.log()[-3000:]}"
        return self.said()

    def said(self) -> dict[str, Any]:
        """Standard output is one JSON object and nothing else."""
        text = self.out.read_text()
        assert text.count("\n") == 1, text[:2000]
        said: dict[str, Any] = json.loads(text)
        return said

    def log(self) -> str:
        path = self.data / "onrecord.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, what: str, count: int = 1, seconds: float = 60) -> None:
        """Until the run's log has ``what`` so many times."""
        deadline = time.monotonic() + seconds
        while self.log().count(what) < count:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.err.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"no {count} × {what!r} in\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with contextlib.closing(sqlite3.connect(self.data / "onrecord.db", timeout=20)) as store:
            store.row_factory = sqlite3.Row
            return store.execute(query, values).fetchall()

    def family(self) -> list[int]:
        """Every living process whose command line or parents lead to this run."""
        return [pid for pid, (_, command) in _processes().items() if str(self.data) in command]


@contextlib.contextmanager
def demo(data: Path, *arguments: str, **environment: str) -> Iterator[Run]:
    """Start the command; whatever it left is ended with the test."""
    data.parent.mkdir(parents=True, exist_ok=True)
    number = len(list(data.parent.glob("*.out")))
    out, err = data.parent / f"{number}.out", data.parent / f"{number}.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [str(ONRECORD), "demo", "--json", "--data", str(data), *arguments],
            stdout=stdout,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    run = Run(process, data, out, err)
    try:
        yield run
    finally:
        mine = descendants(process.pid)
        if process.poll() is None:
            process.kill()
            process.wait(10)
        for pid in {*mine, *run.family()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _processes() -> dict[int, tuple[int, str]]:
    """Pid → (parent, command line) of all living processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if stat[0] != "Z":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(entry.name)] = (int(stat[1]), command)
    return found


def descendants(pid: int) -> list[int]:
    parents = {child: parent for child, (parent, _) in _processes().items()}
    found: list[int] = []
    for child in parents:
        at: int | None = child
        while at is not None and at > 1:
            at = parents.get(at)
            if at == pid:
                found.append(child)
                break
    return found


def alive(pids: list[int]) -> list[str]:
    """The command lines of those that still run."""
    living = _processes()
    return [living[pid][1] for pid in pids if pid in living]


def child(run: Run, word: str, seconds: float = 30) -> int:
    """The run's descendant whose command line has ``word``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        living = _processes()
        for pid in descendants(run.process.pid):
            if word in living.get(pid, (0, ""))[1]:
                return pid
        time.sleep(0.02)
    raise AssertionError(f"no child with {word}")


def sample_rows(cases: int) -> list[dict[str, str]]:
    with (SAMPLE / "placement.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))[:cases]


def write_placement(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def mobiles(path: Path, numbers: list[str]) -> Path:
    """A placement of one case a number; every one a debtor's mobile."""
    rows = [
        {"案件编号": f"T{at:05}", "姓名": "测试", "余额": "1000.00", "币种": "CNY", "持卡人手机": number}
        for at, number in enumerate(numbers)
    ]
    return write_placement(path, rows)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Carrier:
    """A far side of ours in its own process. ``lines`` of the bill are written when a call is over."""

    process: subprocess.Popen[bytes]
    port: int
    bill: Path
    folder: Path

    @property
    def trunk(self) -> str:
        return f"sip:{HOST}:{self.port}"

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.bill.read_text().splitlines()] if self.bill.exists() else []


@contextlib.contextmanager
def simulated_carrier(folder: Path, people: dict[str, dict[str, Any]]) -> Iterator[Carrier]:
    """The simulated carrier with these people, outliving whoever calls it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "people.json").write_text(json.dumps(people))
    arguments = ["--directory", str(folder / "people.json"), "--bill", str(folder / "bill.jsonl")]
    process = subprocess.Popen(
        [sys.executable, "-m", "dialer.simulated.carrier", *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    try:
        yield Carrier(process, said["port"], folder / "bill.jsonl", folder)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@dataclass
class Sipp:
    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def trunk(self) -> str:
        return f"sip:{HOST}:{self.port}"

    @property
    def messages(self) -> str:
        found = list(self.folder.glob("*_messages.log"))
        return found[0].read_text(errors="replace") if found else ""

    def received(self, method: str) -> list[str]:
        """The requests of this method that came, whole."""
        parts = self.messages.split("-----------------------------------------------")
        return [part for part in parts if "message received" in part[:80] and f"\n{method} sip:" in part]


@contextlib.contextmanager
def sipp(scenario: str, folder: Path) -> Iterator[Sipp]:
    """SIPp playing ``tests/acceptance/sipp/<scenario>.xml`` to everybody who calls."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    process = subprocess.Popen(
        ["sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", HOST, "-p", str(port), "-mp", str(free_port() & ~1),
         "-trace_msg", "-trace_err", "-nostdin", "-aa"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 10
    while not any(f":{port:04X} " in row for row in Path("/proc/net/udp").read_text().splitlines()):
        assert process.poll() is None, "SIPp did not start"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield Sipp(process, port, folder)
    finally:
        process.kill()
        process.wait(10)
