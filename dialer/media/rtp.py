"""RTP on the wire (RFC 3550 section 5.1): check a packet and find its payload; never raises on garbage."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">BBHII")  # V P X CC | M PT | sequence | timestamp | SSRC
HEADER_LENGTH = 12
MARKER = 0x80

# Why a packet is no RTP; keys of LegCounters.dropped.
SHORT = "short"
VERSION = "version"
RTCP = "rtcp"
LENGTHS = "lengths"


def payload_span(data: bytes | bytearray | memoryview, start: int, length: int) -> tuple[int, int] | str:
    """``(offset, length)`` of the payload of the packet at ``data[start:start+length]``, or the reason it is none.

    A second byte of 192 to 223 is RTCP on the same port (RFC 5761 section 4).
    """
    if length < HEADER_LENGTH:
        return SHORT
    first = data[start]
    if first & 0xC0 != 0x80:
        return VERSION
    if 192 <= data[start + 1] <= 223:
        return RTCP
    head = HEADER_LENGTH + 4 * (first & 0x0F)
    if first & 0x10:
        if length < head + 4:
            return LENGTHS
        head += 4 + 4 * int.from_bytes(data[start + head + 2 : start + head + 4], "big")
    if head > length:
        return LENGTHS
    padding = 0
    if first & 0x20:
        padding = data[start + length - 1]
        if padding == 0 or head + padding > length:
            return LENGTHS
    return start + head, length - head - padding
