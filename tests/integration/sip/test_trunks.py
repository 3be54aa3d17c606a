"""Authentication, registration, keep-alive, limits and failover, against SIPp."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import pytest
from sippy.SipAuthorization import DigestCalcHA1, DigestCalcResponse

from case_store.network import HangupCause
from dialer.engine import EngineFull, EngineUnhealthy
from dialer.engines.sip.digest import read_params
from dialer.events import LegAnswered, LegDialed, LegProgress, TrunkState
from tests.integration.sip.peers import free_port, office, sipp, trunk

ACCOUNT = {"username": "house", "password": "s3cret"}


def assert_digest_is_right(request: str, header: str, method: str) -> None:
    """Computed again by sippy's own digest code."""
    found = re.search(rf"^{header}: (.*)$", request, re.MULTILINE)
    assert found, f"no {header}"
    given = read_params(found[1])
    secret = DigestCalcHA1("MD5", "house", "carrier", "s3cret", given["nonce"], given["cnonce"])
    wanted = DigestCalcResponse(
        "MD5", secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], method, given["uri"], ""
    )
    assert given["response"] == wanted


async def test_digest_with_a_stale_nonce_and_a_challenged_bye(tmp_path: Path) -> None:
    async with sipp("auth", tmp_path) as far, office(trunk(far.port, **ACCOUNT)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()
        for invite in far.received("INVITE")[1:]:
            assert_digest_is_right(invite, "Proxy-Authorization", "INVITE")
        assert_digest_is_right(far.received("BYE")[-1], "Authorization", "BYE")
        assert len(ours.heard.all(LegDialed)) == 1


CHALLENGES = {
    "two, SHA-256 wins": (
        "401",
        (
            'WWW-Authenticate: Digest realm="carrier", nonce="one", algorithm=MD5, qop="auth"\n'
            'WWW-Authenticate: Digest realm="carrier", nonce="two", algorithm=SHA-256, qop="auth"'
        ),
        ("Authorization", "SHA-256", "two", "auth"),
    ),
    "auth-int offered": (
        "407",
        'Proxy-Authenticate: Digest realm="carrier", nonce="n", algorithm=MD5, qop="auth,auth-int"',
        ("Proxy-Authorization", "MD5", "n", "auth"),
    ),
    "auth-int only": (
        "401",
        'WWW-Authenticate: Digest realm="carrier", nonce="n", algorithm=SHA-256, qop="auth-int"',
        ("Authorization", "SHA-256", "n", "auth-int"),
    ),
    "as in RFC 2069": ("401", 'WWW-Authenticate: Digest realm="carrier", nonce="n"', ("Authorization", "MD5", "n", "")),
}


@pytest.mark.parametrize("which", CHALLENGES)
async def test_challenges_of_each_kind(tmp_path: Path, which: str) -> None:
    """The answer computed again with hashlib alone (RFC 7616 3.4)."""
    status, challenge, (header, algorithm, nonce, qop) = CHALLENGES[which]
    keys = {"status": status, "challenge": challenge}
    async with sipp("challenge", tmp_path, **keys) as far, office(trunk(far.port, **ACCOUNT)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()
        invite = far.received("INVITE")[1]
    found = re.search(rf"^{header}: (.*)$", invite, re.MULTILINE)
    assert found
    given = read_params(found[1])

    def hashed(text: str) -> str:
        maker = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]
        return maker(text.encode(), usedforsecurity=False).hexdigest()

    body = invite.strip().rpartition("\n\n")[2].replace("\n", "\r\n") + "\r\n"
    action = f"INVITE:{given['uri']}" + (f":{hashed(body)}" if qop == "auth-int" else "")
    tail = f"{given['nc']}:{given['cnonce']}:{qop}:" if qop else ""
    assert given.get("qop", "") == qop
    assert (given["algorithm"], given["nonce"]) == (algorithm, nonce)
    assert given["response"] == hashed(f"{hashed('house:carrier:s3cret')}:{nonce}:{tail}{hashed(action)}")


async def test_a_wrong_password_is_not_tried_for_ever(tmp_path: Path) -> None:
    async with sipp("auth_refused", tmp_path) as far, office(trunk(far.port, **ACCOUNT)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.sip_status) == (HangupCause.AUTHENTICATION, 407)


async def test_no_account_no_second_try(tmp_path: Path) -> None:
    challenge = 'WWW-Authenticate: Digest realm="carrier", nonce="n"'
    async with sipp("fail", tmp_path, status="401", extra=challenge) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        assert (await ours.heard.ended(leg)).cause is HangupCause.AUTHENTICATION
        await far.finished()


async def test_register_with_digest_refresh_and_end(tmp_path: Path) -> None:
    """401, 423 with Min-Expires, a grant of one second that is refreshed in time, and Expires: 0 at the end."""
    async with sipp("registrar", tmp_path) as far:
        line = trunk(far.port, registers=True, register_seconds=60, **ACCOUNT)
        async with office(line) as ours:
            await ours.heard.wait(TrunkState, trunk="main", up=True)
            deadline = time.monotonic() + 5
            while len(far.received("REGISTER")) < 4 and time.monotonic() < deadline:
                await ours.engine._clock.sleep(0.05)
        await far.finished()
        assert_digest_is_right(far.received("REGISTER")[1], "Authorization", "REGISTER")


async def test_a_trunk_that_is_not_registered_is_not_dialed() -> None:
    async with office(trunk(free_port(), registers=True, **ACCOUNT), t1_milliseconds=10) as ours:
        with pytest.raises(EngineUnhealthy):
            await ours.place()
        assert not ours.relay.opened


async def test_options_say_whether_a_trunk_is_up(tmp_path: Path) -> None:
    async with (
        sipp("options", tmp_path / "first") as far,
        office(trunk(far.port, options_seconds=1), t1_milliseconds=10) as ours,
    ):
        await far.finished()
        down = await ours.heard.wait(TrunkState, trunk="main", up=False)
        assert "OPTIONS" in down.detail
        with pytest.raises(EngineUnhealthy):
            await ours.place()
        async with sipp("options", tmp_path / "second", port=far.port) as again:
            await ours.heard.wait(TrunkState, trunk="main", up=True)
            await again.finished()


@pytest.mark.parametrize("status", ["503", "408", "500"])
async def test_another_trunk_takes_over(tmp_path: Path, status: str) -> None:
    failing = sipp("fail", tmp_path / "a", status=status, extra="Subject: -")
    async with failing as first, sipp("answer", tmp_path / "b") as second:
        lines = trunk(first.port, "a"), trunk(second.port, "b", priority=5)
        async with office(*lines) as ours:
            leg = await ours.place()
            assert (await ours.heard.wait(LegAnswered, leg=leg)).trunk == "b"
            await ours.engine.hangup(leg)
            ended = await ours.heard.ended(leg)
            await first.finished()
            await second.finished()
            assert [event.trunk for event in ours.heard.all(LegDialed)] == ["a", "b"]
            assert (ended.cause, ended.trunk) == (HangupCause.NORMAL, "b")


async def test_shares_by_priority_and_weight(tmp_path: Path) -> None:
    """Two of priority 0, one without weight, are full before the one of priority 1 is used."""
    async with (
        sipp("answer", tmp_path / "a", calls=2) as first,
        sipp("answer", tmp_path / "b") as second,
        sipp("answer", tmp_path / "c") as third,
    ):
        lines = (
            trunk(third.port, "c", priority=1),
            trunk(second.port, "b", weight=0, channels=1),
            trunk(first.port, "a", weight=10, channels=2),
        )
        async with office(*lines) as ours:
            legs = [await ours.place() for _ in range(4)]
            taken = [(await ours.heard.wait(LegAnswered, leg=leg)).trunk for leg in legs]
            assert taken == ["a", "a", "b", "c"]
            for leg in legs:
                await ours.engine.hangup(leg)
            for far in (first, second, third):
                await far.finished()


async def test_a_silent_trunk_is_given_up_before_the_next_is_dialed(tmp_path: Path) -> None:
    async with sipp("mute", tmp_path / "a") as first, sipp("answer", tmp_path / "b") as second:
        lines = trunk(first.port, "a"), trunk(second.port, "b", priority=5)
        async with office(*lines, t1_milliseconds=10) as ours:
            leg = await ours.place()
            await ours.heard.wait(LegAnswered, leg=leg)
            dialed = ours.heard.all(LegDialed)
            assert (dialed[1].at - dialed[0].at).total_seconds() >= 0.6, "timer B, 64 T1, came first"
            assert ours.heard.all(TrunkState, trunk="a", up=False)
            await ours.engine.hangup(leg)
            await second.finished()


async def test_no_failover_once_it_rang(tmp_path: Path) -> None:
    async with sipp("ring_then_fail", tmp_path, status="503") as first:
        lines = trunk(first.port, "a"), trunk(free_port(), "b", priority=5)
        async with office(*lines) as ours:
            leg = await ours.place()
            ended = await ours.heard.ended(leg)
            await first.finished()
            assert (ended.cause, ended.trunk) == (HangupCause.CONGESTION, "a")
            assert len(ours.heard.all(LegDialed)) == 1


async def test_retry_after_pauses_the_trunk(tmp_path: Path) -> None:
    asked = sipp("fail", tmp_path / "a", status="503", extra="Retry-After: 1")
    async with asked as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        assert (await ours.heard.ended(leg)).retry_after == 1
        await far.finished()
        with pytest.raises(EngineUnhealthy, match="paused"):
            await ours.place()
        await ours.engine._clock.sleep(1.05)
        async with sipp("answer", tmp_path / "b", port=far.port) as again:
            leg = await ours.place()
            await ours.heard.wait(LegAnswered, leg=leg)
            await ours.engine.hangup(leg)
            await again.finished()


async def test_channels_and_calls_a_second(tmp_path: Path) -> None:
    async with sipp("ring_out", tmp_path, calls=1) as far, office(trunk(far.port, channels=1)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegProgress, leg=leg)
        with pytest.raises(EngineFull):
            await ours.place()
        await ours.engine.hangup(leg)
        await far.finished()
    async with office(trunk(free_port(), cps=0.5), t1_milliseconds=10) as ours:
        await ours.place()
        with pytest.raises(EngineFull, match="calls a second"):
            await ours.place()
    async with office(trunk(free_port(), cps=4), t1_milliseconds=10) as ours:
        legs = [await ours.place() for _ in range(6)]  # four saved up, then one each quarter of a second
        dialed = [await ours.heard.wait(LegDialed, leg=leg) for leg in legs]
        assert (dialed[5].at - dialed[4].at).total_seconds() > 0.2


async def test_the_engine_is_full_before_any_limit_is_hit(tmp_path: Path) -> None:
    async with sipp("ring_out", tmp_path) as far, office(trunk(far.port), max_legs=1) as ours:
        leg = await ours.place()
        with pytest.raises(EngineFull):
            await ours.place()
        await ours.heard.wait(LegProgress, leg=leg)
        await ours.engine.hangup(leg)
        await ours.heard.ended(leg)
        await far.finished()
        assert len(ours.relay.opened) == 1
