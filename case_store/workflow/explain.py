"""Why the next action is what it is, for a team leader: one text in Chinese and English, no personal data in it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from case_store.workflow.case_state import CaseState, Stage
from case_store.workflow.outcomes import OutcomeCode
from case_store.workflow.transitions import ENDINGS, ROWS, TABLE
from config.calendars import Calendar, local_day, zone

_STAGE_ZH = {
    Stage.SWEEP: "首催",
    Stage.FOLLOW_UP: "跟催",
    Stage.LOCATE: "失联查找",
    Stage.VISIT: "外访",
    Stage.FRAUD: "冒办",
    Stage.HELD: "停催",
    Stage.ENDED: "结束",
}


def explain(state: CaseState, calendar: Calendar | None = None) -> str:
    """Several lines: where the case stands, what comes next and why, what waits behind it, what was raised last."""
    clock = zone(state.zone)
    lines = [f"{state.case_id}  {_STAGE_ZH[state.stage]} / {state.stage.value}  ({_local(state.as_of, clock)})"]
    action = state.next_action
    if action is None:
        en, zh = ENDINGS.get(state.cause, ("ended", "结束"))
        lines.append(f"没有下一步：{zh} / no next action: {en}")
    else:
        window = f"{_local(action.earliest, clock)} – {_local(action.latest, clock)}"
        lines += [
            f"下一步 / next: {action.action}  [{window})  {action.owner}",
            f"原因 / because: {action.reason_zh} / {action.reason_en}",
            f"依据 / from: {state.cause.value}{_source(state.cause)}",
        ]
        if action.escalation:
            lines.append(f"升级 / escalation: {action.escalation}")
        for each in state.pending:
            if each.action is not action:
                lines.append(
                    f"其后 / behind it: {each.action.action} until {_local(each.action.latest, clock)}"
                    "（先办先到期者 / the earliest due is live）"
                )
    if state.promise is not None:
        lines.append(
            f"承诺 / promise: {state.promise.amount} {state.currency}, {state.promise.due}；"
            "承诺有效期内暂停其他催收 / other pressure is suspended"
        )
    for notice in state.notices:
        lines.append(f"{notice.kind.value}: {notice.zh} / {notice.en}")
    if calendar is not None and not calendar.is_known(local_day(state.as_of, clock).year):
        lines.append("注意：本年调休未公布，按周末计算 / this year's make-up days are unknown, weekdays were counted")
    return "\n".join(lines)


def explain_table() -> str:
    """The whole table, a row a line, as a team leader reads it."""
    return "\n".join(
        f"{row.outcome.value:<24} {row.action.value:<18} {row.earliest:>8} … {row.latest:<6} {row.owner.value:<22} "
        f"{row.zh} / {row.en}" + (f" → {row.escalation}" if row.escalation else "")
        for row in TABLE
    )


def _source(cause: OutcomeCode) -> str:
    row = ROWS.get(cause)
    return f" [{row.source}] {row.earliest}…{row.latest}" if row is not None else ""


def _local(instant: datetime, clock: ZoneInfo) -> str:
    return instant.astimezone(clock).strftime("%Y-%m-%d %H:%M")
