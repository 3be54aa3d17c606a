"""What is on the wire, typed. Reading is sippy's; everything above this module sees only these types.

Datagrams are read as Latin-1 so that one character is one byte: sippy compares Content-Length (bytes)
with the length of a decoded string and refuses a body with any non-ASCII character otherwise.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from sippy.SipAddress import SipAddress
from sippy.SipRequest import SipRequest
from sippy.SipResponse import SipResponse
from sippy.SipURL import SipURL

from config.errors import BadInput

Address = tuple[str, int]

DEFAULT_PORT = 5060
COOKIE = "z9hG4bK"
LARGEST_DATAGRAM = 65535

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
_ONCE = ("call-id", "cseq", "from", "to", "max-forwards")
_NULL = re.compile(r"(?<!\\)\x00")  # RFC 3261 25.1: a quoted pair may hold one
_LENGTH = re.compile(r"^(?:content-length|l)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_LOOSE = re.compile(r"\s*([;=])\s*")
# Compact names of extensions that sippy leaves as they come (RFC 4028, 3265, 3261 7.3.3).
_COMPACT = {"x": "session-expires", "k": "supported", "o": "event", "u": "allow-events", "e": "content-encoding"}


class MalformedMessage(BadInput):
    """A datagram that is no SIP message; dropped and counted."""

    error_id = "malformed-message"


@dataclass(frozen=True, slots=True)
class Uri:
    """A ``sip:`` URI. ``text`` is what goes on the wire: transport in lower case, no headers."""

    text: str
    user: str | None
    host: str
    port: int | None
    loose: bool

    @property
    def address(self) -> Address:
        return (self.host.strip("[]"), self.port or DEFAULT_PORT)


@dataclass(frozen=True, slots=True)
class NameAddress:
    """``"Name" <sip:…>;tag=…`` of From, To, Contact, Route and Record-Route."""

    uri: Uri
    params: tuple[tuple[str, str | None], ...]
    star: bool = False

    def param(self, name: str) -> str | None:
        for key, value in self.params:
            if key.lower() == name:
                return value if value is not None else ""
        return None

    @property
    def tag(self) -> str | None:
        return self.param("tag")


@dataclass(frozen=True, slots=True)
class Via:
    host: str
    port: int
    params: dict[str, str | None]
    text: str

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def sent_by(self) -> str:
        return f"{self.host.lower()}:{self.port}"


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
            raise MalformedMessage("CSeq has no number", remedy="none: the datagram is dropped", field="cseq")
        return int(number), method.strip()

    @property
    def from_tag(self) -> str:
        return read_name_address(self.first("from") or "").tag or ""

    @property
    def to_tag(self) -> str:
        return read_name_address(self.first("to") or "").tag or ""

    @property
    def via(self) -> Via:
        return read_via(self.first("via") or "")

    @property
    def contact(self) -> NameAddress | None:
        text = self.first("contact")
        return read_name_address(text) if text else None

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


def canonical_name(name: str) -> str:
    return _CANONICAL.get(name) or "-".join(part.capitalize() for part in name.split("-"))


def read(datagram: bytes) -> Request | Response:
    """One datagram. Raises ``MalformedMessage`` for whatever is not a SIP message with its mandatory headers."""
    text = datagram.decode("latin-1").lstrip("\r\n")  # RFC 3261 7.5: line ends before the start line are ignored
    if "SIP/2.0" not in text.partition("\n")[0]:
        raise _malformed("no SIP start line")  # noise costs a microsecond, not a parser's forty
    head = text.partition("\r\n\r\n")[0]
    if _NULL.search(head):
        raise _malformed("a null character in a header")
    if len(_LENGTH.findall(head)) > 1:
        raise _malformed("more than one Content-Length")  # sippy believes the last one
    try:
        if text.startswith("SIP/2.0 "):
            return _checked(_read_response(SipResponse(text)))
        return _checked(_read_request(SipRequest(text)))
    except MalformedMessage:
        raise
    except Exception as error:  # sippy lets any exception out of its parser: IndexError, ValueError, AssertionError …
        raise _malformed(f"sippy could not read it ({type(error).__name__})") from error


def _malformed(problem: str) -> MalformedMessage:
    return MalformedMessage(problem, remedy="none: the datagram is dropped and counted", field="datagram")


def _read_response(parsed: SipResponse) -> Response:
    status = int(parsed.scode)
    if parsed.sipver != "SIP/2.0" or not 100 <= status <= 699:
        raise _malformed("no SIP status")
    return Response(headers=_headers_of(parsed), body=_body_of(parsed), status=status, reason=str(parsed.reason))


def _read_request(parsed: SipRequest) -> Request:
    if parsed.sipver != "SIP/2.0" or not parsed.method.isascii():
        raise _malformed("no SIP request line")
    return Request(
        headers=_headers_of(parsed), body=_body_of(parsed), method=parsed.method, uri=_uri_of(parsed.ruri).text
    )


def _headers_of(parsed: SipRequest | SipResponse) -> list[tuple[str, str]]:
    headers = [(_COMPACT.get(header.name, header.name), str(header.body).strip()) for header in parsed.headers]
    if parsed.body is not None:
        headers.append(("content-type", str(parsed.body.mtype)))
    return headers


def _body_of(parsed: SipRequest | SipResponse) -> str:
    return str(parsed.body) if parsed.body is not None else ""


def _checked(message: AnyMessage) -> AnyMessage:
    """Everything the layers above rely on can be read: Via, CSeq, From, To, Call-ID."""
    if not message.call_id:
        raise _malformed("no Call-ID")
    for name in _ONCE:
        if len(message.values(name)) > 1:
            raise _malformed(f"more than one {canonical_name(name)}")
    _number, method = message.cseq
    if isinstance(message, Request) and method != message.method:
        raise _malformed("the method of CSeq is not that of the request")
    _ = message.via, message.from_tag, message.to_tag
    return message


def read_uri(text: str) -> Uri:
    """Raises ``MalformedMessage``."""
    try:
        return _uri_of(SipURL(text.strip()))
    except MalformedMessage:
        raise
    except Exception as error:  # the same parser, the same variety of exceptions
        raise _malformed(f"no SIP URI ({type(error).__name__})") from error


def _uri_of(parsed: SipURL) -> Uri:
    if parsed.transport is not None:
        # Contacts with ;transport=UDP in capitals make sippy refuse to send the BYE; the value is case-insensitive.
        parsed.transport = str(parsed.transport).lower()
    parsed.headers = None
    host = str(parsed.host)
    if not host or any(ch.isspace() or ch in "<>\"'" for ch in host):
        raise _malformed("a URI without a host")
    port = int(parsed.port) if parsed.port is not None else None
    if port is not None and not 0 < port < 65536:
        raise _malformed("a URI with an impossible port")
    text = parsed.localStr()
    if "\r" in text or "\n" in text:
        raise _malformed("a URI with a line break")
    return Uri(text=text, user=parsed.username, host=host, port=port, loose=bool(parsed.lr))


@lru_cache(maxsize=1024)  # one message asks for the same From and To several times; the values are frozen
def read_name_address(text: str) -> NameAddress:
    """Raises ``MalformedMessage``."""
    if text.strip() == "*":
        return NameAddress(uri=Uri(text="*", user=None, host="*", port=None, loose=False), params=(), star=True)
    try:
        # Blanks around ; and = are allowed (RFC 4475 3.1.1.1); without brackets sippy would make them part of the host.
        parsed = SipAddress(text.strip() if "<" in text else _LOOSE.sub(r"\1", text.strip()))
        params = tuple((str(key).strip(), _stripped(parsed.params[key])) for key in parsed.params_order)
        return NameAddress(uri=_uri_of(parsed.url), params=params)
    except MalformedMessage:
        raise
    except Exception as error:  # the same parser, the same variety of exceptions
        raise _malformed(f"no SIP address ({type(error).__name__})") from error


def _stripped(value: str | None) -> str | None:
    return value.strip() if value is not None else None


def read_via(text: str) -> Via:
    """Raises ``MalformedMessage``."""
    protocol, _, rest = text.strip().partition(" ")
    if not protocol.upper().startswith("SIP/2.0/"):
        if "/" not in text:
            raise _malformed("no Via")
        # Blanks around the slashes are allowed (RFC 4475 3.1.1.1).
        head, _, rest = text.rpartition("/")[2].strip().partition(" ")
        if not head:
            raise _malformed("no Via")
    sent_by, *raw = rest.strip().split(";")
    params: dict[str, str | None] = {}
    for part in raw:
        key, has_value, value = part.partition("=")
        params[key.strip().lower()] = value.strip() if has_value else None
    host, port = _host_and_port(sent_by.strip())
    return Via(host=host, port=port, params=params, text=text)


def _host_and_port(text: str) -> Address:
    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    if text.startswith("[") and "]:" in text:
        host, _, port = text.rpartition(":")
    port = port.strip()
    if not host.strip() or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise _malformed("a Via without host and port")
    return host.strip(), int(port) if port else DEFAULT_PORT


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
