"""A case on the bench: three own numbers, a sister, a friend; Shenyang's clock; plain hours or whatever a test wants."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from case_store.model import Channel, NextAction
from case_store.workflow import CaseEvent, CaseState, FixedHours, NumberTrack, OutcomeCode, Rules, apply, open_case
from config.calendars import Calendar, zone
from config.settings import WorkflowSettings

SHANGHAI = zone("Asia/Shanghai")
MONDAY = datetime(2026, 3, 2, 10, 0, tzinfo=SHANGHAI)  # a plain week, no holidays near

NUMBERS = (
    NumberTrack(id="friend", contact_id="friend", channel=Channel.EMERGENCY),
    NumberTrack(id="home", contact_id="debtor", channel=Channel.HOME),
    NumberTrack(id="sister", contact_id="sister", channel=Channel.RELATIVE),
    NumberTrack(id="mobile", contact_id="debtor", channel=Channel.MOBILE),
    NumberTrack(id="work", contact_id="debtor", channel=Channel.WORKPLACE),
)


class Bench:
    """Drives one case; ``say`` reports an outcome some days and hours after Monday 10:00."""

    def __init__(
        self,
        *,
        numbers: tuple[NumberTrack, ...] = NUMBERS,
        balance: str = "1000",
        settings: WorkflowSettings | None = None,
        shut: Any = None,
        start: datetime = MONDAY,
        term_ends_on: date | None = None,
    ) -> None:
        self.start = start
        zone_name = str(start.tzinfo)
        self.clock = zone(zone_name)
        self.rules = Rules(
            calendar=Calendar("CN"),
            slots=FixedHours(self.clock, shut=shut),
            settings=settings or WorkflowSettings(),
        )
        self.state: CaseState = open_case(
            case_id="case",
            zone_name=zone_name,
            entrusted_at=start,
            balance=Decimal(balance),
            currency="CNY",
            numbers=numbers,
            rules=self.rules,
            term_ends_on=term_ends_on,
        )

    def say(self, outcome: str, number: str | None = None, *, day: int = 0, hour: float = 0, **details: Any) -> Bench:
        at = self.start + timedelta(days=day, hours=hour)
        if isinstance(details.get("amount"), str):
            details["amount"] = Decimal(details["amount"])
        event = CaseEvent(outcome=OutcomeCode(outcome), at=at, number_id=number, **details)
        self.state = apply(self.state, event, self.rules)
        return self

    def swept(self, outcome: str = "NO_ANSWER", *, but: tuple[str, ...] = ()) -> Bench:
        """Every number but ``but`` was tried once with this outcome, some minutes apart."""
        for place, number in enumerate(each.id for each in NUMBERS if each.id not in but):
            self.say(outcome, number, hour=0.1 * (place + 1))
        return self

    @property
    def next(self) -> NextAction:
        assert self.state.next_action is not None
        return self.state.next_action

    def opens(self) -> datetime:
        return self.next.earliest.astimezone(self.clock)

    def closes(self) -> datetime:
        return self.next.latest.astimezone(self.clock)

    def window_days(self) -> tuple[int, int]:
        """First and last day of the window, counted from the start's local day; the closing instant is excluded."""
        last = (self.closes() - timedelta(seconds=1)).date()
        return (self.opens().date() - self.start.date()).days, (last - self.start.date()).days

    def notices(self) -> list[str]:
        return [notice.kind.value for notice in self.state.notices]
