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
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

from config.errors import OnrecordError
from dialer.media.buffer import BUFFER, VIEW
from dialer.media.commands import GRACE_SECONDS, MAX_MESSAGE, STATUS_SECONDS, pack, unpack
from dialer.media.lane import Lane, serve
from dialer.media.leg import Leg
from dialer.media.mixing import Mixer, parts_of
from dialer.media.ports import bind_media
from dialer.media.prompts import PromptShelf
from recording.tape_disk import TapeDisk
from recording.tape_writer import CHUNK_BYTES, TapeWriter

_STATUS_NS = int(STATUS_SECONDS * 1e9)
_TICK_NS = 10_000_000  # half a packet time
_MOST_READY = 64  # they share one reading of the clock: half a millisecond's work
_TAPES_A_STATUS = 400
_LEGS_A_MESSAGE = 300
_SEND_BUFFER = 4 << 20


class CannotDo(Exception):
    """A command that cannot be carried out; goes back to control as it is."""

    def __init__(self, problem: str, remedy: str, field: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.field = field


class Relay:
    """All legs of one process, and the loop that serves them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self.lanes: dict[int, Lane] = {}
        self._legs: dict[str, Leg] = {}
        self._streams: list[Leg] = []  # legs that hear something: the tick's work
        self._mixers: list[Mixer] = []
        self._shelf = PromptShelf()
        self._disk = TapeDisk(self._tape_finished)
        self._finished: deque[tuple[TapeWriter, str | None]] = deque()
        self._closing: dict[TapeWriter, tuple[int | None, dict[str, Any]]] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._tap_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._control: socket.socket | None = None
        self._backlog: deque[bytes] = deque()
        self._grace_until: float | None = time.monotonic() + options.grace_seconds
        self._running = True
        self._status_turn = 0
        self._next_port = options.rtp_ports[0]
        self._listener = self._listen(Path(options.socket))
        self._verbs: dict[str, Callable[[dict[str, Any]], Any]] = {
            "attach": lambda _facts: {"pid": os.getpid()},
            "open_leg": self._open_leg,
            "set_remote": self._set_remote,
            "expect_audio": self._expect_audio,
            "patch": self._patch,
            "unpatch": self._unpatch,
            "confer": self._confer,
            "play": self._play,
            "stop_prompt": self._stop_prompt,
            "send_dtmf": self._send_dtmf,
            "mark": self._mark,
            "counters": lambda facts: self._leg(facts).counters(),
            "list_legs": self._list_legs,
            "tap": self._tap,
        }

    # The loop

    def run(self) -> None:
        """Until ``stop`` is asked, a signal comes, or the grace time is over; then close all tapes."""
        self._disk.start()
        self._register(self._wake, self._on_wake)
        poll, lanes, handlers = self._poll.poll, self.lanes, self._handlers
        next_tick = monotonic_ns() + _TICK_NS
        next_status = 0
        while self._running:
            serve(poll(max(0.0, (next_tick - monotonic_ns()) / 1e9), _MOST_READY), lanes, handlers)
            now = monotonic_ns()
            if now >= next_tick:
                if self._mixers:
                    self._mix(now)
                for leg in self._streams:
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
        self._register(sock.fileno(), handler)

    def unwatch(self, sock: socket.socket) -> None:
        self._unregister(sock.fileno())

    def _register(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def _unregister(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _end(self) -> None:
        for leg in list(self._legs.values()):
            self._close(leg, None)
        self._disk.stop()
        self._on_wake()
        with contextlib.suppress(FileNotFoundError):
            Path(self._options.socket).unlink()
        if self._control is not None:
            self._flush_backlog()
            self._control.close()

    # Control

    def _listen(self, path: Path) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            before = os.umask(0o177)
            try:
                listener.bind(f"/proc/self/fd/{directory}/{path.name}")
            finally:
                os.umask(before)
        finally:
            os.close(directory)
        listener.listen(4)
        self._register(listener.fileno(), self._on_attach)
        return listener

    def _on_attach(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        if self._control is not None:
            self._lose_control()
        connection.setblocking(False)
        # As much as the system allows (net.core.wmem_max); the rest waits in the backlog.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._control = connection
        self._grace_until = None
        self._register(connection.fileno(), self._on_command)

    def _on_command(self) -> None:
        assert self._control is not None
        try:
            datagram = self._control.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            datagram = b""
        if not datagram:
            self._lose_control()
            return
        message = unpack(datagram)
        number, verb = message["id"], message["do"]
        for key in ("leg", "customer", "agent"):
            if (named := self._legs.get(str(message.get(key)))) is not None:
                named.leave_lanes()
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
            if verb not in self._verbs:
                self._leg(message)
                raise CannotDo("the verb is unknown", "use a client of the same version", "do")
            self._tell({"id": number, "ok": self._verbs[verb](message) or {}})
        except CannotDo as error:
            self._tell(
                {"id": number, "error": {"problem": error.problem, "remedy": error.remedy, "field": error.field}}
            )

    def _lose_control(self) -> None:
        if self._control is not None:
            self._unregister(self._control.fileno())
            self._control.close()
        self._control = None
        self._backlog.clear()
        self._grace_until = time.monotonic() + self._options.grace_seconds

    def _tell(self, message: dict[str, Any]) -> None:
        if self._control is None:
            return
        self._backlog.append(pack(message))
        self._flush_backlog()

    def _flush_backlog(self) -> None:
        while self._backlog and self._control is not None:
            try:
                self._control.send(self._backlog[0])
            except BlockingIOError:
                return  # control is slow; its next turn comes with the next status
            except OSError:
                self._lose_control()
                return
            self._backlog.popleft()

    def _tell_status(self, now: int) -> None:
        if self._grace_until is not None and time.monotonic() > self._grace_until:
            self._running = False
            return
        self._look_after(now)
        self._flush_backlog()
        if self._control is None or self._backlog:
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

    def grow(self, writer: TapeWriter) -> None:
        self._disk.ask_to_grow(writer)

    # Verbs

    def _leg(self, facts: dict[str, Any], key: str = "leg") -> Leg:
        leg = self._legs.get(str(facts.get(key)))
        if leg is None:
            raise CannotDo("the relay has no such leg", "open it first; it may have been closed", key)
        return leg

    def _open_leg(self, facts: dict[str, Any]) -> dict[str, Any]:
        name, kind, path = str(facts["leg"]), str(facts["kind"]), facts["tape"]
        if name in self._legs:
            raise CannotDo("the leg is open already", "use another name", "leg")
        if (kind == "customer") != (path is not None):
            raise CannotDo("a customer's leg needs a tape and a desk has none", "arm a tape first", "tape")
        tape = None
        if path is not None:
            try:
                tape = TapeWriter(Path(path), chunk_bytes=self._options.chunk_bytes)
            except (OSError, OnrecordError) as error:
                raise CannotDo("the tape cannot be opened", f"arm it anew ({error})", "tape") from error
        try:
            sock, self._next_port = bind_media(str(facts["bind_host"]), self._options.rtp_ports, self._next_port)
        except OSError as error:
            if tape is not None:
                os.close(tape.descriptor)
            raise CannotDo("no media port is free", f"widen sip.rtp_ports ({error.strerror})", "bind_host") from error
        leg = Leg(name, kind, sock, tape, self)
        leg.tap_socket = self._tap_socket
        self._legs[name] = leg
        if tape is not None:
            self._disk.add(tape)
            leg.try_mark("opened", monotonic_ns(), leg=name)
        host, port = sock.getsockname()[:2]
        return {"host": host, "port": port}

    def _set_remote(self, facts: dict[str, Any]) -> None:
        leg = self._leg(facts)
        if leg.troubled:
            raise CannotDo("the leg's tape is in trouble", "end the leg", "leg")
        now = monotonic_ns()
        held = leg.target is not None and leg.receive and not facts["receive"]
        resumed = leg.target is not None and not leg.receive and bool(facts["receive"])
        leg.expect(facts["host"], facts["port"], tuple(facts["plausible"]))
        leg.law = facts["codec"]
        leg.payload_type = facts["payload_type"]
        leg.event_type = facts["telephone_event_pt"]
        leg.step, leg.step_ns = facts["ptime"] * 8, facts["ptime"] * 1_000_000
        leg.send, leg.receive = bool(facts["send"]), bool(facts["receive"])
        types: dict[str, str] = {str(leg.payload_type): leg.law}
        if leg.event_type is not None:
            types[str(leg.event_type)] = "telephone-event"
        leg.try_mark("map", now, types=types, ptime=facts["ptime"], send=leg.send, receive=leg.receive)
        if held or resumed:
            leg.try_mark("hold", now, on=held)
        if leg.sock.fileno() not in self._handlers:
            # Early media that came before its description waited in the socket; it is taken now, from its first packet.
            self.watch(leg.sock, leg.on_open_socket)
            leg.heard_ns = now
            self._streams.append(leg)

    def _expect_audio(self, facts: dict[str, Any]) -> None:
        self._leg(facts).wants_first = True

    def _patch(self, facts: dict[str, Any]) -> None:
        customer, agent = self._leg(facts, "customer"), self._leg(facts, "agent")
        if customer.tape is None or customer.troubled:
            raise CannotDo("nothing is heard without a working tape", "patch a taped leg", "customer")
        if agent.tape is not None:
            raise CannotDo("two taped legs cannot be patched", "patch a desk's leg to a customer's", "agent")
        customer.part()
        agent.part()
        self._forget_mixers()
        customer.peer, agent.peer = agent, customer
        customer.try_mark("patched", monotonic_ns(), agent=agent.name)

    def _unpatch(self, facts: dict[str, Any]) -> None:
        leg = self._leg(facts)
        for one in (leg, leg.peer):
            if isinstance(one, Leg) and one.peer is not None:
                one.try_mark("unpatched", monotonic_ns(), agent=one.peer.name)
        leg.part()
        self._forget_mixers()

    def _confer(self, facts: dict[str, Any]) -> None:
        """A customer and several desks, each in its part; see ``dialer.media.mixing``."""
        customer = self._leg(facts, "customer")
        if customer.tape is None or customer.troubled:
            raise CannotDo("nothing is heard without a working tape", "confer around a taped leg", "customer")
        try:
            parts = parts_of(facts["parts"].items())
        except ValueError:
            raise CannotDo("a part is unknown", "use talks, listens, whispers or aside", "parts") from None
        desks = {name: (self._leg({"leg": name}), part) for name, part in parts.items()}
        if not desks or any(leg.tape is not None for leg, _part in desks.values()):
            raise CannotDo("a conference is one customer and desks", "name the desks' legs", "parts")
        mixer = next((one for one in self._mixers if one.customer is customer), None)
        if mixer is None:
            mixer = Mixer(customer, BUFFER, VIEW)
            self._mixers.append(mixer)
        mixer.arrange(desks, monotonic_ns())
        self._forget_mixers()

    def _mix(self, now: int) -> None:
        for mixer in self._mixers:
            if now >= mixer.due:
                mixer.mix(now)

    def _forget_mixers(self) -> None:
        self._mixers = [mixer for mixer in self._mixers if mixer.alive]

    def _play(self, facts: dict[str, Any]) -> None:
        leg = self._leg(facts)
        if leg.troubled:
            raise CannotDo("the leg's tape is in trouble", "end the leg", "leg")
        try:
            prompt = self._shelf.load(str(facts["prompt"]), facts["pcma"], facts["pcmu"])
        except OSError as error:
            raise CannotDo("the prompt cannot be read", f"encode it again ({error.strerror})", "prompt") from error
        leg.play(prompt, monotonic_ns())

    def _stop_prompt(self, facts: dict[str, Any]) -> None:
        self._leg(facts).end_prompt(completed=False)

    def _send_dtmf(self, facts: dict[str, Any]) -> None:
        leg = self._leg(facts)
        if leg.event_type is None:
            raise CannotDo("the remote side takes no telephone events", "offer telephone-event", "leg")
        try:
            leg.dial(str(facts["digits"]), monotonic_ns())
        except ValueError:
            raise CannotDo("these are no DTMF digits", "use 0-9 * # A-D", "digits") from None

    def _mark(self, facts: dict[str, Any]) -> None:
        self._leg(facts).try_mark(str(facts["mark"]), monotonic_ns(), **facts["facts"])

    def _tap(self, facts: dict[str, Any]) -> None:
        leg = self._leg(facts)
        leg.tap = None if facts["path"] is None else bytes.fromhex(facts["path"])

    def _list_legs(self, facts: dict[str, Any]) -> dict[str, Any]:
        names = sorted(name for name in self._legs if name > str(facts["after"]))
        shown, size = [], 0
        for name in names[:_LEGS_A_MESSAGE]:
            leg = self._legs[name]
            host, port = leg.sock.getsockname()[:2]
            one = {
                "leg": name,
                "kind": leg.kind,
                "host": host,
                "port": port,
                "tape": None if leg.tape is None else str(leg.tape.path),
                "patched": None if leg.peer is None else leg.peer.name,
            }
            size += len(pack(one))
            if size > MAX_MESSAGE - 1000:
                break
            shown.append(one)
        return {"legs": shown, "more": len(shown) < len(names)}

    # The end of a leg

    def _close(self, leg: Leg, number: int | None) -> None:
        if leg.prompt is not None:
            leg.end_prompt(completed=False)
        for digits in (leg.digits_in.overdue(monotonic_ns() + 10**9),):
            self.dtmf(leg, digits)
        leg.part()
        self._forget_mixers()
        leg.hang_up_line()
        self.unwatch(leg.sock)
        leg.sock.close()
        del self._legs[leg.name]
        if leg in self._streams:
            self._streams.remove(leg)
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
