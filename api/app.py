"""The HTTP and WebSocket door. Everything stands under /api/v1; the page for people stands at /."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from starlette.staticfiles import StaticFiles

from api.guard import Doorkeeper
from api.house import House
from api.live import router as live_router
from api.page import STATIC
from api.problems import MEDIA_TYPE, answer_with_problems
from api.routes import (
    agenda,
    agents,
    calls,
    campaigns,
    cases,
    casework,
    desk_calls,
    evidence,
    health,
    placements,
    recordings,
    sessions,
    users,
    vetting,
)
from api.surroundings import BoundedBodies, DoorMetrics, Measured, SecurityHeaders

ROOT = "/api/v1"


def create_app(house: House, *, machine_key: str | None = None) -> FastAPI:
    """The application over a house. ``machine_key`` opens every door to commands on this machine (``api.machine_key``)."""
    app = FastAPI(
        title="onrecord",
        version="1",
        summary="SIP dialer and call recorder for a collections call centre",
        openapi_url=f"{ROOT}/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        telemetry={"auto_configure": False},  # traces leave the house when somebody chose so, not by a stray variable
        generate_unique_id_function=_operation_id,
    )
    metrics = DoorMetrics(house.registry)
    app.state.house = house
    app.state.doorkeeper = Doorkeeper(house, machine_key)
    app.state.metrics = metrics
    app.state.listeners = 0
    answer_with_problems(app)
    app.include_router(_api())
    app.include_router(health.metrics_router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(BoundedBodies, web=house.settings.web)
    app.add_middleware(Measured, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    _document_problems(app)
    return app


def _api() -> APIRouter:
    api = APIRouter(prefix=ROOT)
    for noun in (
        casework,
        vetting,
        sessions,
        users,
        cases,
        recordings,
        evidence,
        agenda,
        campaigns,
        agents,
        desk_calls,
        calls,
        placements,
        health,
    ):
        api.include_router(noun.router)
    api.include_router(live_router)
    return api


async def _page() -> FileResponse:
    return FileResponse(STATIC / "index.html")


def _operation_id(route: APIRoute) -> str:
    return route.name


def _document_problems(app: FastAPI) -> None:
    """FastAPI documents every model as application/json; our errors are application/problem+json."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for path in plain()["paths"].values():
                for operation in path.values():
                    for answer in operation.get("responses", {}).values():
                        _retype(answer.get("content", {}))
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change its schema


def _retype(content: dict[str, Any]) -> None:
    body = content.get("application/json", {})
    if body.get("schema", {}).get("$ref", "").endswith("/Problem"):
        content[MEDIA_TYPE] = content.pop("application/json")
