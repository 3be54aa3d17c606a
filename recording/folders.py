"""The folders a node writes into, made before anything else is: without them there is no tape, so there is no call."""

from __future__ import annotations

from config.errors import Unhealthy
from config.settings import Settings


class FolderUnwritable(Unhealthy):
    """A folder of the settings cannot be made."""

    error_id = "folder-unwritable"


def make_folders(settings: Settings) -> None:
    """Tapes, shelf and, where it is kept, the pacing log. Raises ``FolderUnwritable`` naming the setting."""
    folders = {
        "recording.directory": settings.recording.directory,
        "recording.shelf": settings.recording.shelf,
        "floor.pace_log": settings.floor.pace_log,
    }
    for field, folder in folders.items():
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderUnwritable(
                f"the folder cannot be made ({error.strerror})",
                field=field,
                remedy="name a folder that this account may write",
            ) from error
