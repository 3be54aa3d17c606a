"""What leaves a running house: live frames of every role that may watch, metrics, log lines, the event log. No number that can
be dialed and no name of anybody called is in any of it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from sqlalchemy import select
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from api.app import create_app
from api.centre_floor import CentreFloor
from api.centre_house import CentreCampaigns
from api.guard import COOKIE
from api.passwords import new_token, token_hash
from api.permissions import MAY, Permission
from api.serving import address_of, listen
from api.store_house import house_over
from case_store.network import HangupCause
from case_store.tables import event_log
from case_store.views import Role
from config.settings import DeskSettings, FloorSettings
from dialer.campaigns import Mode
from dialer.engines.scripted import BUSY, Answer, Provisional, Release, Script
from tests.contract.store.world import case_line, load
from tests.integration.test_the_floor import TALKS, House, enter_outcomes

NAMES = tuple(f"持卡人Z{n}" for n in range(6))
MOBILES = tuple(f"139{n}55{n}66{n}7" for n in range(6))
OFFICE = "01069648322"
SECRETS = (*MOBILES, OFFICE[1:], *NAMES)
SCRIPTS: tuple[Script, ...] = (
    TALKS,
    BUSY,
    (Provisional(after=0.05), Release(after=0.1, cause=HangupCause.REJECTED, status=603)),
    (Provisional(after=0.05), Answer(after=0.1), Release(after=0.2)),
    (Release(after=0.05, cause=HangupCause.UNALLOCATED, status=404),),
    TALKS,
)
WATCHERS = [role for role in Role if Permission.WATCH_CALLS in MAY[role]]


def shown(text: str) -> list[str]:
    """The secrets that are in it, however spaced or escaped."""
    flat = re.sub(r"[\s\-()]", "", text)
    return [one for one in SECRETS if one in flat or one.encode("unicode_escape").decode() in flat]


async def _frames(url: str, cookie: str, last: int) -> list[str]:
    frames: list[str] = []
    async with connect(f"{url}?after=0", additional_headers={"Cookie": cookie}) as socket, asyncio.timeout(20):
        while not frames or json.loads(frames[-1])["last"] < last:
            frames.append(str(await socket.recv()))
    return frames


async def _a_day(at: House) -> None:
    now = at.clock.now()
    lines = [
        case_line(f"Z{n}", mobile=mobile, work="010-69648322" if n == 1 else "") for n, mobile in enumerate(MOBILES)
    ]
    report = await load(at.centre.store, at.root, now, *lines)
    at.campaign = await at.centre.store.sweep.create("sweep", [report.placement_id], now, mode=Mode.PREDICTIVE.value)
    for n in range(2):
        await at.centre.seat(DeskSettings(name=f"desk-{n}", uri="sip:d@memory"), agent_id=f"agent-{n}", name="A")
    ended = asyncio.Event()
    entering = asyncio.create_task(enter_outcomes(at, ended))
    async with asyncio.timeout(60):
        await at.runner().run()
    await at.centre.switchboard.quiet()
    ended.set()
    await entering


def test_the_net_catches_what_it_is_for() -> None:
    for leak in ("+86 139-0550-6607", json.dumps(NAMES[0]), "tel:01069648322"):
        assert shown(leak), leak
    assert not shown("+86139****6607 case Z0")


async def test_nothing_that_leaves_names_anybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    order = iter(SCRIPTS)
    at = House(tmp_path, lambda _order: next(order, BUSY), FloorSettings(pace_log=tmp_path / "pacing"))
    with capture_logs() as lines:
        async with at.opened() as centre:
            await _a_day(at)
            house = house_over(
                centre.store,
                at.settings,
                at.clock,
                campaigns=CentreCampaigns(centre),
                calling=centre,
                floor=CentreFloor(centre),
                registry=centre.registry,
            )
            with listen("127.0.0.1", 0) as listener:
                config = uvicorn.Config(create_app(house, machine_key="key"), log_config=None, lifespan="off")
                server = uvicorn.Server(config)
                serving = asyncio.create_task(server._serve([listener]))
                while not server.started:  # noqa: ASYNC110  # uvicorn offers nothing to wait on
                    await asyncio.sleep(0.01)
                url, now = address_of(listener), at.clock.now()
                last = await house.events.last_number()
                assert last > 40, "a day of six calls was watched"
                for role in WATCHERS:
                    await house.accounts.add_user(role.value, role.value, role, "unused", now)
                    known = await house.accounts.credentials(role.value)
                    assert known is not None
                    token = new_token()
                    await house.accounts.open_session(known[0], token_hash(token), now, now + timedelta(hours=1))
                    frames = await _frames(url.replace("http", "ws") + "/api/v1/live", f"{COOKIE}={token}", last)
                    assert shown("".join(frames)) == [], role
                async with httpx.AsyncClient(headers={"Authorization": "Bearer key"}) as client:
                    answer = await client.get(url + "/metrics")
                assert answer.status_code == 200
                assert "onrecord_call_ends_total" in answer.text
                assert shown(answer.text) == []
                server.should_exit = True
                await serving
            async with centre.store.database.read() as connection:
                kept = (await connection.execute(select(event_log.c.kind, event_log.c.facts))).all()
    assert len(kept) > 40
    assert [(row.kind, shown(json.dumps(row.facts, ensure_ascii=False))) for row in kept if shown(str(row.facts))] == []
    assert len(lines) > 20
    assert shown(json.dumps(lines, ensure_ascii=False, default=str)) == []
    assert shown(caplog.text) == []
    assert shown("".join(capfd.readouterr())) == []
    decisions = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "pacing").iterdir())
    assert '"pace"' in decisions
    assert shown(decisions) == []
