"""Keeps all tapes of a process on the disk without ever blocking the packet path: three threads flush, grow and close.

Flushing: at least four rounds a second. Few dirty tapes are flushed one by one, many by one ``syncfs``.
Growing: the next chunk is preallocated while half a chunk (13 s of a call) is still free.
Closing: cutting and syncing a finished tape.
"""

from __future__ import annotations

import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable

from recording.tape_writer import TapeWriter

FLUSH_SECONDS = 0.25
_ONE_BY_ONE = 16

_libc = ctypes.CDLL(None, use_errno=True)


def sync_file_system(descriptor: int) -> None:
    """syncfs(2) on the disk that holds ``descriptor``; reports writeback errors since Linux 5.8. Raises OSError."""
    if _libc.syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class TapeDisk:
    """``finished(writer, problem)`` is called from the closing thread."""

    def __init__(
        self,
        finished: Callable[[TapeWriter, str | None], None],
        *,
        sync_one: Callable[[int], None] = os.fdatasync,
        sync_all: Callable[[int], None] = sync_file_system,
    ) -> None:
        self._finished = finished
        self._sync_one = sync_one
        self._sync_all = sync_all
        self._writers: dict[TapeWriter, None] = {}
        self._lock = threading.Lock()  # guards the set of writers and their descriptors' lives
        self._to_grow: queue.SimpleQueue[TapeWriter | None] = queue.SimpleQueue()
        self._to_finish: queue.SimpleQueue[TapeWriter | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._flush, "tape-flush"), (self._grow, "tape-grow"), (self._finish, "tape-finish"))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def add(self, writer: TapeWriter) -> None:
        with self._lock:
            self._writers[writer] = None

    def ask_to_grow(self, writer: TapeWriter) -> None:
        """Called on the packet path when a tape is past half of its last chunk."""
        if not writer.growing:
            writer.growing = True
            self._to_grow.put(writer)

    def ask_to_finish(self, writer: TapeWriter) -> None:
        with self._lock:
            self._writers.pop(writer, None)
        self._to_finish.put(writer)

    def stop(self) -> None:
        """Finish what was asked, then end the threads."""
        self._stop.set()
        self._to_grow.put(None)
        self._to_finish.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _flush(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            with self._lock:
                writers = list(self._writers)
            dirty = []
            for writer in writers:
                writer.problem = writer.problem or writer.inspect()
                if writer.dirty_ns:
                    writer.flushing_ns, writer.dirty_ns = writer.dirty_ns, 0
                    dirty.append(writer)
            if len(dirty) <= _ONE_BY_ONE:
                for writer in dirty:
                    self._flush_together([writer], self._sync_one)
            else:
                disks: dict[int, list[TapeWriter]] = {}
                for writer in dirty:
                    disks.setdefault(_device(writer), []).append(writer)
                for together in disks.values():
                    self._flush_together(together, self._sync_all)

    def _flush_together(self, writers: list[TapeWriter], sync: Callable[[int], None]) -> None:
        descriptor = _duplicate(writers[0])
        if descriptor is None:
            return
        try:
            sync(descriptor)
        except OSError as error:
            for writer in writers:
                writer.problem = writer.problem or f"the tape cannot be flushed (errno {error.errno})"
        else:
            for writer in writers:
                writer.flushing_ns = 0
        finally:
            os.close(descriptor)

    def _grow(self) -> None:
        while (writer := self._to_grow.get()) is not None:
            try:
                writer.grow()
            except OSError:
                # Half a chunk is still free: try again until it is used up; then the packet path fails closed.
                if not self._stop.wait(0.2) and writer in self._writers:
                    self._to_grow.put(writer)
                    continue
            writer.growing = False

    def _finish(self) -> None:
        while (writer := self._to_finish.get()) is not None:
            problem = None
            while writer.growing and not self._stop.is_set():
                time.sleep(0.01)  # the growing thread still holds the descriptor
            try:
                writer.finish()
            except OSError as error:
                problem = f"the tape could not be finished (errno {error.errno})"
            self._finished(writer, problem)


def _duplicate(writer: TapeWriter) -> int | None:
    """A descriptor of our own, so that a tape closed meanwhile does not make us sync a stranger's file."""
    try:
        return os.dup(writer.descriptor)
    except OSError:
        return None


def _device(writer: TapeWriter) -> int:
    try:
        return os.fstat(writer.descriptor).st_dev
    except OSError:
        return -1
