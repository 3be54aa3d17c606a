"""SIP status and Q.850 to one cause; when another trunk may be tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from case_store.network import HangupCause
from dialer.engines.sip.attempt import Next, after_failure
from dialer.engines.sip.causes import by_q850, failed, q850_of, reason_header, released


@pytest.mark.parametrize(
    ("status", "reasons", "cause", "q850"),
    [
        (486, [], HangupCause.BUSY, None),
        (480, ['Q.850;cause=19;text="no answer"'], HangupCause.NO_ANSWER, 19),
        (480, ["SIP;cause=480, Q.850 ;text=x; cause=20"], HangupCause.SUBSCRIBER_ABSENT, 20),
        (404, ["q.850;cause=1"], HangupCause.UNALLOCATED, 1),
        (503, ["Q.850;cause=17"], HangupCause.BUSY, 17),
        (486, ["Q.850;cause=16"], HangupCause.BUSY, 16),
        (484, [], HangupCause.INVALID_NUMBER, None),
        (699, [], HangupCause.BUSY, None),
        (606, [], HangupCause.INCOMPATIBLE, None),
        (699, ["Q.850;cause=1"], HangupCause.UNALLOCATED, 1),
        (580, [], HangupCause.NETWORK_OUT_OF_ORDER, None),
        (433, [], HangupCause.INTERWORKING, None),
        (500, ["Q.850;cause=999"], HangupCause.NETWORK_OUT_OF_ORDER, None),
    ],
)
def test_a_failure(status: int, reasons: list[str], cause: HangupCause, q850: int | None) -> None:
    release = failed(status, reasons)
    assert (release.cause, release.q850) == (cause, q850)


@pytest.mark.parametrize(
    ("status", "reasons", "rang", "cause"),
    [
        (487, [], True, HangupCause.NO_ANSWER),
        (408, [], True, HangupCause.NO_ANSWER),
        (487, [], False, HangupCause.INTERWORKING),
        (408, [], False, HangupCause.NO_USER_RESPONSE),
        (487, ["Q.850;cause=17"], True, HangupCause.BUSY),
        (486, [], True, HangupCause.BUSY),
    ],
)
def test_a_carrier_whose_own_patience_ends(status: int, reasons: list[str], rang: bool, cause: HangupCause) -> None:
    """A 487 nobody asked for is not our cancel: somebody's phone rang out, and that counts as tried."""
    assert failed(status, reasons, rang=rang).cause is cause


def test_a_bye() -> None:
    assert released([]).cause is HangupCause.NORMAL
    assert released(["Q.850;cause=31"]).cause is HangupCause.NORMAL
    assert released(["Q.850;cause=38"]).cause is HangupCause.NETWORK_OUT_OF_ORDER


def test_a_cause_inside_quotes_is_not_a_cause() -> None:
    assert q850_of(['SIP;cause=200;text="x, Q.850;cause=1"']) is None
    assert q850_of(['SIP;cause=200;text="a, b", Q.850;text="c;cause=9, d";cause=17']) == 17


@given(st.integers(0, 127))
def test_every_q850_cause_has_a_name(value: int) -> None:
    assert isinstance(by_q850(value), HangupCause)


@given(status=st.integers(300, 699), text=st.text(max_size=60))
def test_any_reason_text_is_survived(status: int, text: str) -> None:
    assert isinstance(failed(status, [text]).cause, HangupCause)


@given(st.sampled_from(list(HangupCause)))
def test_what_we_say_can_be_read(cause: HangupCause) -> None:
    assert q850_of([reason_header(cause)]) is not None


@given(status=st.none() | st.integers(300, 699), provisional=st.booleans(), rang=st.booleans())
def test_nobody_is_dialed_again_once_it_may_have_rung(status: int | None, provisional: bool, rang: bool) -> None:
    verdict = after_failure(status, provisional=provisional, rang=rang)
    if rang:
        assert verdict is Next.END
    elif status is None or 500 <= status <= 599 or (status == 408 and not provisional):
        assert verdict is Next.FAIL_OVER
    else:
        assert verdict is Next.END
