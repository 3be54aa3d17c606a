"""Who a dialed number reaches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dialer.simulated.directory import BadDirectory, Directory, read_directory, write_directory
from dialer.simulated.personas import BadPerson, Person, Persona, read_person, script, write_person
from dialer.simulated.script import Loop, Release, Say
from dialer.simulated.sound import sound

BUSY = Person(persona=Persona.BUSY)


@pytest.mark.parametrize("written", ["+8613800000001", "8613800000001", "013800000001", "008613800000001"])
def test_a_number_is_found_whatever_way_the_trunk_writes_it(written: str) -> None:
    assert Directory({"+8613800000001": BUSY}).person_at(written) is BUSY


def test_an_unlisted_number_always_reaches_the_same_person() -> None:
    directory = Directory(seed=5)
    assert directory.person_at("+8613812345678") == Directory(seed=5).person_at("+8613812345678")
    drawn = Counter(directory.person_at(f"+86138{number:08d}").persona for number in range(600))
    assert drawn[Persona.CARDHOLDER] > 120
    assert drawn[Persona.RINGS_OUT] > 50
    assert Persona.NO_RESPONSE not in drawn


@pytest.mark.parametrize("persona", Persona)
def test_every_script_ends_or_waits_and_plays_only_what_there_is(persona: Persona) -> None:
    steps = list(script(Person(persona=persona)))
    assert len(steps) < 40
    for step in steps:
        if isinstance(step, Say | Loop):
            assert len(sound(step.clip).pcm) > 0
        if isinstance(step, Release):
            assert 300 <= step.status <= 699


def test_a_directory_survives_writing_and_reading(tmp_path: Path) -> None:
    people = {
        "+861": Person(persona=Persona.ANNOUNCEMENT, announcement="barred", status=403, q850=54, holds_line=True),
        "+862": Person(persona=Persona.CARDHOLDER, says=("debtor-negotiates-f", "debtor-promises-500-m")),
    }
    write_directory(Directory(people), tmp_path / "people.json")
    assert read_directory(tmp_path / "people.json").people == people
    assert read_person(write_person(people["+862"])) == people["+862"]


@pytest.mark.parametrize("text", ["", "[1]", '{"+861": 3}', "not json"])
def test_a_file_that_is_no_directory_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "people.json").write_text(text)
    with pytest.raises(BadDirectory):
        read_directory(tmp_path / "people.json")


@pytest.mark.parametrize(
    "entry", [{}, {"persona": "busy", "status": 200}, {"persona": "busy", "ring_after": "soon"}, {"persona": 3}]
)
def test_an_entry_that_is_no_person_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(BadPerson):
        read_person(entry)
