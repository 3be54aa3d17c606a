"""Placements: load a client's file, see how far its first sweep got."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, UploadFile

from api.guard import Principal, TheHouse, may
from api.permissions import Permission
from api.problems import NotThere, documented
from api.shapes import After, CoverageShape, Id, IntakeShape, Limit, PlacementPage
from config.errors import BadInput, describe_shape

router = APIRouter(prefix="/placements", tags=["placements"])

SeesCoverage = Annotated[Principal, Depends(may(Permission.SEE_COVERAGE))]
_SUFFIXES = (".csv", ".xlsx")
_CHUNK = 1 << 20


@router.get("", responses=documented(401, 403, 422))
async def list_placements(
    house: TheHouse, principal: SeesCoverage, after: After = None, limit: Limit = 50
) -> PlacementPage:
    """The newest first, each with its coverage."""
    page = await house.cases.placements(after, limit)
    return PlacementPage(items=[CoverageShape.of(view, principal.sees) for view in page.items], after=page.after)


@router.get("/{placement_id}/coverage", responses=documented(401, 403, 404, 422))
async def show_coverage(placement_id: Id, house: TheHouse, principal: SeesCoverage) -> CoverageShape:
    """How many numbers were attempted, refused and why, and which are still untried."""
    view = await house.cases.coverage(placement_id)
    if view is None:
        raise NotThere("there is no such placement", field="placement_id", remedy="take the id from /placements")
    return CoverageShape.of(view, principal.sees)


@router.post("", status_code=201, responses=documented(401, 403, 409, 413, 422, 503))
async def load_placement(
    file: UploadFile,
    house: TheHouse,
    principal: Annotated[Principal, Depends(may(Permission.LOAD_PLACEMENTS))],
    client: Annotated[str, Query(min_length=1, max_length=64, description="Who entrusts: a client in settings")],
    dry_run: Annotated[bool, Query(description="Judge every row, write nothing")] = False,
    strict: Annotated[bool, Query(description="Refuse the whole file for one bad row")] = False,
) -> IntakeShape:
    """Load a CSV or XLSX file. Good rows go in together; bad ones come back, each with its field and remedy."""
    name = Path(file.filename or "").name
    suffix = Path(name).suffix.lower()
    if suffix not in _SUFFIXES or len(name) > 200:
        raise BadInput(
            "is not a placement file", field="file", shape=describe_shape(name), remedy="send a .csv or .xlsx file"
        )
    with tempfile.NamedTemporaryFile(suffix=suffix, prefix="placement-") as kept:
        while chunk := await file.read(_CHUNK):
            kept.write(chunk)
        kept.flush()
        report = await house.intake.load(Path(kept.name), name=name, client=client, dry_run=dry_run, strict=strict)
    if not dry_run:
        await house.events.append(
            "placement.loaded",
            house.clock.now(),
            subject_id=report.placement_id,
            actor=principal.name,
            placement_id=report.placement_id,
            rows=report.rows,
            rejected=len(report.rejected),
        )
    return IntakeShape.model_validate(report)
