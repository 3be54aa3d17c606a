"""The life of a promise on a case: reminder, due day, verdict, its consequence; and the money that decides it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from case_store.workflow import promises
from case_store.workflow.case_state import (
    NoticeKind,
    Pending,
    Stage,
    Thread,
)
from case_store.workflow.outcomes import OutcomeCode as O
from case_store.workflow.promises import Payment, Promise, Settled
from case_store.workflow.step import DAY, BadEvent, Step
from case_store.workflow.transitions import ActionCode, Owner, Reach
from case_store.workflow.windows import Days, Window, fit, in_daypart
from config.calendars import DAYPART_BEGINS, Daypart, day_begins, daypart_of

_PART_BEGINS = dict(DAYPART_BEGINS)
_PART_ENDS = {
    part: (DAYPART_BEGINS[place + 1][1] if place + 1 < len(DAYPART_BEGINS) else None)
    for place, (part, _) in enumerate(DAYPART_BEGINS)
}


def use_promise_daypart(step: Step, *, heard: bool = True) -> None:
    """A call in the life of a promise: it was the reminder, or one of the due day's three.

    A reminder that nobody answered is tried again in the next part of its day.
    """
    promise = step.promise
    assert promise is not None
    part = daypart_of(step.now.astimezone(step.zone).time())
    if step.today == promise.due:
        if part not in promise.asked_in:
            step.promise = replace(promise, asked_in=(*promise.asked_in, part), reminded=True)
    elif step.now >= step.pending[Thread.PROMISE].action.earliest:
        if heard:
            step.promise = replace(promise, reminded=True)
        elif part not in promise.rung_in:
            step.promise = replace(promise, rung_in=(*promise.rung_in, part))
            step.drop(Thread.PROMISE)  # its window opens anew


def promise_step(step: Step) -> Pending:
    """Where a live promise stands: reminder one working day before, three questions on the due day, the verdict."""
    promise = step.promise
    assert promise is not None
    found = _reminder(step, promise) or _confirmation(step, promise)
    if found is not None:
        return found
    verdict_at = day_begins(promise.counts_until(step.settings) + DAY, step.zone)
    starts = max(step.now, day_begins(promise.due, step.zone))
    return _promise_action(
        step,
        ActionCode.SETTLE_PROMISE,
        Window(min(starts, verdict_at), verdict_at),
        Owner.SYSTEM,
        "payments are counted until the grace is over, then the promise is settled",
        "核对入账，宽限期后判定",
    )


def _reminder(step: Step, promise: Promise) -> Pending | None:
    """One working day before the due day; a promise so short that this day is its own gets none."""
    on = step.calendar.working_day_before(promise.due)
    if promise.reminded or on <= promise.made_on or step.today > on:
        return None
    window = None
    forbidden = True
    day = on
    while window is None and day > promise.made_on and day >= step.today:
        window = _reminder_window(step, promise, day)
        forbidden = forbidden and step.slots.last(day, Reach.DEBTOR) is None
        day -= DAY  # pulled earlier, never later
    if window is None:
        if forbidden:
            _tell_leader(step, promise, ActionCode.REMIND_PROMISE, on)
        return None
    return _promise_action(
        step,
        ActionCode.REMIND_PROMISE,
        window,
        Owner.COLLECTOR,
        "remind one working day before the promise is due",
        "还款日前一工作日提醒",
    )


def _reminder_window(step: Step, promise: Promise, day: date) -> Window | None:
    window = fit(Days(day, day), Reach.DEBTOR, step.now, step.zone, step.slots)
    if window is None or day != step.today or _part_at(step, window.earliest) not in promise.rung_in:
        return window
    for part, begins in DAYPART_BEGINS:
        if part not in promise.rung_in:
            later = in_daypart(day, begins, _PART_ENDS[part], Reach.DEBTOR, step.now, step.zone, step.slots)
            if later is not None:
                return Window(later.earliest, window.latest)
    return None


def _part_at(step: Step, instant: datetime) -> Daypart:
    return daypart_of(instant.astimezone(step.zone).time())


def _confirmation(step: Step, promise: Promise) -> Pending | None:
    if step.today > promise.due:
        return None
    for part in promises.CONFIRM_IN:
        if part in promise.asked_in:
            continue
        window = in_daypart(
            promise.due, _PART_BEGINS[part], _PART_ENDS[part], Reach.DEBTOR, step.now, step.zone, step.slots
        )
        if window is not None:
            return _promise_action(
                step,
                ActionCode.CONFIRM_PROMISE,
                window,
                Owner.COLLECTOR,
                f"on the due day, confirm in the {part.value}",
                f"到期日{_PART_ZH[part]}确认还款",
            )
    if not promise.asked_in and step.slots.last(promise.due, Reach.DEBTOR) is None:
        _tell_leader(step, promise, ActionCode.CONFIRM_PROMISE, promise.due)
    return None


def _tell_leader(step: Step, promise: Promise, code: ActionCode, on: date) -> None:
    """The promise lives on and is settled in time; that nobody can be called about it is said once."""
    if promise.blocked:
        return
    step.promise = replace(promise, blocked=True)
    step.note(
        NoticeKind.WINDOW_BLOCKED,
        f"policy forbids every slot for {code.value} on {on}",
        f"{on} 无可拨时段：{code.value}",
    )


_PART_ZH = {Daypart.MORNING: "上午", Daypart.NOON: "中午", Daypart.AFTERNOON: "下午", Daypart.EVENING: "晚上"}


def _promise_action(step: Step, code: ActionCode, window: Window, owner: Owner, en: str, zh: str) -> Pending:
    escalation = "broken → call next day; second → team leader; third → visit proposed"
    before = step.pending.get(Thread.PROMISE)
    if before is not None and before.action.action == code.value and before.action.latest == window.latest:
        return before  # the same action still waits; its window does not creep forward with the clock
    step.put_action(Thread.PROMISE, O.SELF_PROMISE, code, window, owner, escalation, en, zh)
    return step.pending[Thread.PROMISE]


def settle_promise(step: Step, concluded: O | None = None) -> None:
    """By the payments as they stand, unless the bank's word has ``concluded`` it."""
    promise = step.promise
    assert promise is not None
    verdict = concluded or promises.verdict(promise, step.payments, step.settings)
    step.promise = None
    step.drop(Thread.PROMISE)
    settled = Settled(
        promise=promise, verdict=verdict, at=step.now, broken_before=step.broken, replaced_before=step.replaced
    )
    step.settled = (*step.settled, settled)
    step.note(NoticeKind.VERDICT, f"the promise is settled: {verdict.value}", f"承诺判定：{_VERDICT_ZH[verdict]}")
    settled_on = promise.counts_until(step.settings)
    if verdict is O.PROMISE_BROKEN:
        promise_broken(step, settled_on)
    else:
        if verdict is O.PROMISE_KEPT:
            step.broken = step.replaced = 0
        step.owe(Thread.DEBTOR, verdict, today=min(settled_on, step.today))


_VERDICT_ZH = {O.PROMISE_KEPT: "已兑现", O.PROMISE_PARTIAL: "部分兑现", O.PROMISE_BROKEN: "跳票"}


def promise_broken(step: Step, on: date) -> None:
    """Broken → call the next day; the second → team leader; the third → a visit is proposed."""
    step.broken += 1
    if step.broken >= 3:
        step.note(NoticeKind.ESCALATED, "third broken promise: a visit is proposed", "第三次跳票：建议外访")
        step.owe(Thread.ORDER, O.LOOKUP_EMPTY)
        live = step.pending[Thread.ORDER]
        step.pending[Thread.ORDER] = replace(
            live,
            cause=O.PROMISE_BROKEN,
            action=replace(
                live.action, reason_en="third broken promise: a visit is proposed", reason_zh="第三次跳票：建议外访"
            ),
        )
        return
    owner = None
    if step.broken == 2:
        owner = Owner.TEAM_LEADER
        step.note(NoticeKind.ESCALATED, "second broken promise goes to the team leader", "第二次跳票，升级至主管")
    step.owe(Thread.DEBTOR, O.PROMISE_BROKEN, owner=owner, today=on)


def record_payment(step: Step) -> bool:
    event = step.event
    if event.payment_id is None:
        raise BadEvent("a payment needs the bank's reference", field="payment_id", remedy="give it")
    if event.amount is None or not event.amount.is_finite() or event.amount <= 0:
        raise promises.BadAmount("a payment needs an amount above zero", field="amount", remedy="enter it")
    if any(each.id == event.payment_id for each in step.payments):
        return False  # the same line of the bank's file again
    posted = event.on or step.today
    step.payments = (*step.payments, Payment(id=event.payment_id, amount=event.amount, on=posted))
    step.balance -= event.amount
    return True


def payment_posted(step: Step) -> None:
    if not record_payment(step):
        return
    _kept_after_all(step)
    if step.balance <= 0:
        paid_off(step)
        return
    promise = step.promise
    if promise is not None and promises.verdict(promise, step.payments, step.settings) is O.PROMISE_KEPT:
        settle_promise(step)


_WORTH = {O.PROMISE_BROKEN: 0, O.PROMISE_PARTIAL: 1, O.PROMISE_KEPT: 2}


def _kept_after_all(step: Step) -> None:
    """A file of the bank's that comes late shows money posted in time: the newest verdict turns for the better, and what
    was owed because of it is owed no more."""
    if not step.settled:
        return
    last = step.settled[-1]
    verdict = promises.verdict(last.promise, step.payments, step.settings)
    if _WORTH[verdict] <= _WORTH[last.verdict]:
        return
    step.settled = (*step.settled[:-1], replace(last, verdict=verdict, at=step.now))
    step.note(
        NoticeKind.VERDICT, f"a late payment turns the verdict: {verdict.value}", f"补入账改判：{_VERDICT_ZH[verdict]}"
    )
    if last.verdict is O.PROMISE_BROKEN:
        step.broken = max(0, step.broken - 1)
    if verdict is O.PROMISE_KEPT:
        step.broken = step.replaced = 0
    because = [thread for thread, each in step.pending.items() if each.cause is last.verdict]
    if because and step.promise is None and not step.held:
        step.drop(*because)
        step.owe(Thread.DEBTOR, verdict)


def paid_off(step: Step) -> None:
    """结清: a live promise was kept with it."""
    if step.promise is not None:
        settle_promise(step, O.PROMISE_KEPT)
    step.end(O.PAID)


def payment_reversed(step: Step) -> None:
    """冲正: the money is owed again; a verdict that rested on it turns, a promise not yet due lives again, a paid case is
    opened again."""
    event = step.event
    found = next((each for each in step.payments if each.id == event.payment_id), None)
    if found is None:
        raise BadEvent("no payment of this reference is known", field="payment_id", remedy="import the payment first")
    if found.reversed:
        return
    step.payments = tuple(replace(each, reversed=True) if each is found else each for each in step.payments)
    step.balance += found.amount
    if step.ended:
        if step.cause is not O.PAID:
            return
        step.stage = Stage.FOLLOW_UP
    turned = _turn_verdict(step)
    if step.promise is None and not step.held and not turned:
        step.owe(Thread.DEBTOR, O.PAYMENT_REVERSED)


def _revive(step: Step, promise: Promise) -> None:
    """The money is gone before the promise was due: it is open again, with its own day and grace."""
    step.settled = step.settled[:-1]
    step.promise = promise
    step.funding = None
    step.note(NoticeKind.VERDICT, "a reversal opens the promise again", "冲正：承诺恢复有效")


def _turn_verdict(step: Step) -> bool:
    """Whether the newest verdict fell with the payment; then its consequence is owed."""
    if not step.settled:
        return False
    last = step.settled[-1]
    verdict = promises.verdict(last.promise, step.payments, step.settings)
    if verdict is last.verdict:
        return False
    if last.verdict is O.PROMISE_KEPT and step.promise is None:
        step.broken, step.replaced = last.broken_before, last.replaced_before
        if not step.held and step.today <= last.promise.counts_until(step.settings):
            _revive(step, last.promise)
            return True
    step.settled = (*step.settled[:-1], replace(last, verdict=verdict, at=step.now))
    step.note(NoticeKind.VERDICT, f"a reversal turns the verdict: {verdict.value}", f"冲正改判：{_VERDICT_ZH[verdict]}")
    if step.promise is not None or step.held:
        if verdict is O.PROMISE_BROKEN:
            step.broken += 1
        return True
    if verdict is O.PROMISE_BROKEN:
        promise_broken(step, step.today)
    else:
        step.owe(Thread.DEBTOR, verdict)
    return True
