"""What the store knows of the floor: calls without an end, and a campaign's tally. For doors without a dialer beside them."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select

from case_store.attempts import in_flight
from case_store.database import Database
from case_store.model import Channel
from case_store.tables import attempts, calls, campaign_days, numbers, users
from case_store.views import CampaignTally, OngoingCall

_LONGEST_CALL = timedelta(hours=6)


class FloorReading:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def ongoing(self, now: datetime, limit: int = 500) -> tuple[OngoingCall, ...]:
        """Calls placed within six hours that have no end, the newest first."""
        query = (
            select(
                calls.c.id,
                calls.c.case_id,
                attempts.c.campaign_id,
                attempts.c.e164,
                numbers.c.channel,
                calls.c.ringing_at,
                calls.c.early_media_at,
                calls.c.bridged_at,
                calls.c.placed_at,
                calls.c.answered_at,
                func.coalesce(users.c.display_name, calls.c.agent_id).label("agent"),
            )
            .join(attempts, attempts.c.id == calls.c.attempt_id)
            .join(numbers, numbers.c.id == calls.c.number_id)
            .outerjoin(users, users.c.id == calls.c.agent_id)
            .where(calls.c.placed_at > now - _LONGEST_CALL, calls.c.ended_at.is_(None))
            .order_by(calls.c.placed_at.desc(), calls.c.id.desc())
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            OngoingCall(
                call_id=row.id,
                case_id=row.case_id,
                campaign_id=row.campaign_id,
                e164=row.e164,
                channel=Channel(row.channel),
                state=_state(row.bridged_at, row.answered_at, row.early_media_at, row.ringing_at),
                agent=row.agent,
                placed_at=row.placed_at,
                answered_at=row.answered_at,
            )
            for row in rows
        )

    async def tally(self, campaign_id: str) -> CampaignTally:
        """Read from its days: as cheap after a year as on the first day."""
        days = campaign_days.c
        totals = select(*(func.coalesce(func.sum(days[name]), 0) for name in ("attempted", "answered", "abandoned")))
        flying = in_flight(campaign_id)
        async with self._database.read() as connection:
            attempted, answered, abandoned = (
                await connection.execute(totals.where(days.campaign_id == campaign_id))
            ).one()
            calls_now = (await connection.execute(flying)).scalar_one()
        return CampaignTally(attempted=attempted, answered=answered, abandoned=abandoned, in_flight=calls_now)


def _state(bridged: object, answered: object, early: object, ringing: object) -> str:
    marks = (("bridged", bridged), ("answered", answered), ("early", early), ("ringing", ringing))
    return next((name for name, at in marks if at is not None), "placed")
