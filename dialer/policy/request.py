"""The question put to the policy: this person, this number, this debt, at this instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from case_store.model import Channel


class Purpose(StrEnum):
    COLLECT = "collect"
    CONFIRM_FRAUD = "confirm-fraud"  # step 1 of the fraud claim: the one call a fraud hold lets through


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRequest:
    """``person_id`` is whom the call is meant to reach: the debtor for every own line, the workplace included.

    ``address_region`` (ISO 3166: ``CN``, ``US-CA``) is the case's address; it places numbers that say nothing of where
    they are. ``protected_route`` is a line under carrier protection (``cn-carrier``).
    """

    at: datetime
    e164: str
    channel: Channel
    case_id: str
    person_id: str
    debtor_id: str
    debt_id: str
    address_region: str | None = None
    protected_route: bool = False
    purpose: Purpose = Purpose.COLLECT

    @property
    def to_third_party(self) -> bool:
        """The workplace line is the debtor's own although a third party answers it (SOP)."""
        return not self.channel.is_debtors_own
