"""Which trunk `onrecord demo --trunk` means."""

from __future__ import annotations

import pytest

from config.settings import Settings, TrunkSettings
from dialer.demo import BadTrunk, trunk_of

CARRIER = TrunkSettings(name="carrier", host="192.0.2.5", port=5070, username="us", password="secret")  # type: ignore[arg-type]  # pydantic wraps it


def test_a_trunk_of_the_settings_keeps_its_account() -> None:
    house = Settings(trunks=(CARRIER,))
    assert trunk_of("carrier", house) is CARRIER
    assert trunk_of("sip:192.0.2.5:5070", house) is CARRIER
    assert trunk_of("sip:192.0.2.5", house).password is None
    assert trunk_of("sip:192.0.2.6:5070", None).name == "trunk"
    with pytest.raises(BadTrunk):
        trunk_of("another", house)
