"""For every test: a property is judged by what it says, however slow the machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("behaviour", deadline=None)
settings.load_profile("behaviour")
