"""Which line of the bill is which of our calls: one to one, as many as can be, at the least total difference.

Greedy matching takes the nearest line for the first call and leaves the second one with nothing; here the whole of
a number's calls and lines is matched at once (the assignment problem, by the Hungarian method).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median

from recording.bill import BillRow

_UNMATCHED = 1e9  # a pair costs less than leaving its two sides alone, always
_HINT_SECONDS = 26 * 3600  # a wrong time zone shifts by less


@dataclass(frozen=True, kw_only=True, slots=True)
class BilledCall:
    """What matching needs of a call of ours. ``starts``: the moments a carrier may call its start (INVITE, answer)."""

    call_id: str
    callee: str
    starts: tuple[datetime, ...]
    seconds: float


def as_called(rows: Sequence[BillRow], called: Collection[str]) -> list[BillRow]:
    """Rows whose digits may be several numbers, as the one among them that we called; else as they were read."""
    return [
        row
        if row.callee in called
        else next((replace(row, callee=one, or_else=()) for one in row.or_else if one in called), row)
        for row in rows
    ]


def match_bill(
    calls: Sequence[BilledCall], rows: Sequence[BillRow], tolerance_seconds: float
) -> list[tuple[BilledCall, BillRow]]:
    """Pairs whose numbers are equal and whose starts differ by at most the tolerance."""
    rows_of: dict[str, list[BillRow]] = defaultdict(list)
    for row in rows:
        rows_of[row.callee].append(row)
    calls_of: dict[str, list[BilledCall]] = defaultdict(list)
    for call in calls:
        if call.callee in rows_of:
            calls_of[call.callee].append(call)
    pairs = []
    for callee, ours in calls_of.items():
        pairs += _match_number(ours, rows_of[callee], tolerance_seconds)
    return pairs


def clock_difference(calls: Sequence[BilledCall], rows: Sequence[BillRow]) -> float | None:
    """Seconds the bill is ahead of us, by numbers that occur once on both sides. None when too few agree."""
    ours = _single({call.callee: 0 for call in calls}, [(call.callee, call.starts) for call in calls])
    theirs = _single({row.callee: 0 for row in rows}, [(row.callee, row.starts) for row in rows])
    ahead = [
        min(((there - here).total_seconds() for there in theirs[number] for here in ours[number]), key=abs)
        for number in ours.keys() & theirs.keys()
    ]
    ahead = [seconds for seconds in ahead if abs(seconds) <= _HINT_SECONDS]
    if len(ahead) < 3:
        return None
    middle = median(ahead)
    agreeing = sum(abs(seconds - middle) <= 120 for seconds in ahead)
    return middle if agreeing * 2 > len(ahead) else None


def _single(
    counts: dict[str, int], found: Sequence[tuple[str, tuple[datetime, ...]]]
) -> dict[str, tuple[datetime, ...]]:
    for number, _ in found:
        counts[number] += 1
    return {number: starts for number, starts in found if counts[number] == 1}


def _match_number(calls: list[BilledCall], rows: list[BillRow], tolerance: float) -> list[tuple[BilledCall, BillRow]]:
    """Split at silences longer than the tolerance, so that a busy number's year is many small problems."""
    events = sorted(
        [(call.starts[0].timestamp(), 0, at) for at, call in enumerate(calls)]
        + [(row.starts[0].timestamp(), 1, at) for at, row in enumerate(rows)]
    )
    spread = max(
        [(max(call.starts) - min(call.starts)).total_seconds() for call in calls]
        + [(max(row.starts) - min(row.starts)).total_seconds() for row in rows]
    )
    pairs: list[tuple[BilledCall, BillRow]] = []
    group: list[tuple[float, int, int]] = []
    for event in [*events, (float("inf"), 0, -1)]:
        if group and event[0] - group[-1][0] > tolerance + 2 * spread:
            ours = [calls[at] for _, side, at in group if side == 0]
            theirs = [rows[at] for _, side, at in group if side == 1]
            pairs += _assign(ours, theirs, tolerance)
            group = []
        group.append(event)
    return pairs


def _assign(calls: list[BilledCall], rows: list[BillRow], tolerance: float) -> list[tuple[BilledCall, BillRow]]:
    if not calls or not rows:
        return []
    costs = [[_cost(call, row, tolerance) for row in rows] for call in calls]
    if len(calls) > len(rows):
        turned = [list(column) for column in zip(*costs, strict=True)]
        chosen = [(call, row) for row, call in enumerate(_hungarian(turned))]
    else:
        chosen = list(enumerate(_hungarian(costs)))
    return [(calls[call], rows[row]) for call, row in chosen if costs[call][row] < _UNMATCHED]


def _cost(call: BilledCall, row: BillRow, tolerance: float) -> float:
    apart = min(abs((here - there).total_seconds()) for here in call.starts for there in row.starts)
    return _UNMATCHED if apart > tolerance else apart + abs(call.seconds - row.seconds)


def _hungarian(costs: list[list[float]]) -> list[int]:
    """For each row the column of a cheapest assignment; rows ≤ columns. Kuhn and Munkres, with potentials, O(n²m)."""
    count, width = len(costs), len(costs[0])
    row_price, column_price = [0.0] * (count + 1), [0.0] * (width + 1)
    owner, came_from = [0] * (width + 1), [0] * (width + 1)
    for row in range(1, count + 1):
        owner[0], column = row, 0
        slack, used = [float("inf")] * (width + 1), [False] * (width + 1)
        while owner[column]:
            used[column] = True
            here, step, following = owner[column], float("inf"), 0
            for other in range(1, width + 1):
                if used[other]:
                    continue
                cost = costs[here - 1][other - 1] - row_price[here] - column_price[other]
                if cost < slack[other]:
                    slack[other], came_from[other] = cost, column
                if slack[other] < step:
                    step, following = slack[other], other
            for other in range(width + 1):
                if used[other]:
                    row_price[owner[other]] += step
                    column_price[other] -= step
                else:
                    slack[other] -= step
            column = following
        while column:
            owner[column] = owner[came_from[column]]
            column = came_from[column]
    found = [0] * count
    for column in range(1, width + 1):
        if owner[column]:
            found[owner[column] - 1] = column - 1
    return found
