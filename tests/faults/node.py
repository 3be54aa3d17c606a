"""The node of a fault drive: ``python -m tests.faults.node FOLDER``. The product's own centre, engine, relay and workers.

Started again after each kill, as a supervisor does, it ends the lines the last one left up (first of all, before the rest is
loaded, as ``onrecord serve`` does), recovers, resumes its campaign and ends with 0 when the sweep is finished and every call
sealed. Its wall clock stands in ``FOLDER/clock``, set by the drive at any moment.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dialer.engines.sip.first_words import FirstWords


def main(folder: Path) -> None:
    first_words = FirstWords(folder / "dialogs.journal")
    first_words.start()
    from tests.faults.engine import run

    asyncio.run(run(folder, first_words))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
