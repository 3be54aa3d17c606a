"""How outcomes and channels may be written in a replay file: their code in any case, or the trade's Chinese name.

One word means one thing. A word the trade uses for two (谈判: with the debtor or with family) is not here: it is refused,
never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping

from case_store.model import Channel
from case_store.workflow import OutcomeCode as O

OUTCOMES: Mapping[str, O] = {
    "新转案件": O.NEW,
    "本人谈判": O.SELF_NEGOTIATING,
    "承诺还款": O.SELF_PROMISE,
    "本人承诺还款": O.SELF_PROMISE,
    "筹款中": O.SELF_RAISING_FUNDS,
    "本人筹款中": O.SELF_RAISING_FUNDS,
    "已提醒": O.PROMISE_REMINDED,
    "到期确认": O.PROMISE_CONFIRMED,
    "家人谈判": O.THIRD_PARTY_NEGOTIATING,
    "家人或朋友谈判": O.THIRD_PARTY_NEGOTIATING,
    "第三人谈判": O.THIRD_PARTY_NEGOTIATING,
    "留电1": O.MESSAGE_LEFT_1,
    "留电2": O.MESSAGE_LEFT_2,
    "回电": O.CALLED_BACK,
    "约定回拨": O.CALL_BACK_AGREED,
    "无人接": O.NO_ANSWER,
    "无人接听": O.NO_ANSWER,
    "占线": O.BUSY,
    "关机": O.SWITCHED_OFF,
    "无法接通": O.SWITCHED_OFF,
    "空号": O.NOT_IN_SERVICE,
    "无此人": O.NO_SUCH_PERSON,
    "已离职": O.LEFT_JOB,
    "离职": O.LEFT_JOB,
    "已搬家": O.MOVED,
    "搬家": O.MOVED,
    "号码无效": O.NUMBER_INVALID,
    "全无效": O.ALL_INVALID,
    "失联": O.LOST_CONTACT,
    "调户籍": O.REGISTRY_CHECK,
    "下外访单": O.VISIT_ORDER,
    "冒办": O.FRAUD_CLAIM,
    "争议": O.DISPUTE,
    "投诉": O.COMPLAINT,
    "困难": O.HARDSHIP,
    "经济困难": O.HARDSHIP,
    "死亡": O.DECEASED,
    "无民事行为能力": O.INCAPABLE,
    "拒绝联系": O.REFUSED_CONTACT,
    "还款入账": O.PAYMENT,
    "冲正": O.PAYMENT_REVERSED,
    "结清": O.PAID,
    "退案": O.RECALLED,
    "委案到期": O.TERM_ENDED,
    "结案": O.CLOSED,
}

CHANNELS: Mapping[str, Channel] = {
    "单电": Channel.WORKPLACE,
    "单位电话": Channel.WORKPLACE,
    "持卡人手机": Channel.MOBILE,
    "本人手机": Channel.MOBILE,
    "宅电": Channel.HOME,
    "亲属": Channel.RELATIVE,
    "紧急联系人": Channel.EMERGENCY,
}


def outcome_written(value: object) -> object:
    """The code behind ``self_promise``, ``Self-Promise`` or 承诺还款; anything else unchanged, for the shape to refuse."""
    if not isinstance(value, str):
        return value
    word = value.strip()
    return OUTCOMES.get(word) or word.upper().replace("-", "_").replace(" ", "_")


def channel_written(value: object) -> object:
    """The channel behind ``MOBILE`` or 持卡人手机; anything else unchanged."""
    if not isinstance(value, str):
        return value
    word = value.strip()
    return CHANNELS.get(word) or word.lower()
