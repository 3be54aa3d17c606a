"""SIP messages as text: read tolerantly, write strictly (RFC 3261 section 7). Our own, so that it is no mirror of sippy."""

from __future__ import annotations

from dataclasses import dataclass, field

_LONG_NAMES = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "k": "supported",
    "s": "subject",
    "x": "session-expires",
    "e": "content-encoding",
}
_WRITTEN = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "www-authenticate": "WWW-Authenticate",
    "rseq": "RSeq",
    "min-se": "Min-SE",
}

REASONS = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    183: "Session Progress",
    200: "OK",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    483: "Too Many Hops",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Server Time-out",
    603: "Decline",
}


class Unreadable(ValueError):
    """The datagram is no SIP message; it is dropped, or answered with 400 where enough of it could be read."""


@dataclass(slots=True)
class SipMessage:
    """``headers`` keeps the order received; names are lower case and long."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = True  # false: Content-Length promised more than came

    @property
    def is_request(self) -> bool:
        return not self.start.upper().startswith("SIP/2.0 ")

    @property
    def method(self) -> str:
        """Of a request; of a response, the method in CSeq."""
        if self.is_request:
            return self.start.split(" ", 1)[0]
        return self.cseq[1]

    @property
    def uri(self) -> str:
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    @property
    def cseq(self) -> tuple[int, str]:
        number, _, method = (self.get("cseq") or "0 ").partition(" ")
        return (int(number) if number.isdigit() else 0), method.strip().upper()

    def get(self, name: str) -> str | None:
        return next((value for header, value in self.headers if header == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of a header that may be a comma-separated list (Via, Route, Contact, Supported …)."""
        return [part for header, value in self.headers if header == name for part in split_list(value)]

    def tokens(self, name: str) -> set[str]:
        return {token.strip().lower() for token in self.all(name)}


@dataclass(frozen=True, slots=True)
class Via:
    """The top Via: where a response goes and which transaction it belongs to."""

    host: str
    port: int | None
    params: dict[str, str | None] = field(default_factory=dict)

    @property
    def branch(self) -> str:
        return self.params.get("branch") or ""


def split_list(value: str) -> list[str]:
    """Split at commas that stand outside quotes and angle brackets."""
    parts, depth, quoted, start, escaped = [], 0, False, 0, False
    for at, ch in enumerate(value):
        if escaped:
            escaped = False
        elif ch == "\\" and quoted:
            escaped = True
        elif ch == '"':
            quoted = not quoted
        elif not quoted and ch == "<":
            depth += 1
        elif not quoted and ch == ">":
            depth -= 1
        elif ch == "," and not quoted and depth <= 0:
            parts.append(value[start:at].strip())
            start = at + 1
    parts.append(value[start:].strip())
    return [part for part in parts if part]


def read_message(datagram: bytes) -> SipMessage:
    """Read one datagram. Raises ``Unreadable``; tolerates bare LF, folded lines, compact names, odd spacing."""
    head, separator, body = datagram.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        head, separator, body = datagram.lstrip(b"\r\n").partition(b"\n\n")
    try:
        lines = head.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    start = lines[0].strip()
    words = start.split(" ")
    if len(words) < 3 or not (words[0].upper() == "SIP/2.0" or words[-1].upper() == "SIP/2.0"):
        raise Unreadable("no SIP start line")
    if words[0].upper() == "SIP/2.0" and not words[1].isdigit():
        raise Unreadable("no status")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and headers:
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if not colon:
            continue
        name = name.strip().lower()
        headers.append((_LONG_NAMES.get(name, name), value.strip()))
    message = SipMessage(start, headers, body)
    length = message.get("content-length")
    if length is not None and length.isdigit():
        message.complete = int(length) <= len(body)
        message.body = body[: int(length)]
    return message


def write_message(start: str, headers: list[tuple[str, str]], body: bytes = b"", content_type: str = "") -> bytes:
    lines = [start]
    lines += [
        f"{_WRITTEN.get(name, '-'.join(w.capitalize() for w in name.split('-')))}: {value}" for name, value in headers
    ]
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def read_via(value: str) -> Via:
    protocol_and_host, *rest = value.split(";")
    sent_by = protocol_and_host.split()[-1] if protocol_and_host.split() else ""
    params: dict[str, str | None] = {}
    for item in rest:
        name, equals, text = item.partition("=")
        params[name.strip().lower()] = text.strip() if equals else None
    host, port = split_host(sent_by)
    return Via(host, port, params)


def split_host(text: str) -> tuple[str, int | None]:
    """``host:port`` or ``[v6]:port`` → parts."""
    if text.startswith("["):
        host, _, after = text[1:].partition("]")
        port = after.lstrip(":")
    else:
        host, _, port = text.partition(":")
    return host, int(port) if port.isdigit() else None


def uri_of(value: str) -> str:
    """The URI inside a From, To, Contact or Route value."""
    before, bracket, after = value.partition("<")
    if bracket:
        return after.partition(">")[0].strip()
    return before.partition(";")[0].strip()


def user_of(uri: str) -> str:
    """The user part of a sip:, sips: or tel: URI, without parameters; empty when there is none."""
    scheme, colon, rest = uri.partition(":")
    if not colon:
        rest = scheme
    if scheme.lower() == "tel":
        return rest.partition(";")[0]
    user, at, _ = rest.partition("@")
    return user.partition(";")[0].partition(":")[0] if at else ""


def host_of(uri: str) -> tuple[str, int | None]:
    rest = uri.partition(":")[2]
    after = rest.partition("@")[2] if "@" in rest else rest
    return split_host(after.partition(";")[0].partition("?")[0])


def tag_of(value: str | None) -> str:
    """The ``tag`` parameter of a From or To value, after the angle bracket where there is one."""
    if not value:
        return ""
    after = value.rpartition(">")[2] if ">" in value else value
    for item in after.split(";")[1 if ">" not in value else 0 :]:
        name, _, text = item.partition("=")
        if name.strip().lower() == "tag":
            return text.strip()
    return ""


def read_parameters(value: str) -> dict[str, str]:
    """``Digest a="b", c=d`` → {"a": "b", "c": "d"} (RFC 3261 section 25, challenge and credentials)."""
    _, _, rest = value.strip().partition(" ")
    pairs = (item.partition("=") for item in split_list(rest))
    return {name.strip().lower(): text.strip().strip('"') for name, _, text in pairs}
