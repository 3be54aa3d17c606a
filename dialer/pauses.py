"""The interpreter's own pauses, kept off the path of a call.

A full garbage collection walks every object there is: after start-up some 600,000 of libraries, tables and compiled
statements, 80 to 220 ms with every thread standing, signalling too. They are set aside here, so that a collection walks
only what calls have made. And a thread that wants to run (a 200 OK has come) is let in after 1 ms, not after 5.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

_SWITCH_SECONDS = 0.001


@contextlib.contextmanager
def short_pauses() -> Iterator[None]:
    """Enter it when everything is loaded; what was set aside is collected again afterwards."""
    before = sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()
