"""URIs, name-addresses and Vias as they stand in SIP headers. Taking URIs apart is sippy's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from sippy.SipAddress import SipAddress
from sippy.SipURL import SipURL

from config.errors import BadInput

Address = tuple[str, int]

DEFAULT_PORT = 5060

_LOOSE = re.compile(r"\s*([;=])\s*")
# Damaged ports that sippy repairs with a line on standard output, the whole URI in it: sip:host: and sip:host:5060:5060.
_NO_PORT = re.compile(r":\s*(?=[;>?\s]|$)")
_PORT_TWICE = re.compile(r":\s*([^:;>?@\s]+):\1(?=\s*(?:[;>?\s]|$))")
_TELEPHONE = re.compile(r"<\s*tel:[^<>]*>(.*)$", re.IGNORECASE | re.DOTALL)


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


def malformed(problem: str) -> MalformedMessage:
    return MalformedMessage(problem, remedy="none: the datagram is dropped and counted", field="datagram")


def read_uri(text: str) -> Uri:
    """Raises ``MalformedMessage``."""
    try:
        return uri_of(SipURL(mended(text.strip())))
    except MalformedMessage:
        raise
    except Exception as error:  # the same parser, the same variety of exceptions
        raise malformed(f"no SIP URI ({type(error).__name__})") from error


def uri_of(parsed: SipURL) -> Uri:
    if parsed.transport is not None:
        # Contacts with ;transport=UDP in capitals make sippy refuse to send the BYE; the value is case-insensitive.
        parsed.transport = str(parsed.transport).lower()
    parsed.headers = None
    host = str(parsed.host)
    if not host or any(ch.isspace() or ch in "<>\"'" for ch in host):
        raise malformed("a URI without a host")
    port = int(parsed.port) if parsed.port is not None else None
    if port is not None and not 0 < port < 65536:
        raise malformed("a URI with an impossible port")
    text = parsed.localStr()
    if "\r" in text or "\n" in text:
        raise malformed("a URI with a line break")
    return Uri(text=text, user=parsed.username, host=host, port=port, loose=bool(parsed.lr))


@lru_cache(maxsize=1024)  # one message asks for the same From and To several times; the values are frozen
def read_name_address(text: str) -> NameAddress:
    """Raises ``MalformedMessage``."""
    if text.strip() == "*":
        return NameAddress(uri=Uri(text="*", user=None, host="*", port=None, loose=False), params=(), star=True)
    try:
        text = mended(text)
        # Blanks around ; and = are allowed (RFC 4475 3.1.1.1); without brackets sippy would make them part of the host.
        parsed = SipAddress(text.strip() if "<" in text else _LOOSE.sub(r"\1", text.strip()))
        params = tuple((str(key).strip(), _stripped(parsed.params[key])) for key in parsed.params_order)
        return NameAddress(uri=uri_of(parsed.url), params=params)
    except MalformedMessage:
        raise
    except Exception as error:  # the same parser, the same variety of exceptions
        raise malformed(f"no SIP address ({type(error).__name__})") from error


def mended(text: str) -> str:
    """``text`` without the damaged ports that sippy would tell standard output about; the same URIs otherwise."""
    if ":" not in text:
        return text
    return _NO_PORT.sub("", _PORT_TWICE.sub(r":\1", text))


def tag_of(text: str) -> str:
    """The tag of a From or To, or "". A gateway may write the person as ``tel:``. Raises ``MalformedMessage``."""
    telephone = _TELEPHONE.search(text)
    if telephone is None:
        return read_name_address(text).tag or ""
    for part in telephone[1].split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "tag":
            return value.strip()
    return ""


def _stripped(value: str | None) -> str | None:
    return value.strip() if value is not None else None


def read_via(text: str) -> Via:
    """Raises ``MalformedMessage``."""
    protocol, _, rest = text.strip().partition(" ")
    if not protocol.upper().startswith("SIP/2.0/"):
        if "/" not in text:
            raise malformed("no Via")
        # Blanks around the slashes are allowed (RFC 4475 3.1.1.1).
        head, _, rest = text.rpartition("/")[2].strip().partition(" ")
        if not head:
            raise malformed("no Via")
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
        raise malformed("a Via without host and port")
    return host.strip(), int(port) if port else DEFAULT_PORT
