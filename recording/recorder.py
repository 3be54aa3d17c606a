"""Arms tapes and says whether it can. Fails closed: no room, no directory, no write, then no tape and so no call."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from config.clock import Clock
from config.errors import BadInput, Unhealthy, describe_shape
from config.identity import new_id
from config.settings import RecordingSettings
from recording.tape import _ARMED_BY_RECORDER, Tape
from recording.tape_format import HEADER_LENGTH, TapeHeader, pack_header

TAPE_SUFFIX = ".tape"
FIRST_CHUNK_BYTES = 256 * 1024  # 13 s of a two-way call; the relay grows it ahead of need

_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class RecorderUnhealthy(Unhealthy):
    """No tape can be armed now, so no call may be placed."""

    error_id = "recorder-unhealthy"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecorderHealth:
    """``problems`` are sentences for an operator; empty when ``ok``. ``free_bytes`` is -1 when it cannot be read."""

    ok: bool
    free_bytes: int
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsealedTape:
    """A tape on disk. ``written_at_ns`` (since 1970) tells a caller whether somebody still writes it."""

    call_id: str
    path: Path
    written_at_ns: int


class Recorder:
    """The tape directory of one node. Thread-safe; every method does short blocking file work."""

    def __init__(self, settings: RecordingSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        # Made once, here. A directory that vanishes later (an unmounted disk) must not be made anew on another disk.
        with contextlib.suppress(OSError):
            settings.directory.mkdir(parents=True, exist_ok=True)

    @property
    def directory(self) -> Path:
        return self._settings.directory

    def arm(self, call_id: str) -> Tape:
        """Create, preallocate and sync the tape of ``call_id``. Raises RecorderUnhealthy, BadInput."""
        if not _FILE_NAME.match(call_id):
            raise BadInput(
                "a call id must do as a file name",
                field="call_id",
                shape=describe_shape(call_id),
                remedy="use letters, digits, dot, dash, underscore; at most 64",
            )
        problems = self._room()[1]
        if problems:
            raise RecorderUnhealthy(problems[0], remedy=_REMEDY)
        path = self._settings.directory / f"{call_id}{TAPE_SUFFIX}"
        now = self._clock.now()
        header = TapeHeader(
            tape_id=new_id("tape"),
            call_id=call_id,
            wall_ns=int(now.timestamp() * 1_000_000) * 1000,
            monotonic_ns=time.monotonic_ns(),
        )
        try:
            _create(path, pack_header(header))
        except FileExistsError:
            raise BadInput("this call already has a tape", field="call_id", remedy="arm a new call") from None
        except OSError as error:
            raise RecorderUnhealthy(_why(error), remedy=_REMEDY) from error
        return Tape(id=header.tape_id, call_id=call_id, path=path, armed_at=now, armed_by=_ARMED_BY_RECORDER)

    def disarm(self, tape: Tape) -> None:
        """Remove a tape whose call never left (the INVITE was not sent). A tape that holds a record stays."""
        with contextlib.suppress(FileNotFoundError):
            if not _holds_records(tape.path):
                tape.path.unlink()

    def discard(self, left: UnsealedTape) -> bool:
        """Remove a tape that a crash left before its call was written, if it holds no record. Whether it went."""
        with contextlib.suppress(FileNotFoundError):
            if _holds_records(left.path):
                return False
            left.path.unlink()
        return True

    def health(self) -> RecorderHealth:
        """Look at the disk now: room above the low watermark, and a file can be made, filled, brought to disk and removed.

        It stands still for as long as the disk does: whoever asks must not be in anybody's way.
        """
        free, problems = self._room()
        if not problems:
            problems = self._try_write()
        return RecorderHealth(ok=not problems, free_bytes=free, problems=tuple(problems))

    def unsealed(self) -> tuple[UnsealedTape, ...]:
        """Every tape lying in the directory, oldest first: after a start, what a crash left to be sealed."""
        found = []
        try:
            paths = list(self._settings.directory.glob(f"*{TAPE_SUFFIX}"))
        except OSError:
            return ()
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                found.append(
                    UnsealedTape(
                        call_id=path.stem, path=path, written_at_ns=path.stat(follow_symlinks=False).st_mtime_ns
                    )
                )
        return tuple(sorted(found, key=lambda tape: (tape.written_at_ns, tape.call_id)))

    def _room(self) -> tuple[int, list[str]]:
        directory = self._settings.directory
        try:
            disk = os.statvfs(directory)
        except OSError as error:
            return -1, [_why(error)]
        free = disk.f_bavail * disk.f_frsize
        if disk.f_flag & os.ST_RDONLY:
            return free, ["the tape disk is mounted read-only"]
        if free < self._settings.low_watermark_bytes:
            watermark = self._settings.low_watermark_bytes // 1_000_000
            return free, [f"the tape disk has {free // 1_000_000} MB free, below the watermark of {watermark} MB"]
        return free, []

    def _try_write(self) -> list[str]:
        probe = self._settings.directory / f".probe-{os.getpid()}-{time.monotonic_ns()}"
        try:
            _create(probe, b"probe", preallocate=4096)
        except OSError as error:
            return [_why(error)]
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
        return []


_REMEDY = "make room on the tape disk or give recording.directory a writable local disk; calls resume by themselves"


def _create(path: Path, content: bytes, *, preallocate: int = FIRST_CHUNK_BYTES) -> None:
    """A new file with room, on disk with its name. Leaves nothing behind when it fails."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        os.posix_fallocate(descriptor, 0, preallocate)
        if os.pwrite(descriptor, content, 0) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
        sync_directory(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Bring the directory's names to disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds_records(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(HEADER_LENGTH)
        return bool(file.read(4096).strip(b"\x00"))


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "the tape disk is full"
    if error.errno == errno.EROFS:
        return "the tape disk is mounted read-only"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "the tape directory may not be written"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST):
        return "the tape directory is gone"
    return f"the tape disk fails ({errno.errorcode.get(error.errno or 0, 'unknown error')})"
