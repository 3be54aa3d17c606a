"""Retention: the longest date holds, a hold overrides all, and what goes is gone and proven gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import RetentionSettings
from recording.keys import KeyDestroyed
from recording.retention import (
    KeptRecording,
    NotYetDue,
    RetentionLowered,
    UnderLegalHold,
    dispose,
    due,
    keep_until,
    plan,
    raise_keep_until,
)
from recording.seal_job import open_object, seal_call
from recording.signing import read_document
from tests.sealing import STARTED, order_for, room_in, stereo

MADE = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = st.integers(0, 4000)
MOMENTS = st.integers(-2000, 8000).map(lambda days: MADE + timedelta(days=days))


@given(policy=DAYS, contract=DAYS, promised=st.none() | MOMENTS, client=st.sampled_from(["bank", "other"]))
def test_keep_until_is_never_below_policy_contract_or_promise(
    policy: int, contract: int, promised: datetime | None, client: str
) -> None:
    chosen = RetentionSettings(policy_days=policy, contract_days={"bank": contract})
    until = keep_until(MADE, client, chosen, promised)
    floors = [MADE + timedelta(days=policy)]
    floors += [MADE + timedelta(days=contract)] if client == "bank" else []
    floors += [promised] if promised else []
    assert until == max(floors)


@given(policy=DAYS, steps=st.lists(MOMENTS, max_size=8))
def test_whatever_is_asked_the_date_never_moves_back(policy: int, steps: list[datetime]) -> None:
    chosen, stored = RetentionSettings(policy_days=policy), None
    for wanted in steps:
        kept = KeptRecording(recording_id="r", case_id="c", client="bank", recorded_at=MADE, keep_until=stored)
        before = keep_until(MADE, "bank", chosen, stored)
        try:
            stored = raise_keep_until(kept, wanted, chosen)
        except RetentionLowered:
            assert wanted < before
        assert keep_until(MADE, "bank", chosen, stored) >= before


@given(now=MOMENTS, policy=DAYS, promised=st.none() | MOMENTS)
def test_a_hold_overrides_every_date(now: datetime, policy: int, promised: datetime | None) -> None:
    held = KeptRecording(
        recording_id="r", case_id="c", client="bank", recorded_at=MADE, keep_until=promised, legal_hold=True
    )
    assert not due(held, now, RetentionSettings(policy_days=policy))
    assert plan([held], now, RetentionSettings(policy_days=policy)).disposed == []


def test_the_plan_counts_what_goes_what_stays_and_what_is_next() -> None:
    def one(name: str, age: int, **more: object) -> KeptRecording:
        made = MADE - timedelta(days=age)
        return KeptRecording(recording_id=name, case_id="c", client="bank", recorded_at=made, **more)  # type: ignore[arg-type]  # the rows below

    report = plan(
        [one("old", 900), one("held", 900, legal_hold=True), one("young", 700), one("younger", 1)],
        MADE,
        RetentionSettings(),
    )
    assert [gone.recording_id for gone in report.disposed] == ["old"]
    assert (report.looked_at, report.kept, report.held) == (4, 3, 1)
    assert report.next_due == MADE + timedelta(days=30)


def test_disposal_destroys_the_sound_keeps_the_proof_and_can_be_run_again(tmp_path: Path) -> None:
    room = room_in(tmp_path)
    made = seal_call(order_for(tmp_path, stereo(0.3)), room)
    copy = room.shelf.get(made.objects[0].name)
    kept = KeptRecording(recording_id="rec_1", case_id="case_1", client="bank", recorded_at=STARTED)

    def go(which: KeptRecording, now: datetime) -> None:
        dispose(which, now, RetentionSettings(), actor="u", shelf=room.shelf, keys=room.keys, signing=room.signing)

    with pytest.raises(NotYetDue):
        go(kept, STARTED + timedelta(days=729))
    held = KeptRecording(recording_id="rec_1", case_id="case_1", client="bank", recorded_at=STARTED, legal_hold=True)
    with pytest.raises(UnderLegalHold):
        go(held, STARTED + timedelta(days=5000))
    assert room.shelf.exists(made.objects[0].name)
    for _ in range(2):
        go(kept, STARTED + timedelta(days=731))
    assert not any(room.shelf.exists(found.name) for found in made.objects)
    room.shelf.put(made.objects[0].name, copy)  # from some forgotten backup
    with pytest.raises(KeyDestroyed):
        open_object(room.shelf, room.keys, made.objects[0].name)
    record = read_document(room.shelf.get("disposals/rec_1.json"), room.signing.verifier())
    assert (record["manifest_sha256"], record["actor"]) == (made.manifest_sha256, "u")
    assert room.shelf.exists(made.manifest_name)
