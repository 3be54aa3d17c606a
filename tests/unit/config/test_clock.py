"""Half-hours of the clock, found on a scale that knows no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.clock import ShiftedClock, half_hour_began


@pytest.mark.parametrize("minutes", [0, 7, 29, 30, 31, 59])
def test_the_half_hour_under_way_began_on_the_hour_or_at_half_past(minutes: int) -> None:
    clock = ShiftedClock(datetime(2026, 3, 2, 9, tzinfo=UTC) + timedelta(minutes=minutes))
    ago = clock.monotonic() - half_hour_began(clock)
    assert ago == pytest.approx(minutes % 30 * 60.0, abs=2.0)
