"""The default engine on real SIP and RTP, with the simulated carrier (an independent stack) as its far side."""

from __future__ import annotations

import json
from pathlib import Path

from config.clock import SystemClock
from config.settings import RecordingSettings, Settings, SipSettings, TrunkSettings
from dialer.call import DeskOrder
from dialer.engines.sip.engine import SipTrunkEngine
from dialer.media.client import MediaRelay
from dialer.simulated.personas import Person, Persona, write_person
from dialer.simulated.processes import SimulatedProcess, start_carrier, start_phones
from tests.contract.engine_world import Behaviour, World

PEOPLE: dict[Behaviour, Person] = {
    Behaviour.ANSWERS: Person(persona=Persona.CARDHOLDER, answer_after=0.2, waits_for_bye=True),
    Behaviour.ANSWERS_AND_LEAVES: Person(persona=Persona.HANGS_UP_EARLY, answer_after=0.2),
    Behaviour.RINGS_OUT: Person(persona=Persona.RINGS_OUT),
    Behaviour.BUSY: Person(persona=Persona.BUSY),
    Behaviour.UNALLOCATED: Person(persona=Persona.NOT_FOUND),
    Behaviour.ANNOUNCES: Person(persona=Persona.ANNOUNCEMENT, announced_for=1.0, status=480),
}


class SipWorld(World):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._directory = directory
        self._processes: list[SimulatedProcess] = []

    async def open(self, *, max_legs: int = 50) -> None:
        numbers = {behaviour: f"+86138000000{n:02d}" for n, behaviour in enumerate(Behaviour)}
        self._numbers = numbers
        listing = self._directory.parent / "directory.json"
        listing.write_text(json.dumps({numbers[b]: write_person(PEOPLE[b]) for b in Behaviour}), encoding="utf-8")
        carrier = await start_carrier(listing)
        phones = await start_phones(1)
        self._processes = [carrier, phones]
        self._desk_uri = phones.said["uris"][0]
        settings = Settings(
            sip=SipSettings(
                bind_host="127.0.0.1", bind_port=0, rtp_ports=(0, 0), max_legs=max_legs, t1_milliseconds=200
            ),
            trunks=(TrunkSettings(name="carrier", host=carrier.said["host"], port=carrier.said["port"], cps=100),),
            recording=RecordingSettings(directory=self._directory),
        )
        relay = MediaRelay.from_settings(settings)
        self.engine = SipTrunkEngine(settings, SystemClock(), relay)
        await self._begin()

    def callee(self, behaviour: Behaviour) -> str:
        return self._numbers[behaviour]

    def desk(self) -> DeskOrder:
        return DeskOrder(desk="desk-1", uri=self._desk_uri)

    async def close(self) -> None:
        await self._finish()
        for process in self._processes:
            await process.stop()
