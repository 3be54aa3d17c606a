"""A whole house in memory: for tests of the doors, for looking at the page, for generating a client. Not for calls.

Every protocol of ``api.house`` is kept with its full behaviour, paging and errors included; what is missing is the disk.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import soundfile

from api.house import Sound
from case_store.accounts import UsernameTaken
from case_store.audit_chain import AuditFact
from case_store.sweep import UnknownCampaign
from case_store.views import (
    AttemptView,
    CaseRow,
    CaseView,
    CoverageView,
    IntakeReport,
    NextActionView,
    Page,
    RecordingView,
    Role,
    Session,
    User,
)
from config.errors import BadInput, Refused, Unhealthy
from config.identity import new_id
from dialer.campaigns import CampaignState, CampaignView, Gate, LiveCall, Mode
from dialer.desk_views import Decision, PaceView

T = TypeVar("T")

_CHUNK = 64 * 1024


def cut(items: Iterable[T], key: Callable[[T], str], after: str | None, limit: int) -> Page[T]:
    """A page of ``items`` (in order of falling keys) that starts below ``after``."""
    rest = [item for item in items if after is None or key(item) < after]
    shown = tuple(rest[:limit])
    return Page(items=shown, after=key(shown[-1]) if len(rest) > limit else None)


class MemoryAccounts:
    def __init__(self) -> None:
        self._users: dict[str, tuple[User, str]] = {}
        self._sessions: dict[str, Session] = {}

    async def add_user(
        self, username: str, display_name: str, role: Role, password_hash: str, at: datetime, desk: str | None = None
    ) -> User:
        if username in self._users:
            raise UsernameTaken("the name is taken", field="username", remedy="choose another")
        user = User(
            id=new_id("user"),
            username=username,
            display_name=display_name,
            role=role,
            desk=desk,
            active=True,
            created_at=at,
        )
        self._users[username] = (user, password_hash)
        return user

    async def users(self, after: str | None, limit: int) -> Page[User]:
        users = sorted((user for user, _ in self._users.values()), key=lambda user: user.id, reverse=True)
        return cut(users, lambda user: user.id, after, limit)

    async def credentials(self, username: str) -> tuple[User, str] | None:
        return self._users.get(username)

    async def replace_password_hash(self, user_id: str, password_hash: str) -> None:
        for name, (user, _) in self._users.items():
            if user.id == user_id:
                self._users[name] = (user, password_hash)

    async def open_session(self, user: User, token_sha256: str, opened_at: datetime, expires_at: datetime) -> Session:
        session = Session(id=token_sha256, user=user, opened_at=opened_at, expires_at=expires_at)
        self._sessions[token_sha256] = session
        return session

    async def session(self, token_sha256: str, now: datetime) -> Session | None:
        session = self._sessions.get(token_sha256)
        return session if session is not None and now < session.expires_at and session.user.active else None

    async def close_session(self, session_id: str, at: datetime) -> None:
        self._sessions.pop(session_id, None)


class MemoryCases:
    def __init__(self, cases: Sequence[CaseView] = (), coverages: Sequence[CoverageView] = ()) -> None:
        self._cases = {view.row.id: view for view in cases}
        self._coverages = {view.placement_id: view for view in coverages}

    async def list(
        self, *, after: str | None, limit: int, client: str | None, placement_id: str | None, search: str | None
    ) -> Page[CaseRow]:
        rows = (view.row for _, view in sorted(self._cases.items(), reverse=True))
        chosen = (
            row
            for row in rows
            if (client is None or row.client == client)
            and (placement_id is None or row.placement_id == placement_id)
            and (search is None or row.client_ref.startswith(search))
        )
        return cut(chosen, lambda row: row.id, after, limit)

    async def one(self, case_id: str) -> CaseView | None:
        return self._cases.get(case_id)

    async def attempts(self, case_id: str, after: str | None, limit: int) -> Page[AttemptView]:
        view = self._cases.get(case_id)
        attempts = sorted(view.attempts if view else (), key=lambda attempt: attempt.id, reverse=True)
        return cut(attempts, lambda attempt: attempt.id, after, limit)

    async def agenda(
        self, *, until: datetime, owner: str | None, after: str | None, limit: int
    ) -> Page[NextActionView]:
        due = [
            action
            for view in self._cases.values()
            for action in view.next_actions
            if action.earliest <= until and (owner is None or action.owner == owner)
        ]
        due.sort(key=lambda action: (action.latest, action.id))
        start = next((place + 1 for place, action in enumerate(due) if action.id == after), 0)
        shown = tuple(due[start : start + limit])
        return Page(items=shown, after=shown[-1].id if start + limit < len(due) else None)

    async def coverage(self, placement_id: str) -> CoverageView | None:
        return self._coverages.get(placement_id)

    async def placements(self, after: str | None, limit: int) -> Page[CoverageView]:
        rows = (dataclasses.replace(view, untried=()) for _, view in sorted(self._coverages.items(), reverse=True))
        return cut(rows, lambda view: view.placement_id, after, limit)


class MemoryRecordings:
    def __init__(self, recordings: Iterable[RecordingView] = ()) -> None:
        self._recordings = {view.id: view for view in recordings}

    async def list(self, *, case_id: str | None, after: str | None, limit: int) -> Page[RecordingView]:
        rows = (view for _, view in sorted(self._recordings.items(), reverse=True))
        return cut((v for v in rows if case_id is None or v.case_id == case_id), lambda view: view.id, after, limit)

    async def one(self, recording_id: str) -> RecordingView | None:
        return self._recordings.get(recording_id)


class PlainTapes:
    """Unencrypted FLAC files by recording id, with their peaks reckoned when asked."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    async def sound(self, recording_id: str) -> Sound:
        data = await asyncio.to_thread(self._path(recording_id).read_bytes)
        return Sound(
            kind="master", media_type="audio/flac", suffix="flac", size=len(data), sha256=sha256(data).hexdigest()
        )

    async def open_range(self, recording_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        with self._path(recording_id).open("rb") as file:
            file.seek(start)
            left = end - start + 1
            while left > 0:
                chunk = await asyncio.to_thread(file.read, min(_CHUNK, left))
                if not chunk:
                    raise Unhealthy("the recording's file is shorter than it was", remedy="run onrecord verify")
                left -= len(chunk)
                yield chunk

    async def peaks(self, recording_id: str) -> MemoryPeaks:
        return await asyncio.to_thread(reckon_peaks, self._path(recording_id))

    def _path(self, recording_id: str) -> Path:
        path = self._files.get(recording_id)
        if path is None:
            raise Unhealthy("the recording's file is not where it was put", remedy="run onrecord verify")
        return path


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryPeaks:
    per_second: float
    channels: Sequence[Sequence[tuple[int, int]]]


def reckon_peaks(path: Path, per_second: int = 20) -> MemoryPeaks:
    """Lowest and highest sample of every 1/20 s, per channel, −127…127."""
    with soundfile.SoundFile(path) as sound:
        channels: list[list[tuple[int, int]]] = [[] for _ in range(sound.channels)]
        for block in sound.blocks(sound.samplerate // per_second, dtype="float32", always_2d=True):
            for channel, samples in zip(channels, block.T, strict=True):
                channel.append((round(float(samples.min()) * 127), round(float(samples.max()) * 127)))
    return MemoryPeaks(float(per_second), channels)


class MemoryCampaigns:
    """Starting and pausing change the state and nothing else; calls are put in by the test."""

    def __init__(self, campaigns: Sequence[CampaignView] = (), gates: Sequence[Gate] = ()) -> None:
        self._campaigns = {view.id: view for view in campaigns}
        self._gates = tuple(gates)
        self.calls: dict[str, LiveCall] = {}
        self.paces: dict[str, PaceView] = {}
        self.kept: list[Decision] = []

    async def list(self) -> Sequence[CampaignView]:
        return list(self._campaigns.values())

    async def start(self, campaign_id: str) -> CampaignView:
        return self._move(campaign_id, CampaignState.RUNNING)

    async def pause(self, campaign_id: str) -> CampaignView:
        return self._move(campaign_id, CampaignState.PAUSED)

    async def explain(self, campaign_id: str) -> Sequence[Gate]:
        paused = self._found(campaign_id).state is not CampaignState.RUNNING
        state = Gate(
            name="state",
            holds_back=paused,
            count=int(paused),
            detail_en="the campaign is paused" if paused else "the campaign is running",
            detail_zh="活动已暂停" if paused else "活动进行中",
        )
        return (state, *self._gates)

    async def switch_mode(self, campaign_id: str, mode: Mode) -> CampaignView:
        self._campaigns[campaign_id] = dataclasses.replace(self._found(campaign_id), mode=mode.value)
        return self._campaigns[campaign_id]

    async def pace(self, campaign_id: str) -> PaceView:
        view = self._found(campaign_id)
        return self.paces.get(campaign_id) or PaceView(
            campaign_id=campaign_id,
            target=0.01,
            limit=0.03,
            answered_30_days=view.answered,
            abandoned_30_days=view.abandoned,
            ledger_open=True,
            ledger_room=None,
            place=None,
            cancel=None,
            why={},
            counts={},
            kept=bool(self.kept),
        )

    async def decisions(self, campaign_id: str, limit: int) -> Sequence[Decision]:
        self._found(campaign_id)
        return self.kept[-limit:]

    async def live_calls(self) -> Sequence[LiveCall]:
        return list(self.calls.values())

    def _found(self, campaign_id: str) -> CampaignView:
        view = self._campaigns.get(campaign_id)
        if view is None:
            raise UnknownCampaign("there is no such campaign", field="campaign_id", remedy="take the id from the list")
        return view

    def _move(self, campaign_id: str, state: CampaignState) -> CampaignView:
        view = self._found(campaign_id)
        if view.state is CampaignState.FINISHED:
            raise Refused("the campaign is finished", field="campaign_id", remedy="make another one")
        self._campaigns[campaign_id] = dataclasses.replace(view, state=state)
        return self._campaigns[campaign_id]


class MemoryIntake:
    """Counts rows and refuses files that are not text; the real intake is ``case_store.intake``."""

    async def load(self, path: Path, *, name: str, client: str, dry_run: bool, strict: bool) -> IntakeReport:
        try:
            rows = (await asyncio.to_thread(path.read_text, "utf-8")).splitlines()[1:]
        except UnicodeDecodeError:
            raise BadInput("is not text", field="file", remedy="save it as CSV in UTF-8") from None
        return IntakeReport(
            placement_id=None if dry_run else new_id("plac"),
            name=name,
            client=client,
            rows=len(rows),
            cases=len(rows),
            numbers=0,
            dry_run=dry_run,
            repeated=False,
            rejected=(),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryEvent:
    number: int
    at: datetime
    kind: str
    case_id: str | None
    subject_id: str | None
    facts: dict[str, Any]


class MemoryAudit:
    """Keeps what was audited, unchained: for tests of the doors."""

    def __init__(self) -> None:
        self.facts: list[AuditFact] = []

    async def append(self, facts: Sequence[AuditFact], now: datetime) -> Sequence[Any]:
        self.facts += facts
        return ()


class MemoryEvents:
    def __init__(self) -> None:
        self._events: list[MemoryEvent] = []
        self._news = asyncio.Event()

    async def append(
        self,
        kind: str,
        at: datetime,
        *,
        case_id: str | None = None,
        subject_id: str | None = None,
        **facts: Any,
    ) -> None:
        self._events.append(MemoryEvent(len(self._events) + 1, at, kind, case_id, subject_id, facts))
        self._news.set()
        self._news = asyncio.Event()

    async def last_number(self) -> int:
        return len(self._events)

    async def read_after(self, number: int, *, limit: int) -> Sequence[MemoryEvent]:
        return self._events[number : number + limit]

    async def wait(self, after: int, seconds: float) -> bool:
        if after < len(self._events):
            return True
        try:
            return await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
