"""onrecord agent: who may log in."""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from api.passwords import hash_password
from api.speaking import Json, say, table
from case_store.accounts import Accounts
from case_store.store import CaseStore
from case_store.views import Role, User
from config.clock import SystemClock
from config.errors import BadInput, describe_shape
from config.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="People who may log in")


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="agent")


_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")


@app.command()
def add(
    username: Annotated[str, typer.Argument(help="2 to 64 of a-z, 0-9, dot, dash, underscore")],
    role: Annotated[Role, typer.Option(help="What the person does here")] = Role.COLLECTOR,
    display_name: Annotated[str | None, typer.Option("--name", help="How others see the person")] = None,
    desk: Annotated[str | None, typer.Option(help="The SIP phone this person works at, from settings")] = None,
    as_json: Json = False,
) -> None:
    """Add a person. The password is asked for, or read from standard input when that is not a terminal."""
    if not 2 <= len(username) <= 64 or not set(username) <= _NAME:
        raise BadInput(
            "is not a user name",
            field="username",
            shape=describe_shape(username),
            remedy="use 2 to 64 of a-z, 0-9, dot, dash, underscore",
        )
    user = asyncio.run(_add(username, display_name or username, role, hash_password(_password()), desk))
    say(as_json, _facts(user), lambda console: console.print(f"{user.username} may log in as {user.role.value}"))


@app.command("list")
def list_users(as_json: Json = False) -> None:
    """Everybody who may log in."""
    users = asyncio.run(_all())
    rows = [
        (one.username, one.display_name, one.role.value, one.desk or "", "yes" if one.active else "no") for one in users
    ]
    say(
        as_json,
        {"users": [_facts(one) for one in users]},
        lambda console: console.print(
            table("People", ("user name", "name", "role", "desk", "active"), rows)
            if rows
            else "Nobody may log in yet: onrecord agent add NAME --role admin"
        ),
    )


@app.command()
def vet(
    username: Annotated[str, typer.Argument(help="Who was vetted or trained")],
    kind: Annotated[str, typer.Option(help="criminal-record, credit-record or rules-training")],
    valid_until: Annotated[str, typer.Option(help="Last day it holds, YYYY-MM-DD")],
    valid_from: Annotated[str | None, typer.Option(help="First day; default: today at the house")] = None,
    reference: Annotated[
        str | None, typer.Option(help="File number; of a training the rules' version (default: those in force)")
    ] = None,
    recorded_by: Annotated[str, typer.Option("--by", help="Who saw the record")] = "this-machine",
    as_json: Json = False,
) -> None:
    """Record a vetting: nobody is put on a line without valid ones of every kind (rule 1)."""
    settings = load_settings()
    today = SystemClock().now().astimezone(ZoneInfo(settings.timezone)).date()
    begins, ends = _day(valid_from, "--valid-from") if valid_from else today, _day(valid_until, "--valid-until")
    if ends < begins:
        raise BadInput("it ends before it begins", field="--valid-until", remedy="give a later day")
    missing = asyncio.run(_vet(settings, username, kind, reference, begins, ends, recorded_by, today))
    say(
        as_json,
        {"username": username, "kind": kind, "valid_from": begins, "valid_until": ends, "missing": list(missing)},
        lambda console: console.print(
            f"{username} may dial" if not missing else f"{username} may not dial yet; missing: {', '.join(missing)}"
        ),
    )


@app.command("withdraw-vetting")
def withdraw_vetting(
    username: Annotated[str, typer.Argument(help="Whose record turned out wrong")],
    kind: Annotated[str, typer.Option(help="criminal-record, credit-record or rules-training")],
    reason: Annotated[str, typer.Option(help="Kept in the event log")],
    by: Annotated[str, typer.Option("--by", help="Who decided")] = "this-machine",
    as_json: Json = False,
) -> None:
    """Withdraw a vetting: whoever sits at a desk gets no further customer within a minute (rule 1)."""
    if not reason.strip():
        raise BadInput("is empty", field="--reason", remedy="say in a few words why")
    settings = load_settings()
    withdrawn, missing = asyncio.run(_withdraw(settings, username, kind, by, reason.strip()[:200]))
    say(
        as_json,
        {"username": username, "kind": kind, "withdrawn": withdrawn, "missing": list(missing)},
        lambda console: console.print(f"{withdrawn} withdrawn; missing now: {', '.join(missing) or 'nothing'}"),
    )


async def _withdraw(settings: Settings, username: str, kind: str, by: str, reason: str) -> tuple[int, tuple[str, ...]]:
    store = await CaseStore.open(settings.store.url)
    now = SystemClock().now()
    try:
        user = await store.people.user(username)
        if user is None:
            raise BadInput("there is no such person", field="username", remedy="see onrecord agent list")
        withdrawn = await store.people.withdraw_vetting(user.id, kind, now, by=by, reason=reason)
        today = now.astimezone(ZoneInfo(settings.timezone)).date()
        rules = settings.workflow.collector_rules
        return withdrawn, await store.people.missing_vettings(user.id, today, rules_version=rules)
    finally:
        await store.close()


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput("is no day", field=field, shape=describe_shape(text), remedy="write it as YYYY-MM-DD") from None


async def _vet(
    settings: Settings,
    username: str,
    kind: str,
    reference: str | None,
    begins: date,
    ends: date,
    recorded_by: str,
    today: date,
) -> tuple[str, ...]:
    store = await CaseStore.open(settings.store.url)
    try:
        user = await store.people.user(username)
        if user is None:
            raise BadInput("there is no such person", field="username", remedy="see onrecord agent list")
        rules = settings.workflow.collector_rules
        await store.people.record_vetting(
            user.id,
            kind,
            SystemClock().now(),
            reference=reference or (rules if kind == "rules-training" else "on file"),
            valid_from=begins,
            valid_until=ends,
            recorded_by=recorded_by,
        )
        return await store.people.missing_vettings(user.id, today, rules_version=rules)
    finally:
        await store.close()


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


async def _add(username: str, display_name: str, role: Role, password_hash: str, desk: str | None) -> User:
    store = await CaseStore.open(load_settings().store.url)
    try:
        now = SystemClock().now()
        user = await Accounts(store.database).add_user(username, display_name, role, password_hash, now, desk)
        await store.events.append("user.added", now, subject_id=user.id, actor="this-machine", name=username)
        return user
    finally:
        await store.close()


async def _all() -> list[User]:
    store = await CaseStore.open(load_settings().store.url)
    try:
        found: list[User] = []
        after = None
        while True:
            page = await Accounts(store.database).users(after, 200)
            found += page.items
            if (after := page.after) is None:
                return found
    finally:
        await store.close()


def _facts(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "username": user.username,
        "display_name": user.display_name,
        "role": user.role.value,
        "desk": user.desk,
        "active": user.active,
    }
