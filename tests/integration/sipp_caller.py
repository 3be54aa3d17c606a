"""SIPp as a caller: scenarios written from a few steps, run in its own process, media sent to a socket of ours."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_HOSTS = itertools.count(2)

_SDP = """v=0
o=user1 1 {version} IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [sound_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=ptime:20
a={direction}
"""

_INVITE = """<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];rport;branch=[branch]
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: {cseq} INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
{extra}Content-Type: application/sdp
Content-Length: [len]

{sdp}]]></send>"""

_IN_DIALOG = """<send{retrans}><![CDATA[
{method} {uri} SIP/2.0
{via}
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{tag}
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
{extra}{content}]]></send>"""

_EMPTY = "Content-Length: 0\n\n"
_NEW_VIA = "Via: SIP/2.0/UDP [local_ip]:[local_port];rport;branch=[branch]"
_URI = "sip:[service]@[remote_ip]:[remote_port]"


def invite(extra: str = "", cseq: int = 1, direction: str = "sendrecv") -> str:
    return _INVITE.format(extra=extra, cseq=cseq, sdp=_SDP.format(version=cseq, direction=direction))


def expect(status: int, optional: bool = False) -> str:
    kind = ' optional="true"' if optional else ' rrs="true"'
    return f'<recv response="{status}"{kind}></recv>'


def expect_request(method: str) -> str:
    return f'<recv request="{method}"></recv>'


def within(method: str, cseq: int, extra: str = "", sdp: str = "") -> str:
    """A request in the dialog, as a new transaction."""
    content = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{sdp}" if sdp else _EMPTY
    retrans = "" if method == "ACK" else ' retrans="500"'
    return _IN_DIALOG.format(
        retrans=retrans,
        method=method,
        uri=_URI,
        via=_NEW_VIA,
        tag="[peer_tag_param]",
        cseq=cseq,
        extra=extra,
        content=content,
    )


def acknowledge(cseq: int = 1) -> str:
    return within("ACK", cseq)


def acknowledge_refusal(cseq: int = 1) -> str:
    """ACK of a final response of 300 and above: the INVITE's own branch (RFC 3261 section 17.1.1.3)."""
    return _IN_DIALOG.format(
        retrans="",
        method="ACK",
        uri=_URI,
        via="[last_Via:]",
        tag="[peer_tag_param]",
        cseq=cseq,
        extra="",
        content=_EMPTY,
    )


def cancel() -> str:
    return _IN_DIALOG.format(
        retrans=' retrans="500"', method="CANCEL", uri=_URI, via="[last_Via:]", tag="", cseq=1, extra="", content=_EMPTY
    )


def reply(sdp: bool = False, direction: str = "sendrecv") -> str:
    body = _SDP.format(version=9, direction=direction) if sdp else ""
    content = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{body}" if sdp else _EMPTY
    return f"""<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:caller@[local_ip]:[local_port]>
{content}]]></send>"""


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>'


def register(cseq: int, authentication: str = "") -> str:
    return f"""<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
{_NEW_VIA}
From: <sip:[service]@[remote_ip]>;tag=[pid]R[call_number]
To: <sip:[service]@[remote_ip]>
Call-ID: [call_id]
CSeq: {cseq} REGISTER
Contact: <sip:[service]@[local_ip]:[local_port]>
Max-Forwards: 70
Expires: 300
{authentication}{_EMPTY}]]></send>"""


def challenged(status: int) -> str:
    return f'<recv response="{status}" auth="true"></recv>'


@dataclass(slots=True)
class Caller:
    """One SIPp call. ``packets`` is the RTP that came to its media address."""

    number: str
    steps: tuple[str, ...]
    options: tuple[str, ...] = ()
    packets: list[bytes] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    media: socket.socket | None = None
    log: Path | None = None
    # an address of its own for each caller: ports probed on 127.0.0.1 are taken by others before SIPp binds them
    host: str = field(default_factory=lambda: f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.{next(_HOSTS)}")

    def start(self, port: int, directory: Path) -> None:
        name = "".join(ch if ch.isalnum() else "_" for ch in self.number)
        scenario = directory / f"{name}.xml"
        scenario.write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="caller">\n'
            + "\n".join(self.steps)
            + "\n</scenario>\n"
        )
        self.media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.media.bind((self.host, 0))
        self.media.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.media.setblocking(False)
        media_port = self.media.getsockname()[1]
        self.log = directory / f"{name}.log"
        command = [
            "sipp",
            "-sf",
            str(scenario),
            "-s",
            self.number,
            f"127.0.0.1:{port}",
            "-i",
            self.host,
            "-mi",
            self.host,
        ]
        command += ["-p", str(_free_port(self.host)), "-mp", str(_free_port(self.host)), "-m", "1", "-nostdin"]
        command += ["-key", "sound_port", str(media_port), "-timeout", "25"]
        command += ["-trace_msg", "-message_file", str(self.log), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory)

    def finish(self) -> int:
        """The exit code: 0 when the scenario went as written."""
        assert self.process is not None
        assert self.media is not None
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
        while True:
            try:
                self.packets.append(self.media.recv(2048))
            except BlockingIOError:
                break
        self.media.close()
        return code

    def messages(self) -> str:
        return self.log.read_text(errors="replace") if self.log is not None and self.log.exists() else ""


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
