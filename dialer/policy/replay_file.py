"""The file of ``onrecord workflow replay``: its shape, and every mistake named by its field. Schema: docs/workflow.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from case_store.model import SOP_ORDER, Channel
from case_store.network import ProgressCategory
from case_store.workflow import OutcomeCode
from config.calendars import Calendar, local_day, zone
from config.errors import BadInput, OnrecordError, describe_shape
from config.settings import WorkflowSettings
from dialer.policy.load import load_set
from dialer.policy.regions import zones_of_region
from dialer.policy.replay_words import channel_written, outcome_written

DEBTOR = "debtor"
SCHEMA = "see the schema in docs/workflow.md, or: onrecord workflow schema"


class BadReplay(BadInput):
    """The replay file cannot be used; names the field, its shape and what to write."""

    error_id = "bad-replay"


def _dated(value: object) -> object:
    """Pydantic would read ``1772412000`` as an instant; a file means what it says or is refused."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("must be text that begins with a day: 2026-03-02 or 2026-03-02T09:00:00+08:00")
    return value


def _clock(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", value):
        raise ValueError("must be a time on the wall: 08:00")
    return value


def _amount(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be an amount as text: 5200.00")
    return value


def _of_our_time(at: datetime) -> datetime:
    if not 1990 <= at.year <= 2199:
        raise ValueError("must lie between 1990 and 2199")
    return at


Moment = Annotated[AwareDatetime, BeforeValidator(_dated), AfterValidator(_of_our_time)]
Day = Annotated[date, BeforeValidator(_dated)]
Wall = Annotated[time, BeforeValidator(_clock)]
Amount = Annotated[Decimal, BeforeValidator(_amount)]
Name = Annotated[str, Field(min_length=1)]
Outcome = Annotated[OutcomeCode, BeforeValidator(outcome_written)]
Line = Annotated[Channel, BeforeValidator(channel_written)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberIn(_Shape):
    id: Name
    e164: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{4,14}$")]
    channel: Line
    contact: Name | None = None  # whose number; default: the debtor for own lines, the number itself for others
    position: int = 0

    @property
    def owner(self) -> str:
        return self.contact or (DEBTOR if self.channel.is_debtors_own else self.id)


class CaseIn(_Shape):
    id: Name
    time_zone: str
    entrusted_at: Moment
    balance: Annotated[Amount, Field(gt=0, max_digits=18, decimal_places=4)]  # as the store keeps it
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    debt: Name = "debt"
    address_region: str | None = None
    term_ends_on: Day | None = None
    numbers: tuple[NumberIn, ...] = ()


class CalendarIn(_Shape):
    region: str = "CN"
    holidays: frozenset[Day] = frozenset()
    working_days: frozenset[Day] = frozenset()


class AgreedHoursIn(_Shape):
    contact: Name = DEBTOR
    number: str | None = None
    opens: Wall
    closes: Wall
    begins: Day = date.min
    ends: Day | None = None


class InconvenientIn(_Shape):
    contact: Name = DEBTOR
    opens: Wall
    closes: Wall
    weekdays: frozenset[Annotated[int, Field(ge=1, le=7)]] = frozenset()


class OptOutIn(_Shape):
    contact: Name = DEBTOR
    number: str | None = None
    channel: Line | None = None
    ends: Moment | None = None


class PolicyIn(_Shape):
    sets: tuple[str, ...] = ("cn-gbt45251-2025", "cn-cba-2026", "cn-carrier")
    protected_route: bool = False
    agreed_hours: tuple[AgreedHoursIn, ...] = ()
    inconvenient: tuple[InconvenientIn, ...] = ()
    opt_outs: tuple[OptOutIn, ...] = ()


class PastCallIn(_Shape):
    """A call before the first event; ``number`` is an id of the case."""

    at: Moment
    number: str
    category: ProgressCategory | None = None  # default: answered for a conversation, else no answer
    conversation: bool = False


class EventIn(_Shape):
    at: Moment
    outcome: Outcome
    number: str | None = None
    by: str | None = None
    amount: Amount | None = None
    on: Day | None = None
    call_at: Moment | None = None
    team: bool = False
    payment_id: str | None = None
    legal_basis: str | None = None
    visitors: tuple[str, ...] = ()
    result: Outcome | None = None
    found: NumberIn | None = None
    rule: str | None = None
    inbound: bool = False  # they called us: the policy has no say


class ReplayFile(_Shape):
    case: CaseIn
    calendar: CalendarIn = CalendarIn()
    policy: PolicyIn = PolicyIn()
    settings: WorkflowSettings = WorkflowSettings()
    sop_order: tuple[Line, ...] = SOP_ORDER
    past_calls: tuple[PastCallIn, ...] = ()
    events: tuple[EventIn, ...] = ()
    now: Moment | None = None  # what is next at this instant; default: right after the last event


def schema() -> dict[str, Any]:
    """The JSON schema of one case's file."""
    return ReplayFile.model_json_schema()


def read_replays(path: Path) -> ReplayFile | tuple[ReplayFile, ...]:
    """One case, or a tuple for a file that holds a list. ``BadReplay`` names the first field that is wrong (``3.events.0.at`` in a list)."""
    tree = _read(path)
    if not isinstance(tree, list):
        return parse_replay(tree)
    if not tree:
        raise BadReplay("holds no case", field="FILE", shape="empty list", remedy=SCHEMA)
    return tuple(parse_replay(one, place=f"{index}.") for index, one in enumerate(tree))


def read_replay(path: Path) -> ReplayFile:
    """Parse and check a file of one case."""
    return parse_replay(_read(path))


def _read(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except OSError as error:
        raise BadReplay("cannot be read", field="FILE", shape=type(error).__name__, remedy="check the path") from None
    except UnicodeDecodeError:
        raise BadReplay("is not UTF-8", field="FILE", shape="other bytes", remedy="save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadReplay(
            "is not JSON",
            field="FILE",
            shape=f"{error.msg} at line {error.lineno}, column {error.colno}",
            remedy="correct the syntax there",
        ) from None
    except ValueError:  # of int: more than 4,300 digits
        raise BadReplay(
            "holds a number that is too long", field="FILE", shape="thousands of digits", remedy=SCHEMA
        ) from None
    except RecursionError:
        raise BadReplay("is nested too deeply", field="FILE", shape="brackets", remedy=SCHEMA) from None


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadReplay("stands twice in one object", field=key, shape="duplicate key", remedy="keep one of them")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise BadReplay("is no number", field="FILE", shape=name, remedy="write the amount as text: 5200.00")


def parse_replay(tree: object, place: str = "") -> ReplayFile:
    """A case from plain JSON values, checked field by field. ``place`` stands before the names of its fields."""
    try:
        file = ReplayFile.model_validate(tree)
    except ValidationError as error:
        raise _named(error, place) from None
    try:
        _check(file)
    except BadReplay as error:
        error.field = f"{place}{error.field}"
        raise
    return file


def _named(error: ValidationError, place: str) -> BadReplay:
    first = error.errors()[0]
    field = (place + ".".join(str(part) for part in first["loc"])).rstrip(".")
    shape = describe_shape(first.get("input"))
    kind, message = first["type"], first["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return BadReplay("is missing", field=field, shape="nothing", remedy=f"add it; {SCHEMA}")
    if kind == "extra_forbidden":
        return BadReplay("is no field of this file", field=field, shape=shape, remedy=f"remove or rename it; {SCHEMA}")
    if kind in _REMEDIES:
        problem, remedy = _REMEDIES[kind]
        return BadReplay(problem, field=field, shape=shape, remedy=remedy)
    if kind == "enum":
        known = re.findall(r"'([^']+)'", str(first.get("ctx", {}).get("expected", "")))
        near = get_close_matches(str(first.get("input")), known, n=3, cutoff=0.5) if len(known) > _FEW else known
        wanted = ", ".join(near or known)
        return BadReplay("is not known", field=field, shape=shape, remedy=f"use one of: {wanted}")
    if kind in ("model_type", "model_attributes_type"):
        return BadReplay("must be an object", field=field or "FILE", shape=shape, remedy=SCHEMA)
    return BadReplay(message, field=field or "FILE", shape=shape, remedy=SCHEMA)


_FEW = 10  # so many choices are simply listed; of more, the likeliest
_REMEDIES = {
    "timezone_aware": ("has no offset", "write the time with its offset: 2026-03-02T09:00:00+08:00"),
    "string_pattern_mismatch": ("has another form", "write a number as +8613812345678, a currency as CNY"),
    "decimal_parsing": ("is no amount", "write digits and a point, without separators or currency: 5200.00"),
    "tuple_type": ("must be a list", "put it in brackets, one entry too"),
    "string_type": ("must be text", "put it in quotes"),
    "date_from_datetime_inexact": ("must be a day alone", "write it as 2026-03-02"),
}


def _check(file: ReplayFile) -> None:
    """What the shapes alone do not say: order of time, references, names of zones, regions and sets."""
    case = file.case
    _known(lambda: zone(case.time_zone), "case.time_zone", case.time_zone)
    if case.address_region is not None and not zones_of_region(case.address_region):
        raise BadReplay(
            "is no region with a clock of its own",
            field="case.address_region",
            shape=describe_shape(case.address_region),
            remedy="use ISO 3166: CN, US-CA, GB",
        )
    _known(lambda: Calendar(file.calendar.region), "calendar.region", file.calendar.region)
    if both := file.calendar.holidays & file.calendar.working_days:
        raise BadReplay(
            f"{min(both)} is a holiday, too",
            field="calendar.working_days",
            shape="a day",
            remedy="keep it in one of both",
        )
    for index, name in enumerate(file.policy.sets):
        _known(lambda name=name: load_set(name), f"policy.sets.{index}", name)
    if case.term_ends_on is not None and case.term_ends_on < local_day(case.entrusted_at, zone(case.time_zone)):
        raise BadReplay("lies before the case arrived", field="case.term_ends_on", shape="a day", remedy="correct it")
    owners = _check_numbers(case.numbers)
    _check_events(file, dict(owners))
    people = {DEBTOR, *owners.values(), *(each.found.owner for each in file.events if each.found is not None)}
    ids = {*owners, *(each.found.id for each in file.events if each.found is not None)}
    _check_records(file.policy, people, ids)


def _known(load: Any, field: str, value: str) -> None:
    try:
        load()
    except OnrecordError as error:
        raise BadReplay(error.problem, field=field, shape=describe_shape(value), remedy=error.remedy) from None


def _check_numbers(numbers: Iterable[NumberIn]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for index, number in enumerate(numbers):
        _check_number(number, f"case.numbers.{index}", owners)
        owners[number.id] = number.owner
    return owners


def _check_number(number: NumberIn, field: str, owners: dict[str, str]) -> None:
    if number.id in owners:
        raise BadReplay(
            "is another number's id too",
            field=f"{field}.id",
            shape=describe_shape(number.id),
            remedy="give each its own",
        )
    if number.channel.is_debtors_own != (number.owner == DEBTOR):
        whose = "the debtor's" if number.channel.is_debtors_own else "somebody else's"
        raise BadReplay(
            f"a {number.channel.value} line is {whose}",
            field=f"{field}.contact",
            shape=describe_shape(number.contact),
            remedy="leave contact out for the debtor's own lines, name the person for others",
        )


def _check_events(file: ReplayFile, owners: dict[str, str]) -> None:
    for index, call in enumerate(file.past_calls):
        _check_reference(call.number, f"past_calls.{index}.number", owners)
        if call.conversation and call.category not in (None, ProgressCategory.ANSWERED):
            raise BadReplay(
                "a conversation was answered",
                field=f"past_calls.{index}.category",
                shape=describe_shape(call.category),
                remedy="write answered, or leave it out",
            )
        if file.events and call.at > file.events[0].at:
            _out_of_order(f"past_calls.{index}.at", "lies after the first event", "report it as an event")
    last = file.case.entrusted_at
    for index, event in enumerate(file.events):
        if event.at < last:
            before = "the case arrived" if index == 0 else f"events.{index - 1}"
            _out_of_order(f"events.{index}.at", f"lies before {before}", "put the events in order of time")
        last = event.at
        if event.number is not None:
            _check_reference(event.number, f"events.{index}.number", owners)
        if event.found is not None:
            if event.outcome is not OutcomeCode.NUMBER_FOUND and event.result is not OutcomeCode.NUMBER_FOUND:
                raise BadReplay(
                    "belongs to NUMBER_FOUND", field=f"events.{index}.found", shape="object", remedy="remove it"
                )
            _check_number(event.found, f"events.{index}.found", owners)
            owners[event.found.id] = event.found.owner
    if file.now is not None and file.now < last:
        _out_of_order("now", "lies before the last event", "give a later instant, or leave it out")


def _out_of_order(field: str, problem: str, remedy: str) -> None:
    raise BadReplay(problem, field=field, shape="an instant", remedy=remedy)


def _check_reference(number: str, field: str, known: Iterable[str]) -> None:
    if number not in known:
        raise BadReplay(
            "is not a number of this case",
            field=field,
            shape=describe_shape(number),
            remedy="use an id from case.numbers",
        )


def _check_records(policy: PolicyIn, people: set[str], ids: set[str]) -> None:
    records: list[tuple[str, str, str | None]] = []
    for kind, said in (("agreed_hours", policy.agreed_hours), ("inconvenient", policy.inconvenient)):
        for index, each in enumerate(cast("tuple[AgreedHoursIn | InconvenientIn, ...]", said)):
            field = f"policy.{kind}.{index}"
            records.append((field, each.contact, getattr(each, "number", None)))
            if not each.opens < each.closes:
                raise BadReplay(
                    "must lie after opens, on the same day",
                    field=f"{field}.closes",
                    shape="a time",
                    remedy="write hours over midnight as two entries",
                )
    records += [(f"policy.opt_outs.{index}", each.contact, each.number) for index, each in enumerate(policy.opt_outs)]
    for field, contact, number in records:
        if contact not in people:
            raise BadReplay(
                "is nobody of this case",
                field=f"{field}.contact",
                shape=describe_shape(contact),
                remedy="use debtor or a contact of case.numbers",
            )
        if number is not None:
            _check_reference(number, f"{field}.number", ids)


def instant_text(at: datetime, zone_name: str) -> str:
    return at.astimezone(zone(zone_name)).isoformat()
