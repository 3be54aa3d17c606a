"""Who answers a simulated number, and how: each persona is a script of steps with a few figures of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from config.errors import BadInput
from dialer.simulated.script import (
    Answer,
    HangUp,
    Hold,
    Listen,
    Loop,
    Mute,
    Quiet,
    Release,
    Ring,
    Say,
    Step,
    Wait,
)

FOREVER = 3600.0


class Persona(StrEnum):
    CARDHOLDER = "cardholder"
    RELATIVE = "relative"
    COLLEAGUE = "colleague"
    WRONG_NUMBER = "wrong-number"
    COLOUR_RING = "colour-ring"  # music instead of a ringing tone, then the cardholder
    MACHINE = "machine"
    HANGS_UP_EARLY = "hangs-up-early"  # answers, says a word, is gone
    NEVER_RTP = "never-rtp"  # answers and never sends a packet
    ONE_WAY = "one-way"  # speaks, and tells us (a=sendonly) that it hears nothing
    HOLDS = "holds"  # puts the caller on hold for a while (re-INVITE)
    RINGS_OUT = "rings-out"
    BUSY = "busy"
    DECLINED = "declined"
    ANNOUNCEMENT = "announcement"  # the network speaks in early media, then releases or holds the line
    NOT_FOUND = "not-found"
    UNAVAILABLE = "unavailable"
    CONGESTED = "congested"
    SERVER_ERROR = "server-error"
    FORWARDED = "forwarded"
    NO_RESPONSE = "no-response"
    ANSWERS_INTO_CANCEL = "answers-into-cancel"  # picks up at the very moment we give up

    @property
    def answers(self) -> bool:
        return self in _ANSWERING


_ANSWERING = frozenset(
    {
        Persona.CARDHOLDER,
        Persona.RELATIVE,
        Persona.COLLEAGUE,
        Persona.WRONG_NUMBER,
        Persona.COLOUR_RING,
        Persona.MACHINE,
        Persona.HANGS_UP_EARLY,
        Persona.NEVER_RTP,
        Persona.ONE_WAY,
        Persona.HOLDS,
    }
)


class BadPerson(BadInput):
    """A directory entry cannot be read."""

    error_id = "bad-simulated-person"


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """The figures of one number. Seconds are wall seconds; clips are names in ``dialer/simulated/clips``."""

    persona: Persona
    ring_after: float = 0.2  # post-dial delay
    answer_after: float = 1.5  # from ringing to the answer
    greeting: str = "greeting-m"
    says: tuple[str, ...] = ("debtor-negotiates-m",)
    goodbye: str = "goodbye-m"
    listens: float = 4.0  # at most, between sentences
    waits_for_bye: bool = False
    announcement: str = "switched-off"
    offset: float = 0.0  # seconds into the announcement at which the line opens
    announced_for: float = 5.0
    holds_line: bool = False  # goes on announcing until the caller gives up
    status: int = 480
    q850: int | None = None
    retry_after: int | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("ring_after", "answer_after", "listens", "offset", "announced_for"):
            if not 0 <= getattr(self, name) <= FOREVER:
                raise BadPerson("out of range", field=name, remedy=f"give 0 to {FOREVER:.0f} seconds")
        if not 300 <= self.status <= 699:
            raise BadPerson("no failure status", field="status", remedy="give 300 to 699")


def read_person(entry: dict[str, Any]) -> Person:
    """A directory entry → ``Person``. Raises ``BadPerson`` naming the field."""
    known = {field.name for field in fields(Person)}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise BadPerson(
            "not a figure of a simulated person", field=unknown[0], remedy=f"known: {', '.join(sorted(known))}"
        )
    try:
        persona = Persona(entry.get("persona", ""))
    except ValueError:
        raise BadPerson("no such persona", field="persona", remedy=f"one of {', '.join(Persona)}") from None
    figures: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    try:
        return Person(**(figures | {"persona": persona}))
    except TypeError as error:
        raise BadPerson(str(error), field="person", remedy="see docs/simulated-carrier.md") from None


def write_person(person: Person) -> dict[str, Any]:
    """What differs from the defaults, and the persona."""
    plain = Person(persona=person.persona)
    entry = {key: value for key, value in asdict(person).items() if value != getattr(plain, key)}
    return {"persona": person.persona.value, **{k: list(v) if isinstance(v, tuple) else v for k, v in entry.items()}}


def script(person: Person) -> Iterator[Step]:
    """The steps after ``100 Trying``."""
    return _SCRIPTS[person.persona](person)


def _reason_header(person: Person) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    if person.q850 is not None:
        headers.append(("reason", f'Q.850;cause={person.q850};text="{person.reason or "release"}"'))
    if person.retry_after is not None:
        headers.append(("retry-after", str(person.retry_after)))
    return tuple(headers)


def _rings(person: Person) -> Iterator[Step]:
    yield Wait(person.ring_after)
    yield Ring(180)


def _picks_up(person: Person) -> Iterator[Step]:
    yield from _rings(person)
    yield Wait(person.answer_after)
    yield Answer()
    yield Wait(0.3)


def _talks(person: Person) -> Iterator[Step]:
    """Greets, then says its sentences, each after the other side had its turn."""
    yield Say(person.greeting)
    for clip in person.says:
        yield Listen(person.listens)
        yield Say(clip)
    yield Listen(person.listens)
    yield Say(person.goodbye)
    yield Wait(FOREVER if person.waits_for_bye else 0.3)
    yield HangUp()


def _person(person: Person) -> Iterator[Step]:
    yield from _picks_up(person)
    yield from _talks(person)


def _colour_ring(person: Person) -> Iterator[Step]:
    yield Wait(person.ring_after)
    yield Ring(183, early=True)
    yield Loop("music")
    yield Wait(person.answer_after)
    yield Quiet()
    yield Answer()
    yield Wait(0.3)
    yield from _talks(person)


def _machine(person: Person) -> Iterator[Step]:
    yield from _picks_up(person)
    yield Say(person.greeting)
    yield Say("beep")
    yield Wait(6.0)
    yield HangUp()


def _hangs_up_early(person: Person) -> Iterator[Step]:
    yield from _picks_up(person)
    yield Say(person.greeting)
    yield HangUp()


def _never_rtp(person: Person) -> Iterator[Step]:
    yield Mute()
    yield from _picks_up(person)
    yield Wait(FOREVER if person.waits_for_bye else 6.0)
    yield HangUp()


def _holds(person: Person) -> Iterator[Step]:
    yield from _picks_up(person)
    yield Say(person.greeting)
    yield Wait(1.0)
    yield Hold(True)
    yield Wait(1.5)
    yield Hold(False)
    yield Wait(0.5)
    yield Say(person.goodbye)
    yield HangUp()


def _rings_out(person: Person) -> Iterator[Step]:
    yield from _rings(person)
    yield Wait(FOREVER)


def _refused(status: int, rings: bool = False) -> Callable[[Person], Iterator[Step]]:
    def steps(person: Person) -> Iterator[Step]:
        if rings:
            yield from _rings(person)
            yield Wait(person.answer_after)
        else:
            yield Wait(person.ring_after)
        yield Release(status, _reason_header(person))

    return steps


def _announcement(person: Person) -> Iterator[Step]:
    yield Wait(person.ring_after)
    yield Ring(183, early=True)
    yield Loop(person.announcement, person.offset)
    yield Wait(FOREVER if person.holds_line else person.announced_for)
    yield Release(person.status, _reason_header(person))


def _forwarded(person: Person) -> Iterator[Step]:
    yield Wait(person.ring_after)
    yield Release(302, (("contact", "<sip:+10000000000@198.51.100.1>"),))


def _no_response(person: Person) -> Iterator[Step]:
    yield Wait(FOREVER)


_SCRIPTS: dict[Persona, Callable[[Person], Iterator[Step]]] = {
    Persona.CARDHOLDER: _person,
    Persona.RELATIVE: _person,
    Persona.COLLEAGUE: _person,
    Persona.WRONG_NUMBER: _person,
    Persona.COLOUR_RING: _colour_ring,
    Persona.MACHINE: _machine,
    Persona.HANGS_UP_EARLY: _hangs_up_early,
    Persona.NEVER_RTP: _never_rtp,
    Persona.ONE_WAY: _person,
    Persona.HOLDS: _holds,
    Persona.RINGS_OUT: _rings_out,
    Persona.BUSY: _refused(486),
    Persona.DECLINED: _refused(603, rings=True),
    Persona.ANNOUNCEMENT: _announcement,
    Persona.NOT_FOUND: _refused(404),
    Persona.UNAVAILABLE: _refused(480),
    Persona.CONGESTED: _refused(503),
    Persona.SERVER_ERROR: _refused(500),
    Persona.FORWARDED: _forwarded,
    Persona.NO_RESPONSE: _no_response,
    Persona.ANSWERS_INTO_CANCEL: _rings_out,
}
