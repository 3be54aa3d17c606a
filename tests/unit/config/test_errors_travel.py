"""An error raised in a worker process arrives whole: kind, id, field, shape, remedy."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from config.errors import OnrecordError
from recording.key_source import KeyUnavailable
from recording.keys import load_master_keys


def test_an_error_survives_pickling() -> None:
    error = KeyUnavailable("is away", field="vault.master_key", shape="nothing", remedy="bring it back")
    again: OnrecordError = pickle.loads(pickle.dumps(error))
    assert type(again) is KeyUnavailable
    assert again.as_problem() == error.as_problem()
    assert str(again) == str(error)


def test_a_failing_job_does_not_break_the_pool_it_ran_in() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for _ in range(2):
            with pytest.raises(KeyUnavailable):
                pool.submit(load_master_keys, "env:NO_SUCH_KEY").result(30)
