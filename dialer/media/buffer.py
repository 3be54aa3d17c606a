"""The relay's one packet buffer. A packet lies behind 20 free bytes, so that a tape's record is written from one piece.

One thread uses it, one packet at a time: whoever receives the next packet overwrites the last.
"""

from __future__ import annotations

from dialer.media.rtp import HEADER_LENGTH
from recording.tape_format import RECORD_HEAD

MAX_PACKET = 2048
AT = RECORD_HEAD
PAYLOAD = AT + HEADER_LENGTH
BUFFER = bytearray(AT + 65536)
VIEW = memoryview(BUFFER)
ROOM = VIEW[AT:]
# Views by packet length, cut once: a slice a packet would cost more than the checksum of what it shows.
PACKETS = [VIEW[AT : AT + length] for length in range(MAX_PACKET + 1)]
CHECKED = [VIEW[4 : AT + length] for length in range(MAX_PACKET + 1)]
RECORDS = [VIEW[: AT + length] for length in range(MAX_PACKET + 1)]
