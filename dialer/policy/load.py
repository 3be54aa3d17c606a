"""Rule sets from TOML: checked word by word, because a silently ignored rule is a broken law."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import date, time
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from case_store.call_facts import HoldKind
from config.calendars import Calendar
from config.errors import BadInput, describe_shape
from dialer.policy import rules

HOUSE = "house"
"""Always in force, whatever else is loaded: refusals, opt-outs, holds, retired numbers, unknown clocks."""


class BadPolicySet(BadInput):
    """A rule set that cannot be read; names the set, the rule, the field and what to write instead."""

    error_id = "bad-policy-set"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    figure: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    effective: date | None = None
    confidence: Literal["high", "medium", "low", "product"]

    def label(self) -> rules.Label:
        return rules.Label(
            id=self.id,
            figure=self.figure,
            source=self.source,
            effective=self.effective,
            confidence=self.confidence,
        )


class _Hours(_Entry):
    kind: Literal["hours"]
    opens: time
    closes: time
    consent: bool = False

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> _Hours:
        if not self.opens < self.closes:
            raise ValueError("opens must lie before closes, both on one day")
        return self

    def rule(self) -> rules.Rule:
        return rules.Hours(label=self.label(), opens=self.opens, closes=self.closes, consent=self.consent)


class _ClosedDays(_Entry):
    kind: Literal["closed-days"]
    holidays_of: str | None = None
    weekdays: frozenset[Annotated[int, Field(ge=1, le=7)]] = frozenset()

    def rule(self) -> rules.Rule:
        calendar = Calendar(self.holidays_of) if self.holidays_of else None
        return rules.ClosedDays(label=self.label(), calendar=calendar, weekdays=self.weekdays)


class _Cap(_Entry):
    kind: Literal["cap"]
    scope: rules.Scope
    counts: rules.Counts
    span: rules.Span
    length: Annotated[int, Field(ge=1)]
    limit: Annotated[int, Field(ge=1)]
    protected_routes_only: bool = False

    @model_validator(mode="after")
    def _within_the_facts(self) -> _Cap:
        if self.length > (30 if self.span is rules.Span.LOCAL_DAYS else 30 * 24):
            raise ValueError("no window may be longer than 30 days: the facts reach no further back")
        return self

    def rule(self) -> rules.Rule:
        return rules.Cap(
            label=self.label(),
            scope=self.scope,
            counts=self.counts,
            span=self.span,
            length=self.length,
            limit=self.limit,
            protected_routes_only=self.protected_routes_only,
        )


_Condition = Literal[
    "unreachable", "deceased", "incapable", "mobile-invalid", "own-numbers-invalid", "failed-dials", "failed-days"
]


class _Gate(_Entry):
    kind: Literal["third-party-gate"]
    opens_when: Annotated[frozenset[_Condition], Field(min_length=1)]
    failed_dials: Annotated[int, Field(ge=1)] = 3
    failed_days: Annotated[int, Field(ge=1)] = 3

    def rule(self) -> rules.Rule:
        return rules.ThirdPartyGate(
            label=self.label(),
            opens_when=frozenset(self.opens_when),
            failed_dials=self.failed_dials,
            failed_days=self.failed_days,
        )


_PLAIN: dict[
    str,
    type[rules.ThirdPartyOnce]
    | type[rules.Refusals]
    | type[rules.OptOuts]
    | type[rules.Inconvenient]
    | type[rules.NumberInvalid]
    | type[rules.ClockKnown],
] = {
    "third-party-once": rules.ThirdPartyOnce,
    "refusals": rules.Refusals,
    "opt-outs": rules.OptOuts,
    "inconvenient-times": rules.Inconvenient,
    "number-invalid": rules.NumberInvalid,
    "clock-known": rules.ClockKnown,
}


class _Plain(_Entry):
    kind: Literal["third-party-once", "refusals", "opt-outs", "inconvenient-times", "number-invalid", "clock-known"]

    def rule(self) -> rules.Rule:
        return _PLAIN[self.kind](label=self.label())


class _Holds(_Entry):
    kind: Literal["holds"]
    kinds: Annotated[frozenset[HoldKind], Field(min_length=1)] = frozenset(HoldKind)

    def rule(self) -> rules.Rule:
        return rules.Holds(label=self.label(), kinds=self.kinds)


class _Obligation(_Entry):
    kind: Literal["obligation"]
    topic: Annotated[str, Field(pattern=r"^[a-z-]+$")]
    value: float | str | bool


_AnyEntry = Annotated[_Hours | _ClosedDays | _Cap | _Gate | _Plain | _Holds | _Obligation, Field(discriminator="kind")]
_ENTRY: TypeAdapter[_AnyEntry] = TypeAdapter(_AnyEntry)


def available_sets() -> tuple[str, ...]:
    """Ids of the sets that ship with the product."""
    folder = resources.files("dialer.policy").joinpath("sets")
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_sets(names: Iterable[str], folder: Path | None = None) -> tuple[rules.PolicySet, ...]:
    """The named sets in order, the house rules last. ``folder`` holds a site's own sets and wins over ours."""
    wanted = [name for name in dict.fromkeys(names) if name != HOUSE]
    return tuple(load_set(name, folder) for name in [*wanted, HOUSE])


def load_set(name: str, folder: Path | None = None) -> rules.PolicySet:
    if folder is not None and (path := folder / f"{name}.toml").is_file():
        text = path.read_text(encoding="utf-8")
    elif name in available_sets():
        text = resources.files("dialer.policy").joinpath("sets", f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise BadPolicySet(
            "there is no policy set of this name",
            field="policy_sets",
            shape=describe_shape(name),
            remedy="use one of " + ", ".join(available_sets()),
        )
    return parse_set(text, name)


def parse_set(text: str, name: str) -> rules.PolicySet:
    """A set from its TOML text; its ``id`` must be ``name``."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPolicySet(
            "is not TOML", field=name, shape=describe_shape(str(error)), remedy="correct the syntax"
        ) from None
    if extra := set(tree) - {"id", "title", "rules"}:
        raise BadPolicySet(
            "unknown entry", field=name, shape=describe_shape(sorted(extra)[0]), remedy="use id, title, rules"
        )
    if tree.get("id") != name:
        raise BadPolicySet(
            "does not match the file's name", field=f"{name}.id", shape=describe_shape(tree.get("id")), remedy="rename"
        )
    entries = tree.get("rules")
    if not isinstance(entries, list) or not entries:
        raise BadPolicySet(
            "a set needs at least one [[rules]]", field=f"{name}.rules", shape=describe_shape(entries), remedy="add one"
        )
    parsed = [_entry(entry, name, index) for index, entry in enumerate(entries)]
    ids = [entry.id for entry in parsed]
    if len(set(ids)) != len(ids):
        raise BadPolicySet("two rules have the same id", field=name, shape="ids", remedy="rename one of them")
    return rules.PolicySet(
        id=name,
        title=str(tree.get("title", name)),
        rules=tuple(entry.rule() for entry in parsed if not isinstance(entry, _Obligation)),
        obligations=tuple(
            rules.Obligation(label=entry.label(), topic=entry.topic, value=entry.value)
            for entry in parsed
            if isinstance(entry, _Obligation)
        ),
    )


def _entry(entry: object, name: str, index: int) -> _AnyEntry:
    try:
        return _ENTRY.validate_python(entry)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([name, f"rules[{index}]", *(str(part) for part in first["loc"][1:])])
        raise BadPolicySet(
            first["msg"], field=where, shape=describe_shape(first.get("input")), remedy="see docs/policy.md"
        ) from None
