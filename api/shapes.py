"""What goes over the wire. One model per noun; every number in it is already masked for who asked.

Times are RFC 3339 with an offset, amounts are decimal text with an ISO 4217 currency, durations are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from case_store import views
from case_store.model import AttemptState, Channel, NumberState
from case_store.views import Role
from dialer import campaigns, desk_views
from dialer.floor import AgentState
from dialer.parts import Part

Sight = Callable[[str], str]  # E.164 → what this principal may see of it

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
Id = Annotated[str, Path(min_length=1, max_length=64, pattern=_ID)]
After = Annotated[str | None, Query(max_length=200, pattern=_ID, description="`after` of the page before")]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page")]

T = TypeVar("T")


class Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class PageOf(Shape, Generic[T]):
    items: list[T]
    after: str | None = Field(description="Ask with it for the next page; null on the last one")


class UserShape(Shape):
    id: str
    username: str
    display_name: str
    role: Role
    desk: str | None = Field(description="The SIP phone this person works at")
    active: bool
    created_at: datetime


class UserPage(PageOf[UserShape]):
    pass


class MoneyShape(Shape):
    amount: Decimal
    currency: str


class NextActionShape(Shape):
    id: str
    case_id: str
    client_ref: str
    action: str
    earliest: datetime = Field(description="The window opens")
    latest: datetime = Field(description="The window closes")
    owner: str
    escalation: str | None
    reason_zh: str
    reason_en: str
    number_id: str | None = Field(description="The number it is about; null: whichever is next in order")
    agent_id: str | None = Field(description="The collector who agreed to call back; null: anybody of the owner's")


class AgendaPage(PageOf[NextActionShape]):
    pass


class CaseLine(Shape):
    id: str
    client: str
    client_ref: str
    placement_id: str
    placement: str
    debtor: str
    balance: MoneyShape
    state: str
    last_outcome: str | None
    attempts: int
    recordings: int
    opened_at: datetime
    next_action: NextActionShape | None


class CasePage(PageOf[CaseLine]):
    pass


class NumberShape(Shape):
    id: str
    number: str = Field(description="Masked")
    channel: Channel
    contact: str
    relation: str
    state: NumberState
    attempts: int

    @classmethod
    def of(cls, view: views.NumberView, sight: Sight) -> NumberShape:
        return cls(
            id=view.id,
            number=sight(view.e164),
            channel=view.channel,
            contact=view.contact,
            relation=view.relation,
            state=view.state,
            attempts=view.attempts,
        )


class RefusalShape(Shape):
    rule: str
    figure: str
    source: str
    until: datetime | None = Field(description="When it would be allowed; null: never, or not a matter of time")


class AttemptShape(Shape):
    id: str
    case_id: str
    number_id: str
    number: str = Field(description="Masked")
    channel: Channel
    state: AttemptState | None = Field(description="null when policy refused it: nothing was booked")
    booked_at: datetime
    position: int
    call_id: str | None
    sip_status: int | None
    cause: str | None = Field(description="The network's word")
    progress: str | None
    answered: bool
    talk_seconds: float
    agent: str | None
    outcome: str | None = Field(description="The person's word")
    recording_id: str | None
    refusal: RefusalShape | None

    @classmethod
    def of(cls, view: views.AttemptView, sight: Sight) -> AttemptShape:
        facts = {name: getattr(view, name) for name in cls.model_fields if name not in ("number", "refusal")}
        refusal = None if view.refusal is None else RefusalShape.model_validate(view.refusal)
        return cls(number=sight(view.e164), refusal=refusal, **facts)


class AttemptPage(PageOf[AttemptShape]):
    pass


class RecordingShape(Shape):
    id: str
    call_id: str
    case_id: str
    state: str = Field(description="armed, sealed, empty, failed or disposed; only sealed and empty ones can be heard")
    started_at: datetime
    seconds: float | None
    sha256: str | None
    gaps: int
    verdict: str | None
    agent: str | None


class RecordingPage(PageOf[RecordingShape]):
    pass


class PeaksShape(Shape):
    """Waveform for the player: [low, high] pairs, each -127..127; channel 0 is the agent's side, 1 the customer's."""

    per_second: float
    channels: list[list[tuple[int, int]]]


class TimelineShape(Shape):
    at: datetime
    kind: str
    subject_id: str
    summary_zh: str
    summary_en: str
    actor: str | None


class CaseShape(Shape):
    """One case with everything its page shows."""

    case: CaseLine
    numbers: list[NumberShape]
    next_actions: list[NextActionShape]
    attempts: list[AttemptShape]
    recordings: list[RecordingShape]
    timeline: list[TimelineShape]

    @classmethod
    def of(cls, view: views.CaseView, sight: Sight) -> CaseShape:
        return cls(
            case=CaseLine.model_validate(view.row),
            numbers=[NumberShape.of(number, sight) for number in view.numbers],
            next_actions=many(NextActionShape, view.next_actions),
            attempts=[AttemptShape.of(attempt, sight) for attempt in view.attempts],
            recordings=many(RecordingShape, view.recordings),
            timeline=many(TimelineShape, view.timeline),
        )


class RefusedNumberShape(Shape):
    number_id: str
    case_id: str
    number: str = Field(description="Masked")
    channel: Channel
    rule: str
    until: datetime | None


class CoverageShape(Shape):
    """The first sweep of a placement over (case, number) pairs: proof that nobody cherry-picked."""

    placement_id: str
    placement: str
    client: str
    cases: int
    numbers: int
    permitted: int
    attempted: int
    answered: int
    refused: int
    refused_by_rule: dict[str, int]
    untried: list[RefusedNumberShape]

    @classmethod
    def of(cls, view: views.CoverageView, sight: Sight) -> CoverageShape:
        facts = {name: getattr(view, name) for name in cls.model_fields if name != "untried"}
        untried = [
            RefusedNumberShape(
                number_id=one.number_id,
                case_id=one.case_id,
                number=sight(one.e164),
                channel=one.channel,
                rule=one.rule,
                until=one.until,
            )
            for one in view.untried
        ]
        return cls(untried=untried, **facts)


class PlacementPage(PageOf[CoverageShape]):
    pass


class RejectedRowShape(Shape):
    row: int = Field(description="1-based, as a spreadsheet counts; the header is row 1")
    field: str
    problem: str
    shape: str | None
    remedy: str


class IntakeShape(Shape):
    placement_id: str | None
    name: str
    client: str
    rows: int
    cases: int
    numbers: int
    dry_run: bool
    repeated: bool = Field(description="The same file was loaded before; nothing changed")
    rejected: list[RejectedRowShape]


class CampaignShape(Shape):
    id: str
    name: str
    client: str
    mode: str
    state: campaigns.CampaignState
    placements: list[str]
    lines: int
    agents: int
    calls_now: int
    attempted: int
    remaining: int
    answered: int
    abandoned: int


class GateShape(Shape):
    """One reason a campaign may not dial now."""

    name: str
    holds_back: bool
    count: int
    detail_en: str
    detail_zh: str


class Explanation(Shape):
    campaign_id: str
    dialing: bool = Field(description="True when no gate holds it back")
    gates: list[GateShape]


class PaceShape(Shape):
    """What a predictive campaign's pacer said last, and why; abandonment over 30 days against target and limit."""

    campaign_id: str
    target: float
    limit: float
    answered_30_days: int
    abandoned_30_days: int
    abandonment_30_days: float = Field(description="Abandoned / answered; 0 when nobody answered")
    ledger_open: bool = Field(description="False: one call for each ready agent until answers have paid")
    ledger_room: float | None = Field(description="Drops the account still allows; null: no pacer has run yet")
    place: int | None = Field(description="Calls the last decision placed; null: none was made yet")
    cancel: int | None
    why: dict[str, float | str] = Field(description="`binding` says what held the next call back")
    counts: dict[str, int] = Field(description="Decisions by what bound them, and what the pacer was told")
    kept: bool = Field(description="Whether decisions are kept for replay (floor.pace_log)")


class DecisionShape(Shape):
    line: int = Field(description="In the campaign's file of decisions")
    place: int
    cancel: int
    why: dict[str, float | str]
    same: bool = Field(description="The same pacer, asked again with the same facts, decides the same")


class DecisionList(Shape):
    items: list[DecisionShape]


class CampaignList(Shape):
    items: list[CampaignShape]


class LiveCallShape(Shape):
    call_id: str
    case_id: str | None
    campaign_id: str | None
    number: str = Field(description="Masked")
    channel: Channel | None
    state: str
    agent: str | None
    placed_at: datetime
    answered_at: datetime | None
    cause: str | None

    @classmethod
    def of(cls, call: campaigns.LiveCall, sight: Sight) -> LiveCallShape:
        facts = {name: getattr(call, name) for name in cls.model_fields if name != "number"}
        return cls(number=sight(call.e164), **facts)


class LiveCalls(Shape):
    """``as_of`` is the event number this picture includes: follow /live?after=as_of from here."""

    as_of: int
    now: datetime = Field(description="The house's clock; durations of calls are reckoned from it")
    calls: list[LiveCallShape]


class AgentShape(Shape):
    id: str = Field(description="The log-in name")
    name: str
    desk: str
    state: AgentState
    since: datetime | None
    reason: str | None
    pause_wanted: str | None = Field(description="The pause that begins after the call in hand")
    call_id: str | None
    is_leader: bool
    owes: int = Field(description="Outcomes this agent has to enter")


class WhoShape(Shape):
    """Who is coming: what the agent is told before and during the call."""

    case_id: str
    number_id: str
    number: str = Field(description="Masked")
    channel: Channel
    contact: str
    relation: str
    third_party: bool
    debtor: str
    client: str
    client_ref: str
    balance: MoneyShape | None = Field(description="Null on calls to third parties: they must not learn it")
    last_outcome: str | None

    @classmethod
    def of(cls, who: desk_views.WhoIsCalled, sight: Sight) -> WhoShape:
        facts = {name: getattr(who, name) for name in cls.model_fields if name not in ("number", "balance")}
        # Hidden here too, whoever filled it in.
        balance = None if who.third_party or who.balance is None else MoneyShape.model_validate(who.balance)
        return cls(number=sight(who.e164), balance=balance, **facts)


class DeskCallShape(Shape):
    call_id: str
    agent_id: str = Field(description="Whose call it is")
    state: str = Field(description="placed, ringing, answered or bridged")
    placed_at: datetime | None
    answered_at: datetime | None
    held: bool
    part: Part = Field(description="How this desk takes part")
    guests: dict[str, Part] = Field(description="Agent or leader → part, beside the call's own agent")


class OfferShape(Shape):
    campaign_id: str
    until: datetime = Field(description="Unanswered until then, the agent is paused")
    who: WhoShape


class OwedShape(Shape):
    call_id: str
    agent_id: str
    owner: str = Field(description="The agent, or leader")
    since: datetime
    who: WhoShape

    @classmethod
    def of(cls, owed: desk_views.OwedView, sight: Sight) -> OwedShape:
        return cls(
            call_id=owed.call_id,
            agent_id=owed.agent_id,
            owner=owed.owner,
            since=owed.since,
            who=WhoShape.of(owed.who, sight),
        )


class DeskShape(Shape):
    """An agent's screen."""

    now: datetime
    agent: AgentShape
    coming: WhoShape | None
    call: DeskCallShape | None
    offer: OfferShape | None
    owed: list[OwedShape]

    @classmethod
    def of(cls, desk: desk_views.DeskView, sight: Sight, now: datetime) -> DeskShape:
        offer = desk.offer
        return cls(
            now=now,
            agent=AgentShape.model_validate(desk.agent),
            coming=WhoShape.of(desk.coming, sight) if desk.coming else None,
            call=DeskCallShape.model_validate(desk.call) if desk.call else None,
            offer=OfferShape(campaign_id=offer.campaign_id, until=offer.until, who=WhoShape.of(offer.who, sight))
            if offer
            else None,
            owed=[OwedShape.of(one, sight) for one in desk.owed],
        )


class EventShape(Shape):
    number: int
    at: datetime
    kind: str
    case_id: str | None
    subject_id: str | None = Field(description="What it is about: a call, an attempt, a recording, a campaign, ...")
    data: dict[str, str | int | float | bool | None]


class EventBatch(Shape):
    """One WebSocket message. ``last`` is where to resume; an empty batch is a sign of life."""

    last: int
    events: list[EventShape]


S = TypeVar("S", bound=Shape)


def many(shape: type[S], values: Sequence[object]) -> list[S]:
    return [shape.model_validate(value) for value in values]
