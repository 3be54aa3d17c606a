"""One application of an event under way: the fields that change, and the moves every handler is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

from case_store.model import SOP_ORDER, Channel, NextAction
from case_store.workflow import work_orders
from case_store.workflow.case_state import (
    CaseEvent,
    CaseState,
    Messages,
    Notice,
    NoticeKind,
    NumberTrack,
    Pending,
    Stage,
    Thread,
)
from case_store.workflow.outcomes import BY_CONTACT, ON_A_NUMBER
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.transitions import ENDINGS, ROWS, ActionCode, Owner, Reach
from case_store.workflow.windows import Days, PermittedSlots, Window, days_of, fit
from case_store.workflow.work_orders import OrderKind, OrderState
from config.calendars import Calendar, local_day, zone
from config.errors import BadInput, Refused
from config.settings import WorkflowSettings

DAY = timedelta(days=1)
SOP_FIGURES = WorkflowSettings()


class CaseEnded(Refused):
    """Nothing more happens to a case that has ended, except a reversed payment."""

    error_id = "case-ended"


class CaseHeld(Refused):
    """The case is on hold: pressure has stopped until compliance or the bank decides."""

    error_id = "case-held"


class PromiseLive(Refused):
    """A live promise suspends other pressure on the debtor."""

    error_id = "promise-is-live"


class BadEvent(BadInput):
    """An event lacks what its outcome needs, or comes out of order."""

    error_id = "bad-event"


@dataclass(frozen=True)
class Rules:
    """What ``apply`` is told: the debtor's working days, the policy's slots, the site's figures and SOP order."""

    calendar: Calendar
    slots: PermittedSlots
    settings: WorkflowSettings = SOP_FIGURES
    sop_order: tuple[Channel, ...] = SOP_ORDER


class Step:
    """One application under way: the fields that change, and the moves every handler is made of."""

    def __init__(self, state: CaseState, event: CaseEvent, rules: Rules) -> None:
        self.state = state
        self.event = event
        self.rules = rules
        self.settings = rules.settings
        self.calendar = rules.calendar
        self.slots = rules.slots
        self.zone = zone(state.zone)
        self.now = event.at
        self.today = local_day(event.at, self.zone)
        self.placed_on = local_day(state.entrusted_at, self.zone)
        self.numbers: dict[str, NumberTrack] = {each.id: each for each in state.numbers}
        self.pending: dict[Thread, Pending] = {each.thread: each for each in state.pending}
        self.stage = state.stage
        self.cause = state.cause
        self.balance = state.balance
        self.promise = state.promise
        self.settled = state.settled
        self.broken = state.broken
        self.replaced = state.replaced
        self.funding = state.funding
        self.payments = state.payments
        self.negotiated_in_a_row = state.negotiated_in_a_row
        self.messages: dict[str, Messages] = {each.contact: each for each in state.messages}
        self.fraud_claimed_on = state.fraud_claimed_on
        self.orders = state.orders
        self.term_ends_on = state.term_ends_on
        self.looked_up = state.looked_up
        self.lost = state.lost
        self.last_worked_at = state.last_worked_at
        self.notices: list[Notice] = []

    # --- asking

    @property
    def ended(self) -> bool:
        return self.stage is Stage.ENDED

    @property
    def held(self) -> bool:
        return Thread.HOLD in self.pending or Thread.FRAUD in self.pending

    @property
    def sweeping(self) -> bool:
        return Thread.SWEEP in self.pending

    def number(self) -> NumberTrack:
        assert self.event.number_id is not None  # check saw to it
        return self.numbers[self.event.number_id]

    def in_sop_order(self) -> list[NumberTrack]:
        order = {channel: place for place, channel in enumerate(self.rules.sop_order)}
        last = len(order)
        return sorted(self.numbers.values(), key=lambda each: (order.get(each.channel, last), each.position))

    def open_numbers(self) -> list[NumberTrack]:
        return [each for each in self.in_sop_order() if each.is_open]

    # --- changing

    def put(self, number: NumberTrack) -> None:
        self.numbers[number.id] = number

    def note(self, kind: NoticeKind, en: str, zh: str, number_id: str | None = None) -> None:
        self.notices.append(Notice(kind=kind, at=self.now, en=en, zh=zh, number_id=number_id))

    def owe(
        self,
        thread: Thread,
        cause: O,
        *,
        agreed: date | None = None,
        owner: Owner | None = None,
        number_id: str | None = None,
        today: date | None = None,
    ) -> None:
        """Enter the table at ``cause``'s row: the obligation takes its thread's place."""
        row = ROWS[cause]
        days = days_of(
            row.earliest,
            row.latest,
            today=today or self.today,
            placed_on=self.placed_on,
            agreed=agreed,
            calendar=self.calendar,
        )
        days = Days(max(days.first, self.today), max(days.last, self.today))
        reach, code = row.reach, row.action
        window = fit(days, reach, self.now, self.zone, self.slots, number_id)
        if window is None and reach is Reach.CONTACT:
            window = fit(days, Reach.DEBTOR, self.now, self.zone, self.slots)
            if window is not None:
                code = ActionCode.CALL_DEBTOR
                number_id = None
                self._note_rerouted()
        if window is None:
            self.block(code, cause, days)
            return
        self.put_action(thread, cause, code, window, owner or row.owner, row.escalation, row.en, row.zh, number_id)

    def reroute(self, number_id: str) -> None:
        """Nobody may call this number any more: what was to be done with its owner is done on another line of that
        person, else on the debtor's own numbers, within the same days."""
        live = self.pending.get(Thread.CONTACT)
        if live is None or live.action.number_id != number_id:
            return
        action = live.action
        first = max(local_day(action.earliest, self.zone), self.today)
        days = Days(first, max(local_day(action.latest - timedelta(seconds=1), self.zone), first))
        party = party_of(self.numbers[number_id])
        for other in self.open_numbers():
            window = fit(days, Reach.CONTACT, self.now, self.zone, self.slots, other.id)
            if other.id != number_id and party_of(other) == party and window is not None:
                self.pending[Thread.CONTACT] = replace(
                    live,
                    action=replace(action, earliest=window.earliest, latest=window.latest, number_id=other.id),
                )
                return
        self.drop(Thread.CONTACT)
        window = fit(days, Reach.DEBTOR, self.now, self.zone, self.slots)
        if window is None:
            self.block(ActionCode.CALL_DEBTOR, live.cause, days)
            return
        row = ROWS[live.cause]
        self.put_action(
            Thread.CONTACT, live.cause, ActionCode.CALL_DEBTOR, window, row.owner, row.escalation, row.en, row.zh
        )
        self._note_rerouted()

    def _note_rerouted(self) -> None:
        self.note(
            NoticeKind.REROUTED,
            "third parties may not be called: the debtor's own numbers instead",
            "第三人不可拨打：改拨本人号码",
        )

    def put_action(
        self,
        thread: Thread,
        cause: O,
        code: ActionCode,
        window: Window,
        owner: Owner,
        escalation: str | None,
        en: str,
        zh: str,
        number_id: str | None = None,
        agent_id: str | None = None,
    ) -> None:
        action = NextAction(
            case_id=self.state.case_id,
            action=code.value,
            earliest=window.earliest,
            latest=window.latest,
            owner=owner.value,
            escalation=escalation,
            reason_en=en,
            reason_zh=zh,
            number_id=number_id,
            agent_id=agent_id,
        )
        self.pending[thread] = Pending(thread=thread, action=action, cause=cause)

    def block(self, code: ActionCode, cause: O, days: Days) -> None:
        """``WINDOW_BLOCKED``: never call, never let it lapse in silence."""
        self.note(
            NoticeKind.WINDOW_BLOCKED,
            f"policy forbids every slot for {code.value} from {days.first} to {days.last}",
            f"{days.first} 至 {days.last} 无可拨时段：{code.value}",
        )
        self.refer(cause, f"WINDOW_BLOCKED: no permitted slot for {code.value}", f"窗口受阻：{code.value} 无可拨时段")

    def refer(self, cause: O, en: str, zh: str) -> None:
        """Lay the matter before the team leader, today and tomorrow."""
        window = fit(Days(self.today, self.today + DAY), Reach.DESK, self.now, self.zone, self.slots)
        assert window is not None  # a desk window always fits
        self.put_action(Thread.LEADER, cause, ActionCode.DECIDE, window, Owner.TEAM_LEADER, None, en, zh)

    def drop(self, *threads: Thread) -> None:
        for thread in threads:
            self.pending.pop(thread, None)

    def drop_all(self) -> None:
        self.pending.clear()
        self.promise = None
        self.funding = None

    def withdraw_orders(self, *kinds: OrderKind) -> None:
        self.orders = tuple(
            work_orders.withdraw(each)
            if each.kind in kinds and each.state in (OrderState.ASKED, OrderState.APPROVED)
            else each
            for each in self.orders
        )

    def end(self, cause: O) -> None:
        """Every action is cancelled at once; the case is terminal."""
        self.drop_all()
        self.withdraw_orders(*OrderKind)
        self.stage = Stage.ENDED
        self.cause = cause
        self.note(NoticeKind.ENDED, *ENDINGS[cause])

    def worked(self) -> None:
        self.last_worked_at = self.now

    def fulfil(self) -> None:
        """A call was made: obligations it answers, made within their window, are done."""
        own = self.number().channel.is_debtors_own if self.event.number_id else True
        self.drop(Thread.REDIAL)
        for thread in (Thread.DEBTOR, Thread.CONTACT, Thread.CALL_BACK):
            live = self.pending.get(thread)
            if live is None or self.now < live.action.earliest:
                continue
            meant = live.action.number_id
            if meant is not None and self.event.number_id is not None:
                same = party_of(self.numbers[meant]) == party_of(self.number())
                answers = same or (own and self.numbers[meant].channel is Channel.MOBILE)
            else:
                answers = own if thread is Thread.DEBTOR or live.action.action == ActionCode.CALL_DEBTOR else not own
            if answers:
                self.drop(thread)


def party_of(number: NumberTrack) -> str:
    """Who answers: a contact, or whoever is at one of the debtor's own lines (the workplace is a third party of its own
    until the debtor speaks)."""
    return number.id if number.channel.is_debtors_own else number.contact_id


def check(step: Step) -> None:
    event = step.event
    if event.number_id is not None and event.number_id not in step.numbers:
        raise BadEvent("is not a number of this case", field="number_id", remedy="use a number on file")
    if event.outcome in ON_A_NUMBER and event.number_id is None:
        raise BadEvent("needs the number it happened on", field="number_id", remedy="name the number")
    if event.outcome in BY_CONTACT and step.number().channel in (Channel.MOBILE,):
        raise BadEvent(
            "is an outcome with a third party, on the debtor's own mobile",
            field="number_id",
            remedy="name the number that was called, or report what the debtor said",
        )
