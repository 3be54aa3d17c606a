"""The simulated collector's head: what a call came to, from the case's facts and what was heard. A pure function.

On our own simulated carrier ``heard`` is the name of the clip the matcher found in the customer's channel
(``recognise_speech``), so the conclusion comes from the line. On a foreign trunk nothing is known of the sound
(``heard`` None) and the conclusion is one that lets every number get its attempt: never a promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from case_store.model import Channel, Money
from dialer.progress.announcements import Library, Pcm
from dialer.simulated.sound import sound


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """``outcome`` is an ``OutcomeCode`` value of the SOP; ``days_ahead`` counts calendar days from the call."""

    outcome: str
    amount: Money | None = None
    days_ahead: int | None = None
    said: str = ""  # the clip it rests on


# clip → outcome, amount, days ahead; what each clip says stands in make_clips.py
_MEANING: dict[str, tuple[str, Decimal | None, int | None]] = {
    "debtor-negotiates-m": ("SELF_NEGOTIATING", None, None),
    "debtor-negotiates-f": ("SELF_NEGOTIATING", None, None),
    "debtor-negotiates-en": ("SELF_NEGOTIATING", None, None),
    "debtor-promises-500-m": ("SELF_PROMISE", Decimal(500), 2),
    "debtor-promises-1000-f": ("SELF_PROMISE", Decimal(1000), 1),
    "debtor-promises-200-en": ("SELF_PROMISE", Decimal(200), 1),
    "debtor-raises-funds-m": ("SELF_RAISING_FUNDS", None, 5),
    "relative-passes-on-f": ("MESSAGE_LEFT_1", None, None),
    "relative-passes-on-en": ("MESSAGE_LEFT_1", None, None),
    "relative-negotiates-f": ("THIRD_PARTY_NEGOTIATING", None, None),
    "relative-refuses-m": ("REFUSED_CONTACT", None, None),
    "colleague-out-m": ("MESSAGE_LEFT_2", None, None),
    "colleague-out-en": ("MESSAGE_LEFT_2", None, None),
    "colleague-left-m": ("LEFT_JOB", None, None),
    "wrong-number-f": ("NO_SUCH_PERSON", None, None),
    "wrong-number-en": ("NO_SUCH_PERSON", None, None),
    "machine-greeting": ("NO_ANSWER", None, None),
    "machine-greeting-en": ("NO_ANSWER", None, None),
}


def conclude(*, channel: Channel, balance: Money, heard: str | None) -> Conclusion:
    """What an answered call came to. ``heard`` is a clip's name, or None when nothing known was heard.

    A promise never exceeds the balance (rule 10). A call on which nothing was understood is no promise: the debtor's
    mobile or home counts as talked to, anybody else's as a message left.
    """
    if heard in _MEANING:
        outcome, amount, days = _MEANING[heard]
        money = Money(amount=min(amount, balance.amount), currency=balance.currency) if amount is not None else None
        return Conclusion(outcome=outcome, amount=money, days_ahead=days, said=heard)
    if channel in (Channel.MOBILE, Channel.HOME):
        return Conclusion(outcome="SELF_NEGOTIATING")
    return Conclusion(outcome="MESSAGE_LEFT_2")


@cache
def _speech() -> Library:
    return Library([(name, name, sound(name).pcm) for name in _MEANING])


def recognise_speech(pcm: Pcm) -> str | None:
    """Which of the simulated people's sentences is in the customer's channel (8 kHz samples), or None.

    Uses the announcements' matcher: about 40 ms of CPU for ten seconds of sound; the references are prepared once (0.5 s).
    """
    match = _speech().match(pcm)
    return match.name if match is not None else None
