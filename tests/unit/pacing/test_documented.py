"""The example in docs/pacing.md runs as it stands and does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_PAGE = Path(__file__).parents[3] / "docs" / "pacing.md"


def test_the_example_paces(capsys: Any) -> None:
    found = re.search(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(found.group(1), str(_PAGE), "exec"), names)  # our own page
    assert 20 <= names["talks"] <= 36
    assert names["placed"] > 2 * names["talks"]
    assert "because:" in capsys.readouterr().out
