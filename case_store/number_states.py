"""When a number retires: what the network said twice, or people said three times (SOP.md, "A number becomes INVALID")."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import insert, select, update

from case_store.database import Unit
from case_store.model import NumberState
from case_store.network import ProgressCategory
from case_store.tables import number_history, number_signs, numbers
from config.identity import new_id

_log = logging.getLogger(__name__)

# sign -> how many of it retire the number
RETIRING_SIGNS: dict[str, int] = {
    ProgressCategory.NOT_IN_SERVICE.value: 2,
    ProgressCategory.INVALID_NUMBER.value: 2,
    "NO_SUCH_PERSON": 3,
    "LEFT_JOB": 3,
    "MOVED": 3,
}
# Somebody who answers takes back what the network said before.
_SIGN_OF_LIFE = (ProgressCategory.ANSWERED.value,)
_NETWORK_SIGNS = (ProgressCategory.NOT_IN_SERVICE.value, ProgressCategory.INVALID_NUMBER.value)


async def note_sign(unit: Unit, number_id: str, case_id: str, sign: str, at: datetime) -> None:
    """Count a sign about a number and retire it when it has had enough of them."""
    if sign in _SIGN_OF_LIFE:
        await unit.connection.execute(
            update(number_signs)
            .where(number_signs.c.number_id == number_id, number_signs.c.sign.in_(_NETWORK_SIGNS))
            .values(times=0)
        )
        return
    if sign not in RETIRING_SIGNS:
        return
    here = number_signs.c.number_id == number_id, number_signs.c.sign == sign
    times = (await unit.connection.execute(select(number_signs.c.times).where(*here))).scalar_one_or_none()
    if times is None:
        await unit.connection.execute(insert(number_signs).values(number_id=number_id, sign=sign, times=1, last_at=at))
    else:
        await unit.connection.execute(update(number_signs).where(*here).values(times=times + 1, last_at=at))
    if (times or 0) + 1 >= RETIRING_SIGNS[sign]:
        await change_number(unit, number_id, case_id, NumberState.INVALID, at, reason=sign)


async def change_number(
    unit: Unit, number_id: str, case_id: str, to: NumberState, at: datetime, *, reason: str
) -> bool:
    """The one door for a number's state; False when it is there already. A blocked number never comes back."""
    old = NumberState(
        (await unit.connection.execute(select(numbers.c.state).where(numbers.c.id == number_id))).scalar_one()
    )
    if old is to or old is NumberState.BLOCKED:
        return False
    await unit.connection.execute(update(numbers).where(numbers.c.id == number_id).values(state=to.value))
    await unit.connection.execute(
        insert(number_history).values(
            id=new_id("nh"), number_id=number_id, at=at, old=old.value, new=to.value, reason=reason
        )
    )
    _log.info("number %s: %s -> %s (%s)", number_id, old, to, reason)
    unit.emit("number.changed", at, case_id=case_id, subject_id=number_id, old=old.value, new=to.value, reason=reason)
    return True
