"""One settings tree. ``ONRECORD_*`` in the environment wins over ``onrecord.toml``, which wins over the defaults.

``ONRECORD_CONFIG`` (or ``onrecord --config FILE``) names another file than ``onrecord.toml`` in the current folder.

Nested fields are reached with two underscores: ``ONRECORD_RECORDING__DIRECTORY=/tapes``. Every setting is
described here and printed by ``onrecord doctor --settings``.
"""

from __future__ import annotations

import os
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from config.errors import BadSetting, describe_shape


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrunkSettings(Section):
    """A SIP line to the telephone network."""

    name: Annotated[str, Field(min_length=1, max_length=64, description="How logs and reports call it")]
    host: Annotated[str, Field(description="Address or name of the carrier's SIP server")]
    port: Annotated[int, Field(ge=1, le=65535)] = 5060
    username: Annotated[str | None, Field(description="For digest authentication (401/407)")] = None
    password: Annotated[SecretStr | None, Field(description="For digest authentication")] = None
    registers: Annotated[bool, Field(description="REGISTER with the carrier and keep it fresh")] = False
    register_seconds: Annotated[int, Field(ge=60, le=7200)] = 600
    from_domain: Annotated[str | None, Field(description="Domain of From and REGISTER; default: host")] = None
    caller_id: Annotated[str | None, Field(description="Shown when the client has none of its own")] = None
    asserted_identity: Annotated[bool, Field(description="Send P-Asserted-Identity")] = False
    number_format: Annotated[
        Literal["e164", "digits", "national"],
        Field(description="e164: +86138…; digits: 86138…; national: 0138… as dialed inside the country"),
    ] = "e164"
    country: Annotated[
        str, Field(pattern=r"^[A-Z]{2}$", description="Country whose dialing habits number_format national follows")
    ] = "CN"
    dial_prefix: Annotated[str, Field(pattern=r"^[0-9*#+]*$", max_length=16)] = ""
    priority: Annotated[int, Field(ge=0, le=100, description="Lower is tried first")] = 0
    weight: Annotated[int, Field(ge=0, le=1000, description="Share among trunks of one priority")] = 10
    channels: Annotated[int, Field(ge=1, le=10000, description="Calls at once")] = 30
    cps: Annotated[float, Field(gt=0, le=500, description="New calls a second")] = 10.0
    options_seconds: Annotated[int, Field(ge=0, le=3600, description="OPTIONS keep-alive; 0: none")] = 30
    require_100rel: Annotated[bool, Field(description="Send Require: 100rel (RFC 3262)")] = False
    session_expires: Annotated[int, Field(ge=0, le=86400, description="RFC 4028; 0: none")] = 1800
    ptime: Annotated[Literal[20, 30], Field(description="Milliseconds of sound a packet")] = 20
    codecs: Annotated[tuple[Literal["PCMA", "PCMU"], ...], Field(min_length=1)] = ("PCMA", "PCMU")
    protected: Annotated[
        bool,
        Field(description="A line under the carrier's protection: the caps of cn-carrier bind (3 in 24 h, 10 in 30 d)"),
    ] = False
    media_hosts: Annotated[
        tuple[str, ...],
        Field(description="Networks RTP may come from besides the address in the session description"),
    ] = ()
    signalling_hosts: Annotated[
        tuple[str, ...], Field(description="Networks SIP may come from besides the trunk's own address")
    ] = ()


class DeskSettings(Section):
    """An agent's phone: reached at a SIP address, or registering to us with digest."""

    name: str
    uri: Annotated[str | None, Field(description="sip:101@192.0.2.5:5060; none: the phone registers to us")] = None
    username: str | None = None
    password: SecretStr | None = None


class SipSettings(Section):
    bind_host: Annotated[str, Field(description="Local address for SIP and RTP")] = "0.0.0.0"  # noqa: S104  # a dialer listens where its trunks are; unknown peers are dropped
    bind_port: Annotated[int, Field(ge=0, le=65535, description="0: any free port")] = 5060
    public_host: Annotated[str | None, Field(description="Address written into Contact and SDP; default: found")] = None
    rtp_ports: Annotated[tuple[int, int], Field(description="First and last UDP port for media")] = (20000, 29999)
    user_agent: str = "onrecord"
    t1_milliseconds: Annotated[int, Field(ge=10, le=5000, description="RFC 3261 T1")] = 500
    media_timeout_seconds: Annotated[float, Field(gt=0, description="No RTP at all for so long after the answer")] = (
        30.0
    )
    max_legs: Annotated[int, Field(ge=1, le=20000)] = 1000
    resolve_seconds: Annotated[
        float,
        Field(ge=0, le=86400, description="Trunks' host names are looked up again so often; 0: after trouble only"),
    ] = 300.0
    journal: Annotated[
        Path | None,
        Field(
            description="Open dialogs, so that a restart ends those a crash left; default of serve: beside the tapes"
        ),
    ] = None
    desk_options_seconds: Annotated[
        float, Field(ge=0, le=3600, description="OPTIONS to a desk without a session timer; 0: none")
    ] = 30.0
    desk_register_seconds: Annotated[int, Field(ge=10, le=7200, description="Longest registration of a desk")] = 600
    desk_digests: Annotated[
        tuple[Literal["MD5", "SHA-256"], ...],
        Field(min_length=1, description="Challenges for registering desks, first preferred; many phones know MD5 only"),
    ] = ("MD5",)
    registers_per_second: Annotated[
        float, Field(gt=0, le=1000, description="REGISTER requests answered, per address and second")
    ] = 5.0


class RecordingSettings(Section):
    directory: Annotated[Path, Field(description="Tapes being written; a local disk")] = Path("var/tapes")
    shelf: Annotated[Path, Field(description="Sealed recordings")] = Path("var/shelf")
    low_watermark_bytes: Annotated[int, Field(ge=0, description="Below this free space no call is placed")] = (
        500_000_000
    )
    stall_seconds: Annotated[
        float, Field(gt=0, le=10, description="A tape that stands still so long ends its call")
    ] = 1.5
    unflushed_seconds: Annotated[
        float,
        Field(
            gt=0, le=10, description="Audio that waits longer to reach the disk ends its call: the most a crash loses"
        ),
    ] = 1.0
    announcement: Annotated[bool, Field(description="Play the recording announcement after the answer")] = True
    announcement_message: Annotated[
        Path | None, Field(description="That announcement, a mono sound file; none: the sample, of an invented company")
    ] = None


class StoreSettings(Section):
    url: Annotated[str, Field(description="sqlite+aiosqlite:///… or postgresql+psycopg://…")] = (
        "sqlite+aiosqlite:///var/onrecord.db"
    )
    identity_key: Annotated[
        Path, Field(description="Key of the digests of identity numbers; made on first use, readable by its owner only")
    ] = Path("var/keys/identity.key")


class WebSettings(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    session_hours: Annotated[float, Field(gt=0, le=24)] = 10
    secure_cookie: Annotated[
        bool, Field(description="Send the session cookie over HTTPS only (behind a TLS proxy)")
    ] = False
    origins: Annotated[
        tuple[str, ...], Field(description="Other origins the page may be served from, e.g. https://calls.example")
    ] = ()
    log_in_failures: Annotated[
        int, Field(ge=1, le=1000, description="Wrong passwords for one name from one address before it must wait")
    ] = 8
    log_in_window_seconds: Annotated[float, Field(gt=0, description="The time over which they are counted")] = 900
    body_limit_bytes: Annotated[int, Field(ge=1024, description="Largest request that is not a file")] = 262_144
    upload_limit_bytes: Annotated[int, Field(ge=1024, description="Largest placement file")] = 64_000_000
    metrics_token: Annotated[
        SecretStr | None, Field(description="Bearer token of the Prometheus server; none: administrators only")
    ] = None
    key_file: Annotated[
        Path, Field(description="Key of a running server for commands on the same machine; readable by its owner only")
    ] = Path("var/serve.key")


class ClientSettings(Section):
    """A bank: how its files read and what its calls carry."""

    name: str
    caller_id: str | None = None
    sop_order: tuple[str, ...] = ("workplace", "mobile", "home", "relative", "emergency")
    columns: Annotated[dict[str, str], Field(description="Our field → the header in the client's files")] = {}
    default_region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "CN"
    file_columns: Annotated[
        dict[Literal["payments", "update", "recall", "history"], dict[str, str]],
        Field(description="The same for the files that come later: kind → our field → the header in it"),
    ] = {}
    result_codes: Annotated[
        dict[str, str], Field(description="Outcome → the client's own action code in result files")
    ] = {}


class VaultSettings(Section):
    """Keys and the shelf of sealed recordings."""

    master_key: Annotated[
        str,
        Field(
            pattern=r"^(file|env|command|kms):.+",
            description="Where the master keys are: file:PATH, env:NAME, command:ARGV (prints them) or "
            "kms:ARGV (wraps and unwraps itself, the key never comes here)",
        ),
    ] = "file:var/keys/master.json"
    signing_key: Annotated[
        str,
        Field(pattern=r"^(file|env|command):.+", description="Where the Ed25519 key that signs manifests and heads is"),
    ] = "file:var/keys/signing.json"
    chunk_bytes: Annotated[int, Field(ge=4096, le=4_194_304, description="Sound encrypted in one piece")] = 65_536
    bucket: Annotated[str | None, Field(description="S3 bucket of the shelf; none: recording.shelf on this disk")] = (
        None
    )
    prefix: Annotated[str, Field(description="Folder inside the bucket")] = ""
    endpoint: Annotated[str | None, Field(description="Address of an S3-compatible server; none: AWS")] = None
    region: str = "us-east-1"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    state: Annotated[Path, Field(description="Manifest chain and audit heads of this node; a local disk")] = Path(
        "var/proof"
    )
    node: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Name of this node's chain")] = "node"
    keep_tapes: Annotated[bool, Field(description="Keep the raw tape after its seal was verified")] = False
    listening_copy: Annotated[
        Literal["always", "masked", "never"],
        Field(
            description="An Opus copy with masked stretches silent: of every call (it takes six times the processor "
            "of all the rest), where something is masked, or not at all"
        ),
    ] = "masked"
    dtmf: Annotated[
        Literal["mask", "count", "keep"],
        Field(description="Keys pressed, in the manifest: times with the digit masked, only how many, or as pressed"),
    ] = "mask"
    anchor_file: Annotated[
        Path | None, Field(description="Signed heads are appended here too; another disk or host's mount")
    ] = None
    anchor_command: Annotated[
        str | None, Field(description="Run with each signed head on its input: a time stamper, a mail, a ticket")
    ] = None
    workers: Annotated[int, Field(ge=1, le=64, description="Processes that seal")] = 1
    anchor_minutes: Annotated[int, Field(ge=1, le=1440, description="How often the chains' heads are anchored")] = 60


class RetentionSettings(Section):
    """How long a recording is kept. The longest of policy and contract holds; neither shortens the other."""

    policy_days: Annotated[
        int, Field(ge=0, description="The law's or the house's figure (cn-cards-2011: at least 2 years)")
    ] = 730
    contract_days: Annotated[dict[str, int], Field(description="Client → days its contract asks for")] = {}

    @field_validator("contract_days")
    @classmethod
    def _days_are_counts(cls, days: dict[str, int]) -> dict[str, int]:
        if any(figure < 0 for figure in days.values()):
            raise ValueError("a contract's days are below zero")
        return days


class BillSettings(Section):
    """How the carrier's bill reads. ``columns``: our field → the header in the bill."""

    columns: Annotated[
        dict[Literal["started_at", "started_time", "callee", "seconds", "caller", "answered", "reference"], str],
        Field(
            description="started_at, callee and seconds are needed; started_time where the time of day has a column "
            "of its own; answered and reference help"
        ),
    ] = {"started_at": "started_at", "callee": "callee", "seconds": "seconds"}
    encoding: Annotated[
        str, Field(description="auto: by its byte order mark, else UTF-8, else GB 18030; or a codec's name")
    ] = "auto"
    delimiter: Annotated[
        str, Field(pattern=r"^(auto|.)$", description="auto: whichever of , ; tab | gives a line with all columns")
    ] = "auto"
    timezone: Annotated[str, Field(description="Of times that carry no offset of their own")] = "Asia/Shanghai"
    time_format: Annotated[str | None, Field(description="strptime pattern; none: ISO 8601")] = None
    duration: Annotated[
        Literal["seconds", "clock", "minutes"], Field(description="90; 00:01:30; 2 (minutes begun)")
    ] = "seconds"
    rounding_seconds: Annotated[int, Field(ge=1, le=3600, description="1, 6 or 60: durations are rounded up to it")] = 1
    first_seconds: Annotated[
        int, Field(ge=0, le=3600, description="The least that is billed: 6+6 is first 6, rounding 6; 60+6 is 60, 6")
    ] = 0
    billed_from_seconds: Annotated[float, Field(ge=0, le=600, description="A shorter talk need not be on the bill")] = (
        1.0
    )
    prefixes: Annotated[
        tuple[str, ...], Field(description="Route codes the carrier writes before a number, such as 9977")
    ] = ()
    number_format: Annotated[
        Literal["auto", "e164", "digits", "national"],
        Field(description="e164: +86138…; digits: 86138…; national: 0138… or 138…; auto: any of them"),
    ] = "auto"
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="Where national numbers belong")] = "CN"
    clock_tolerance_seconds: Annotated[
        int, Field(ge=0, le=3600, description="The carrier's clock may differ by it")
    ] = 60
    duration_tolerance_seconds: Annotated[int, Field(ge=0, le=600)] = 3


class WorkflowSettings(Section):
    """Figures of the SOP that a client or a site may set; the defaults are the SOP's."""

    promise_days: Annotated[int, Field(ge=1, le=31, description="A promise must be paid within so many days")] = 3
    promise_shrink_days: Annotated[
        int,
        Field(
            ge=0, le=31, description="Days a promise's window loses for each broken or replaced one; at least 1 is left"
        ),
    ] = 1
    promise_grace_days: Annotated[int, Field(ge=0, le=14, description="Days a payment may take to be posted")] = 1
    promise_kept_share: Annotated[
        Decimal, Field(gt=0, le=1, description="Share of the promised amount that counts as kept")
    ] = Decimal(1)
    funding_days: Annotated[int, Field(ge=1, le=31, description="Raising funds: the date at most so far out")] = 7
    silent_days: Annotated[int, Field(ge=1, le=30, description="Lost contact: silent on so many days …")] = 3
    silent_dayparts: Annotated[int, Field(ge=1, le=4, description="… and in so many parts of each")] = 3
    collector_rules: Annotated[
        str, Field(min_length=1, max_length=64, description="Version of the collectors' rules a training must name")
    ] = "2026-1"
    warn_hours: Annotated[
        int, Field(ge=0, le=24, description="People are told so long before a window of days closes; 0: never")
    ] = 4
    call_back_minutes: Annotated[
        int, Field(ge=1, le=240, description="An agreed call-back is late after so many minutes: then anybody calls")
    ] = 15
    registry_allowed: Annotated[bool, Field(description="Household-registry checks may be asked for")] = False


class FloorSettings(Section):
    """Agents, and how predictive campaigns are paced (docs/floor.md)."""

    patience_seconds: Annotated[
        float, Field(gt=0, le=2, description="An answered customer waits so long for an agent, then hears the message")
    ] = 2.0
    abandonment_message: Annotated[
        Path | None,
        Field(
            description="What the customer hears when nobody is free, with the company's name: a mono sound file;"
            " none: the sample, of an invented company"
        ),
    ] = None
    abandonment_target: Annotated[
        float, Field(ge=0.0001, le=0.03, description="Share of answered calls a predictive campaign may abandon")
    ] = 0.01
    abandonment_limit: Annotated[
        float, Field(ge=0, le=0.03, description="The same over 30 days: beyond it one call per ready agent")
    ] = 0.03
    lockout_hours: Annotated[
        float, Field(ge=0, le=720, description="An abandoned number and person are not called again for so long")
    ] = 72.0
    wrap_up_seconds: Annotated[
        float, Field(ge=0, le=3600, description="Longest wrap-up; then the outcome is the team leader's; 0: no limit")
    ] = 180.0
    preview_seconds: Annotated[float, Field(gt=0, le=110, description="An offered case is accepted or skipped in")] = (
        60.0
    )
    pause_reasons: Annotated[tuple[str, ...], Field(min_length=1, description="Reason codes of a pause")] = (
        "break",
        "meal",
        "meeting",
        "training",
        "technical",
    )
    pace_log: Annotated[
        Path | None, Field(description="Folder of pacing decisions kept for replay; none: not kept")
    ] = None
    pace_log_bytes: Annotated[int, Field(ge=100_000, description="Size of one campaign's newest decisions file")] = (
        20_000_000
    )


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix="ONRECORD_", env_nested_delimiter="__", extra="forbid", frozen=True, toml_file="onrecord.toml"
    )

    timezone: Annotated[str, Field(description="The house's own time zone, for reports")] = "Asia/Shanghai"
    policy_sets: Annotated[tuple[str, ...], Field(description="Rule sets in force; the strictest figure wins")] = (
        "cn-gbt45251-2025",
        "cn-cba-2026",
        "cn-carrier",
    )
    calendar_file: Annotated[
        Path | None,
        Field(description="TOML with a new year's holidays and make-up days, ahead of the library (docs/workflow.md)"),
    ] = None
    sip: SipSettings = SipSettings()
    trunks: tuple[TrunkSettings, ...] = ()
    desks: tuple[DeskSettings, ...] = ()
    recording: RecordingSettings = RecordingSettings()
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    workflow: WorkflowSettings = WorkflowSettings()
    clients: tuple[ClientSettings, ...] = ()
    vault: VaultSettings = VaultSettings()
    retention: RetentionSettings = RetentionSettings()
    bill: BillSettings = BillSettings()
    floor: FloorSettings = FloorSettings()

    @field_validator("trunks")
    @classmethod
    def _names_are_unique(cls, trunks: tuple[TrunkSettings, ...]) -> tuple[TrunkSettings, ...]:
        names = [trunk.name for trunk in trunks]
        if len(set(names)) != len(names):
            raise ValueError("two trunks have the same name")
        return trunks

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get("ONRECORD_CONFIG", "onrecord.toml")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=Path(file))


def load_settings(**overrides: Any) -> Settings:
    """Read the tree once. Raises ``BadSetting`` that names the field, its shape and the remedy."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadSetting(
            first["msg"],
            field=".".join(str(part) for part in first["loc"]),
            shape=describe_shape(first["input"]),
            remedy="correct it in onrecord.toml or in the environment",
        ) from None


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine itself (127.0.0.0/8, ::1, localhost)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
