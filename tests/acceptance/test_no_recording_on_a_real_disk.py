"""No recording, no call, on a disk of its own that really fills up and really is mounted read-only: nothing is patched.

Mounting asks for root (CAP_SYS_ADMIN), as installing the peers does: without it this test fails, it does not skip.
``test_no_recording`` provokes the same errors without a disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_no_recording import AGENTS, dials_again, no_call_leaves, running_floor

_MS_RDONLY = 1
_MNT_DETACH = 2
_FILLING = bytes(1 << 16)

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(where: Path, flags: int, options: str) -> None:
    if _libc.mount(b"none", os.fsencode(where), b"tmpfs", flags, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(where))


def _unmount(where: Path) -> None:
    if _libc.umount2(os.fsencode(where), _MNT_DETACH) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(where))


@pytest.fixture
def tapes(tmp_path: Path) -> Iterator[Path]:
    """The tape directory, on a disk of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount(disk, 0, "size=24m")
    (disk / "tapes").mkdir()
    yield disk / "tapes"
    _unmount(disk)


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(_FILLING):
            pass
    assert os.statvfs(disk).f_bavail == 0
    return filler


async def test_a_disk_that_is_full_ends_each_call_when_its_room_ahead_is_used_up(tmp_path: Path, tapes: Path) -> None:
    """Nobody new is called from the first second on; calls under way are taped as long as there is room for them."""
    # More than the tapes give back when they are sealed and go: the disk stays too full.
    async with running_floor(tmp_path, tapes=tapes, watermark=8_000_000) as floor:
        floor.trouble_begins(lines_cut=False)
        filler = _fill(tapes.parent)
        await floor.until(lambda: len(floor.centre.switchboard) == 0, 60, "calls went on without a tape")
        await no_call_leaves(floor, "below the watermark of 8 MB")
        filler.unlink()
        await dials_again(floor)
    cut = [record for record in floor.ended if record.cause == "tape-failed"]
    assert len(cut) == AGENTS
    assert min(record.talk_seconds or 0 for record in cut) > 5, "there was room for 26 seconds"


async def test_a_disk_that_is_mounted_read_only(tmp_path: Path, tapes: Path) -> None:
    """The tapes under way are out of reach, and no other can be made."""
    async with running_floor(tmp_path, tapes=tapes) as floor:
        floor.trouble_begins(lines_cut=True)
        _mount(tapes, _MS_RDONLY, "size=1m")
        try:
            await floor.until(lambda: len(floor.centre.switchboard) == 0, 2, "calls went on without a tape")
            await no_call_leaves(floor, "the tape disk is mounted read-only")
        finally:
            _unmount(tapes)
        await dials_again(floor)
    assert [record.cause for record in floor.ended].count("tape-failed") == AGENTS
