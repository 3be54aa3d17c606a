"""The sample placement: the same every time, read by the product's own intake, every persona in it."""

from __future__ import annotations

import json
from pathlib import Path

import phonenumbers
import pytest

from case_store.intake.placement import ParsedRow, RefusedRow, parse_placement
from config.settings import ClientSettings
from dialer.simulated.directory import read_directory
from dialer.simulated.personas import Persona
from dialer.simulated.placement import SAMPLE, make_sample, write_sample

BANK = ClientSettings(name="sample bank")


@pytest.mark.parametrize("name", ["placement.csv", "directory.json", "facts.json", "placement-second-bank.xlsx"])
def test_the_committed_files_are_what_the_generator_writes(tmp_path: Path, name: str) -> None:
    write_sample(tmp_path)
    assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()


def test_another_seed_is_another_placement() -> None:
    assert make_sample(1).rows != make_sample(2).rows
    assert make_sample(1).rows == make_sample(1).rows


def test_the_intake_finds_every_number_and_every_fault() -> None:
    sample = make_sample()
    rows = list(parse_placement(SAMPLE / "placement.csv", BANK).rows())
    good = [row for row in rows if isinstance(row, ParsedRow) and row.row not in sample.bad_rows]
    found = {(row.case_ref, number.line.e164) for row in good for number in row.numbers}
    assert found == sample.numbers
    assert len(good) >= 44
    assert len(found) >= 170
    faulty = {row.row for row in rows if isinstance(row, RefusedRow) or row.refused}
    duplicate = {at for at, (_, why) in sample.bad_rows.items() if why == "a case id that another row has"}
    assert faulty == set(sample.bad_rows) - duplicate  # a duplicate is seen only when the file is imported


def test_the_second_banks_workbook_is_read() -> None:
    people = read_directory(SAMPLE / "directory.json").people
    rows = list(parse_placement(SAMPLE / "placement-second-bank.xlsx", BANK).rows())
    assert len(rows) == 8
    for row in rows:
        assert isinstance(row, ParsedRow)
        assert row.refused == ()
        assert all(number.line.e164 in people for number in row.numbers)


def test_an_extension_is_kept_apart_and_a_repeated_number_counts_once() -> None:
    rows = [row for row in parse_placement(SAMPLE / "placement.csv", BANK).rows() if isinstance(row, ParsedRow)]
    assert [number.line.extension for row in rows for number in row.numbers if number.line.extension] == ["801"]
    assert all("转" not in number.line.e164 for row in rows for number in row.numbers)


def test_every_number_is_possible_and_every_persona_of_the_demo_is_there() -> None:
    sample = make_sample()
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for _, number in sample.numbers)
    regions = {phonenumbers.region_code_for_number(phonenumbers.parse(number)) for _, number in sample.numbers}
    assert regions >= {"CN", "US", "GB", "JP", "SG", "HK", "DE", "AU"}
    there = {sample.people[number].persona for _, number in sample.numbers}
    # a trunk that does not answer, redirects or fails would be taken out of service: for tests, not for the demo
    assert there == set(Persona) - {Persona.NO_RESPONSE, Persona.FORWARDED, Persona.SERVER_ERROR}
    announced = {p.announcement for p in sample.people.values() if p.persona is Persona.ANNOUNCEMENT}
    assert announced >= {"switched-off", "not-in-service", "suspended", "barred", "in-a-call", "unreachable"}


def test_facts_match_the_directory() -> None:
    facts = json.loads((SAMPLE / "facts.json").read_text())
    assert facts["numbers"] == sum(facts["personas"].values())
    assert facts["rows"] == facts["cases"] + len(facts["bad_rows"])
