"""Every persona of the simulated carrier, called by SIPp over loopback, all at once."""

from __future__ import annotations

import itertools
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from case_store.network import ProgressCategory
from dialer.progress.announcements import read_library
from dialer.simulated.collector import recognise_speech
from dialer.simulated.sound import sound
from tests.integration.sipp_caller import (
    Caller,
    acknowledge,
    acknowledge_refusal,
    cancel,
    challenged,
    expect,
    expect_request,
    invite,
    pause,
    register,
    reply,
    within,
)

QUICK = {"ring_after": 0.1, "answer_after": 0.2}
TALK = {**QUICK, "listens": 0.3}
UNTIL_RINGING = (invite(), expect(100, optional=True), expect(180))
UNTIL_ANSWER = (*UNTIL_RINGING, expect(200), acknowledge())
UNTIL_THEY_HANG_UP = (*UNTIL_ANSWER, expect_request("BYE"), reply())
WE_HANG_UP = (within("BYE", 2), expect(200))
TRYING = (invite(), expect(100, optional=True))


def refused(status: int, *before: str) -> tuple[str, ...]:
    return (*(before or TRYING), expect(status), acknowledge_refusal())


PEOPLE: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "+861000000001": ({"persona": "cardholder", "says": ["debtor-promises-500-m"], **TALK}, UNTIL_THEY_HANG_UP),
    "+861000000002": ({"persona": "relative", "says": ["relative-passes-on-f"], **TALK}, UNTIL_THEY_HANG_UP),
    "+861000000003": (
        {"persona": "rings-out", "ring_after": 0.1},
        (*UNTIL_RINGING, pause(400), cancel(), expect(200), expect(487), acknowledge_refusal()),
    ),
    "+861000000004": ({"persona": "busy", "ring_after": 0.1}, refused(486)),
    "+861000000005": ({"persona": "declined", **QUICK}, refused(603, *UNTIL_RINGING)),
    "+861000000006": (
        {"persona": "announcement", "announcement": "switched-off", "status": 480, "q850": 20, "announced_for": 3.6},
        (*TRYING, expect(183), expect(480), acknowledge_refusal()),
    ),
    "+861000000007": (
        {"persona": "announcement", "announcement": "not-in-service", "offset": 1.0, "holds_line": True},
        (*TRYING, expect(183), pause(6500), cancel(), expect(200), expect(487), acknowledge_refusal()),
    ),
    "+861000000008": ({"persona": "not-found", "ring_after": 0.1, "q850": 1}, refused(404)),
    "+861000000009": ({"persona": "unavailable", "ring_after": 0.1}, refused(480)),
    "+861000000010": ({"persona": "congested", "ring_after": 0.1, "retry_after": 3}, refused(503)),
    "+861000000011": (
        {"persona": "machine", "greeting": "machine-greeting", **QUICK},
        (*UNTIL_ANSWER, pause(6500), *WE_HANG_UP),
    ),
    "+861000000012": ({"persona": "hangs-up-early", **QUICK}, UNTIL_THEY_HANG_UP),
    "+861000000013": ({"persona": "never-rtp", **QUICK}, (*UNTIL_ANSWER, pause(800), *WE_HANG_UP)),
    "+861000000014": ({"persona": "one-way", **TALK}, (*UNTIL_ANSWER, pause(800), *WE_HANG_UP)),
    "+861000000015": (
        {"persona": "holds", **QUICK},
        (
            *UNTIL_ANSWER,
            expect_request("INVITE"),
            reply(sdp=True, direction="recvonly"),
            expect_request("ACK"),
            expect_request("INVITE"),
            reply(sdp=True),
            expect_request("ACK"),
            expect_request("BYE"),
            reply(),
        ),
    ),
    "+861000000016": (
        {"persona": "colour-ring", "ring_after": 0.1, "answer_after": 1.0},
        (*TRYING, expect(183), expect(200), acknowledge(), pause(300), *WE_HANG_UP),
    ),
    "+861000000017": ({"persona": "forwarded", "ring_after": 0.1}, refused(302)),
    "+861000000018": (
        {"persona": "answers-into-cancel", "ring_after": 0.1},
        (*UNTIL_RINGING, cancel(), expect(200), expect(200), acknowledge(), *WE_HANG_UP),
    ),
    "+861000000019": ({"persona": "server-error", "ring_after": 0.1}, refused(500)),
    # not personas but habits of callers
    "+861000000020": (  # 100rel required: the ringing is repeated until PRACK
        {"persona": "cardholder", **TALK},
        (
            invite(extra="Require: 100rel\n"),
            expect(100, optional=True),
            '<recv response="180" rrs="true"><action><ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" assign_to="rseq"/></action></recv>',
            within("PRACK", 2, extra="RAck: [$rseq] 1 INVITE\n"),
            expect(200),
            expect(200),
            acknowledge(),
            pause(200),
            within("BYE", 3),
            expect(200),
        ),
    ),
    "+861000000021": (  # we hold: our sendonly is mirrored
        {"persona": "cardholder", **QUICK, "listens": 5.0},
        (
            *UNTIL_ANSWER,
            pause(100),
            invite(cseq=2, direction="sendonly").replace("[remote_port]>\n", "[remote_port]>[peer_tag_param]\n", 1),
            expect(200),
            acknowledge(2),
            pause(100),
            within("BYE", 3),
            expect(200),
        ),
    ),
    "+861000000022": ({"persona": "cardholder"}, refused(420, invite(extra="Require: tomorrow\n"))),
    "+861000000023": (
        {"persona": "cardholder"},
        refused(422, invite(extra="Supported: timer\nSession-Expires: 60\n"), expect(100, optional=True)),
    ),
}


@dataclass(slots=True)
class Called:
    code: int
    messages: str
    packets: list[bytes]
    bill: dict[str, object]


class CarrierProcess:
    """``python -m dialer.simulated.carrier`` with its standard input held by us."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dialer.simulated.carrier", "--with-parent", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])

    def close(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Called]]:
    directory = tmp_path_factory.mktemp("sipp")
    people = directory / "people.json"
    people.write_text(json.dumps({number: person for number, (person, _) in PEOPLE.items()}))
    bill = directory / "bill.jsonl"
    carrier = CarrierProcess("--directory", str(people), "--bill", str(bill))
    callers = {number: Caller(number, steps) for number, (_, steps) in PEOPLE.items()}
    for caller in callers.values():
        caller.start(carrier.port, directory)
        time.sleep(0.02)
    codes = {number: caller.finish() for number, caller in callers.items()}
    assert carrier.close() == 0
    billed = {entry["number"]: entry for entry in map(json.loads, bill.read_text().splitlines())}
    return {
        number: Called(codes[number], caller.messages(), caller.packets, billed.get(number, {}))
        for number, caller in callers.items()
    }


@pytest.mark.parametrize("number", sorted(PEOPLE), ids=lambda number: f"{number[-2:]}-{PEOPLE[number][0]['persona']}")
def test_each_persona_signals_as_its_script_says(called: dict[str, Called], number: str) -> None:
    assert called[number].code == 0, called[number].messages


def heard(packets: list[bytes], skip_early: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """RTP payloads as samples, laid by timestamp; decoded here by table so that the carrier's encoder is checked too."""
    first = struct.unpack("!I", packets[0][4:8])[0]
    end = struct.unpack("!I", packets[-1][4:8])[0] - first + 160
    pcm = np.zeros(end, np.int16)
    for packet in packets[skip_early:]:
        at = struct.unpack("!I", packet[4:8])[0] - first
        pcm[at : at + 160] = ALAW[np.frombuffer(packet[12:], np.uint8)]
    return pcm


def _alaw_table() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """ITU-T G.711, expansion of A-law."""
    values = []
    for code in range(256):
        value = code ^ 0x55
        segment, mantissa = (value >> 4) & 7, value & 15
        size = (mantissa << 4) + 8 if segment == 0 else ((mantissa << 4) + 0x108) << (segment - 1)
        values.append(size if value & 0x80 else -size)
    return np.array(values, np.int16)


ALAW = _alaw_table()


def test_what_the_cardholder_says_is_heard_on_the_line(called: dict[str, Called]) -> None:
    assert recognise_speech(heard(called["+861000000001"].packets)) == "debtor-promises-500-m"
    assert recognise_speech(heard(called["+861000000002"].packets)) == "relative-passes-on-f"
    assert recognise_speech(heard(called["+861000000011"].packets)) == "machine-greeting"


def test_the_clip_arrives_bit_for_bit(called: dict[str, Called]) -> None:
    payload = b"".join(packet[12:] for packet in called["+861000000001"].packets)
    assert sound("debtor-promises-500-m").encoded["PCMA"] in payload


def test_announcements_in_early_media_are_recognised(called: dict[str, Called]) -> None:
    library = read_library()
    off = library.recognise(heard(called["+861000000006"].packets))
    empty = library.recognise(heard(called["+861000000007"].packets))
    assert off is not None
    assert off.category is ProgressCategory.SWITCHED_OFF
    assert empty is not None
    assert empty.category is ProgressCategory.NOT_IN_SERVICE


def test_rtp_runs_without_a_break(called: dict[str, Called]) -> None:
    """Sequence numbers and timestamps go on by one packet each, one SSRC, whatever is being said."""
    packets = called["+861000000001"].packets
    headers = [struct.unpack("!BBHII", packet[:12]) for packet in packets]
    assert len({ssrc for *_, ssrc in headers}) == 1
    for (_, _, sequence, stamp, _), (_, _, next_sequence, next_stamp, _) in itertools.pairwise(headers):
        assert (next_sequence - sequence) & 0xFFFF == 1
        assert (next_stamp - stamp) & 0xFFFFFFFF == 160


def test_never_rtp_sends_nothing_and_one_way_says_so(called: dict[str, Called]) -> None:
    assert called["+861000000013"].packets == []
    assert called["+861000000013"].bill["rtp_sent"] == 0
    assert len(called["+861000000014"].packets) > 20
    assert "a=sendonly" in called["+861000000014"].messages


def test_causes_and_headers(called: dict[str, Called]) -> None:
    assert "Reason: Q.850;cause=20" in called["+861000000006"].messages
    assert "Reason: Q.850;cause=1;" in called["+861000000008"].messages
    assert "Retry-After: 3" in called["+861000000010"].messages
    assert "Unsupported: tomorrow" in called["+861000000022"].messages
    assert "Min-SE: 90" in called["+861000000023"].messages
    assert "a=recvonly" in called["+861000000021"].messages


def test_the_bill_knows_every_call(called: dict[str, Called]) -> None:
    lines = {number: entry.bill for number, entry in called.items() if entry.bill}
    assert lines["+861000000001"]["ended_by"] == "called"
    assert lines["+861000000001"]["said"] == ["greeting-m", "debtor-promises-500-m", "goodbye-m"]
    assert lines["+861000000003"]["ended_by"] == "cancel"
    assert lines["+861000000004"]["final_status"] == 486
    assert lines["+861000000011"]["ended_by"] == "caller"
    assert lines["+861000000018"]["answered_at"] is not None
    # 420 is refused before there is a call; every other number is on the bill
    assert set(PEOPLE) - set(lines) == {"+861000000022"}


def test_a_trunk_that_asks_for_digest_and_registration(tmp_path: Path) -> None:
    people = tmp_path / "people.json"
    people.write_text(json.dumps({"+861000000030": {"persona": "busy", "ring_after": 0.05}}))
    carrier = CarrierProcess("--directory", str(people), "--auth", "house:secret")
    options = ("-au", "house", "-ap", "secret")
    calls = Caller(
        "+861000000030",
        (
            invite(),
            challenged(407),
            acknowledge_refusal(),
            invite(extra="[authentication]\n", cseq=2),
            expect(100, optional=True),
            expect(486),
            acknowledge_refusal(2),
        ),
        options,
    )
    registers = Caller("house", (register(1), challenged(401), register(2, "[authentication]\n"), expect(200)), options)
    wrong = Caller(
        "+861000000031",
        (
            invite(),
            challenged(407),
            acknowledge_refusal(),
            invite(extra="[authentication]\n", cseq=2),
            expect(407),
            acknowledge_refusal(2),
        ),
        ("-au", "house", "-ap", "guess"),
    )
    for caller in (calls, registers, wrong):
        caller.start(carrier.port, tmp_path)
    try:
        codes = [caller.finish() for caller in (calls, registers, wrong)]
        assert codes == [0, 0, 0], calls.messages() + registers.messages() + wrong.messages()
    finally:
        carrier.close()


def test_a_phone_answers_at_once_and_speaks_when_spoken_to(tmp_path: Path) -> None:
    phones = subprocess.Popen(
        [sys.executable, "-m", "dialer.simulated.phones", "--count", "2", "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert phones.stdout is not None
    assert phones.stdin is not None
    told = json.loads(phones.stdout.readline())
    assert [uri.partition("@")[0] for uri in told["uris"]] == ["sip:101", "sip:102"]
    answered = (invite(), expect(100, optional=True), expect(200), acknowledge())
    first = Caller("101", (*answered, pause(3500), *WE_HANG_UP))
    second = Caller("101", refused(486))
    nobody = Caller("999", refused(404))
    try:
        first.start(int(told["port"]), tmp_path)
        time.sleep(0.7)
        assert first.media is not None
        ready = first.media.recvfrom(2048)[1]
        for at in range(60):  # somebody speaks for a little more than a second, then is quiet
            chunk = sound("debtor-negotiates-m").encoded["PCMA"][at * 160 : at * 160 + 160]
            first.media.sendto(struct.pack("!BBHII", 0x80, 8, at, at * 160, 7) + chunk, ready)
            time.sleep(0.018)
        other = tmp_path / "other"
        other.mkdir()
        second.start(int(told["port"]), other)
        nobody.start(int(told["port"]), tmp_path)
        assert [second.finish(), nobody.finish(), first.finish()] == [0, 0, 0], first.messages()
    finally:
        phones.stdin.close()
        phones.wait(10)
        phones.stdout.close()
    payload = b"".join(packet[12:] for packet in first.packets)
    assert sound("collector-opens-f").encoded["PCMA"][1600:4800] in payload


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"persona": "ghost"}, "persona"),
        ({"persona": "busy", "answer_after": -1}, "answer_after"),
        ({"persona": "busy", "age": 3}, "age"),
        ({"persona": "cardholder", "says": ["no-such-clip"]}, "unknown-sound"),
    ],
)
def test_a_bad_directory_is_refused_with_the_field(tmp_path: Path, entry: dict[str, object], told: str) -> None:
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"+861": entry}))
    run = subprocess.run(
        [sys.executable, "-m", "dialer.simulated.carrier", "--directory", str(path)],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert run.returncode == 2
    assert told in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("module", ["carrier", "phones"])
def test_with_parent_wants_a_pipe(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", f"dialer.simulated.{module}", "--with-parent"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert run.returncode == 2
    assert "standard input is no pipe" in run.stderr
