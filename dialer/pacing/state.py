"""What a pacer is shown (``FloorView``), what it is told (events) and what it says (``Pace``).

Times are seconds on any scale that never steps back (``Clock.monotonic``, or a simulator's own). Every value
here is frozen and made of plain numbers and text, so a decision can be written down and replayed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

CallKey = int | str
KINDEST_RING = 15.0  # seconds; nobody's phone is given up earlier (16 CFR 310.4(b)(4)(ii): 15 s or four rings)


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorView:
    """The floor at one instant.

    ``talking`` and ``wrapping`` hold the seconds since each agent's talk or wrap-up began, for agents who will
    be ready afterwards: one who asked for a break after this call is left out of both (and counted in
    ``leaving``). The three ``ringing_…`` columns run in parallel, one entry a call that has neither been
    answered nor ended: seconds since the INVITE, seconds since the first sign of ringing (0 before it, and 0 again once it was answered and is being classified), and the
    chance (0 to 1, fixed when it was placed) that it is answered at all, or None to use the pacer's own
    estimate for the whole campaign. ``waiting`` holds the seconds each answered customer has waited.
    ``next_chance`` is the answer chance of the numbers next in line, None likewise.
    ``room`` is how many calls may be placed now: channels, cps and eligible numbers together; None: no limit.
    """

    idle: int
    talking: tuple[float, ...] = ()
    wrapping: tuple[float, ...] = ()
    leaving: int = 0
    ringing: tuple[CallKey, ...] = ()
    ringing_age: tuple[float, ...] = ()
    ringing_rung: tuple[float, ...] = ()
    ringing_chance: tuple[float | None, ...] = ()
    waiting: tuple[float, ...] = ()
    next_chance: float | None = None
    room: int | None = None

    @property
    def agents(self) -> int:
        """Agents logged in and not on a break."""
        return self.idle + len(self.talking) + len(self.wrapping) + self.leaving

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_record`` gives back an equal view."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> FloorView:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
        }
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The answer: how many calls to place now, which ringing calls to give up, and why.

    ``risk`` has one entry a call to place: the chance that, once answered, it costs a drop. Hand it back in
    ``Placed``. ``why`` maps reasons to figures (``binding`` names the limit that decided).
    """

    place: int
    cancel: tuple[CallKey, ...] = ()
    risk: tuple[float, ...] = ()
    why: dict[str, float | str] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        return asdict(self)


class Sample(NamedTuple):
    """The floor as it is, sent every ``Pacer.every`` seconds, just before that tick's decision."""

    at: float
    view: FloorView


class Placed(NamedTuple):
    """An INVITE left. ``chance`` and ``risk`` as in the view and the pace."""

    at: float
    call: CallKey
    chance: float | None
    risk: float


class Answered(NamedTuple):
    """A person answered (classified as such, where call progress is classified) and needs an agent now."""

    at: float
    call: CallKey


class Unanswered(NamedTuple):
    """The call ended without a person: no answer, busy, machine, failure; or we gave it up (``cancelled``)."""

    at: float
    call: CallKey
    cancelled: bool = False


class Bridged(NamedTuple):
    """Customer and agent talk; ``waited`` seconds after the answer."""

    at: float
    call: CallKey
    waited: float


class Dropped(NamedTuple):
    """An answered customer found no agent within the patience: an abandoned call."""

    at: float
    call: CallKey


class Served(NamedTuple):
    """A call that an agent was kept for was answered: it pays into the campaign's account, and tells a pacer nothing of
    calls placed for nobody."""

    at: float
    call: CallKey


class TalkEnded(NamedTuple):
    at: float
    seconds: float


class WrapEnded(NamedTuple):
    """Wrap-up is over. ``returns`` is False when the agent went away instead of getting ready."""

    at: float
    seconds: float
    returns: bool = True


PacingEvent = Sample | Placed | Answered | Unanswered | Bridged | Dropped | Served | TalkEnded | WrapEnded


class Pacer(Protocol):
    """Anything that paces.

    ``decide`` changes nothing that a later decision depends on: the same pacer asked twice answers twice the
    same. All learning happens in ``observe``, whose events come in time order. Every ``every`` seconds it is
    shown a ``Sample`` and asked; with ``on_events`` it wants to be asked after each event as well, but never twice within
    ``soonest`` seconds.
    """

    @property
    def every(self) -> float: ...

    @property
    def on_events(self) -> bool: ...

    @property
    def soonest(self) -> float: ...

    def decide(self, view: FloorView, now: float) -> Pace: ...

    def observe(self, event: PacingEvent) -> None: ...
