"""When the clock alone changes a case: the next instant at which somebody must look at it again. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from case_store.workflow.case_state import CaseState, Pending, Thread
from config.calendars import day_begins, zone
from config.settings import WorkflowSettings

_DAY = timedelta(days=1)


def look_at(state: CaseState, settings: WorkflowSettings) -> datetime | None:
    """The earliest of: a window that closes, a promise or funding that lapses, the end of the term. None: ended.

    A window that is overdue already asks for nothing more: it is visible until somebody acts.
    """
    if state.is_terminal:
        return None
    where = zone(state.zone)
    edges = [each.action.latest for each in state.pending if not each.overdue]
    edges += [at for each in state.pending if (at := warn_at(each, settings)) is not None]
    edges += [each.action.earliest for each in state.pending if each.thread is Thread.CALL_BACK]
    if state.promise is not None:
        edges.append(day_begins(state.promise.due, where))
        edges.append(day_begins(state.promise.counts_until(settings) + _DAY, where))
    if state.funding is not None:
        edges.append(day_begins(state.funding.due + _DAY, where))
    if state.term_ends_on is not None and state.term_ends_on < date.max:  # some banks write "never" so
        edges.append(day_begins(state.term_ends_on + _DAY, where))
    return min((edge for edge in edges if edge > state.as_of), default=None)


def warn_at(each: Pending, settings: WorkflowSettings) -> datetime | None:
    """When people are told that a window of days is about to close; None: it is short, said already, or over."""
    warning = timedelta(hours=settings.warn_hours)
    action = each.action
    if each.warned or each.overdue or not warning or action.latest - action.earliest < max(_DAY, 2 * warning):
        return None
    return action.latest - warning
