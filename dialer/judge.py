"""The calling policy as the ledger's judge: the store's facts in, the verdict out, inside the booking's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from case_store import call_facts as policy
from case_store.ledger import CallFacts, Judge
from case_store.model import Channel, NumberState
from case_store.verdict import Verdict
from case_store.workflow import ActionCode, CaseState
from dialer.policy import CallRequest, PolicySet, decide
from dialer.policy.case_view import debtor_state_of, holds_of
from dialer.policy.request import Purpose
from dialer.surroundings import LOCK_OUT, agreed, inconvenient, lock_out, meant_person, opt_out, past_call, promise_hold


def judge_by(
    sets: Sequence[PolicySet], lockout: timedelta = LOCK_OUT, *, protected: bool = False, grace_days: int = 1
) -> Judge:
    """What ``Attempts.book`` asks. Pure; the strictest of all sets wins. ``lockout`` protects whoever was abandoned;
    ``grace_days``: when a promise on another case settles; ``protected``: a trunk lies under carrier protection, so every call is counted as if it took that one."""

    def judge(facts: CallFacts) -> Verdict:
        standing = _standing(facts)
        return decide(
            request_of(facts, standing, protected=protected), policy_facts(facts, standing, lockout, grace_days), sets
        )

    return judge


def _standing(facts: CallFacts) -> CaseState | None:
    return None if facts.workflow is None else CaseState.from_dict(facts.workflow)


def request_of(facts: CallFacts, standing: CaseState | None = None, *, protected: bool = False) -> CallRequest:
    candidate = facts.candidate
    action = standing.next_action if standing is not None else None
    confirming = action is not None and action.action == ActionCode.CONFIRM_FRAUD
    return CallRequest(
        at=facts.now,
        e164=candidate.e164,
        channel=candidate.channel,
        case_id=candidate.case_id,
        person_id=meant_person(candidate),
        debtor_id=candidate.debtor_person_id,
        debt_id=candidate.debt_id,
        address_region=candidate.case_region or None,
        protected_route=protected,
        purpose=Purpose.CONFIRM_FRAUD if confirming else Purpose.COLLECT,
    )


def policy_facts(
    facts: CallFacts, standing: CaseState | None = None, lockout: timedelta = LOCK_OUT, grace_days: int = 1
) -> policy.CallFacts:
    """The ledger's facts and where the workflow sees the case: holds, lost contact, whoever was spoken to before."""
    candidate = facts.candidate
    mobiles = [number for number in facts.own_numbers if number.channel is Channel.MOBILE]
    person = meant_person(candidate)
    return policy.CallFacts(
        calls=tuple(past_call(call) for call in facts.history),
        refused_persons=frozenset({person}) if facts.person_refused else frozenset(),
        opt_outs=tuple(opt_out(one, person) for one in facts.consents if one.kind == "opt-out"),
        agreed_hours=tuple(agreed(one, person) for one in facts.consents if one.kind == "hours"),
        inconvenient=tuple(inconvenient(one, person) for one in facts.consents if one.kind == "inconvenient"),
        holds=(
            *lock_out(facts.history, candidate.e164, person, lockout),
            *promise_hold(facts.promised_elsewhere, candidate, grace_days),
            *(holds_of(standing) if standing is not None else ()),
        ),
        debtor_state=debtor_state_of(standing) if standing is not None else policy.DebtorState.REACHABLE,
        debtor_mobiles_invalid=all(number.state is not NumberState.LIVE for number in mobiles),
        debtor_numbers_invalid=all(number.state is not NumberState.LIVE for number in facts.own_numbers),
        spoken_ever=facts.spoken_ever,
    )
