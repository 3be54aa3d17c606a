"""新转案件: what a case waits for from the moment it arrives, by the workflow and the policy in force.

A placement brings a hundred thousand cases and few kinds of them: cases whose numbers and address share their clocks have the same first
window, which is laid out once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from case_store.model import Channel
from case_store.placement_report import Arrival, FirstAction, FirstStep
from case_store.workflow import CaseState, NumberTrack, Rules, open_case
from case_store.workflow.look import look_at
from config.settings import Settings
from dialer.followup import calendars_of, clock_of
from dialer.policy import load_sets
from dialer.policy.case_view import CaseView
from dialer.policy.regions import candidate_zones, zones_of_region

_Kind = tuple[datetime, str, tuple[tuple[Channel, tuple[str, ...]], ...]]


def first_steps(settings: Settings) -> FirstAction:
    """The planner of a placement's load: the sweep (or the look-up) with the SOP's window, and when to look at it again."""
    sets = load_sets(settings.policy_sets)
    calendar_of = calendars_of(settings)
    known: dict[_Kind, FirstStep] = {}

    def opened(arrival: Arrival) -> CaseState:
        zone_name = clock_of([(e164, channel) for e164, channel, _ in arrival.lines], arrival.region, settings.timezone)
        tracks = tuple(
            NumberTrack(id=str(place), contact_id=channel.value, channel=channel, position=place)
            for place, (_, channel, _) in enumerate(arrival.lines)
        )
        view = CaseView(
            debtor_id="debtor",
            debt_id="debt",
            e164={str(place): e164 for place, (e164, _, _) in enumerate(arrival.lines)},
            person={track.id: track.contact_id for track in tracks},
            address_region=arrival.region,
        )
        blank = CaseState(
            case_id=arrival.case_id,
            zone=zone_name,
            entrusted_at=arrival.at,
            balance=Decimal(1),
            currency="XXX",
            numbers=tracks,
            as_of=arrival.at,
        )
        rules = Rules(
            calendar=calendar_of(arrival.region),
            slots=view.slots(blank, sets, ZoneInfo(zone_name), arrival.at),
            settings=settings.workflow,
        )
        return open_case(
            case_id=arrival.case_id,
            zone_name=zone_name,
            entrusted_at=arrival.at,
            balance=blank.balance,
            currency=blank.currency,
            numbers=tracks,
            rules=rules,
        )

    def step(arrival: Arrival) -> FirstStep:
        lines = tuple(
            dict.fromkeys((channel, _clocks(e164, at, arrival.region)) for e164, channel, at in arrival.lines)
        )
        kind = (arrival.at, arrival.region, lines)
        found = known.get(kind)
        if found is None:
            state = opened(arrival)
            assert state.next_action is not None  # a case that has just arrived has not ended
            # Where the policy has something to say at once (nobody but third parties on file), the scheduler looks first.
            again = arrival.at if state.notices else look_at(state, settings.workflow) or state.next_action.latest
            found = known[kind] = FirstStep(action=state.next_action, look_at=again)
        return FirstStep(action=replace(found.action, case_id=arrival.case_id), look_at=found.look_at)

    return step


def _clocks(e164: str, region: str, address: str) -> tuple[str, ...]:
    """What decides a number's hours: the clock of its country where that has one, else those of the number itself."""
    of_country = zones_of_region(region)
    return of_country if len(of_country) == 1 else tuple(zone.key for zone in candidate_zones(e164, address))
