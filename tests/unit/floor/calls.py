"""Calls in flight for tests that need no engine."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from case_store.network import HangupCause
from config.clock import Clock, SystemClock
from config.settings import RecordingSettings
from dialer.call import CallId, CallOrder, LegId
from dialer.events import LegEnded, Origin
from dialer.switchboard import CallInFlight
from recording.recorder import Recorder

_RECORDER = Recorder(RecordingSettings(directory=Path(mkdtemp(prefix="tapes-")), low_watermark_bytes=0), SystemClock())


def call_in_flight(name: str, clock: Clock) -> CallInFlight:
    """Placed now, for nobody in particular."""
    tape = _RECORDER.arm(f"call_{name}")
    order = CallOrder(call_id=CallId(f"call_{name}"), attempt_id="att", callee="+8613900000000", tape=tape)
    return CallInFlight(
        order=order,
        case_id="case",
        number_id="num",
        channel="mobile",
        masked="+86139****",
        leg=LegId(f"leg_{name}"),
        placed_mono=clock.monotonic(),
    )


def end_of(call: CallInFlight, clock: Clock, cause: HangupCause = HangupCause.NO_ANSWER) -> LegEnded:
    assert call.leg is not None
    return LegEnded(at=clock.now(), leg=call.leg, call_id=call.call_id, origin=Origin.FAR, cause=cause, sip_status=480)
