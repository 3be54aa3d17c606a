"""The house's own people: users, their sessions, and the vetting without which nobody dials (rule 1 of the twelve)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from case_store.database import Database
from case_store.tables import sessions, users, vettings
from config.errors import BadInput
from config.identity import new_id

VETTING_KINDS = ("criminal-record", "credit-record", "rules-training")


class UserExists(BadInput):
    error_id = "user-exists"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """``role``: collector, leader, qa, compliance, clerk or admin. ``password_hash`` is argon2's own text."""

    id: str
    name: str
    display_name: str
    role: str
    desk: str | None
    password_hash: str | None
    disabled: bool
    created_at: datetime


class People:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_user(
        self,
        name: str,
        now: datetime,
        *,
        display_name: str | None = None,
        role: str = "collector",
        desk: str | None = None,
        password_hash: str | None = None,
    ) -> User:
        async with self._database.write() as unit:
            if await unit.connection.scalar(select(users.c.id).where(users.c.name == name)):
                raise UserExists("a user of this name exists", field="name", remedy="choose another name")
            user = User(
                id=new_id("user"),
                name=name,
                display_name=display_name or name,
                role=role,
                desk=desk,
                password_hash=password_hash,
                disabled=False,
                created_at=now,
            )
            await unit.connection.execute(insert(users).values(**_columns(user)))
            unit.emit("user.added", now, subject_id=user.id, role=role)
        return user

    async def user(self, id_or_name: str) -> User | None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(users).where((users.c.id == id_or_name) | (users.c.name == id_or_name)))
            ).first()
        return None if row is None else User(**row._mapping)

    async def users(self) -> tuple[User, ...]:
        async with self._database.read() as connection:
            return tuple(User(**row._mapping) for row in await connection.execute(select(users).order_by(users.c.name)))

    async def change_user(self, user_id: str, now: datetime, **facts: Any) -> None:
        """``display_name``, ``role``, ``desk``, ``password_hash`` or ``disabled``; disabling ends the user's sessions."""
        async with self._database.write() as unit:
            await unit.connection.execute(update(users).where(users.c.id == user_id).values(**facts))
            if facts.get("disabled") or "password_hash" in facts:
                await unit.connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
            unit.emit("user.changed", now, subject_id=user_id, changed=sorted(facts))

    async def open_session(self, token: str, user_id: str, now: datetime, expires_at: datetime, **facts: Any) -> None:
        """Only the token's digest is kept."""
        async with self._database.write() as unit:
            await unit.connection.execute(delete(sessions).where(sessions.c.expires_at < now))
            await unit.connection.execute(
                insert(sessions).values(
                    token_sha256=_digest(token), user_id=user_id, created_at=now, expires_at=expires_at, facts=facts
                )
            )

    async def session_user(self, token: str, now: datetime) -> User | None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(users)
                    .join(sessions, sessions.c.user_id == users.c.id)
                    .where(
                        sessions.c.token_sha256 == _digest(token),
                        sessions.c.expires_at > now,
                        users.c.disabled.is_(False),
                    )
                )
            ).first()
        return None if row is None else User(**row._mapping)

    async def close_session(self, token: str) -> None:
        async with self._database.write() as unit:
            await unit.connection.execute(delete(sessions).where(sessions.c.token_sha256 == _digest(token)))

    async def record_vetting(
        self,
        user_id: str,
        kind: str,
        now: datetime,
        *,
        reference: str,
        valid_from: date,
        valid_until: date,
        recorded_by: str,
    ) -> str:
        """``kind``: criminal-record, credit-record or rules-training (then ``reference`` is the version of the rules)."""
        if kind not in VETTING_KINDS:
            raise BadInput("this is no kind of vetting", field="kind", remedy=f"use one of {', '.join(VETTING_KINDS)}")
        vetting_id = new_id("vet")
        async with self._database.write() as unit:
            await unit.connection.execute(
                insert(vettings).values(
                    id=vetting_id,
                    user_id=user_id,
                    kind=kind,
                    reference=reference,
                    valid_from=valid_from,
                    valid_until=valid_until,
                    recorded_by=recorded_by,
                    recorded_at=now,
                )
            )
            unit.emit("vetting.recorded", now, subject_id=user_id, vetting=kind)
        return vetting_id

    async def withdraw_vetting(self, user_id: str, kind: str, now: datetime, *, by: str, reason: str) -> int:
        """A record turned out wrong: it counts no more, and stays on file. How many records of this kind were valid."""
        if kind not in VETTING_KINDS:
            raise BadInput("this is no kind of vetting", field="kind", remedy=f"use one of {', '.join(VETTING_KINDS)}")
        async with self._database.write() as unit:
            done = await unit.connection.execute(
                update(vettings)
                .where(vettings.c.user_id == user_id, vettings.c.kind == kind, vettings.c.withdrawn_at.is_(None))
                .values(withdrawn_at=now)
            )
            unit.emit("vetting.withdrawn", now, subject_id=user_id, vetting=kind, actor=by, reason=reason)
        return int(done.rowcount)

    async def missing_vettings(self, user_id: str, on: date, *, rules_version: str | None = None) -> tuple[str, ...]:
        """What a user lacks to dial on a day; empty: may dial."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(vettings.c.kind, vettings.c.reference).where(
                    vettings.c.user_id == user_id,
                    vettings.c.valid_from <= on,
                    vettings.c.valid_until >= on,
                    vettings.c.withdrawn_at.is_(None),
                )
            )
            held = {
                row.kind
                for row in rows
                if row.kind != "rules-training" or rules_version is None or row.reference == rules_version
            }
        return tuple(kind for kind in VETTING_KINDS if kind not in held)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _columns(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in User.__slots__}
