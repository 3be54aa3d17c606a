"""Digest authentication, RFC 7616 and RFC 8760: answering challenges (MD5 and SHA-256, each also -sess; qop auth,
auth-int, none) and making them (qop auth)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from dialer.engines.sip.message import Message

_PAIR = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_NEXT_CHALLENGE = re.compile(r",\s*(?=Digest\s)", re.IGNORECASE)  # some put two challenges on one line
_HASHES: dict[str, Callable[[bytes], str]] = {
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}


@dataclass(frozen=True, slots=True)
class Challenge:
    realm: str
    nonce: str
    algorithm: str
    qop: str  # "auth", "auth-int" or "" (RFC 2069)
    opaque: str | None
    stale: bool
    header: str  # the header that answers it

    @property
    def hash_name(self) -> str:
        return self.algorithm.removesuffix("-SESS")


def read_params(text: str) -> dict[str, str]:
    """The parameters of a Digest header, names in lower case; empty for another scheme."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        return {}
    pairs = {}
    for name, quoted, bare in _PAIR.findall(rest):
        pairs[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
    return pairs


def challenges_of(message: Message) -> list[Challenge]:
    """The challenges of a 401 or 407 that we can answer, the strongest first."""
    found = []
    for name, answer in (("www-authenticate", "authorization"), ("proxy-authenticate", "proxy-authorization")):
        for text in message.values(name):
            found += [one for part in _NEXT_CHALLENGE.split(text) if (one := _challenge(part, answer)) is not None]
    return sorted(found, key=lambda challenge: list(_HASHES).index(challenge.hash_name))


def _challenge(text: str, header: str) -> Challenge | None:
    params = read_params(text)
    algorithm = params.get("algorithm", "MD5").upper()
    offered = [item.strip().lower() for item in params.get("qop", "").split(",") if item.strip()]
    qop = next((one for one in ("auth", "auth-int") if one in offered), "")
    if algorithm.removesuffix("-SESS") not in _HASHES or "nonce" not in params or (offered and not qop):
        return None
    return Challenge(
        realm=params.get("realm", ""),
        nonce=params["nonce"],
        algorithm=algorithm,
        qop=qop,
        opaque=params.get("opaque"),
        stale=params.get("stale", "").lower() == "true",
        header=header,
    )


def _response(
    algorithm: str, username: str, realm: str, password: str, action: str, nonce: str, nc: str, cnonce: str, qop: str
) -> str:
    """RFC 7616 3.4.1; ``action`` is A2, ``qop`` "" for RFC 2069."""
    digest = _HASHES[algorithm.removesuffix("-SESS")]
    secret = digest(f"{username}:{realm}:{password}".encode())
    if algorithm.endswith("-SESS"):
        secret = digest(f"{secret}:{nonce}:{cnonce}".encode())
    tail = f"{nc}:{cnonce}:{qop}:" if qop else ""
    return digest(f"{secret}:{nonce}:{tail}{digest(action.encode())}".encode())


@dataclass(slots=True)
class Credentials:
    """One account and the challenges it has met; ``answer`` builds the headers for the next request."""

    username: str | None
    password: str | None
    _known: dict[tuple[str, str], tuple[Challenge, int]] = field(default_factory=dict)

    def learn(self, message: Message) -> bool:
        """Take in a 401 or 407. False when trying again is pointless: no account, nothing we can answer, or refused."""
        if not self.username or self.password is None:
            return False
        fresh = False
        seen: set[tuple[str, str]] = set()
        for challenge in challenges_of(message):
            key = (challenge.header, challenge.realm)
            if key in seen:
                continue  # RFC 8760 2.4: the topmost we can do; ours are sorted by strength
            seen.add(key)
            known = self._known.get(key)
            if known is None or (challenge.stale and known[0].nonce != challenge.nonce) or known[1] == 0:
                self._known[key] = (challenge, 0)
                fresh = True
            elif known[0].nonce != challenge.nonce and known[1] > 1:
                # A nonce that served several requests has aged; the far side need not say stale.
                self._known[key] = (challenge, 0)
                fresh = True
        return fresh

    def answer(self, method: str, uri: str, body: str = "") -> list[tuple[str, str]]:
        headers = []
        for key, (challenge, count) in list(self._known.items()):
            self._known[key] = (challenge, count + 1)
            headers.append((challenge.header, self._header(challenge, count + 1, method, uri, body)))
        return headers

    def _header(self, challenge: Challenge, count: int, method: str, uri: str, body: str) -> str:
        cnonce, nc = secrets.token_hex(8), f"{count:08x}"
        action = f"{method}:{uri}"
        if challenge.qop == "auth-int":
            action += ":" + _HASHES[challenge.hash_name](body.encode("latin-1", "replace"))
        response = _response(
            challenge.algorithm,
            self.username or "",
            challenge.realm,
            self.password or "",
            action,
            challenge.nonce,
            nc,
            cnonce,
            challenge.qop,
        )
        parts = [
            f'username="{_quoted(self.username or "")}"',
            f'realm="{_quoted(challenge.realm)}"',
            f'nonce="{_quoted(challenge.nonce)}"',
            f'uri="{uri}"',
            f'response="{response}"',
            f"algorithm={challenge.algorithm}",
        ]
        if challenge.qop:
            parts += [f'cnonce="{cnonce}"', f"qop={challenge.qop}", f"nc={nc}"]
        elif challenge.algorithm.endswith("-SESS"):
            parts.append(f'cnonce="{cnonce}"')
        if challenge.opaque is not None:
            parts.append(f'opaque="{_quoted(challenge.opaque)}"')
        return "Digest " + ", ".join(parts)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


class Doorkeeper:
    """Challenges desks that register. Nonces carry their age and our key, so nothing is stored per challenge."""

    def __init__(
        self, realm: str, algorithms: tuple[str, ...], *, now: Callable[[], float], lifetime: float = 60.0
    ) -> None:
        self._realm = realm
        self._algorithms = algorithms
        self._key = secrets.token_bytes(32)
        self._now = now
        self._lifetime = lifetime
        self._counts: dict[str, int] = {}

    def challenges(self, *, stale: bool = False) -> list[tuple[str, str]]:
        """WWW-Authenticate headers, the preferred first (RFC 8760 2.3)."""
        nonce = self._nonce(int(self._now()))
        tail = ", stale=true" if stale else ""
        return [
            ("www-authenticate", f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={name}, qop="auth"{tail}')
            for name in self._algorithms
        ]

    def _nonce(self, moment: int) -> str:
        seal = hmac.new(self._key, str(moment).encode(), hashlib.sha256).hexdigest()[:32]
        return f"{moment:x}.{seal}"

    def verdict(self, authorization: str, method: str, passwords: dict[str, str]) -> tuple[str | None, bool]:
        """(user name, stale): the name when the answer is right and fresh; stale when right but the nonce is old."""
        params = read_params(authorization)
        username, nonce = params.get("username", ""), params.get("nonce", "")
        algorithm = params.get("algorithm", "MD5").upper()
        password = passwords.get(username)
        if password is None or algorithm not in self._algorithms or params.get("realm") != self._realm:
            return None, False
        moment = nonce.partition(".")[0]
        try:
            issued = int(moment, 16)
        except ValueError:
            return None, False
        if not hmac.compare_digest(self._nonce(issued).encode(), nonce.encode()) or params.get("qop") != "auth":
            return None, False
        count = params.get("nc", "")
        action, cnonce = f"{method}:{params.get('uri', '')}", params.get("cnonce", "")
        expected = _response(algorithm, username, self._realm, password, action, nonce, count, cnonce, "auth")
        if not hmac.compare_digest(expected.encode(), params.get("response", "").encode()):
            return None, False
        if self._now() - issued > self._lifetime or not self._counts_up(nonce, count):
            return None, True
        return username, False

    def _counts_up(self, nonce: str, count: str) -> bool:
        """Each nonce count serves once, so that an answer overheard cannot be replayed."""
        try:
            number = int(count, 16)
        except ValueError:
            return False
        if number <= self._counts.get(nonce, 0):
            return False
        oldest = int(self._now()) - self._lifetime
        if len(self._counts) > 1000:
            self._counts = {key: value for key, value in self._counts.items() if int(key.split(".")[0], 16) > oldest}
        self._counts[nonce] = number
        return True
