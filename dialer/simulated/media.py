"""RTP of the simulated side: one socket a call, one clock for all, payloads encoded beforehand (RFC 3550, 3551, 4733)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from config.errors import OnrecordError
from dialer.simulated.sound import ENCODERS, SILENCE, Sound
from dialer.simulated.timeline import Timeline

GRID = 0.010  # seconds: every packet leaves on this grid, 20 ms and 30 ms streams alike
_STATIC_NAMES = {0: "PCMU/8000", 8: "PCMA/8000"}
_LATE_LIMIT = 0.5  # seconds behind at which a stream jumps forward and leaves a real gap

# one byte a payload byte: 1 where the sample is louder than about -26 dBov
_LOUD = {
    "PCMA": bytes(1 if ((b ^ 0x55) & 0x7F) >= 0x3A else 0 for b in range(256)),
    "PCMU": bytes(1 if ((~b) & 0x7F) >= 0x3A else 0 for b in range(256)),
}


class NoMediaPort(OnrecordError):
    """No free UDP port pair in the range."""

    error_id = "simulated-no-media-port"


class NoCodecInCommon(OnrecordError):
    """The offer holds nothing the simulated side speaks; answered with 488."""

    error_id = "simulated-no-codec"


@dataclass(frozen=True, slots=True)
class Description:
    """What matters of a session description (RFC 4566) with one audio stream."""

    host: str
    port: int
    codecs: tuple[tuple[int, str], ...]  # (payload type, PCMA | PCMU), in the offer's order
    dtmf: int | None
    ptime: int
    direction: str


def read_description(body: bytes) -> Description | None:
    """The first audio stream of an SDP body; None when there is none."""
    host, media_host = "", ""
    port: int | None = None
    formats: list[int] = []
    names: dict[int, str] = {}
    ptime, direction = 20, "sendrecv"
    in_audio = in_other = False
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.partition("=")
        if kind == "m":
            words = value.split()
            in_other = in_audio or not words or words[0] != "audio" or len(words) < 4
            if not in_other and words[1].partition("/")[0].isdigit():
                in_audio, port = True, int(words[1].partition("/")[0])
                formats = [int(word) for word in words[3:] if word.isdigit()]
        elif in_other:
            continue
        elif kind == "c":
            address = value.split()[-1] if value.split() else ""
            if in_audio:
                media_host = address
            else:
                host = address
        elif kind == "a":
            name, _, rest = value.partition(":")
            if name == "rtpmap" and rest.split():
                number, _, encoding = rest.partition(" ")
                if number.isdigit():
                    names[int(number)] = encoding.strip().upper()
            elif name == "ptime" and rest.strip().isdigit():
                ptime = int(rest)
            elif name in ("sendrecv", "sendonly", "recvonly", "inactive"):
                direction = name
    if port is None:
        return None
    encodings = [(number, names.get(number, _STATIC_NAMES.get(number, ""))) for number in formats]
    dtmf = next((number for number, encoding in encodings if encoding.startswith("TELEPHONE-EVENT/8000")), None)
    codecs = [
        (number, codec) for number, encoding in encodings for codec in ENCODERS if encoding.startswith(f"{codec}/8000")
    ]
    return Description(media_host or host, port, tuple(codecs), dtmf, ptime, direction)


_MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class MediaClock:
    """Sends for every stream on one grid: a late wake-up sends what is owed, so no stream drifts."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._streams: set[MediaPort] = set()
        self._next = 0.0
        self._running = False

    def add(self, stream: MediaPort) -> None:
        self._streams.add(stream)
        if not self._running:
            self._running = True
            self._next = time.monotonic()
            self._tick()

    def remove(self, stream: MediaPort) -> None:
        self._streams.discard(stream)

    def _tick(self) -> None:
        now = time.monotonic()
        for stream in tuple(self._streams):
            stream.send_due(now)
        if not self._streams:
            self._running = False
            return
        self._next = max(self._next + GRID, now - _LATE_LIMIT)
        self._timeline.at(self._next, self._tick)


class MediaPort:
    """One call's RTP. ``on_finished`` fires when a sound that does not loop has been sent to its end."""

    def __init__(
        self, timeline: Timeline, clock: MediaClock, host: str, rng: Random, ports: tuple[int, int] | None = None
    ) -> None:
        self._timeline, self._clock, self._rng, self.host = timeline, clock, rng, host
        self._socket = _bind(host, ports, rng)
        self.port: int = self._socket.getsockname()[1]
        self._buffer = bytearray(2048)
        self._peer: tuple[str, int] | None = None
        self._sound: Sound | None = None
        self._at = 0
        self._due = 0.0
        self._sequence = rng.randrange(0x10000)
        self._timestamp = rng.randrange(0x100000000)
        self._ssrc = rng.randrange(0x100000000)
        self._marker = True
        self.codec, self.payload_type = "PCMA", 8
        self.dtmf_type: int | None = None
        self.ptime = 20
        self.direction = "sendrecv"
        self.muted = False  # a persona that never sends
        self.on_finished: Callable[[], None] | None = None
        self.sent = self.received = self.loud = self.undelivered = 0
        self.first_received_at: float | None = None
        self.voice_at: float | None = None  # when the other side was last heard speaking
        self.voice_started_at: float | None = None  # and when it began to, after half a second or more of quiet
        self.digits = ""
        self._digit_timestamp: int | None = None
        self.kept: bytearray | None = None  # tests: every payload received, as it came
        self.closed = False
        timeline.read(self._socket, self._receive)

    def agree(self, offer: Description, codecs: tuple[str, ...], ptime: int | None) -> None:
        """Take the first codec of the offer that we speak. Raises ``NoCodecInCommon``."""
        chosen = next(((number, codec) for number, codec in offer.codecs if codec in codecs), None)
        if chosen is None:
            raise NoCodecInCommon("no codec in common", field="sdp", remedy="offer PCMA or PCMU")
        self.payload_type, self.codec = chosen
        self.dtmf_type = offer.dtmf
        self.ptime = ptime or (offer.ptime if offer.ptime in (10, 20, 30, 40, 60) else 20)
        self.direction = _MIRRORED[offer.direction]
        self._peer = (offer.host, offer.port) if offer.port and offer.host != "0.0.0.0" else None  # noqa: S104  # RFC 2543 hold is written so
        if offer.host == "0.0.0.0" and offer.direction == "sendrecv":  # noqa: S104  # the same
            self.direction = "recvonly"

    def describe(self, session: int, version: int, direction: str | None = None) -> bytes:
        """Our session description, as answer or offer."""
        formats = [str(self.payload_type)] + ([str(self.dtmf_type)] if self.dtmf_type is not None else [])
        lines = [
            "v=0",
            f"o=carrier {session} {version} IN IP4 {self.host}",
            "s=-",
            f"c=IN IP4 {self.host}",
            "t=0 0",
            f"m=audio {self.port} RTP/AVP {' '.join(formats)}",
            f"a=rtpmap:{self.payload_type} {self.codec}/8000",
        ]
        if self.dtmf_type is not None:
            lines += [f"a=rtpmap:{self.dtmf_type} telephone-event/8000", f"a=fmtp:{self.dtmf_type} 0-15"]
        lines += [f"a=ptime:{self.ptime}", f"a={direction or self.direction}"]
        return ("\r\n".join(lines) + "\r\n").encode()

    def start(self) -> None:
        """Begin to send: silence until something is played."""
        if not self._due:
            # the grid's phase differs by call, so that a hundred calls do not send in one burst
            self._due = time.monotonic() + self._rng.choice((0.0, GRID))
        self._clock.add(self)

    def play(self, sound: Sound, offset: float = 0.0) -> None:
        """From ``offset`` seconds into the sound on; replaces what is being played."""
        self._sound, self._at, self._marker = sound, int(offset * 8000), True
        self.start()

    def quiet(self) -> None:
        self._sound = None

    def send_due(self, now: float) -> None:
        if now - self._due > _LATE_LIMIT:
            missed = int((now - self._due) / (self.ptime / 1000))
            self._due += missed * self.ptime / 1000
            self._timestamp = (self._timestamp + missed * self.ptime * 8) & 0xFFFFFFFF
        while self._due <= now:
            self._send_one()
            self._due += self.ptime / 1000

    def _send_one(self) -> None:
        size = self.ptime * 8
        payload, finished = self._next_payload(size)
        if self._peer is not None and not self.muted and self.direction in ("sendrecv", "sendonly"):
            marker = 0x80 if self._marker else 0
            self._marker = False
            header = struct.pack(
                "!BBHII", 0x80, marker | self.payload_type, self._sequence, self._timestamp, self._ssrc
            )
            try:
                self._socket.sendto(header + payload, self._peer)
                self.sent += 1
            except OSError:
                self.undelivered += 1  # the peer's port is closed already (ICMP); its BYE is on the way
            self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + size) & 0xFFFFFFFF
        if finished and self.on_finished is not None:
            self.on_finished()

    def _next_payload(self, size: int) -> tuple[bytes, bool]:
        if self._sound is None:
            return SILENCE[self.codec] * size, False
        data = self._sound.encoded[self.codec]
        if self._sound.loops:
            self._at %= len(data)
        chunk = data[self._at : self._at + size]
        self._at += size
        if len(chunk) == size:
            return chunk, False
        if self._sound.loops:
            self._at = size - len(chunk)
            return chunk + data[: self._at], False
        self._sound = None
        return chunk + SILENCE[self.codec] * (size - len(chunk)), True

    def _receive(self) -> None:
        while True:
            try:
                size, _ = self._socket.recvfrom_into(self._buffer, 2048)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue  # an ICMP for something we sent
            if size < 12 or self._buffer[0] >> 6 != 2:
                continue
            self.received += 1
            if self.first_received_at is None:
                self.first_received_at = self._timeline.now
            kind = self._buffer[1] & 0x7F
            start = 12 + 4 * (self._buffer[0] & 0x0F)
            if kind == self.dtmf_type and size >= start + 4:
                self._take_digit(struct.unpack_from("!I", self._buffer, 4)[0], self._buffer[start])
            elif kind == self.payload_type:
                payload = self._buffer[start:size]
                if payload.translate(_LOUD[self.codec]).count(1) * 12 > len(payload):
                    self.loud += 1
                    self._take_voice(time.monotonic())
                if self.kept is not None:
                    self.kept += payload

    def _take_voice(self, now: float) -> None:
        if self.voice_at is None or now - self.voice_at > 0.5:
            self.voice_started_at = now
        self.voice_at = now

    def _take_digit(self, timestamp: int, event: int) -> None:
        """One digit a timestamp, however often its packets are repeated (RFC 4733 section 2.5)."""
        if timestamp != self._digit_timestamp and event < 16:
            self._digit_timestamp = timestamp
            self.digits += "0123456789*#ABCD"[event]

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._clock.remove(self)
        self._timeline.forget(self._socket)
        self._socket.close()


def _bind(host: str, ports: tuple[int, int] | None, rng: Random) -> socket.socket:
    """A non-blocking socket on an even port of ``ports``, or on any even port the system gives."""
    candidates = [0] * 64
    if ports is not None:
        even = range(ports[0] + ports[0] % 2, ports[1] + 1, 2)
        first = rng.randrange(len(even)) if len(even) else 0
        candidates = [even[(first + step) % len(even)] for step in range(len(even))]
    for port in candidates:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.bind((host, port))
        except OSError:
            sock.close()
            continue
        if sock.getsockname()[1] % 2 == 0:
            return sock
        sock.close()
    raise NoMediaPort("no free even UDP port", field="rtp", remedy="give a wider --rtp range")
