"""May this number be called now? Rule sets as data, one pure decision, and the slots of a day.

    from dialer.policy import CallRequest, decide, load_sets
    verdict = decide(CallRequest(...), facts, load_sets(("cn-gbt45251-2025", "cn-cba-2026")))

Policy wins over workflow, and the strictest of all loaded figures wins over the rest.
"""

from dialer.policy.decide import decide, first_permitted
from dialer.policy.load import available_sets, load_sets
from dialer.policy.request import CallRequest, Purpose
from dialer.policy.rules import Obligation, PolicySet

__all__ = [
    "CallRequest",
    "Obligation",
    "PolicySet",
    "Purpose",
    "available_sets",
    "decide",
    "first_permitted",
    "load_sets",
]
