"""Spoken announcements are recognised through what lines do to them, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from case_store.network import ProgressCategory
from dialer.progress.announcements import SHIPPED, AnnouncementLibrary, AnnouncementListener, BadLibrary, read_library
from dialer.simulated.sound import sound
from tests.unit.progress.line_noise import looped, over_the_line

NAMES: dict[str, str] = json.loads((SHIPPED / "library.json").read_text())
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def library() -> AnnouncementLibrary:
    return read_library()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [0.0, 0.7, 1.6])
def test_recognised_through_codec_loss_gain_and_a_late_start(
    library: AnnouncementLibrary, name: str, offset: float
) -> None:
    for seed, gain in enumerate((0.08, 1.0)):
        line = over_the_line(looped(sound(name).pcm, 7.0, offset), gain=gain, loss=0.05, noise=15, seed=seed)
        heard = library.recognise(line)
        assert heard is not None
        assert heard.category == NAMES[name]


@pytest.mark.parametrize("name", NAMES)
def test_cut_short_is_right_or_nothing(library: AnnouncementLibrary, name: str) -> None:
    """Announcements share their beginnings: what was not heard must not be guessed."""
    for offset in (0.0, 0.4, 1.0):
        for seconds in (1.0, 1.6, 2.2, 3.0):
            heard = library.recognise(over_the_line(looped(sound(name).pcm, seconds, offset), loss=0.05))
            assert heard is None or heard.category == NAMES[name]


def test_heard_after_ringing_and_at_the_right_place(library: AnnouncementLibrary) -> None:
    line = np.concatenate([looped(sound("ringback").pcm, 6.0), sound("suspended").pcm])
    heard = library.recognise(over_the_line(line, loss=0.02))
    assert heard is not None
    assert heard.category is ProgressCategory.SUSPENDED
    assert abs(heard.at - 6.0) < 0.3


@pytest.mark.parametrize(
    "path",
    sorted((REPOSITORY / "dialer/simulated/clips").glob("*.flac"))
    + sorted((REPOSITORY / "dialer/prompts").glob("*.flac")),
    ids=lambda path: path.stem,
)
def test_people_prompts_and_machines_are_no_announcement(library: AnnouncementLibrary, path: Path) -> None:
    pcm, _ = soundfile.read(path, dtype="int16")
    assert library.recognise(over_the_line(pcm)) is None


@pytest.mark.parametrize("name", ["music", "ringback", "busy-tone", "congestion-tone", "ringback-us", "sit"])
def test_music_and_tones_are_no_announcement(library: AnnouncementLibrary, name: str) -> None:
    assert library.recognise(over_the_line(looped(sound(name).pcm, 10.0, pause=0.0))) is None


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.5, 20.0])
def test_silence_and_noise_are_no_announcement(library: AnnouncementLibrary, seconds: float) -> None:
    size = int(seconds * 8000)
    assert library.recognise(np.zeros(size, np.int16)) is None
    assert library.recognise(np.random.default_rng(1).normal(0, 900, size).astype(np.int16)) is None


def test_the_listener_hears_it_while_the_call_is_up(library: AnnouncementLibrary) -> None:
    listener = AnnouncementListener(library)
    line = over_the_line(looped(sound("switched-off").pcm, 6.0), silence_before=18.0, loss=0.03)
    for start in range(0, len(line), 160):
        listener.feed(line[start : start + 160])
    assert listener.heard is not None
    assert listener.heard.category is ProgressCategory.SWITCHED_OFF
    assert 17.5 < listener.heard.at < 21.5


def test_a_site_teaches_its_own_carrier(tmp_path: Path) -> None:
    pcm = sound("collector-asks-f").pcm
    soundfile.write(tmp_path / "our-carrier-1.wav", pcm, 8000, subtype="PCM_16")
    (tmp_path / "library.json").write_text(json.dumps({"our-carrier-1": "barred"}))
    taught = read_library(tmp_path)
    heard = taught.recognise(over_the_line(pcm, loss=0.03))
    assert heard is not None
    assert (heard.name, heard.category) == ("our-carrier-1", ProgressCategory.BARRED)
    assert read_library().recognise(over_the_line(pcm)) is None


@pytest.mark.parametrize(
    ("index", "rate", "told"),
    [
        ("{", 8000, "library.json"),
        ("[]", 8000, "not an object"),
        ('{"one": "closed"}', 8000, "no such category"),
        ('{"two": "busy"}', 8000, "no recording"),
        ('{"../one": "busy"}', 8000, "no recording"),
        ('{"one": "busy"}', 16000, "16000 Hz"),
    ],
)
def test_a_bad_library_is_refused(tmp_path: Path, index: str, rate: int, told: str) -> None:
    soundfile.write(tmp_path / "one.wav", np.zeros(rate, np.int16), rate, subtype="PCM_16")
    (tmp_path / "library.json").write_text(index)
    with pytest.raises(BadLibrary, match=told):
        read_library(tmp_path)
