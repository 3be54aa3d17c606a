"""A campaign as the doors see it: what it does, which gates hold it back, which calls happen now.

Pure values. The dialer's centre keeps the truth; ``api.house.Campaigns`` is how a door asks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from case_store.model import Channel


class CampaignState(StrEnum):
    """One door: the centre's ``start`` and ``pause``; ``FINISHED`` is reached when nothing is left to do."""

    PAUSED = "paused"
    RUNNING = "running"
    FINISHED = "finished"


class Mode(StrEnum):
    """Who decides that a call leaves; switchable while a campaign runs."""

    MANUAL = "manual"  # 手动: the agent, by a click
    PREVIEW = "preview"  # 预览: the agent, shown one case at a time
    PROGRESSIVE = "progressive"  # 渐进: the dialer, one call for each ready agent
    PREDICTIVE = "predictive"  # 预测: the dialer, as many as the pacer says


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignView:
    id: str
    name: str
    client: str
    mode: str  # manual, preview, progressive, predictive
    state: CampaignState
    placements: tuple[str, ...]
    lines: int
    agents: int
    calls_now: int
    attempted: int
    remaining: int
    answered: int
    abandoned: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One reason a campaign may not dial. ``count`` says how many (numbers, agents, lines) it concerns."""

    name: str  # hours, caps, numbers, agents, trunk, recorder, ledger, lines, state
    holds_back: bool
    count: int
    detail_en: str
    detail_zh: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveCall:
    """A call that happens now. ``e164`` is masked at the door."""

    call_id: str
    case_id: str | None
    campaign_id: str | None
    e164: str
    channel: Channel | None
    state: str  # a ``LegState``, or "bridged"
    agent: str | None
    placed_at: datetime
    answered_at: datetime | None = None
    cause: str | None = None
