"""The vault: plain slices come back, any change is found, only what is asked is read, keys rotate and die."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recording.key_source import BadKeyDocument, KeyUnavailable, add_key_version, load_keys
from recording.keys import DataKeys, HeldMasterKeys, KeyDamaged, KeyDestroyed, load_master_keys
from recording.shelf import FolderShelf, ObjectMissing
from recording.vault import VaultDamaged, VaultReader, encrypt_file

KEY = b"\x01" * 32


def closed(tmp: Path, plain: bytes, chunk: int = 64, key: bytes = KEY, file_id: str = "audio/rec_1") -> bytes:
    (tmp / "plain").write_bytes(plain)
    encrypt_file(tmp / "plain", tmp / "closed", file_id=file_id, key_id="rec_1", data_key=key, chunk_bytes=chunk)
    return (tmp / "closed").read_bytes()


def reader(data: bytes, key: bytes = KEY) -> VaultReader:
    return VaultReader(lambda start, length: data[start : start + length], lambda _: key)


@settings(max_examples=80, deadline=None)
@given(
    plain=st.binary(max_size=700),
    chunk=st.integers(1, 200),
    spans=st.lists(st.tuples(st.integers(0, 800), st.integers(0, 800)), max_size=6),
)
def test_ranged_reads_equal_plain_slices(
    tmp_path_factory: pytest.TempPathFactory, plain: bytes, chunk: int, spans: list[tuple[int, int]]
) -> None:
    open_file = reader(closed(tmp_path_factory.mktemp("v"), plain, chunk))
    for offset, length in spans:
        assert open_file.read(offset, length) == plain[offset : offset + length]
        assert b"".join(open_file.pieces(offset, length)) == plain[offset : offset + length]
    assert open_file.size == len(plain)


@settings(max_examples=200, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), length=st.integers(0, 300))
def test_any_one_bit_flip_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, length: int
) -> None:
    data = bytearray(closed(tmp_path_factory.mktemp("v"), b"s" * length))
    data[int(place * len(data))] ^= 1 << bit
    with pytest.raises(VaultDamaged):
        reader(bytes(data)).check(len(data))


@settings(max_examples=60, deadline=None)
@given(keep=st.integers(0, 599))
def test_any_truncation_is_found(tmp_path_factory: pytest.TempPathFactory, keep: int) -> None:
    data = closed(tmp_path_factory.mktemp("v"), bytes(range(200)) * 2)
    cut = data[: min(keep, len(data) - 1)]
    with pytest.raises(VaultDamaged):
        reader(cut).check(len(cut))


def test_reordered_repeated_foreign_and_added_chunks_are_found(tmp_path: Path) -> None:
    data = closed(tmp_path, bytes(64) + bytes([1]) * 64 + bytes([2]) * 10)
    start, stride = len(data) - 2 * 80 - 26, 80
    head, one, two, last = (
        data[:start],
        data[start : start + stride],
        data[start + stride : start + 2 * stride],
        data[-26:],
    )
    assert head + one + two + last == data
    other = closed(tmp_path, bytes(64) + bytes([1]) * 64 + bytes([2]) * 10)  # same key, same plain, another salt
    for spoiled in (
        head + two + one + last,
        head + one + one + last,
        head + one + last,
        data + last,
        data + b"\0",
        head + other[start : start + stride] + two + last,
        other[:start] + one + two + last,
    ):
        with pytest.raises(VaultDamaged):
            reader(spoiled).check(len(spoiled))
    with pytest.raises(VaultDamaged):
        reader(data, b"\x02" * 32).read(0, 1)


def test_a_ranged_read_fetches_only_its_chunks(tmp_path: Path) -> None:
    data, asked = closed(tmp_path, bytes(1_000_000), 4096), []

    def watched(start: int, length: int) -> bytes:
        asked.append(length)
        return data[start : start + length]

    open_file = VaultReader(watched, lambda _: KEY)
    asked.clear()
    assert open_file.read(500_000, 10) == bytes(10)
    assert open_file.read(500_010, 10) == bytes(10)
    assert asked == [4112]


def test_rotation_rewraps_keys_and_leaves_audio_alone(tmp_path: Path) -> None:
    source, shelf = f"file:{tmp_path}/master.json", FolderShelf(tmp_path / "shelf")
    old = DataKeys(shelf, load_master_keys(source, create=True))
    first, second = old.make("rec_1"), old.make("rec_2")
    assert old.make("rec_1") == first != second
    add_key_version(tmp_path / "master.json", "v2")
    new = DataKeys(shelf, load_master_keys(source, create=True))
    assert new.open("rec_1") == first
    assert (new.rewrap_all(), new.rewrap_all()) == (2, 0)
    assert dict(new.versions()) == {"rec_1": "v2", "rec_2": "v2"}
    assert new.open("rec_2") == second
    with pytest.raises(KeyUnavailable, match="v2 is not among"):
        old.open("rec_1")


def test_a_destroyed_key_never_comes_back(tmp_path: Path) -> None:
    keys = DataKeys(FolderShelf(tmp_path / "shelf"), load_master_keys(f"file:{tmp_path}/m.json", create=True))
    keys.make("rec_1")
    keys.destroy("rec_1", b"{}")
    for verb in (keys.open, keys.make):
        with pytest.raises(KeyDestroyed):
            verb("rec_1")
    with pytest.raises(ObjectMissing):
        keys.open("rec_2")


def test_a_swapped_or_changed_wrapped_key_does_not_open(tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path / "shelf")
    keys = DataKeys(shelf, load_master_keys(f"file:{tmp_path}/m.json", create=True))
    keys.make("rec_1")
    keys.make("rec_2")
    shelf.put("keys/rec_1.json", shelf.get("keys/rec_2.json"))
    with pytest.raises(KeyDamaged):
        keys.open("rec_1")
    data = shelf.get("keys/rec_2.json")
    for at in range(len(data)):
        shelf.put("keys/rec_2.json", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises((KeyDamaged, KeyUnavailable)):
            keys.open("rec_2")


def test_keys_come_from_file_environment_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys" / "master.json"
    made = load_keys(f"file:{path}", create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keys(f"file:{path}", create=True) == made
    monkeypatch.setenv("MASTER", base64.b64encode(KEY).decode())
    assert load_keys("env:MASTER").keys == {"v1": KEY}
    assert load_keys(f"command:cat {path}") == made
    for source in ("env:NOT_SET", "command:false", f"file:{tmp_path}/none"):
        with pytest.raises(KeyUnavailable):
            load_keys(source)
    path.chmod(0o644)
    with pytest.raises(BadKeyDocument, match="read by others"):
        load_keys(f"file:{path}")
    monkeypatch.setenv("MASTER", json.dumps({"current": "v9", "keys": {"v1": "AA=="}}))
    with pytest.raises(BadKeyDocument):
        load_keys("env:MASTER")


def test_a_key_service_wraps_and_unwraps(tmp_path: Path) -> None:
    held = load_master_keys(f"file:{tmp_path}/m.json", create=True)
    assert isinstance(held, HeldMasterKeys)
    script = tmp_path / "kms.py"
    script.write_text(
        "import base64, json, sys\n"
        "ask, verb = json.load(sys.stdin), sys.argv[1]\n"
        "turn = lambda text: base64.b64encode(bytes(b ^ 90 for b in base64.b64decode(text))).decode()\n"
        "print(json.dumps({'current': lambda: {'version': 'k1'}, 'wrap': lambda: {'version': 'k1', 'wrapped': turn(ask['key'])},"
        " 'unwrap': lambda: {'key': turn(ask['wrapped'])}}[verb]()))\n"
    )
    keys = DataKeys(FolderShelf(tmp_path / "shelf"), load_master_keys(f"kms:python3 {script}"))
    data_key = keys.make("rec_1")
    assert keys.open("rec_1") == data_key
    assert keys.rewrap_all() == 0
