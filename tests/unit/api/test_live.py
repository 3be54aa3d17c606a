"""The live feed over a real socket: who is let in, resuming, masking, a session that ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api import live
from api.app import create_app
from api.guard import COOKIE
from api.passwords import new_token, token_hash
from api.serving import address_of, listen
from tests.sample_house import MOBILE, START, Sample


@pytest.fixture
async def url(sample: Sample) -> AsyncIterator[str]:
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            create_app(sample.house, machine_key="key"), log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110  # uvicorn offers nothing to wait on
            await asyncio.sleep(0.01)
        yield address_of(listener).replace("http", "ws") + "/api/v1/live"
        server.should_exit = True
        await task


async def cookie_of(sample: Sample, username: str) -> dict[str, str]:
    found = await sample.accounts.credentials(username)
    assert found is not None
    token, now = new_token(), sample.house.clock.now()
    await sample.accounts.open_session(found[0], token_hash(token), now, now + timedelta(hours=1))
    return {"Cookie": f"{COOKIE}={token}"}


async def test_a_listener_that_comes_back_misses_nothing_and_sees_nothing_twice(url: str, sample: Sample) -> None:
    headers = await cookie_of(sample, "collector")
    for place in range(1200):
        await sample.events.append("call.progress", START, subject_id=f"call_{place}")
    seen: list[int] = []
    async with connect(f"{url}?after=0", additional_headers=headers) as first:
        batch = json.loads(await first.recv())
        seen += [event["number"] for event in batch["events"]]
    async with connect(f"{url}?after={batch['last']}", additional_headers=headers) as second:
        while seen[-1] < 1200:
            seen += [event["number"] for event in json.loads(await second.recv())["events"]]
        await sample.events.append("call.ended", START, subject_id="call_9")
        (event,) = json.loads(await second.recv())["events"]
    assert seen == list(range(1, 1201))
    assert (event["number"], event["kind"]) == (1201, "call.ended")


async def test_numbers_are_masked_and_unknown_facts_stay_inside(url: str, sample: Sample) -> None:
    async with connect(f"{url}?after=0", additional_headers=await cookie_of(sample, "collector")) as socket:
        await sample.events.append("call.placed", START, e164=MOBILE, cause="busy", note="her mother answered")
        text = str(await socket.recv())
    (event,) = json.loads(text)["events"]
    assert event["data"] == {"number": "+86138****5678", "cause": "busy"}
    assert MOBILE not in text


@pytest.mark.parametrize(
    ("username", "extra", "query", "status", "error_id"),
    [
        (None, {}, "", 401, "not-signed-in"),
        ("qa", {}, "", 403, "not-allowed"),
        ("collector", {"Origin": "https://elsewhere.test"}, "", 403, "foreign-origin"),
        ("collector", {}, "?after=many", 422, "bad-input"),
        ("collector", {}, "?after=-1", 422, "bad-input"),
    ],
)
async def test_who_may_not_listen_is_told_why(
    url: str, sample: Sample, username: str | None, extra: dict[str, str], query: str, status: int, error_id: str
) -> None:
    headers = extra | (await cookie_of(sample, username) if username else {})
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url + query, additional_headers=headers):
            pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"{}")["error_id"] == error_id


async def test_a_machine_listens_with_its_bearer_token(url: str) -> None:
    async with connect(f"{url}?after=0", additional_headers={"Authorization": "Bearer key"}) as socket:
        await socket.ping()


async def test_a_session_that_ends_closes_its_feed(url: str, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SIGN_OF_LIFE_SECONDS", 0.05)
    monkeypatch.setattr(live, "OTHER_NODES_SECONDS", 0.05)
    headers = await cookie_of(sample, "collector")
    async with connect(f"{url}?after=0", additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["events"] == []  # the sign of life
        await sample.accounts.close_session(token_hash(headers["Cookie"].partition("=")[2]), START)
        async with asyncio.timeout(5):
            await socket.wait_closed()
        assert socket.close_code == live.SESSION_ENDED
