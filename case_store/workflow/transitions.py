"""The table: outcome → next action, window, owner, escalation. Read it row by row beside the SOP.

Marks: ``D`` the debtor's local day of the outcome; ``D+n`` calendar days; ``D+nW`` working days; ``P+nW`` working days
after placement; ``date`` the date agreed in the outcome; ``daypart`` the next part of the day. [D] stands in the
deck, [F] was found in the field, [P] is a product decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from case_store.workflow.outcomes import OutcomeCode as O


class ActionCode(StrEnum):
    SWEEP = "sweep"  # 地毯式过滤 / 覆盖式首催
    CALL_DEBTOR = "call-debtor"  # 跟进本人
    REMIND_PROMISE = "remind-promise"  # 还款提醒
    CONFIRM_PROMISE = "confirm-promise"  # 到期确认
    SETTLE_PROMISE = "settle-promise"  # 承诺核账
    PROGRESS_CALL = "progress-call"  # 筹款进度
    CALL_CONTACT = "call-contact"  # 跟进第三人
    PRESS_AGAIN = "press-again"  # 再次施压
    CONTACT_AGAIN = "contact-again"  # 再次联系
    REDIAL = "redial"  # 换时段再拨
    CALL_BACK = "call-back"  # 约定回拨
    LOOK_UP = "look-up"  # 电话查找
    REQUEST_REGISTRY = "request-registry"  # 调户籍
    PROPOSE_VISIT = "propose-visit"  # 建议外访
    APPROVE_VISIT = "approve-visit"  # 审批外访单
    VISIT = "visit"  # 外访
    CONFIRM_FRAUD = "confirm-fraud"  # 冒办核实
    SIGN_DECLARATION = "sign-declaration"  # 签未申办声明
    SEND_PACKET = "send-packet"  # 冒办材料送银行
    AWAIT_BANK = "await-bank"  # 等银行回复
    REVIEW_HOLD = "review-hold"  # 合规处理
    DECIDE = "decide"  # 主管处理


class Owner(StrEnum):
    DIALER = "dialer"
    COLLECTOR = "collector"
    TEAM_LEADER = "team-leader"
    DATA_CLERK = "data-clerk"
    DATA_CLERK_AND_COMPLIANCE = "data-clerk+compliance"
    FIELD_TEAM = "field-team"
    BANK_LIAISON = "bank-liaison+compliance"
    COMPLIANCE = "compliance"
    SYSTEM = "system"


class Reach(StrEnum):
    """Whose permitted hours bound the window; a desk action needs nobody's."""

    DEBTOR = "debtor"
    CONTACT = "contact"
    ANYONE = "anyone"
    DESK = "desk"


@dataclass(frozen=True, slots=True)
class Row:
    outcome: O
    action: ActionCode
    earliest: str
    latest: str
    reach: Reach
    owner: Owner
    escalation: str | None
    source: str
    en: str
    zh: str


A, W, R = ActionCode, Owner, Reach

TABLE: tuple[Row, ...] = (
    Row(O.NEW, A.SWEEP, "D", "D+2W", R.ANYONE, W.DIALER, "D+3 unswept → team leader", "D, F",
        "new placement: every permitted number is tried once, in SOP order", "新转案件：按电催顺序把每个可拨号码各拨一次"),
    Row(O.SELF_NEGOTIATING, A.CALL_DEBTOR, "D+1", "D+7", R.DEBTOR, W.COLLECTOR,
        "third in a row without a promise → team leader", "D, P",
        "the debtor negotiated without a promise: follow up within 7 days", "本人谈判未承诺：7天内必须跟进"),
    Row(O.SELF_RAISING_FUNDS, A.PROGRESS_CALL, "D+1", "date", R.DEBTOR, W.COLLECTOR, "one extension only", "D",
        "the debtor is raising funds: ask for progress before the date", "本人筹款中：在筹款日期前跟进进度"),
    Row(O.THIRD_PARTY_NEGOTIATING, A.CALL_CONTACT, "D+1", "D+7", R.CONTACT, W.COLLECTOR,
        "blocked → the debtor's own numbers", "D, P",
        "family or friend negotiated: follow up within 7 days", "家人或朋友谈判：7天内必须跟进"),
    Row(O.MESSAGE_LEFT_1, A.PRESS_AGAIN, "D+2", "D+7", R.CONTACT, W.COLLECTOR,
        "twice without a call-back → treated as message left 2", "D",
        "message left with good hope: press again in 2 to 7 days", "留电1（代偿和联络希望较高）：2-7天内再次施压"),
    Row(O.MESSAGE_LEFT_2, A.CONTACT_AGAIN, "D+3", "D+7", R.CONTACT, W.COLLECTOR, "twice → locate", "D",
        "message left with little hope: contact again in 3 to 7 days", "留电2（较无代偿和联络希望）：3-7天内再次联系"),
    Row(O.CALLED_BACK, A.CALL_DEBTOR, "D+1", "D+7", R.DEBTOR, W.COLLECTOR, None, "P",
        "somebody called back: follow up within 7 days", "有人回电：7天内跟进"),
    Row(O.CALL_BACK_AGREED, A.CALL_BACK, "minute", "minute", R.ANYONE, W.COLLECTOR, "late → the whole team", "P",
        "a call-back was agreed for a stated minute", "约定回拨：按约定时间回拨"),
    Row(O.NO_ANSWER, A.REDIAL, "daypart", "D+1", R.ANYONE, W.DIALER, "3 days × 3 dayparts silent → lost contact", "D, F",
        "rang out: dial again in another part of the day until somebody answers", "无人接听：换时段再拨，打到有人接听"),
    Row(O.BUSY, A.REDIAL, "daypart", "D+1", R.ANYONE, W.DIALER, "3 days × 3 dayparts silent → lost contact", "D, F",
        "busy: dial again in another part of the day", "占线：换时段再拨"),
    Row(O.SWITCHED_OFF, A.REDIAL, "daypart", "D+1", R.ANYONE, W.DIALER, "3 days × 3 dayparts silent → lost contact",
        "D, F", "switched off or out of reach: dial again in another part of the day", "关机或无法接通：换时段再拨"),
    Row(O.NUMBER_INVALID, A.REDIAL, "D", "D", R.ANYONE, W.DIALER, None, "D",
        "a number is invalid: it is retired and the next one in SOP order is dialed", "号码无效：停用并按顺序拨下一个"),
    Row(O.ALL_INVALID, A.LOOK_UP, "D", "P+5W", R.DESK, W.DATA_CLERK, "nothing found → registry or visit", "D, F",
        "all numbers are invalid: look for numbers from lawful sources", "全无效：从合法来源查找电话"),
    Row(O.LOST_CONTACT, A.LOOK_UP, "D", "P+5W", R.DESK, W.DATA_CLERK, "nothing found → registry or visit", "D, F",
        "lost contact: look for numbers from lawful sources", "失联：从合法来源查找电话"),
    Row(O.NUMBER_FOUND, A.SWEEP, "D", "D+2W", R.ANYONE, W.DIALER, "D+3 unswept → team leader", "P",
        "a number was found: it joins the sweep at its place", "查到新号码：按顺序补拨"),
    Row(O.NUMBER_PERMITTED, A.SWEEP, "D", "D+2W", R.ANYONE, W.DIALER, "D+3 unswept → team leader", "P",
        "a number may be called again: the sweep takes it up", "号码解禁：按顺序补拨"),
    Row(O.REGISTRY_CHECK, A.REQUEST_REGISTRY, "D+1", "D+2", R.DESK, W.DATA_CLERK_AND_COMPLIANCE, "none → visit", "D, F",
        "household-registry check with its legal basis", "调户籍：须有法律依据"),
    Row(O.LOOKUP_EMPTY, A.PROPOSE_VISIT, "D", "D+2W", R.DESK, W.TEAM_LEADER, None, "D, P",
        "nothing was found: a visit is proposed", "查找无果：建议外访"),
    Row(O.REGISTRY_EMPTY, A.PROPOSE_VISIT, "D", "D+2W", R.DESK, W.TEAM_LEADER, None, "D, P",
        "the registry has nothing: a visit is proposed", "户籍查无：建议外访"),
    Row(O.VISIT_ORDER, A.APPROVE_VISIT, "D", "D+2W", R.DESK, W.TEAM_LEADER, None, "D, P",
        "a visit order waits for approval by somebody else", "外访单待他人审批"),
    Row(O.VISIT_APPROVED, A.VISIT, "D", "D+10W", R.DESK, W.FIELD_TEAM, None, "D, P",
        "approved: at least two visitors, recorded", "已批准：至少两人外访并录音"),
    Row(O.FRAUD_CLAIM, A.CONFIRM_FRAUD, "D", "D+7", R.DEBTOR, W.COLLECTOR, "bank silent 10 working days → team leader",
        "D, F, P", "card taken out by somebody else: pressure stops, confirm by phone and note clues",
        "冒办：立即停止施压，电话核实并记录线索"),
    Row(O.FRAUD_CONFIRMED, A.SIGN_DECLARATION, "D", "date", R.DESK, W.COLLECTOR, "appointment at most 7 days out", "F",
        "appointment to sign the declaration of not having applied", "预约签署未申办声明"),
    Row(O.FRAUD_DECLARED, A.SEND_PACKET, "D", "D+2W", R.DESK, W.BANK_LIAISON, None, "P",
        "the packet goes to the bank", "材料送交银行"),
    Row(O.FRAUD_PACKET_SENT, A.AWAIT_BANK, "D", "D+10W", R.DESK, W.BANK_LIAISON,
        "bank silent 10 working days → team leader", "P", "on hold until the bank answers", "等待银行回复，期间停催"),
    Row(O.DISPUTE, A.REVIEW_HOLD, "D", "D", R.DESK, W.COMPLIANCE, None, "F",
        "disputed: dialing is held, compliance decides", "有争议：停拨，转合规"),
    Row(O.COMPLAINT, A.REVIEW_HOLD, "D", "D", R.DESK, W.COMPLIANCE, None, "F",
        "complaint: dialing is held, compliance decides", "投诉：停拨，转合规"),
    Row(O.HARDSHIP, A.REVIEW_HOLD, "D", "D", R.DESK, W.COMPLIANCE, None, "F",
        "hardship: dialing is held, compliance decides", "经济困难：停拨，转合规"),
    Row(O.DECEASED, A.REVIEW_HOLD, "D", "D", R.DESK, W.COMPLIANCE, None, "F",
        "the debtor is said to be dead: dialing is held, compliance decides", "据称死亡：停拨，转合规"),
    Row(O.INCAPABLE, A.REVIEW_HOLD, "D", "D", R.DESK, W.COMPLIANCE, None, "F",
        "the debtor cannot act for himself: dialing is held, compliance decides", "无行为能力：停拨，转合规"),
    Row(O.HOLD_RELEASED, A.CALL_DEBTOR, "D+1", "D+7", R.DEBTOR, W.COLLECTOR, None, "P",
        "the hold is lifted: follow up within 7 days", "解除停拨：7天内跟进"),
    Row(O.FRAUD_REJECTED, A.CALL_DEBTOR, "D+1", "D+7", R.DEBTOR, W.COLLECTOR, None, "P",
        "the bank rejected the fraud claim: follow up within 7 days", "银行不认定冒办：7天内跟进"),
    Row(O.PROMISE_KEPT, A.CALL_DEBTOR, "D+1", "D+7", R.DEBTOR, W.COLLECTOR, None, "P",
        "the promise was kept, a balance remains: agree on the rest", "承诺已兑现，仍有余额：继续跟进"),
    Row(O.PROMISE_PARTIAL, A.CALL_DEBTOR, "D+1", "D+1", R.DEBTOR, W.COLLECTOR, None, "P",
        "the promise was kept in part: call the next day", "承诺部分兑现：次日跟进"),
    Row(O.PROMISE_BROKEN, A.CALL_DEBTOR, "D+1", "D+1", R.DEBTOR, W.COLLECTOR,
        "second → team leader; third → visit proposed", "D", "the promise was broken: call the next day",
        "跳票：次日跟进"),
    Row(O.PAYMENT_REVERSED, A.CALL_DEBTOR, "D+1", "D+1", R.DEBTOR, W.COLLECTOR, None, "P",
        "a payment was reversed: call the next day", "还款被冲正：次日跟进"),
    Row(O.LEADER_DECIDED, A.CALL_DEBTOR, "D+1", "D+7", R.DEBTOR, W.COLLECTOR, None, "P",
        "the team leader decided: follow up within 7 days", "主管已处理：7天内跟进"),
)  # fmt: skip

ROWS: dict[O, Row] = {row.outcome: row for row in TABLE}

RANK: tuple[O, ...] = (
    O.SELF_PROMISE,
    O.SELF_RAISING_FUNDS,
    O.SELF_NEGOTIATING,
    O.THIRD_PARTY_NEGOTIATING,
    O.MESSAGE_LEFT_1,
    O.MESSAGE_LEFT_2,
    O.NO_ANSWER,
    O.ALL_INVALID,
)
"""Which outcome of a sweep rules the case when the sweep is over: the first of these that occurred."""

ENDINGS: dict[O, tuple[str, str]] = {
    O.PAID: ("paid in full: every action is cancelled", "已结清：取消全部动作"),
    O.RECALLED: ("recalled by the client: the case goes back", "客户退案：停止并退回"),
    O.TERM_ENDED: ("the term has ended: the case goes back", "委案到期：停止并退回"),
    O.CLOSED: ("closed by the team leader", "主管结案"),
    O.FRAUD_UPHELD: ("the bank upheld the fraud claim: the case goes back", "银行认定冒办：退回"),
}
"""Outcomes after which nothing is live any more."""
