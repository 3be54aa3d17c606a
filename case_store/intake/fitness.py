"""Whether a row can be read cell by cell at all, and whether a cell says that it holds nothing. The same for every file."""

from __future__ import annotations

from collections.abc import Sequence

from case_store.intake.columns import plain
from case_store.intake.errors import Rejection
from case_store.intake.rows import Row

_TOTALS = frozenset(
    ["合计", "总计", "小计", "共计", "汇总", "总和", "total", "totals", "grandtotal", "subtotal", "sum"]
)
_FAILED = frozenset(
    ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!", "#BUSY!", "########"]
)
_NOTHING = frozenset(
    ["无", "暂无", "没有", "不详", "未知", "空", "-", "--", "—", "/", "n/a", "na", "none", "null", "nil", "unknown"]
)


def unfit(row: Row, header: Sequence[str]) -> Rejection | None:
    """Why a row is no row of the table: broken, wider than the header, the header again, totals."""
    cells, width, remedy = row.cells, len(header), ""
    problem = row.problem
    if problem is not None:
        remedy = "correct its quoting"
    elif any(cells[width:]):
        problem = "the row has more cells than the header"
        remedy = "quote the cell that holds the delimiter, or give its column a header"
    elif any(cell and not title for cell, title in zip(cells, header, strict=False)):
        problem, remedy = "a cell stands under no header", "give its column a header, or empty it"
    elif cells == tuple(header):
        problem, remedy = "this is the header again", "remove the row"
    elif (word := next((cell for cell in cells if cell), "")) and plain(word) in _TOTALS:
        problem, remedy = "this is a row of totals, not a case", "remove the row"
    if problem is None:
        return None
    return Rejection(row=row.number, field="row", problem=problem, shape=f"{len(cells)} cells", remedy=remedy)


def says_nothing(text: str) -> bool:
    """无, N/A, -: somebody wrote that there is no value."""
    return text.strip().lower() in _NOTHING


def formula_failed(text: str) -> bool:
    """What a spreadsheet shows, and saves, where its formula gave no value."""
    return text in _FAILED
