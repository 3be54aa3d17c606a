"""One test for each habit that once hung a call, lost it or left something behind; on scripted time."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from case_store.network import HangupCause
from config.settings import TrunkSettings
from dialer.engines.sip.addresses import TrunkAddresses
from dialer.engines.sip.conversation import Conversation
from dialer.engines.sip.digest import Credentials, read_params
from dialer.engines.sip.message import Response
from dialer.engines.sip.news import MediaAgreed
from dialer.engines.sip.reading import read
from dialer.engines.sip.uri import MalformedMessage, read_name_address, read_uri, tag_of
from dialer.events import LegAnswered, LegDtmf, LegEnded, LegProgress, Origin
from tests.unit.sip.scripted_carrier import T1, ScriptedCarrier, header
from tests.unit.sip.test_hostile_carrier import CONTACT, asked_of_us, said


def answered(*lines: str, body: str = "plain") -> ScriptedCarrier:
    far = ScriptedCarrier(session_expires=0)
    far.place()
    far.hear(said(far, far.invite, 200, "a", body, [CONTACT, *lines]))
    return far


def end_of(far: ScriptedCarrier) -> LegEnded:
    far.time.run(400)
    (ended,) = [one for one in far.told if isinstance(one, LegEnded)]
    far.forgotten()
    return ended


@pytest.mark.parametrize("contact", ["Contact: <<<", "Contact: <tel:+8613800138000>", "Contact: *", "X-None: 1"])
def test_an_answer_whose_contact_is_no_use_is_spoken_to_where_the_invite_went(contact: str) -> None:
    far = ScriptedCarrier()
    far.place()
    far.hear(said(far, far.invite, 200, "a", "plain", [contact]))
    assert far.requests("ACK")[0].split()[1] == far.invite.split()[1]
    far.hear(asked_of_us(far, "BYE", "a", "none", [], 5, "b1"))
    ended = end_of(far)
    assert (ended.cause, ended.answered) == (HangupCause.NORMAL, True)


def test_a_description_among_isup_parts_is_heard() -> None:
    far = answered(body="multipart")
    (media,) = [one for one in far.told if isinstance(one, MediaAgreed)]
    assert media.agreed.port == 4000


def test_a_reinvite_with_isup_alone_is_refused_with_415() -> None:
    far = answered()
    far.hear(asked_of_us(far, "INVITE", "a", "isup only", [CONTACT], 5, "i1"))
    refusal = far.sent[-1][0]
    assert refusal.startswith("SIP/2.0 415 ")
    assert header(refusal, "Accept") == "application/sdp"


def test_early_media_without_a_tag_and_an_answer_without_a_description_under_another() -> None:
    """RFC 2543 peers have no tag; some carriers describe the session in the 183 only and change the tag."""
    far = ScriptedCarrier()
    far.place()
    far.hear(said(far, far.invite, 183, "", "plain", [CONTACT]))
    assert [one.early_media for one in far.told if isinstance(one, LegProgress)] == [True]
    far.hear(said(far, far.invite, 200, "b", "none", [CONTACT]))
    assert [one.codec for one in far.told if isinstance(one, LegAnswered)] == ["PCMA"]
    far.board.hang_up("leg_1", HangupCause.NORMAL, Origin.NEAR)  # type: ignore[arg-type]  # a LegId is a str
    assert ";tag=b" in header(far.requests("BYE")[0], "To")
    end_of(far)


def test_a_bye_with_an_old_number_ends_the_call() -> None:
    far = answered()
    far.hear(asked_of_us(far, "INFO", "a", "none", [], 50, "n1"))
    far.hear(asked_of_us(far, "BYE", "a", "none", ["Reason: Q.850;cause=16"], 3, "n2"))
    ended = end_of(far)
    assert (ended.cause, ended.q850, ended.origin) == (HangupCause.NORMAL, 16, Origin.FAR)


def test_a_bye_that_overtakes_its_answer() -> None:
    far = ScriptedCarrier()
    far.place()
    far.hear(said(far, far.invite, 180, "a", "none", [CONTACT]))
    far.hear(asked_of_us(far, "BYE", "a", "none", [], 5, "b1"))
    far.hear(said(far, far.invite, 200, "a", "plain", [CONTACT]))
    assert len(far.requests("ACK")) == 1
    ended = end_of(far)
    assert (ended.cause, ended.answered, ended.origin) == (HangupCause.NORMAL, False, Origin.FAR)


def test_an_answer_after_a_refusal_is_acknowledged_and_released() -> None:
    far = ScriptedCarrier()
    far.place()
    far.hear(said(far, far.invite, 486, "a", "none", []))
    far.hear(said(far, far.invite, 200, "b", "plain", [CONTACT]))
    assert ";tag=b" in header(far.requests("ACK")[-1], "To")
    assert ";tag=b" in header(far.requests("BYE")[0], "To")
    assert end_of(far).cause is HangupCause.BUSY


def test_a_hold_answered_by_nothing_but_100_is_taken_back() -> None:
    far = answered()
    far.board.hold("leg_1", True)  # type: ignore[arg-type]  # a LegId is a str
    ours = far.requests("INVITE")[-1]
    far.hear(said(far, ours, 100, "", "none", []))
    far.time.run(65 * T1)
    assert len(set(far.requests("CANCEL"))) == 1
    far.board.hang_up("leg_1", HangupCause.NORMAL, Origin.NEAR)  # type: ignore[arg-type]  # a LegId is a str
    end_of(far)


def test_the_same_422_again_is_not_followed_for_ever() -> None:
    far = ScriptedCarrier(session_expires=1800)
    far.place()
    far.hear(said(far, far.invite, 200, "a", "plain", [CONTACT, "Allow: UPDATE", "Session-Expires: 90;refresher=uac"]))
    far.time.run(46)
    for _ in range(20):
        far.hear(said(far, far.requests("UPDATE")[-1], 422, "a", "none", ["Min-SE: 2000"]))
    assert len(set(far.requests("UPDATE"))) == 2
    assert header(far.requests("UPDATE")[-1], "Session-Expires").startswith("2000")


def test_a_refresh_refused_with_500_is_tried_as_a_reinvite() -> None:
    far = ScriptedCarrier(session_expires=1800)
    far.place()
    far.hear(said(far, far.invite, 200, "a", "plain", [CONTACT, "Allow: UPDATE", "Session-Expires: 90;refresher=uac"]))
    far.time.run(46)
    far.hear(said(far, far.requests("UPDATE")[-1], 500, "a", "none", []))
    again = far.requests("INVITE")[-1]
    assert ";tag=a" in header(again, "To")
    far.hear(said(far, again, 200, "a", "plain", [CONTACT, "Session-Expires: 90;refresher=uac"]))
    far.time.run(44)
    assert not [one for one in far.told if isinstance(one, LegEnded)]


def test_a_proxys_session_timer_is_refreshed_by_us() -> None:
    """RFC 4028 9: a caller without the extension cannot refresh; the one that has it must."""
    far = answered()
    far.hear(asked_of_us(far, "INVITE", "a", "plain", [CONTACT, "Session-Expires: 120"], 5, "i1"))
    far.hear(asked_of_us(far, "ACK", "a", "none", [], 5, "i2"))
    far.time.run(61)
    assert ";tag=a" in header(far.requests("INVITE")[-1], "To")


def test_an_acknowledgement_without_an_answer_leaves_the_call_as_it_was() -> None:
    far = answered()
    far.hear(asked_of_us(far, "INVITE", "a", "none", [CONTACT], 5, "i1"))
    assert "m=audio" in far.sent[-1][0]
    far.hear(asked_of_us(far, "ACK", "a", "none", [], 5, "i2"))
    far.time.run(40)
    assert not [one for one in far.told if isinstance(one, LegEnded)]
    assert not far.requests("BYE")


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", "Signal= 10\r\nDuration= 250\r\n", ("*", 250)),
        ("application/dtmf-relay;charset=x", "signal=#\n", ("#", 100)),
        ("application/dtmf", "7\r\n", ("7", 100)),
        ("application/dtmf", "flash", None),
    ],
)
def test_keys_by_info(kind: str, body: str, key: tuple[str, int] | None) -> None:
    far = answered()
    text = asked_of_us(far, "INFO", "a", "none", [f"Content-Type: {kind}"], 5, "k1")
    far.hear(text.replace("Content-Length: 0", f"Content-Length: {len(body)}") + body)
    heard = [(one.digit, one.milliseconds) for one in far.told if isinstance(one, LegDtmf)]
    assert heard == ([key] if key else [])


def test_a_retry_after_of_centuries_pauses_the_trunk_for_an_hour_at_most() -> None:
    far = ScriptedCarrier()
    far.place()
    far.hear(said(far, far.invite, 503, "a", "none", ["Retry-After: 9999999999"]))
    assert far.line.paused_until < float("inf")
    import time

    assert far.line.paused_until - time.monotonic() <= 3600


def test_more_phones_than_may_ring_are_not_all_kept() -> None:
    far = ScriptedCarrier()
    far.place()
    for number in range(200):
        far.hear(said(far, far.invite, 180, f"t{number}", "none", [CONTACT]))
    assert len(far.board._dialogs) <= 16
    far.hear(said(far, far.invite, 200, "t150", "plain", [CONTACT]))
    far.board.hang_up("leg_1", HangupCause.NORMAL, Origin.NEAR)  # type: ignore[arg-type]  # a LegId is a str
    assert end_of(far).answered


def test_a_request_that_breaks_its_handler_is_answered_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    far = answered()

    def broken(*_: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(Conversation, "receive", broken)
    far.hear(asked_of_us(far, "INFO", "a", "none", [], 5, "x1"))
    assert far.sent[-1][0].startswith("SIP/2.0 500 ")
    assert far.board.gate.counts["failed"] == 1
    far.time.run(33)
    assert len(far.board.transactions) == 0


def test_an_answer_from_another_machine_of_the_carrier() -> None:
    """ACK and BYE go to its Contact, what it says is heard while the call lasts, and it is a stranger afterwards."""
    other = ("198.51.100.7", 5099)
    far = ScriptedCarrier()
    far.place()
    far.hear(said(far, far.invite, 200, "a", "plain", ["Contact: <sip:far@198.51.100.7:5099>"]))
    assert [to for text, to in far.sent if text.startswith("ACK ")] == [other]
    far.hear(asked_of_us(far, "OPTIONS", "a", "none", [], 5, "o1"), other)
    assert far.sent[-1][0].startswith("SIP/2.0 200 ")
    far.hear(asked_of_us(far, "BYE", "a", "none", [], 6, "o2"), other)
    assert end_of(far).cause is HangupCause.NORMAL
    far.hear(asked_of_us(far, "OPTIONS", "a", "none", [], 7, "o3"), other)
    assert far.board.gate.counts["unknown_source"] == 1


def test_a_giant_response_and_a_storm_of_100() -> None:
    far = ScriptedCarrier()
    far.place()
    for _ in range(500):
        far.hear(said(far, far.invite, 100, "", "none", []))
    giant = "X-Fill: " + "y" * 40_000 + "\r\n" + "\r\n".join(f"X-{n}: z" for n in range(2000))
    far.hear(said(far, far.invite, 200, "a", "plain", [CONTACT, giant]))
    told = [one.sip_status for one in far.told if isinstance(one, LegProgress)]
    assert told == [100]
    assert [one for one in far.told if isinstance(one, LegAnswered)]


# Reading


BASE = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nCall-ID: x\r\nCSeq: 1 BYE\r\nTo: <sip:us@192.0.2.2>;tag=u\r\n"


def test_names_in_utf_8_whose_bytes_look_like_line_ends() -> None:
    """The letter 先 ends in 0x85, which str.splitlines takes for a line end."""
    for name in ("先生", "\u2028x", "空\u00a0号"):
        text = f'BYE sip:us@192.0.2.2 SIP/2.0\r\n{BASE}From: "{name}" <sip:far@192.0.2.1>;tag=f\r\n\r\n'
        message = read(text.encode())
        assert message.from_tag == "f"
        assert (message.first("from") or "").encode("latin-1").decode().startswith(f'"{name}"')


def test_a_telephone_uri_as_sender() -> None:
    message = read(f"BYE sip:us@192.0.2.2 SIP/2.0\r\n{BASE}From: <tel:+8613800138000>;x=1;Tag=f\r\n\r\n".encode())
    assert message.from_tag == "f"
    assert tag_of("<tel:1>") == ""


@pytest.mark.parametrize("filling", ['"",', "<sip:a@b>,", ";x=1"])
def test_thousands_of_values_are_refused_before_they_cost_time(filling: str) -> None:
    """60 kB of '"",' in a Contact took sippy half a second."""
    head = f"BYE sip:us@192.0.2.2 SIP/2.0\r\n{BASE}From: <sip:f@h>;tag=f\r\n"
    with pytest.raises(MalformedMessage, match="thousands"):
        read(f"{head}Contact: {filling * 5000}<sip:a@b>\r\n\r\n".encode())


def test_a_content_length_a_little_too_long() -> None:
    head = f"BYE sip:us@192.0.2.2 SIP/2.0\r\n{BASE}From: <sip:f@h>;tag=f\r\n"
    assert read(f"{head}Content-Length: 7\r\n\r\nv=0\r\n".encode()).body == "v=0\r\n"
    with pytest.raises(MalformedMessage):
        read(f"{head}Content-Length: 70\r\n\r\nv=0\r\n".encode())


uris = st.one_of(
    st.text(st.sampled_from("sip:tel@<>;?=\"' 05.[]:\x85\xa0,x%"), max_size=40),
    st.builds(
        "{}:{}{}".format, st.sampled_from(["sip:a@h", "<sip:h", "sip:[::1]", "h"]),
        st.sampled_from(["", " ", "5060", "5060:5060", "x:x", " 5:5", "\xa0"]), st.sampled_from(["", ">", ";lr", "?a=b", ">;tag=1"]),
    ),
)  # fmt: skip


@given(uris)
def test_damaged_uris_are_read_without_a_word_on_standard_output(text: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for reader in (read_uri, read_name_address, tag_of):
            with contextlib.suppress(MalformedMessage):
                reader(text)
        for start in (f"INVITE {text} SIP/2.0", "INVITE sip:a@b SIP/2.0"):
            with contextlib.suppress(MalformedMessage):
                read(f"{start}\r\n{BASE.replace('BYE', 'INVITE')}From: {text}\r\nl: 9\r\n\r\nv=0\r\n\r\n".encode())
    assert out.getvalue() == ""


def test_damaged_ports_are_mended() -> None:
    assert read_uri("sip:a@h:").address == ("h", 5060)
    assert read_name_address("<sip:a@h:5070:5070;lr>;tag=1").uri.address == ("h", 5070)


# Digest


def challenge(text: str) -> Response:
    return Response(headers=[("www-authenticate", text)], status=401)


def test_auth_int_alone_is_answered_over_the_body() -> None:
    """RFC 7616 3.4.3: A2 = method ":" uri ":" H(body)."""
    import hashlib

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    account = Credentials("a", "b")
    assert account.learn(challenge('Digest realm="r", nonce="n", qop="auth-int"'))
    given_ = read_params(account.answer("INVITE", "sip:x", "v=0\r\n")[0][1])
    a2 = md5(f"INVITE:sip:x:{md5('v=0' + chr(13) + chr(10))}")
    assert given_["qop"] == "auth-int"
    assert given_["response"] == md5(f"{md5('a:r:b')}:n:00000001:{given_['cnonce']}:auth-int:{a2}")
    both = Credentials("a", "b")
    assert both.learn(challenge('Digest realm="r", nonce="n", qop="auth-int,auth"'))
    assert read_params(both.answer("INVITE", "sip:x", "v=0")[0][1])["qop"] == "auth"


def test_two_challenges_on_one_line() -> None:
    account = Credentials("a", "b")
    line = 'Digest realm="r", nonce="m", algorithm=MD5, Digest realm="r", nonce="s", algorithm=SHA-256, qop="auth"'
    assert account.learn(challenge(line))
    (answer,) = account.answer("INVITE", "sip:x")
    assert read_params(answer[1])["algorithm"] == "SHA-256"


# Names and addresses


async def test_a_trunks_name_is_looked_up_again() -> None:
    trusted: list[str] = []
    moves: list[object] = []
    answers: list[tuple[str, ...]] = [(), ("192.0.2.1", "192.0.2.2"), ("192.0.2.2", "192.0.2.3"), ()]

    async def look(_host: str) -> tuple[str, ...]:
        return answers.pop(0) if answers else ()

    line = TrunkSettings(name="main", host="sip.carrier.example")
    places = TrunkAddresses(
        (line,), 0, trusted.append, trusted.remove, lambda name: moves.append(places.of(name)), look
    )
    await places.start()
    assert places.of("main") is None

    async def again() -> None:
        places.unanswered("main")
        looking = places._places["main"].looking
        assert looking is not None
        await looking

    await again()
    assert places.of("main") == ("192.0.2.1", 5060)
    await again()  # the next one at once, and what the name says now
    assert places.of("main") == ("192.0.2.2", 5060)
    assert sorted(trusted) == ["192.0.2.2", "192.0.2.3"]
    await again()  # the name server is gone: what was known is kept, and the next address tried
    assert places.of("main") == ("192.0.2.3", 5060)
    assert moves == [("192.0.2.1", 5060), ("192.0.2.2", 5060), ("192.0.2.3", 5060)]
    places.close()
