"""Recordings: their facts, their sound by byte range, their waveform. Every listening is in the event log first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.guard import Principal, TheHouse, may
from api.house import House, Masking, Sound
from api.permissions import Permission
from api.problems import NotThere, documented
from api.ranges import ByteRange, asked_range
from api.shapes import After, Id, Limit, PeaksShape, RecordingPage, RecordingShape, many
from api.surroundings import DoorMetrics
from case_store.audit_chain import AuditFact
from case_store.views import RecordingView
from config.errors import Refused
from recording.masking import MaskOrder

router = APIRouter(prefix="/recordings", tags=["recordings"])

_AUDIBLE = frozenset({"sealed", "empty"})


class NotAudible(Refused):
    """The recording is still being made, could not be sealed, or was disposed of."""

    error_id = "recording-not-audible"


Why = Annotated[str, Query(min_length=1, max_length=200, description="What for: kept in the audit log")]
Listens = Annotated[Principal, Depends(may(Permission.LISTEN))]

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_SOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole recording", "content": {"audio/flac": _BYTES}},
    206: {"description": "The bytes asked for", "content": {"audio/flac": _BYTES}},
    304: {"description": "The copy you have is the same"},
    **documented(401, 403, 404, 409, 416, 422, 503),
}


@router.get("", responses=documented(401, 403, 422))
async def list_recordings(
    house: TheHouse,
    _principal: Annotated[Principal, Depends(may(Permission.SEE_CASES))],
    after: After = None,
    limit: Limit = 50,
    case_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
) -> RecordingPage:
    """The newest first; of one case when it is named."""
    page = await house.recordings.list(case_id=case_id, after=after, limit=limit)
    return RecordingPage(items=many(RecordingShape, page.items), after=page.after)


@router.get("/{recording_id}", responses=documented(401, 403, 404, 422))
async def show_recording(
    recording_id: Id, house: TheHouse, _principal: Annotated[Principal, Depends(may(Permission.SEE_CASES))]
) -> RecordingShape:
    return RecordingShape.model_validate(await _found(house, recording_id))


@router.get("/{recording_id}/peaks", responses=documented(401, 403, 404, 409, 422, 503))
async def show_peaks(recording_id: Id, house: TheHouse, _principal: Listens) -> PeaksShape:
    """The waveform of both channels, so that a browser need not decode the sound to draw it."""
    _sealed(await _found(house, recording_id))
    peaks = await house.tapes.peaks(recording_id)
    return PeaksShape(per_second=peaks.per_second, channels=[list(channel) for channel in peaks.channels])


class MaskWish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_ms: Annotated[int, Field(ge=0, description="Where the sensitive moment begins")]
    to_ms: Annotated[int | None, Field(ge=1, description="Where it ends; none: with the recording")] = None
    reason: Annotated[str, Field(min_length=3, max_length=300, description="Why: signed and audited")]


class MaskShape(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    start_ms: int
    end_ms: int | None
    actor: str
    reason: str


class MasksShape(BaseModel):
    recording_id: str
    masks: list[MaskShape]


class NoMaskingDesk(Refused):
    """This house keeps no vault."""

    error_id = "no-masking-here"


@router.get("/{recording_id}/masks", responses=documented(401, 403, 404, 409, 422, 503))
async def show_masks(recording_id: Id, house: TheHouse, _principal: Listens) -> MasksShape:
    """Every masked stretch, with who did it and why."""
    _sealed(await _found(house, recording_id))
    masks = await _masking(house).masks(recording_id)
    return MasksShape(recording_id=recording_id, masks=many(MaskShape, masks))


@router.post("/{recording_id}/masks", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
async def mask(
    recording_id: Id,
    wish: MaskWish,
    house: TheHouse,
    principal: Annotated[Principal, Depends(may(Permission.MASK_RECORDINGS))],
) -> MasksShape:
    """A sensitive moment noticed after the call: silent from now on in all that is played and given out.

    The sealed master stays as it is. A mask cannot be taken back; the master is given out by two people as evidence.
    """
    _sealed(await _found(house, recording_id))
    order = MaskOrder(
        recording_id=recording_id,
        from_ms=wish.from_ms,
        to_ms=wish.to_ms,
        actor=principal.name,
        reason=wish.reason,
        at=house.clock.now(),
    )
    masks = await _masking(house).mask(order)
    await house.events.append(
        "recording.masked",
        order.at,
        subject_id=recording_id,
        actor=principal.name,
        from_ms=wish.from_ms,
        to_ms=wish.to_ms,
    )
    return MasksShape(recording_id=recording_id, masks=many(MaskShape, masks))


def _masking(house: House) -> Masking:
    if house.masking is None:
        raise NoMaskingDesk("nothing can be masked here", remedy="ask a node with the vault")
    return house.masking


@router.get("/{recording_id}/audio", response_class=Response, responses=_SOUND)
async def listen(
    recording_id: Id, request: Request, house: TheHouse, principal: Listens, reason: Why = "review"
) -> Response:
    """The sound, whole or by one byte range (RFC 9110 section 14). The ETag is the recording's SHA-256."""
    return await _answer(recording_id, request, house, principal, reason)


@router.head("/{recording_id}/audio", response_class=Response, responses=_SOUND)
async def measure(recording_id: Id, request: Request, house: TheHouse, principal: Listens) -> Response:
    """Size, type and ETag without a byte of sound."""
    return await _answer(recording_id, request, house, principal, "")


async def _answer(recording_id: str, request: Request, house: House, principal: Principal, reason: str) -> Response:
    view = _sealed(await _found(house, recording_id))
    sound = await house.tapes.sound(recording_id)
    size = sound.size
    etag = f'"{sound.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Disposition": f'inline; filename="{view.id}.{sound.suffix}"',
    }
    if _names(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    unchanged = request.headers.get("if-range", etag) == etag
    part = asked_range(request.headers.get("range") if unchanged else None, size)
    sent = part or ByteRange(0, size - 1)
    headers["Content-Length"] = str(sent.length)
    if part is not None:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{size}"
    status = 206 if part is not None else 200
    if request.method == "HEAD" or sent.length == 0:
        return Response(status_code=status, headers=headers, media_type=sound.media_type)
    await _note_listening(house, principal, view, sent, sound, reason)
    metrics: DoorMetrics = request.app.state.metrics
    stream = _stream(house, view, sent, metrics)
    return StreamingResponse(stream, status_code=status, headers=headers, media_type=sound.media_type)


def _names(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return etag in tags or "*" in tags


async def _note_listening(
    house: House, principal: Principal, view: RecordingView, sent: ByteRange, sound: Sound, reason: str
) -> None:
    """Audited before the first byte leaves. Seconds are those of an even spread of bytes over the sound."""
    now, size = house.clock.now(), sound.size
    first_ms = round((view.seconds or 0.0) * 1000 * sent.first / size)
    last_ms = round((view.seconds or 0.0) * 1000 * (sent.last + 1) / size)
    detail = {
        "call_id": view.call_id,
        "case_id": view.case_id,
        "file": sound.kind,
        "first_byte": sent.first,
        "last_byte": sent.last,
        "from_ms": first_ms,
        "to_ms": last_ms,
        "reason": reason,
    }
    fact = AuditFact(at=now, actor=principal.name, action="recording.listened", subject=view.id, detail=detail)
    await house.audit.append([fact], now)
    await house.events.append(
        "recording.listened",
        now,
        case_id=view.case_id,
        subject_id=view.id,
        actor=principal.name,
        call_id=view.call_id,
        recording_id=view.id,
        first_byte=sent.first,
        last_byte=sent.last,
        from_second=round(first_ms / 1000, 1),
        to_second=round(last_ms / 1000, 1),
        reason=reason,
    )


async def _stream(house: House, view: RecordingView, sent: ByteRange, metrics: DoorMetrics) -> AsyncIterator[bytes]:
    chunks = house.tapes.open_range(view.id, sent.first, sent.last)
    async for chunk in chunks:
        metrics.listened.inc(len(chunk))
        yield chunk


async def _found(house: House, recording_id: str) -> RecordingView:
    view = await house.recordings.one(recording_id)
    if view is None:
        raise NotThere(
            "there is no such recording", field="recording_id", remedy="take the id from the case or the list"
        )
    return view


def _sealed(view: RecordingView) -> RecordingView:
    if view.state not in _AUDIBLE:
        raise NotAudible(
            f"the recording is {view.state}", field="recording_id", remedy="armed ones are sealed soon after their call"
        )
    return view
