"""Flushing and growing never block who writes, and a flush that stands still is seen by its age."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from config.clock import SystemClock
from config.settings import RecordingSettings
from recording.recorder import FIRST_CHUNK_BYTES, Recorder
from recording.tape_disk import TapeDisk
from recording.tape_format import Direction
from recording.tape_writer import TapeWriter


def writer_of(tmp_path: Path, call_id: str = "call_1") -> TapeWriter:
    recorder = Recorder(RecordingSettings(directory=tmp_path, low_watermark_bytes=0), SystemClock())
    return TapeWriter(recorder.arm(call_id).path, chunk_bytes=64 * 1024)


def write(writer: TapeWriter) -> None:
    buffer = bytearray(200)
    writer.append_framed(buffer, memoryview(buffer), 172, Direction.FAR, time.monotonic_ns())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_what_is_written_is_flushed_by_itself(tmp_path: Path) -> None:
    synced: list[int] = []
    disk = TapeDisk(lambda _writer, _problem: None, sync_one=synced.append)
    writer = writer_of(tmp_path)
    disk.add(writer)
    disk.start()
    write(writer)
    assert writer.unflushed_seconds(time.monotonic_ns()) > 0
    until(lambda: writer.unflushed_seconds(time.monotonic_ns()) == 0)
    assert len(synced) == 1
    disk.stop()
    os.close(writer.descriptor)


def test_many_tapes_are_flushed_at_once(tmp_path: Path) -> None:
    one_by_one: list[int] = []
    together: list[int] = []
    disk = TapeDisk(lambda _writer, _problem: None, sync_one=one_by_one.append, sync_all=together.append)
    writers = [writer_of(tmp_path, f"call_{number}") for number in range(20)]
    for writer in writers:
        disk.add(writer)
        write(writer)
    disk.start()
    until(lambda: all(writer.unflushed_seconds(time.monotonic_ns()) == 0 for writer in writers))
    assert (len(one_by_one), len(together)) == (0, 1)
    disk.stop()
    for writer in writers:
        os.close(writer.descriptor)


def test_a_stalled_flush_blocks_nobody_and_ages(tmp_path: Path) -> None:
    release = threading.Event()
    stalled = threading.Event()

    def stall(_descriptor: int) -> None:
        stalled.set()
        release.wait(30)

    disk = TapeDisk(lambda _writer, _problem: None, sync_one=stall)
    writer = writer_of(tmp_path)
    disk.add(writer)
    write(writer)
    disk.start()
    assert stalled.wait(20)
    before = writer.unflushed_seconds(time.monotonic_ns())
    for _ in range(100):
        write(writer)
    assert writer.unflushed_seconds(time.monotonic_ns()) > before > 0
    release.set()
    disk.stop()
    os.close(writer.descriptor)


def test_a_failed_flush_is_the_tapes_problem(tmp_path: Path) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "input/output error")

    disk = TapeDisk(lambda _writer, _problem: None, sync_one=fail)
    writer = writer_of(tmp_path)
    disk.add(writer)
    write(writer)
    disk.start()
    until(lambda: writer.problem is not None)
    assert "flushed" in (writer.problem or "")
    disk.stop()
    os.close(writer.descriptor)


def test_a_tape_grows_ahead_of_need_and_is_cut_at_its_end(tmp_path: Path) -> None:
    finished: list[tuple[TapeWriter, str | None]] = []
    disk = TapeDisk(lambda writer, problem: finished.append((writer, problem)))
    writer = writer_of(tmp_path)
    disk.add(writer)
    disk.start()
    while writer.position <= writer.wants_more:
        write(writer)
    disk.ask_to_grow(writer)
    until(lambda: writer.limit == FIRST_CHUNK_BYTES + 64 * 1024)
    assert writer.path.stat().st_size == writer.limit
    writer.close(time.monotonic_ns(), {})
    disk.ask_to_finish(writer)
    until(lambda: len(finished) == 1)
    assert finished == [(writer, None)]
    assert writer.path.stat().st_size == writer.position
    disk.stop()
