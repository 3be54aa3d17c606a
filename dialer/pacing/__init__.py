"""How many calls now? Pure: no I/O, no clock, no randomness of its own.

``state`` holds what a pacer is shown and told, ``hazard`` the product's own pacer, ``vicidial`` and
``progressive`` the ones to compare with, ``ledger`` the 30-day gate, ``bound`` the optimum of the Markov
version, ``simulator`` (with ``scenario`` and ``fast_floor``) a floor in virtual time to try them on.
Anybody's simulator can drive them: docs/pacing.md.
"""
