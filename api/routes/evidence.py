"""Evidence packs: one person asks, another one approves and gets the pack. Both are known by their log-in."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from api.guard import Principal, TheHouse, demand, may
from api.house import Evidence, House
from api.permissions import Permission
from api.problems import NotThere, documented
from api.shapes import Id
from config.errors import Refused

router = APIRouter(prefix="/recordings/{recording_id}/evidence", tags=["recordings"])

Officer = Annotated[Principal, Depends(may(Permission.GIVE_EVIDENCE))]


RequestNumber = Annotated[int, InPath(ge=1, le=2**53, description="The number that asking gave")]


class NoEvidenceDesk(Refused):
    """This house keeps no proofs."""

    error_id = "no-evidence-here"


class EvidenceWish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=3, max_length=300, description="What the evidence is for")]
    unmasked: Annotated[
        bool, Field(description="With the master although something is masked: compliance only, both people")
    ] = False


class EvidenceAsked(BaseModel):
    request: int = Field(description="Another person approves this number")
    recording_id: str


@router.post("", status_code=201, responses=documented(401, 403, 404, 409, 422))
async def ask(recording_id: Id, wish: EvidenceWish, house: TheHouse, principal: Officer) -> EvidenceAsked:
    """Ask for a pack: kept in the audit log under the asker's name."""
    desk = await _desk(house, recording_id)
    if wish.unmasked:
        demand(principal, Permission.GIVE_UNMASKED)
    number = await desk.ask(
        recording_id, actor=principal.name, reason=wish.reason, now=house.clock.now(), unmasked=wish.unmasked
    )
    return EvidenceAsked(request=number, recording_id=recording_id)


@router.post(
    "/{request}/approval",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, **documented(401, 403, 404, 409, 422)},
)
async def approve(recording_id: Id, request: RequestNumber, house: TheHouse, principal: Officer) -> Response:
    """Approve a request of somebody else and get its pack. Whoever asked is refused."""
    desk = await _desk(house, recording_id)
    with tempfile.TemporaryDirectory(prefix="onrecord-pack-") as folder:
        out = Path(folder) / "pack.zip"
        await desk.pack(
            recording_id,
            request,
            approver=principal.name,
            out=out,
            now=house.clock.now(),
            may_unmask=Permission.GIVE_UNMASKED in principal.permissions,
        )
        data = await asyncio.to_thread(out.read_bytes)
    headers = {"Content-Disposition": f'attachment; filename="{recording_id}.zip"', "Cache-Control": "no-store"}
    return Response(data, media_type="application/zip", headers=headers)


async def _desk(house: House, recording_id: str) -> Evidence:
    if house.evidence is None:
        raise NoEvidenceDesk("no evidence is given out here", remedy="ask a node with the vault")
    if await house.recordings.one(recording_id) is None:
        raise NotThere("there is no such recording", field="recording_id", remedy="take the id from the case")
    return house.evidence
