"""What control may ask of the legs, verb by verb. A verb that cannot be carried out changes nothing and says why."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from time import monotonic_ns
from typing import Any

from config.errors import OnrecordError
from dialer.media.buffer import BUFFER, VIEW
from dialer.media.commands import MAX_MESSAGE, pack
from dialer.media.leg import Desk, Leg
from dialer.media.mixing import Mixer, parts_of
from dialer.media.ports import bind_media
from dialer.media.prompts import PromptShelf
from recording.tape_disk import TapeDisk
from recording.tape_writer import TapeWriter

_LEGS_A_MESSAGE = 300
_NAMING = ("leg", "customer", "agent")


class CannotDo(Exception):
    """A command that cannot be carried out; goes back to control as it is."""

    def __init__(self, problem: str, remedy: str, field: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.field = field


class Verbs:
    """The legs of one relay. ``streams``: those that hear something, the tick's work; ``mixers``: conferences."""

    def __init__(self, options: argparse.Namespace, desk: Desk, disk: TapeDisk) -> None:
        self.legs: dict[str, Leg] = {}
        self.streams: list[Leg] = []
        self.mixers: list[Mixer] = []
        self._options = options
        self._desk = desk
        self._disk = disk
        self._shelf = PromptShelf()
        self._next_port = options.rtp_ports[0]
        self._verbs: dict[str, Callable[[dict[str, Any]], Any]] = {
            "attach": lambda _facts: {"pid": os.getpid()},
            "open_leg": self._open_leg,
            "set_remote": self._set_remote,
            "expect_audio": self._expect_audio,
            "patch": self._patch,
            "unpatch": self._unpatch,
            "confer": self._confer,
            "play": self._play,
            "stop_prompt": self._stop_prompt,
            "send_dtmf": self._send_dtmf,
            "mark": self._mark,
            "counters": lambda facts: self.leg(facts).counters(),
            "list_legs": self._list_legs,
            "tap": self._tap,
        }

    def carry_out(self, message: dict[str, Any]) -> Any:
        """Raises CannotDo. Whatever the verb changes, the next packets of the legs it names go the whole way."""
        for key in _NAMING:
            if (named := self.legs.get(str(message.get(key)))) is not None:
                named.leave_lanes()
        verb = message["do"]
        if verb not in self._verbs:
            self.leg(message)
            raise CannotDo("the verb is unknown", "use a client of the same version", "do")
        return self._verbs[verb](message) or {}

    def forget(self, leg: Leg) -> None:
        """The leg is closed."""
        self.forget_mixers()
        del self.legs[leg.name]
        if leg.listening:
            self.streams.remove(leg)

    def mix(self, now: int) -> None:
        for mixer in self.mixers:
            if now >= mixer.due:
                mixer.mix(now)

    def forget_mixers(self) -> None:
        self.mixers = [mixer for mixer in self.mixers if mixer.alive]

    def leg(self, facts: dict[str, Any], key: str = "leg") -> Leg:
        leg = self.legs.get(str(facts.get(key)))
        if leg is None:
            raise CannotDo("the relay has no such leg", "open it first; it may have been closed", key)
        return leg

    def _open_leg(self, facts: dict[str, Any]) -> dict[str, Any]:
        name, kind, path = str(facts["leg"]), str(facts["kind"]), facts["tape"]
        if name in self.legs:
            raise CannotDo("the leg is open already", "use another name", "leg")
        if (kind == "customer") != (path is not None):
            raise CannotDo("a customer's leg needs a tape and a desk has none", "arm a tape first", "tape")
        tape = None
        if path is not None:
            try:
                tape = TapeWriter(Path(path), chunk_bytes=self._options.chunk_bytes)
            except (OSError, OnrecordError) as error:
                raise CannotDo("the tape cannot be opened", f"arm it anew ({error})", "tape") from error
        try:
            sock, self._next_port = bind_media(str(facts["bind_host"]), self._options.rtp_ports, self._next_port)
        except OSError as error:
            if tape is not None:
                os.close(tape.descriptor)
            raise CannotDo("no media port is free", f"widen sip.rtp_ports ({error.strerror})", "bind_host") from error
        leg = Leg(name, kind, sock, tape, self._desk)
        self.legs[name] = leg
        if tape is not None:
            self._disk.add(tape)
            leg.try_mark("opened", monotonic_ns(), leg=name)
        host, port = sock.getsockname()[:2]
        return {"host": host, "port": port}

    def _set_remote(self, facts: dict[str, Any]) -> None:
        leg = self.leg(facts)
        if leg.troubled:
            raise CannotDo("the leg's tape is in trouble", "end the leg", "leg")
        now = monotonic_ns()
        held = leg.target is not None and leg.receive and not facts["receive"]
        resumed = leg.target is not None and not leg.receive and bool(facts["receive"])
        # RFC 2543's hold names no address: whoever was heard stays the one to hear, and nobody new is shut out by it.
        if named := not ip_address(facts["host"]).is_unspecified:
            leg.expect(facts["host"], facts["port"], tuple(facts["plausible"]))
        leg.law = facts["codec"]
        leg.payload_type = facts["payload_type"]
        leg.event_type = facts["telephone_event_pt"]
        leg.step, leg.step_ns = facts["ptime"] * 8, facts["ptime"] * 1_000_000
        leg.send, leg.receive = bool(facts["send"]), bool(facts["receive"])
        types: dict[str, str] = {str(leg.payload_type): leg.law}
        if leg.event_type is not None:
            types[str(leg.event_type)] = "telephone-event"
        leg.try_mark("map", now, types=types, ptime=facts["ptime"], send=leg.send, receive=leg.receive)
        if held or resumed:
            leg.try_mark("hold", now, on=held)
        if named and not leg.listening:
            # Early media that came before its description waited in the socket; it is taken now, from its first packet.
            leg.listening = True
            self._desk.watch(leg.sock, leg.on_open_socket)
            leg.heard_ns = now
            self.streams.append(leg)

    def _expect_audio(self, facts: dict[str, Any]) -> None:
        self.leg(facts).wants_first = True

    def _patch(self, facts: dict[str, Any]) -> None:
        customer, agent = self.leg(facts, "customer"), self.leg(facts, "agent")
        if customer.tape is None or customer.troubled:
            raise CannotDo("nothing is heard without a working tape", "patch a taped leg", "customer")
        if agent.tape is not None:
            raise CannotDo("two taped legs cannot be patched", "patch a desk's leg to a customer's", "agent")
        customer.part()
        agent.part()
        self.forget_mixers()
        customer.peer, agent.peer = agent, customer
        customer.try_mark("patched", monotonic_ns(), agent=agent.name)

    def _unpatch(self, facts: dict[str, Any]) -> None:
        leg = self.leg(facts)
        for one in (leg, leg.peer):
            if isinstance(one, Leg) and one.peer is not None:
                one.try_mark("unpatched", monotonic_ns(), agent=one.peer.name)
        leg.part()
        self.forget_mixers()

    def _confer(self, facts: dict[str, Any]) -> None:
        """A customer and several desks, each in its part; see ``dialer.media.mixing``."""
        customer = self.leg(facts, "customer")
        if customer.tape is None or customer.troubled:
            raise CannotDo("nothing is heard without a working tape", "confer around a taped leg", "customer")
        try:
            parts = parts_of(facts["parts"].items())
        except ValueError:
            raise CannotDo("a part is unknown", "use talks, listens, whispers or aside", "parts") from None
        desks = {name: (self.leg({"leg": name}), part) for name, part in parts.items()}
        if not desks or any(leg.tape is not None for leg, _part in desks.values()):
            raise CannotDo("a conference is one customer and desks", "name the desks' legs", "parts")
        mixer = next((one for one in self.mixers if one.customer is customer), None)
        if mixer is None:
            mixer = Mixer(customer, BUFFER, VIEW)
            self.mixers.append(mixer)
        mixer.arrange(desks, monotonic_ns())
        self.forget_mixers()

    def _play(self, facts: dict[str, Any]) -> None:
        leg = self.leg(facts)
        if leg.troubled:
            raise CannotDo("the leg's tape is in trouble", "end the leg", "leg")
        try:
            prompt = self._shelf.load(str(facts["prompt"]), facts["pcma"], facts["pcmu"])
        except OSError as error:
            raise CannotDo("the prompt cannot be read", f"encode it again ({error.strerror})", "prompt") from error
        leg.play(prompt, monotonic_ns())

    def _stop_prompt(self, facts: dict[str, Any]) -> None:
        self.leg(facts).end_prompt(completed=False)

    def _send_dtmf(self, facts: dict[str, Any]) -> None:
        leg = self.leg(facts)
        if leg.event_type is None:
            raise CannotDo("the remote side takes no telephone events", "offer telephone-event", "leg")
        try:
            leg.dial(str(facts["digits"]), monotonic_ns())
        except ValueError:
            raise CannotDo("these are no DTMF digits", "use 0-9 * # A-D", "digits") from None

    def _mark(self, facts: dict[str, Any]) -> None:
        self.leg(facts).try_mark(str(facts["mark"]), monotonic_ns(), **facts["facts"])

    def _tap(self, facts: dict[str, Any]) -> None:
        leg = self.leg(facts)
        leg.tap = None if facts["path"] is None else bytes.fromhex(facts["path"])

    def _list_legs(self, facts: dict[str, Any]) -> dict[str, Any]:
        names = sorted(name for name in self.legs if name > str(facts["after"]))
        shown, size = [], 0
        for name in names[:_LEGS_A_MESSAGE]:
            leg = self.legs[name]
            host, port = leg.sock.getsockname()[:2]
            one = {
                "leg": name,
                "kind": leg.kind,
                "host": host,
                "port": port,
                "tape": None if leg.tape is None else str(leg.tape.path),
                "patched": None if leg.peer is None else leg.peer.name,
            }
            size += len(pack(one))
            if size > MAX_MESSAGE - 1000:
                break
            shown.append(one)
        return {"legs": shown, "more": len(shown) < len(names)}
