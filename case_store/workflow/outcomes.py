"""What can happen to a case. Every code is a row of the SOP's chart, a step of a work order, or a fact from outside.

Outcomes are a person's conclusions or business facts; what the network said is ``ProgressCategory`` and is kept beside
them, never instead of them. The network codes here (no answer, busy, switched off, not in service) are what the
sweep concludes from it for the workflow.
"""

from __future__ import annotations

from enum import StrEnum


class OutcomeCode(StrEnum):
    # --- the case arrives
    NEW = "NEW"  # 新转案件: entrusted, nothing tried yet
    # --- the cardholder answered 本人
    SELF_NEGOTIATING = "SELF_NEGOTIATING"  # 本人谈判: talked, no promise
    SELF_PROMISE = "SELF_PROMISE"  # 本人承诺还款: an amount and a date
    SELF_RAISING_FUNDS = "SELF_RAISING_FUNDS"  # 本人筹款中: a date by which the money is found
    PROMISE_REMINDED = "PROMISE_REMINDED"  # 已提醒: the reminder was heard by the debtor
    PROMISE_CONFIRMED = "PROMISE_CONFIRMED"  # 到期确认: asked on the due day, the promise stands
    # --- family or friend answered 家人或朋友
    THIRD_PARTY_NEGOTIATING = "THIRD_PARTY_NEGOTIATING"  # 家人谈判
    MESSAGE_LEFT_1 = "MESSAGE_LEFT_1"  # 留电1: good hope of payment on behalf 代偿 or of contact
    MESSAGE_LEFT_2 = "MESSAGE_LEFT_2"  # 留电2: little hope
    CALLED_BACK = "CALLED_BACK"  # 回电: somebody called back after a message
    CALL_BACK_AGREED = "CALL_BACK_AGREED"  # 约定回拨: whoever answered asked to be called at a stated minute
    # --- nobody answered 无人接
    NO_ANSWER = "NO_ANSWER"  # 无人接听 (an answering machine counts as this)
    BUSY = "BUSY"  # 占线
    SWITCHED_OFF = "SWITCHED_OFF"  # 关机 / 无法接通
    # --- the number is bad 无效
    NOT_IN_SERVICE = "NOT_IN_SERVICE"  # 空号: invalid after two
    NO_SUCH_PERSON = "NO_SUCH_PERSON"  # 无此人: invalid after three
    LEFT_JOB = "LEFT_JOB"  # 已离职: invalid after three
    MOVED = "MOVED"  # 已搬家: invalid after three
    NUMBER_INVALID = "NUMBER_INVALID"  # 号码无效: one number, concluded at once (extension mangled, fax, …)
    ALL_INVALID = "ALL_INVALID"  # 全无效
    LOST_CONTACT = "LOST_CONTACT"  # 失联
    # --- policy spoke about a number
    NUMBER_REFUSED = "NUMBER_REFUSED"  # 禁呼: the policy refuses this number for now; the sweep passes it by
    NUMBER_PERMITTED = "NUMBER_PERMITTED"  # 解禁: the refusal has lapsed; the sweep takes the number up
    # --- locating
    NUMBER_FOUND = "NUMBER_FOUND"  # 查到号码: joins the sweep at its place
    LOOKUP_EMPTY = "LOOKUP_EMPTY"  # 电话查找无果
    REGISTRY_CHECK = "REGISTRY_CHECK"  # 调户籍: asked for, with its legal basis
    REGISTRY_APPROVED = "REGISTRY_APPROVED"  # by compliance
    REGISTRY_REFUSED = "REGISTRY_REFUSED"
    REGISTRY_EMPTY = "REGISTRY_EMPTY"  # 查无
    # --- visiting
    VISIT_ORDER = "VISIT_ORDER"  # 下外访单: asked for
    VISIT_APPROVED = "VISIT_APPROVED"
    VISIT_REFUSED = "VISIT_REFUSED"
    VISIT_DONE = "VISIT_DONE"  # 外访回报: its result is an outcome that re-enters the table
    # --- fraud claim 冒办
    FRAUD_CLAIM = "FRAUD_CLAIM"  # 冒办: "I never applied for this card"
    FRAUD_CONFIRMED = "FRAUD_CONFIRMED"  # step 1 done: confirmed by phone, clues noted, appointment agreed
    FRAUD_DECLARED = "FRAUD_DECLARED"  # step 2 done: declaration 未申办声明 signed
    FRAUD_PACKET_SENT = "FRAUD_PACKET_SENT"  # the packet lies with the bank
    FRAUD_UPHELD = "FRAUD_UPHELD"  # the bank agrees: the case goes back
    FRAUD_REJECTED = "FRAUD_REJECTED"  # the bank does not: work goes on
    # --- hold and route to compliance
    DISPUTE = "DISPUTE"  # 争议
    COMPLAINT = "COMPLAINT"  # 投诉
    HARDSHIP = "HARDSHIP"  # 困难
    DECEASED = "DECEASED"  # 死亡
    INCAPABLE = "INCAPABLE"  # 无民事行为能力
    HOLD_RELEASED = "HOLD_RELEASED"  # 解除冻结, by compliance
    REFUSED_CONTACT = "REFUSED_CONTACT"  # 拒绝联系: this person's numbers are blocked for good
    # --- money
    PAYMENT = "PAYMENT"  # 还款入账: one line of the bank's payment file
    PAYMENT_REVERSED = "PAYMENT_REVERSED"  # 冲正
    PAID = "PAID"  # 结清
    PROMISE_KEPT = "PROMISE_KEPT"  # verdicts: concluded by the workflow, never typed in
    PROMISE_PARTIAL = "PROMISE_PARTIAL"
    PROMISE_BROKEN = "PROMISE_BROKEN"
    WAIVER_ASKED = "WAIVER_ASKED"  # 减免申请
    WAIVER_APPROVED = "WAIVER_APPROVED"
    WAIVER_REFUSED = "WAIVER_REFUSED"
    # --- the term
    EXTENSION_ASKED = "EXTENSION_ASKED"  # 留案申请: keep the case past its term
    EXTENSION_APPROVED = "EXTENSION_APPROVED"
    EXTENSION_REFUSED = "EXTENSION_REFUSED"
    RECALLED = "RECALLED"  # 退案: the client takes the case back
    TERM_ENDED = "TERM_ENDED"  # 委案到期
    CLOSED = "CLOSED"  # 结案, by a team leader
    # --- the rest
    LEADER_DECIDED = "LEADER_DECIDED"  # 主管处理: a matter before the team leader is decided, work goes on
    TIME_PASSED = "TIME_PASSED"  # the clock: settles promises, ends terms, marks what is overdue


VERDICTS = frozenset({OutcomeCode.PROMISE_KEPT, OutcomeCode.PROMISE_PARTIAL, OutcomeCode.PROMISE_BROKEN})

SILENT = frozenset({OutcomeCode.NO_ANSWER, OutcomeCode.BUSY, OutcomeCode.SWITCHED_OFF})

BY_DEBTOR = frozenset(
    {
        OutcomeCode.SELF_NEGOTIATING,
        OutcomeCode.SELF_PROMISE,
        OutcomeCode.SELF_RAISING_FUNDS,
        OutcomeCode.PROMISE_REMINDED,
        OutcomeCode.PROMISE_CONFIRMED,
    }
)

BY_CONTACT = frozenset({OutcomeCode.THIRD_PARTY_NEGOTIATING, OutcomeCode.MESSAGE_LEFT_1, OutcomeCode.MESSAGE_LEFT_2})

STRIKES = {
    OutcomeCode.NOT_IN_SERVICE: 2,
    OutcomeCode.NO_SUCH_PERSON: 3,
    OutcomeCode.LEFT_JOB: 3,
    OutcomeCode.MOVED: 3,
}
"""How many of one kind retire a number (SOP [F])."""

HOLDS = frozenset(
    {
        OutcomeCode.DISPUTE,
        OutcomeCode.COMPLAINT,
        OutcomeCode.HARDSHIP,
        OutcomeCode.DECEASED,
        OutcomeCode.INCAPABLE,
    }
)

ON_A_NUMBER = (
    SILENT
    | BY_CONTACT
    | frozenset(STRIKES)
    | {
        OutcomeCode.NUMBER_INVALID,
        OutcomeCode.NUMBER_REFUSED,
        OutcomeCode.NUMBER_PERMITTED,
        OutcomeCode.REFUSED_CONTACT,
        OutcomeCode.CALL_BACK_AGREED,
    }
)
"""Outcomes that make no sense without the number they happened on."""
