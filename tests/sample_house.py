"""A house in memory with a few cases, one real FLAC tape and a user of every role: for every test of the doors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from api.house import House
from api.memory import (
    MemoryAccounts,
    MemoryAudit,
    MemoryCampaigns,
    MemoryCases,
    MemoryEvents,
    MemoryIntake,
    MemoryRecordings,
    PlainTapes,
)
from api.memory_floor import MemoryCasework, MemoryFloor
from api.passwords import hash_password
from case_store.model import AttemptState, Channel, Money, NumberState
from case_store.views import (
    AttemptView,
    CaseRow,
    CaseView,
    CoverageView,
    NextActionView,
    NumberView,
    RecordingView,
    RefusalView,
    RefusedNumber,
    Role,
    TimelineEntry,
)
from config.clock import ShiftedClock
from config.settings import Settings
from dialer.campaigns import CampaignState, CampaignView, Gate, LiveCall
from dialer.desk_views import WhoIsCalled

PASSWORD = "a long enough password"
START = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)
MOBILE = "+8613812345678"
DEBTORS = ("王小明", "李芳", "张伟", "Chen Jing", "刘洋", "赵敏", "黄强", "周婷")


@cache
def password_hash() -> str:
    return hash_password(PASSWORD)


@dataclass(frozen=True)
class Sample:
    house: House
    accounts: MemoryAccounts
    campaigns: MemoryCampaigns
    events: MemoryEvents
    tape: Path
    sha256: str
    floor: MemoryFloor
    casework: MemoryCasework


def write_tape(path: Path) -> str:
    """A two-channel FLAC in which the two sides take turns; returns its SHA-256."""
    path.write_bytes(_tape())
    return sha256(_tape()).hexdigest()


@cache
def _tape(seconds: float = 24.0) -> bytes:
    rate, rng = 8000, np.random.default_rng(7)
    time = np.arange(int(seconds * rate)) / rate
    agent_speaks = (np.sin(2 * np.pi * time / 8.0) > 0) & (np.sin(2 * np.pi * time / 0.9) > -0.6)
    customer_speaks = (np.sin(2 * np.pi * time / 8.0) < -0.2) & (np.sin(2 * np.pi * time / 0.7) > -0.5)
    envelope = np.abs(np.convolve(rng.normal(0, 1, time.size), np.ones(400) / 20, mode="same"))
    left = agent_speaks * envelope * np.sin(2 * np.pi * 180 * time) * 0.4
    right = customer_speaks * envelope * np.sin(2 * np.pi * 240 * time) * 0.35
    out = BytesIO()
    soundfile.write(out, np.column_stack([left, right]).clip(-0.95, 0.95), rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


async def sample_house(directory: Path, **web: object) -> Sample:
    settings = Settings.model_validate({"web": web}) if web else Settings()
    clock = ShiftedClock(START)
    accounts, events = MemoryAccounts(), MemoryEvents()
    for role in Role:
        await accounts.add_user(role.value, role.value.replace("_", " "), role, password_hash(), START)
    tape = directory / "rec_1.flac"
    digest = write_tape(tape)
    cases = [_case(number, digest) for number in range(1, 9)]
    recordings = [recording for view in cases for recording in view.recordings]
    campaigns = MemoryCampaigns(
        [
            CampaignView(
                id="camp_sweep",
                name="三月首催",
                client="示例银行",
                mode="progressive",
                state=CampaignState.PAUSED,
                placements=("plac_1",),
                lines=6,
                agents=3,
                calls_now=2,
                attempted=23,
                remaining=9,
                answered=7,
                abandoned=0,
            )
        ],
        [
            Gate(
                name="hours",
                holds_back=False,
                count=0,
                detail_en="08:00-22:00 at the callee",
                detail_zh="当地 08:00-22:00",
            ),
            Gate(
                name="caps",
                holds_back=False,
                count=4,
                detail_en="4 numbers reached today's cap",
                detail_zh="4 个号码今日次数已满",
            ),
            Gate(name="agents", holds_back=False, count=3, detail_en="3 agents ready", detail_zh="3 名坐席就绪"),
            Gate(name="recorder", holds_back=False, count=0, detail_en="armed and healthy", detail_zh="录音正常"),
        ],
    )
    for place, (state, agent) in enumerate([("ringing", None), ("bridged", "李娜")], start=1):
        campaigns.calls[f"call_now{place}"] = LiveCall(
            call_id=f"call_now{place}",
            case_id=f"case_{place}",
            campaign_id="camp_sweep",
            e164=f"+861391234567{place}",
            channel=Channel.MOBILE,
            state=state,
            agent=agent,
            placed_at=START - timedelta(seconds=12 * place),
            answered_at=START - timedelta(seconds=7) if agent else None,
        )
    untried = RefusedNumber(
        number_id="num_8",
        case_id="case_8",
        e164=MOBILE,
        channel=Channel.RELATIVE,
        rule="third-party-gate",
        until=None,
    )
    coverage = CoverageView(
        placement_id="plac_1",
        placement="2026-03 batch",
        client="示例银行",
        cases=8,
        numbers=32,
        permitted=24,
        attempted=23,
        answered=7,
        refused=8,
        refused_by_rule={"third-party-gate": 8},
        untried=(untried,),
    )
    floor = MemoryFloor(clock, pause_reasons=settings.floor.pause_reasons, leaders=[Role.TEAM_LEADER.value])
    for place in range(1, 9):
        for channel in (Channel.WORKPLACE, Channel.MOBILE, Channel.RELATIVE):
            who = person_called(place, channel)
            floor.numbers[who.case_id, who.number_id] = who
    casework = MemoryCasework(floor)
    house = House(
        settings=settings,
        clock=clock,
        accounts=accounts,
        cases=MemoryCases(cases, [coverage]),
        recordings=MemoryRecordings(recordings),
        tapes=PlainTapes({recording.id: tape for recording in recordings}),
        campaigns=campaigns,
        intake=MemoryIntake(),
        events=events,
        audit=MemoryAudit(),
        floor=floor,
        casework=casework,
    )
    return Sample(house, accounts, campaigns, events, tape, digest, floor, casework)


def person_called(place: int, channel: Channel = Channel.MOBILE) -> WhoIsCalled:
    """Who is there on a number of case ``place``."""
    own = channel.is_debtors_own
    suffix, e164 = {
        Channel.WORKPLACE: ("", "+861065551234"),
        Channel.MOBILE: ("a", MOBILE),
        Channel.RELATIVE: ("b", "+8613900001111"),
    }[channel]
    return WhoIsCalled(
        case_id=f"case_{place}",
        number_id=f"num_{place}{suffix}",
        e164=e164,
        channel=channel,
        contact=DEBTORS[place - 1] if own else "王女士",
        relation="本人" if own else "配偶",
        debtor=DEBTORS[place - 1],
        client="示例银行",
        client_ref=f"XY-2026-{place:04}",
        balance=Money(amount=Decimal("12850.40") + place * 731, currency="CNY"),
        last_outcome="SELF_RAISING_FUNDS",
    )


def _case(place: int, digest: str) -> CaseView:
    case_id, at = f"case_{place}", START - timedelta(hours=9 - place)
    recording = RecordingView(
        id=f"rec_{place}",
        call_id=f"call_{place}",
        case_id=case_id,
        state="sealed",
        started_at=at,
        seconds=24.0,
        sha256=digest,
        gaps=place % 2,
        verdict="whole",
        agent="李娜",
    )
    refusal = RefusalView(
        rule="third-party-gate",
        figure="debtor reachable",
        source="cn-cba-2026 art. 21",
        until=START + timedelta(days=1),
    )
    attempts = (
        AttemptView(
            id=f"att_{place}b",
            case_id=case_id,
            number_id=f"num_{place}b",
            e164="+8613900001111",
            channel=Channel.RELATIVE,
            state=None,
            booked_at=at + timedelta(minutes=3),
            position=3,
            refusal=refusal,
        ),
        AttemptView(
            id=f"att_{place}a",
            case_id=case_id,
            number_id=f"num_{place}a",
            e164=MOBILE,
            channel=Channel.MOBILE,
            state=AttemptState.DONE,
            booked_at=at,
            position=2,
            call_id=f"call_{place}",
            sip_status=200,
            cause="normal",
            progress="answered",
            answered=True,
            talk_seconds=23.4,
            agent="李娜",
            outcome="SELF_PROMISE",
            recording_id=f"rec_{place}",
        ),
        AttemptView(
            id=f"att_{place}",
            case_id=case_id,
            number_id=f"num_{place}",
            e164="+861065551234",
            channel=Channel.WORKPLACE,
            state=AttemptState.DONE,
            booked_at=at - timedelta(minutes=4),
            position=1,
            sip_status=486,
            cause="busy",
            progress="busy",
        ),
    )
    action = NextActionView(
        id=f"act_{place}",
        case_id=case_id,
        client_ref=f"XY-2026-{place:04}",
        action="CONFIRM_PROMISE",
        earliest=START + timedelta(days=1),
        latest=START + timedelta(days=2, hours=place),
        owner="collector",
        reason_zh="持卡人承诺三日内还款，到期前一个工作日提醒",
        reason_en="the cardholder promised to pay within three days; remind one working day before",
    )
    row = CaseRow(
        id=case_id,
        client="示例银行",
        client_ref=f"XY-2026-{place:04}",
        placement_id="plac_1",
        placement="2026-03 batch",
        debtor=DEBTORS[place - 1],
        balance=Money(amount=Decimal("12850.40") + place * 731, currency="CNY"),
        state="open",
        last_outcome="SELF_PROMISE",
        attempts=2,
        recordings=1,
        opened_at=at - timedelta(days=1),
        next_action=action,
    )
    timeline = (
        TimelineEntry(
            at=at + timedelta(minutes=1),
            kind="outcome",
            subject_id=f"call_{place}",
            summary_zh="本人承诺还款 CNY 3000.00",
            summary_en="The cardholder promises to pay CNY 3000.00",
            actor="李娜",
        ),
        TimelineEntry(
            at=at - timedelta(days=1),
            kind="case-opened",
            subject_id=case_id,
            summary_zh="案件委入",
            summary_en="Entrusted",
        ),
    )
    numbers = tuple(
        NumberView(
            id=f"num_{place}{suffix}",
            e164=e164,
            channel=channel,
            contact=DEBTORS[place - 1] if channel.is_debtors_own else "王女士",
            relation="本人" if channel.is_debtors_own else "配偶",
            state=NumberState.LIVE,
            attempts=tries,
        )
        for suffix, e164, channel, tries in (
            ("", "+861065551234", Channel.WORKPLACE, 1),
            ("a", MOBILE, Channel.MOBILE, 1),
            ("b", "+8613900001111", Channel.RELATIVE, 0),
        )
    )
    return CaseView(
        row=row,
        numbers=numbers,
        next_actions=(action,),
        attempts=attempts,
        recordings=(recording,),
        timeline=timeline,
    )
