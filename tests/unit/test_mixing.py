"""Who hears whom, and what a sum of telephone voices is."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dialer.media.mixing import LINEAR, mix
from dialer.parts import Part, hears
from recording.g711 import TRANSCODE, Law

LAWS = st.sampled_from(["PCMA", "PCMU"])
PIECES = st.lists(st.tuples(LAWS, st.binary(min_size=160, max_size=160)), min_size=1, max_size=4)


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.sampled_from(Part), max_size=6))
def test_the_customer_hears_those_who_talk_and_nobody_hears_itself(parts: dict[str, Part]) -> None:
    parts.pop("customer", None)
    found = hears(parts, "customer")
    assert set(found["customer"]) == {name for name, part in parts.items() if part is Part.TALKS}
    assert all(listener not in names for listener, names in found.items())
    heard = {name for names in found.values() for name in names}
    assert not heard & {name for name, part in parts.items() if part is Part.LISTENS}
    for name, part in parts.items():
        if part is Part.WHISPERS:
            hearers = {listener for listener, names in found.items() if name in names}
            assert hearers == {one for one, other in parts.items() if other is Part.TALKS}
        if part is Part.ASIDE:
            assert "customer" not in found[name]


@given(LAWS, st.binary(min_size=160, max_size=160))
def test_a_single_voice_keeps_its_codes(law: Law, codes: bytes) -> None:
    assert mix([(law, codes)], law) == codes
    other: Law = "PCMU" if law == "PCMA" else "PCMA"
    assert mix([(law, codes)], other) == codes.translate(TRANSCODE[law, other])


@given(PIECES, LAWS)
def test_a_mix_is_the_limited_sum_within_one_step_of_the_law(pieces: list[tuple[Law, bytes]], law: Law) -> None:
    exact = np.clip(sum(np.array([LINEAR[own][code] for code in codes]) for own, codes in pieces), -32768, 32767)
    got = np.array([LINEAR[law][code] for code in mix(pieces, law)])
    # A step of G.711 is at most a sixteenth of the sample's octave; the loudest codes end below full scale.
    allowed = np.maximum(16, np.abs(exact) / 16 + 8)
    assert np.all(np.abs(got - exact) <= allowed)
