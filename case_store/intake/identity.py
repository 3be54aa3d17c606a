"""Identity numbers are kept as a keyed digest: whoever gets the database cannot try every number against it.

HMAC-SHA-256 under the house's own key over the plain digest the parser makes; ``h1:`` marks it, so that plain digests of
an earlier version are found and keyed too (their own text is all that is needed).
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from config.errors import BadSetting

MARK = "h1:"
_BYTES = 32

KeyIdentity = Callable[[str], str]
"""Plain digest (64 hex digits) → what is stored."""


def keyed_by(key: bytes) -> KeyIdentity:
    def digest(plain: str) -> str:
        made = hmac.digest(key, plain.encode("ascii"), "sha256")
        return MARK + base64.urlsafe_b64encode(made).decode("ascii").rstrip("=")

    return digest


def house_key(path: Path) -> bytes:
    """The key in a file that only its owner reads; made on first use. Raises ``BadSetting``.

    Losing it loses nothing but the answer to "is this the same person?" for cases to come.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(base64.b64encode(secrets.token_bytes(_BYTES)).decode("ascii") + "\n")
        mode = path.stat().st_mode & 0o777
        key = base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True)
    except (OSError, ValueError) as error:
        raise BadSetting(
            f"the key of identity digests cannot be read ({type(error).__name__})",
            field="store.identity_key",
            remedy="name a file this account may read and write, or restore it from the backup",
        ) from error
    if mode & 0o077:
        raise BadSetting(
            "others may read the key of identity digests",
            field="store.identity_key",
            shape=f"mode {mode:o}",
            remedy="chmod 600 it",
        )
    if len(key) != _BYTES:
        raise BadSetting(
            "the key of identity digests is no key",
            field="store.identity_key",
            shape=f"{len(key)} bytes",
            remedy=f"it holds {_BYTES} bytes in base64; restore it from the backup",
        )
    return key
