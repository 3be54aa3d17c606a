"""Whoever serves with a trunk knows after a crash which lines are still up, asked for or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dialog_journal import place_of_journal, with_dialog_journal
from config.settings import RecordingSettings, Settings, SipSettings, load_settings


def test_the_journal_of_dialogs_is_never_off_and_lies_beside_the_tapes(tmp_path: Path) -> None:
    settings = Settings(recording=RecordingSettings(directory=tmp_path / "tapes"))
    assert settings.sip.journal is None
    assert with_dialog_journal(settings).sip.journal == tmp_path / "dialogs.journal"
    chosen = Settings(sip=SipSettings(journal=tmp_path / "elsewhere"))
    assert with_dialog_journal(chosen).sip.journal == tmp_path / "elsewhere"


NAMES = st.sampled_from(["tapes", "a/b", "/srv/x/tapes", "t"])
PLACES = st.sampled_from(["d.journal", "/srv/x/d.journal"])


@given(
    env_journal=st.none() | PLACES,
    env_tapes=st.none() | NAMES,
    env_whole=st.none() | NAMES,
    toml_journal=st.none() | PLACES,
    toml_tapes=st.none() | NAMES,
)
def test_before_the_settings_are_loaded_the_same_place_is_known(
    tmp_path_factory: pytest.TempPathFactory,
    env_journal: str | None,
    env_tapes: str | None,
    env_whole: str | None,
    toml_journal: str | None,
    toml_tapes: str | None,
) -> None:
    file = tmp_path_factory.mktemp("settings") / "onrecord.toml"
    written = "" if toml_journal is None else f'[sip]\njournal = "{toml_journal}"\n'
    file.write_text(written + ("" if toml_tapes is None else f'[recording]\ndirectory = "{toml_tapes}"\n'))
    environment = {
        "ONRECORD_CONFIG": str(file),
        "ONRECORD_SIP__JOURNAL": env_journal,
        "onrecord_recording__directory": env_tapes,
        "ONRECORD_RECORDING": None if env_whole is None else json.dumps({"directory": env_whole}),
    }
    given_ones = {name: value for name, value in environment.items() if value is not None}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in given_ones.items():
            patched.setenv(name, value)
        loaded = with_dialog_journal(load_settings()).sip.journal
    assert place_of_journal(given_ones) == loaded


def test_without_any_setting_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of_journal({}) == with_dialog_journal(load_settings()).sip.journal
