"""Who may log in, and their open sessions. The store sees password hashes and token hashes, never the secrets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from case_store.database import Database
from case_store.tables import sessions, users
from case_store.views import Page, Role, Session, User
from config.errors import Refused
from config.identity import new_id

_ROLES = {"leader": Role.TEAM_LEADER}  # how case_store.people writes it


class UsernameTaken(Refused):
    """Somebody has this user name already."""

    error_id = "username-taken"


class Accounts:
    """Users and sessions over the database; ``api.house.Accounts``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_user(
        self, username: str, display_name: str, role: Role, password_hash: str, at: datetime, desk: str | None = None
    ) -> User:
        """Raises ``UsernameTaken``."""
        row = {
            "id": new_id("user"),
            "name": username,
            "display_name": display_name,
            "role": role.value,
            "desk": desk,
            "password_hash": password_hash,
            "disabled": False,
            "created_at": at,
        }
        async with self._database.write() as unit:
            await unit.lock([f"user:{username}"])
            if await unit.connection.scalar(select(users.c.id).where(users.c.name == username)):
                raise UsernameTaken("the name is taken", field="username", remedy="choose another")
            await unit.connection.execute(insert(users).values(**row))
        return _user(row)

    async def users(self, after: str | None, limit: int) -> Page[User]:
        query = select(users).order_by(users.c.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(users.c.id < after)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        shown = tuple(_user(row) for row in rows[:limit])
        return Page(items=shown, after=shown[-1].id if len(rows) > limit else None)

    async def credentials(self, username: str) -> tuple[User, str] | None:
        """The user and the password's hash; None for an unknown name or a user without a password."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(users).where(users.c.name == username))).mappings().first()
        return None if row is None or not row["password_hash"] else (_user(row), row["password_hash"])

    async def replace_password_hash(self, user_id: str, password_hash: str) -> None:
        async with self._database.write() as unit:
            await unit.connection.execute(
                update(users).where(users.c.id == user_id).values(password_hash=password_hash)
            )

    async def open_session(self, user: User, token_sha256: str, opened_at: datetime, expires_at: datetime) -> Session:
        async with self._database.write() as unit:
            await unit.connection.execute(delete(sessions).where(sessions.c.expires_at < opened_at))
            await unit.connection.execute(
                insert(sessions).values(
                    token_sha256=token_sha256, user_id=user.id, created_at=opened_at, expires_at=expires_at
                )
            )
        return Session(id=token_sha256, user=user, opened_at=opened_at, expires_at=expires_at)

    async def session(self, token_sha256: str, now: datetime) -> Session | None:
        query = (
            select(users, sessions.c.created_at.label("opened_at"), sessions.c.expires_at)
            .join(sessions, sessions.c.user_id == users.c.id)
            .where(sessions.c.token_sha256 == token_sha256, sessions.c.expires_at > now, users.c.disabled.is_(False))
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            return None
        return Session(id=token_sha256, user=_user(row), opened_at=row["opened_at"], expires_at=row["expires_at"])

    async def close_session(self, session_id: str, at: datetime) -> None:
        async with self._database.write() as unit:
            await unit.connection.execute(delete(sessions).where(sessions.c.token_sha256 == session_id))


def _user(row: Any) -> User:
    return User(
        id=row["id"],
        username=row["name"],
        display_name=row["display_name"],
        role=_ROLES.get(row["role"]) or Role(row["role"]),
        desk=row["desk"],
        active=not row["disabled"],
        created_at=row["created_at"],
    )
