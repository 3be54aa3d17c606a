"""Is it alive, is it ready, and its figures for Prometheus."""

from __future__ import annotations

import hmac
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from api.guard import TheHouse, demand, recognise
from api.permissions import Permission
from api.problems import NotSignedIn, documented
from api.shapes import Shape

router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"])


class Alive(Shape):
    status: Literal["alive"] = "alive"


class CheckShape(Shape):
    name: str
    ok: bool
    trouble: str | None = Field(description="What is wrong and what to do; shown only to who may see it")


class Ready(Shape):
    ready: bool
    checks: list[CheckShape]


@router.get("/health")
async def health() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/ready", responses={503: {"model": Ready, "description": "Some part is not healthy"}})
async def ready(request: Request, response: Response, house: TheHouse) -> Ready:
    """Whether every part that placing a call needs is healthy: no recording, no call."""
    shown = await _may(request, Permission.SEE_HEALTH)
    checks = []
    for check in house.checks:
        trouble = await check.trouble()
        checks.append(CheckShape(name=check.name, ok=trouble is None, trouble=trouble if shown else None))
    all_well = all(check.ok for check in checks)
    response.status_code = 200 if all_well else 503
    return Ready(ready=all_well, checks=checks)


async def _may(request: Request, permission: Permission) -> bool:
    try:
        return permission in (await recognise(request)).permissions
    except NotSignedIn:
        return False


@metrics_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text", "content": {"text/plain": {}}}, **documented(401, 403)},
)
async def metrics(
    request: Request,
    house: TheHouse,
) -> Response:
    """Prometheus figures, for the bearer of web.metrics_token or an administrator."""
    kept = house.settings.web.metrics_token
    sent = request.headers.get("authorization", "").removeprefix("Bearer ")
    if kept is None or not hmac.compare_digest(sent.encode(), kept.get_secret_value().encode()):
        demand(await recognise(request), Permission.SEE_METRICS)
    return Response(generate_latest(house.registry), media_type=CONTENT_TYPE_LATEST)
