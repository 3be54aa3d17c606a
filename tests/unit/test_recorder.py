"""No tape, no call: the recorder refuses while the disk cannot hold a tape, and recovers by itself."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from config.clock import SystemClock
from config.errors import BadInput, InvariantBroken
from config.settings import RecordingSettings
from recording.recorder import FIRST_CHUNK_BYTES, Recorder, RecorderUnhealthy
from recording.tape import Tape
from recording.tape_format import Direction, Kind, pack_record, parse_header
from recording.tape_writer import TapeWriter


def recorder(tmp_path: Path, low_watermark_bytes: int = 0) -> Recorder:
    settings = RecordingSettings(directory=tmp_path / "tapes", low_watermark_bytes=low_watermark_bytes)
    return Recorder(settings, SystemClock())


def test_an_armed_tape_is_on_disk_with_room(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    tape = one.arm("call_1")
    assert tape.path == tmp_path / "tapes" / "call_1.tape"
    assert tape.path.stat().st_size == FIRST_CHUNK_BYTES
    assert tape.path.stat().st_blocks * 512 >= FIRST_CHUNK_BYTES
    header = parse_header(tape.path.read_bytes())
    assert (header.call_id, header.tape_id) == ("call_1", tape.id)
    assert one.health().ok


def test_only_a_recorder_makes_a_tape(tmp_path: Path) -> None:
    tape = recorder(tmp_path).arm("call_1")
    with pytest.raises(InvariantBroken):
        Tape(id="x", call_id="c", path=tape.path, armed_at=tape.armed_at, armed_by=object())


@pytest.mark.parametrize("call_id", ["", "../evil", "a/b", ".hidden", "x" * 65, "電"])
def test_ids_that_are_no_file_names_are_refused(tmp_path: Path, call_id: str) -> None:
    with pytest.raises(BadInput) as refused:
        recorder(tmp_path).arm(call_id)
    assert refused.value.field == "call_id"


def test_a_call_has_one_tape(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.arm("call_1")
    with pytest.raises(BadInput):
        one.arm("call_1")


def test_below_the_watermark_nothing_is_armed(tmp_path: Path) -> None:
    one = recorder(tmp_path, low_watermark_bytes=10**18)
    with pytest.raises(RecorderUnhealthy) as refused:
        one.arm("call_1")
    assert "watermark" in refused.value.problem
    assert not one.health().ok
    assert one.unsealed() == ()


def test_a_vanished_directory_is_not_made_anew_and_its_return_heals(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    shutil.rmtree(tmp_path / "tapes")
    with pytest.raises(RecorderUnhealthy, match="gone"):
        one.arm("call_1")
    assert one.health().problems == ("the tape directory is gone",)
    assert not (tmp_path / "tapes").exists()
    (tmp_path / "tapes").mkdir()
    assert one.health().ok
    one.arm("call_1")


@pytest.mark.parametrize(
    ("code", "word"), [(errno.ENOSPC, "full"), (errno.EROFS, "read-only"), (errno.EIO, "EIO"), (errno.EDQUOT, "full")]
)
def test_a_disk_that_refuses_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, word: str
) -> None:
    one = recorder(tmp_path)

    def refuse(*_arguments: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(RecorderUnhealthy, match=word):
            one.arm("call_1")
        assert any(word in problem for problem in one.health().problems)
    assert list((tmp_path / "tapes").iterdir()) == []
    one.arm("call_1")


def test_tapes_left_by_a_crash_are_found_and_only_empty_ones_disarmed(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    empty, used = one.arm("call_1"), one.arm("call_2")
    with used.path.open("r+b") as file:
        file.seek(256)
        file.write(pack_record(Kind.FRAME, Direction.FAR, 1, bytes(172)))
    assert [tape.call_id for tape in recorder(tmp_path).unsealed()] == ["call_1", "call_2"]
    one.disarm(empty)
    one.disarm(used)
    assert [tape.call_id for tape in one.unsealed()] == ["call_2"]


def test_a_reopened_tape_goes_on_after_its_last_record(tmp_path: Path) -> None:
    tape = recorder(tmp_path).arm("call_1")
    writer = TapeWriter(tape.path)
    buffer = bytearray(300)
    writer.append_framed(buffer, memoryview(buffer), 172, Direction.FAR, 1)
    position = writer.position
    os.close(writer.descriptor)
    again = TapeWriter(tape.path)
    assert again.position == position == 256 + 192
    again.close(2, {})
    again.finish()
    assert tape.path.stat().st_size == again.position


def test_a_writer_sees_its_file_removed_cut_or_replaced(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    writer = TapeWriter(one.arm("call_1").path)
    assert writer.inspect() is None
    os.truncate(writer.path, 100)
    assert "cut short" in (writer.inspect() or "")
    writer.path.unlink()
    assert "removed" in (writer.inspect() or "")
    moved = TapeWriter(one.arm("call_2").path)
    moved.path.rename(tmp_path / "elsewhere")
    assert "gone" in (moved.inspect() or "")
    one.arm("call_2")
    assert "another file" in (moved.inspect() or "")
    for each in (writer, moved):
        os.close(each.descriptor)


def test_without_room_ahead_the_writer_fails_before_it_writes(tmp_path: Path) -> None:
    tape = recorder(tmp_path).arm("call_1")
    writer = TapeWriter(tape.path)
    buffer = bytearray(300)
    while writer.position + 192 <= FIRST_CHUNK_BYTES:
        writer.append_framed(buffer, memoryview(buffer), 172, Direction.FAR, 1)
    with pytest.raises(OSError, match="room"):
        writer.append_framed(buffer, memoryview(buffer), 172, Direction.FAR, 1)
    assert tape.path.stat().st_size == FIRST_CHUNK_BYTES
    os.close(writer.descriptor)
