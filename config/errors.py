"""The error tree.

    OnrecordError
    ├── BadInput            something a person or a file gave us; names field, shape and remedy
    │   └── BadSetting      the same, for settings
    ├── Refused             a rule of the product says no (policy, gate, approval)
    ├── Unhealthy           a part that must work does not (recorder, disk, relay, trunk)
    └── InvariantBroken     our own fault; never caught to go on

Every concrete error carries a stable ``error_id`` (kebab-case, never reused), which the HTTP doors
return in problem+json and the command line prints. Messages never contain personal data: give the
*shape* of a bad value (``describe_shape``), not the value.
"""

from __future__ import annotations

from typing import Any, ClassVar


class OnrecordError(Exception):
    """Something went wrong and we know what to do about it.

    ``problem`` says what is wrong, ``remedy`` what to do; ``field`` and ``shape`` name the input at
    fault and how its value looks without repeating it.
    """

    error_id: ClassVar[str] = "internal"

    def __init__(self, problem: str, *, remedy: str, field: str | None = None, shape: str | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        self.field = field
        self.shape = shape
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        got = f" (got {self.shape})" if self.shape else ""
        return f"[{self.error_id}] {where}{self.problem}{got}. {self.remedy}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Whole across a process's border: an error that cannot be rebuilt there breaks the pool that carries it."""
        return _rebuilt, (type(self), self.args, dict(self.__dict__))

    def as_problem(self) -> dict[str, Any]:
        """The members of a problem+json body (RFC 9457) that the error itself knows."""
        return {
            "error_id": self.error_id,
            "title": self.problem,
            "field": self.field,
            "shape": self.shape,
            "remedy": self.remedy,
        }


def _rebuilt(kind: type[OnrecordError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> OnrecordError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(facts)
    return error


class BadInput(OnrecordError):
    error_id = "bad-input"


class BadSetting(BadInput):
    error_id = "bad-setting"


class Refused(OnrecordError):
    error_id = "refused"


class Unhealthy(OnrecordError):
    error_id = "unhealthy"


class InvariantBroken(OnrecordError):
    error_id = "invariant-broken"


def describe_shape(value: object) -> str:
    """How a value looks without saying it: letters become ``a``, digits ``9``, CJK ``字``, at most 24 shown.

    >>> describe_shape("138-0013 8000x")
    "text of 14: '999-9999 9999a'"
    """
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return type(value).__name__
    if value == "":
        return "empty text"

    def one(ch: str) -> str:
        if ch.isdigit():
            return "9"
        if "\u4e00" <= ch <= "\u9fff":
            return "字"
        if ch.isalpha():
            return "a"
        return ch if ch.isprintable() else "?"

    shown = "".join(one(ch) for ch in value[:24])
    return f"text of {len(value)}: {shown + ('…' if len(value) > 24 else '')!r}"
