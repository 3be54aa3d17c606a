"""Who may log in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from api.guard import Principal, TheHouse, may
from api.passwords import MAX_PASSWORD, MIN_PASSWORD, hash_password
from api.permissions import Permission
from api.problems import documented
from api.shapes import After, Limit, UserPage, UserShape, many
from case_store.views import Role

router = APIRouter(prefix="/users", tags=["users"])


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(min_length=2, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    display_name: Annotated[str, Field(min_length=1, max_length=64)]
    role: Role
    desk: Annotated[str | None, Field(max_length=64, description="The SIP phone this person works at")] = None
    password: Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]


@router.get("", responses=documented(401, 403, 422))
async def list_users(
    house: TheHouse,
    _principal: Annotated[Principal, Depends(may(Permission.SEE_USERS))],
    after: After = None,
    limit: Limit = 50,
) -> UserPage:
    page = await house.accounts.users(after, limit)
    return UserPage(items=many(UserShape, page.items), after=page.after)


@router.post("", status_code=201, responses=documented(401, 403, 409, 413, 422))
async def add_user(
    wanted: NewUser, house: TheHouse, principal: Annotated[Principal, Depends(may(Permission.CHANGE_USERS))]
) -> UserShape:
    now = house.clock.now()
    user = await house.accounts.add_user(
        wanted.username, wanted.display_name, wanted.role, hash_password(wanted.password), now, wanted.desk
    )
    await house.events.append("user.added", now, subject_id=user.id, actor=principal.name, name=user.username)
    return UserShape.model_validate(user)
