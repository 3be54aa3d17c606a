"""How a desk takes part in a customer's call, and who hears whom. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Part(StrEnum):
    TALKS = "talks"  # heard by everybody who talks, and by the customer
    LISTENS = "listens"  # 监听: hears them, is heard by nobody
    WHISPERS = "whispers"  # 耳语: hears them, is heard by the desks that talk only
    ASIDE = "aside"  # 咨询: hears and is heard by others aside only; the customer waits


def hears(parts: Mapping[str, Part], customer: str) -> dict[str, tuple[str, ...]]:
    """Listener → whom it hears."""
    talks = [name for name, part in parts.items() if part is Part.TALKS]
    whispers = [name for name, part in parts.items() if part is Part.WHISPERS]
    aside = [name for name, part in parts.items() if part is Part.ASIDE]
    found: dict[str, tuple[str, ...]] = {customer: tuple(talks)}
    for name, part in parts.items():
        if part is Part.ASIDE:
            found[name] = tuple(one for one in aside if one != name)
        elif part is Part.TALKS:
            found[name] = (customer, *(one for one in talks if one != name), *whispers)
        else:
            found[name] = (customer, *talks)
    return found
