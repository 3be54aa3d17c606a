"""Listening: ranges, tags, who may, and that every access is on the record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from tests.sample_house import Sample, sample_house
from tests.unit.api.conftest import Browser

AUDIO = "/api/v1/recordings/rec_1/audio"


@pytest.fixture(autouse=True)
async def _qa_is_logged_in(browser: Browser) -> None:
    await browser.be("qa")


async def test_the_whole_recording_is_the_file_and_its_tag_is_the_hash(browser: Browser, sample: Sample) -> None:
    answer = await browser.http.get(AUDIO)
    assert answer.status_code == 200
    assert answer.content == sample.tape.read_bytes()
    assert answer.headers["etag"] == f'"{sample.sha256}"'
    assert answer.headers["content-type"] == "audio/flac"
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=100-70000", "bytes=-1000", "bytes=5000-"])
async def test_a_range_is_exactly_those_bytes(browser: Browser, sample: Sample, asked: str) -> None:
    whole = sample.tape.read_bytes()
    answer = await browser.http.get(AUDIO, headers={"Range": asked})
    assert answer.status_code == 206
    unit, _, where = answer.headers["content-range"].partition(" ")
    span, _, size = where.partition("/")
    first, last = map(int, span.split("-"))
    assert (unit, int(size)) == ("bytes", len(whole))
    assert answer.content == whole[first : last + 1]
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_a_range_beyond_the_end_says_how_long_it_is(browser: Browser, sample: Sample) -> None:
    size = len(sample.tape.read_bytes())
    answer = await browser.http.get(AUDIO, headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.json()["error_id"]) == (416, "range-not-satisfiable")
    assert answer.headers["content-range"] == f"bytes */{size}"


async def test_if_range_with_another_tag_gets_the_whole(browser: Browser, sample: Sample) -> None:
    stale = await browser.http.get(AUDIO, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    fresh = await browser.http.get(AUDIO, headers={"Range": "bytes=0-9", "If-Range": f'"{sample.sha256}"'})
    assert (stale.status_code, fresh.status_code) == (200, 206)


async def test_an_unchanged_copy_is_not_sent_again(browser: Browser, sample: Sample) -> None:
    answer = await browser.http.get(AUDIO, headers={"If-None-Match": f'"{sample.sha256}"'})
    assert (answer.status_code, answer.content) == (304, b"")


async def test_head_measures_without_listening(browser: Browser, sample: Sample) -> None:
    before = await sample.events.last_number()
    answer = await browser.http.head(AUDIO)
    assert int(answer.headers["content-length"]) == len(sample.tape.read_bytes())
    assert answer.content == b""
    assert await sample.events.last_number() == before


async def test_every_listening_is_on_the_record_with_bytes_and_seconds(browser: Browser, sample: Sample) -> None:
    before = await sample.events.last_number()
    size = len(sample.tape.read_bytes())
    await browser.http.get(AUDIO, headers={"Range": f"bytes={size // 2}-{size - 1}"})
    (event,) = await sample.events.read_after(before, limit=10)
    assert (event.kind, event.subject_id, event.case_id) == ("recording.listened", "rec_1", "case_1")
    assert event.facts["actor"] == "qa"
    assert (event.facts["first_byte"], event.facts["last_byte"]) == (size // 2, size - 1)
    assert event.facts["from_second"] == pytest.approx(12, abs=0.1)
    assert event.facts["to_second"] == pytest.approx(24, abs=0.1)


async def test_a_tape_that_is_not_sealed_cannot_be_heard(browser: Browser, sample: Sample) -> None:
    kept = sample.house.recordings._recordings  # type: ignore[attr-defined]  # the memory house's own shelf
    kept["rec_1"] = replace(kept["rec_1"], state="armed", seconds=None, sha256=None)
    answer = await browser.http.get(AUDIO)
    assert (answer.status_code, answer.json()["error_id"]) == (409, "recording-not-audible")


async def test_a_lost_file_is_said_and_not_hidden(browser: Browser, sample: Sample) -> None:
    sample.house.tapes._files.clear()  # type: ignore[attr-defined]  # the memory house's own shelf
    answer = await browser.http.get(AUDIO)
    assert (answer.status_code, answer.json()["error_id"]) == (503, "unhealthy")


async def test_peaks_cover_both_channels_for_the_whole_length(browser: Browser) -> None:
    peaks = (await browser.http.get("/api/v1/recordings/rec_1/peaks")).json()
    assert len(peaks["channels"]) == 2
    for channel in peaks["channels"]:
        assert len(channel) == pytest.approx(24 * peaks["per_second"], abs=1)
        assert all(-127 <= low <= high <= 127 for low, high in channel)
        assert max(high for _, high in channel) > 10


async def test_an_unknown_recording_is_a_404_with_its_field(browser: Browser) -> None:
    answer = await browser.http.get("/api/v1/recordings/rec_unknown/audio")
    assert (answer.status_code, answer.json()["field"]) == (404, "recording_id")


async def test_listening_is_audited_with_who_what_and_why_before_the_sound(browser: Browser, sample: Sample) -> None:
    await browser.http.get(AUDIO, params={"reason": "complaint 7"}, headers={"Range": "bytes=0-99"})
    [fact] = sample.house.audit.facts  # type: ignore[attr-defined]  # the memory house's own log
    assert (fact.actor, fact.action, fact.subject) == ("qa", "recording.listened", "rec_1")
    assert (fact.detail["first_byte"], fact.detail["last_byte"]) == (0, 99)
    assert (fact.detail["reason"], fact.detail["file"]) == ("complaint 7", "master")


async def test_measuring_is_not_listening(browser: Browser, sample: Sample) -> None:
    await browser.http.head(AUDIO)
    assert sample.house.audit.facts == []  # type: ignore[attr-defined]  # the memory house's own log


class _Calling:
    def __init__(self) -> None:
        self.masked: list[tuple[str, bool, str, str]] = []

    async def mask(self, call_id: str, on: bool, *, actor: str, reason: str) -> None:
        self.masked.append((call_id, on, actor, reason))

    async def entered(self, call_id: str) -> None:
        raise AssertionError("nobody enters an outcome here")


async def test_a_collector_masks_a_live_call_and_a_reviewer_may_not(tmp_path: Path) -> None:
    sample = await sample_house(tmp_path)
    calling = _Calling()
    house = replace(sample.house, calling=calling)
    transport = httpx.ASGITransport(create_app(house, machine_key="key-of-this-machine"))
    wish = {"on": True, "reason": "card number read out"}
    async with httpx.AsyncClient(transport=transport, base_url="http://calls.test") as client:
        browser = Browser(client, sample)
        await browser.be("qa")
        assert (await client.post("/api/v1/calls/call_1/mask", json=wish)).status_code == 403
        await browser.be("collector")
        assert (await client.post("/api/v1/calls/call_1/mask", json=wish)).status_code == 204
        assert (await client.post("/api/v1/calls/call_1/mask", json={"on": True, "reason": ""})).status_code == 422
    assert calling.masked == [("call_1", True, "collector", "card number read out")]
