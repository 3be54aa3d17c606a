"""A house over the case store: what ``onrecord serve`` opens its doors on.

The dialer's centre brings its own ``Campaigns``; without one (a machine that only shows) ``StoreCampaigns`` reads the
store, writes the wanted state there, and says plainly that no dialer runs here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from api.casework import StoreCasework
from api.evidence_desk import EvidenceDesk
from api.floor_doors import NO_FLOOR, FloorDoors, NoDialer
from api.house import Calling, Campaigns, Check, House, Tapes
from api.masking_desk import MaskingDesk
from api.vault_tapes import VaultTapes
from case_store.accounts import Accounts
from case_store.audit import AuditLog
from case_store.database import ping
from case_store.floor_reading import FloorReading
from case_store.intake.identity import house_key, keyed_by
from case_store.intake.placement import parse_placement, placement_name
from case_store.placements import ImportReport
from case_store.reading import CaseReading, RecordingReading
from case_store.store import CaseStore
from case_store.sweep import Campaign
from case_store.views import IntakeReport, RejectedRow
from config.clock import Clock
from config.errors import BadInput, OnrecordError, Refused
from config.settings import ClientSettings, Settings
from dialer.arrivals import first_steps
from dialer.campaigns import CampaignState, CampaignView, Gate, LiveCall, Mode
from dialer.desk_views import Decision, PaceView
from recording.first_keys import first_keys
from recording.keys import DataKeys, load_master_keys
from recording.shelf import open_shelf
from recording.signing import load_signing_key


def house_over(
    store: CaseStore,
    settings: Settings,
    clock: Clock,
    *,
    campaigns: Campaigns | None = None,
    calling: Calling | None = None,
    floor: FloorDoors = NO_FLOOR,
    tapes: Tapes | None = None,
    checks: tuple[Check, ...] = (),
    registry: CollectorRegistry | None = None,
) -> House:
    """Wire the doors to an open store. Raises what opening the shelf and the master keys raises."""
    first_keys(settings)
    return House(
        settings=settings,
        clock=clock,
        accounts=Accounts(store.database),
        cases=CaseReading(store.database),
        recordings=RecordingReading(store.database),
        tapes=tapes or vault_tapes(store, settings),
        campaigns=campaigns or StoreCampaigns(store, clock),
        intake=StoreIntake(store, settings, clock),
        casework=StoreCasework(store, settings, clock),
        events=store.events,
        audit=AuditLog(store.database, load_signing_key(settings.vault.signing_key)),
        calling=calling,
        floor=floor,
        evidence=EvidenceDesk(store, settings),
        masking=masking_desk(store, settings),
        checks=(StoreCheck(store), *checks),
        registry=registry or CollectorRegistry(),
    )


def masking_desk(store: CaseStore, settings: Settings) -> MaskingDesk:
    signing = load_signing_key(settings.vault.signing_key)
    audit = AuditLog(store.database, signing)
    return MaskingDesk(settings, store.recordings, audit, open_shelf(settings), signing.verifier())


def vault_tapes(store: CaseStore, settings: Settings) -> VaultTapes:
    shelf = open_shelf(settings)
    keys = DataKeys(shelf, load_master_keys(settings.vault.master_key))
    return VaultTapes(store.recordings, shelf, keys, load_signing_key(settings.vault.signing_key).verifier())


class StoreCheck:
    name = "store"

    def __init__(self, store: CaseStore) -> None:
        self._store = store

    async def trouble(self) -> str | None:
        try:
            await ping(self._store.database)
        except OnrecordError as error:
            return f"{error.problem}: {error.remedy}"
        except OSError as error:
            return f"the database does not answer ({type(error).__name__}): see whether it runs"
        return None


def client_of(settings: Settings, name: str) -> ClientSettings:
    """The client's settings. Without any client in settings every name is taken, with plain headers expected."""
    found = next((client for client in settings.clients if client.name == name), None)
    if found is not None:
        return found
    if not settings.clients:
        return ClientSettings(name=name)
    raise BadInput(
        "there is no such client in settings",
        field="client",
        remedy="use one of " + ", ".join(client.name for client in settings.clients) + ", or add it to onrecord.toml",
    )


class StoreIntake:
    def __init__(self, store: CaseStore, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def load(self, path: Path, *, name: str, client: str, dry_run: bool, strict: bool) -> IntakeReport:
        parsed = parse_placement(path, client_of(self._settings, client), name=placement_name(Path(name)))
        report = await self._store.placements.load(
            parsed,
            self._clock.now(),
            plan=first_steps(self._settings),
            identity=keyed_by(house_key(self._settings.store.identity_key)),
            strict=strict,
            dry_run=dry_run,
        )
        if not dry_run:
            await self._store.sweep.first_for(report.placement_id, report.name, report.client, self._clock.now())
        return intake_report(report)


def intake_report(report: ImportReport) -> IntakeReport:
    return IntakeReport(
        placement_id=None if report.dry_run else report.placement_id,
        name=report.name,
        client=report.client,
        rows=report.rows,
        cases=report.cases,
        numbers=report.numbers,
        dry_run=report.dry_run,
        repeated=report.already_loaded,
        rejected=tuple(
            RejectedRow(row=one.row, field=one.field, problem=one.problem, shape=one.shape, remedy=one.remedy)
            for one in (*report.rejected_rows, *report.rejected_fields)
        ),
    )


class StoreCampaigns:
    """Campaigns as the store knows them."""

    def __init__(self, store: CaseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._floor = FloorReading(store.database)

    async def list(self) -> Sequence[CampaignView]:
        return [await self._view(campaign) for campaign in await self._store.sweep.all()]

    async def one(self, campaign_id: str) -> CampaignView:
        return await self._view(await self._store.sweep.get(campaign_id))

    async def switch_mode(self, campaign_id: str, mode: Mode) -> CampaignView:
        """Kept for the node that dials: it reads the mode when the campaign starts there."""
        campaign = await self._store.sweep.get(campaign_id)
        if campaign.state == CampaignState.RUNNING:
            raise NoDialer(
                "no dialer runs in this process", field="campaign_id", remedy="pause the campaign, or ask its node"
            )
        await self._store.sweep.change(campaign.id, self._clock.now(), mode=mode.value)
        return await self.one(campaign.id)

    async def pace(self, campaign_id: str) -> PaceView:
        raise NoDialer("no dialer runs in this process", remedy="ask the node that places the calls")

    async def decisions(self, campaign_id: str, limit: int) -> Sequence[Decision]:
        raise NoDialer("no dialer runs in this process", remedy="ask the node that places the calls")

    async def start(self, campaign_id: str) -> CampaignView:
        return await self._move(campaign_id, CampaignState.RUNNING)

    async def pause(self, campaign_id: str) -> CampaignView:
        return await self._move(campaign_id, CampaignState.PAUSED)

    async def explain(self, campaign_id: str) -> Sequence[Gate]:
        campaign = await self._store.sweep.get(campaign_id)
        standing = await self._store.sweep.standing(campaign.id)
        waiting = standing.ready + standing.claimed + standing.resting
        running = campaign.state == CampaignState.RUNNING
        return (
            Gate(
                name="dialer",
                holds_back=True,
                count=0,
                detail_en="no dialer runs in this process; it only shows",
                detail_zh="本进程没有外呼引擎，仅供查看",
            ),
            Gate(
                name="state",
                holds_back=not running,
                count=0,
                detail_en=f"the campaign is {campaign.state}",
                detail_zh="活动进行中" if running else "活动未在进行",
            ),
            Gate(
                name="numbers",
                holds_back=waiting == 0,
                count=waiting,
                detail_en=f"{waiting} cases still have numbers to sweep",
                detail_zh=f"{waiting} 个案件仍有号码待首催",
            ),
        )

    async def live_calls(self) -> Sequence[LiveCall]:
        return [
            LiveCall(
                call_id=one.call_id,
                case_id=one.case_id,
                campaign_id=one.campaign_id,
                e164=one.e164,
                channel=one.channel,
                state=one.state,
                agent=one.agent,
                placed_at=one.placed_at,
                answered_at=one.answered_at,
            )
            for one in await self._floor.ongoing(self._clock.now())
        ]

    async def _move(self, campaign_id: str, state: CampaignState) -> CampaignView:
        campaign = await self._store.sweep.get(campaign_id)
        if campaign.state == CampaignState.FINISHED:
            raise Refused("the campaign is finished", field="campaign_id", remedy="make another one")
        if campaign.state != state:
            campaign = await self._store.sweep.change(campaign.id, self._clock.now(), state=state.value)
        return await self._view(campaign)

    async def _view(self, campaign: Campaign) -> CampaignView:
        standing = await self._store.sweep.standing(campaign.id)
        tally = await self._floor.tally(campaign.id)
        clients = {
            placement.client
            for placement in await self._store.placements.list()
            if placement.id in campaign.placement_ids
        }
        return CampaignView(
            id=campaign.id,
            name=campaign.name,
            client=", ".join(sorted(clients)),
            mode=campaign.mode,
            state=CampaignState(campaign.state),
            placements=campaign.placement_ids,
            lines=0,
            agents=0,
            calls_now=tally.in_flight,
            attempted=tally.attempted,
            remaining=standing.ready + standing.claimed + standing.resting,
            answered=tally.answered,
            abandoned=tally.abandoned,
        )
