"""What the pacer learns from: rates that jump, durations, the budget, each number's own chance."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import BadInput
from dialer.pacing.answer_chance import AnswerChance, NumberFacts
from dialer.pacing.budget import Budget
from dialer.pacing.durations import Durations
from dialer.pacing.fast_floor import FastFloor
from dialer.pacing.hazard import HazardPacer
from dialer.pacing.scenario import Scenario, Steps
from dialer.pacing.simulator import run_day
from dialer.pacing.state import Answered, Dropped, PacingEvent
from dialer.pacing.switching import SwitchingRate
from dialer.pacing.tracking import RateTracker


def test_a_rate_is_found_and_a_jump_followed() -> None:
    random = np.random.default_rng(1)
    tracker = RateTracker(1.0)
    for _ in range(800):
        tracker.observe(float(random.random() < 0.3), 1.0)
    assert tracker.rate == pytest.approx(0.3, abs=0.05)
    for _ in range(150):
        tracker.observe(float(random.random() < 0.1), 1.0)
    assert tracker.rate < 0.17


def test_a_steady_rate_ends_up_quiet() -> None:
    random = np.random.default_rng(2)
    tracker = RateTracker(0.5)
    seen = []
    for count in range(6000):
        tracker.observe(float(random.random() < 0.3), 1.0)
        if count > 3000:
            seen.append(tracker.rate)
    assert float(np.std(seen)) < 0.02


def test_a_tracker_goes_on_from_its_record() -> None:
    tracker = RateTracker(0.5)
    for count in range(100):
        tracker.observe(float(count % 3 == 0), 1.0)
    other = RateTracker.from_record(json.loads(json.dumps(tracker.as_record())))
    tracker.observe(1.0, 2.0)
    other.observe(1.0, 2.0)
    assert other.rate == tracker.rate


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.01, 4000.0), max_size=60))
def test_a_distribution_rises_and_is_never_cut_off(observed: list[float]) -> None:
    durations = Durations(12.0, 0.8, 6.0, 200.0)
    for seconds in observed:
        durations.observe(seconds)
    found = durations.distribution(np.array([0.0, 1.0, 5.0, 20.0, 100.0, 1e6]))
    assert np.all(np.diff(found) >= 0)
    assert found[0] == 0.0
    assert found[-1] < 1.0


def test_durations_find_the_shape() -> None:
    random = np.random.default_rng(3)
    durations = Durations(40.0, 1.0, 6.0, 5000.0)
    for seconds in random.exponential(12.0, 3000):
        durations.observe(float(seconds))
    found = durations.distribution(np.array([6.0, 12.0, 30.0]))
    assert found == pytest.approx([1 - math.exp(-0.5), 1 - math.exp(-1.0), 1 - math.exp(-2.5)], abs=0.03)
    assert durations.spread() == pytest.approx(1.0, abs=0.1)


def test_the_shape_survives_a_change_of_scale() -> None:
    durations = Durations(90.0, 1.0, 10.0, 1000.0, own_scale=False)
    before = durations.distribution(np.array([90.0]))[0]
    durations.scale = 180.0
    assert durations.distribution(np.array([180.0]))[0] == pytest.approx(before)


@pytest.mark.parametrize("target", [0.0, -0.1, 0.5, float("nan")])
def test_a_target_out_of_range_is_refused(target: float) -> None:
    with pytest.raises(BadInput, match="target"):
        Budget(target)


@pytest.mark.parametrize("target", [0.005, 0.01, 0.028])
def test_the_threshold_settles_where_risk_meets_the_target(target: float) -> None:
    budget = Budget(target)
    budget.begin(10.0)
    random = np.random.default_rng(4)
    for count in range(40_000):
        risk = budget.threshold * 0.5  # a floor on which a call costs half the threshold
        budget.placed(float(count), 0.3, risk, 10.0)
        if count % 3 == 0:
            budget.answered(float(count), risk)
            if random.random() < risk:
                budget.dropped(float(count))
    assert 0.8 < budget.drops / budget.answers / target < 1.1


def test_a_target_of_a_thousandth_is_not_overspent() -> None:
    drops = answers = 0
    for seed in range(3):
        budget = Budget(0.001)
        budget.begin(10.0)
        random = np.random.default_rng(seed)
        for count in range(20_000):
            risk = budget.threshold * 0.5
            budget.placed(float(count), 1.0, risk, 10.0)
            budget.answered(float(count), risk)
            if random.random() < 1.5 * risk:  # half as many again as predicted
                budget.dropped(float(count))
        drops, answers = drops + budget.drops, answers + budget.answers
    assert 0.0004 < drops / answers <= 0.00105


def test_debt_lowers_the_aim_and_a_bad_half_hour_stops_risk() -> None:
    budget = Budget(0.01)
    for count in range(100):
        budget.answered(float(count), 0.01)
    before = budget.aim()
    assert budget.half_hours.room(100.0) == 1.0
    for _ in range(12):
        budget.dropped(100.0)
    assert budget.aim() < before
    assert budget.half_hours.room(101.0) == 0.0
    assert budget.half_hours.room(101.0 + 1900.0) == 1.0


def test_a_young_campaign_aims_at_less_and_a_grown_one_at_all_of_it() -> None:
    aims = {}
    for agents in (1, 10, 100):
        budget = Budget(0.01)
        budget.begin(agents)
        aims[agents] = []
        for _ in range(40_000):
            aims[agents].append(budget.aim())
            budget.answered(0.0, 0.0)
            budget.balance = 0.0
    assert all(each[0] == pytest.approx(0.3 * each[-1], rel=0.01) for each in aims.values())
    assert all(each[-1] == pytest.approx(0.0096, rel=0.01) for each in aims.values())
    assert aims[1][100] > aims[10][100] > aims[100][100], (
        "a large floor answers as much in a minute as a small one in an hour"
    )


def test_the_first_ten_minutes_drop_no_more_than_the_target() -> None:
    """A floor as in `bench/floor_soak.py`, whose pacer knows nothing when it begins."""
    scenario = Scenario(agents=30, answer_rate=0.36, ring=4.0, no_answer=12.0, talk=20.0, wrap=4.0, channels=90)
    days = [run_day(FastFloor(scenario, seed), HazardPacer(0.01), hours=1 / 6) for seed in range(40)]
    assert sum(day.drops > 0.01 * day.answers for day in days) <= 2, "each campaign, not only all of them together"
    assert np.mean([day.utilisation for day in days]) > 0.8


def test_each_number_gets_its_own_chance() -> None:
    random = np.random.default_rng(7)
    model = AnswerChance()
    for _ in range(3000):
        mobile = random.random() < 0.5
        facts = NumberFacts(hour=int(random.integers(9, 20)), number_type="mobile" if mobile else "workplace")
        model.observe(facts, bool(random.random() < (0.4 if mobile else 0.1)))
    assert model.chance(NumberFacts(hour=12, number_type="mobile")) == pytest.approx(0.4, abs=0.09)
    assert model.chance(NumberFacts(hour=12, number_type="workplace")) == pytest.approx(0.1, abs=0.06)
    restored = AnswerChance.from_record(json.loads(json.dumps(model.as_record())))
    facts = NumberFacts(hour=12, number_type="mobile", silent_attempts=2)
    assert restored.chance(facts) == model.chance(facts)


def test_an_unknown_number_is_taken_to_answer() -> None:
    assert AnswerChance().chance(NumberFacts(hour=10)) == pytest.approx(0.5)
    with pytest.raises(BadInput, match="hour"):
        NumberFacts(hour=24)


def told(rate: SwitchingRate, chance: float, calls: int, random: np.random.Generator, each: float = 1.0) -> None:
    for _ in range(calls):
        rate.observe(float(random.random() < chance), 1.0, each)


def test_a_switching_rate_sees_a_jump_within_a_few_events() -> None:
    """Over several days, for one may be unlucky: after sixty calls, some 27 answers where 9 were thought."""
    found, slower = [], []
    for seed in range(8):
        random = np.random.default_rng(seed)
        rate, slow = SwitchingRate(0.5), RateTracker(0.5)
        for chance, calls in ((0.15, 3000), (0.45, 60)):
            for _ in range(calls):
                came = float(random.random() < chance)
                rate.observe(came, 1.0, 1.0)
                slow.observe(came, 1.0)
            if chance == 0.15:
                assert rate.rate == pytest.approx(0.15, abs=0.04)
        found.append(rate.rate)
        slower.append(slow.rate)
    assert float(np.mean(found)) == pytest.approx(0.45, abs=0.15)
    assert float(np.mean(found)) > float(np.mean(slower))


def test_what_is_not_known_is_known_too() -> None:
    random = np.random.default_rng(4)
    rate = SwitchingRate(0.3)
    unknown = rate.doubt
    told(rate, 0.3, 4000, random)
    sure = rate.doubt
    assert sure < 0.12 < 0.5 < unknown
    told(rate, 0.9, 8, random)  # hardly possible at 0.3: it has jumped, who knows where
    assert rate.doubt > sure


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0.0, 500.0), st.floats(0.0, 60.0)), max_size=40))
def test_a_switching_rate_stays_finite_whatever_comes(seen: list[tuple[int, float, float]]) -> None:
    rate = SwitchingRate(1.0)
    for events, exposure, seconds in seen:
        rate.observe(float(events), exposure, seconds)
    assert 0.002 < rate.rate < 9.0
    assert 0.0 <= rate.doubt < 10.0


def test_a_switching_rate_goes_on_from_its_record() -> None:
    random = np.random.default_rng(5)
    rate = SwitchingRate(0.5)
    told(rate, 0.3, 200, random)
    other = SwitchingRate.from_record(json.loads(json.dumps(rate.as_record())))
    rate.observe(2.0, 3.0, 1.0)
    other.observe(2.0, 3.0, 1.0)
    assert (other.rate, other.doubt) == (rate.rate, rate.doubt)


def dropping(budget: Budget, since: int, until: int, every: int) -> None:
    """An answer every ten seconds, one in ``every`` is dropped."""
    for number, second in enumerate(range(since, until, 10)):
        budget.answered(float(second), 0.02)
        if number % every == every - 1:
            budget.dropped(float(second))


def test_the_agents_who_are_left_say_what_may_still_be_dropped() -> None:
    budget = Budget(0.028)
    budget.expect(180.0, 0.5, 10.0)
    dropping(budget, 0, 600, every=10)
    full = budget.half_hours.room(600.0)
    budget.expect(60.0, 0.5, 10.0)  # most of them leave
    assert budget.half_hours.room(600.0) < full
    again = Budget.from_record(json.loads(json.dumps(budget.as_record())))
    assert again.half_hours.room(600.0) == budget.half_hours.room(600.0)


def test_what_was_answered_before_agents_left_counts_for_its_half_hour() -> None:
    """The half-hour that is nearly over has its answers already: those who leave take no room from it."""
    budget = Budget(0.028)
    budget.expect(1800.0, 0.5, 10.0)
    for second in range(1700):
        budget.answered(float(second), 0.02)
        if second < 200 and second % 8 == 0:
            budget.dropped(float(second))  # 25 at its beginning, of 1,700
    assert budget.half_hours.room(1700.0) == 1.0
    budget.expect(300.0, 0.5, 10.0)
    assert budget.half_hours.room(1700.0) == 1.0


def test_lively_times_are_known_from_calm_ones_and_keep_more_room() -> None:
    random = np.random.default_rng(8)
    calm, lively = SwitchingRate(1.0, 10.0), SwitchingRate(1.0, 10.0)
    for second in range(7200):
        for rate, factor in ((calm, 1.0), (lively, (0.5, 1.5)[second // 1200 % 2])):
            exposure = 0.08 / rate.rate
            rate.observe(float(random.poisson(exposure * factor)), exposure, 1.0)
    assert calm.lively < 0.25
    assert lively.lively > 0.6
    rooms = []
    for rate in (calm, lively):
        budget = Budget(0.028)
        budget.expect(137.0, rate.lively, 10.0)
        for _ in range(3):
            budget.dropped(10.0)
        rooms.append(budget.half_hours.room(11.0))
    assert rooms[0] > rooms[1] > 0.0


def test_ten_agents_steer_for_less_and_a_handful_or_a_hundred_for_all_of_it() -> None:
    """A half-hour of ten agents is often near what it may have, and a storm may take all of it; a handful's is too small to
    be kept, a hundred's bears both."""
    aims = {}
    for size in (5.0, 10.0, 30.0, 100.0):
        budget = Budget(0.028)
        for lively in (0.3, 1.0):
            budget.expect(14.0 * size, lively, size)
            aims[size, lively] = budget.aim()
    everything = aims[5.0, 0.3]
    assert aims[5.0, 1.0] == aims[30.0, 0.3] == aims[100.0, 0.3] == everything
    assert 0.7 * everything < aims[10.0, 0.3] < 0.9 * everything
    assert aims[10.0, 1.0] == pytest.approx(0.5 * everything)
    assert aims[10.0, 1.0] < aims[30.0, 1.0] < aims[100.0, 1.0]
    assert aims[100.0, 1.0] > 0.99 * everything
    rarer = Budget(0.01)
    rarer.expect(140.0, 0.3, 10.0)
    assert rarer.half_hours.kept < 0.05, "at 1% a half-hour of ten agents is seldom near six in a hundred"


def test_what_a_young_campaign_did_not_drop_is_caught_up_on_and_no_more_than_half_as_fast_again() -> None:
    budget = Budget(0.01)
    budget.expect(1260.0, 0.3, 30.0)
    for number in range(6000):
        budget.answered(0.3 * number, 0.005)  # and nobody dropped
    assert budget.aim() == pytest.approx(0.0144, rel=0.01)
    for _ in range(60):
        budget.dropped(1800.0)  # 1% of them
    assert budget.aim() <= 0.0096


def test_a_half_hour_counts_on_all_answers_in_calm_times_and_on_half_where_rates_jump() -> None:
    """A guard that trusts in the answers to come must stop the earlier: a smaller share, of more."""
    left = {}
    for lively in (0.0, 1.0):
        budget = Budget(0.028)
        budget.expect(1000.0, lively, 30.0)
        left[lively] = budget.half_hours.left(0.0)
    assert left[0.0] == pytest.approx(1.75 * 28.0)
    assert left[1.0] == pytest.approx(1.9 * 14.0)


def test_drops_left_are_those_of_the_clocks_half_hour() -> None:
    budget = Budget(0.028)
    budget.expect(100.0, 0.0, 10.0)
    whole = budget.half_hours.left(0.0)
    assert 4.0 < whole < 6.0  # under 6% of a hundred answers
    for at in (10.0, 70.0):
        budget.dropped(at)
    assert budget.half_hours.left(71.0) == pytest.approx(whole - 2.0, abs=0.3)
    for _ in range(50):
        budget.answered(600.0, 0.0)
    budget.dropped(1500.0)
    assert budget.half_hours.left(1501.0) < whole - 2.0
    assert budget.half_hours.left(1800.0) == whole  # the next one has all of its own
    budget.expect(100.0, 1.0, 10.0)
    assert budget.half_hours.left(1800.0) < 0.6 * whole  # where rates jump, half of what may come is not counted on


def test_half_hours_begin_where_the_clocks_do() -> None:
    budget = Budget(0.028, half_hours_begin=700.0)
    budget.expect(100.0, 0.0, 10.0)
    for _ in range(3):
        budget.dropped(690.0)
    assert budget.half_hours.left(699.0) < 2.0
    assert budget.half_hours.left(700.0) > 4.0
    again = Budget.from_record(json.loads(json.dumps(budget.as_record())))
    assert again.half_hours.left(700.0) == budget.half_hours.left(700.0)


def test_a_cluster_across_two_half_hours_is_a_cluster() -> None:
    """Each of the two bears its part; half an hour from whichever minute may have a quarter more than they, and no more."""
    rooms = {}
    for before in (0, 4):
        budget = Budget(0.028)
        budget.expect(80.0, 0.0, 6.0)
        for second in range(1700, 1800, 10):
            budget.answered(float(second), 0.02)
        for _ in range(before):
            budget.dropped(1790.0)
        for _ in range(2):
            budget.dropped(1810.0)
        rooms[before] = budget.half_hours.room(1811.0), budget.half_hours.left(1811.0)
    assert rooms[4][0] < 0.2 < 0.5 < rooms[0][0]
    assert rooms[4][1] == rooms[0][1]


@pytest.mark.parametrize(("answers", "most"), [(100, 6), (140, 8), (460, 27), (1500, 90)])
def test_room_is_gone_before_six_in_a_hundred_are_dropped(answers: int, most: int) -> None:
    budget = Budget(0.028)
    for number in range(answers):
        budget.answered(number * 1799.0 / answers, 0.02)
    rooms = [budget.half_hours.room(1799.0)]
    while budget.drops < most:
        budget.dropped(1799.0)
        rooms.append(budget.half_hours.room(1799.0))
    assert rooms[0] == 1.0
    assert rooms == sorted(rooms, reverse=True)
    assert rooms[-1] == 0.0


def test_a_half_hour_may_have_relatively_more_where_drops_are_rarer() -> None:
    """Three of a hundred are nearly all at 2.8%. At 1%, where one is usual, they are as much chance as too much risk."""
    rooms = {}
    for target in (0.028, 0.01, 0.001):
        budget = Budget(target)
        for number in range(90):
            budget.answered(number * 19.9, target)
        for _ in range(3):
            budget.dropped(1799.0)
        rooms[target] = budget.half_hours.room(1799.0)
        budget.dropped(1799.0)
        budget.dropped(1799.0)
        assert budget.half_hours.room(1799.0) == 0.0
    assert 0.0 < rooms[0.028] < 0.4
    assert rooms[0.01] > 0.8
    assert rooms[0.001] - rooms[0.01] < 0.2  # there is an end to it: a guard must guard


def test_a_young_campaign_of_many_agents_takes_no_risk_before_it_has_a_drop_in_hand() -> None:
    rooms: dict[int, list[float]] = {}
    for agents in (10, 30):
        budget = Budget(0.01)
        budget.begin(float(agents))
        rooms[agents] = [budget.room(0.0)]
        for answers, drops in ((90, 0), (110, 0), (250, 0), (0, 3), (20_000, 0), (0, 300)):
            for _ in range(answers):
                budget.answered(0.0, 0.0)
            for _ in range(drops):
                budget.dropped(0.0)
            rooms[agents].append(budget.account_room())
    nothing, less, more, much, dropped, grown, owing = rooms[30]
    assert nothing == less == 0.0
    assert 0.0 < more < much <= 1.0
    assert dropped < 0.5 * much
    assert grown == owing == 1.0  # then the account pulls, the half-hours guard, and the ledger is the gate
    assert set(rooms[10]) == {1.0}  # a drop in hand would take ten agents an hour


class _Listening(HazardPacer):
    """Notes the first twenty answers, and the drops among them."""

    def __init__(self) -> None:
        super().__init__(0.028, patience=0.0, cancels=False)
        self.answered = self.dropped = 0

    def observe(self, event: PacingEvent) -> None:
        if self.answered < 20:
            self.answered += isinstance(event, Answered)
            self.dropped += isinstance(event, Dropped)
        super().observe(event)


def test_one_agents_first_twenty_answers_are_not_spent_on_guesses() -> None:
    """A second call for one agent costs a drop more often than not, whatever is believed of ringing so far."""
    scenario = Scenario(agents=1, answer_rate=0.5, ring=15.0, patience=0.0, markov=True)
    pacers = [_Listening() for _ in range(40)]
    for seed, pacer in enumerate(pacers):
        run_day(FastFloor(scenario, seed), pacer, hours=0.75)
    answered, dropped = sum(pacer.answered for pacer in pacers), sum(pacer.dropped for pacer in pacers)
    assert answered > 700
    assert dropped < 0.045 * answered


@pytest.mark.parametrize(("agents", "jumps", "every"), [(40, True, 0.5), (40, False, 1.0), (10, True, 1.0)])
def test_a_large_floor_is_asked_after_twice_a_second_while_rates_jump(agents: int, jumps: bool, every: float) -> None:
    steps = Steps(factors=(1.0, 0.5, 1.5, 0.7, 1.3), every_minutes=10.0) if jumps else Steps()
    pacer = HazardPacer(0.028)
    assert pacer.every == 2.0, "nobody is there yet"
    run_day(FastFloor(Scenario(agents=agents, answer_rate=0.3, answer_steps=steps), 5), pacer, hours=1.5)
    assert pacer.every == every


def test_the_first_guess_of_how_lively_times_are_is_kept_until_something_is_seen() -> None:
    calm, undecided = SwitchingRate(1.0, 10.0, lively=0.03), SwitchingRate(1.0, 10.0)
    assert calm.lively == pytest.approx(0.03)
    assert undecided.lively == pytest.approx(0.5)
    assert calm.rate == pytest.approx(undecided.rate)
    for rate in (calm, undecided):
        rate.observe(30.0, 10.0, 60.0)  # three times as many as believed
    assert calm.rate < undecided.rate, "who takes calm for granted is slower to believe in a jump"


def test_who_sees_few_answers_does_not_look_for_jumps_in_noise_and_sees_a_real_one() -> None:
    """A day of three agents: some 500 answers, 15 in a hundred calls; then three times as many."""
    off: dict[float, list[float]] = {1.0: [], 0.125: []}
    after: dict[float, list[float]] = {1.0: [], 0.125: []}
    for turning in off:
        for seed in range(12):
            random = np.random.default_rng(seed)
            rate = SwitchingRate(0.15, 10.0, lively=0.01)
            for call in range(3400):
                rate.observe(float(random.random() < 0.15), 1.0, 8.5, turning=turning)
                if call % 50 == 49 and call > 400:
                    off[turning].append(math.log(rate.rate / 0.15) ** 2)
            for _ in range(80):
                rate.observe(float(random.random() < 0.45), 1.0, 8.5, turning=turning)
            after[turning].append(rate.rate)
    assert float(np.mean(off[0.125])) < float(np.mean(off[1.0]))
    assert float(np.mean(after[0.125])) > 0.35
