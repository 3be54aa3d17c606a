"""What the body of a message holds: a session description, alone or in one part of several (RFC 2046, 5621). Pure."""

from __future__ import annotations

import re

SDP = "application/sdp"
MOST_PARTS = 20

_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_BLANK_LINE = re.compile(r"\r?\n\r?\n")


def kind_of(content_type: str | None) -> str:
    """``type/subtype`` in lower case; without a Content-Type a description is meant (many gateways forget it)."""
    return SDP if content_type is None else content_type.partition(";")[0].strip().lower()


def session_description(content_type: str | None, body: str) -> str:
    """The SDP in ``body``; empty when there is none."""
    kind = kind_of(content_type)
    if kind == SDP:
        return body
    if not kind.startswith("multipart/"):
        return ""
    for part in _parts(content_type or "", body):
        head, content = _opened(part)
        if kind_of(head.get("content-type", "text/plain")) == SDP:
            return content
    return ""


def _parts(content_type: str, body: str) -> list[str]:
    found = _BOUNDARY.search(content_type)
    if found is None:
        return []
    between = re.compile(r"(?:^|\r?\n)--" + re.escape(found[1] or found[2]) + r"(?:--)?[ \t]*(?=\r?\n|$)")
    return between.split(body, maxsplit=MOST_PARTS)[1:]


def _opened(part: str) -> tuple[dict[str, str], str]:
    """Header fields (names in lower case) and content of one part."""
    part = part.lstrip("\r\n")
    head, *rest = _BLANK_LINE.split(part, maxsplit=1)
    fields = {}
    for line in head.splitlines():
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return fields, rest[0] if rest else ""
