"""Far sides that say anything in any order: one end each, with a cause; no exception, nothing kept afterwards."""

from __future__ import annotations

import logging

from hypothesis import given, settings
from hypothesis import strategies as st

from case_store.network import HangupCause
from dialer.events import LegAnswered, LegEnded, LegEvent, Origin
from tests.unit.sip.scripted_carrier import ScriptedCarrier, header

SDP = "v=0\r\no=f 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n"
BODIES = {
    "none": ("", ""),
    "plain": ("Content-Type: application/sdp\r\n", SDP.format(port=4000) + "a=ptime:30\r\n"),
    "moved": ("Content-Type: application/sdp\r\n", SDP.format(port=5000)),
    "no type": ("", SDP.format(port=4000)),
    "multipart": (
        'Content-Type: multipart/mixed;boundary="x y"\r\n',
        "--x y\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--x y\r\nContent-Type: application/sdp\r\n\r\n"
        + SDP.format(port=4000)
        + "\r\n--x y--\r\n",
    ),
    "isup only": ("Content-Type: application/isup;version=itu-t92+\r\n", "\x01\x11\x48"),
    "torn multipart": ("Content-Type: multipart/mixed\r\n", "--x\r\nv=0"),
    "declined": ("Content-Type: application/sdp\r\n", SDP.format(port=0)),
    "inactive": ("Content-Type: application/sdp\r\n", SDP.format(port=4000) + "a=inactive\r\n"),
    "at media": (
        "Content-Type: application/sdp\r\n",
        SDP.replace("c=IN IP4 192.0.2.1\r\n", "").format(port=4000) + "c=IN IP4 192.0.2.9\r\n",
    ),
    "ipv6": ("Content-Type: application/sdp\r\n", SDP.format(port=4000).replace("IP4 192.0.2.1", "IP6 ::1")),
    "g729": ("Content-Type: application/sdp\r\n", SDP.format(port=4000).replace("8 101", "18")),
    "mapped": (
        "Content-Type: application/sdp\r\n",
        SDP.format(port=4000).replace("8 101", "97 96") + "a=rtpmap:97 PCMA/8000\r\na=rtcp-mux\r\n",
    ),
    "video too": ("Content-Type: application/sdp\r\n", SDP.format(port=4000) + "m=video 0 RTP/AVP 31\r\n"),
    "nonsense": ("Content-Type: application/sdp\r\n", "m=m=m=\r\n\x00\xff"),
}
CONTACTS = [
    "Contact: <sip:far@192.0.2.1:5060>",
    "m: sip:far@192.0.2.1;transport=UDP",
    'Contact: <sip:far@198.51.100.7:5099;ob>;+sip.instance="<urn:uuid:1>"',
    "Contact: <sip:far@carrier.example>",
    "Contact: <tel:+8613800138000>",
    "Contact: <sip:far@192.0.2.1:>",
    "Contact: <<<",
    "Contact: *",
    'Contact: "\xe5\x85\x88\xe7\x94\x9f" <sip:far@192.0.2.1>',
    "X-No-Contact: 1",
]
EXTRAS = [
    "X-Nothing: 1",
    "Record-Route: <sip:192.0.2.1;lr>, <sip:198.51.100.8:5070;lr>",
    "Record-Route: <sip:192.0.2.1>",
    "Record-Route: <>, ,",
    "Require: 100rel\r\nRSeq: 1",
    "Require: 100rel\r\nRSeq: 2",
    "Require: 100rel\r\nRSeq: x",
    "Session-Expires: 90;refresher=uac\r\nRequire: timer",
    "x: 120;refresher=uas",
    "Session-Expires: 99999999999",
    "Min-SE: 100",
    "Min-SE: 7200",
    "Retry-After: 9999999999",
    "Retry-After: 3 (busy);duration=1",
    'Reason: Q.850;cause=17;text="\xe5\xbf\x99"',
    "Reason: Q.850;cause=999, SIP;cause",
    'WWW-Authenticate: Digest realm="a", nonce="n1", qop="auth,auth-int", algorithm=SHA-256',
    'Proxy-Authenticate: Digest realm="b", nonce="n2", qop="auth-int", stale=TRUE',
    "WWW-Authenticate: Digest , ,=,",
    "Unsupported: 100rel, timer",
    "Require: timer, 100rel, magic",
    "Allow: INVITE, ACK, BYE, UPDATE",
    "Supported: timer",
]
STATUSES = [100, 180, 181, 182, 183, 183, 199, 200, 200, 202, 300, 302, 401, 407, 408, 420, 421, 422, 480, 481, 486]
STATUSES += [487, 488, 491, 500, 503, 600, 603, 607, 608, 699]
METHODS = ["BYE", "INVITE", "UPDATE", "INFO", "OPTIONS", "NOTIFY", "MESSAGE", "REFER", "PRACK", "ACK", "CANCEL", "WINK"]

response = st.tuples(
    st.just("response"),
    st.sampled_from(STATUSES),
    st.sampled_from(["", "a", "b", "c"]),
    st.sampled_from(sorted(BODIES)),
    st.sampled_from(CONTACTS),
    st.lists(st.sampled_from(EXTRAS), max_size=2),
    st.sampled_from(["plain", "plain", "compact", "lower", "folded", "long", "short", "two vias", "storm"]),
)
request = st.tuples(
    st.just("request"),
    st.sampled_from(METHODS),
    st.sampled_from(["", "a", "b", "z"]),
    st.sampled_from(sorted(BODIES)),
    st.sampled_from(CONTACTS),
    st.lists(st.sampled_from(EXTRAS), max_size=2),
    st.integers(-2, 3),
)
answer = st.tuples(
    st.just("answer"), st.sampled_from(STATUSES), st.sampled_from(sorted(BODIES)), st.lists(st.sampled_from(EXTRAS), max_size=1)
)  # fmt: skip
CONTACT = CONTACTS[0]
RINGS = ("response", 180, "a", "none", CONTACT, [], "plain")
SPEAKS = ("response", 183, "a", "plain", CONTACT, ["Require: 100rel\r\nRSeq: 1"], "plain")
ANSWERS = (
    "response",
    200,
    "a",
    "plain",
    CONTACT,
    ["Allow: INVITE, UPDATE", "Session-Expires: 90;refresher=uac"],
    "plain",
)
PLAINLY = ("response", 200, "a", "plain", CONTACT, [], "plain")
openings = st.sampled_from([[], [RINGS], [SPEAKS], [RINGS, ANSWERS], [PLAINLY], [SPEAKS, PLAINLY]])
more = st.lists(
    st.one_of(
        response,
        response,
        request,
        answer,
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 5.0, 40.0, 120.0])),
        st.tuples(st.just("ours"), st.sampled_from(["hang up", "hold", "resume"])),
        st.tuples(st.just("noise"), st.binary(max_size=60), st.integers(0, 400)),
    ),
    max_size=14,
)


def said(far: ScriptedCarrier, asked: str, status: int, tag: str, body: str, lines: list[str], style: str = "") -> str:
    """A response to the request ``asked``."""
    to = header(asked, "To")
    if ";tag=" not in to and tag:
        to += f";tag={tag}"
    kind, content = BODIES[body]
    head = [f"Via: {header(asked, 'Via')}", f"From: {header(asked, 'From')}", f"To: {to}"]
    head += [f"Call-ID: {header(asked, 'Call-ID')}", f"CSeq: {header(asked, 'CSeq')}", *lines]
    if kind:
        head.append(kind.rstrip())
    length = len(content) + {"long": 1, "short": -7}.get(style, 0)
    head.append(f"Content-Length: {max(0, length)}")
    if style == "two vias":
        head.insert(1, "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKother")
    if style == "compact":
        short = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Content-Length": "l", "Content-Type": "c"}
        head = [f"{short.get(name, name)}:{value}" for name, _, value in (one.partition(":") for one in head)]
    if style == "lower":
        head = [f"{name.lower()}:{value}" for name, _, value in (one.partition(":") for one in head)]
    if style == "folded":
        head = [one.replace(": ", ":\r\n\t ", 1) for one in head]
    return "\r\n".join([f"SIP/2.0 {status} Said so \xe5\x85\x88", *head, "", content])


def asked_of_us(
    far: ScriptedCarrier, method: str, tag: str, body: str, lines: list[str], cseq: int, branch: str
) -> str:
    invite = far.invite
    kind, content = BODIES[body]
    to = header(invite, "From")
    head = [
        f"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{branch}",
        f"From: {header(invite, 'To')};tag={tag}",
        f"To: {to}",
    ]
    head += [f"Call-ID: {header(invite, 'Call-ID')}", f"CSeq: {max(0, cseq)} {method}", *lines]
    head += [kind.rstrip()] if kind else []
    return "\r\n".join(
        [f"{method} sip:onrecord@192.0.2.100 SIP/2.0", *head, f"Content-Length: {len(content)}", "", content]
    )


def play(far: ScriptedCarrier, leg: str, number: int, step: tuple) -> None:  # type: ignore[type-arg]  # one shape a kind
    match step:
        case ("response", status, tag, body, contact, extras, style):
            text = said(far, far.invite, status, tag, body, [contact, *extras], style)
            for _ in range(50 if style == "storm" else 1):
                far.hear(text)
        case ("request", method, tag, body, contact, extras, cseq):
            far.hear(asked_of_us(far, method, tag, body, [contact, *extras], 100 + number + cseq, f"r{number}"))
        case ("answer", status, body, extras):  # to whatever else we asked last
            others = [text for text, _to in far.sent if not text.startswith(("SIP/2.0", "ACK"))]
            far.hear(said(far, others[-1], status, "a", body, extras))
        case ("wait", seconds):
            far.time.run(seconds)
        case ("ours", "hang up"):
            far.board.hang_up(leg, HangupCause.NORMAL, Origin.NEAR)
        case ("ours", what):
            far.board.hold(leg, what == "hold")
        case ("noise", data, at):
            text = said(far, far.invite, 180, "a", "plain", []).encode("latin-1")
            far.hear(text[:at] + data + text[at:])


@settings(max_examples=250, deadline=None)
@given(st.builds(lambda opening, rest: [*opening, *rest], openings, more), st.booleans(), st.sampled_from([0, 1800]))
def test_any_carrier_in_any_order(script: list[tuple], account: bool, session: int) -> None:  # type: ignore[type-arg]
    records: list[logging.LogRecord] = []
    listening = _Records(records)
    logging.getLogger("dialer").addHandler(listening)
    try:
        far = ScriptedCarrier(session_expires=session, **({"username": "us", "password": "secret"} if account else {}))
        leg = far.place()
        for number, step in enumerate(script):
            play(far, leg, number, step)
        far.board.hang_up(leg, HangupCause.NORMAL, Origin.NEAR)
        far.time.run(400)
    finally:
        logging.getLogger("dialer").removeHandler(listening)
    told = [one for one in far.told if isinstance(one, LegEvent)]
    ends = [one for one in told if isinstance(one, LegEnded)]
    assert len(ends) == 1
    assert told[-1] is ends[0], "nothing is told of a leg after its end"
    assert ends[0].answered == any(isinstance(one, LegAnswered) for one in told)
    assert not [one.getMessage() for one in records if one.levelno >= logging.ERROR]
    far.forgotten()
    for text in far.requests("INVITE"):
        assert header(text, "Via").count("branch") == 1


class _Records(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
