"""The relay on a disk whose flushes hang while the file named by ``STALL_FILE`` exists: the product's own code, with
another ``fdatasync`` and ``syncfs`` handed to its ``TapeDisk``. Control attaches to it as to a relay it finds running."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from dialer.media import relay
from recording.tape_disk import TapeDisk, sync_file_system

_STALL = Path(os.environ["STALL_FILE"])


def _hanging(sync: Callable[[int], None]) -> Callable[[int], None]:
    def run(descriptor: int) -> None:
        while _STALL.exists():
            time.sleep(0.01)
        sync(descriptor)

    return run


class StallingDisk(TapeDisk):
    def __init__(self, finished: Callable[..., None]) -> None:
        super().__init__(finished, sync_one=_hanging(os.fdatasync), sync_all=_hanging(sync_file_system))


if __name__ == "__main__":
    relay.TapeDisk = StallingDisk  # type: ignore[misc]  # the one seam a slow disk needs
    relay.main()
