"""The SOP's table and the policy's figures, a file a case: each is what `onrecord workflow replay` reads.

``replay/NAME.json`` is the case, ``replay/expected.json`` what the SOP says of it: values by their path in the
result; ``refusals`` as [event, rule or error, until]; ``notices`` that must be raised, ``quiet`` that must not.
``replay/second/table.json`` is a second reading of the same pages, in one file.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from api.commands import run

FOLDER = Path(__file__).parent / "replay"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def at(tree: Any, path: str) -> Any:
    for step in path.split("."):
        if tree is None:
            return None
        tree = tree[int(step)] if isinstance(tree, list) else tree[step]
    return tree


def same(found: Any, wanted: Any) -> bool:
    """Instants are compared as instants, whatever offset they are written with."""
    try:
        return datetime.fromisoformat(found) == datetime.fromisoformat(wanted)
    except (TypeError, ValueError):
        return bool(found == wanted)


def refused(result: dict[str, Any], index: int, width: int) -> list[Any]:
    one = result["refusals"][index]
    return [one["event"], one.get("rule") or one.get("error_id"), one.get("until")][:width]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_case_goes_on_as_the_sop_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["workflow", "replay", str(FOLDER / f"{name}.json"), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert code == (2 if result["refusals"] else 0)
    compare(result, EXPECTED[name])


def compare(result: dict[str, Any], expected: dict[str, Any]) -> None:
    wanted = dict(expected)
    why = wanted.pop("why")
    if (refusals := wanted.pop("refusals", None)) is not None:
        assert len(result["refusals"]) == len(refusals), (why, result["refusals"])
        for index, each in enumerate(refusals):
            got = refused(result, index, len(each))
            assert all(map(same, got, each)), (why, got, each)
    raised = {notice["kind"] for notice in result["notices"]}
    assert set(wanted.pop("notices", ())) <= raised, (why, raised)
    assert not set(wanted.pop("quiet", ())) & raised, (why, raised)
    wrong = {path: at(result, path) for path, value in wanted.items() if not same(at(result, path), value)}
    assert not wrong, (why, wrong)
    live = result["next_action"]
    assert (live is None) == (result["ended"] is not None)
    for each in result["refusals"]:
        if each["by"] == "policy":
            assert each["rule"]
            assert each["figure"]
            assert each["source"]


def test_the_second_table_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written row by row from the SOP's text, not from the first table, and run as one list."""
    table = json.loads((FOLDER / "second" / "table.json").read_text(encoding="utf-8"))
    assert len(table) >= 180
    file = tmp_path / "table.json"
    file.write_text(json.dumps([each["file"] for each in table.values()]), encoding="utf-8")
    assert run(["workflow", "replay", str(file), "--json"]) == 2  # some of its events are to be refused
    results = json.loads(capsys.readouterr().out)["cases"]
    assert [each["case_id"] for each in results] == list(table)
    for result, each in zip(results, table.values(), strict=True):
        assert len(each["expected"]) >= 2, result["case_id"]
        compare(result, each["expected"])


def test_every_file_is_expected() -> None:
    files = {path.stem for path in FOLDER.glob("*.json")} - {"expected"}
    assert files == set(EXPECTED)
    assert len(files) >= 60
