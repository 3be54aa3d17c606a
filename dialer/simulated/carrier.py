"""The simulated carrier: ``python -m dialer.simulated.carrier [--port 0] [--directory FILE] [--seed N] …``.

Prints one JSON line ``{"event": "listening", "host": …, "port": …, "uri": …}`` and serves until SIGTERM or SIGINT.
``--bill FILE`` gets a JSON line for every call when it is over: what a carrier would bill, and what was said on it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import stat
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import IO, Any

from config.errors import OnrecordError
from dialer.simulated.digest import Credentials
from dialer.simulated.directory import Directory, read_directory
from dialer.simulated.endpoint import T1, Endpoint, Exchange, dialed_user
from dialer.simulated.line import BillLine, Line, LineHabits
from dialer.simulated.media import MediaClock, NoMediaPort
from dialer.simulated.personas import Persona, script
from dialer.simulated.script import Performance
from dialer.simulated.sound import sound
from dialer.simulated.timeline import Timeline


@dataclass(slots=True)
class CarrierSettings:
    """``host`` must be a loopback address: nobody else is ever called or listened to."""

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    directory: Directory = field(default_factory=Directory)
    habits: LineHabits = field(default_factory=LineHabits)
    credentials: Credentials | None = None
    max_calls: int = 500
    t1: float = T1


class Carrier:
    """One endpoint, many lines. ``lines`` are the calls up now; ``bill`` the calls that are over."""

    def __init__(self, timeline: Timeline, settings: CarrierSettings, bill_file: IO[str] | None = None) -> None:
        self.settings = settings
        self._rng = Random(settings.seed)  # noqa: S311  # tags and SSRCs of a simulation, repeatable on purpose
        self._clock = MediaClock(timeline)
        self._bill_file = bill_file
        self.endpoint = Endpoint(
            timeline, settings.host, settings.port, self._rng, self._take_invite, settings.credentials, t1=settings.t1
        )
        self.lines: dict[Line, Performance] = {}
        self.bill: list[BillLine] = []

    def _take_invite(self, exchange: Exchange) -> None:
        number = dialed_user(exchange.request)
        if not number:
            self.endpoint.finish_invite(exchange, 484)
            return
        person = self.settings.directory.person_at(number)
        if person.persona is Persona.NO_RESPONSE:
            return
        if len(self.lines) >= self.settings.max_calls:
            self.endpoint.finish_invite(exchange, 503, [("retry-after", "2")])
            return
        try:
            line = Line(
                self.endpoint, self._clock, exchange, self.settings.habits, person.persona.value, on_end=self._ended
            )
        except NoMediaPort:
            self.endpoint.finish_invite(exchange, 503, [("retry-after", "5")])
            return
        line.trying()
        performance = Performance(line, script(person))
        self.lines[line] = performance
        if not line.take_offer():
            return
        if person.persona is Persona.ONE_WAY:
            line.media.direction = "sendonly"
        line.answers_into_cancel = person.persona is Persona.ANSWERS_INTO_CANCEL
        performance.start()

    def _ended(self, line: Line) -> None:
        performance = self.lines.pop(line, None)
        if performance is not None:
            performance.stop()
        self.bill.append(line.bill)
        if self._bill_file is not None:
            self._bill_file.write(json.dumps(bill_entry(line.bill), ensure_ascii=False) + "\n")
            self._bill_file.flush()

    def close(self) -> None:
        """Hang up on everybody and leave."""
        for line in tuple(self.lines):
            line.shut_down()
        self.endpoint.close()


def bill_entry(line: BillLine) -> dict[str, Any]:
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in asdict(line).items()}


def announce(entry: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def has_no_parent(with_parent: bool) -> bool:
    """Whether ``--with-parent`` was given without a pipe to watch; says so on standard error."""
    if not with_parent:
        return False
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty():
        return False
    sys.stderr.write("--with-parent: standard input is no pipe. Start it with a pipe, or leave the option out\n")
    return True


def serve_until_told(timeline: Timeline, with_parent: bool) -> None:
    """SIGTERM and SIGINT end the loop; so does the end of standard input when ``with_parent``."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: timeline.stop())
    pipe = os.fdopen(reader, "rb", buffering=0)

    def drain() -> None:
        pipe.read(64)

    timeline.read(pipe, drain)
    if with_parent:

        def look() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                timeline.forget(sys.stdin)
                timeline.stop()

        timeline.read(sys.stdin, look)
    timeline.run()
    signal.set_wakeup_fd(-1)
    pipe.close()
    os.close(writer)


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 1024 <= int(first) < int(last) <= 65535):
        raise argparse.ArgumentTypeError("give FIRST-LAST between 1024 and 65535")
    return int(first), int(last)


def _credentials(text: str) -> Credentials:
    username, colon, password = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("give USERNAME:PASSWORD")
    return Credentials(username, password)


def loopback(text: str) -> str:
    if not text.startswith("127."):
        raise argparse.ArgumentTypeError("the simulated carrier listens on 127.0.0.0/8 only")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dialer.simulated.carrier", description="A carrier on loopback, for the demo and tests"
    )
    parser.add_argument("--host", type=loopback, default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--rtp", type=_port_range, default=None, metavar="FIRST-LAST", help="UDP ports for sound; default: any"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path, default=None, help="JSON: number → person")
    parser.add_argument("--auth", type=_credentials, default=None, metavar="USER:PASSWORD", help="ask for digest")
    parser.add_argument("--reliable", action="store_true", help="100rel wherever the caller supports it")
    parser.add_argument("--codecs", default="PCMA,PCMU")
    parser.add_argument("--ptime", type=int, choices=(20, 30), default=None)
    parser.add_argument("--min-se", type=int, default=90)
    parser.add_argument("--max-calls", type=int, default=500)
    parser.add_argument("--bill", type=Path, default=None, help="a JSON line for every finished call")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    given = parser.parse_args(arguments)
    if has_no_parent(given.with_parent):
        return 2
    try:
        directory = read_directory(given.directory, given.seed) if given.directory else Directory(seed=given.seed)
        habits = LineHabits(tuple(given.codecs.split(",")), given.ptime, given.reliable, given.min_se, given.rtp)
        for person in directory.people.values():
            for clip in (person.greeting, *person.says, person.goodbye, person.announcement):
                sound(clip)
    except OnrecordError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    settings = CarrierSettings(given.host, given.port, given.seed, directory, habits, given.auth, given.max_calls)
    timeline = Timeline()
    bill_file = given.bill.open("a", encoding="utf-8") if given.bill else None
    try:
        carrier = Carrier(timeline, settings, bill_file)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {given.host}:{given.port}: {error.strerror}\n")
        return 2
    host, port = carrier.endpoint.host, carrier.endpoint.port
    announce({"event": "listening", "host": host, "port": port, "uri": f"sip:{host}:{port}"})
    serve_until_told(timeline, given.with_parent)
    carrier.close()
    if bill_file is not None:
        bill_file.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
