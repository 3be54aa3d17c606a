"""The first words of a node: whoever a dead process left on a line hears BYE or CANCEL before the node is loaded."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialer.engines.sip.first_words import FirstWords
from dialer.engines.sip.journal import Journal, Mouth, OpenCall, read, read_mouth


@pytest.fixture
def far() -> Iterator[socket.socket]:
    with _socket() as opened:
        yield opened


@pytest.fixture
def port() -> int:
    """Of the dead process: nobody has it."""
    with _socket() as probe:
        return int(probe.getsockname()[1])


def _socket() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.settimeout(10)
    return opened


def left_behind(place: Path, port: int, far: socket.socket, *, answered: bool, t1: float = 0.5) -> Path:
    """The journal of a process that died with one call up."""
    far_port = far.getsockname()[1]
    journal = Journal(place, Mouth(bind="127.0.0.1", port=port, host="127.0.0.1", user_agent="onrecord", t1=t1))
    journal.start()
    journal.record(
        OpenCall(
            leg="leg_1",
            call_id="call_1",
            trunk="far",
            host="127.0.0.1",
            port=far_port,
            uri=f"sip:1@127.0.0.1:{far_port}",
            headers=[
                ["via", f"SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-dead"],
                ["from", "<sip:me@127.0.0.1>;tag=a"],
                ["to", "<sip:1@127.0.0.1>"],
                ["call-id", "left-up"],
                ["cseq", "7 INVITE"],
            ],
            answered=answered,
            remote="<sip:1@127.0.0.1>;tag=b" if answered else "",
            target=f"sip:1@127.0.0.1:{far_port}" if answered else "",
            cseq=7,
        )
    )
    journal.close()
    return place


def answer_to(request: bytes, status: bytes, *more: bytes, tag: bytes = b"") -> bytes:
    names = (b"via:", b"from:", b"to:", b"call-id:", b"cseq:")
    kept = [one for one in request.split(b"\r\n") if one.lower().startswith(names)]
    kept = [one + tag if one.lower().startswith(b"to:") else one for one in kept]
    return b"\r\n".join([b"SIP/2.0 " + status, *kept, *more, b"Content-Length: 0", b"", b""])


def test_an_answered_line_hears_bye_from_the_port_its_call_came_from(
    tmp_path: Path, port: int, far: socket.socket
) -> None:
    place = left_behind(tmp_path / "journal", port, far, answered=True)
    words = FirstWords(place)
    assert words.start() == 1
    heard, source = far.recvfrom(65536)
    assert heard.startswith(b"BYE ")
    assert source == ("127.0.0.1", port)
    assert b"\r\nCall-ID: left-up\r\n" in heard
    far.sendto(answer_to(heard, b"200 OK"), source)
    words.stop()
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", port))  # the engine's now
    taken.close()
    assert [call.leg for call in read(place)] == ["leg_1"]  # the engine ends it again, and tells of it


def test_a_bye_that_gets_lost_is_said_again(tmp_path: Path, port: int, far: socket.socket) -> None:
    words = FirstWords(left_behind(tmp_path / "journal", port, far, answered=True, t1=0.05))
    words.start()
    assert far.recv(65536) == far.recv(65536)
    words.stop()


def test_a_ringing_line_hears_cancel(tmp_path: Path, port: int, far: socket.socket) -> None:
    words = FirstWords(left_behind(tmp_path / "journal", port, far, answered=False))
    words.start()
    heard = far.recv(65536)
    assert heard.startswith(b"CANCEL ")
    assert b"branch=z9hG4bK-dead" in heard
    assert b"\r\nCSeq: 7 CANCEL\r\n" in heard
    words.stop()


def test_an_answer_that_met_nobody_is_acknowledged_and_ended(tmp_path: Path, port: int, far: socket.socket) -> None:
    """Its 200 is repeated until somebody acknowledges it; CANCEL came too late."""
    words = FirstWords(left_behind(tmp_path / "journal", port, far, answered=False))
    words.start()
    cancel, source = far.recvfrom(65536)
    invite = cancel.replace(b"CSeq: 7 CANCEL", b"CSeq: 7 INVITE")
    contact = b"Contact: <sip:1@127.0.0.1:%d>" % far.getsockname()[1]
    far.sendto(answer_to(cancel, b"481 Call/Transaction Does Not Exist"), source)
    far.sendto(answer_to(invite, b"200 OK", contact, tag=b";tag=b"), source)
    assert far.recv(65536).startswith(b"ACK ")
    assert far.recv(65536).startswith(b"BYE ")
    words.stop()


def test_a_far_side_that_hangs_up_first_is_answered(tmp_path: Path, port: int, far: socket.socket) -> None:
    words = FirstWords(left_behind(tmp_path / "journal", port, far, answered=True))
    words.start()
    _, source = far.recvfrom(65536)
    bye = [b"BYE sip:me@127.0.0.1 SIP/2.0", b"Via: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK-far" % far.getsockname()[1]]
    bye += [b"From: <sip:1@127.0.0.1>;tag=b", b"To: <sip:me@127.0.0.1>;tag=a", b"Call-ID: left-up", b"CSeq: 1 BYE"]
    far.sendto(b"\r\n".join([*bye, b"Max-Forwards: 70", b"Content-Length: 0", b"", b""]), source)
    heard = far.recv(65536)
    while not heard.startswith(b"SIP/2.0"):  # our own BYE again
        heard = far.recv(65536)
    assert heard.startswith(b"SIP/2.0 200")
    words.stop()


def test_where_the_process_still_lives_nothing_is_said(tmp_path: Path, port: int, far: socket.socket) -> None:
    """A second ``serve`` by mistake must not end the calls of the first."""
    place = left_behind(tmp_path / "journal", port, far, answered=True)
    living = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    living.bind(("127.0.0.1", port))
    words = FirstWords(place)
    assert words.start() == 0
    words.stop()
    living.close()
    far.settimeout(0.2)
    with pytest.raises(TimeoutError):
        far.recv(65536)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\x00\xff\n",
        b'{"op":"here"}\n',
        b'{"op":"here","bind":"127.0.0.1","port":99999,"host":"h","user_agent":"u","t1":0.5}\n',
        b'["a"]\n{"op":"open"}\n',
    ],
)
def test_a_journal_that_says_nothing_useful_keeps_no_node_from_starting(tmp_path: Path, written: bytes) -> None:
    place = tmp_path / "journal"
    place.write_bytes(written)
    assert read_mouth(place) is None
    assert FirstWords(place).start() == 0
    assert FirstWords(tmp_path / "none").start() == 0


def test_one_damaged_call_keeps_nobody_else_on_the_line(tmp_path: Path, port: int, far: socket.socket) -> None:
    place = left_behind(tmp_path / "journal", port, far, answered=True)
    lines = place.read_bytes().splitlines(keepends=True)
    damaged = lines[1].replace(b'"leg":"leg_1"', b'"leg":"leg_0"').replace(b"<sip:1@127.0.0.1>;tag=b", b"@@@")
    place.write_bytes(lines[0] + damaged + lines[1])
    words = FirstWords(place)
    words.start()
    assert far.recv(65536).startswith(b"BYE ")
    words.stop()


def test_serve_says_them_before_anything_heavy_is_loaded(tmp_path: Path, port: int, far: socket.socket) -> None:
    """In a process of its own: the web, the store and the settings are not there yet when BYE is on the wire."""
    (tmp_path / "onrecord.toml").write_text('[recording]\ndirectory = "tapes/now"\n')
    (tmp_path / "tapes").mkdir()
    left_behind(tmp_path / "tapes" / "dialogs.journal", port, far, answered=True)
    program = (
        "import sys; from api.entry import end_left_lines; words = end_left_lines(['serve', '--json']);"
        "print([one for one in ('pydantic', 'sqlalchemy', 'fastapi', 'phonenumbers', 'typer') if one in sys.modules], flush=True);"
        "sys.stdin.read(); words.stop()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert far.recv(65536).startswith(b"BYE ")
        assert process.stdout is not None
        assert process.stdout.readline() == "[]\n"
        process.communicate("")
    assert process.returncode == 0


def test_the_first_start_in_a_folder_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert FirstWords(tmp_path / "never" / "dialogs.journal").start() == 0
    assert caplog.records == []
