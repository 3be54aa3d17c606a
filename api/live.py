"""Live events over a WebSocket, resumable by event number.

A listener says the last number it has (``?after=N``) and gets every later event, in order, in batches; it may leave and
come back with the number it reached and misses nothing. Nothing is buffered for a listener: a slow one is simply behind.
Only fields named here leave the house, and numbers are masked for who listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from api.guard import Principal, check_origin, demand, recognise
from api.house import LoggedEvent
from api.permissions import Permission
from api.problems import NotAllowed, NotSignedIn, TooMany, problem_response
from api.shapes import EventBatch, EventShape
from api.surroundings import DoorMetrics
from config.errors import BadInput, OnrecordError, describe_shape

router = APIRouter()

BATCH = 500
SIGN_OF_LIFE_SECONDS = 15.0
OTHER_NODES_SECONDS = 1.0  # events of other nodes wake nobody here: ask again this often
MOST_LISTENERS = 500
SESSION_ENDED = 4401  # close code: log in again
ROLE_LOST = 4403  # close code: the role no longer includes watching

_NUMBERS = frozenset({"number", "e164", "callee"})
_PASSED_ON = frozenset(
    {
        *(
            "old",
            "new",
            "state",
            "channel",
            "agent",
            "desk",
            "trunk",
            "cause",
            "sip_status",
            "q850",
            "reason",
            "progress",
        ),
        *("answered", "seconds", "talk_seconds", "early_media", "up", "detail", "codec"),
        *(
            "actor",
            "call_id",
            "leg",
            "campaign_id",
            "campaign",
            "placement_id",
            "attempt_id",
            "number_id",
            "recording_id",
            "position",
        ),
        *("parts", "agents", "by", "to", "mode", "code", "agent_id"),
        *("rule", "figure", "source", "until", "outcome", "action", "earliest", "latest", "owner"),
        *("first_byte", "last_byte", "from_second", "to_second", "rows", "rejected", "error_id", "name"),
    }
)


def event_as_seen(event: LoggedEvent, principal: Principal) -> EventShape:
    """An event with only the fields that may leave, numbers masked under the name ``number``."""
    data: dict[str, str | int | float | bool | None] = {}
    for key, value in event.facts.items():
        if key in _NUMBERS and isinstance(value, str):
            data["number"] = principal.sees(value)
        elif key in _PASSED_ON and (value is None or isinstance(value, str | int | float | bool)):
            data[key] = value
    return EventShape(
        number=event.number,
        at=event.at,
        kind=event.kind,
        case_id=event.case_id,
        subject_id=event.subject_id,
        data=data,
    )


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    try:
        principal = await _let_in(websocket)
        position = await _start(websocket)
    except OnrecordError as error:
        await websocket.send_denial_response(problem_response(error))
        return
    metrics: DoorMetrics = websocket.app.state.metrics
    websocket.app.state.listeners += 1
    metrics.listeners.inc()
    try:
        await websocket.accept()
        await _serve(websocket, principal, position)
    finally:
        websocket.app.state.listeners -= 1
        metrics.listeners.dec()


async def _let_in(websocket: WebSocket) -> Principal:
    principal = await recognise(websocket)
    if principal.by_cookie:
        check_origin(websocket)  # browsers apply no same-origin rule to WebSockets
    demand(principal, Permission.WATCH_CALLS)
    if websocket.app.state.listeners >= MOST_LISTENERS:
        raise TooMany("too many live listeners", remedy="close some pages and try again", retry_after=5)
    return principal


async def _start(websocket: WebSocket) -> int:
    asked = websocket.query_params.get("after")
    if asked is None:
        last: int = await websocket.app.state.house.events.last_number()
        return last
    if not asked.isascii() or not asked.isdecimal() or len(asked) > 18:
        raise BadInput(
            "is not an event number",
            field="after",
            shape=describe_shape(asked),
            remedy="send the number of the last event you have, or 0 for all",
        )
    return int(asked)


async def _serve(websocket: WebSocket, principal: Principal, position: int) -> None:
    sender = asyncio.create_task(_send_events(websocket, principal, position))
    listener = asyncio.create_task(_until_gone(websocket))
    try:
        await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sender, listener):
            task.cancel()
        results = await asyncio.gather(sender, listener, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


async def _until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _send_events(websocket: WebSocket, principal: Principal, position: int) -> None:
    feed = websocket.app.state.house.events
    clock = websocket.app.state.house.clock
    checked = clock.monotonic()
    alive = checked
    while True:
        if clock.monotonic() - checked >= SIGN_OF_LIFE_SECONDS:
            checked = clock.monotonic()
            if (code := await _shut_out(websocket)) is not None:
                await websocket.close(code)
                return
        events: Sequence[LoggedEvent] = await feed.read_after(position, limit=BATCH)
        if events:
            position = events[-1].number
        if events or clock.monotonic() - alive >= SIGN_OF_LIFE_SECONDS:
            alive = clock.monotonic()
            batch = EventBatch(last=position, events=[event_as_seen(event, principal) for event in events])
            await websocket.send_text(batch.model_dump_json())
        if len(events) < BATCH:
            await feed.wait(position, OTHER_NODES_SECONDS)


async def _shut_out(websocket: WebSocket) -> int | None:
    """The close code when the session ended or the role was taken away meanwhile."""
    try:
        demand(await recognise(websocket), Permission.WATCH_CALLS)
    except NotSignedIn:
        return SESSION_ENDED
    except NotAllowed:
        return ROLE_LOST
    return None
