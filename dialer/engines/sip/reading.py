"""A datagram becomes a message. The reading is sippy's; what it would stumble over or print is mended before it.

Datagrams are read as Latin-1 so that one character is one byte: sippy compares Content-Length (bytes)
with the length of a decoded string and refuses a body with any non-ASCII character otherwise.
"""

from __future__ import annotations

import re

from sippy.SipRequest import SipRequest
from sippy.SipResponse import SipResponse

from dialer.engines.sip.message import AnyMessage, Request, Response, canonical_name
from dialer.engines.sip.uri import MalformedMessage, malformed, mended, uri_of

_ONCE = ("call-id", "cseq", "from", "to", "max-forwards")
_NULL = re.compile(r"(?<!\\)\x00")  # RFC 3261 25.1: a quoted pair may hold one
_LENGTH = re.compile(r"^(?:content-length|l)[ \t]*:[ \t]*(?:\r?\n[ \t]+)?", re.IGNORECASE | re.MULTILINE)
_DIGITS = re.compile(r"\d{1,9}(?!\d)", re.ASCII)
_BODY = re.compile(r"\r\n\r\n|\r\r|\n\n")
_MOST_DIVIDERS = 1000
_SHORT_BY = 6  # bytes: phones that count their description's line ends wrongly
# Compact names of extensions that sippy leaves as they come (RFC 4028, 3265, 3261 7.3.3).
_COMPACT = {"x": "session-expires", "k": "supported", "o": "event", "u": "allow-events", "e": "content-encoding"}
# Bytes that str.splitlines and str.strip take for line ends and blanks. In UTF-8 they are parts of letters:
# the Chinese for "first" ends in 0x85, and cut there a header makes its message unreadable.
_MISTAKEN = {code: 0xE000 + code for code in (0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x1F, 0x85, 0xA0)}
_RESTORED = {stand_in: code for code, stand_in in _MISTAKEN.items()}


def read(datagram: bytes) -> Request | Response:
    """One datagram. Raises ``MalformedMessage`` for whatever is not a SIP message with its mandatory headers."""
    text = datagram.decode("latin-1").lstrip("\r\n")  # RFC 3261 7.5: line ends before the start line are ignored
    start = text.partition("\n")[0]
    if "SIP/2.0" not in start:
        raise malformed("no SIP start line")  # noise costs a microsecond, not a parser's forty
    try:
        text = _prepared(text)
        if text.startswith("SIP/2.0 "):
            return _checked(_read_response(SipResponse(text)))
        return _checked(_read_request(SipRequest(text)))
    except MalformedMessage:
        raise
    except Exception as error:  # sippy lets any exception out of its parser: IndexError, ValueError, AssertionError …
        raise malformed(f"sippy could not read it ({type(error).__name__})") from error


def _prepared(text: str) -> str:
    """The text as sippy can take it without a word on standard output. Raises ``MalformedMessage``."""
    division = _BODY.search(text)
    head = text[: division.start()] if division else text
    if _NULL.search(head):
        raise malformed("a null character in a header")
    if head.count(",") + head.count(";") > _MOST_DIVIDERS:
        raise malformed("thousands of values or parameters")  # sippy takes them apart in quadratic time
    lengths = list(_LENGTH.finditer(head))
    if len(lengths) > 1:
        raise malformed("more than one Content-Length")  # sippy believes the last one
    rest = text[len(head) :]
    if lengths and division and (said := _DIGITS.match(head, lengths[0].end())):
        there = len(text) - division.end()
        missing = int(said[0]) - there
        if missing > 0:
            if missing > _SHORT_BY or not text.endswith("\n") or not there:
                raise malformed("its body is shorter than its Content-Length")
            head = f"{head[: said.start()]}{there}{head[said.end() :]}"
    line, newline, headers = head.partition("\n")
    if not line.startswith("SIP/2.0"):
        line = mended(line)
    return line.translate(_MISTAKEN) + newline + headers.translate(_MISTAKEN) + rest


def _read_response(parsed: SipResponse) -> Response:
    status = int(parsed.scode)
    if parsed.sipver != "SIP/2.0" or not 100 <= status <= 699:
        raise malformed("no SIP status")
    reason = str(parsed.reason).translate(_RESTORED)
    return Response(headers=_headers_of(parsed), body=_body_of(parsed), status=status, reason=reason)


def _read_request(parsed: SipRequest) -> Request:
    if parsed.sipver != "SIP/2.0" or not parsed.method.isascii():
        raise malformed("no SIP request line")
    return Request(
        headers=_headers_of(parsed), body=_body_of(parsed), method=parsed.method, uri=uri_of(parsed.ruri).text
    )


def _headers_of(parsed: SipRequest | SipResponse) -> list[tuple[str, str]]:
    headers = [
        (_COMPACT.get(header.name, header.name), str(header.body).strip().translate(_RESTORED))
        for header in parsed.headers
    ]
    if parsed.body is not None:
        headers.append(("content-type", str(parsed.body.mtype).translate(_RESTORED)))
    return headers


def _body_of(parsed: SipRequest | SipResponse) -> str:
    return str(parsed.body) if parsed.body is not None else ""


def _checked(message: AnyMessage) -> AnyMessage:
    """Everything the layers above rely on can be read: Via, CSeq, From, To, Call-ID."""
    if not message.call_id:
        raise malformed("no Call-ID")
    for name in _ONCE:
        if len(message.values(name)) > 1:
            raise malformed(f"more than one {canonical_name(name)}")
    _number, method = message.cseq
    if isinstance(message, Request) and method != message.method:
        raise malformed("the method of CSeq is not that of the request")
    _ = message.via, message.from_tag, message.to_tag
    return message
