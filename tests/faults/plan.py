"""The plan of a fault drive: who is called, how each behaves, and the settings its node runs with. One file for all processes."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from config.settings import (
    DeskSettings,
    RecordingSettings,
    Settings,
    SipSettings,
    StoreSettings,
    TrunkSettings,
    VaultSettings,
)

HOST = "127.0.0.1"
ODD_WAYS = ("plain", "one-way", "new-ssrc", "far-hold", "near-hold", "reinvite", "early", "hangs-up", "busy")


@dataclass(frozen=True, kw_only=True)
class Callee:
    """``way`` is one of ``ODD_WAYS``; ``seconds`` of talk."""

    number: str
    way: str
    rings: float
    seconds: float


@dataclass(kw_only=True)
class Plan:
    """What every process of a drive reads. Ports are filled in as their processes start."""

    agents: int
    callees: dict[str, Callee]
    trunk_port: int = 0
    sip_port: int = 0
    phones: list[str] = field(default_factory=list)

    @classmethod
    def imagine(cls, *, calls: int, agents: int, talk: tuple[float, float], seed: int) -> Plan:
        """Every way comes as often as any other, in an order drawn by ``seed``."""
        rng = random.Random(seed)
        ways = [ODD_WAYS[at % len(ODD_WAYS)] for at in range(calls)]
        rng.shuffle(ways)
        callees = [
            Callee(number=f"+86138001{at:05}", way=way, rings=rng.uniform(0.05, 0.4), seconds=rng.uniform(*talk))
            for at, way in enumerate(ways)
        ]
        return cls(agents=agents, callees={one.number: one for one in callees})

    def write(self, folder: Path) -> None:
        text = json.dumps({**asdict(self), "callees": [asdict(one) for one in self.callees.values()]})
        (folder / "plan.json").write_text(text)

    @classmethod
    def read(cls, folder: Path) -> Plan:
        raw: dict[str, Any] = json.loads((folder / "plan.json").read_text())
        callees = [Callee(**one) for one in raw.pop("callees")]
        return cls(**raw, callees={one.number: one for one in callees})

    def settings(self, folder: Path) -> Settings:
        return Settings(
            sip=SipSettings(
                bind_host=HOST, bind_port=self.sip_port, rtp_ports=(0, 0), journal=folder / "dialogs.journal"
            ),
            trunks=(
                TrunkSettings(name="far", host=HOST, port=self.trunk_port, channels=500, cps=50, options_seconds=0),
            ),
            desks=tuple(DeskSettings(name=f"desk-{at}", uri=uri) for at, uri in enumerate(self.phones, 1)),
            recording=RecordingSettings(directory=folder / "tapes", shelf=folder / "shelf", low_watermark_bytes=0),
            store=StoreSettings(url=f"sqlite+aiosqlite:///{folder / 'onrecord.db'}"),
            vault=VaultSettings(
                master_key=f"file:{folder}/keys/master.json",
                signing_key=f"file:{folder}/keys/signing.json",
                state=folder / "proof",
                keep_tapes=False,
            ),
        )
