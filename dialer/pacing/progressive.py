"""One call per ready agent: no drops but those of an agent who leaves while the phone rings."""

from __future__ import annotations

from dialer.pacing.state import FloorView, Pace, PacingEvent


class Progressive:
    """Keeps as many calls ringing or waiting as there are idle agents."""

    every = 1.0
    on_events = True
    soonest = 0.5

    def decide(self, view: FloorView, now: float) -> Pace:
        free = view.idle - len(view.ringing) - len(view.waiting)
        place = max(0, free if view.room is None else min(free, view.room))
        return Pace(
            place=place,
            risk=(0.0,) * place,
            why={"binding": "room" if place < free else "idle agents", "idle": view.idle, "ringing": len(view.ringing)},
        )

    def observe(self, event: PacingEvent) -> None:
        """Learns nothing."""
