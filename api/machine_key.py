"""The key of a running server, for commands on the same machine.

``onrecord serve`` writes its address and a fresh random key into a file only its own account may read, and takes it
away when it stops. Whoever may read the file may already read the database: no new power is given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.passwords import new_token
from config.errors import BadInput, Unhealthy


class NoServer(Unhealthy):
    """No ``onrecord serve`` runs here, or it does not answer."""

    error_id = "no-server"


class BadKeyFile(BadInput):
    """The key file is not one, or others may read it."""

    error_id = "bad-key-file"


@dataclass(frozen=True, slots=True)
class MachineKey:
    url: str
    key: str


@contextmanager
def published(path: Path, url: str) -> Iterator[str]:
    """The key is in ``path`` while the block runs. Raises Unhealthy when the file cannot be written."""
    key = new_token()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"url": url, "key": key}, file)
        fresh.replace(path)
    except OSError as error:
        raise Unhealthy(
            f"the key file cannot be written ({error.strerror})",
            field="web.key_file",
            remedy="name a folder that this account may write",
        ) from error
    try:
        yield key
    finally:
        if path.exists() and json.loads(path.read_text()).get("key") == key:
            path.unlink()


def read_key(path: Path) -> MachineKey | None:
    """The key of the server of this machine, or None when none runs. Raises BadKeyFile."""
    try:
        if path.stat().st_mode & 0o077:
            raise BadKeyFile("others may read the key", field="web.key_file", remedy=f"chmod 600 {path}")
        kept = json.loads(path.read_text())
        return MachineKey(url=str(kept["url"]), key=str(kept["key"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise BadKeyFile(
            "this is not a key file", field="web.key_file", remedy="remove it and start onrecord serve again"
        ) from error
