"""约定回拨: somebody asked to be called at a stated minute. Kept to the minute, late ones seen, none dropped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from case_store.model import NumberState
from case_store.workflow.case_state import NoticeKind, Pending, Thread
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.step import BadEvent, CaseHeld, PromiseLive, Step
from case_store.workflow.transitions import ROWS, ActionCode, Owner, Reach
from case_store.workflow.windows import Window, as_utc
from config.calendars import local_day
from config.errors import Refused

FURTHEST = timedelta(days=7)
"""A call-back is a follow-up: within 7 days (deck: 7天内必须跟进)."""


class CallBackForbidden(Refused):
    """The policy does not permit a call to this number at the minute asked for."""

    error_id = "call-back-not-permitted"


def call_back_agreed(step: Step) -> None:
    if step.held:
        raise CaseHeld("the case is on hold", field="outcome", remedy="have compliance or the bank decide first")
    if step.promise is not None:
        raise PromiseLive("a promise is live", field="outcome", remedy="its reminder and its due day are called anyway")
    number = step.number()
    window = _window(step)
    agent = None if step.event.team else (step.event.by or "").strip() or None
    if agent is None and not step.event.team:
        raise BadEvent("whose call-back is it?", field="by", remedy="name the agent, or mark it for the team")
    step.worked()
    step.put(replace(number, swept=True, silent=()))
    step.fulfil()
    step.drop(Thread.REDIAL)
    row = ROWS[O.CALL_BACK_AGREED]
    step.put_action(
        Thread.CALL_BACK,
        O.CALL_BACK_AGREED,
        ActionCode.CALL_BACK,
        window,
        Owner.COLLECTOR if agent is not None else Owner.DIALER,
        row.escalation if agent is not None else None,
        row.en,
        row.zh,
        number.id,
        agent,
    )


def _window(step: Step) -> Window:
    asked = step.event.call_at
    if asked is None:
        raise BadEvent("needs the minute of the call-back", field="call_at", remedy="give date, time and offset")
    if not step.now < asked < step.now + 2 * FURTHEST or local_day(asked, step.zone) > step.today + FURTHEST:
        raise BadEvent("must lie within 7 days, in the future", field="call_at", remedy="agree on another time")
    at = as_utc(asked)
    day = local_day(at, step.zone)
    number = step.number()
    if number.state is not NumberState.LIVE:
        raise BadEvent("is retired or blocked", field="number_id", remedy="agree on another number")
    permitted = step.slots.first(day, Reach.ANYONE, at, number.id)
    if permitted != at:
        raise CallBackForbidden(
            "the policy does not permit a call then",
            field="call_at",
            remedy=f"permitted from {permitted.astimezone(step.zone).isoformat()}"
            if permitted is not None
            else "no more that day: agree on another one",
        )
    closes = step.slots.last(day, Reach.ANYONE, number.id)
    latest = at + timedelta(minutes=step.settings.call_back_minutes)
    return Window(at, latest if closes is None or closes <= at else min(latest, closes))


def is_due(step: Step) -> Pending | None:
    """The agreed minute has come: the call-back goes before everything that merely has a deadline."""
    kept = step.pending.get(Thread.CALL_BACK)
    return kept if kept is not None and step.now >= kept.action.earliest else None


def late(step: Step, kept: Pending) -> None:
    """Nobody called in time: anybody of the team does now. It stays until it is done."""
    action = replace(kept.action, owner=Owner.DIALER.value, agent_id=None)
    step.pending[Thread.CALL_BACK] = replace(kept, overdue=True, action=action)
    step.note(NoticeKind.OVERDUE, "the agreed call-back is late", "约定回拨已过时", action.number_id)
    if kept.action.agent_id is not None:
        step.note(NoticeKind.ESCALATED, "call-back goes to the whole team", "回拨转给全组", action.number_id)


def cannot_call_back(step: Step) -> None:
    """The number may not be called any more: the team leader decides, the agreement is not forgotten."""
    kept = step.pending.get(Thread.CALL_BACK)
    if kept is None or kept.action.number_id is None or step.numbers[kept.action.number_id].is_open:
        return
    step.drop(Thread.CALL_BACK)
    step.refer(O.CALL_BACK_AGREED, "the agreed call-back may not be made", "约定回拨号码不可拨打")
