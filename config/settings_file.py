"""Settings as a file that ``onrecord --config FILE`` reads again. Secrets are never written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from config.settings import Settings


def settings_text(settings: Settings, *, without: tuple[str, ...] = ()) -> str:
    """TOML of everything that differs from the defaults, but for sections ``without`` and secrets."""
    tree = _plain(settings.model_dump(mode="json", exclude_defaults=True))
    return "".join(_table((), {name: value for name, value in tree.items() if name not in without}))


def _plain(value: Any) -> Any:
    """Without None (TOML has none) and without what pydantic masked."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items() if one is not None and set(str(one)) != {"*"}}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    lines, inner = [], []
    for name, value in table.items():
        here = (*path, name)
        if isinstance(value, Mapping):
            inner += [f"\n[{_dotted(here)}]\n", *_table(here, value)] if value else []
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for one in value:
                inner += [f"\n[[{_dotted(here)}]]\n", *_table(here, one)]
        else:
            # A JSON string, number, flag or list of them is the same in TOML.
            lines.append(f"{_key(name)} = {json.dumps(value, ensure_ascii=False)}\n")
    return lines + inner


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(_key(name) for name in path)


def _key(name: str) -> str:
    return (
        name
        if name.isascii() and name.replace("_", "").replace("-", "").isalnum()
        else json.dumps(name, ensure_ascii=False)
    )
