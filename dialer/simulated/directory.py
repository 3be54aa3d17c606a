"""Which person a dialed number reaches: from a file, else drawn by a hash of the number, the same every time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from config.errors import BadInput, describe_shape
from dialer.simulated.personas import Person, Persona, read_person, write_person


class BadDirectory(BadInput):
    """The directory file is no JSON object of number → person."""

    error_id = "bad-simulated-directory"


# how a debtor's, a relative's and a workplace's numbers answer, in parts of a hundred; see docs/simulated-carrier.md
_UNKNOWN_NUMBERS: tuple[tuple[int, Persona, dict[str, Any]], ...] = (
    (26, Persona.CARDHOLDER, {}),
    (8, Persona.CARDHOLDER, {"greeting": "greeting-f", "says": ("debtor-negotiates-f",), "goodbye": "goodbye-f"}),
    (10, Persona.RELATIVE, {"greeting": "greeting-f", "says": ("relative-passes-on-f",), "goodbye": "goodbye-f"}),
    (4, Persona.COLLEAGUE, {"greeting": "greeting-office", "says": ("colleague-out-m",)}),
    (2, Persona.WRONG_NUMBER, {"greeting": "greeting-f", "says": ("wrong-number-f",), "goodbye": "goodbye-f"}),
    (16, Persona.RINGS_OUT, {}),
    (6, Persona.BUSY, {}),
    (3, Persona.DECLINED, {}),
    (6, Persona.ANNOUNCEMENT, {"announcement": "switched-off", "status": 480, "q850": 20}),
    (5, Persona.ANNOUNCEMENT, {"announcement": "not-in-service", "status": 404, "q850": 1}),
    (3, Persona.ANNOUNCEMENT, {"announcement": "suspended", "status": 480}),
    (2, Persona.ANNOUNCEMENT, {"announcement": "in-a-call", "holds_line": True}),
    (3, Persona.MACHINE, {"greeting": "machine-greeting"}),
    (2, Persona.HANGS_UP_EARLY, {}),
    (2, Persona.COLOUR_RING, {}),
    (2, Persona.NOT_FOUND, {}),
)


@dataclass(slots=True)
class Directory:
    """``people`` by E.164; ``seed`` decides who a number that is not listed reaches."""

    people: dict[str, Person] = field(default_factory=dict)
    seed: int = 0

    def person_at(self, dialed: str) -> Person:
        """Whatever way the trunk writes the number: +86…, 86…, 0138…, 0086…."""
        for candidate in _ways_to_write(dialed):
            if candidate in self.people:
                return self.people[candidate]
        digest = hashlib.sha256(f"{self.seed}:{_digits(dialed)}".encode()).digest()
        rng = Random(digest)  # noqa: S311  # the same number must always reach the same person
        _, persona, figures = rng.choices(_UNKNOWN_NUMBERS, weights=[share for share, _, _ in _UNKNOWN_NUMBERS])[0]
        return Person(
            persona=persona,
            ring_after=round(rng.uniform(0.1, 0.5), 2),
            answer_after=round(rng.uniform(1.0, 3.0), 2),
            announced_for=round(rng.uniform(4.0, 6.0), 2),
            **figures,
        )


def _digits(dialed: str) -> str:
    return "".join(ch for ch in dialed if ch.isdigit())


def _ways_to_write(dialed: str) -> list[str]:
    digits = _digits(dialed)
    ways = [dialed, f"+{digits}"]
    if digits.startswith("00"):
        ways.append(f"+{digits[2:]}")
    if digits.startswith("0"):
        ways.append(f"+86{digits[1:]}")
    return ways


def read_directory(path: Path, seed: int = 0) -> Directory:
    """Raises ``BadDirectory`` or ``BadPerson``."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadDirectory(
            f"cannot be read: {type(error).__name__}", field="directory", remedy="give a JSON file: number → person"
        ) from None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise BadDirectory(
            "not an object of objects",
            field="directory",
            shape=describe_shape(entries),
            remedy='write {"+86…": {"persona": "busy"}}',
        )
    return Directory({number: read_person(entry) for number, entry in entries.items()}, seed)


def write_directory(directory: Directory, path: Path) -> None:
    entries = {number: write_person(person) for number, person in directory.people.items()}
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
