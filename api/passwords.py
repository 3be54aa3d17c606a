"""Passwords (argon2id) and session tokens (256 random bits; the store sees only their SHA-256)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from config.errors import BadInput

MIN_PASSWORD = 10
MAX_PASSWORD = 256

_hasher = PasswordHasher()
_NOBODYS_HASH = _hasher.hash(secrets.token_hex())  # an unknown name costs the same time as a wrong password


def hash_password(password: str) -> str:
    """The argon2id hash to keep. Raises BadInput for a password that is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise BadInput(
            "the password's length is not acceptable",
            field="password",
            shape=f"{len(password)} characters",
            remedy=f"use {MIN_PASSWORD} to {MAX_PASSWORD} characters",
        )
    return _hasher.hash(password)


class PasswordCheck:
    """Two checks at once: each takes 64 MiB, and a flood of log-ins must not take the machine's memory."""

    def __init__(self) -> None:
        self._at_once = asyncio.Semaphore(2)

    async def fits(self, password: str, kept_hash: str | None) -> bool:
        """Whether ``password`` made ``kept_hash``; takes the same time when there is no hash."""
        async with self._at_once:
            return await asyncio.to_thread(_verify, password, kept_hash or _NOBODYS_HASH) and kept_hash is not None


def _verify(password: str, kept_hash: str) -> bool:
    try:
        return _hasher.verify(kept_hash, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


def needs_rehash(kept_hash: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept_hash)


def new_token() -> str:
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_token(token: str) -> str:
    """The anti-forgery token of a session: only who knows the session's token can derive it."""
    return hmac.new(token.encode(), b"onrecord csrf", hashlib.sha256).hexdigest()
