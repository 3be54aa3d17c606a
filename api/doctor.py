"""onrecord doctor: is this machine fit to place calls? Each finding says what to do."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from config.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """``ok`` False means that something will not work; ``note`` says what was seen, ``remedy`` what to do."""

    name: str
    ok: bool
    note: str
    remedy: str | None = None


def findings(settings: Settings) -> list[Finding]:
    """Everything that can be looked at without starting anything. The store is asked by the command itself."""
    return [
        _disk("tapes", settings.recording.directory, settings.recording.low_watermark_bytes),
        _disk("shelf", settings.recording.shelf, settings.recording.low_watermark_bytes),
        _port("web", settings.web.host, settings.web.port, "tcp"),
        _port("sip", settings.sip.bind_host, settings.sip.bind_port, "udp"),
        _rtp(settings.sip.rtp_ports),
        _trunks(settings),
        _messages(settings),
    ]


def _disk(name: str, folder: Path, least: int) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".onrecord-doctor"
        probe.write_bytes(b"onrecord")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(
            name=name, ok=False, note=f"cannot be written ({error.strerror})", remedy="give the account the folder"
        )
    note = f"{free / 1e9:.1f} GB free"
    if free < least:
        return Finding(name=name, ok=False, note=note, remedy=f"make room: calls stop below {least / 1e9:.1f} GB")
    return Finding(name=name, ok=True, note=note)


def _port(name: str, host: str, port: int, kind: Literal["tcp", "udp"]) -> Finding:
    if port == 0:
        return Finding(name=name, ok=True, note="any free port")
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as probe:
            if kind == "tcp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return Finding(
            name=name,
            ok=False,
            note=f"{kind} port {port} cannot be taken ({error.strerror})",
            remedy="another program (or onrecord serve itself) has it, or the address is not of this machine",
        )
    return Finding(name=name, ok=True, note=f"{kind} port {port} is free")


def _rtp(ports: tuple[int, int]) -> Finding:
    first, last = ports
    legs = (last - first + 1) // 2
    if not 1024 <= first < last <= 65535:
        return Finding(name="rtp", ok=False, note="the port range is not one", remedy="set sip.rtp_ports, first < last")
    return Finding(name="rtp", ok=True, note=f"room for {legs} legs")


def _trunks(settings: Settings) -> Finding:
    if not settings.trunks:
        return Finding(
            name="trunks", ok=True, note="none: onrecord demo brings its own", remedy="add [[trunks]] to onrecord.toml"
        )
    channels = sum(trunk.channels for trunk in settings.trunks)
    return Finding(name="trunks", ok=True, note=f"{len(settings.trunks)} with {channels} channels")


def _messages(settings: Settings) -> Finding:
    """Real people must not hear the sample's invented company."""
    missing = [] if settings.floor.abandonment_message else ["floor.abandonment_message"]
    if settings.recording.announcement and settings.recording.announcement_message is None:
        missing.append("recording.announcement_message")
    if settings.trunks and missing:
        return Finding(
            name="messages",
            ok=False,
            note="people would hear the sample messages, of an invented company",
            remedy=f"record your own with the company's name and set {' and '.join(missing)}",
        )
    return Finding(
        name="messages", ok=True, note="the house's own" if settings.trunks else "not needed without a trunk"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingLine:
    name: str
    variable: str
    value: Any
    description: str


def setting_lines(settings: Settings) -> list[SettingLine]:
    """Every setting with its environment variable, its value (secrets hidden) and what it means."""
    return list(_lines(settings, type(settings), ()))


def _lines(value: Any, model: type[BaseModel], path: tuple[str, ...]) -> Iterator[SettingLine]:
    for name, field in model.model_fields.items():
        here = (*path, name)
        kept = getattr(value, name)
        if isinstance(kept, BaseModel):
            yield from _lines(kept, type(kept), here)
        elif isinstance(kept, tuple) and kept and isinstance(kept[0], BaseModel):
            for place, one in enumerate(kept):
                yield from _lines(one, type(one), (*here, str(place)))
        else:
            yield SettingLine(
                name=".".join(here),
                variable="ONRECORD_" + "__".join(part.upper() for part in here),
                value=_shown(kept),
                description=_described(field),
            )


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "(hidden)"
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _described(field: FieldInfo) -> str:
    if field.description:
        return field.description
    choices = get_args(field.annotation)
    return "one of " + ", ".join(map(str, choices)) if choices and all(isinstance(one, str) for one in choices) else ""
