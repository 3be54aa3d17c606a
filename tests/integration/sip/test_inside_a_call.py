"""Requests inside a dialog, both ways: hold, glare, UPDATE, late offers, session timers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from case_store.network import HangupCause
from dialer.events import LegAnswered, LegDtmf, LegHeld, Origin
from tests.integration.sip.peers import office, sipp, trunk
from tests.integration.sip.wire import until


async def test_the_far_side_holds_and_resumes(tmp_path: Path) -> None:
    """sendonly, inactive, and 0.0.0.0 as in RFC 2543."""
    async with sipp("far_hold", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.ended(leg)
        await far.finished()
        assert [event.on for event in ours.heard.all(LegHeld, origin=Origin.FAR)] == [True, False, True, False, True]
        sends = [(remote.send, remote.receive) for remote in ours.relay.remotes[leg]]
        assert sends[1:3] == [(False, True), (True, True)]
        assert sends[3] == (False, False)
        assert sends[-1][0] is False


async def test_we_hold_and_resume(tmp_path: Path) -> None:
    async with sipp("our_hold", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hold(leg, True)
        await ours.heard.wait(LegHeld, leg=leg, on=True, origin=Origin.NEAR)
        await ours.engine.hold(leg, False)
        await ours.heard.wait(LegHeld, leg=leg, on=False, origin=Origin.NEAR)
        await ours.engine.hangup(leg)
        await far.finished()


async def test_a_refused_glare_is_tried_again(tmp_path: Path) -> None:
    async with sipp("glare", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hold(leg, True)
        await ours.heard.wait(LegHeld, leg=leg, on=True)
        await ours.engine.hangup(leg)
        await far.finished()


async def test_a_reinvite_that_meets_ours_is_refused_with_491(tmp_path: Path) -> None:
    async with sipp("glare_both", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await ours.engine.hold(leg, True)
        await ours.heard.wait(LegHeld, leg=leg, on=True, origin=Origin.NEAR)
        await ours.engine.hangup(leg)
        await far.finished()


async def test_update_info_options_and_what_we_do_not_do(tmp_path: Path) -> None:
    async with sipp("update", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.ended(leg)
        await far.finished()
        assert [event.on for event in ours.heard.all(LegHeld)] == [True]
        assert [(event.digit, event.milliseconds) for event in ours.heard.all(LegDtmf)] == [("5", 160)]


async def test_a_reinvite_without_a_description_is_offered_ours(tmp_path: Path) -> None:
    async with sipp("late_offer", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.ended(leg)
        await far.finished()
        assert [remote.codec for remote in ours.relay.remotes[leg]][-1] == "PCMU"


async def test_a_reinvite_without_a_common_codec_changes_nothing(tmp_path: Path) -> None:
    async with sipp("bad_offer", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await asyncio.sleep(0.3)
        await ours.engine.hangup(leg)
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert ended.cause is HangupCause.NORMAL
        assert {remote.codec for remote in ours.relay.remotes[leg]} == {"PCMA"}


async def test_we_refresh_the_session(tmp_path: Path) -> None:
    """422 with a longer Min-SE first; then UPDATE, and re-INVITE where UPDATE is not taken."""
    async with sipp("session_uac", tmp_path) as far, office(trunk(far.port, session_expires=1800)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await asyncio.sleep(0.6)
        await ours.engine.hangup(leg)
        await far.finished()


async def test_a_session_nobody_refreshes_ends(tmp_path: Path) -> None:
    async with sipp("session_uas", tmp_path) as far, office(trunk(far.port, session_expires=1800)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert (ended.cause, ended.origin, ended.answered) == (HangupCause.SESSION_EXPIRED, Origin.ENGINE, True)


async def test_the_far_side_refreshes_the_session(tmp_path: Path) -> None:
    async with sipp("session_theirs", tmp_path) as far, office(trunk(far.port, session_expires=1800)) as ours:
        leg = await ours.place()
        ended = await ours.heard.ended(leg)
        await far.finished()
        assert ended.cause is HangupCause.SESSION_EXPIRED
        assert ended.talk_seconds > 1.5, "the refresh in between moved the end"


async def test_our_answer_to_a_reinvite_is_repeated_until_it_is_acknowledged(tmp_path: Path) -> None:
    """Timers G and H."""
    async with sipp("late_ack", tmp_path) as far, office(trunk(far.port)) as ours:
        leg = await ours.place()
        await ours.heard.wait(LegAnswered, leg=leg)
        await until(lambda: "CSeq: 20 ACK" in far.log)
        await ours.engine.hangup(leg)
        assert (await ours.heard.ended(leg)).cause is HangupCause.NORMAL
        await far.finished()
        answers = [
            part for part in far.log.split("message received")[1:] if "SIP/2.0 200" in part and "20 INVITE" in part
        ]
        assert len(answers) >= 3
