"""Habits of carriers, message by message, from a far side written by hand (``wire``)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator

import pytest

from case_store.network import HangupCause
from config.settings import DeskSettings
from dialer.events import LegAnswered, LegBridged, LegDtmf, LegEnded, LegHeld, LegProgress, Origin, TrunkState
from tests.integration.sip.peers import HOST, Office, office, trunk
from tests.integration.sip.wire import Wire, description, until, wire


@contextlib.asynccontextmanager
async def line(**settings: object) -> AsyncIterator[tuple[Wire, Office]]:
    async with wire() as far, office(trunk(far.port, **settings)) as ours:
        yield far, ours


async def talking(far: Wire, ours: Office, *headers: str, formats: str = "8 101") -> str:
    leg = await ours.place()
    await far.answered(4000, *headers, formats=formats)
    await ours.heard.wait(LegAnswered, leg=leg)
    return leg


async def over(far: Wire, ours: Office, leg: str) -> None:
    """We hang up, the far side agrees, and it was a normal call."""
    await ours.engine.hangup(leg)
    await far.hung_up()
    assert (await ours.heard.ended(leg)).cause is HangupCause.NORMAL


# Setting up


async def test_progress_without_and_with_a_description(caplog: pytest.LogCaptureFixture) -> None:
    """183 without, 180, 183 with, 180 again; the answer speaks from another port."""
    async with line() as (far, ours):
        leg = await ours.place()
        invite = await far.hear("INVITE")
        far.respond(invite, 100)
        far.respond(invite, 183)
        far.respond(invite, 180)
        far.respond(invite, 183, body=description(4000))
        far.respond(invite, 180)
        await ours.heard.wait(LegProgress, leg=leg, sip_status=180, count=2)
        told = [(one.sip_status, one.early_media) for one in ours.heard.all(LegProgress)]
        assert told == [(100, False), (183, False), (180, False), (183, True), (180, False)]
        assert [one.port for one in ours.relay.remotes[leg]] == [4000]
        far.respond(invite, 200, body=description(4002))
        await far.hear("ACK")
        await ours.heard.wait(LegAnswered, leg=leg)
        assert [one.port for one in ours.relay.remotes[leg]] == [4000, 4002]
        await over(far, ours, leg)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


async def test_an_answer_with_a_tag_never_seen() -> None:
    async with line() as (far, ours):
        leg = await ours.place()
        invite = await far.hear("INVITE")
        far.respond(invite, 183, body=description(4000), tag="early")
        far.respond(invite, 200, body=description(4002), tag="late")
        far.tag = "late"
        assert ";tag=late" in (await far.hear("ACK")).header("To")
        await ours.heard.wait(LegAnswered, leg=leg)
        assert ours.relay.remotes[leg][-1].port == 4002
        await ours.engine.hangup(leg)
        assert ";tag=late" in (await far.hung_up()).header("To")
        await ours.heard.ended(leg)


async def test_an_answer_five_times_and_words_after_it() -> None:
    """Each 200 is acknowledged; a 180 that comes after the answer means nothing."""
    async with line() as (far, ours):
        leg = await ours.place()
        invite = await far.hear("INVITE")
        far.respond(invite, 200, body=description(4000), times=5)
        far.respond(invite, 180)
        far.respond(invite, 183, body=description(4444), tag="other")
        await far.hear("ACK", count=5)
        await ours.heard.wait(LegAnswered, leg=leg)
        await asyncio.sleep(0.1)
        assert len({one.header("CSeq") for one in far.of("ACK")}) == 1
        assert [one.port for one in ours.relay.remotes[leg]] == [4000]
        assert not ours.heard.all(LegProgress)
        await over(far, ours, leg)


@pytest.mark.parametrize(
    ("formats", "lines", "payload_type", "events"),
    [
        ("8", ("a=sendrecv",), 8, None),
        ("101 8 0", ("a=rtpmap:101 telephone-event/8000",), 8, 101),
        ("97 96", ("a=rtpmap:97 PCMA/8000", "a=rtpmap:96 telephone-event/8000"), 97, 96),
        ("18 8 96", ("a=rtpmap:18 G729/8000", "a=rtpmap:96 TELEPHONE-EVENT/8000/1"), 8, 96),
    ],
)
async def test_formats_of_an_answer(formats: str, lines: tuple[str, ...], payload_type: int, events: int) -> None:
    """No telephone events, another order, payload types of the far side's own choice."""
    async with line() as (far, ours):
        leg = await ours.place()
        invite = await far.hear("INVITE")
        far.respond(invite, 200, body=description(4000, formats, *lines, ptime=30))
        await ours.heard.wait(LegAnswered, leg=leg)
        media = ours.relay.remotes[leg][-1]
        assert (media.codec, media.payload_type, media.telephone_event_pt) == ("PCMA", payload_type, events)
        assert media.ptime == 30
        await over(far, ours, leg)


async def test_several_media_lines() -> None:
    body = description(4000).replace("m=audio", "m=video 0 RTP/AVP 31\r\nm=audio") + "m=image 0 udptl t38\r\n"
    async with line() as (far, ours):
        leg = await ours.place()
        far.respond(await far.hear("INVITE"), 200, body=body)
        await ours.heard.wait(LegAnswered, leg=leg)
        assert ours.relay.remotes[leg][-1].port == 4000
        await over(far, ours, leg)


@pytest.mark.parametrize(
    "body",
    [
        description(4000).replace("IN IP4", "IN IP6").replace(HOST, "::1"),
        description(0),
        description(4000, "18"),
        "v=0\r\nnonsense",
        description(70000),
    ],
    ids=["ipv6", "port 0", "g729 only", "nonsense", "no port"],
)
async def test_an_answer_we_cannot_speak_to(body: str) -> None:
    """ACK, then BYE with Q.850 88; nothing goes to the relay."""
    async with line() as (far, ours):
        leg = await ours.place()
        far.respond(await far.hear("INVITE"), 200, body=body)
        await far.hear("ACK")
        assert "cause=88" in (await far.hung_up()).header("Reason")
        assert (await ours.heard.ended(leg)).cause is HangupCause.INCOMPATIBLE
        assert leg not in ours.relay.remotes


@pytest.mark.parametrize("style", ["compact", "lower", "folded", "bare newlines", "leading newlines", "wide colons"])
async def test_ways_of_writing_an_answer(style: str) -> None:
    body = description(4000)
    async with line() as (far, ours):
        leg = await ours.place()
        invite = await far.hear("INVITE")
        via, sender, to = invite.header("Via"), invite.header("From"), invite.header("To") + ";tag=far1"
        call, cseq = invite.header("Call-ID"), invite.header("CSeq")
        contact = f"<sip:far@{HOST}:{far.port};transport=UDP>"
        headers = [("Via", via), ("From", sender), ("To", to), ("Call-ID", call), ("CSeq", cseq)]
        headers += [("Contact", contact), ("Content-Type", "application/sdp"), ("Content-Length", str(len(body)))]
        text = {
            "compact": dict(zip(["Via", "From", "To", "Call-ID", "Contact", "Content-Type"], "vftimc", strict=True)),
            "lower": {name: name.lower() for name, _ in headers},
        }.get(style, {})
        between = {"folded": ":\r\n\t ", "wide colons": "  :   "}.get(style, ": ")
        said = "SIP/2.0 200 OK\r\n" + "".join(f"{text.get(k, k)}{between}{v}\r\n" for k, v in headers) + "\r\n" + body
        if style == "bare newlines":
            said = said.replace("\r\n", "\n").replace(
                f"Length: {len(body)}", f"Length: {body.count(chr(10)) * -1 + len(body)}"
            )
        if style == "leading newlines":
            said = "\r\n\r\n" + said
        far.send(said, invite.source)
        await far.hear("ACK")
        await ours.heard.wait(LegAnswered, leg=leg)
        assert ours.relay.remotes[leg][-1].port == 4000
        await over(far, ours, leg)


@pytest.mark.parametrize("loose", [True, False])
async def test_a_route_set(loose: bool) -> None:
    """RFC 3261 16.12.1.1 and 16.12.1.2: a loose router stays in Route, a strict one becomes the request's URI."""
    async with line() as (far, ours):
        leg = await ours.place()
        invite = await far.hear("INVITE")
        proxy = f"sip:{HOST}:{far.port}{';lr' if loose else ''}"
        contact = "Contact: <sip:phone@192.0.2.77:5099>"
        far.respond(invite, 200, f"Record-Route: <{proxy}>", contact, body=description(4000))
        ack = await far.hear("ACK")
        target, route = "sip:phone@192.0.2.77:5099", f"<{proxy}>"
        assert ack.start.split()[1] == (target if loose else proxy)
        assert ack.header("Route") == (route if loose else f"<{target}>")
        await ours.heard.wait(LegAnswered, leg=leg)
        await over(far, ours, leg)


async def test_a_redirect_and_a_challenge_too_many() -> None:
    """A 302 to another house is not followed; a password that is refused twice is not tried a third time."""
    async with line(username="us", password="secret") as (far, ours):
        leg = await ours.place()
        far.respond(await far.hear("INVITE"), 302, "Contact: <sip:elsewhere@203.0.113.9>")
        assert (await ours.heard.ended(leg)).sip_status == 302
        far.messages.clear()
        leg = await ours.place()
        challenge = 'Proxy-Authenticate: Digest realm="x", nonce="{}", algorithm=MD5, qop="auth"'
        far.respond(await far.hear("INVITE"), 407, challenge.format("one"))
        far.respond(await far.hear("INVITE", count=2), 407, challenge.format("two"))
        ended = await ours.heard.ended(leg)
        assert (ended.cause, ended.sip_status) == (HangupCause.AUTHENTICATION, 407)
        assert len(far.of("INVITE")) == 2
        assert len(far.of("ACK")) == 2


async def test_a_lost_answer_to_prack() -> None:
    """RFC 3262: the PRACK is repeated until its 200 comes; a repeated 183 does not make another."""
    async with line() as (far, ours):
        leg = await ours.place()
        invite = await far.hear("INVITE")
        for _ in range(2):
            far.respond(invite, 183, "Require: 100rel", "RSeq: 7", body=description(4000))
        prack = await far.hear("PRACK")
        assert prack.header("RAck") == f"7 {invite.header('CSeq')}"
        await until(lambda: len([one for one in far.repeats if one.method == "PRACK"]) >= 2)
        far.respond(prack, 200)
        far.respond(invite, 200, body=description(4000))
        await ours.heard.wait(LegAnswered, leg=leg)
        assert len(far.of("PRACK")) == 1
        await over(far, ours, leg)


# Inside a call


async def test_a_reinvite_moves_port_codec_and_ptime() -> None:
    async with line() as (far, ours):
        leg = await talking(far, ours)
        far.ask("INVITE", body=description(5000, "0 96", "a=rtpmap:96 telephone-event/8000", ptime=30))
        answer = await far.hear(200)
        assert re.search(r"m=audio \d+ RTP/AVP 0 96\r\n", answer.body)
        far.ask("ACK", cseq=far.cseq)
        await until(lambda: len(ours.relay.remotes[leg]) >= 2)
        media = ours.relay.remotes[leg][-1]
        assert (media.port, media.codec, media.telephone_event_pt, media.ptime) == (5000, "PCMU", 96, 30)
        await over(far, ours, leg)


@pytest.mark.parametrize("how", ["a=inactive", "0.0.0.0", "a=sendonly"])
async def test_hold_is_heard_and_resumed(how: str) -> None:
    async with line() as (far, ours):
        leg = await talking(far, ours)
        held = description(4000, "8", how) if how.startswith("a=") else description(4000, "8", "a=x", host=how)
        far.ask("INVITE", body=held)
        await far.hear(200)
        far.ask("ACK", cseq=far.cseq)
        await ours.heard.wait(LegHeld, leg=leg, on=True)
        assert not ours.relay.remotes[leg][-1].send
        far.ask("INVITE", body=description(4000, "8"))
        await far.hear(200, count=2)
        far.ask("ACK", cseq=far.cseq)
        await ours.heard.wait(LegHeld, leg=leg, on=False)
        assert ours.relay.remotes[leg][-1].send
        await over(far, ours, leg)


@pytest.mark.parametrize(
    "body",
    [description(4000).replace("IN IP4", "IN IP6").replace(HOST, "::1"), description(0), description(4000, "18")],
    ids=["ipv6", "port 0", "g729"],
)
async def test_an_offer_we_cannot_take_changes_nothing(body: str) -> None:
    async with line() as (far, ours):
        leg = await talking(far, ours)
        before = list(ours.relay.remotes[leg])
        far.ask("INVITE", body=body)
        await far.hear(488)
        far.ask("ACK", cseq=far.cseq)
        assert ours.relay.remotes[leg] == before
        await over(far, ours, leg)


@pytest.mark.parametrize(
    ("method", "status"),
    [("REFER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("FROBNICATE", 501), ("NOTIFY", 200), ("OPTIONS", 200)],
)
async def test_methods_inside_a_call(method: str, status: int) -> None:
    async with line() as (far, ours):
        leg = await talking(far, ours)
        far.ask(method, "Refer-To: <sip:x@203.0.113.9>", "Event: refer")
        answer = await far.hear(status, count=1)
        assert "BYE" in answer.header("Allow")
        await over(far, ours, leg)


async def test_a_session_interval_below_ours_is_refused() -> None:
    """RFC 4028 9: 422 with Min-SE to who understands it; who does not is served."""
    async with line() as (far, ours):
        leg = await talking(far, ours)
        far.ask("UPDATE", "Supported: timer", "Session-Expires: 30")
        assert (await far.hear(422)).header("Min-SE") == "90"
        far.ask("UPDATE", "Supported: timer", "Session-Expires: 90;refresher=uac")
        assert (await far.hear(200)).header("Session-Expires") == "90;refresher=uac"
        await over(far, ours, leg)


async def test_keys_by_info() -> None:
    async with line() as (far, ours):
        leg = await talking(far, ours)
        far.ask("INFO", "Content-Type: application/dtmf-relay", body="Signal=5\r\nDuration=160\r\n")
        await far.hear(200)
        assert (await ours.heard.wait(LegDtmf, leg=leg)).milliseconds == 160
        await over(far, ours, leg)


@pytest.mark.parametrize(
    ("reason", "cause", "q850"),
    [
        ('Reason: Q.850;cause=16;text="Terminated"', HangupCause.NORMAL, 16),
        ("Reason: SIP;cause=200, Q.850 ; cause = 41", HangupCause.TEMPORARY_FAILURE, 41),
        ("X-Nothing: 1", HangupCause.NORMAL, None),
    ],
)
async def test_the_far_side_says_why_it_hangs_up(reason: str, cause: HangupCause, q850: int | None) -> None:
    async with line() as (far, ours):
        leg = await talking(far, ours)
        far.ask("BYE", reason)
        await far.hear(200)
        ended = await ours.heard.ended(leg)
        assert (ended.cause, ended.q850, ended.origin) == (cause, q850, Origin.FAR)
        far.ask("BYE", reason)
        await far.hear(481)


async def test_an_old_number_and_a_repeated_request() -> None:
    """CSeq that goes back is answered 500; the same request twice is done once."""
    async with line() as (far, ours):
        leg = await talking(far, ours)
        far.ask("INFO", "Content-Type: application/dtmf-relay", body="Signal=1\r\n", cseq=200, branch="once")
        await far.hear(200)
        far.ask("INFO", "Content-Type: application/dtmf-relay", body="Signal=1\r\n", cseq=200, branch="once")
        far.ask("INFO", "Content-Type: application/dtmf-relay", body="Signal=2\r\n", cseq=150)
        await far.hear(500)
        assert [one.digit for one in ours.heard.all(LegDtmf)] == ["1"]
        assert len([one for one in far.repeats if one.start.startswith("SIP/2.0 200")]) == 1
        await over(far, ours, leg)


async def test_the_trunk_calls_us() -> None:
    async with line() as (far, ours):
        request = (
            f"INVITE sip:us@{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{far.port};branch=z9hG4bKin\r\n"
            f"From: <sip:them@{HOST}>;tag=t\r\nTo: <sip:us@{HOST}>\r\nCall-ID: in\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:them@{HOST}:{far.port}>\r\nContent-Length: 0\r\n\r\n"
        )
        far.send(request, ours.engine.address)
        await far.hear(480)
        assert not ours.heard.all(LegEnded)
        assert not ours.heard.all(LegBridged)


# A desk behind a NAT


async def test_a_desk_behind_a_nat_is_spoken_to_where_it_registered() -> None:
    """Its Contact names an address nobody can reach. INVITE, ACK and BYE go where the REGISTER came from."""
    desk = DeskSettings(name="101", username="101", password="letmein")  # type: ignore[arg-type]  # pydantic wraps it
    contact = "Contact: <sip:101@192.168.77.5:5060>"
    async with wire() as phone, office(trunk(9), desks=(desk,)) as ours:

        def register(cseq: int, *more: str) -> str:
            lines = [f"REGISTER sip:{HOST} SIP/2.0", f"Via: SIP/2.0/UDP 192.168.77.5:5060;rport;branch=z9hG4bKr{cseq}"]
            lines += [
                f"From: <sip:101@{HOST}>;tag=r",
                f"To: <sip:101@{HOST}>",
                "Call-ID: reg",
                f"CSeq: {cseq} REGISTER",
            ]
            return "\r\n".join([*lines, contact, "Expires: 60", *more, "Content-Length: 0", "", ""])

        phone.send(register(1), ours.engine.address)
        challenge = (await phone.hear(401)).header("WWW-Authenticate")
        realm, nonce = (re.search(rf'{name}="([^"]*)"', challenge)[1] for name in ("realm", "nonce"))  # type: ignore[index]  # it is there

        def md5(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        uri = f"sip:{HOST}"
        response = md5(f"{md5(f'101:{realm}:letmein')}:{nonce}:00000001:c:auth:{md5(f'REGISTER:{uri}')}")
        answer = f'Digest username="101", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"'
        phone.send(register(2, f'Authorization: {answer}, qop=auth, nc=00000001, cnonce="c"'), ours.engine.address)
        await phone.hear(200)
        leg = await ours.desk("")
        invite = await phone.hear("INVITE")
        assert invite.start.split()[1] == "sip:101@192.168.77.5:5060"
        phone.respond(invite, 200, contact, body=description(4000))
        ack = await phone.hear("ACK")
        assert ack.start.split()[1] == "sip:101@192.168.77.5:5060"
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await phone.hung_up()
        await ours.heard.ended(leg)


async def test_one_number_that_leads_nowhere_does_not_close_a_trunk_that_answers_others() -> None:
    """Timer B on one INVITE while another of the same trunk is answered: the trunk stays up."""
    async with wire() as far, office(trunk(far.port), t1_milliseconds=20) as ours:
        mute = await ours.place()
        first = await far.hear("INVITE")
        refused = await ours.place("+8613900139000")
        count = 2
        while (other := await far.hear("INVITE", count)).header("Call-ID") == first.header("Call-ID"):
            count += 1
        far.respond(other, 486)
        assert (await ours.heard.ended(refused)).sip_status == 486
        assert (await ours.heard.ended(mute)).cause is HangupCause.TRUNK_TIMEOUT
        assert not ours.heard.all(TrunkState, up=False)
