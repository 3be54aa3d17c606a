"""Who may do what: one table. A role gets what its work needs and nothing else.

Numbers are masked for everybody. How much of one is seen differs: who works the case sees enough to tell two numbers
apart and to recognise the country and network; who only judges the talk or runs the machines sees the last four.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from case_store.views import Role
from config.masking import mask_number


class Permission(StrEnum):
    SEE_CASES = "see-cases"
    SEE_COVERAGE = "see-coverage"
    LISTEN = "listen"
    WATCH_CALLS = "watch-calls"
    RUN_CAMPAIGNS = "run-campaigns"
    LOAD_PLACEMENTS = "load-placements"
    SEE_USERS = "see-users"
    CHANGE_USERS = "change-users"
    SEE_HEALTH = "see-health"
    SEE_METRICS = "see-metrics"
    MASK_CALLS = "mask-calls"
    MASK_RECORDINGS = "mask-recordings"  # after the seal
    GIVE_EVIDENCE = "give-evidence"
    TAKE_CALLS = "take-calls"  # sit at a desk
    SUPERVISE = "supervise"  # others' desks: listen, whisper, join, pause, log out
    GIVE_UNMASKED = "give-unmasked"  # evidence with the master of a masked recording
    ENTER_OUTCOMES = "enter-outcomes"  # what a call or a visit came to
    LOOK_UP = "look-up"  # numbers from lawful sources
    ASK_APPROVAL = "ask-approval"  # registry, visit, waiver, extension
    APPROVE = "approve"  # … by another person
    APPROVE_REGISTRY = "approve-registry"
    LEAD = "lead"  # decide matters, close, hand back
    LIFT_HOLDS = "lift-holds"
    VET = "vet"  # record and withdraw what rule 1 asks of collectors


_P = Permission

MAY: dict[Role, frozenset[Permission]] = {
    Role.COLLECTOR: frozenset(
        {
            _P.SEE_CASES,
            _P.WATCH_CALLS,
            _P.LISTEN,
            _P.MASK_CALLS,
            _P.TAKE_CALLS,
            _P.ENTER_OUTCOMES,
            _P.ASK_APPROVAL,
        }
    ),
    Role.TEAM_LEADER: frozenset(
        {
            _P.SEE_CASES,
            _P.SEE_COVERAGE,
            _P.LISTEN,
            _P.WATCH_CALLS,
            _P.RUN_CAMPAIGNS,
            _P.LOAD_PLACEMENTS,
            _P.MASK_CALLS,
            _P.MASK_RECORDINGS,
            _P.GIVE_EVIDENCE,
            _P.TAKE_CALLS,
            _P.SUPERVISE,
            _P.ENTER_OUTCOMES,
            _P.LOOK_UP,
            _P.ASK_APPROVAL,
            _P.APPROVE,
            _P.LEAD,
        }
    ),
    Role.QA: frozenset({_P.SEE_CASES, _P.SEE_COVERAGE, _P.LISTEN, _P.MASK_RECORDINGS}),
    Role.COMPLIANCE: frozenset(
        {
            _P.SEE_CASES,
            _P.SEE_COVERAGE,
            _P.LISTEN,
            _P.WATCH_CALLS,
            _P.SEE_USERS,
            _P.SEE_HEALTH,
            _P.MASK_RECORDINGS,
            _P.GIVE_EVIDENCE,
            _P.GIVE_UNMASKED,
            _P.APPROVE,
            _P.APPROVE_REGISTRY,
            _P.LIFT_HOLDS,
            _P.VET,
        }
    ),
    Role.CLERK: frozenset({_P.SEE_CASES, _P.SEE_COVERAGE, _P.LOAD_PLACEMENTS, _P.LOOK_UP, _P.ASK_APPROVAL}),
    Role.ADMIN: frozenset({_P.SEE_USERS, _P.CHANGE_USERS, _P.SEE_HEALTH, _P.SEE_METRICS, _P.WATCH_CALLS}),
}

_WORKS_THE_CASE = frozenset({Role.COLLECTOR, Role.TEAM_LEADER, Role.COMPLIANCE, Role.CLERK})


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Everything the roles allow together."""
    return frozenset().union(*(MAY[role] for role in roles))


def number_as_seen(e164: str, roles: frozenset[Role]) -> str:
    """A number as these roles may see it. Never dialable.

    >>> number_as_seen("+8613812345678", frozenset({Role.COLLECTOR}))
    '+86138****5678'
    >>> number_as_seen("+8613812345678", frozenset({Role.QA}))
    '****5678'
    """
    if roles & _WORKS_THE_CASE:
        return mask_number(e164)
    return "****" + (e164[-4:] if len(e164) >= 11 else "")
