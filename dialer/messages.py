"""The recorded messages people hear: the house's own, or the samples that name an invented company."""

from __future__ import annotations

from pathlib import Path

from config.errors import BadSetting
from config.settings import Settings

PROMPTS = Path(__file__).parent / "prompts"


def announcement_of(settings: Settings) -> Path:
    """That the call is recorded. Raises BadSetting for a file that is not there."""
    return _message(settings.recording.announcement_message, "recording.announcement_message", "recording-announcement")


def abandonment_of(settings: Settings) -> Path:
    """That nobody is free, with the company's name. Raises BadSetting for a file that is not there."""
    return _message(settings.floor.abandonment_message, "floor.abandonment_message", "abandonment")


def _message(chosen: Path | None, field: str, sample: str) -> Path:
    if chosen is None:
        return PROMPTS / f"{sample}.flac"
    if not chosen.is_file():
        raise BadSetting("the message is not there", field=field, remedy="give the path of a mono sound file")
    return chosen
