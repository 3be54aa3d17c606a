"""Errors as RFC 9457 problem+json. The error tree of ``config.errors`` decides the status; nothing else does.

BadInput        422   what was sent is wrong: field, shape, remedy
NotSignedIn     401   no open session
NotAllowed      403   the role may not do this; CsrfMissing and ForeignOrigin are of this kind
NotThere        404   no such thing, or none you may see
Refused         409   a rule of the product says no
TooLarge        413   the body is over its bound
RangeOutside    416   the recording is shorter than the range
TooMany         429   wait, then try again
Unhealthy       503   a part that must work does not
InvariantBroken 500   our fault
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from config.errors import BadInput, InvariantBroken, OnrecordError, Refused, Unhealthy, describe_shape

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"


class NotSignedIn(OnrecordError):
    """Nobody is logged in, or the session ended."""

    error_id = "not-signed-in"


class WrongCredentials(NotSignedIn):
    """The name and the password do not belong together. Does not say which one is wrong."""

    error_id = "wrong-credentials"


class NotAllowed(OnrecordError):
    """The person's roles do not include this."""

    error_id = "not-allowed"


class NotYourDesk(NotAllowed):
    """Somebody else's desk or call."""

    error_id = "not-your-desk"


class CsrfMissing(NotAllowed):
    """A cookie session changed something without its ``X-CSRF-Token``."""

    error_id = "csrf-missing"


class ForeignOrigin(NotAllowed):
    """A page of another site asked."""

    error_id = "foreign-origin"


class NotThere(OnrecordError):
    error_id = "not-found"


class TooLarge(OnrecordError):
    error_id = "body-too-large"


class TooMany(OnrecordError):
    """Asked too often. ``retry_after`` is in whole seconds."""

    error_id = "too-many-attempts"

    def __init__(self, problem: str, *, remedy: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(problem, remedy=remedy)


class RangeOutside(OnrecordError):
    """No byte of the asked range exists. ``size`` is that of the whole."""

    error_id = "range-not-satisfiable"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(
            "the range lies outside the recording", field="Range", remedy=f"ask for bytes within 0-{max(0, size - 1)}"
        )


class WrongMethod(OnrecordError):
    error_id = "method-not-allowed"


class Unexpected(OnrecordError):
    """A fault nobody foresaw; the log has it under the same reference."""

    error_id: ClassVar[str] = "internal"


_STATUS: tuple[tuple[type[OnrecordError], int], ...] = (
    (NotSignedIn, 401),
    (NotAllowed, 403),
    (NotThere, 404),
    (WrongMethod, 405),
    (TooLarge, 413),
    (RangeOutside, 416),
    (TooMany, 429),
    (BadInput, 422),
    (Refused, 409),
    (Unhealthy, 503),
    (InvariantBroken, 500),
)


class FieldProblem(BaseModel):
    """One input at fault, when a request has several."""

    field: str
    problem: str
    shape: str | None = None


class Problem(BaseModel):
    """RFC 9457 problem details. ``error_id`` is stable: programs decide by it, people read ``title`` and ``remedy``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:onrecord:error:not-found",
                    "title": "there is no such case",
                    "status": 404,
                    "error_id": "not-found",
                    "field": "case_id",
                    "remedy": "take the id from the list of cases",
                }
            ]
        }
    )

    type: str = Field(description="urn:onrecord:error:<error_id>")
    title: str = Field(description="What is wrong")
    status: int
    error_id: str = Field(description="Stable, kebab-case")
    field: str | None = Field(default=None, description="The input at fault")
    shape: str | None = Field(default=None, description="How its value looked, without repeating it")
    remedy: str = Field(description="What to do")
    errors: list[FieldProblem] | None = Field(default=None, description="All inputs at fault, when there are several")


def status_of(error: OnrecordError) -> int:
    """The HTTP status of an error: that of the first class in the tree above it belongs to, else 500.

    Rooms below the doors name a missing thing ``unknown-…`` (unknown-case, unknown-campaign): that is a 404 too.
    """
    if error.error_id.startswith("unknown-"):
        return 404
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_response(error: OnrecordError, errors: list[FieldProblem] | None = None) -> Response:
    """The answer for an error, with the headers its status wants."""
    status = status_of(error)
    body = Problem(
        type=f"urn:onrecord:error:{error.error_id}",
        title=error.problem,
        status=status,
        error_id=error.error_id,
        field=error.field,
        shape=error.shape,
        remedy=error.remedy,
        errors=errors,
    )
    return JSONResponse(
        body.model_dump(mode="json", exclude_none=True),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=_headers(error, status),
    )


def _headers(error: OnrecordError, status: int) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="onrecord"'
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RangeOutside):
        headers["Content-Range"] = f"bytes */{error.size}"
    return headers


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route: which problems it may answer with."""
    return {status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses}


def answer_with_problems(app: FastAPI) -> None:
    """Make every error of ``app`` a problem+json."""
    app.add_exception_handler(OnrecordError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, OnrecordError)
    if status_of(error) >= 500:
        log.error("a request failed", error_id=error.error_id, path=request.url.path, exc_info=error)
    return problem_response(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        FieldProblem(field=_place(one["loc"]), problem=one["msg"], shape=describe_shape(one.get("input")))
        for one in error.errors()[:20]
    ]
    first = faults[0]
    return problem_response(
        BadInput(first.problem, field=first.field, shape=first.shape, remedy="correct the field and send it again"),
        faults,
    )


def _place(location: tuple[Any, ...]) -> str:
    parts = [str(part) for part in location if part not in ("body", "query", "path", "header")]
    return ".".join(parts)[:120] or str(location[0] if location else "body")


_HTTP_ERRORS: Mapping[int, tuple[type[OnrecordError], str, str]] = {
    404: (NotThere, "there is nothing at this address", "see /api/v1/openapi.json for what there is"),
    405: (WrongMethod, "this address does not take this method", "see the Allow header"),
    413: (TooLarge, "the request is too large", "send less at a time"),
}


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind, problem, remedy = _HTTP_ERRORS.get(
        error.status_code, (BadInput, "the request cannot be read", "see /api/v1/openapi.json")
    )
    response = problem_response(kind(problem, remedy=remedy))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def _unforeseen(request: Request, error: Exception) -> Response:
    # Starlette logs and re-raises after this answer, so the traceback is kept.
    return problem_response(
        Unexpected("something failed inside", remedy="try again; if it stays, give the time to whoever runs the server")
    )
