"""What a simulated person does, as steps; and the one that performs them on a line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from dialer.simulated.endpoint import Headers
from dialer.simulated.line import Line, LineState
from dialer.simulated.sound import sound
from dialer.simulated.timeline import Timer

_LISTENING_GRAIN = 0.05  # seconds between looks at whether the other side still speaks


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ring:
    """A provisional response; ``early`` opens the line before the answer."""

    status: int = 180
    early: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """200 OK."""


@dataclass(frozen=True, slots=True)
class Say:
    """A clip to its end, from ``offset`` seconds on."""

    clip: str
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Loop:
    """A clip or tone again and again while the script goes on; ``pause`` seconds of silence between."""

    clip: str
    offset: float = 0.0
    pause: float = 0.4


@dataclass(frozen=True, slots=True)
class Quiet:
    """Stop what is playing."""


@dataclass(frozen=True, slots=True)
class Mute:
    """Send no RTP at all from now on."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Until the other side has spoken and then been quiet for ``pause`` seconds, or ``at_most`` seconds."""

    at_most: float
    pause: float = 0.5


@dataclass(frozen=True, slots=True)
class Hold:
    """A re-INVITE: sendonly, or back."""

    on: bool


@dataclass(frozen=True, slots=True)
class HangUp:
    """BYE."""


@dataclass(frozen=True, slots=True)
class Release:
    """A final response of 300 and above; ``headers`` beside it."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""


Step = Wait | Ring | Answer | Say | Loop | Quiet | Mute | Listen | Hold | HangUp | Release


class Performance:
    """Goes through the steps; stops by itself when the line ends."""

    def __init__(self, line: Line, steps: Iterator[Step]) -> None:
        self._line, self._steps = line, steps
        self._timer: Timer | None = None
        self._loop: Loop | None = None

    def start(self) -> None:
        self._next()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._line.media.on_finished = None
        self._steps = iter(())

    def _next(self) -> None:
        """Perform steps until one takes time."""
        while self._line.state is not LineState.ENDED:
            step = next(self._steps, None)
            if step is None or self._perform(step):
                return

    def _after(self, seconds: float) -> None:
        self._timer = self._line.timeline.after(seconds, self._next)

    def _perform(self, step: Step) -> bool:
        """Whether the step takes time; then it calls ``_next`` itself when it is over."""
        line = self._line
        match step:
            case Wait(seconds):
                self._after(seconds)
                return True
            case Ring(status, early, reason):
                line.ring(status, reason, early)
            case Answer():
                line.answer()
            case Say():
                self._say(step)
                return True
            case Loop():
                self._loop = step
                self._go_round(step.offset)
            case Quiet():
                self._loop = None
                line.media.on_finished = None
                line.media.quiet()
            case Mute():
                line.media.muted = True
            case Listen(at_most, pause):
                self._listen(time.monotonic(), at_most, pause)
                return True
            case Hold(on):
                line.hold(on)
            case HangUp():
                line.hang_up()
            case Release(status, headers, reason):
                given: Headers = list(headers)
                line.refuse(status, given, reason)
        return False

    def _say(self, step: Say) -> None:
        self._loop = None

        def finished() -> None:
            self._line.media.on_finished = None
            self._next()

        self._line.bill.said.append(step.clip)
        self._line.media.on_finished = finished
        self._line.media.play(sound(step.clip), step.offset)

    def _go_round(self, offset: float = 0.0) -> None:
        """A tone loops by itself; a clip is started again after its pause."""
        loop = self._loop
        if loop is None or self._line.state is LineState.ENDED:
            return
        heard = sound(loop.clip)
        if not offset:
            self._line.bill.said.append(loop.clip)

        def finished() -> None:
            self._line.timeline.after(loop.pause, self._go_round)

        self._line.media.on_finished = None if heard.loops else finished
        self._line.media.play(heard, offset)

    def _listen(self, started: float, at_most: float, pause: float) -> None:
        now = time.monotonic()
        voice = self._line.media.voice_at
        spoke = voice is not None and voice >= started
        if now - started >= at_most or (spoke and voice is not None and now - voice >= pause):
            self._next()
            return
        self._timer = self._line.timeline.after(_LISTENING_GRAIN, lambda: self._listen(started, at_most, pause))
