"""Digest authentication against RFC 7616's own example, and our challenges against replays."""

from __future__ import annotations

from dialer.engines.sip import digest
from dialer.engines.sip.digest import Credentials, Doorkeeper, read_params
from dialer.engines.sip.message import Response


def test_rfc_7616_section_3_9_1() -> None:
    nonce, cnonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    for algorithm, wanted in (
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ):
        given = ("http-auth@example.org", "Circle of Life", "GET:/dir/index.html", nonce, "00000001", cnonce, "auth")
        made = digest._response(algorithm, "Mufasa", *given)
        assert made == wanted


def challenge(*texts: str) -> Response:
    return Response(headers=[("www-authenticate", text) for text in texts], status=401)


def test_the_stronger_challenge_is_answered_and_counted_up() -> None:
    account = Credentials("a", "b")
    assert account.learn(
        challenge(
            'Digest realm="r", nonce="m", algorithm=MD5', 'Digest realm="r", nonce="s", algorithm=SHA-256, qop="auth"'
        )
    )
    first, second = (read_params(account.answer("INVITE", "sip:x")[0][1]) for _ in range(2))
    assert (first["algorithm"], first["nonce"], first["nc"], second["nc"]) == ("SHA-256", "s", "00000001", "00000002")


def test_a_second_refusal_is_final_and_a_stale_nonce_is_not() -> None:
    account = Credentials("a", "b")
    assert account.learn(challenge('Digest realm="r", nonce="1", qop="auth"'))
    account.answer("INVITE", "sip:x")
    assert not account.learn(challenge('Digest realm="r", nonce="2", qop="auth"'))
    assert account.learn(challenge('Digest realm="r", nonce="2", qop="auth", stale=true'))
    assert not Credentials(None, None).learn(challenge('Digest realm="r", nonce="1"'))
    assert not Credentials("a", "b").learn(challenge('Digest realm="r", nonce="1", algorithm=SHA-512-256'))


def test_our_own_challenge_is_met_once() -> None:
    now = [1000.0]
    keeper = Doorkeeper("house", ("MD5", "SHA-256"), now=lambda: now[0])
    account = Credentials("101", "letmein")
    assert account.learn(Response(headers=keeper.challenges(), status=401))
    answer = account.answer("REGISTER", "sip:house")[0][1]
    passwords = {"101": "letmein"}
    assert keeper.verdict(answer, "REGISTER", {"101": "other"}) == (None, False)
    assert keeper.verdict(answer, "INVITE", passwords) == (None, False)
    assert keeper.verdict(answer, "REGISTER", passwords) == ("101", False)
    assert keeper.verdict(answer, "REGISTER", passwords) == (None, True), "overheard and replayed"
    later = account.answer("REGISTER", "sip:house")[0][1]
    now[0] += 61
    assert keeper.verdict(later, "REGISTER", passwords) == (None, True), "right, but the nonce is old"
    assert keeper.verdict('Digest username="101", nonce="x.y", realm="house"', "REGISTER", passwords) == (None, False)
