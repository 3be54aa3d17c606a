"""The relay process: one plain epoll loop over RTP sockets, a 20 ms tick, and the control socket. No asyncio here.

Started by ``MediaRelay`` (client.py) as ``python -m dialer.media.relay``. When control goes away it keeps forwarding and
taping for a grace time, in which a control may attach again; then it closes every tape and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import resource
import select
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

from dialer.media.commands import GRACE_SECONDS, STATUS_SECONDS
from dialer.media.control_socket import ControlSocket
from dialer.media.lane import Lane, serve
from dialer.media.leg import Leg
from dialer.media.verbs import CannotDo, Verbs
from recording.tape_disk import TapeDisk
from recording.tape_writer import CHUNK_BYTES, TapeWriter

_STATUS_NS = int(STATUS_SECONDS * 1e9)
_TICK_NS = 10_000_000  # half a packet time
_MOST_READY = 64  # they share one reading of the clock: half a millisecond's work
_TAPES_A_STATUS = 400


class Relay:
    """All legs of one process, and the loop that serves them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self.lanes: dict[int, Lane] = {}
        self._disk = TapeDisk(self._tape_finished)
        self._verbs = Verbs(options, self, self._disk)
        self._legs = self._verbs.legs
        self._finished: deque[tuple[TapeWriter, str | None]] = deque()
        self._closing: dict[TapeWriter, tuple[int | None, dict[str, Any]]] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._taps = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._running = True
        self._status_turn = 0
        self._control = ControlSocket(Path(options.socket), self, self._obey, options.grace_seconds)

    # The loop

    def run(self) -> None:
        """Until ``stop`` is asked, a signal comes, or the grace time is over; then close all tapes."""
        self._disk.start()
        self._handlers[self._wake] = self._on_wake
        self._poll.register(self._wake, select.EPOLLIN)
        poll, lanes, handlers = self._poll.poll, self.lanes, self._handlers
        next_tick = monotonic_ns() + _TICK_NS
        next_status = 0
        while self._running:
            serve(poll(max(0.0, (next_tick - monotonic_ns()) / 1e9), _MOST_READY), lanes, handlers)
            now = monotonic_ns()
            if now >= next_tick:
                self._verbs.mix(now)
                for leg in self._verbs.streams:
                    if now >= leg.due:
                        leg.generate(now)
                next_tick = max(next_tick + _TICK_NS, now + _TICK_NS // 4)
                if now >= next_status:
                    next_status = now + _STATUS_NS
                    self._tell_status(now)
        self._end()

    def stop(self, *_signal: object) -> None:
        self._running = False

    def watch(self, sock: socket.socket, handler: Callable[[], None]) -> None:
        self._handlers[sock.fileno()] = handler
        self._poll.register(sock, select.EPOLLIN)

    def unwatch(self, sock: socket.socket) -> None:
        if self._handlers.pop(sock.fileno(), None) is not None:
            self._poll.unregister(sock)

    def _end(self) -> None:
        for leg in list(self._legs.values()):
            self._close(leg, None)
        self._disk.stop()
        self._on_wake()
        self._control.close()

    # Control

    def _obey(self, message: dict[str, Any]) -> None:
        number, verb = message["id"], message["do"]
        if verb == "close_leg":
            leg = self._legs.get(str(message["leg"]))
            if leg is not None:
                self._close(leg, number)
                return
        if verb == "stop":
            self._running = False
            self._tell({"id": number, "ok": {}})
            return
        try:
            self._tell({"id": number, "ok": self._verbs.carry_out(message)})
        except CannotDo as error:
            self._tell(
                {"id": number, "error": {"problem": error.problem, "remedy": error.remedy, "field": error.field}}
            )

    def _tell(self, message: dict[str, Any]) -> None:
        self._control.tell(message)

    def _tell_status(self, now: int) -> None:
        if self._control.is_over:
            self._running = False
            return
        self._look_after(now)
        self._control.flush()
        if not self._control.listens:
            return
        taped = [leg for leg in self._legs.values() if leg.tape is not None]
        begin = self._status_turn if self._status_turn < len(taped) else 0
        shown = taped[begin : begin + _TAPES_A_STATUS]
        for leg in shown:
            leg.settle()
        self._status_turn = begin + _TAPES_A_STATUS
        tapes = {
            leg.name: [leg.tape.position, leg.received, round(leg.tape.unflushed_seconds(now), 2)]
            for leg in shown
            if leg.tape is not None
        }
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._tell(
            {
                "status": {
                    "monotonic_ns": now,
                    "legs": len(self._legs),
                    "cpu_seconds": usage.ru_utime + usage.ru_stime,
                    "tapes": tapes,
                }
            }
        )

    def _look_after(self, now: int) -> None:
        """Timeouts, digits whose end was lost, and what the flushing thread found out about tapes."""
        timeout_ns = int(self._options.media_timeout_seconds * 1e9)
        unflushed = self._options.unflushed_seconds
        for leg in list(self._legs.values()):
            if digits := leg.digits_in.overdue(now):
                self.dtmf(leg, digits)
            if now - leg.heard_ns > timeout_ns:
                leg.settle()
            if now - leg.heard_ns <= timeout_ns:
                leg.timed_out = False
            elif not leg.timed_out and leg.target is not None:
                leg.timed_out = True
                self._tell({"event": "timeout", "leg": leg.name, "seconds": (now - leg.heard_ns) / 1e9})
            tape = leg.tape
            if tape is None or leg.troubled:
                continue
            if tape.problem is not None:
                self.trouble(leg, tape.problem)
            elif tape.unflushed_seconds(now) > unflushed:
                self.trouble(leg, f"audio waited longer than {unflushed:g} s to reach the disk")

    # Told by legs

    def first_audio(self, leg: Leg, now_ns: int) -> None:
        self._tell({"event": "first_audio", "leg": leg.name, "monotonic_ns": now_ns})

    def dtmf(self, leg: Leg, digits: list[tuple[str, int]]) -> None:
        for digit, milliseconds in digits:
            leg.try_mark("dtmf", monotonic_ns(), digit=digit, milliseconds=milliseconds)
            self._tell({"event": "dtmf", "leg": leg.name, "digit": digit, "milliseconds": milliseconds})

    def prompt_finished(self, leg: Leg, name: str, completed: bool) -> None:
        self._tell({"event": "prompt_finished", "leg": leg.name, "prompt": name, "completed": completed})

    def dtmf_sent(self, leg: Leg, digits: str) -> None:
        self._tell({"event": "dtmf_sent", "leg": leg.name, "digits": digits})

    def trouble(self, leg: Leg, problem: str) -> None:
        """Fail closed: the leg is silent from here on, and control is told."""
        if leg.troubled:
            return
        leg.fail()
        self._tell({"event": "tape_trouble", "leg": leg.name, "problem": problem})

    def to_tap(self, path: bytes, datagram: bytes) -> None:
        """Raises OSError when whoever listens there falls behind."""
        self._taps.sendto(datagram, path)

    def grow(self, writer: TapeWriter) -> None:
        self._disk.ask_to_grow(writer)

    # The end of a leg

    def _close(self, leg: Leg, number: int | None) -> None:
        if leg.prompt is not None:
            leg.end_prompt(completed=False)
        for digits in (leg.digits_in.overdue(monotonic_ns() + 10**9),):
            self.dtmf(leg, digits)
        leg.part()
        leg.hang_up_line()
        self._verbs.forget(leg)
        self.unwatch(leg.sock)
        leg.sock.close()
        if leg.tape is None:
            if number is not None:
                self._tell({"id": number, "ok": leg.counters()})
            return
        if not leg.troubled:
            with contextlib.suppress(OSError):  # a tape without its trailer is sealed like one a crash left
                leg.tape.close(monotonic_ns(), {"received": leg.received, "dropped": leg.dropped})
        self._closing[leg.tape] = (number, leg.counters())
        self._disk.ask_to_finish(leg.tape)

    def _tape_finished(self, writer: TapeWriter, problem: str | None) -> None:
        """In the closing thread."""
        self._finished.append((writer, problem))
        os.eventfd_write(self._wake, 1)

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._finished:
            writer, problem = self._finished.popleft()
            number, counters = self._closing.pop(writer)
            if problem is not None:
                self._tell({"event": "tape_trouble", "leg": counters["leg"], "problem": problem})
            if number is not None:
                self._tell({"id": number, "ok": counters})


def _ports(text: str) -> tuple[int, int]:
    first, last = text.split("-")
    return int(first), int(last)


def main(arguments: list[str] | None = None) -> None:
    """``python -m dialer.media.relay --socket PATH …``"""
    parser = argparse.ArgumentParser(prog="onrecord relay", description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--rtp-ports", type=_ports, default=(0, 0))
    parser.add_argument("--unflushed-seconds", type=float, default=1.0)
    parser.add_argument("--media-timeout-seconds", type=float, default=30.0)
    parser.add_argument("--grace-seconds", type=float, default=GRACE_SECONDS)
    parser.add_argument("--chunk-bytes", type=int, default=CHUNK_BYTES)
    options = parser.parse_args(arguments)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(PermissionError):
        # Audio before everything else on the machine; without the right to it the relay runs like the rest.
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    relay = Relay(options)
    signal.signal(signal.SIGTERM, relay.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is control's to handle
    sys.setswitchinterval(0.001)
    threading.excepthook = _die_loudly
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    relay.run()


def _die_loudly(fault: threading.ExceptHookArgs) -> None:
    """A tape thread that dies would leave audio unflushed unseen: end the process, control notices."""
    sys.__excepthook__(fault.exc_type, fault.exc_value or fault.exc_type(), fault.exc_traceback)
    os._exit(70)


if __name__ == "__main__":
    main()
