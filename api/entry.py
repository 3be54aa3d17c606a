"""The console script. It imports nothing by itself: worker processes run it again to find their main module."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dialer.engines.sip.first_words import FirstWords


def main() -> None:
    first_words = end_left_lines(sys.argv[1:])  # before the rest is loaded, which takes seconds

    from api.commands import main as run  # only in the process that runs the command

    run(first_words)


def end_left_lines(words: list[str]) -> FirstWords | None:
    """Of a node that wakes up (``serve``): whoever a crash left on a line is not kept there while the node is loaded."""
    if "serve" not in words or "--help" in words:
        return None
    from api.dialog_journal import place_of_journal
    from dialer.engines.sip.first_words import FirstWords

    environment = dict(os.environ)
    if "--config" in words[:-1]:
        environment["ONRECORD_CONFIG"] = words[words.index("--config") + 1]
    with suppress(ValueError, OSError, TypeError, AttributeError):  # the settings' own error follows in a moment
        first_words = FirstWords(place_of_journal(environment))
        first_words.start()
        return first_words
    return None
