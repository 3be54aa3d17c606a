"""RFC 3264 offers and answers for one audio stream: G.711, RFC 4733 events, comfort noise. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address

from config.errors import BadInput

CONTENT_TYPE = "application/sdp"
TELEPHONE_EVENT_PT = 101
COMFORT_NOISE_PT = 13
_STATIC = {0: "PCMU", 8: "PCMA", 13: "CN"}
_CODEC_PT = {"PCMU": 0, "PCMA": 8}
PTIMES = (20, 30)


class SdpTrouble(BadInput):
    """A session description that cannot be used."""

    error_id = "sdp-trouble"


class Direction(StrEnum):
    """From the view of whoever wrote it."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @staticmethod
    def of(*, sends: bool, receives: bool) -> Direction:
        if sends:
            return Direction.SENDRECV if receives else Direction.SENDONLY
        return Direction.RECVONLY if receives else Direction.INACTIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    payload_type: int
    codec: str  # upper case; "TELEPHONE-EVENT", "CN", "PCMA", …
    rate: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """The audio stream of a session description, and the other media lines (to be declined)."""

    host: str
    port: int
    formats: tuple[Format, ...]
    direction: Direction
    ptime: int | None
    other_media: tuple[str, ...] = ()
    audio_index: int = 0

    @property
    def on_hold(self) -> bool:
        """Whether its writer has put us on hold: sends nothing of the person, or RFC 2543's 0.0.0.0."""
        return self.direction in (Direction.SENDONLY, Direction.INACTIVE) or self.host == "0.0.0.0"  # noqa: S104  # RFC 2543 hold, no bind


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """What both sides will do; ``send`` and ``receive`` from our view."""

    host: str
    port: int
    codec: str
    payload_type: int
    telephone_event_pt: int | None
    ptime: int
    send: bool
    receive: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Ours:
    """What we write: our media address, our codecs in order, and the version that grows with each change."""

    host: str
    port: int
    codecs: tuple[str, ...]
    ptime: int
    session: int
    version: int = 1
    hold: bool = False

    def next_version(self, *, hold: bool) -> Ours:
        return replace(self, version=self.version + 1, hold=hold)


def parse(text: str) -> Description:
    """Read a session description. Raises ``SdpTrouble``: no version, no audio, an impossible address or port."""
    if not text.startswith("v="):
        raise _trouble("it does not begin with v=")
    session_host: str | None = None
    session_direction = Direction.SENDRECV
    media: list[tuple[str, list[str]]] = []
    for raw in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = raw.strip()
        if line.startswith("m="):
            media.append((line[2:], []))
        elif media:
            media[-1][1].append(line)
        elif line.startswith("c="):
            session_host = _host_of(line)
        elif line.startswith("a="):
            session_direction = _direction_of(line) or session_direction
    return _pick_audio(media, session_host, session_direction)


def _trouble(problem: str) -> SdpTrouble:
    return SdpTrouble(problem, remedy="ask the carrier to send G.711 over RTP/AVP", field="sdp")


def _pick_audio(media: list[tuple[str, list[str]]], host: str | None, direction: Direction) -> Description:
    for index, (line, attributes) in enumerate(media):
        parts = line.split()
        if len(parts) < 4 or parts[0] != "audio" or parts[2] != "RTP/AVP":
            continue
        port = parts[1].partition("/")[0]
        if not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise _trouble("the audio port is no port number")
        if int(port) == 0:
            continue
        for attribute in attributes:
            if attribute.startswith("c="):
                host = _host_of(attribute)
            elif attribute.startswith("a="):
                direction = _direction_of(attribute) or direction
        if host is None:
            raise _trouble("it names no address")
        others = tuple(other for position, (other, _) in enumerate(media) if position != index)
        return Description(
            host=host,
            port=int(port),
            formats=_formats(parts[3:], attributes),
            direction=direction,
            ptime=_ptime_of(attributes),
            other_media=others,
            audio_index=index,
        )
    raise _trouble("it has no audio over RTP/AVP")


def _host_of(line: str) -> str:
    parts = line[2:].split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise _trouble("its connection line is not IN IP4 or IN IP6")
    host = parts[2].partition("/")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        raise _trouble("its address is no IP address") from None


def _direction_of(line: str) -> Direction | None:
    name = line[2:].strip()
    return Direction(name) if name in set(Direction) else None


def _ptime_of(attributes: list[str]) -> int | None:
    for attribute in attributes:
        if attribute.startswith("a=ptime:"):
            text = attribute[8:].strip().partition(".")[0]
            if text.isascii() and text.isdigit() and 0 < int(text[:4]) <= 200:
                return int(text[:4])
    return None


def _formats(numbers: list[str], attributes: list[str]) -> tuple[Format, ...]:
    mapped: dict[int, tuple[str, int]] = {}
    for attribute in attributes:
        if not attribute.startswith("a=rtpmap:"):
            continue
        number, _, encoding = attribute[9:].strip().partition(" ")
        name, *rest = encoding.strip().split("/")
        if number.isascii() and number.isdigit() and name:
            rate = int(rest[0]) if rest and rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 8 else 8000
            mapped[int(number[:4])] = (name.upper(), rate)
    formats = []
    for number in numbers:
        if not (number.isascii() and number.isdigit()) or int(number[:4]) > 127:
            continue
        payload_type = int(number)
        name, rate = mapped.get(payload_type, (_STATIC.get(payload_type, ""), 8000))
        if name:
            formats.append(Format(payload_type=payload_type, codec=name, rate=rate))
    return tuple(formats)


def agree(theirs: Description, ours: Ours, *, answering: bool) -> Agreed | None:
    """What both sides can do, or None without a codec in common, or an address of the other family (IPv6 to an IPv4 leg).

    Our order of codecs decides when we answer; the answerer's when we offered (RFC 3264 6.1, 7).
    """
    if (":" in theirs.host) != (":" in ours.host):
        return None  # the relay's port of this leg speaks one family of addresses
    known = {item.codec: item for item in reversed(theirs.formats) if item.codec in ours.codecs and item.rate == 8000}
    if not known:
        return None
    if answering:
        chosen = known[next(codec for codec in ours.codecs if codec in known)]
    else:
        chosen = next(item for item in theirs.formats if item.codec in known and item.rate == 8000)
    events = [item for item in theirs.formats if item.codec == "TELEPHONE-EVENT" and item.rate == 8000]
    silent = theirs.host == "0.0.0.0"  # noqa: S104  # RFC 2543 hold, no bind
    return Agreed(
        host=theirs.host,
        port=theirs.port,
        codec=chosen.codec,
        payload_type=chosen.payload_type,
        telephone_event_pt=events[0].payload_type if events else None,
        ptime=theirs.ptime if theirs.ptime in PTIMES else ours.ptime,
        send=theirs.direction.receives and not silent,
        receive=theirs.direction.sends and not ours.hold,
    )


def offer(ours: Ours) -> str:
    """Our offer: every codec we speak, RFC 4733 events, comfort noise."""
    formats = [(_CODEC_PT[codec], f"{codec}/8000") for codec in ours.codecs]
    formats += [(COMFORT_NOISE_PT, "CN/8000"), (TELEPHONE_EVENT_PT, "telephone-event/8000")]
    direction = Direction.SENDONLY if ours.hold else Direction.SENDRECV
    return "\r\n".join([*_head(ours), *_audio(ours, formats, direction, TELEPHONE_EVENT_PT), ""])


def answer(ours: Ours, theirs: Description, agreed: Agreed) -> str:
    """Our answer to ``theirs``: the agreed codec under its number, other media declined with port 0."""
    formats = [(agreed.payload_type, f"{agreed.codec}/8000")]
    if any(item.codec == "CN" and item.payload_type == COMFORT_NOISE_PT for item in theirs.formats):
        formats.append((COMFORT_NOISE_PT, "CN/8000"))
    if agreed.telephone_event_pt is not None:
        formats.append((agreed.telephone_event_pt, "telephone-event/8000"))
    direction = Direction.of(sends=theirs.direction.receives, receives=theirs.direction.sends and not ours.hold)
    media = [_declined(line) for line in theirs.other_media]
    media.insert(theirs.audio_index, "\r\n".join(_audio(ours, formats, direction, agreed.telephone_event_pt)))
    return "\r\n".join([*_head(ours), *media, ""])


def _declined(line: str) -> str:
    parts = line.split()
    kind, protocol, formats = parts[0], parts[2] if len(parts) > 2 else "RTP/AVP", parts[3:] or ["0"]
    return f"m={kind} 0 {protocol} {' '.join(formats)}"


def _head(ours: Ours) -> list[str]:
    family = "IP6" if ":" in ours.host else "IP4"
    return [
        "v=0",
        f"o=onrecord {ours.session} {ours.version} IN {family} {ours.host}",
        "s=-",
        f"c=IN {family} {ours.host}",
        "t=0 0",
    ]


def _audio(ours: Ours, formats: list[tuple[int, str]], direction: Direction, event_pt: int | None) -> list[str]:
    lines = [f"m=audio {ours.port} RTP/AVP {' '.join(str(number) for number, _ in formats)}"]
    lines += [f"a=rtpmap:{number} {encoding}" for number, encoding in formats]
    if event_pt is not None:
        lines.append(f"a=fmtp:{event_pt} 0-15")
    return [*lines, f"a=ptime:{ours.ptime}", f"a={direction}"]
