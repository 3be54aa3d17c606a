"""The main job, end to end: a placement is loaded, swept to its end over SIP, taped, sealed, concluded, reported.

Without a trunk it runs against the simulated carrier on loopback and on a clock of its own that starts in working
hours and skips the nights between the callees' time zones. With a trunk it is the acceptance test of that carrier:
on loopback with the same clock, on any other address by the real one, since somebody real may answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from case_store.intake.placement import ParsedPlacement, ParsedRow, parse_placement
from case_store.model import CallRecord, Channel
from case_store.outcomes import NewOutcome
from case_store.placements import ImportReport
from config.calendars import Calendar, local_day, local_instant, zone
from config.clock import Clock, ShiftedClock, SystemClock
from config.errors import BadInput, Unhealthy, describe_shape
from config.settings import (
    ClientSettings,
    DeskSettings,
    RecordingSettings,
    Settings,
    SipSettings,
    StoreSettings,
    TrunkSettings,
    VaultSettings,
    is_loopback,
)
from config.settings_file import settings_text
from dialer.arrivals import first_steps
from dialer.campaign import CampaignRunner
from dialer.campaigns import CampaignState
from dialer.centre import CallToConclude, Centre, CentreParts
from dialer.dialing import DialPlan
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.followup import promised_day
from dialer.media.client import MediaRelay
from dialer.simulated.collector import conclude
from dialer.simulated.processes import start_carrier, start_phones
from dialer.sweep_report import SweepReport
from dialer.sweep_reporting import report_sweep
from dialer.switchboard import CallInFlight
from recording.recordings import Recording

SAMPLE = Path(__file__).parent / "simulated" / "sample"
_TRUNK = re.compile(r"^sip:(?:(?P<user>[^@;]+)@)?(?P<host>\[[^\]]+\]|[^:;]+)(?::(?P<port>\d{1,5}))?$")
_PHONE = re.compile(r"^sip:[^@\s;]+@(?:\[[^\]\s]+\]|[^@:;\s\[\]]+)(?::(?P<port>\d{1,5}))?(?:;[^\s@]+)?$")
_DAYS = 4  # of the demo's own clock; whatever is not permitted by then is reported with its rule
_BEGINS = time(16, 30)  # by the house clock: working hours both in China and in Europe, so that no case waits long


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoOrder:
    """What `onrecord demo` was asked. ``placements`` empty: the shipped sample."""

    data: Path
    placements: tuple[Path, ...] = ()
    trunk: str | None = None
    agents: tuple[str, ...] = ()
    simulated_agents: int = 16
    lines: int | None = None
    ring_seconds: float | None = None
    talk_seconds: float | None = None
    keep_tapes: Path | None = None
    client: str = "demo-bank"
    settings: Settings | None = None
    seed: int = 0


@dataclass(slots=True)
class DemoProgress:
    """Told while the demo runs; ``on_change`` after every call and every phase."""

    on_change: Callable[[DemoProgress], None]
    phase: str = "starting"
    numbers: int = 0
    done: int = 0
    answered: int = 0
    lines: list[tuple[CallInFlight, CallRecord, Recording | None, str | None]] = field(default_factory=list)
    imports: list[ImportReport] = field(default_factory=list)
    clock: str = ""

    def enter(self, phase: str) -> None:
        self.phase = phase
        self.on_change(self)


class BadTrunk(BadInput):
    error_id = "bad-trunk"


class NothingToCall(BadInput):
    """A placement file of which no row could be taken."""

    error_id = "nothing-to-call"


class TrunkSilent(Unhealthy):
    """Not one response came from the trunk."""

    error_id = "trunk-silent"


def read_trunk(text: str) -> TrunkSettings:
    """``sip:HOST:PORT`` → a trunk without credentials (``trunk_of`` finds those). Raises ``BadTrunk``."""
    found = _TRUNK.match(text)
    if found is None or not 1 <= int(found["port"] or 5060) <= 65535:
        raise BadTrunk(
            "is no trunk's address",
            field="--trunk",
            shape=describe_shape(text),
            remedy="give sip:HOST:PORT or a trunk's name",
        )
    return TrunkSettings(
        name="trunk",
        host=found["host"].strip("[]"),
        port=int(found["port"] or 5060),
        username=found["user"],
        channels=1000,
        cps=50,
        options_seconds=0,
    )


def trunk_of(text: str, settings: Settings | None) -> TrunkSettings:
    """The trunk of onrecord.toml with this name, or at this host and port (its account, caller ID and formats apply);
    else a plain one there. Raises ``BadTrunk``."""
    known = settings.trunks if settings is not None else ()
    for trunk in known:
        if trunk.name == text:
            return trunk
    plain = read_trunk(text)
    return next((one for one in known if (one.host, one.port) == (plain.host, plain.port)), plain)


def read_desk(text: str, number: int) -> DeskSettings:
    """``sip:101@HOST:PORT`` → an agent's desk. Raises ``BadInput``."""
    found = _PHONE.match(text)
    if found is None or not 1 <= int(found["port"] or 5060) <= 65535:
        raise BadInput(
            "is no phone's address", field="--agent", shape=describe_shape(text), remedy="give sip:NAME@HOST:PORT"
        )
    return DeskSettings(name=f"desk-{number}", uri=text)


def read_placements(order: DemoOrder) -> list[ParsedPlacement]:
    """The files, before anything is started or written. Raises ``BadInput``."""
    trunk = trunk_of(order.trunk, order.settings) if order.trunk is not None else None
    if trunk is not None and not order.placements and not is_loopback(trunk.host):
        raise BadInput(
            "is missing: the numbers of the shipped sample may be somebody's",
            field="--placement",
            remedy="name the file whose numbers this trunk shall call",
        )
    files = order.placements or (SAMPLE / "placement.csv", SAMPLE / "placement-second-bank.xlsx")
    parsed = [parse_placement(path, _client(order)) for path in files]
    for path, one in zip(files, parsed, strict=True):
        if not any(isinstance(row, ParsedRow) for row in one.rows()):
            raise NothingToCall(
                "not one of its rows can be taken",
                field="--placement",
                shape=path.suffix or "no suffix",
                remedy="see why with: onrecord import FILE --client NAME --dry-run",
            )
    return parsed


async def run_demo(
    order: DemoOrder, parsed: Sequence[ParsedPlacement], progress: DemoProgress, stop: asyncio.Event
) -> SweepReport:
    """Run to the end. ``stop`` set: calls in flight are ended, their tapes sealed, and the report is of what was done.

    Raises ``NoDesk``, ``TrunkSilent`` and what the parts raise.
    """
    async with AsyncExitStack() as stack:
        progress.enter("starting the carrier and the phones")
        trunk, desks = await _far_side(order, stack)
        settings = _settings(order, trunk)
        # The simulated carrier is gone afterwards: no other command should look for it.
        (order.data / "onrecord.toml").write_text(settings_text(settings, without=("trunks", "sip")), encoding="utf-8")
        clock = _clock(order, trunk, settings)
        progress.clock = clock.now().astimezone(zone(settings.timezone)).isoformat(timespec="minutes")
        engine = SipTrunkEngine(settings, clock, MediaRelay.from_settings(settings))

        def finished(call: CallInFlight, record: CallRecord, recording: Recording | None, code: str | None) -> None:
            progress.done += 1
            progress.answered += record.answered
            progress.lines.append((call, record, recording, code))
            progress.on_change(progress)

        collector = _SimulatedCollector(settings)
        parts = CentreParts(
            engine=engine,
            clock=clock,
            concluder=collector,
            by_simulation=order.trunk is None,
            people=False,
            on_finished=finished,
            kept_tapes=order.keep_tapes.absolute() if order.keep_tapes is not None else None,
        )
        progress.enter("opening the centre")
        centre = await stack.enter_async_context(Centre.open(settings, parts))
        collector.centre = centre
        progress.enter("seating the agents")
        await asyncio.gather(
            *(centre.seat(desk, agent_id=f"agent-{n}", name=desk.name) for n, desk in enumerate(desks, 1))
        )
        progress.enter("loading the placement")
        for one in parsed:
            progress.imports.append(await centre.store.placements.load(one, clock.now(), plan=first_steps(settings)))
        placement_ids = [one.placement_id for one in progress.imports]
        for placement_id in placement_ids:
            coverage = await centre.store.placements.coverage(placement_id)
            progress.numbers += coverage.numbers
            progress.done += coverage.attempted
        runner = await _campaign(centre, order, placement_ids, len(desks))
        progress.enter("sweeping")
        why = await _sweep_or_stop(centre, runner, order, progress, stop)
        progress.enter("sealing the last tapes")
        await centre.switchboard.quiet()
        progress.enter("reporting")
        return await report_sweep(
            centre,
            imports=progress.imports,
            directory=order.data,
            kept=order.keep_tapes,
            clock=_clock_word(clock, progress.clock),
            finished=why is None,
            stopped_because=why,
        )


async def _sweep_or_stop(
    centre: Centre, runner: CampaignRunner, order: DemoOrder, progress: DemoProgress, stop: asyncio.Event
) -> str | None:
    """None when everything is done, else why it stopped."""
    sweep = asyncio.create_task(_sweep(centre, runner, order.data, progress))
    minders = [
        asyncio.create_task(_hang_up_in_time(centre, order)),
        asyncio.create_task(_listen_for_trunk(centre, progress)),
    ]
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({sweep, asked, *minders}, return_when=asyncio.FIRST_COMPLETED)
        for minder in minders:
            if minder.done():
                minder.result()  # it only ends by raising
        if asked.done() and not sweep.done():
            # Gently: a call half-way between its booking and its INVITE is placed, and then ended like the others.
            await runner.pause()
            await sweep
            for call in list(centre.switchboard):
                await centre.switchboard.hang_up(call)
            return "it was interrupted; the same --data goes on where it stopped"
        return await sweep
    finally:
        for task in (sweep, asked, *minders):
            task.cancel()
        await asyncio.gather(sweep, asked, *minders, return_exceptions=True)


async def _sweep(centre: Centre, runner: CampaignRunner, data: Path, progress: DemoProgress) -> str | None:
    clock = centre.clock
    begun = clock.now()
    while True:
        await runner.run(until_rest=True)
        if runner.state is CampaignState.FINISHED:
            return None
        if runner.state is CampaignState.PAUSED:
            return "it was paused"
        due = runner.next_permitted
        if due is None:
            return "nothing is due any more"
        if not isinstance(clock, ShiftedClock) or due > begun + timedelta(days=_DAYS):
            return f"the rest may be called from {due.isoformat(timespec='minutes')}"
        clock.advance_to(due)
        _keep_clock(data, clock)
        progress.clock = clock.now().astimezone(zone(centre.settings.timezone)).isoformat(timespec="minutes")
        progress.on_change(progress)


async def _listen_for_trunk(centre: Centre, progress: DemoProgress) -> None:
    """Raises ``TrunkSilent`` when the trunk is down and never said a word."""
    while True:
        await asyncio.sleep(0.25)
        in_flight = any(call.provisional or call.answered_at for call in centre.switchboard)
        if in_flight or any(record.sip_status is not None for _call, record, _tape, _code in progress.lines):
            await asyncio.Event().wait()  # it speaks: nothing more to listen for
        if centre.switchboard.trunks_down:
            detail = "; ".join(centre.switchboard.trunks_down.values())
            raise TrunkSilent(
                f"the trunk does not answer ({detail})",
                field="--trunk",
                remedy="check host, port and firewall; ask the carrier whether this address may call",
            )


async def _campaign(centre: Centre, order: DemoOrder, placement_ids: list[str], agents: int) -> CampaignRunner:
    """The sweep over these placements: the one an earlier run left, or a new one."""
    plan = DialPlan(
        lines=order.lines or agents,
        ring_seconds=order.ring_seconds or (20.0 if order.trunk else 6.0),
        set_up_seconds=60.0 if order.trunk else 25.0,
        caller_id=centre.settings.trunks[0].caller_id,
        redials=False,  # the demo is the first sweep: every number once
    )
    known = [one for one in await centre.store.sweep.all() if set(placement_ids) <= set(one.placement_ids)]
    campaign = known[0] if known else await centre.create_campaign("first sweep", placement_ids)
    if campaign.state != "finished":
        campaign = await centre.store.sweep.change(campaign.id, centre.clock.now(), state="running")
    return centre.runner(campaign, plan)


async def _hang_up_in_time(centre: Centre, order: DemoOrder) -> None:
    """A simulated collector does not talk for ever, and leaves a machine or a dead line."""
    limit = timedelta(seconds=order.talk_seconds or (20.0 if order.trunk else 25.0))
    told: set[str] = set()
    while True:
        now = centre.clock.now()
        for call in list(centre.switchboard):
            if call.answered_at is not None and now - call.answered_at > limit and call.call_id not in told:
                told.add(call.call_id)
                await centre.switchboard.hang_up(call)
        await asyncio.sleep(0.25)


class _SimulatedCollector:
    """Concludes each answered call from what was heard on it; see ``dialer.simulated.collector``."""

    centre: Centre

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __call__(self, call: CallToConclude) -> NewOutcome:
        said = conclude(channel=Channel(call.channel), balance=call.balance, heard=call.heard)
        promised = None
        if said.days_ahead is not None:
            file = await self.centre.store.outcomes.file(call.case_id)
            promised = promised_day(file, self._settings.timezone, call.at, said.days_ahead)
        return NewOutcome(
            case_id=call.case_id,
            code=said.outcome,
            agent_id=call.agent_id,
            call_id=call.call_id,
            number_id=call.number_id,
            amount=said.amount.amount if said.amount else None,
            promised_on=promised,
            note=said.said,
        )


async def _far_side(order: DemoOrder, stack: AsyncExitStack) -> tuple[TrunkSettings, list[DeskSettings]]:
    """Whatever was not given is simulated; carrier and phones start side by side."""

    async def carrier() -> TrunkSettings:
        if order.trunk is not None:
            return trunk_of(order.trunk, order.settings)
        process = await stack.enter_async_context(
            _stopped(start_carrier(SAMPLE / "directory.json", seed=order.seed, bill=order.data / "carrier-bill.jsonl"))
        )
        return TrunkSettings(
            name="simulated", host=process.said["host"], port=process.said["port"], channels=200, cps=50
        )

    async def phones() -> list[str]:
        if order.agents:
            return list(order.agents)
        process = await stack.enter_async_context(_stopped(start_phones(order.simulated_agents)))
        return list(process.said["uris"])

    trunk, uris = await asyncio.gather(carrier(), phones())
    return trunk, [read_desk(uri, n) for n, uri in enumerate(uris, 1)]


@asynccontextmanager
async def _stopped(starting: Any) -> AsyncIterator[Any]:
    process = await starting
    try:
        yield process
    finally:
        await process.stop()


def _settings(order: DemoOrder, trunk: TrunkSettings) -> Settings:
    """The site's own settings with this run's trunk and folders; embedded defaults when there are none."""
    data = order.data.absolute()
    base = order.settings or Settings()
    local = is_loopback(trunk.host) and all(is_loopback(_host(uri)) for uri in order.agents)
    return base.model_copy(
        update={
            "sip": SipSettings(
                **{
                    **base.sip.model_dump(),
                    "bind_host": "127.0.0.1" if local else base.sip.bind_host,
                    "bind_port": 0,
                    "rtp_ports": (0, 0) if local else base.sip.rtp_ports,
                    "journal": data / "dialogs.journal",
                }
            ),
            "trunks": (trunk,),
            "recording": RecordingSettings(
                **{**base.recording.model_dump(), "directory": data / "tapes", "shelf": data / "shelf"}
            ),
            "store": StoreSettings(url=f"sqlite+aiosqlite:///{data / 'onrecord.db'}"),
            "vault": VaultSettings(
                **{
                    **base.vault.model_dump(),
                    "master_key": f"file:{data / 'keys' / 'master.json'}",
                    "signing_key": f"file:{data / 'keys' / 'signing.json'}",
                    "state": data / "proof",
                    "keep_tapes": False,
                }
            ),
            "clients": (_client(order), *(one for one in base.clients if one.name != order.client)),
        }
    )


def _client(order: DemoOrder) -> ClientSettings:
    base = order.settings or Settings()
    return next((one for one in base.clients if one.name == order.client), ClientSettings(name=order.client))


def _clock(order: DemoOrder, trunk: TrunkSettings, settings: Settings) -> Clock:
    """A working morning of the house for loopback; the real time for anybody who may be real.

    A run that goes on keeps the clock it had: what it wrote must not lie in its own future.
    """
    if not is_loopback(trunk.host):
        return SystemClock()
    kept = order.data / "clock.txt"
    if kept.exists():
        return ShiftedClock(datetime.now(UTC) + timedelta(seconds=float(kept.read_text())))
    house = zone(settings.timezone)
    day = local_day(datetime.now(UTC), house)
    calendar = Calendar("CN")
    while not calendar.is_working_day(day):
        day += timedelta(days=1)
    clock = ShiftedClock(local_instant(day, _BEGINS, house))
    _keep_clock(order.data, clock)
    return clock


def _keep_clock(data: Path, clock: Clock) -> None:
    (data / "clock.txt").write_text(f"{(clock.now() - datetime.now(UTC)).total_seconds():.3f}\n")


def _clock_word(clock: Clock, now: str) -> str:
    return f"simulated, stands at {now}" if isinstance(clock, ShiftedClock) else "real"


def _host(uri: str) -> str:
    return uri.rpartition("@")[2].partition(":")[0].partition(";")[0]
