"""What the calling policy said about one call at one instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A refusal names the rule, its figure and its source, and when the call would be allowed.

    ``until`` is aware UTC: the first instant at which every rule would allow the call if nothing else
    happens; None on a refusal means never. On an allowed call ``rule`` is ``"permitted"`` and ``until`` None.
    """

    allowed: bool
    rule: str
    figure: str
    source: str
    until: datetime | None = None
    set_id: str = ""
    confidence: str = ""


PERMITTED = Verdict(allowed=True, rule="permitted", figure="", source="", until=None)
