"""What the doors need of the house: small protocols, declared where they are used.

``House`` is what the composition root hands to ``create_app``. Every protocol is satisfied by structure alone:
``case_store.accounts`` and ``case_store.reading`` over the database, ``dialer.centre`` for campaigns,
``recording`` for the bytes, ``api.memory`` for all of them in memory (tests, screenshots, client generation).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from api.casework import NO_CASEWORK, Casework
from api.floor_doors import NO_FLOOR, FloorDoors
from case_store.audit_chain import AuditFact
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
from config.clock import Clock
from config.settings import Settings
from dialer.campaigns import CampaignView, Gate, LiveCall, Mode
from dialer.desk_views import Decision, PaceView
from recording.masking import MaskOrder
from recording.recordings import Mask


class Accounts(Protocol):
    """Users and their log-ins. Passwords arrive as argon2 hashes, tokens as SHA-256 hashes: neither is kept readable."""

    async def add_user(
        self, username: str, display_name: str, role: Role, password_hash: str, at: datetime, desk: str | None = None
    ) -> User:
        """Raises ``UsernameTaken``."""

    async def users(self, after: str | None, limit: int) -> Page[User]: ...
    async def credentials(self, username: str) -> tuple[User, str] | None:
        """The user and the password's argon2 hash; None if nobody has that name."""

    async def replace_password_hash(self, user_id: str, password_hash: str) -> None: ...
    async def open_session(
        self, user: User, token_sha256: str, opened_at: datetime, expires_at: datetime
    ) -> Session: ...
    async def session(self, token_sha256: str, now: datetime) -> Session | None:
        """The open session of an active user, or None (unknown, expired, closed, user switched off)."""

    async def close_session(self, session_id: str, at: datetime) -> None: ...


class Cases(Protocol):
    """Facts about cases. Unknown ids give None; the door turns that into a 404."""

    async def list(
        self, *, after: str | None, limit: int, client: str | None, placement_id: str | None, search: str | None
    ) -> Page[CaseRow]: ...
    async def one(self, case_id: str) -> CaseView | None: ...
    async def attempts(self, case_id: str, after: str | None, limit: int) -> Page[AttemptView]: ...
    async def agenda(
        self, *, until: datetime, owner: str | None, after: str | None, limit: int
    ) -> Page[NextActionView]: ...
    async def coverage(self, placement_id: str) -> CoverageView | None: ...
    async def placements(self, after: str | None, limit: int) -> Page[CoverageView]:
        """Without their ``untried`` lists."""


class Recordings(Protocol):
    async def list(self, *, case_id: str | None, after: str | None, limit: int) -> Page[RecordingView]: ...
    async def one(self, recording_id: str) -> RecordingView | None: ...


class Peaks(Protocol):
    """The waveform: per channel one (low, high) pair per ``1 / per_second``, each −127…127."""

    @property
    def per_second(self) -> float: ...
    @property
    def channels(self) -> Sequence[Sequence[tuple[int, int]]]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """What a listener is given of a recording: the master, or the listening copy where stretches are masked."""

    kind: str  # master, listening
    media_type: str
    suffix: str
    size: int
    sha256: str


class Tapes(Protocol):
    """The bytes people may hear of a sealed recording, decrypted only where they are asked for."""

    async def sound(self, recording_id: str) -> Sound:
        """What ``open_range`` reads. Raises Refused where something is masked and no listening copy was made."""

    def open_range(self, recording_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes ``start`` to ``end``, both inclusive as in RFC 9110 section 14. Raises Unhealthy when they cannot be read."""

    async def peaks(self, recording_id: str) -> Peaks: ...


class Campaigns(Protocol):
    async def list(self) -> Sequence[CampaignView]: ...
    async def start(self, campaign_id: str) -> CampaignView:
        """Raises UnknownCampaign, Refused."""

    async def pause(self, campaign_id: str) -> CampaignView: ...
    async def explain(self, campaign_id: str) -> Sequence[Gate]: ...
    async def switch_mode(self, campaign_id: str, mode: Mode) -> CampaignView:
        """While it runs or rests; calls on their way end as they were begun."""

    async def pace(self, campaign_id: str) -> PaceView: ...
    async def decisions(self, campaign_id: str, limit: int) -> Sequence[Decision]:
        """The newest kept decisions of its pacer, each decided again. Raises Refused when none are kept."""

    async def live_calls(self) -> Sequence[LiveCall]: ...


class Intake(Protocol):
    async def load(self, path: Path, *, name: str, client: str, dry_run: bool, strict: bool) -> IntakeReport:
        """All good rows in one transaction. Raises BadInput for a file that cannot be read at all, or under ``strict``."""


class LoggedEvent(Protocol):
    """``kind`` is a dotted name such as ``call.ended``; ``facts`` says what happened, beyond the ids."""

    @property
    def number(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def kind(self) -> str: ...
    @property
    def case_id(self) -> str | None: ...
    @property
    def subject_id(self) -> str | None: ...
    @property
    def facts(self) -> dict[str, Any]: ...


class EventFeed(Protocol):
    """The event log: appended by everybody, read in order by number."""

    async def append(
        self,
        kind: str,
        at: datetime,
        *,
        case_id: str | None = None,
        subject_id: str | None = None,
        **facts: Any,
    ) -> None: ...
    async def last_number(self) -> int: ...
    async def read_after(self, number: int, *, limit: int) -> Sequence[LoggedEvent]: ...
    async def wait(self, after: int, seconds: float) -> bool:
        """True as soon as this process logged an event past ``after``; False when ``seconds`` went by."""


class Audit(Protocol):
    """The hash-chained audit log; an entry is on disk before what it speaks of is given out."""

    async def append(self, facts: Sequence[AuditFact], now: datetime) -> Sequence[Any]: ...


class Calling(Protocol):
    """What may be done to a call that is under way, or was a moment ago."""

    async def mask(self, call_id: str, on: bool, *, actor: str, reason: str) -> None:
        """Silence what follows in every listening copy. Raises BadInput for a call that is not under way."""

    async def entered(self, call_id: str) -> None:
        """The call's outcome is entered: whoever talked is free for the next one."""


class Masking(Protocol):
    """Sensitive moments masked after the seal."""

    async def masks(self, recording_id: str) -> Sequence[Mask]: ...
    async def mask(self, order: MaskOrder) -> Sequence[Mask]:
        """Silent in every copy from now on; all masks as they stand. Raises ``BadInput`` outside the recording."""


class Evidence(Protocol):
    """Evidence packs, by two people. ``unmasked``: with the master of a recording in which something is masked."""

    async def ask(
        self, recording_id: str, *, actor: str, reason: str, now: datetime, unmasked: bool = False
    ) -> int: ...
    async def pack(
        self, recording_id: str, request: int, *, approver: str, out: Path, now: datetime, may_unmask: bool
    ) -> None:
        """Raises ``OnePersonOnly`` when the approver asked, ``BadInput`` for an unknown request."""


class Check(Protocol):
    """One part whose health decides whether the node is ready (store, recorder, relay, trunk, disk)."""

    @property
    def name(self) -> str: ...
    async def trouble(self) -> str | None:
        """What is wrong and what to do, or None."""


@dataclass(frozen=True, kw_only=True)
class House:
    settings: Settings
    clock: Clock
    accounts: Accounts
    cases: Cases
    recordings: Recordings
    tapes: Tapes
    campaigns: Campaigns
    intake: Intake
    events: EventFeed
    audit: Audit
    evidence: Evidence | None = None
    masking: Masking | None = None
    calling: Calling | None = None  # none: no dialer runs in this process
    floor: FloorDoors = NO_FLOOR
    casework: Casework = field(default_factory=lambda: NO_CASEWORK)
    checks: tuple[Check, ...] = ()
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
