"""Why is it not dialing? Pure: the facts of a moment in, every gate with its count out.

The campaign dials by the same facts (`room`), so the explanation cannot differ from what is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from dialer.campaigns import CampaignState, Gate, Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class GateFacts:
    """What holds at one instant. ``refused`` counts numbers by the rule that refuses them now."""

    state: CampaignState
    lines: int
    lines_busy: int
    agents_ready: int
    agents_on_floor: int
    trunks: int
    trunks_down: dict[str, str] = field(default_factory=dict)
    recorder_problems: tuple[str, ...] = ()
    relay_up: bool = True
    numbers_left: int = 0  # cases whose next number may be tried now: one number of a case at a time
    numbers_resting: int = 0  # not now: another of the case is in flight, or the rule's time has not come
    refused: dict[str, int] = field(default_factory=dict)
    next_permitted: datetime | None = None
    ledger_open: bool = True
    mode: Mode = Mode.PROGRESSIVE
    in_campaign: int = 0  # cases this campaign still has to sweep, whenever they are due
    pace: str | None = None  # what bound the pacer's last decision
    engine_problem: str | None = None


HOURS_RULES = ("hours", "holiday", "inconvenient")


def room(facts: GateFacts) -> int:
    """How many calls the gates would let leave at this instant: a line for each, and (unless the pacer says when)
    an agent who is ready for each."""
    if any(gate.holds_back for gate in explain(facts)):
        return 0
    free = facts.lines - facts.lines_busy
    return free if facts.mode is Mode.PREDICTIVE else min(free, facts.agents_ready)


def explain(facts: GateFacts) -> list[Gate]:
    """Every gate, those that hold back and those that do not, in the order a call meets them."""
    hours = sum(count for rule, count in facts.refused.items() if rule.endswith(HOURS_RULES))
    caps = sum(facts.refused.values()) - hours
    free = facts.lines - facts.lines_busy
    when = facts.next_permitted.isoformat(timespec="minutes") if facts.next_permitted else "?"
    trunks_up = facts.trunks - len(facts.trunks_down)
    return [
        Gate(
            name="mode",
            holds_back=facts.mode is Mode.MANUAL,
            count=0,
            detail_en={
                Mode.MANUAL: "Manual: a call leaves when an agent clicks.",
                Mode.PREVIEW: "Preview: each ready agent is shown a case first.",
                Mode.PROGRESSIVE: "Progressive: one call for each ready agent.",
                Mode.PREDICTIVE: "Predictive: as many calls as the pacer says"
                + (f" (held by: {facts.pace})." if facts.pace else "."),
            }[facts.mode],
            detail_zh={
                Mode.MANUAL: "手动:由催收员点击拨号。",
                Mode.PREVIEW: "预览:先向空闲催收员展示案件。",
                Mode.PROGRESSIVE: "渐进:每名空闲催收员拨一路。",
                Mode.PREDICTIVE: "预测:按预测算法拨号。",
            }[facts.mode],
        ),
        Gate(
            name="state",
            holds_back=facts.state is not CampaignState.RUNNING,
            count=0,
            detail_en=f"The campaign is {facts.state}.",
            detail_zh={"paused": "活动已暂停。", "running": "活动运行中。", "finished": "活动已完成。"}[facts.state],
        ),
        Gate(
            name="recorder",
            holds_back=bool(facts.recorder_problems) or not facts.relay_up,
            count=len(facts.recorder_problems) + (not facts.relay_up),
            detail_en="; ".join([*facts.recorder_problems, *([] if facts.relay_up else ["the media relay is down"])])
            or "Recorder and relay are healthy.",
            detail_zh="录音设备异常,不录音不拨打。" if facts.recorder_problems or not facts.relay_up else "录音正常。",
        ),
        Gate(
            name="trunk",
            holds_back=trunks_up <= 0 or facts.engine_problem is not None,
            count=len(facts.trunks_down),
            detail_en=facts.engine_problem
            or f"{trunks_up} of {facts.trunks} trunks are up"
            + "".join(f"; {name}: {detail}" for name, detail in sorted(facts.trunks_down.items())),
            detail_zh=f"{facts.trunks} 条中继中 {trunks_up} 条可用。",
        ),
        Gate(
            name="ledger",
            # It never stops a campaign: it makes a predictive one wait for an agent before each call.
            holds_back=not facts.ledger_open and facts.agents_ready <= 0,
            count=0,
            detail_en="The 30-day abandonment budget allows calls."
            if facts.ledger_open
            else "The 30-day abandonment budget is used up: one call per ready agent.",
            detail_zh="30 天呼损额度正常。" if facts.ledger_open else "30 天呼损额度已用完。",
        ),
        Gate(
            name="lines",
            holds_back=free <= 0,
            count=facts.lines_busy,
            detail_en=f"{facts.lines_busy} of {facts.lines} lines are busy.",
            detail_zh=f"{facts.lines} 条线路中 {facts.lines_busy} 条占用。",
        ),
        Gate(
            name="agents",
            holds_back=(facts.agents_on_floor if facts.mode is Mode.PREDICTIVE else facts.agents_ready) <= 0,
            count=facts.agents_ready,
            detail_en=f"{facts.agents_ready} of {facts.agents_on_floor} agents are ready.",
            detail_zh=f"{facts.agents_on_floor} 名催收员中 {facts.agents_ready} 名空闲。",
        ),
        Gate(
            name="hours",
            holds_back=hours > 0 and facts.numbers_left == 0,
            count=hours,
            detail_en=f"{hours} numbers are outside permitted hours; the next opens at {when}."
            if hours
            else "No number is known to be outside permitted hours.",
            detail_zh=f"{hours} 个号码不在许可时段内,最早 {when} 可拨。" if hours else "没有号码因时段受限。",
        ),
        Gate(
            name="caps",
            holds_back=caps > 0 and facts.numbers_left == 0,
            count=caps,
            detail_en=", ".join(f"{rule}: {count}" for rule, count in sorted(facts.refused.items()))
            or "No number is refused.",
            detail_zh=f"{caps} 个号码被频次、第三方或其他规则拦下。",
        ),
        Gate(
            name="numbers",
            holds_back=facts.numbers_left == 0,
            count=facts.numbers_left,
            detail_en=f"{facts.numbers_left} cases have a number to try now, {facts.numbers_resting} wait their turn"
            + (f" (the next at {when})." if facts.numbers_left == 0 and facts.next_permitted else "."),
            detail_zh=f"现在可拨 {facts.numbers_left} 个案件,{facts.numbers_resting} 个等待轮到"
            + (f"(最早 {when})。" if facts.numbers_left == 0 and facts.next_permitted else "。"),
        ),
    ]
