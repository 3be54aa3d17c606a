"""What sippy's SipTransactionManager does where our engine has transactions of its own (docs/decisions/0004).

``python -m bench.sippy_transactions``. Each claim is played over loopback against sippy 2.5.0 in a process of its own, by a
far side on a plain UDP socket; the same is said to our ``Transactions`` where a comparison makes sense.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import resource
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.machine import describe_machine

RESULT = Path(__file__).parent / "results" / "sippy_transactions.txt"
HOST = "127.0.0.1"


# sippy's side: one process a claim, so that its process-wide dispatcher and its prints are seen alone.


class _NoLog:
    def write(self, *_words: object, **_facts: object) -> None: ...


def _sippy_process(claim: str, port: int) -> None:
    from sippy.Core.EventDispatcher import ED2
    from sippy.SipConf import SipConf
    from sippy.SipRequest import SipRequest
    from sippy.SipTransactionManager import SipTransactionManager
    from sippy.Time.Timeout import Timeout

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        own = probe.getsockname()[1]
    SipConf.my_port = own
    facts = {"_sip_address": HOST, "_sip_port": own, "_sip_logger": _NoLog()}
    heard: list[list[Any]] = []
    order: list[int] = []
    began = time.monotonic()

    def on_response(response: Any) -> None:
        code, reason = response.getSCode()
        tag = response.getHFBody("to").getTag()
        heard.append([round(time.monotonic() - began, 2), code, reason, tag])

    def on_request(request: Any, transaction: Any) -> Any:
        order.append(request.getHFBody("cseq").getCSeqNum())
        return (request.genResponse(200, "OK"), None, None)

    manager = SipTransactionManager(facts, on_request)

    def invite(number: int = 1, method: str = "INVITE") -> Any:
        text = (
            f"{method} sip:x@{HOST}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{own};branch=z9hG4bKbench{number}\r\n"
            f"From: <sip:us@{HOST}>;tag=us{number}\r\nTo: <sip:x@{HOST}>\r\nCall-ID: bench{number}\r\nCSeq: 1 {method}\r\n"
            f"Contact: <sip:us@{HOST}:{own}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        request = SipRequest(text)
        request.setTarget(((HOST, port), "udp"))
        return request

    seconds = {"fork": 2.0, "silence": 33.5, "order": 4.0, "print": 1.0, "setups": 6.0}[claim]
    if claim in ("fork", "silence"):
        manager.newTransaction(invite(), on_response)
    if claim == "silence":
        manager.newTransaction(invite(2, "OPTIONS"), on_response)
    if claim == "setups":
        state = {"next": 0, "cpu": 0.0}

        def one_more() -> None:
            if state["next"] == 0:
                state["cpu"] = _cpu()
            if state["next"] < 500:
                state["next"] += 1
                manager.newTransaction(invite(state["next"]), on_response)

        Timeout(one_more, 0.01, -1)
    print("READY", own, flush=True)
    Timeout(lambda: ED2.breakLoop(), seconds, 1)
    ED2.loop()
    cpu = _cpu() - state["cpu"] if claim == "setups" else 0.0
    print("RESULT", json.dumps({"heard": heard, "order": order, "cpu": cpu}), flush=True)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# The far side


def _answer(request: str, status: str, tag: str, contact: int) -> bytes:
    head = [line for line in request.split("\r\n") if line.lower().startswith(("via", "from", "call-id", "cseq"))]
    to = next(line for line in request.split("\r\n") if line.lower().startswith("to"))
    lines = [f"SIP/2.0 {status}", *head, f"{to};tag={tag}", f"Contact: <sip:x@{HOST}:{contact}>", "Content-Length: 0"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _start(claim: str, port: int) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.sippy_transactions", "--play", claim, "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("READY"):
            return process, int(line.split()[1])
    raise AssertionError("sippy did not start")


def _finish(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    output, _ = process.communicate(timeout=60)
    found = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    assert found is not None, output
    return json.loads(found[1]), output[: found.start()]


def _far() -> socket.socket:
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind((HOST, 0))
    far.settimeout(2.0)
    return far


def fork() -> str:
    with _far() as far:
        port = far.getsockname()[1]
        process, own = _start("fork", port)
        invite = far.recv(4096).decode()
        for tag in ("one", "two"):
            far.sendto(_answer(invite, "200 OK", tag, port), (HOST, own))
            time.sleep(0.2)
        sent = []
        far.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            while True:
                sent.append(far.recv(4096).decode())
        result, _ = _finish(process)
    acks = [re.search(r"(?im)^to:.*tag=(\w+)", text) for text in sent if text.startswith("ACK")]
    return (
        f"two 200s of a forked INVITE: sippy told its user of {[one[3] for one in result['heard']]}; "
        f"ACKs on the wire for {[one[1] for one in acks if one]}"
    )


def silence() -> str:
    with _far() as far:
        far.settimeout(18)
        process, _ = _start("silence", far.getsockname()[1])
        times: dict[str, list[float]] = {"INVITE": [], "OPTIONS": []}
        with contextlib.suppress(TimeoutError):
            while process.poll() is None:
                times[far.recv(4096).decode().partition(" ")[0]].append(time.monotonic())
        result, _ = _finish(process)
    gaps = {method: [round(b - a, 1) for a, b in pairwise(when)] for method, when in times.items()}
    return f"requests nobody answers: repeated after {gaps} s (T2 is 4 s); their users were told {result['heard']}"


def order(pairs: int = 400) -> str:
    with _far() as far:
        process, own = _start("order", far.getsockname()[1])
        for number in range(2 * pairs):
            text = (
                f"OPTIONS sip:us@{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{far.getsockname()[1]};branch=z9hG4bKo{number}\r\n"
                f"From: <sip:x@{HOST}>;tag=o{number}\r\nTo: <sip:us@{HOST}>\r\nCall-ID: o{number}\r\n"
                f"CSeq: {number + 1} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            )
            far.sendto(text.encode(), (HOST, own))
            if number % 2:
                time.sleep(0.004)
        replies = []
        far.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            while len(replies) < 2 * pairs:
                found = re.search(rb"(?im)^cseq: *(\d+)", far.recv(4096))
                replies += [int(found[1])] if found else []
        result, _ = _finish(process)
    taken = result["order"]
    turned_in = sum(b < a for a, b in pairwise(taken))
    turned_out = sum(b < a for a, b in pairwise(replies))
    return (
        f"{pairs} pairs of requests sent back to back: {len(taken)} taken, {turned_in} times a later one before an earlier "
        f"(receiving threads), {turned_out} answers left so (sending threads)"
    )


def printing() -> str:
    number = "+8613800138000"
    damaged = f"INVITE sip:{number}@{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST};branch=z9hG4bKp\r\nFrom: <sip:{number}@x>;tag=1\r\n"
    with _far() as far:
        process, own = _start("print", far.getsockname()[1])
        far.sendto(
            (damaged + "To: <sip:x@y>\r\nCall-ID: p\r\nCSeq: one INVITE\r\nContent-Length: 0\r\n\r\n").encode(),
            (HOST, own),
        )
        _result, output = _finish(process)
    return f"a message with a broken CSeq: {len(output)} characters on standard output, the number in them {output.count(number)} times"


def setups() -> str:
    with _far() as far:
        port = far.getsockname()[1]
        process, own = _start("setups", port)
        far.settimeout(1.5)
        answered = 0
        with contextlib.suppress(TimeoutError):
            while True:
                text = far.recv(4096).decode()
                if text.startswith("INVITE"):
                    far.sendto(_answer(text, "180 Ringing", "t", port), (HOST, own))
                    far.sendto(_answer(text, "200 OK", "t", port), (HOST, own))
                    answered += 1
        result, _ = _finish(process)
    ours = _our_setups(answered)
    return (
        f"{answered} INVITE transactions (180, 200, ACK): sippy {1000 * result['cpu'] / max(1, answered):.2f} ms CPU each, "
        f"the idle ticking of its loop included; ours, sippy's reading of the messages included, {ours:.2f} ms"
    )


class _Stopped:
    def cancel(self) -> None: ...


class _NoTimers:
    def call_later(self, _delay: float, _callback: Any, /) -> _Stopped:
        return _Stopped()


def _our_setups(count: int) -> float:
    """CPU ms for the same INVITE, 180, 200 and ACK through our reading, transactions and writing, with real sends."""
    from dialer.engines.sip.message import Request, Response, new_branch
    from dialer.engines.sip.reading import read
    from dialer.engines.sip.transactions import Transactions

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire, _far() as far:
        port = far.getsockname()[1]
        ours = Transactions(
            send=lambda data, to: wire.sendto(data, to) and None,
            timers=_NoTimers(),
            t1=0.5,
            on_request=lambda _request, _server: None,
            on_stray_ack=lambda _ack: None,
        )
        spent = 0.0
        for number in range(count):
            headers = [("via", f"SIP/2.0/UDP {HOST}:9;branch={new_branch()}"), ("max-forwards", "70")]
            headers += [("from", f"<sip:us@{HOST}>;tag=us{number}"), ("to", f"<sip:x@{HOST}>")]
            headers += [("call-id", f"bench{number}"), ("cseq", "1 INVITE"), ("contact", f"<sip:us@{HOST}:9>")]
            begin = time.thread_time()
            request = Request(headers=headers, method="INVITE", uri=f"sip:x@{HOST}:{port}")

            def on_response(response: Response, request: Request = request) -> None:
                if response.status == 200:
                    ack = [pair for pair in request.headers if pair[0] not in ("cseq", "to", "contact")]
                    ack += [("to", response.first("to") or ""), ("cseq", "1 ACK")]
                    ours.send(Request(headers=ack, method="ACK", uri=request.uri).render(), (HOST, port))

            ours.invite(request, (HOST, port), on_response, lambda: None)
            spent += time.thread_time() - begin
            text = far.recv(4096).decode()
            replies = [_answer(text, status, "t", port) for status in ("180 Ringing", "200 OK")]
            begin = time.thread_time()
            for reply in replies:
                ours.receive(read(reply), (HOST, port))
            spent += time.thread_time() - begin
            far.recv(4096)
    return 1000 * spent / max(1, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--play", help="for the measurement's own use: be sippy's side of one claim")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.play:
        _sippy_process(arguments.play, arguments.port)
        return
    out = io.StringIO()
    print(f"sippy {version('sippy')} SipTransactionManager, measured over loopback\n{describe_machine()}\n", file=out)
    for claim in (fork, order, printing, setups, silence):
        line = f"{claim.__name__}: {claim()}"
        print(line, flush=True)
        print(line, file=out)
    RESULT.write_text(out.getvalue())


if __name__ == "__main__":
    main()
