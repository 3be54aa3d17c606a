"""Which line a call leaves by. Pure: time and chance come in as arguments.

Lower priority numbers first; within a priority a share by weight; never a line that is down, paused
(Retry-After), full, or past its calls a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers

from config.errors import BadInput, describe_shape
from config.settings import TrunkSettings
from dialer.engines.sip.token_bucket import TokenBucket


class Standing(StrEnum):
    FREE = "free"
    DOWN = "down"
    PAUSED = "paused"
    FULL = "full"
    TOO_FAST = "too-fast"


@dataclass(slots=True)
class Line:
    """A trunk and how it stands."""

    settings: TrunkSettings
    bucket: TokenBucket
    up: bool = True
    busy: int = 0
    paused_until: float = float("-inf")
    responses: int = 0  # to INVITEs, ever: a line that answers others is not down because one number is silent

    @property
    def name(self) -> str:
        return self.settings.name

    def standing(self, now: float) -> Standing:
        if not self.up:
            return Standing.DOWN
        if now < self.paused_until:
            return Standing.PAUSED
        if self.busy >= self.settings.channels:
            return Standing.FULL
        return Standing.FREE if self.bucket.ready(now) else Standing.TOO_FAST

    def seize(self, now: float) -> None:
        self.bucket.take(now)
        self.busy += 1

    def release(self) -> None:
        self.busy -= 1


class Lines:
    def __init__(self, trunks: tuple[TrunkSettings, ...], now: float) -> None:
        self._lines = {trunk.name: Line(settings=trunk, bucket=TokenBucket.full(trunk.cps, now)) for trunk in trunks}

    def __getitem__(self, name: str) -> Line:
        return self._lines[name]

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def all(self) -> list[Line]:
        return list(self._lines.values())

    def allowed(self, names: tuple[str, ...]) -> list[Line]:
        return [line for line in self._lines.values() if not names or line.name in names]

    def choose(
        self, names: tuple[str, ...], now: float, chance: Callable[[], float], *, tried: frozenset[str] = frozenset()
    ) -> Line | None:
        """The next line among ``names`` (empty: all) not yet ``tried``, or None. ``chance`` gives [0, 1)."""
        free = [line for line in self.allowed(names) if line.name not in tried and line.standing(now) is Standing.FREE]
        if not free:
            return None
        best = min(line.settings.priority for line in free)
        return _by_weight([line for line in free if line.settings.priority == best], chance())

    def wait_for_pace(self, names: tuple[str, ...], now: float) -> float | None:
        """Seconds until a line that is only too fast now may be taken; None if none is."""
        waits = [line.bucket.wait(now) for line in self.allowed(names) if line.standing(now) is Standing.TOO_FAST]
        return min(waits) if waits else None


def _by_weight(lines: list[Line], chance: float) -> Line:
    """Weight 0 is taken only when every other line of its priority is unavailable."""
    total = sum(line.settings.weight for line in lines)
    point = chance * total
    for line in lines:
        if line.settings.weight == 0:
            continue
        point -= line.settings.weight
        if point < 0:
            return line
    weighted = [line for line in lines if line.settings.weight]
    return (weighted or lines)[-1]


def dialed(number: str, trunk: TrunkSettings) -> str:
    """An E.164 number as this trunk wants it, prefix included. Raises ``BadInput``."""
    digits = number[1:]
    if not (number.startswith("+") and digits.isascii() and digits.isdigit() and 4 <= len(digits) <= 15):
        raise BadInput(
            "the callee is not an E.164 number",
            remedy="give + and 4 to 15 digits, or a sip: URI",
            field="callee",
            shape=describe_shape(number),
        )
    if trunk.number_format == "e164":
        return trunk.dial_prefix + number
    if trunk.number_format == "digits":
        return trunk.dial_prefix + digits
    return trunk.dial_prefix + _national(number, trunk.country)


def _national(number: str, country: str) -> str:
    """Inside the country: trunk prefix and national number; abroad: the country's way out, then all digits."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        raise BadInput(
            "the callee has no known country code",
            remedy="correct the number, or give the trunk number_format e164",
            field="callee",
            shape=describe_shape(number),
        ) from None
    if parsed.country_code == phonenumbers.country_code_for_region(country):
        prefix = phonenumbers.ndd_prefix_for_region(country, True) or ""
        return prefix + phonenumbers.national_significant_number(parsed)
    written = phonenumbers.format_out_of_country_calling_number(parsed, country)
    return "".join(ch for ch in written if ch.isascii() and ch.isdigit())
