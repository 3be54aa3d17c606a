"""Digest authentication as trunks use it (RFC 7616 with MD5; RFC 2069 where the caller sends no qop)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from dialer.simulated.wire import read_parameters

_NONCES_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a trunk must show; nothing is a secret here."""

    username: str
    password: str
    realm: str = "simulated.carrier"


class Gate:
    """Lets a request pass, or says what to challenge it with. Nonces are good until many newer ones were given out."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._nonces: dict[str, None] = {}

    def challenge_for(self, method: str, shown: str | None, fresh_nonce: str) -> str | None:
        """None when ``shown`` (an Authorization value) is right; else the value of the challenge header."""
        given = read_parameters(shown) if shown else {}
        stale = False
        if given and given.get("username") == self._credentials.username:
            right = hmac.compare_digest(given.get("response", "").encode(), self._response(method, given).encode())
            if right and given.get("nonce", "") in self._nonces:
                return None
            stale = right
        self._nonces[fresh_nonce] = None
        if len(self._nonces) > _NONCES_KEPT:
            self._nonces.pop(next(iter(self._nonces)))
        challenge = f'Digest realm="{self._credentials.realm}", nonce="{fresh_nonce}", algorithm=MD5, qop="auth"'
        return challenge + (", stale=true" if stale else "")

    def _response(self, method: str, given: dict[str, str]) -> str:
        known = self._credentials
        secret = _md5(f"{known.username}:{known.realm}:{known.password}")
        asked = _md5(f"{method}:{given.get('uri', '')}")
        if given.get("qop"):
            counted = f"{given.get('nonce')}:{given.get('nc')}:{given.get('cnonce')}:{given.get('qop')}"
            return _md5(f"{secret}:{counted}:{asked}")
        return _md5(f"{secret}:{given.get('nonce')}:{asked}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
