"""Numbers: the first sweep, dialing on while nobody answers, retiring bad numbers, locating a lost debtor."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from case_store.model import NumberState
from case_store.workflow import work_orders
from case_store.workflow.case_state import (
    NoticeKind,
    NumberTrack,
    Thread,
)
from case_store.workflow.outcomes import STRIKES
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.promising import use_promise_daypart
from case_store.workflow.step import DAY, BadEvent, Step
from case_store.workflow.transitions import RANK, ROWS, ActionCode, Reach
from case_store.workflow.windows import Days, Window, fit, next_daypart
from case_store.workflow.work_orders import OrderKind, OrderState
from config.calendars import Daypart, daypart_of
from config.settings import WorkflowSettings


def sweep_is_over(step: Step) -> bool:
    return all(each.swept for each in step.numbers.values() if each.is_open)


def end_sweep(step: Step) -> None:
    """The best outcome of the sweep rules the case (``RANK``); whatever it outranks is let go."""
    step.drop(Thread.SWEEP)
    found = [each for thread, each in step.pending.items() if thread in (Thread.DEBTOR, Thread.CONTACT)]
    if found:
        best = min(found, key=lambda each: RANK.index(each.cause) if each.cause in RANK else 0)
        step.drop(*({Thread.DEBTOR, Thread.CONTACT, Thread.REDIAL} - {best.thread}))
        return
    if any(each in step.pending for each in (Thread.ORDER, Thread.LEADER, Thread.CALL_BACK)):
        return
    silent = step.open_numbers()
    if not silent:
        nothing_left(step)
        return
    redial(step, O.NO_ANSWER, silent)


def nothing_left(step: Step) -> None:
    """No obligation is left: dial on, locate, or ask the team leader."""
    if candidates := step.open_numbers():
        redial(step, O.NO_ANSWER, candidates)
        return
    live = [each for each in step.numbers.values() if each.state is NumberState.LIVE]
    blocked = any(each.state is NumberState.BLOCKED for each in step.numbers.values())
    if blocked and not live:
        step.refer(step.event.outcome, "everybody on file asked not to be called", "所有联系人均拒绝联系")
        return
    own = [each for each in live if each.channel.is_debtors_own]
    if own and not all(_is_lost(each, step.settings) for each in own):
        # The policy keeps us from the debtor's own lines: that is no sign of the debtor being gone.
        step.block(ActionCode.REDIAL, step.event.outcome, Days(step.today, step.today + DAY))
        return
    locate(step, O.ALL_INVALID if not live else O.LOST_CONTACT)


def locate(step: Step, cause: O) -> None:
    step.drop(Thread.SWEEP, Thread.DEBTOR, Thread.CONTACT, Thread.REDIAL, Thread.CALL_BACK, Thread.LEADER)
    step.lost = True
    if step.looked_up:
        nothing_found(step, O.LOOKUP_EMPTY)
        return
    step.owe(Thread.ORDER, cause)


def nothing_found(step: Step, cause: O) -> None:
    """Nothing found → registry where it is allowed and not yet asked, else a visit."""
    visit = next((each for each in reversed(step.orders) if each.kind is OrderKind.VISIT), None)
    if visit is not None and visit.state in _OPEN_ORDERS:
        if Thread.ORDER not in step.pending:
            step.owe(Thread.ORDER, O.VISIT_ORDER if visit.state is OrderState.ASKED else O.VISIT_APPROVED)
        return
    asked = any(each.kind is OrderKind.REGISTRY for each in step.orders)
    if step.settings.registry_allowed and not asked and cause is not O.REGISTRY_EMPTY:
        step.owe(Thread.ORDER, O.REGISTRY_CHECK)
    else:
        step.owe(Thread.ORDER, cause)


_ELSEWHERE = (Thread.DEBTOR, Thread.CONTACT, Thread.CALL_BACK, Thread.ORDER, Thread.LEADER)
_OPEN_ORDERS = (OrderState.ASKED, OrderState.APPROVED)


def _tried(step: Step) -> NumberTrack:
    number = step.number()
    step.worked()
    cell = (step.today, daypart_of(step.now.astimezone(step.zone).time()))
    silent = number.silent if cell in number.silent else (*number.silent, cell)
    keep = 4 * step.settings.silent_days * 2
    number = replace(number, swept=True, silent=silent[-keep:])
    step.put(number)
    return number


def nobody_answered(step: Step) -> None:
    number = _tried(step)
    if step.promise is not None:
        if number.channel.is_debtors_own:
            use_promise_daypart(step, heard=False)
        return
    if step.held:
        return
    step.fulfil()
    if step.sweeping or Thread.CALL_BACK in step.pending:
        return
    if all(_is_lost(each, step.settings) for each in step.open_numbers()):
        locate(step, O.LOST_CONTACT)
        return
    redial(step, step.event.outcome, _same_party(step, number))


def _same_party(step: Step, number: NumberTrack) -> list[NumberTrack]:
    """Who is dialed again: everybody while nobody has been reached, else the party that was meant."""
    everybody = step.open_numbers()
    if Thread.DEBTOR not in step.pending and Thread.CONTACT not in step.pending:
        return everybody
    own = number.channel.is_debtors_own
    return [each for each in everybody if each.channel.is_debtors_own == own] or everybody


def _is_lost(number: NumberTrack, settings: WorkflowSettings) -> bool:
    """Silent on enough days, in enough parts of each."""
    days: dict[date, set[Daypart]] = {}
    for day, part in number.silent:
        days.setdefault(day, set()).add(part)
    full = sum(1 for parts in days.values() if len(parts) >= settings.silent_dayparts)
    return full >= settings.silent_days


def redial(step: Step, cause: O, candidates: list[NumberTrack]) -> None:
    """Dial on: first whoever was not tried in this part of the day, then in the next one; tomorrow at the latest, and
    today when a number was just retired.

    A number whose party may not be called in those days gives way to the next one in SOP order.
    """
    if not candidates:
        nothing_left(step)
        return
    cell = (step.today, daypart_of(step.now.astimezone(step.zone).time()))
    fresh = [each for each in candidates if cell not in each.silent]
    tried = sorted((each for each in candidates if cell in each.silent), key=lambda each: len(each.silent))
    row = ROWS[cause]
    at_once = cause is O.NUMBER_INVALID
    days = Days(step.today, step.today if at_once else step.today + DAY)
    for chosen in (*fresh, *tried):
        reach = Reach.DEBTOR if chosen.channel.is_debtors_own else Reach.CONTACT
        window = fit(days, reach, step.now, step.zone, step.slots, chosen.id)
        if window is not None and chosen not in fresh and not at_once:
            later = next_daypart(step.now, reach, step.zone, step.slots, chosen.id)
            window = Window(later, window.latest) if later is not None and later < window.latest else None
        if window is not None:
            step.put_action(
                Thread.REDIAL, cause, row.action, window, row.owner, row.escalation, row.en, row.zh, chosen.id
            )
            return
    step.block(row.action, cause, days)


def number_struck(step: Step) -> None:
    outcome = step.event.outcome
    number = _tried(step)
    counts = dict(number.strikes)
    counts[outcome] = counts.get(outcome, 0) + 1
    number = replace(number, strikes=tuple(sorted(counts.items())))
    step.put(number)
    if counts[outcome] >= STRIKES[outcome]:
        number_retired(step)
        return
    if step.promise is not None or step.held:
        return
    step.fulfil()
    if step.sweeping:
        return
    redial(step, O.NO_ANSWER, _same_party(step, number))


def number_retired(step: Step) -> None:
    number = replace(step.number(), state=NumberState.INVALID, swept=True)
    step.worked()
    step.put(number)
    step.note(NoticeKind.RETIRED, "the number is invalid and retired", "号码无效，已停用", number.id)
    if step.promise is not None or step.held:
        return
    step.fulfil()
    step.reroute(number.id)
    left = step.open_numbers()
    if not left:
        if not step.sweeping:
            nothing_left(step)
    elif not step.sweeping:
        if not any(each in step.pending for each in _ELSEWHERE):
            redial(step, O.NUMBER_INVALID, left)
    elif not sweep_is_over(step):
        _go_on_today(step)


def _go_on_today(step: Step) -> None:
    """The sweep goes on the same day, where that day has an hour left; its own deadline stands otherwise."""
    live = step.pending[Thread.SWEEP]
    window = fit(Days(step.today, step.today), Reach.ANYONE, step.now, step.zone, step.slots)
    if window is not None and window.latest < live.action.latest and not live.overdue:
        row = ROWS[O.NUMBER_INVALID]
        step.put_action(
            Thread.SWEEP, O.NUMBER_INVALID, ActionCode.SWEEP, window, row.owner, live.action.escalation, row.en, row.zh
        )


def all_invalid(step: Step) -> None:
    for each in list(step.numbers.values()):
        if each.state is NumberState.LIVE:
            step.put(replace(each, state=NumberState.INVALID))
    if step.promise is None and not step.held:
        locate(step, O.ALL_INVALID)


def lost_contact(step: Step) -> None:
    if step.promise is None and not step.held:
        locate(step, O.LOST_CONTACT)


def number_refused(step: Step) -> None:
    step.put(replace(step.number(), refused_by=step.event.rule or "unnamed-rule"))
    number = step.number()
    live = step.pending.get(Thread.REDIAL)
    if live is not None and live.action.number_id == number.id:
        step.drop(Thread.REDIAL)
    step.reroute(number.id)


def number_permitted(step: Step) -> None:
    number = replace(step.number(), refused_by=None)
    step.put(number)
    if not number.swept and number.state is NumberState.LIVE:
        _resume_sweep(step, O.NUMBER_PERMITTED)


def _resume_sweep(step: Step, cause: O) -> None:
    if step.promise is not None or step.held or step.sweeping:
        return
    live = step.pending.get(Thread.ORDER)
    if live is not None and live.action.action == ActionCode.LOOK_UP:
        step.drop(Thread.ORDER)
    step.owe(Thread.SWEEP, cause)


def number_found(step: Step) -> None:
    found = step.event.number
    if found is None:
        raise BadEvent("needs the number that was found", field="number", remedy="give id, contact and channel")
    step.worked()
    if found.id not in step.numbers:
        step.put(found)
    step.looked_up = False
    step.orders = tuple(
        work_orders.finish(each) if each.kind is OrderKind.REGISTRY and each.state is OrderState.APPROVED else each
        for each in step.orders
    )
    if found.channel.is_debtors_own:
        step.lost = False
    if step.promise is not None or step.held:
        return
    live = step.pending.get(Thread.ORDER)
    if live is not None and live.action.action in (ActionCode.LOOK_UP, ActionCode.REQUEST_REGISTRY):
        step.drop(Thread.ORDER)
    step.drop(Thread.LEADER)
    step.owe(Thread.SWEEP, O.NUMBER_FOUND)


def lookup_empty(step: Step) -> None:
    step.worked()
    step.looked_up = True
    if step.promise is None and not step.held:
        step.drop(Thread.ORDER)
        nothing_found(step, O.LOOKUP_EMPTY)
