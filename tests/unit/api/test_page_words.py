"""The page has a word, in both languages, for every code that the house may show on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from case_store.workflow.transitions import ActionCode, Owner
from dialer.agents import ENTER_OUTCOME, LEADER

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "web" / "static"
PACERS = (
    "hazard.py",
    "ledger.py",
    "progressive.py",
)  # those that a campaign is dialed with; VICIdial's is only simulated


def words_of(file: str, begin: str) -> dict[str, tuple[str, str]]:
    text = (STATIC / file).read_text(encoding="utf-8")
    table = text[text.index(begin) :]
    table = table[: re.search(r"^\s*\};?,?$", table, re.MULTILINE).start()]  # type: ignore[union-attr]
    found = re.findall(r'^\s+"?([A-Za-z_+ -]+)"?: \["([^"]+)", "([^"]+)"\]', table, re.MULTILINE)
    return {code: (zh, en) for code, zh, en in found}


@pytest.mark.parametrize("code", [*(one.value for one in ActionCode), ENTER_OUTCOME])
def test_every_next_action_has_its_words(code: str) -> None:
    zh, en = words_of("cases.js", "const ACTIONS = {")[code.upper().replace("-", "_")]
    assert re.search(r"[\u4e00-\u9fff]", zh)
    assert en.isascii()


@pytest.mark.parametrize("owner", [*(one.value for one in Owner), LEADER])
def test_every_owner_has_its_words(owner: str) -> None:
    assert owner in words_of("labels.js", "  role: {")


def test_whatever_holds_the_pacer_back_has_its_words() -> None:
    told = "\n".join((ROOT / "dialer" / "pacing" / file).read_text(encoding="utf-8") for file in PACERS)
    held = re.findall(r"\bbinding\W{0,3}[=:]([^,\n]*)", told)
    codes = {code for said in held for code in re.findall(r'"([a-z -]+)"', said)}
    assert codes >= {"risk", "optimum", "account", "ledger", "half-hour guard", "idle agents"}
    assert codes <= words_of("labels.js", "  binding: {").keys()
