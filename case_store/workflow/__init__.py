"""What should happen next: the SOP as a pure core.

The store's door: load ``CaseState`` (``from_dict``), ``apply`` an event, save ``to_dict`` and ``next_action`` and
write ``notices`` to the event log, all in one transaction::

    rules = Rules(calendar=calendar, slots=slots)
    state = open_case(case_id=..., zone_name="Asia/Shanghai", ..., rules=rules)
    state = apply(state, CaseEvent(outcome=OutcomeCode.NO_ANSWER, at=now, number_id="n1"), rules)
    state.next_action
"""

from case_store.workflow.case_state import CaseEvent, CaseState, Notice, NoticeKind, NumberTrack, Stage
from case_store.workflow.fold import apply, open_case
from case_store.workflow.history import CaseHistory, next_action
from case_store.workflow.outcomes import OutcomeCode
from case_store.workflow.step import Rules
from case_store.workflow.transitions import TABLE, ActionCode, Owner, Reach
from case_store.workflow.windows import FixedHours, PermittedSlots

__all__ = [
    "TABLE",
    "ActionCode",
    "CaseEvent",
    "CaseHistory",
    "CaseState",
    "FixedHours",
    "Notice",
    "NoticeKind",
    "NumberTrack",
    "OutcomeCode",
    "Owner",
    "PermittedSlots",
    "Reach",
    "Rules",
    "Stage",
    "apply",
    "next_action",
    "open_case",
]
