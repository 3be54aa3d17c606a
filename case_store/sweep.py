"""Campaigns and their sweep: which number of which case is next, each number once, in SOP order.

One row per case and campaign holds where its sweep stands; one row per number holds that it was tried, refused or
put off. A claim reads the head of the queue's index, so its cost does not grow with cases or history. Within a
sweep the queue turns: after a try the case goes behind the others, so every case's first number comes before
anybody's second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, insert, literal, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from case_store.database import Database, Unit
from case_store.database import upsert as upsert  # for whoever speaks of the sweep already
from case_store.ledger import Candidate
from case_store.model import Channel
from case_store.network import ProgressCategory
from case_store.tables import (
    IN_FLIGHT,
    LIVE,
    REFUSED,
    attempts,
    campaign_placements,
    campaigns,
    cases,
    contacts,
    numbers,
    promises,
    sweep_cases,
    sweep_tries,
)
from case_store.verdict import Verdict
from config.errors import BadInput
from config.identity import new_id

CLAIM_SECONDS = 120
_ELBOW = timedelta(seconds=5)  # how long a case steps back when its person is on another call
_TROUBLE_PAUSE = timedelta(seconds=30)
_LONGEST_NAME = 200
_MAX_TROUBLES = 2  # attempts on one number that only found our trunk in trouble; then the sweep reports it as refused

# What the network said about the line to us, not about the number: the attempt does not count as tried.
# A busy network (503, 网络忙) is an answer about the call: the number was tried, and is redialed in another daypart.
SAYS_NOTHING = frozenset({ProgressCategory.TRUNK_TROUBLE, ProgressCategory.CANCELLED})


class UnknownCampaign(BadInput):
    error_id = "unknown-campaign"


class CampaignExists(BadInput):
    error_id = "campaign-exists"


@dataclass(frozen=True, kw_only=True, slots=True)
class Campaign:
    """``state``: running, paused or finished. ``mode``: manual, preview, progressive or predictive."""

    id: str
    name: str
    kind: str
    mode: str
    state: str
    created_at: datetime
    settings: dict[str, Any]
    placement_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepStanding:
    """How many cases of a campaign are where. ``next_due`` is when the first resting or ready case may be claimed."""

    ready: int
    claimed: int
    resting: int
    done: int
    stopped: int
    next_due: datetime | None

    @property
    def finished(self) -> bool:
        return self.ready + self.claimed + self.resting == 0


class Sweep:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        name: str,
        placement_ids: Iterable[str],
        now: datetime,
        *,
        mode: str = "progressive",
        kind: str = "sweep",
        settings: dict[str, Any] | None = None,
        state: str = "running",
    ) -> Campaign:
        """A campaign over whole placements; every open case of them joins its sweep."""
        wanted = tuple(placement_ids)
        async with self._database.write() as unit:
            taken = await unit.connection.execute(select(campaigns.c.id).where(campaigns.c.name == name))
            if taken.first() is not None:
                raise CampaignExists("a campaign of this name exists", field="name", remedy="choose another name")
            campaign = Campaign(
                id=new_id("camp"),
                name=name,
                kind=kind,
                mode=mode,
                state=state,
                created_at=now,
                settings=settings or {},
                placement_ids=wanted,
            )
            await unit.connection.execute(
                insert(campaigns).values(
                    id=campaign.id,
                    name=name,
                    kind=kind,
                    mode=mode,
                    state=state,
                    created_at=now,
                    settings=campaign.settings,
                )
            )
            for placement_id in wanted:
                await unit.connection.execute(
                    insert(campaign_placements).values(campaign_id=campaign.id, placement_id=placement_id)
                )
                await join_placement(unit, campaign.id, placement_id, now)
            unit.emit("campaign.created", now, subject_id=campaign.id, name=name, mode=mode, state=state)
        return campaign

    async def first_for(self, placement_id: str, name: str, client: str, now: datetime) -> Campaign:
        """The first sweep of a placement: the campaign that has it already, or a new, paused one of its name.

        Two banks may send ``2026-11.csv``: where the name is taken the client's stands behind it, then a number.
        """
        everywhere = await self.all()
        known = [one for one in everywhere if placement_id in one.placement_ids]
        if known:
            return known[0]
        taken = {one.name for one in everywhere}
        room = _LONGEST_NAME - len(client) - 8
        names = itertools.chain(
            [name], (f"{name[:room]} · {client}{n}" for n in ("", *map(" {}".format, range(2, 1000))))
        )
        free = next((one for one in names if one not in taken), name)
        return await self.create(free, [placement_id], now, state="paused")

    async def get(self, campaign_id: str) -> Campaign:
        """Raises ``UnknownCampaign``."""
        found = [one for one in await self.all() if campaign_id in (one.id, one.name)]
        if not found:
            raise UnknownCampaign(
                "there is no such campaign", field="campaign", remedy="list the campaigns and name one of them"
            )
        return found[0]

    async def all(self) -> tuple[Campaign, ...]:
        async with self._database.read() as connection:
            rows = (await connection.execute(select(campaigns).order_by(campaigns.c.id))).mappings().all()
            links = (await connection.execute(select(campaign_placements))).all()
        return tuple(
            Campaign(
                **{name: row[name] for name in ("id", "name", "kind", "mode", "state", "created_at", "settings")},
                placement_ids=tuple(link.placement_id for link in links if link.campaign_id == row["id"]),
            )
            for row in rows
        )

    async def change(
        self,
        campaign_id: str,
        now: datetime,
        *,
        state: str | None = None,
        mode: str | None = None,
        settings: dict[str, Any] | None = None,
    ) -> Campaign:
        """Pause, resume, finish, or switch the mode while running."""
        before = await self.get(campaign_id)
        changed = {
            key: value for key, value in (("state", state), ("mode", mode), ("settings", settings)) if value is not None
        }
        if changed:
            async with self._database.write() as unit:
                await unit.connection.execute(update(campaigns).where(campaigns.c.id == before.id).values(**changed))
                unit.emit(
                    "campaign.changed",
                    now,
                    subject_id=before.id,
                    old={key: getattr(before, key) for key in changed},
                    new=changed,
                )
        return await self.get(before.id)

    async def claim(self, campaign_id: str, limit: int, node: str, now: datetime) -> tuple[Candidate, ...]:
        """The next (case, number) pairs, at most one a case and one a person, none of them under way.

        A claim lapses after ``CLAIM_SECONDS`` unless it is booked. Cases without a number left are finished on the way.
        """
        if limit < 1:
            return ()
        claimed: list[Candidate] = []
        async with self._database.write() as unit:
            running = await unit.connection.execute(select(campaigns.c.state).where(campaigns.c.id == campaign_id))
            if running.scalar_one_or_none() != "running":
                return ()
            await self._return_lapsed(unit, campaign_id, now)
            # Each round takes a batch from the head; cases that turn out to have nothing leave the head for good.
            for _ in range(20):
                batch = await self._head(unit, campaign_id, limit - len(claimed), now)
                if not batch:
                    break
                claimed += await self._pick(unit, campaign_id, batch, node, now, taken=claimed)
                if len(claimed) >= limit:
                    break
        return tuple(claimed)

    async def candidate(self, campaign_id: str, number_id: str, *, position: int = 1) -> Candidate | None:
        """A pair outside the sweep: click-to-call, or a due next action that names its number."""
        async with self._database.read() as connection:
            row = (await connection.execute(candidate_query().where(numbers.c.id == number_id))).mappings().first()
        return None if row is None else as_candidate(row, campaign_id, position)

    async def release_claim(self, candidate: Candidate, now: datetime, *, again_at: datetime | None = None) -> None:
        """Give a claimed pair back unbooked (no line, no agent, trunk trouble); it rests until ``again_at``, when given."""
        state = "ready" if again_at is None else "resting"
        async with self._database.write() as unit:
            await unit.connection.execute(
                update(sweep_cases)
                .where(
                    sweep_cases.c.campaign_id == candidate.campaign_id,
                    sweep_cases.c.case_id == candidate.case_id,
                    sweep_cases.c.state == "claimed",
                )
                .values(state=state, due_at=again_at or now, claimed_by=None, claimed_until=None)
            )

    async def standing(self, campaign_id: str, *, at_most: int | None = None) -> SweepStanding:
        """Where the campaign's cases stand. ``at_most`` stops each count there: whoever only asks whether there is work
        does not count a million cases.
        """
        async with self._database.read() as connection:
            if at_most is not None:
                return await _standing_at_most(connection, campaign_id, at_most)
            rows = (
                await connection.execute(
                    select(sweep_cases.c.state, func.count(), func.min(sweep_cases.c.due_at))
                    .where(sweep_cases.c.campaign_id == campaign_id)
                    .group_by(sweep_cases.c.state)
                )
            ).all()
        counts = {row[0]: row[1] for row in rows}
        due = [row[2] for row in rows if row[0] in ("ready", "resting")]
        return SweepStanding(
            **{name: counts.get(name, 0) for name in ("ready", "claimed", "resting", "done", "stopped")},
            next_due=min(due) if due else None,
        )

    async def refusals(self, campaign_id: str, now: datetime) -> dict[str, int]:
        """How many numbers of a campaign each rule holds back now; those whose time has come count no more."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(sweep_tries.c.rule, func.count())
                .where(
                    sweep_tries.c.campaign_id == campaign_id,
                    sweep_tries.c.state == REFUSED,
                    or_(sweep_tries.c.again_at.is_(None), sweep_tries.c.again_at > now),
                )
                .group_by(sweep_tries.c.rule)
            )
            return {row[0] or "refused": row[1] for row in rows}

    async def _return_lapsed(self, unit: Unit, campaign_id: str, now: datetime) -> None:
        lapsed = select(sweep_cases.c.case_id).where(
            sweep_cases.c.campaign_id == campaign_id,
            sweep_cases.c.state == "claimed",
            sweep_cases.c.due_at <= now - timedelta(seconds=CLAIM_SECONDS),
        )
        flying = select(attempts.c.case_id).where(attempts.c.state.in_(IN_FLIGHT))
        await unit.connection.execute(
            update(sweep_cases)
            .where(
                sweep_cases.c.campaign_id == campaign_id,
                sweep_cases.c.case_id.in_(lapsed),
                sweep_cases.c.case_id.not_in(flying),
            )
            .values(state="ready", claimed_by=None, claimed_until=None)
        )

    async def _head(self, unit: Unit, campaign_id: str, limit: int, now: datetime) -> list[Any]:
        """Whoever is ready is ready: ``due_at`` is its place in the queue, and a clock that was set back must not make a
        whole campaign wait for the hour it had been ahead.
        """
        found: list[Any] = []
        for state, due in (("ready", true()), ("resting", sweep_cases.c.due_at <= now)):
            queue = (
                select(
                    sweep_cases.c.case_id,
                    cases.c.debtor_person_id,
                    cases.c.state,
                )
                .join(cases, cases.c.id == sweep_cases.c.case_id)
                .where(
                    sweep_cases.c.campaign_id == campaign_id,
                    sweep_cases.c.state == state,
                    due,
                )
                .order_by(sweep_cases.c.due_at, sweep_cases.c.case_id)
                .limit(limit - len(found))
                .with_for_update(skip_locked=True, of=sweep_cases)
            )
            found += (await unit.connection.execute(queue)).all()
            if len(found) >= limit:
                break
        return found

    async def _pick(
        self, unit: Unit, campaign_id: str, batch: list[Any], node: str, now: datetime, *, taken: list[Candidate]
    ) -> list[Candidate]:
        debtors = {row.debtor_person_id for row in batch}
        busy = await _busy_people(unit, debtors)
        promised = await _promised(unit, debtors)
        used = {person for one in taken for person in (one.debtor_person_id, one.person_id)}
        lines = {one.e164 for one in taken}
        untried = await _next_numbers(unit, campaign_id, [row.case_id for row in batch], now)
        picked: list[Candidate] = []
        for row in batch:
            candidate = untried.get(row.case_id)
            if row.state == "closed":
                await settle_case(unit, campaign_id, row.case_id, now, stopped="case-closed")
            elif row.state == "held":
                await settle_case(unit, campaign_id, row.case_id, now, stopped="case-held")
            elif row.debtor_person_id in promised:
                await settle_case(unit, campaign_id, row.case_id, now, rest_until=now + timedelta(hours=6))
            elif candidate is None:
                await settle_case(unit, campaign_id, row.case_id, now)
            elif {candidate.person_id, candidate.debtor_person_id} & (busy | used) or candidate.e164 in lines:
                await settle_case(unit, campaign_id, row.case_id, now, rest_until=now + _ELBOW)
            else:
                picked.append(candidate)
                used |= {candidate.person_id, candidate.debtor_person_id}
                lines.add(candidate.e164)
        if picked:
            await unit.connection.execute(
                update(sweep_cases)
                .where(
                    sweep_cases.c.campaign_id == campaign_id,
                    sweep_cases.c.case_id.in_([one.case_id for one in picked]),
                )
                .values(
                    state="claimed",
                    due_at=now,
                    claimed_by=node,
                    claimed_until=now + timedelta(seconds=CLAIM_SECONDS),
                )
            )
        return picked


async def _standing_at_most(connection: AsyncConnection, campaign_id: str, most: int) -> SweepStanding:
    """Each state from the head of its own part of the queue's index."""

    def of(state: str) -> Any:
        return select(sweep_cases.c.due_at).where(
            sweep_cases.c.campaign_id == campaign_id, sweep_cases.c.state == state
        )

    states = ("ready", "claimed", "resting", "done", "stopped")
    counts = [select(func.count()).select_from(of(state).limit(most).subquery()).scalar_subquery() for state in states]
    heads = [of(state).order_by(sweep_cases.c.due_at).limit(1).scalar_subquery() for state in ("ready", "resting")]
    row = (await connection.execute(select(*counts, *heads))).one()
    return SweepStanding(
        **dict(zip(states, row[:5], strict=True)), next_due=min((at for at in row[5:] if at is not None), default=None)
    )


async def join_placement(unit: Unit, campaign_id: str, placement_id: str, now: datetime) -> None:
    """Every open case of the placement that is not in the campaign's sweep yet joins its end."""
    there = select(sweep_cases.c.case_id).where(
        sweep_cases.c.campaign_id == campaign_id, sweep_cases.c.case_id == cases.c.id
    )
    joined = await unit.connection.execute(
        insert(sweep_cases)
        .from_select(
            ["campaign_id", "case_id", "state", "due_at"],
            select(
                literal(campaign_id),
                cases.c.id,
                literal("ready"),
                literal(now, sweep_cases.c.due_at.type),
            ).where(cases.c.placement_id == placement_id, cases.c.state == "open", ~there.exists()),
        )
        .execution_options(preserve_rowcount=True)
    )
    await unit.refresh_statistics({sweep_cases.name: joined.rowcount})


async def _busy_people(unit: Unit, people: set[str]) -> set[str]:
    rows = await unit.connection.execute(
        select(attempts.c.debtor_person_id, attempts.c.person_id).where(
            attempts.c.state.in_(IN_FLIGHT),
            or_(attempts.c.debtor_person_id.in_(people), attempts.c.person_id.in_(people)),
        )
    )
    return {person for row in rows for person in row}


async def _promised(unit: Unit, people: set[str]) -> set[str]:
    rows = await unit.connection.execute(
        select(promises.c.debtor_person_id).where(promises.c.debtor_person_id.in_(people), promises.c.state == LIVE)
    )
    return set(rows.scalars())


async def _next_numbers(unit: Unit, campaign_id: str, case_ids: list[str], now: datetime) -> dict[str, Candidate]:
    """The first live number of each case, in SOP order, that this campaign has not tried (or may try again by now)."""
    rows = await unit.connection.execute(
        candidate_query()
        .add_columns(sweep_tries.c.state.label("try_state"), sweep_tries.c.again_at)
        .outerjoin(sweep_tries, and_(sweep_tries.c.campaign_id == campaign_id, sweep_tries.c.number_id == numbers.c.id))
        .where(numbers.c.case_id.in_(case_ids), numbers.c.state == LIVE)
        .order_by(numbers.c.case_id, numbers.c.sop_rank, numbers.c.id)
    )
    first: dict[str, Candidate] = {}
    tried: dict[str, int] = {}
    for row in rows.mappings():
        case_id = row["case_id"]
        if row["try_state"] is not None:
            tried[case_id] = tried.get(case_id, 0) + 1
            if row["try_state"] == "tried" or row["again_at"] is None or row["again_at"] > now:
                continue
        if case_id not in first:
            first[case_id] = as_candidate(row, campaign_id, 0)
    return {case_id: _at_position(candidate, tried.get(case_id, 0) + 1) for case_id, candidate in first.items()}


def _at_position(candidate: Candidate, position: int) -> Candidate:
    return replace(candidate, position=position)


def candidate_query() -> Any:
    """The columns of a candidate, from numbers, contacts and cases."""
    return (
        select(
            numbers.c.case_id,
            cases.c.placement_id,
            cases.c.client,
            numbers.c.id.label("number_id"),
            numbers.c.contact_id,
            numbers.c.person_id,
            cases.c.debtor_person_id,
            cases.c.debt_id,
            numbers.c.e164,
            numbers.c.extension,
            numbers.c.channel,
            numbers.c.region,
            cases.c.region.label("case_region"),
            contacts.c.relation,
        )
        .select_from(numbers)
        .join(cases, cases.c.id == numbers.c.case_id)
        .join(contacts, contacts.c.id == numbers.c.contact_id)
    )


def as_candidate(row: Any, campaign_id: str, position: int) -> Candidate:
    return Candidate(
        case_id=row["case_id"],
        placement_id=row["placement_id"],
        client=row["client"],
        campaign_id=campaign_id,
        number_id=row["number_id"],
        contact_id=row["contact_id"],
        person_id=row["person_id"],
        debtor_person_id=row["debtor_person_id"],
        debt_id=row["debt_id"],
        e164=row["e164"],
        extension=row["extension"] or None,
        channel=Channel(row["channel"]),
        region=row["region"],
        case_region=row["case_region"],
        relation=row["relation"],
        position=position,
    )


async def note_try(
    unit: Unit,
    campaign_id: str,
    number_id: str,
    now: datetime,
    *,
    category: ProgressCategory | None = None,
    refusal: Verdict | None = None,
) -> None:
    """Keep what became of a number in this sweep: tried, refused (until), or put off because our side was in trouble."""
    values: dict[str, Any] = {
        "state": "tried",
        "at": now,
        "again_at": None,
        "rule": None,
        "figure": None,
        "source": None,
    }
    trouble = 0
    if refusal is not None:
        values |= {
            "state": "refused",
            "again_at": refusal.until,
            "rule": refusal.rule,
            "figure": refusal.figure,
            "source": refusal.source,
        }
    elif category in SAYS_NOTHING:
        trouble = 1
        values |= {"state": "put-off", "again_at": now + _TROUBLE_PAUSE}
    statement = upsert(unit.dialect, sweep_tries).values(
        campaign_id=campaign_id, number_id=number_id, troubles=trouble, **values
    )
    await unit.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["campaign_id", "number_id"], set_={**values, "troubles": sweep_tries.c.troubles + trouble}
        )
    )
    if trouble:
        await unit.connection.execute(
            update(sweep_tries)
            .where(
                sweep_tries.c.campaign_id == campaign_id,
                sweep_tries.c.number_id == number_id,
                sweep_tries.c.troubles >= _MAX_TROUBLES,
            )
            .values(
                state="refused",
                again_at=None,
                rule="trunk-trouble",
                figure=str(_MAX_TROUBLES),
                source="product: the trunk failed this many times in a row",
            )
        )


async def settle_case(
    unit: Unit,
    campaign_id: str,
    case_id: str,
    now: datetime,
    *,
    stopped: str | None = None,
    rest_until: datetime | None = None,
) -> None:
    """Put a case where its sweep now stands: ready (at the end of the queue), resting, stopped or done."""
    values: dict[str, Any] = {"claimed_by": None, "claimed_until": None, "reason": stopped, "due_at": now}
    if stopped is not None:
        values["state"] = "stopped"
    elif rest_until is not None:
        values |= {"state": "resting", "due_at": rest_until}
    else:
        left = (
            await unit.connection.execute(
                select(sweep_tries.c.state, sweep_tries.c.again_at)
                .select_from(numbers)
                .outerjoin(
                    sweep_tries,
                    and_(sweep_tries.c.campaign_id == campaign_id, sweep_tries.c.number_id == numbers.c.id),
                )
                .where(numbers.c.case_id == case_id, numbers.c.state == LIVE)
            )
        ).all()
        waits = [row.again_at for row in left if row.state in ("refused", "put-off") and row.again_at is not None]
        if any(row.state is None for row in left):
            values["state"] = "ready"
        elif waits:
            values |= {"state": "resting", "due_at": min(waits)}
        else:
            values["state"] = "done"
    await unit.connection.execute(
        update(sweep_cases)
        .where(
            sweep_cases.c.campaign_id == campaign_id,
            sweep_cases.c.case_id == case_id,
            sweep_cases.c.state.not_in(("stopped",)),
        )
        .values(**values)
    )


async def stop_case(unit: Unit, case_id: str, reason: str) -> None:
    """End the sweep of a case in every campaign: a promise, a hold, a closure."""
    await unit.connection.execute(
        update(sweep_cases)
        .where(sweep_cases.c.case_id == case_id, sweep_cases.c.state != "done")
        .values(state="stopped", reason=reason, claimed_by=None, claimed_until=None)
    )


async def resume_case(unit: Unit, case_id: str, now: datetime) -> None:
    """The workflow owes a sweep again (a number was found or permitted): sweeps that had ended go on."""
    await unit.connection.execute(
        update(sweep_cases)
        .where(sweep_cases.c.case_id == case_id, sweep_cases.c.state.in_(("done", "stopped")))
        .values(state="ready", reason=None, due_at=now)
    )


async def forget_refusals(unit: Unit, number_ids: Iterable[str]) -> None:
    """The policy permits these numbers again: every sweep takes them up."""
    await unit.connection.execute(
        delete(sweep_tries).where(sweep_tries.c.number_id.in_(tuple(number_ids)), sweep_tries.c.state == "refused")
    )


async def reopen_case(unit: Unit, case_id: str, now: datetime, *, only_done: bool = False) -> None:
    """Let the sweeps of a case go on: new numbers came (``only_done``: a stop stays one), or a stop was lifted."""
    from_states = ("done", "resting") if only_done else ("done", "resting", "stopped")
    await unit.connection.execute(
        update(sweep_cases)
        .where(sweep_cases.c.case_id == case_id, sweep_cases.c.state.in_(from_states))
        .values(state="ready", reason=None, due_at=now)
    )
