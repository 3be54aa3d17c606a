"""Setting up and ending a call, against SIPp: one scenario a behaviour."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from case_store.network import HangupCause
from config.errors import BadInput
from dialer.engine import UnknownLeg
from dialer.events import LegAnswered, LegDialed, LegHeld, LegProgress, Origin
from tests.integration.sip.peers import office, sipp, trunk


async def test_a_call_rings_is_answered_and_ended_by_us(tmp_path: Path) -> None:
    """The far Contact has ;transport=UDP in capitals: the BYE leaves all the same (sippy's own UA raises there)."""
    async with sipp("answer", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        answered = await ours.heard.wait(LegAnswered, leg=leg)
        assert (answered.codec, answered.trunk) == ("PCMA", "main")
        await ours.engine.hangup(leg)
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.sip_status, ended.answered) == (HangupCause.NORMAL, 200, True)
        assert [type(event) for event in ours.heard.of(leg)][:2] == [LegDialed, LegProgress]
        assert ours.relay.opened[0][1] == "customer"
        assert ours.relay.remotes[leg][-1].payload_type == 8
        assert ours.relay.closed == [leg]
        await ours.engine.hangup(leg)  # harmless on an ended leg
        with pytest.raises(UnknownLeg):
            await ours.engine.hold(leg, True)


async def test_early_media_is_heard_before_the_answer(tmp_path: Path) -> None:
    """183 and 180 with a description; the 200 has none; PCMU at 30 ms is agreed."""
    async with sipp("early_media", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        first = await ours.heard.wait(LegProgress, leg=leg, early_media=True)
        assert first.sip_status == 183
        assert ours.relay.remotes[leg][0].codec == "PCMU"
        assert ours.relay.remotes[leg][0].ptime == 30
        await ours.heard.wait(LegProgress, leg=leg, sip_status=180, early_media=True)
        assert (await ours.heard.wait(LegAnswered, leg=leg)).codec == "PCMU"
        await ours.engine.hangup(leg)
        await far.finished()


@pytest.mark.parametrize(
    ("status", "extra", "cause", "q850", "retry_after"),
    [
        ("486", "Reason: Q.850;cause=17", HangupCause.BUSY, 17, None),
        ("480", "Reason: Q.850;cause=20;text=off", HangupCause.SUBSCRIBER_ABSENT, 20, None),
        ("404", "Subject: none", HangupCause.UNALLOCATED, None, None),
        ("603", "Retry-After: 120", HangupCause.REJECTED, None, 120),
        ("503", "Retry-After: 5", HangupCause.CONGESTION, None, 5),
        ("699", "Subject: none", HangupCause.BUSY, None, None),
    ],
)
async def test_a_refusal_is_told_with_its_cause(
    tmp_path: Path, status: str, extra: str, cause: HangupCause, q850: int | None, retry_after: int | None
) -> None:
    async with sipp("fail", tmp_path, status=status, extra=extra) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.sip_status, ended.q850) == (cause, int(status), q850)
        assert (ended.retry_after, ended.answered, ended.origin) == (retry_after, False, Origin.FAR)


@pytest.mark.parametrize("status", ["487", "408"])
async def test_the_carrier_lets_nobody_ring_any_longer(tmp_path: Path, status: str) -> None:
    """A refusal after ringing that answers no CANCEL of ours: nobody answered, and that is what it is called."""
    async with sipp("ring_then_fail", tmp_path, status=status) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.sip_status, ended.origin) == (HangupCause.NO_ANSWER, int(status), Origin.FAR)


async def test_nobody_answers_and_we_cancel(tmp_path: Path) -> None:
    async with sipp("ring_out", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place(ring_seconds=0.3)
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.sip_status, ended.origin) == (HangupCause.NO_ANSWER, 487, Origin.ENGINE)


async def test_the_whole_set_up_is_bounded(tmp_path: Path) -> None:
    async with sipp("ring_out", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place(ring_seconds=60, set_up_seconds=0.3)
        assert (await ours.heard.ended(leg)).cause is HangupCause.NO_ANSWER
        await far.finished()


async def test_taken_back_by_us_before_the_answer(tmp_path: Path) -> None:
    async with sipp("ring_out", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegProgress, leg=leg)
        await ours.engine.hangup(leg)
        assert (await ours.heard.ended(leg)).cause is HangupCause.CANCELLED
        await far.finished()


async def test_an_answer_that_crosses_our_cancel_is_acknowledged_and_released(tmp_path: Path) -> None:
    """SIPp wants CANCEL, then ACK, then BYE."""
    async with sipp("race", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place(ring_seconds=0.2)
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.sip_status, ended.answered) == (HangupCause.NO_ANSWER, 200, False)
        assert not ours.heard.all(LegAnswered)


async def test_no_cancel_before_a_provisional_response(tmp_path: Path) -> None:
    """RFC 3261 9.1."""
    async with sipp("slow_provisional", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.engine.hangup(leg)
        assert (await ours.heard.ended(leg)).cause is HangupCause.CANCELLED
        await far.finished()
        assert far.log.index("SIP/2.0 100 Trying") < far.log.index("\nCANCEL sip:")


async def test_the_far_side_hangs_up(tmp_path: Path) -> None:
    async with sipp("far_bye", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.q850, ended.origin) == (HangupCause.NORMAL, 31, Origin.FAR)
        assert ended.answered
        assert 0.05 < ended.talk_seconds < 5


async def test_the_invite_is_repeated_and_each_200_acknowledged(tmp_path: Path) -> None:
    async with sipp("slow", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await asyncio.sleep(0.2)
        await ours.engine.hangup(leg)
        await far.finished()
        invites = far.received("INVITE")
        assert len(invites) >= 3
        assert len({re.search(r"branch=(\S+)", text)[1] for text in invites}) == 1  # type: ignore[index]  # every INVITE has one
        assert len(ours.heard.all(LegAnswered)) == 1


async def test_a_trunk_that_says_nothing(tmp_path: Path) -> None:
    """Timer B: 64 T1."""
    async with sipp("mute", tmp_path) as far, office(trunk(far.port), t1_milliseconds=10) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        assert (ended.cause, ended.sip_status) == (HangupCause.TRUNK_TIMEOUT, None)
        assert "\nCANCEL sip:" not in far.log


async def test_two_phones_answer_and_one_is_released(tmp_path: Path) -> None:
    """Forked early dialogs; SIPp wants ACK for both, BYE for the second, and BYE for the first at the end."""
    async with sipp("fork", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await asyncio.sleep(0.2)
        assert [remote.codec for remote in ours.relay.remotes[leg]] == ["PCMU", "PCMA"]
        await ours.engine.hangup(leg)
        await far.finished()
        assert len(ours.heard.all(LegAnswered)) == 1


async def test_an_answer_without_a_common_codec(tmp_path: Path) -> None:
    async with sipp("no_codec", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.answered) == (HangupCause.INCOMPATIBLE, False)


async def test_reliable_provisional_responses(tmp_path: Path) -> None:
    """RFC 3262: Require when the trunk wants it; PRACK once for each, none for a repeat."""
    async with sipp("reliable", tmp_path) as far, office(trunk(far.port, require_100rel=True)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()
        assert len(far.received("PRACK")) == 2
        assert [event.sip_status for event in ours.heard.all(LegProgress)] == [183, 180]


@pytest.mark.parametrize(("scenario", "required"), [("bad_extension", True), ("extension_required", False)])
async def test_extensions_are_dropped_or_added_as_asked(tmp_path: Path, scenario: str, required: bool) -> None:
    async with sipp(scenario, tmp_path) as far, office(trunk(far.port, require_100rel=required)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()
        assert len(ours.heard.all(LegDialed)) == 1


async def test_a_redirect_within_the_trunk_is_followed(tmp_path: Path) -> None:
    async with sipp("redirect_inside", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()


async def test_a_redirect_elsewhere_ends_the_call(tmp_path: Path) -> None:
    elsewhere = {"status": "302", "extra": "Contact: <sip:13800138000@192.0.2.9>"}
    async with sipp("fail", tmp_path, **elsewhere) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.sip_status) == (HangupCause.INTERWORKING, 302)


async def test_a_route_set_is_followed(tmp_path: Path) -> None:
    async with sipp("routed", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()


async def test_who_calls_and_how_the_number_is_written(tmp_path: Path) -> None:
    line = {
        "number_format": "national",
        "dial_prefix": "9",
        "asserted_identity": True,
        "caller_id": "+862100000000",
        "from_domain": "carrier.example",
    }
    async with sipp("ring_out", tmp_path) as far, office(trunk(far.port, **line)) as ours:
        leg = await ours.place(caller_id="+861000000000", display_name="Bank \\先", headers=(("X-Client", "a"),))
        await ours.heard.wait(LegProgress, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()
        invite = far.received("INVITE")[0]
        assert f"INVITE sip:9013800138000@127.0.0.1:{far.port} SIP/2.0" in invite
        assert 'From: "Bank \\\\先" <sip:+861000000000@carrier.example>;tag=' in invite
        assert "P-Asserted-Identity: <sip:+861000000000@carrier.example>" in invite
        assert "X-Client: a" in invite


async def test_no_header_can_be_smuggled_in(tmp_path: Path) -> None:
    async with office(trunk(9)) as ours:
        with pytest.raises(BadInput):
            await ours.place(headers=(("X-Client", "a\r\nX-Evil: b"),))
        with pytest.raises(BadInput):
            await ours.place("13800138000")
        with pytest.raises(BadInput):
            await ours.place(caller_id="1000>;tag=x")
        assert not ours.relay.opened


async def test_every_leg_is_ended_when_the_engine_closes(tmp_path: Path) -> None:
    async with sipp("answer", tmp_path) as far:
        async with office(trunk(far.port)) as ours:
            leg = await ours.place()
            await ours.heard.wait(LegAnswered, leg=leg)
        assert (await ours.heard.ended(leg)).cause is HangupCause.ENGINE_SHUTDOWN
        await far.finished()
        assert not ours.heard.all(LegHeld)


# Retransmissions


async def test_a_refusal_that_comes_again_is_acknowledged_again(tmp_path: Path) -> None:
    """Timer D."""
    async with sipp("busy_again", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        assert (await ours.heard.ended(leg)).cause is HangupCause.BUSY
        await far.finished()
        assert len(far.received("ACK")) >= 2  # SIPp answers an ACK it knows with its 486 again, and hears another


async def test_a_bye_is_repeated_until_it_is_answered(tmp_path: Path) -> None:
    """Timers E and F; SIPp answers after a while."""
    async with sipp("deaf_bye", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hangup(leg)
        await far.finished()
        assert len(far.received("BYE")) >= 3
        assert len({re.search(r"branch=(\S+)", text)[1] for text in far.received("BYE")}) == 1  # type: ignore[index]  # every BYE has one
