"""Amounts as banks write them → exact decimals with an ISO 4217 currency, or a refusal. Nothing is guessed."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from case_store.intake.errors import FieldRefused
from case_store.intake.rows import NumericCell
from case_store.model import Money

_WORDS = {
    "人民币": "CNY",
    "RMB": "CNY",
    "元": "CNY",
    "圆": "CNY",
    "元整": "CNY",
    "美元": "USD",
    "美金": "USD",
    "US$": "USD",
    "港币": "HKD",
    "港元": "HKD",
    "HK$": "HKD",
    "欧元": "EUR",
    "英镑": "GBP",
    "日元": "JPY",
}
_OF_REGION = {
    "CN": "CNY",
    "US": "USD",
    "GB": "GBP",
    "HK": "HKD",
    "JP": "JPY",
    "SG": "SGD",
    "TW": "TWD",
    "MO": "MOP",
}
# A sign may stand for several currencies: it rules out, and only where one is left it decides.
_SIGNS = {
    "¥": frozenset({"CNY", "JPY"}),
    "$": frozenset({"USD", "HKD", "SGD", "TWD", "AUD", "CAD", "NZD"}),
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP"}),
}
# ISO 4217, active codes of countries (2025); funds, metals and test codes are no debts.
_ISO = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "ANG",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BGN",
        "BHD",
        "BIF",
        "BMD",
        "BND",
        "BOB",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHF",
        "CLP",
        "CNY",
        "COP",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DJF",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GNF",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KMF",
        "KPW",
        "KRW",
        "KWD",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "UYU",
        "UZS",
        "VES",
        "VND",
        "VUV",
        "WST",
        "XAF",
        "XCD",
        "XCG",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWG",
    ]
)
_NAMED = "|".join(re.escape(word) for word in sorted(_WORDS, key=len, reverse=True))
_WRITTEN = re.compile(
    rf"^(?P<head>{_NAMED}|[A-Z]{{3}}|[¥$€£])?(?P<figures>[^A-Z¥$€£]*?)(?P<tail>{_NAMED}|[A-Z]{{3}})?$", re.I
)
_AMOUNT = re.compile(r"^\d{1,3}(,\d{3})+(\.\d{1,4})?$|^\d{1,14}(\.\d{1,4})?$")
_EITHER = re.compile(r"^[1-9]\d{0,2}\.\d{3}$")  # 12.345: a thousand's point, or a decimal's?
_REMEDY = "write it like 12,345.67, without words or exponents"


def read_money(text: str, *, field: str, currency: str | None = None, said: str = "", region: str = "CN") -> Money:
    """An amount with thousand separators or full-width digits, exactly. Raises ``FieldRefused``.

    The currency comes from the header, the currency column, or what stands in the cell, in this order; they must not
    contradict each other. Where none of them speaks, it is that of the case's region.
    """
    plain = text if isinstance(text, NumericCell) else unicodedata.normalize("NFKC", text).strip().replace(" ", "")
    written = _WRITTEN.match(plain)
    figures = plain if written is None else written["figures"]
    if re.match(r"^[-−(]", figures) or plain[:1] in "-−(":
        raise FieldRefused(
            "the amount is negative",
            field=field,
            value=str(text),
            remedy="a credit is nothing to collect: leave it out",
        )
    if written is None or not _AMOUNT.match(figures):
        raise FieldRefused("this is not an amount", field=field, value=str(text), remedy=_REMEDY)
    if not isinstance(text, NumericCell) and _EITHER.match(figures):
        raise FieldRefused(
            "the point may part thousands or decimals",
            field=field,
            value=str(text),
            remedy="write thousands with a comma or without, decimals with two digits",
        )
    marks = [mark.upper() for mark in (written["head"], written["tail"]) if mark]
    chosen = _currency(marks, currency, said, region, field=field, text=str(text))
    return Money(amount=Decimal(figures.replace(",", "")), currency=chosen)


def _currency(marks: list[str], header: str | None, said: str, region: str, *, field: str, text: str) -> str:
    word = unicodedata.normalize("NFKC", said).strip().upper()
    stated = header or (_WORDS.get(word, word) if word else None)
    if stated is not None and stated not in _ISO:
        raise FieldRefused(
            "the currency is not known", field="currency", value=said, remedy="give an ISO 4217 code such as CNY"
        )
    left: frozenset[str] | None = None if stated is None else frozenset({stated})
    for mark in marks:
        means = _SIGNS.get(mark, frozenset({_WORDS.get(mark, mark)}))
        if not means & _ISO:
            raise FieldRefused("this is not an amount", field=field, value=text, remedy=_REMEDY)
        left = means if left is None else left & means
    if left is not None and not left:
        raise FieldRefused(
            "the amount's sign and its currency disagree", field=field, value=text, remedy="correct one of them"
        )
    of_region = _OF_REGION.get(region[:2])
    if left is None:
        left = frozenset() if of_region is None else frozenset({of_region})
    if of_region in left and of_region is not None:
        return of_region
    if len(left) != 1:
        raise FieldRefused(
            "the currency is not known",
            field="currency",
            value=said or text,
            remedy="give an ISO 4217 code such as CNY",
        )
    return next(iter(left))
