"""The express lane of a plain bridged call: what ninety-nine packets in a hundred need, and nothing else.

A lane leads from one leg to its peer while packets come as expected: from the latched source, next sequence number, next
timestamp, same SSRC, type and length, one of the two legs taped, nobody mixed in, tapped or playing. The first packet
that is not as expected closes it and goes the whole way (``Leg.take``), which opens it again when all is plain. So does
every command that names one of the legs.

Law 2 (taped before heard) is the order of the lines in ``serve``.

Version, type, sequence number and timestamp are one 64-bit number here: expected, and rewritten, by one addition. A lane
ends (``room``) before any of its fields would run over into the next.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING

from dialer.media.buffer import AT, BUFFER, CHECKED, PACKETS, PAYLOAD, RECORDS, ROOM
from dialer.media.rtp import HEADER_LENGTH
from recording.g711 import TRANSCODE
from recording.tape_format import Direction

if TYPE_CHECKING:
    from dialer.media.leg import Leg
    from recording.tape_writer import TapeWriter

HEAD = struct.Struct(">QI")  # version to timestamp | SSRC
_NEXT_SEQ = 1 << 32
_SAMPLE_NS = 125_000
_LEAST = 16  # packets a lane must have before it to be worth its opening
_STEADY_NS = 0x8000 * _SAMPLE_NS


class Lane:
    """From ``leg`` to ``peer``. ``settle`` brings what was counted here into both legs."""

    __slots__ = (
        "checked",
        "count",
        "descriptor",
        "direction",
        "expected",
        "heard_ns",
        "inward",
        "jitter_ns",
        "lanes",
        "leg",
        "length",
        "out_ssrc",
        "packet",
        "peer",
        "receive",
        "record",
        "room",
        "send",
        "settled",
        "shift",
        "size",
        "ssrc",
        "step",
        "step_ns",
        "table",
        "tape",
        "until",
    )

    def __init__(self, leg: Leg, peer: Leg, tape: TapeWriter, head: int, size: int, lanes: dict[int, Lane]) -> None:
        """``head`` is that of the packet just forwarded, with ``size`` bytes of sound."""
        assert leg.line is not None
        assert peer.line is not None
        self.leg, self.peer, self.tape = leg, peer, tape
        self.lanes = lanes
        self.descriptor = leg.line.fileno()
        self.receive: Callable[[memoryview], int] = leg.line.recv_into
        self.send: Callable[[memoryview], int] = peer.line.send
        self.inward = tape is leg.tape
        self.direction = int(Direction.FAR if self.inward else Direction.NEAR)
        self.table = TRANSCODE[leg.law, peer.law] if leg.law != peer.law else None
        self.size = size
        self.length = HEADER_LENGTH + size
        self.packet, self.checked = PACKETS[self.length], CHECKED[self.length]
        self.record = RECORDS[self.length]
        self.step = _NEXT_SEQ + size
        self.step_ns = size * _SAMPLE_NS
        self.ssrc, self.out_ssrc = leg.ssrc, peer.out_ssrc
        sent = (
            0x80 << 56 | peer.payload_type << 48 | (peer.out_seq - 1 & 0xFFFF) << 32 | peer.out_ts - size & 0xFFFFFFFF
        )
        plain = head & ~(0x80 << 48)  # the first packet of a talk spurt carries the marker, the next does not
        self.expected = plain + self.step
        self.shift = sent - plain
        self.room = min(_packets_left(plain, size), _packets_left(sent, size))
        self.count = self.settled = 0
        self.heard_ns = leg.heard_ns
        self.jitter_ns = leg.jitter * _SAMPLE_NS
        self.until = peer.out_until

    def settle(self) -> None:
        """Both legs as if each packet had gone the whole way."""
        new = self.count - self.settled
        if not new:
            return
        self.settled = self.count
        last = self.expected - self.step
        leg, peer, heard = self.leg, self.peer, self.heard_ns
        leg.received += new
        leg.forwarded += new
        leg.high_seq = last >> 32 & 0xFFFF
        leg.transit = heard // _SAMPLE_NS - (last & 0xFFFFFFFF)
        leg.jitter = self.jitter_ns / _SAMPLE_NS
        leg.heard_ns = leg.last_audio_ns = heard
        peer.sent += new
        peer.run += new
        out = last + self.shift
        peer.out_seq = (out >> 32) + 1 & 0xFFFF
        peer.out_ts = (out & 0xFFFFFFFF) + self.size & 0xFFFFFFFF
        peer.out_ns = heard
        peer.fed_until(self.until)

    def close(self) -> None:
        self.settle()
        self.lanes.pop(self.descriptor, None)
        self.leg.lane = None
        self.peer.fed_by = None


def may_open(head: int, out_seq: int, out_ts: int, size: int) -> bool:
    """Whether neither numbering runs over soon; seldom false: every 22 minutes for a third of a second."""
    out = out_seq << 32 | out_ts
    return min(_packets_left(head, size), _packets_left(out, size)) >= _LEAST


def _packets_left(head: int, size: int) -> int:
    """Packets that can follow before the sequence number or the timestamp begins anew."""
    return min(0xFFFF - (head >> 32 & 0xFFFF), (0xFFFFFFFF - (head & 0xFFFFFFFF)) // size)


def serve(ready: list[tuple[int, int]], lanes: dict[int, Lane], handlers: dict[int, Callable[[], None]]) -> None:
    """Everything that waits in ``ready``'s descriptors, one packet each. The hot path of the product."""
    now = monotonic_ns()
    unpack, pack = HEAD.unpack_from, HEAD.pack_into
    for descriptor, _events in ready:
        lane = lanes.get(descriptor)
        if lane is None:
            handler = handlers.get(descriptor)
            if handler is not None:
                handler()
            continue
        try:
            length = lane.receive(ROOM)
        except OSError as error:
            lane.leg.not_received(error)
            continue
        head, ssrc = unpack(BUFFER, AT)
        if head != lane.expected or length != lane.length or ssrc != lane.ssrc:
            lane.leg.leave_lane(length)
            continue
        try:
            if lane.inward:
                lane.tape.append_cut(BUFFER, lane.checked, lane.record, lane.direction, now)
                pack(BUFFER, AT, head + lane.shift, lane.out_ssrc)
                if lane.table is not None:
                    _translate(lane)
            else:
                pack(BUFFER, AT, head + lane.shift, lane.out_ssrc)
                if lane.table is not None:
                    _translate(lane)
                lane.tape.append_cut(BUFFER, lane.checked, lane.record, lane.direction, now)
        except OSError as error:
            (lane.leg if lane.inward else lane.peer).tape_failed(error)
            continue
        lane.expected = head + lane.step
        lane.count = count = lane.count + 1
        moved = now - lane.heard_ns - lane.step_ns
        lane.heard_ns = now
        if moved < 0:
            moved = -moved
        if moved < _STEADY_NS:
            lane.jitter_ns += (moved - lane.jitter_ns) * 0.0625
        until = lane.until
        lane.until = (until if until > now else now) + lane.step_ns
        try:
            lane.send(lane.packet)
        except OSError:
            _send_again(lane)
        if count >= lane.room:
            lane.close()
        if lane.tape.position > lane.tape.wants_more:
            lane.leg.relay.grow(lane.tape)


def _send_again(lane: Lane) -> None:
    if not lane.peer.send_again(lane.length):
        lane.peer.sent -= 1
        lane.leg.forwarded -= 1


def _translate(lane: Lane) -> None:
    end = PAYLOAD + lane.size
    assert lane.table is not None
    BUFFER[PAYLOAD:end] = BUFFER[PAYLOAD:end].translate(lane.table)
