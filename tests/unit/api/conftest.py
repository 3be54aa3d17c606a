from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.guard import COOKIE
from api.passwords import csrf_token, new_token, token_hash
from tests.sample_house import PASSWORD, Sample, sample_house


class Browser:
    """An HTTP client that keeps its cookie and sends the anti-forgery token, as the page does."""

    def __init__(self, client: httpx.AsyncClient, sample: Sample) -> None:
        self.http = client
        self._sample = sample

    async def be(self, username: str) -> None:
        """Have an open session, without the slow password check."""
        house = self._sample.house
        found = await house.accounts.credentials(username)
        assert found is not None
        token, now = new_token(), house.clock.now()
        await house.accounts.open_session(found[0], token_hash(token), now, now + timedelta(hours=1))
        self.http.cookies.set(COOKIE, token, domain="calls.test")
        self.http.headers["X-CSRF-Token"] = csrf_token(token)

    async def log_in(self, username: str) -> httpx.Response:
        answer = await self.http.post("/api/v1/sessions", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        self.http.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return answer


@pytest.fixture
async def sample(tmp_path: Path) -> Sample:
    return await sample_house(tmp_path)


@pytest.fixture
async def browser(sample: Sample) -> AsyncIterator[Browser]:
    transport = httpx.ASGITransport(create_app(sample.house, machine_key="key-of-this-machine"))
    async with httpx.AsyncClient(transport=transport, base_url="http://calls.test") as client:
        yield Browser(client, sample)
