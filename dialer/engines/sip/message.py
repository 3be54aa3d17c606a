"""SIP messages as everything above the reader sees them. One character is one byte (Latin-1) in all texts."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TypeVar

from dialer.engines.sip.bodies import session_description
from dialer.engines.sip.uri import (
    Address,
    MalformedMessage,
    NameAddress,
    Uri,
    Via,
    malformed,
    read_name_address,
    read_via,
    tag_of,
)

COOKIE = "z9hG4bK"

_CANONICAL = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "mime-version": "MIME-Version",
    "min-se": "Min-SE",
    "rack": "RAck",
    "rseq": "RSeq",
    "www-authenticate": "WWW-Authenticate",
    "p-asserted-identity": "P-Asserted-Identity",
}


@dataclass(slots=True)
class Message:
    """Header names are lower case; a header with several values on one line is several entries."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    def first(self, name: str) -> str | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def tokens(self, name: str) -> frozenset[str]:
        """The option tags or methods of a comma-separated header, lower case."""
        joined = ",".join(self.values(name))
        return frozenset(part.strip().lower() for part in joined.split(",") if part.strip())

    def number(self, name: str) -> int | None:
        """A header that is one number, perhaps with parameters or a comment after it (Retry-After: 18 (busy))."""
        text = self.first(name)
        if text is None:
            return None
        digits = text.split(";")[0].split("(")[0].strip()
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None

    @property
    def call_id(self) -> str:
        return self.first("call-id") or ""

    @property
    def cseq(self) -> tuple[int, str]:
        number, _, method = (self.first("cseq") or "").partition(" ")
        if not (number.isascii() and number.isdigit()) or int(number) >= 2**32:
            raise malformed("CSeq has no number")
        return int(number), method.strip()

    @property
    def from_tag(self) -> str:
        return tag_of(self.first("from") or "")

    @property
    def to_tag(self) -> str:
        return tag_of(self.first("to") or "")

    @property
    def via(self) -> Via:
        return read_via(self.first("via") or "")

    @property
    def contact(self) -> NameAddress | None:
        """Raises ``MalformedMessage``."""
        text = self.first("contact")
        return read_name_address(text) if text else None

    @property
    def target(self) -> Uri | None:
        """Where its sender wants requests to be sent; None without a Contact that could be used (tel:, damaged, *)."""
        try:
            contact = self.contact
        except MalformedMessage:
            return None
        return contact.uri if contact is not None and not contact.star else None

    @property
    def routes(self) -> tuple[str, ...]:
        """Its Record-Route values, those left out that nothing could be sent to."""
        return tuple(value for value in self.values("record-route") if _is_address(value))

    @property
    def description(self) -> str:
        """The session description it carries, alone or among the parts of a multipart body (RFC 5621); else empty."""
        return session_description(self.first("content-type"), self.body)

    def _render_after(self, start: str) -> bytes:
        lines = [start]
        lines += [f"{canonical_name(name)}: {value}" for name, value in self.headers if name != "content-length"]
        body = self.body.encode("latin-1", "replace")
        lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body


@dataclass(slots=True)
class Request(Message):
    method: str = ""
    uri: str = ""

    def render(self) -> bytes:
        return self._render_after(f"{self.method} {self.uri} SIP/2.0")


@dataclass(slots=True)
class Response(Message):
    status: int = 0
    reason: str = ""

    def render(self) -> bytes:
        return self._render_after(f"SIP/2.0 {self.status} {self.reason}")


AnyMessage = TypeVar("AnyMessage", Request, Response)


def on_the_wire(text: str) -> str:
    """Any text as one character a byte of its UTF-8 (RFC 3261 7.3.1), the way messages hold it here."""
    return text.encode().decode("latin-1")


def _is_address(text: str) -> bool:
    try:
        read_name_address(text)
    except MalformedMessage:
        return False
    return True


def canonical_name(name: str) -> str:
    return _CANONICAL.get(name) or "-".join(part.capitalize() for part in name.split("-"))


def new_branch() -> str:
    return COOKIE + secrets.token_hex(10)


def new_tag() -> str:
    return secrets.token_hex(6)


def respond(request: Request, status: int, reason: str, *, to_tag: str | None = None) -> Response:
    """A response with the headers RFC 3261 8.2.6 copies: Via, From, To, Call-ID, CSeq, Record-Route."""
    headers = [(name, value) for name, value in request.headers if name in ("via", "from", "to", "call-id", "cseq")]
    if status > 100 and not request.to_tag:
        tag = to_tag or new_tag()
        headers = [(name, f"{value};tag={tag}" if name == "to" else value) for name, value in headers]
    if request.method == "INVITE" and 100 < status < 300:
        headers += [("record-route", value) for value in request.values("record-route")]
    return Response(headers=headers, status=status, reason=reason)


def reply_address(request: Request, source: Address) -> Address:
    """Where a response goes: the packet's source with ``rport`` (RFC 3581), else its host with the Via's port."""
    via = request.via
    return source if "rport" in via.params else (source[0], via.port)
