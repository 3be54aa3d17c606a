"""The table of behaviours (tests/integration/sip/README.md) names scenarios and tests that exist and belong together."""

from __future__ import annotations

import ast
from pathlib import Path

SIP = Path(__file__).parents[2] / "integration" / "sip"
SCENARIOS = {path.stem for path in (SIP.parent / "sipp").glob("*.xml")}


def rows() -> list[tuple[str, list[str], list[str]]]:
    """(behaviour, scenarios, tests) of each row."""
    found = []
    for line in (SIP / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0] != "behaviour" and not cells[0].startswith("---"):
            found.append((cells[0], *(
                [item.strip() for item in cell.split(",")] for cell in cells[1:3]
            )))  # fmt: skip
    return found  # type: ignore[return-value]  # three cells a row


def sources() -> dict[str, str]:
    """``file::test`` → its decorators and body, and of the file's helpers that it calls."""
    found = {}
    for path in SIP.glob("test_*.py"):
        text = path.read_text()
        functions = {
            node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        whole = {
            name: "".join(ast.get_source_segment(text, one) or "" for one in [node, *node.decorator_list])
            for name, node in functions.items()
        }
        for name, source in whole.items():
            called = "".join(body for other, body in whole.items() if other != name and f"{other}(" in source)
            found[f"{path.stem}::{name}"] = source + called
    return found


def test_every_test_of_the_table_exists_and_plays_its_scenarios() -> None:
    known = sources()
    table = rows()
    assert len(table) > 45
    for behaviour, scenarios, tests in table:
        assert set(scenarios) <= SCENARIOS, behaviour
        assert set(tests) <= known.keys(), behaviour
        together = "".join(known[test] for test in tests)
        for scenario in scenarios:
            assert f'"{scenario}"' in together, f"{behaviour}: none of its tests plays {scenario}"


def test_no_scenario_is_left_out_of_the_table() -> None:
    assert {scenario for _behaviour, scenarios, _tests in rows() for scenario in scenarios} == SCENARIOS
