"""Whoever serves with a trunk knows after a crash which lines are still up, asked for or not."""

from __future__ import annotations

from pathlib import Path

from api.serve_command import with_dialog_journal
from config.settings import RecordingSettings, Settings, SipSettings


def test_the_journal_of_dialogs_is_never_off_and_lies_beside_the_tapes(tmp_path: Path) -> None:
    settings = Settings(recording=RecordingSettings(directory=tmp_path / "tapes"))
    assert settings.sip.journal is None
    assert with_dialog_journal(settings).sip.journal == tmp_path / "dialogs.journal"
    chosen = Settings(sip=SipSettings(journal=tmp_path / "elsewhere"))
    assert with_dialog_journal(chosen).sip.journal == tmp_path / "elsewhere"
