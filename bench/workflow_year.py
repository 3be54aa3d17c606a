"""Model check by a simulated year: ``python -m bench.workflow_year [CASES] [DAYS]`` keeps bench/results/workflow_year.txt.

Cases in China, New York and London live through a year: working days, holidays, make-up days, clock changes; some
clients forbid calls on public holidays, some third parties may not be called at all. Whoever owns an action does it
at some permitted instant of its window. The year must show no window without a permitted instant, no overdue action and
no case without exactly one next action. Every window that is laid out must be the SOP's to the minute, and a
``WINDOW_BLOCKED`` must be true, both by ``bench.workflow_yardstick``, which knows nothing of the code it measures.
"""

from __future__ import annotations

import platform
import random
import sys
import time as clock_time
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.workflow_measure import EXPECTED, Broken, Measure, Tally
from bench.workflow_yardstick import Yardstick
from case_store.model import Channel
from case_store.workflow import (
    CaseEvent,
    CaseState,
    FixedHours,
    NumberTrack,
    Reach,
    Rules,
    apply,
    open_case,
)
from case_store.workflow.outcomes import OutcomeCode as O
from config.calendars import Calendar
from config.settings import WorkflowSettings

HOURS = {"CN": (8, 22), "US-NY": (8, 21), "GB-ENG": (8, 21)}
CLOCKS = {"CN": "Asia/Shanghai", "US-NY": "America/New_York", "GB-ENG": "Europe/London"}
CALLS = {
    "sweep", "call-debtor", "remind-promise", "confirm-promise", "progress-call", "call-contact", "press-again",
    "contact-again", "redial", "confirm-fraud", "call-back",
}  # fmt: skip


class Life:
    """One debtor's year."""

    def __init__(self, seed: int, days: int, tally: Tally) -> None:
        self.draw = random.Random(seed)
        self.tally = tally
        self.region = self.draw.choice(tuple(CLOCKS))
        self.zone = ZoneInfo(CLOCKS[self.region])
        self.calendar = Calendar(self.region)
        self.rests = self.draw.random() < 0.4
        self.no_third_parties = self.draw.random() < 0.4
        self.open_hour, self.close_hour = HOURS[self.region]
        self.rules = Rules(
            calendar=self.calendar,
            slots=FixedHours(self.zone, time(self.open_hour), time(self.close_hour), self.shut),
            settings=WorkflowSettings(registry_allowed=self.draw.random() < 0.3),
        )
        self.yard = Yardstick(
            zone=self.zone,
            opens=time(self.open_hour),
            closes=time(self.close_hour),
            shut=lambda day: self.shut(day, Reach.DEBTOR),
            calendar=self.calendar,
            chinese=self.region == "CN",
        )
        self.measure = Measure(self.yard, tally)
        self.placed = date.min
        begins = date(2026, 1, 1) + timedelta(days=self.draw.randrange(20))
        self.now = datetime.combine(begins, time(9, self.draw.randrange(60)), tzinfo=self.zone).astimezone(UTC)
        self.stop = self.now + timedelta(days=days)
        self.serial = 0

    def shut(self, day: date, reach: Reach) -> bool:
        if reach is Reach.CONTACT and self.no_third_parties:
            return True
        return self.rests and self.calendar.is_holiday(day)

    def live(self) -> None:
        while self.now < self.stop:
            self.one_case()
            self.now += timedelta(days=self.draw.randrange(1, 15))

    def one_case(self) -> None:
        self.tally.cases += 1
        self.serial += 1
        self.placed = self.yard.today(self.now)
        state = open_case(
            case_id=f"case-{self.serial}",
            zone_name=self.zone.key,
            entrusted_at=self.now,
            balance=Decimal(1000),
            currency="CNY",
            numbers=self.numbers(),
            rules=self.rules,
            term_ends_on=(self.now + timedelta(days=120)).date(),
        )
        self.check(state)
        self.measure.measure(None, state, CaseEvent(outcome=O.NEW, at=self.now), self.placed)
        if self.no_third_parties:
            for number in state.numbers:
                if not number.channel.is_debtors_own and not state.is_terminal:
                    refused = CaseEvent(outcome=O.NUMBER_REFUSED, at=self.now, number_id=number.id, rule="third-party")
                    state = self.step(state, refused)
        while not state.is_terminal and self.now < self.stop:
            state = self.act(state)
        if state.is_terminal:
            self.tally.ended[state.cause.value] += 1

    def numbers(self) -> tuple[NumberTrack, ...]:
        chosen = self.draw.sample(tuple(Channel), self.draw.randrange(0, 6))
        return tuple(
            NumberTrack(id=f"n{place}", contact_id="debtor" if each.is_debtors_own else f"c{place}", channel=each)
            for place, each in enumerate(chosen)
        )

    # --- doing what is due

    def act(self, state: CaseState) -> CaseState:
        action = state.next_action
        assert action is not None
        self.tally.actions[action.action] += 1
        if not action.earliest < action.latest:
            raise Broken(f"{action.action}: the window is empty")
        at = self.instant(state)
        if not (action.earliest <= at < action.latest):
            raise Broken(f"{action.action}: no permitted instant in its window")
        before = state
        state = self.step(state, CaseEvent(outcome=O.TIME_PASSED, at=at))
        if state.next_action is None or state.next_action.action != action.action or state.pending != before.pending:
            return state  # the clock itself changed the case (term over, promise settled)
        if action.action == "sweep":
            return self.sweep(state, at)
        return self.step(state, self.answer(state, at))

    def instant(self, state: CaseState) -> datetime:
        """Some permitted instant of the window, not before now; an action of the system is done at its end."""
        action = state.next_action
        assert action is not None
        begin = max(action.earliest, self.now + timedelta(milliseconds=1))
        if action.action == "settle-promise":
            return action.latest - timedelta(seconds=1)
        at = begin + (action.latest - begin) * self.draw.random() * self.draw.choice((0.05, 1.0))
        at = at.replace(microsecond=0)
        at = max(at, begin)
        if action.action not in CALLS:
            return at
        if not self.is_permitted(at):
            at = begin
            while not self.is_permitted(at) and at < action.latest:
                at += timedelta(minutes=30)
                here = at.astimezone(self.zone)
                if here.hour < self.open_hour:
                    at = max(at, here.replace(hour=self.open_hour, minute=0, second=0).astimezone(UTC))
        return at

    def is_permitted(self, at: datetime) -> bool:
        here = at.astimezone(self.zone)
        if self.rests and self.calendar.is_holiday(here.date()):
            return False
        return self.open_hour <= here.hour < self.close_hour

    def step(self, state: CaseState, event: CaseEvent) -> CaseState:
        self.now = max(self.now, event.at)
        self.tally.events += 1
        after = apply(state, event, self.rules)
        for notice in after.notices:
            self.tally.notices[notice.kind.value] += 1
        self.check(after)
        self.measure.measure(state, after, event, self.placed)
        return after

    def check(self, state: CaseState) -> None:
        self.tally.stages.add(state.stage.value)
        if (state.next_action is None) != state.is_terminal:
            raise Broken("not exactly one next action")
        if state.next_action is None:
            return
        live = [each for each in state.pending if each.action == state.next_action]
        if len(live) != 1:
            raise Broken("the live action is not one of the obligations")
        if state.promise is not None and len(state.pending) != 1:
            raise Broken("a live promise does not suspend other pressure")
        if any(notice.kind == "OVERDUE" for notice in state.notices):
            raise Broken(f"overdue: {state.next_action.action}")
        target = state.number(state.next_action.number_id or "")
        if self.no_third_parties and target is not None and not target.channel.is_debtors_own:
            raise Broken(f"{state.next_action.action}: a third party who may not be called")
        if state.next_action.action in CALLS and not self.is_permitted(state.next_action.earliest):
            raise Broken(f"{state.next_action.action}: earliest is not a permitted instant")

    def sweep(self, state: CaseState, at: datetime) -> CaseState:
        """A few numbers in SOP order, seconds apart."""
        order = {channel: place for place, channel in enumerate(Channel)}
        todo = sorted(
            (each for each in state.numbers if each.is_open and not each.swept), key=lambda each: order[each.channel]
        )
        for place, number in enumerate(todo):
            moment = at + timedelta(seconds=place)
            if state.next_action is None or state.next_action.action != "sweep" or moment >= state.next_action.latest:
                break
            event = self.on_number(state, number, moment)
            state = self.step(state, event)
        return state

    def answer(self, state: CaseState, at: datetime) -> CaseEvent:
        action = state.next_action
        assert action is not None
        name, draw = action.action, self.draw
        if name in ("call-debtor", "progress-call", "remind-promise", "confirm-promise", "redial", "confirm-fraud"):
            return self.on_debtor(state, at, name)
        if name in ("call-contact", "press-again", "contact-again", "call-back"):
            number = state.number(action.number_id or "")
            if number is not None and number.is_open:
                return self.on_number(state, number, at)
            return self.on_debtor(state, at, name)
        if name == "settle-promise":
            if draw.random() < 0.5 and state.promise is not None and state.balance > 0:
                amount = min(state.balance, draw.choice((state.promise.amount, state.promise.amount / 2)))
                return CaseEvent(
                    outcome=O.PAYMENT, at=at, amount=amount, on=state.promise.due, payment_id=f"p{at.timestamp()}"
                )
            return CaseEvent(outcome=O.TIME_PASSED, at=at + timedelta(seconds=1))
        if name == "look-up":
            if draw.random() < 0.5:
                found = NumberTrack(id=f"f{at.timestamp()}", contact_id="debtor", channel=Channel.MOBILE)
                return CaseEvent(outcome=O.NUMBER_FOUND, at=at, number=found)
            return CaseEvent(outcome=O.LOOKUP_EMPTY, at=at)
        if name == "request-registry":
            return self.registry(state, at)
        simple = {
            "propose-visit": CaseEvent(outcome=O.VISIT_ORDER, at=at, by="li"),
            "approve-visit": CaseEvent(
                outcome=O.VISIT_APPROVED if draw.random() < 0.8 else O.VISIT_REFUSED, at=at, by="zhao"
            ),
            "sign-declaration": CaseEvent(outcome=O.FRAUD_DECLARED, at=at),
            "send-packet": CaseEvent(outcome=O.FRAUD_PACKET_SENT, at=at),
            "await-bank": CaseEvent(outcome=draw.choice((O.FRAUD_UPHELD, O.FRAUD_REJECTED)), at=at),
            "review-hold": CaseEvent(outcome=draw.choice((O.HOLD_RELEASED, O.RECALLED)), at=at, by="compliance"),
            "decide": CaseEvent(outcome=O.LEADER_DECIDED if draw.random() < 0.9 else O.CLOSED, at=at, by="zhao"),
        }
        if name in simple:
            return simple[name]
        if name == "visit":
            result = draw.choice((O.SELF_NEGOTIATING, O.LOST_CONTACT, O.HARDSHIP))
            return CaseEvent(outcome=O.VISIT_DONE, at=at, visitors=("wu", "xu"), result=result)
        raise Broken(f"nobody knows how to do {name}")

    def registry(self, state: CaseState, at: datetime) -> CaseEvent:
        newest = next((each for each in reversed(state.orders) if each.kind == "registry"), None)
        if newest is None or newest.state not in ("asked", "approved"):
            return CaseEvent(outcome=O.REGISTRY_CHECK, at=at, by="clerk", legal_basis="court order")
        if newest.state == "asked":
            return CaseEvent(outcome=O.REGISTRY_APPROVED, at=at, by="compliance")
        return CaseEvent(outcome=O.REGISTRY_EMPTY, at=at)

    def on_debtor(self, state: CaseState, at: datetime, name: str) -> CaseEvent:
        if name == "confirm-fraud":
            claimed = state.fraud_claimed_on
            assert claimed is not None
            return CaseEvent(outcome=O.FRAUD_CONFIRMED, at=at, on=max(claimed, at.astimezone(self.zone).date()))
        action = state.next_action
        own = [each for each in state.numbers if each.is_open and each.channel.is_debtors_own]
        if name == "redial" and action is not None and action.number_id is not None:
            chosen = state.number(action.number_id)
            assert chosen is not None
            return self.on_number(state, chosen, at)
        if not own:
            return CaseEvent(outcome=O.LOST_CONTACT, at=at)
        if state.promise is not None:
            outcome = self.draw.choice((O.NO_ANSWER, O.PROMISE_REMINDED, O.PROMISE_CONFIRMED, O.BUSY))
            return CaseEvent(outcome=outcome, at=at, number_id=self.draw.choice(own).id)
        return self.on_number(state, self.draw.choice(own), at)

    def agreed_minute(self, at: datetime) -> datetime | None:
        """A permitted minute within the next week, or None where this one is not."""
        minute = at.replace(second=0, microsecond=0) + timedelta(minutes=self.draw.randrange(30, 6 * 24 * 60))
        return minute if self.is_permitted(minute) else None

    def on_number(self, state: CaseState, number: NumberTrack, at: datetime) -> CaseEvent:
        draw = self.draw
        bad = (O.NOT_IN_SERVICE, O.NO_SUCH_PERSON, O.NUMBER_INVALID)
        silent = (O.NO_ANSWER, O.NO_ANSWER, O.BUSY, O.SWITCHED_OFF)
        if number.channel.is_debtors_own:
            outcome = draw.choice(
                (*silent, *silent, *bad, O.SELF_NEGOTIATING, O.SELF_NEGOTIATING, O.SELF_PROMISE, O.SELF_RAISING_FUNDS)
            )
            if draw.random() < 0.03:
                outcome = draw.choice((O.FRAUD_CLAIM, O.DISPUTE, O.COMPLAINT, O.HARDSHIP, O.DECEASED))
        else:
            outcome = draw.choice(
                (*silent, *bad, O.THIRD_PARTY_NEGOTIATING, O.MESSAGE_LEFT_1, O.MESSAGE_LEFT_2, O.REFUSED_CONTACT)
            )
        today = at.astimezone(self.zone).date()
        if state.promise is None and draw.random() < 0.04 and (minute := self.agreed_minute(at)) is not None:
            return CaseEvent(
                outcome=O.CALL_BACK_AGREED,
                at=at,
                number_id=number.id,
                by="li",
                call_at=minute,
                team=draw.random() < 0.3,
            )
        if outcome is O.SELF_PROMISE:
            days = max(1, 3 - state.broken - state.replaced)
            due = today + timedelta(days=draw.randrange(0, days + 1))
            return CaseEvent(
                outcome=outcome, at=at, number_id=number.id, amount=min(state.balance, Decimal(300)), on=due
            )
        if outcome is O.SELF_RAISING_FUNDS:
            if state.funding is not None and state.funding.extended:
                outcome = O.SELF_NEGOTIATING
            else:
                due = today + timedelta(days=draw.randrange(1, 8))
                return CaseEvent(outcome=outcome, at=at, number_id=number.id, on=due)
        return CaseEvent(outcome=outcome, at=at, number_id=number.id)


def run(cases: int, days: int, first_seed: int = 0) -> Tally:
    """So many debtors' years; raises ``Broken`` with the seed at the first state the SOP does not allow."""
    tally = Tally()
    for seed in range(first_seed, first_seed + cases):
        try:
            Life(seed, days, tally).live()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    return tally


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    days = int(sys.argv[2]) if len(sys.argv) > 2 else 365
    started = clock_time.process_time()
    tally = run(cases, days)
    seconds = clock_time.process_time() - started
    if missing := EXPECTED - set(tally.measured):
        raise Broken(f"never measured: {', '.join(sorted(missing))}")
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    lines = [
        f"workflow_year: {cases} debtors x {days} days, {datetime.now(UTC):%Y-%m-%d}",
        f"machine: {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        f"cases opened: {tally.cases}; events applied: {tally.events}; {seconds:.0f} s of CPU time",
        f"microseconds an event (simulation included): {seconds / tally.events * 1e6:.0f}",
        "windows missed: 0 (the run stops at the first)",
        f"windows equal to the yardstick's to the minute: {sum(tally.measured.values())}: "
        + ", ".join(f"{name} {count}" for name, count in sorted(tally.measured.items())),
        f"WINDOW_BLOCKED logged: {tally.notices['WINDOW_BLOCKED']}, each found true: "
        + ", ".join(f"{name} {count}" for name, count in sorted(tally.blocked.items())),
        "actions done: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.actions.items())),
        "notices: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.notices.items())),
        "ended: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.ended.items())),
        "stages seen: " + ", ".join(sorted(tally.stages)),
    ]
    text = "\n".join(lines) + "\n"
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "workflow_year.txt").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
