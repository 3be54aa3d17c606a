"""The OpenAPI document is a contract: complete enough to generate a client, and kept under whatever is sent."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.centre_floor import CentreFloor
from api.centre_house import CentreCampaigns
from api.store_house import house_over
from config.settings import FloorSettings
from dialer.campaigns import Mode
from tests.integration.test_the_floor import heard
from tests.integration.test_the_floor import house as centre_house
from tests.sample_house import sample_house

KEY = {"Authorization": "Bearer key-of-this-machine"}
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory: Path = tmp_path_factory.mktemp("house")
    return create_app(asyncio.run(sample_house(directory)).house, machine_key="key-of-this-machine")


@pytest.fixture(scope="module")
def document(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()
    return found


@pytest.fixture(scope="module")
def served_centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The doors over a running centre and its store, in a loop of their own; its address."""
    directory: Path = tmp_path_factory.mktemp("centre")
    listener = socket.create_server(("127.0.0.1", 0))
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        floor = FloorSettings(pace_log=directory / "pace")
        async with centre_house(directory, heard(3, 0.3), floor, cases=3, agents=2, mode=Mode.PROGRESSIVE) as at:
            house = house_over(
                at.centre.store,
                at.settings,
                at.clock,
                campaigns=CentreCampaigns(at.centre),
                calling=at.centre,
                floor=CentreFloor(at.centre),
                registry=at.centre.registry,
            )
            app = create_app(house, machine_key="key-of-this-machine")
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
            task = asyncio.create_task(server.serve(sockets=[listener]))
            ready.set()
            while not stop.is_set():  # noqa: ASYNC110  # set from another thread
                await asyncio.sleep(0.05)
            server.should_exit = True
            await task

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop.set()
    thread.join(60)
    listener.close()


@pytest.mark.parametrize("over", ["memory", "centre"])
def test_whatever_is_sent_the_answer_is_one_of_those_documented(over: str, request: pytest.FixtureRequest) -> None:
    if over == "memory":
        schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", request.getfixturevalue("app"))
    else:
        schema = schemathesis.openapi.from_url(request.getfixturevalue("served_centre") + "/api/v1/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        tried += 1

        @settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            case.call_and_validate(headers=KEY, checks=CHECKS)

        send()
    assert tried >= 20


def test_metrics_speak_the_trades_language(served_centre: str) -> None:
    answer = httpx.get(f"{served_centre}/metrics", headers=KEY)
    assert answer.status_code == 200
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert names >= {
        "onrecord_cps",
        "onrecord_erlangs",
        "onrecord_seizures",
        "onrecord_asr_ratio",
        "onrecord_acd_seconds",
        "onrecord_abandonment_ratio",
        "onrecord_occupancy_ratio",
        "onrecord_agents",
    }


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_a_client_can_be_generated(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z_]+", one) for one in ids)
    for path, method, operation in operations(document):
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert good, (path, method)
        for status, answer in operation["responses"].items():
            if status not in ("204", "304"):
                assert answer.get("content"), (path, method, status)


def test_every_refusal_is_documented_as_problem_json_with_error_id_and_remedy(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["Problem"]
    assert {"error_id", "remedy", "title", "status"} <= set(problem["required"])
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status.startswith("4"):
                assert "application/problem+json" in answer["content"], (path, method, status)


def test_every_door_but_the_public_ones_names_how_to_be_let_in(document: dict[str, Any]) -> None:
    public = {"/api/v1/sessions", "/api/v1/health", "/api/v1/ready", "/metrics"}
    for path, method, operation in operations(document):
        if path not in public:
            assert operation.get("security"), (path, method)


def test_lists_are_bounded_and_strings_too(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            kinds = [parameter["schema"], *parameter["schema"].get("anyOf", [])]
            for kind in kinds:
                if kind.get("type") == "string" and parameter["in"] != "header":
                    assert {"maxLength", "format", "enum", "const"} & set(kind), (path, parameter["name"])
                if kind.get("type") == "integer":
                    assert "maximum" in kind, (path, parameter["name"])
