"""What the engine's side and the relay say to each other: one JSON object a SOCK_SEQPACKET datagram.

Up:   ``{"id": n, "do": verb, …}``
Down: ``{"id": n, "ok": …}`` or ``{"id": n, "error": {error_id, problem, remedy}}``; ``{"event": name, …}``;
      ``{"status": …}`` at least four times a second.
"""

from __future__ import annotations

import json
from typing import Any

MAX_MESSAGE = 180_000  # bytes; below the kernel's default send buffer
STATUS_SECONDS = 0.2
HEARTBEAT_LOST_SECONDS = 0.8
GRACE_SECONDS = 10.0


def pack(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def unpack(datagram: bytes) -> dict[str, Any]:
    """Raises ValueError when the datagram is no JSON object."""
    message = json.loads(datagram)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message
