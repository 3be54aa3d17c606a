"""Agents' phones in one process: ``python -m dialer.simulated.phones --count 8``.

Prints one JSON line ``{"event": "listening", "host": …, "port": …, "uris": ["sip:101@…", …]}`` and serves until
SIGTERM, SIGINT, or the end of standard input with ``--with-parent``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dialer.simulated.carrier import announce, has_no_parent, loopback, serve_until_told
from dialer.simulated.line import LineHabits
from dialer.simulated.phone import Phones, PhoneSettings
from dialer.simulated.timeline import Timeline


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dialer.simulated.phones", description="Agents' phones on loopback")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--first", type=int, default=101, help="name of the first phone; the others follow")
    parser.add_argument("--host", type=loopback, default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ring-seconds", type=float, default=0.0)
    parser.add_argument("--codecs", default="PCMA,PCMU")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    given = parser.parse_args(arguments)
    if not 1 <= given.count <= 500:
        sys.stderr.write("--count: give 1 to 500 phones\n")
        return 2
    if has_no_parent(given.with_parent):
        return 2
    names = tuple(str(given.first + at) for at in range(given.count))
    timeline = Timeline()
    settings = PhoneSettings(
        names, given.host, given.port, given.seed, given.ring_seconds, LineHabits(tuple(given.codecs.split(",")))
    )
    phones = Phones(timeline, settings)
    announce(
        {"event": "listening", "host": phones.endpoint.host, "port": phones.endpoint.port, "uris": list(phones.uris)}
    )
    serve_until_told(timeline, given.with_parent)
    phones.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
