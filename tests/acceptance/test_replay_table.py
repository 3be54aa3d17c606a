"""The SOP's table and the policy's figures, a file a case: each is what `onrecord workflow replay` reads.

``replay/NAME.json`` is the case, ``replay/expected.json`` what the SOP says of it: values by their path in the
result; ``refusals`` as [event, rule or error, until]; ``notices`` that must be raised, ``quiet`` that must not.
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
    wanted = dict(EXPECTED[name])
    code = run(["workflow", "replay", str(FOLDER / f"{name}.json"), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert code == (2 if result["refusals"] else 0)
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


def test_every_file_is_expected() -> None:
    files = {path.stem for path in FOLDER.glob("*.json")} - {"expected"}
    assert files == set(EXPECTED)
    assert len(files) >= 60
