"""Why a file, a row or a field was not taken. Shapes, never values."""

from __future__ import annotations

from dataclasses import dataclass

from config.errors import BadInput, describe_shape


class FileUnreadable(BadInput):
    """The file is not a table we can read: missing, binary, broken, or in an encoding that cannot be told."""

    error_id = "intake-file-unreadable"


class HeaderUnknown(BadInput):
    """The header lacks a column that cases cannot do without."""

    error_id = "intake-header-unknown"


class FileRefused(BadInput):
    """``--strict``: a file with any bad row or field is refused whole."""

    error_id = "intake-file-refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """One thing that did not go in. ``row`` is the line a spreadsheet shows (the header is row 1)."""

    row: int
    field: str
    problem: str
    shape: str
    remedy: str


class FieldRefused(BadInput):
    """A single value is not acceptable."""

    error_id = "intake-field-refused"

    def __init__(self, problem: str, *, field: str, value: object, remedy: str) -> None:
        super().__init__(problem, field=field, shape=describe_shape(value), remedy=remedy)

    def at(self, row: int) -> Rejection:
        return Rejection(
            row=row, field=self.field or "", problem=self.problem, shape=self.shape or "", remedy=self.remedy
        )
