"""A PostgreSQL of the tests' (and benches') own, from Debian's package, as an unprivileged user, on a socket in a folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# A throw-away server: what it holds need not outlive a power cut.
FOR_TESTS = ("fsync=off", "full_page_writes=off", "max_connections=120", "deadlock_timeout=200ms")


def _bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: run `make peers` (Debian package postgresql)")
    return found[-1].parent


class Postgres:
    def __init__(self, folder: Path, run: list[str], process: int) -> None:
        self.folder = folder
        self.process = process
        self._run = run

    def sql(self, statement: str) -> str:
        """What the statement prints, bare."""
        psql = [str(_bin() / "psql"), "-h", str(self.folder), "-U", "onrecord", "-d", "postgres", "-qAtc", statement]
        return subprocess.run([*self._run, *psql], check=True, capture_output=True, text=True, cwd="/").stdout.strip()

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://onrecord@/{name}?host={self.folder}"

    def database(self, template: str = "template1") -> str:
        """The URL of a fresh database."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@contextmanager
def postgres_server(
    settings: Sequence[str] = FOR_TESTS, *, kept: Path | None = None, locale: str = "C"
) -> Iterator[Postgres]:
    """``kept``: a folder that stays, with what an earlier server left in it; without, all goes when the server stops.

    initdb refuses root, so as root the server runs as Debian's postgres (or nobody).
    """
    folder = kept or Path(tempfile.mkdtemp(prefix="onrecord-pg-", dir="/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    run: list[str] = []
    if os.geteuid() == 0:
        account = next(name for name in ("postgres", "nobody") if _exists(name))
        owner = pwd.getpwnam(account)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        run = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]
    folder.chmod(0o755)
    data = folder / "data"
    try:
        if not (data / "PG_VERSION").exists():
            subprocess.run(
                [
                    *run,
                    *(str(_bin() / "initdb"), "-D", str(data), "-U", "onrecord"),
                    *("-A", "trust", "-E", "UTF8", f"--locale={locale}", "-N"),
                ],
                check=True,
                capture_output=True,
                cwd="/",
            )
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *run,
                    str(_bin() / "postgres"),
                    *("-D", str(data), "-k", str(folder), "-c", "listen_addresses="),
                    *(word for setting in settings for word in ("-c", setting)),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
            )
        try:
            _await_ready(folder, run, server)
            yield Postgres(folder, run, server.pid)
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: whoever is still connected is sent away
            server.wait(120)
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def _exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def _await_ready(folder: Path, run: list[str], server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text(errors='replace')}")
        ready = subprocess.run(
            [*run, str(_bin() / "pg_isready"), "-q", "-h", str(folder), "-t", "1"], check=False, cwd="/"
        )
        if ready.returncode == 0:
            return
        subprocess.run(["sleep", "0.1"], check=True)
    raise RuntimeError("PostgreSQL did not become ready")
