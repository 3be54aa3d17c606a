"""Which column is what: the client's own map from settings first, then the header words banks use, Chinese and English."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from case_store.intake.errors import HeaderUnknown
from case_store.model import Channel
from config.errors import describe_shape

_WORDS: dict[str, str] = {
    "case_ref": "案件编号 案件号 案号 委案编号 委案号 案件序列号 案件id 合同号 合同编号 借据号 借据编号 case caseid caseno caseref casenumber "
    "casereference ref reference clientref loanid loanno loannumber contractno contractnumber accountid matterno filenumber",
    "account_ref": "账号 账户号 账户 卡号 信用卡号 贷款账号 account accountno accountnumber accountref cardno cardnumber",
    "name": "姓名 客户姓名 持卡人姓名 持卡人 债务人 债务人姓名 借款人 借款人姓名 客户名称 债务人名称 主贷人 name debtor debtorname customer customername "
    "cardholder cardholdername borrower borrowername fullname customerfullname debtorfullname clientname",
    "first_name": "firstname givenname forename 名",
    "last_name": "lastname surname familyname 姓",
    "id_number": "证件号 证件号码 身份证 身份证号 身份证号码 证件编号 idnumber idno idcard idcardno nationalid nationalidno nationalidnumber passport passportno ssn",
    "person_key": "客户编号 客户号 customerid customerno personid personkey debtorid cifno cif",
    "balance": "余额 当前余额 最新余额 更新余额 更新后余额 剩余欠款 欠款 欠款金额 欠款总额 欠款余额 总欠款 委案金额 委托金额 逾期金额 逾期总额 应还金额 剩余应还 当前欠款 结欠金额 应收金额 balance amount amountdue amountowed amountowing currentbalance newbalance updatedbalance outstanding "
    "outstandingbalance debt debtamount totaldue balancedue total",
    "currency": "币种 货币 currency ccy currencycode",
    "region": "地区 国家 国家地区 region country countrycode regioncode",
    "address": "地址 住址 家庭地址 居住地址 联系地址 address homeaddress residence",
    "phone": "电话 号码 电话号码 联系电话 phone phonenumber number tel telephone msisdn",
    "channel": "号码类型 电话类型 渠道 类型 channel phonetype numbertype type kind linetype",
    "relation": "关系 与本人关系 与持卡人关系 与债务人关系 relation relationship",
    "contact_name": "联系人姓名 联系人 contactname contact",
}
_EXACT: dict[str, str] = {word: field for field, words in _WORDS.items() for word in words.split()}

_CHANNEL_WORDS: dict[Channel, str] = {
    Channel.WORKPLACE: "单电 单位 单位电话 单位号码 公司 公司电话 公司号码 办公 办公电话 工作电话 workplace workplacephone work workphone workphonenumber "
    "worktel office officephone officetel company companyphone employer employerphone business businessphone",
    Channel.MOBILE: "手机 手机号 手机号码 持卡人手机 持卡人手机号 手机号本人 手机本人 手机号码本人 本人手机 本人手机号 本人手机号码 本人电话 客户手机 移动电话 债务人手机 借款人手机 mobile mobilephone mobileno "
    "mobilenumber cell cellphone cellular debtormobile ownmobile mobilephonenumber mobiletel cellphonenumber debtorphone",
    Channel.HOME: "宅电 住宅 住宅电话 住宅号码 家庭 家庭电话 家电 家里电话 home homephone hometel homenumber homephonenumber residencephone landline",
    Channel.RELATIVE: "亲属 直系亲属 亲属电话 亲戚 家属 家人 relative relatives family familymember relativephone",
    Channel.EMERGENCY: "紧急联系人 紧急联系 紧急 紧急联系人电话 紧急电话 emergency emergencycontact emergencyphone emergencycontactphone",
}
_CHANNEL_OF: dict[str, Channel] = {word: channel for channel, words in _CHANNEL_WORDS.items() for word in words.split()}
_RELATIVES = frozenset(
    [
        "父",
        "母",
        "父亲",
        "母亲",
        "爸爸",
        "妈妈",
        "父母",
        "配偶",
        "丈夫",
        "妻子",
        "夫妻",
        "爱人",
        "儿子",
        "女儿",
        "子女",
        "兄弟",
        "姐妹",
        "兄弟姐妹",
        "哥哥",
        "弟弟",
        "姐姐",
        "妹妹",
        "亲属",
        "亲戚",
        "家属",
        "家人",
        "直系亲属",
        "祖父",
        "祖母",
        "叔叔",
        "阿姨",
        "father",
        "mother",
        "parent",
        "parents",
        "spouse",
        "husband",
        "wife",
        "son",
        "daughter",
        "child",
        "brother",
        "sister",
        "sibling",
        "relative",
        "family",
        "uncle",
        "aunt",
        "cousin",
        "grandfather",
        "grandmother",
    ]
)
_SELF = frozenset(
    ["本人", "持卡人", "债务人", "借款人", "客户", "self", "debtor", "cardholder", "borrower", "customer", "own"]
)

_CONTACT_GROUPS: dict[str, Channel | None] = {
    "直系亲属": Channel.RELATIVE,
    "亲属": Channel.RELATIVE,
    "家属": Channel.RELATIVE,
    "relative": Channel.RELATIVE,
    "family": Channel.RELATIVE,
    "紧急联系人": Channel.EMERGENCY,
    "紧急联系": Channel.EMERGENCY,
    "emergencycontact": Channel.EMERGENCY,
    "emergency": Channel.EMERGENCY,
    "其他联系人": None,
    "联系人": None,  # the relation tells relative from other
    "othercontact": None,
    "contact": None,
}
_ATTRIBUTES: dict[str, str] = {
    **dict.fromkeys(["姓名", "名字", "name", "fullname"], "name"),
    **dict.fromkeys(
        [
            "电话",
            "手机",
            "手机号",
            "手机号码",
            "号码",
            "电话号码",
            "联系电话",
            "phone",
            "tel",
            "telephone",
            "number",
            "mobile",
            "phonenumber",
            "cell",
        ],
        "phone",
    ),
    **dict.fromkeys(["关系", "relation", "relationship"], "relation"),
}
_INDEX = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6}
_GROUPED = re.compile(
    rf"^({'|'.join(sorted(_CONTACT_GROUPS, key=len, reverse=True))})([\d一二三四五六]*)"
    rf"({'|'.join(sorted(_ATTRIBUTES, key=len, reverse=True))})?(\d*)$"
)
_NUMBERED = re.compile(r"^(.*?)([\d一二三四五六]+)$")
_CURRENCIES = {
    "人民币": "CNY",
    "人民币元": "CNY",
    "rmb": "CNY",
    "元": "CNY",
    "¥": "CNY",
    "港元": "HKD",
    "美金": "USD",
    "美元": "USD",
    "港币": "HKD",
    "欧元": "EUR",
    "英镑": "GBP",
    "日元": "JPY",
}
_CODES = "cny|usd|eur|gbp|hkd|jpy|sgd|aud|cad|chf|twd|mop"
_SAID = "|".join(sorted(_CURRENCIES, key=len, reverse=True))
_BALANCE_IN = re.compile(
    rf"^(?:(?P<head>{_SAID}|{_CODES})?(?P<what>{'|'.join(sorted(_WORDS['balance'].split(), key=len, reverse=True))})"
    rf"(?P<tail>{_SAID}|{_CODES})?)$"
)
_MAY_REPEAT = frozenset({"phone", "relation", "contact_name", "channel"})
_OURS = re.compile(r"^onrecord(row|field|problem|shape|remedy)$")

_SETTABLE = [
    "case_ref",
    "account_ref",
    "name",
    "id_number",
    "person_key",
    "balance",
    "currency",
    "region",
    "address",
    "phone",
    "channel",
    "relation",
    "contact_name",
    "workplace",
    "mobile",
    "home",
    "relative",
    "emergency",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberColumns:
    """The columns of one number in a wide file. ``channel`` None: the relation decides."""

    channel: Channel | None
    phone: int
    name: int | None = None
    relation: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where everything stands. ``long``: one row a number, told by ``channel`` or ``relation``."""

    single: Mapping[str, int]
    balances: tuple[tuple[int, str | None, str], ...]  # column, currency if the header says it, label
    numbers: tuple[NumberColumns, ...]
    long: bool
    unknown: tuple[str, ...]

    def get(self, cells: Sequence[str], field: str) -> str:
        place = self.single.get(field)
        return cells[place] if place is not None and place < len(cells) else ""


def plain(header: str) -> str:
    """A header without what people vary: width, case, blanks, punctuation."""
    return re.sub(r"[\s_\-./()（）:：*#\"'【】\[\]]+", "", unicodedata.normalize("NFKC", header).lower())


def known_headers(cells: Sequence[str]) -> int:
    """How many of these cells are headers we know."""
    return sum(1 for cell in cells if _is_known(plain(cell)))


def _is_known(word: str) -> bool:
    return bool(
        word in _EXACT
        or word in _CHANNEL_OF
        or _BALANCE_IN.match(word)
        or _GROUPED.match(word)
        or _numbered(word)
        or _is_numbered_phone(word)
    )


def read_layout(
    header: Sequence[str],
    columns: Mapping[str, str],
    client: str,
    *,
    needs: frozenset[str] = frozenset({"case_ref", "balance", "phone"}),
) -> Layout:
    """Map a header. ``columns`` is the client's own map: our field → their header.

    Our fields for numbers are a channel's name, with a place for more than one: ``relative``, ``relative_2``,
    and ``relative_2_name``, ``relative_2_relation`` beside them. Raises ``HeaderUnknown``.
    """
    single: dict[str, int] = {}
    balances: list[tuple[int, str | None, str]] = []
    groups: dict[tuple[str, int], dict[str, int]] = {}
    unknown: list[str] = []
    chosen = _chosen(header, columns, client)
    words = frozenset(plain(title) for title in header)
    # Phone columns may stand twice: a case may have many numbers.
    refuse_twins(
        header,
        lambda place, word: (
            place not in chosen
            and bool(word in _EXACT or _BALANCE_IN.match(word))
            and _EXACT.get(word) not in _MAY_REPEAT
        ),
    )
    foremost = _foremost(header)
    for place, title in enumerate(header):
        word = plain(title)
        if not word or _OURS.match(word):
            continue
        if place in chosen:
            _place_chosen(chosen[place], place, single, balances, groups)
        elif (found := _BALANCE_IN.match(word)) is not None:
            code = found["head"] or found["tail"]
            currency = None if code is None else _CURRENCIES.get(code, code.upper())
            balances.append((place, currency, title.strip()))
        elif (
            word in _EXACT
            and _EXACT[word] not in single
            and foremost[_EXACT[word]] == word
            and not _heads_contacts(word, words)
        ):
            single[_EXACT[word]] = place
        elif word in _CHANNEL_OF and not _is_group_name(word, words):
            channel = _CHANNEL_OF[word]
            _add(groups, (channel.value, _free_index(groups, channel.value)), "phone", place)
        elif (grouped := _GROUPED.match(word)) is not None:
            group, index, attribute, tail = grouped.groups()
            key = _CONTACT_GROUPS[group]
            kind = _ATTRIBUTES[attribute] if attribute else ("name" if _is_group_name(word, words) else "phone")
            _add(groups, (key.value if key else "by-relation", _index(index or tail)), kind, place)
        elif (numbered := _numbered(word)) is not None:
            _add(groups, (numbered[0].value, numbered[1]), "phone", place)
        elif _is_numbered_phone(word):
            # 电话1, Phone 2 say nothing of a contact: like a lone 电话 they are the debtor's own.
            _add(groups, (Channel.MOBILE.value, _free_index(groups, Channel.MOBILE.value)), "phone", place)
        else:
            unknown.append(title)
    return _checked(single, balances, groups, unknown, header, needs)


def _checked(
    single: dict[str, int],
    balances: list[tuple[int, str | None, str]],
    groups: dict[tuple[str, int], dict[str, int]],
    unknown: list[str],
    header: Sequence[str],
    needs: frozenset[str],
) -> Layout:
    if "case_ref" not in single and "account_ref" in single:
        single["case_ref"] = single["account_ref"]
    long = "phone" in single and ("channel" in single or "relation" in single)
    if "phone" in single and not long:
        # A lone 电话 / phone column in a wide file is the debtor's own.
        _add(groups, (Channel.MOBILE.value, _free_index(groups, Channel.MOBILE.value)), "phone", single.pop("phone"))
    lines = tuple(
        NumberColumns(
            channel=None if channel == "by-relation" else Channel(channel),
            phone=parts["phone"],
            name=parts.get("name"),
            relation=parts.get("relation"),
        )
        for (channel, _), parts in sorted(groups.items(), key=lambda item: item[1].get("phone", 0))
        if "phone" in parts
    )
    missing = [name for name, there in (("case_ref", "case_ref" in single), ("balance", balances or long)) if not there]
    missing = [name for name in missing if name in needs]
    if "phone" in needs and not lines and not long:
        missing.append("a phone column")
    if missing:
        raise HeaderUnknown(
            f"no column is known as {' and '.join(missing)}",
            field="header",
            shape=f"{len(header)} columns, {known_headers(header)} known",
            remedy='name the columns in settings: [clients.columns] case_ref = "…", balance = "…", mobile = "…"',
        )
    return Layout(single=single, balances=tuple(balances), numbers=lines, long=long, unknown=tuple(unknown))


def _chosen(header: Sequence[str], columns: Mapping[str, str], client: str) -> dict[int, str]:
    titles = {plain(title): place for place, title in enumerate(header)}
    chosen: dict[int, str] = {}
    for field, title in columns.items():
        base = re.sub(r"(_\d+)?(_name|_relation)?$", "", field)
        if (
            field not in _SETTABLE
            and base not in {channel.value for channel in Channel}
            and not re.match(r"^balance_[a-z]{3}$", field)
        ):
            raise HeaderUnknown(
                "the client's column map names a field we do not have",
                field=f"clients[{client}].columns",
                shape=describe_shape(field),
                remedy=f"use one of: {', '.join(_SETTABLE)}",
            )
        if plain(title) in titles:
            chosen[titles[plain(title)]] = field
    return chosen


def _place_chosen(
    field: str,
    place: int,
    single: dict[str, int],
    balances: list[tuple[int, str | None, str]],
    groups: dict[tuple[str, int], dict[str, int]],
) -> None:
    if field == "balance" or field.startswith("balance_"):
        balances.append((place, field[8:].upper() or None, field))
        return
    parts = field.split("_")
    if parts[0] in {channel.value for channel in Channel}:
        index = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 1
        attribute = parts[-1] if parts[-1] in ("name", "relation") else "phone"
        _add(groups, (parts[0], index), attribute, place)
        return
    single[field] = place


def _add(groups: dict[tuple[str, int], dict[str, int]], key: tuple[str, int], attribute: str, place: int) -> None:
    parts = groups.setdefault(key, {})
    if attribute in parts:
        key = (key[0], _free_index(groups, key[0]))
        parts = groups.setdefault(key, {})
    parts[attribute] = place


def _free_index(groups: dict[tuple[str, int], dict[str, int]], channel: str) -> int:
    index = 1
    while "phone" in groups.get((channel, index), {}):
        index += 1
    return index


def _index(text: str) -> int:
    if not text:
        return 1
    return _INDEX.get(text) or (int(text) if text.isdigit() else 1)


def _numbered(word: str) -> tuple[Channel, int] | None:
    found = _NUMBERED.match(word)
    if found is None or found[1] not in _CHANNEL_OF:
        return None
    return _CHANNEL_OF[found[1]], _index(found[2])


def _is_numbered_phone(word: str) -> bool:
    found = _NUMBERED.match(word)
    return found is not None and _EXACT.get(found[1]) == "phone"


def refuse_twins(header: Sequence[str], counts: Callable[[int, str], bool]) -> None:
    """Two columns of one title may hold two truths: refuse the header. ``counts(place, word)``: whether a column matters.

    Raises ``HeaderUnknown``.
    """
    seen: dict[str, int] = {}
    for place, title in enumerate(header):
        word = plain(title)
        if not word or not counts(place, word):
            continue
        if word in seen:
            raise HeaderUnknown(
                "two columns have the same title",
                field=title.strip(),
                shape=f"columns {seen[word] + 1} and {place + 1}",
                remedy="rename or remove the one that is not meant",
            )
        seen[word] = place


def _foremost(header: Sequence[str]) -> dict[str, str]:
    """Of several titles that mean one field (合同号 beside 案件编号), the one our list names first, wherever it stands."""
    present = {plain(title) for title in header}
    return {field: next((word for word in words.split() if word in present), "") for field, words in _WORDS.items()}


def _is_group_name(word: str, words: frozenset[str]) -> bool:
    """紧急联系人 beside 紧急联系人电话 holds a name, not a number."""
    return any(word + attribute in words for attribute, kind in _ATTRIBUTES.items() if kind == "phone")


def _heads_contacts(word: str, words: frozenset[str]) -> bool:
    """联系人 / contact heads a group of columns when its 电话 or 姓名 stands beside it; else it is a name in a long file."""
    return word in ("联系人", "contact") and any(word + attribute in words for attribute in _ATTRIBUTES)


def channel_of(text: str, relation: str) -> Channel | None:
    """The channel a long row or a contact's relation means; None when neither says."""
    for said in (plain(text), plain(relation)):
        if not said:
            continue
        if said in _CHANNEL_OF:
            return _CHANNEL_OF[said]
        if said in _SELF:
            return Channel.MOBILE
        if said in _RELATIVES:
            return Channel.RELATIVE
    if not plain(text) and plain(relation):
        return Channel.EMERGENCY  # a friend, a colleague: somebody named, not of the family
    return None


def is_self(relation: str) -> bool:
    return plain(relation) in _SELF
