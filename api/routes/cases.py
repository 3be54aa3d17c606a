"""Cases: the list, one case, its attempts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.guard import Principal, TheHouse, may
from api.permissions import Permission
from api.problems import NotThere, documented
from api.shapes import After, AttemptPage, AttemptShape, CaseLine, CasePage, CaseShape, Id, Limit, many

router = APIRouter(prefix="/cases", tags=["cases"])

SeesCases = Annotated[Principal, Depends(may(Permission.SEE_CASES))]
Text = Annotated[str | None, Query(min_length=1, max_length=64)]


@router.get("", responses=documented(401, 403, 422))
async def list_cases(
    house: TheHouse,
    _principal: SeesCases,
    after: After = None,
    limit: Limit = 50,
    client: Text = None,
    placement_id: Text = None,
    search: Annotated[
        str | None, Query(min_length=1, max_length=64, description="Start of the client's own case number")
    ] = None,
) -> CasePage:
    """The newest cases first, a page at a time."""
    page = await house.cases.list(after=after, limit=limit, client=client, placement_id=placement_id, search=search)
    return CasePage(items=many(CaseLine, page.items), after=page.after)


@router.get("/{case_id}", responses=documented(401, 403, 404, 422))
async def show_case(case_id: Id, house: TheHouse, principal: SeesCases) -> CaseShape:
    """One case: numbers, next action, attempts and refusals, recordings, timeline."""
    view = await house.cases.one(case_id)
    if view is None:
        raise no_such_case()
    return CaseShape.of(view, principal.sees)


@router.get("/{case_id}/attempts", responses=documented(401, 403, 404, 422))
async def list_attempts(
    case_id: Id, house: TheHouse, principal: SeesCases, after: After = None, limit: Limit = 50
) -> AttemptPage:
    """Every attempt on the case, refused ones included, the newest first."""
    page = await house.cases.attempts(case_id, after, limit)
    return AttemptPage(items=[AttemptShape.of(attempt, principal.sees) for attempt in page.items], after=page.after)


def no_such_case() -> NotThere:
    return NotThere("there is no such case", field="case_id", remedy="take the id from the list of cases")
