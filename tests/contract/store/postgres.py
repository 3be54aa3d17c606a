"""A PostgreSQL of the tests' own, from Debian's package, as an unprivileged user, on a socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: run `make peers` (Debian package postgresql)")
    return found[-1].parent


class Postgres:
    def __init__(self, folder: Path, run: list[str]) -> None:
        self.folder = folder
        self._run = run

    def sql(self, statement: str) -> None:
        subprocess.run(
            [
                *self._run,
                str(_bin() / "psql"),
                "-h",
                str(self.folder),
                "-U",
                "onrecord",
                "-d",
                "postgres",
                "-qc",
                statement,
            ],
            check=True,
            capture_output=True,
        )

    def database(self, template: str = "template1") -> str:
        """The URL of a fresh database."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://onrecord@/{name}?host={self.folder}"


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """initdb refuses root, so as root the server runs as Debian's postgres (or nobody)."""
    folder = Path(tempfile.mkdtemp(prefix="onrecord-pg-", dir="/tmp"))
    run: list[str] = []
    if os.geteuid() == 0:
        account = next(name for name in ("postgres", "nobody") if _exists(name))
        owner = pwd.getpwnam(account)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        run = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]
    folder.chmod(0o755)
    data = folder / "data"
    try:
        subprocess.run(
            [
                *run,
                str(_bin() / "initdb"),
                "-D",
                str(data),
                "-U",
                "onrecord",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
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
                    *("-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"),
                    *("-c", "max_connections=120", "-c", "full_page_writes=off", "-c", "deadlock_timeout=200ms"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
            )
        try:
            _await_ready(folder, run, server)
            yield Postgres(folder, run)
        finally:
            server.terminate()
            server.wait(20)
    finally:
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
