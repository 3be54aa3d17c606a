"""The shelf on a real S3 server's protocol (moto, in its own process, on loopback): the same promises as a folder."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from recording.attach import as_filed
from recording.dossier import read_dossier
from recording.keys import KeyDestroyed
from recording.seal_job import SealRoom, open_object, open_seal_room, seal_call
from recording.shelf import FolderShelf, ObjectMissing, S3Shelf, Shelf, ShelfUnhealthy, open_shelf, put_verified
from recording.verify import verify
from tests.sealing import order_for, seal_raw, settings_in, stereo

_SERVER = """
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(f"port {server.port}", flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PATH": ""},
    ) as server:
        assert server.stdout is not None
        found = re.fullmatch(r"port (\d+)\n", server.stdout.readline())
        assert found is not None, "the S3 server did not start"
        address = f"http://127.0.0.1:{found[1]}"
        for attempt in range(50):
            request = urllib.request.Request(
                f"{address}/tapes",
                method="PUT",
                headers={"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"},
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert attempt < 49, "the S3 server does not answer"
                time.sleep(0.1)
        yield address
        server.terminate()


def s3_settings(folder: Path, endpoint: str, prefix: str) -> Settings:
    return settings_in(
        folder,
        bucket="tapes",
        prefix=prefix,
        endpoint=endpoint,
        access_key=SecretStr("test"),
        secret_key=SecretStr("test"),
    )


@pytest.fixture(params=["folder", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, endpoint: str) -> Shelf:
    if request.param == "folder":
        return FolderShelf(tmp_path / "shelf")
    opened = open_shelf(
        s3_settings(tmp_path, endpoint, tmp_path.name.replace("_", "-").replace("[", "").replace("]", ""))
    )
    assert isinstance(opened, S3Shelf)
    return opened


def test_both_shelves_keep_the_same_promises(shelf: Shelf, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "file").write_bytes(data)
    assert put_verified(shelf, "audio/rec_1.vault", tmp_path / "file") == shelf.sha256("audio/rec_1.vault")
    assert shelf.size("audio/rec_1.vault") == len(data)
    assert shelf.get_range("audio/rec_1.vault", 1_000_003, 50) == data[1_000_003:1_000_053]
    assert shelf.get_range("audio/rec_1.vault", len(data) - 5, 50) == data[-5:]
    assert shelf.get_range("audio/rec_1.vault", len(data) + 5, 50) == b""
    shelf.put("keys/b.json", b"2")
    shelf.put("keys/a.json", b"1")
    shelf.put("keys/a.json", b"3")
    assert list(shelf.list("keys/")) == ["keys/a.json", "keys/b.json"]
    assert shelf.get("keys/a.json") == b"3"
    for _ in range(2):
        shelf.delete("keys/a.json")
    assert not shelf.exists("keys/a.json")
    for verb in (shelf.get, shelf.size, shelf.sha256):
        with pytest.raises(ObjectMissing):
            verb("keys/a.json")


def test_a_call_is_sealed_played_verified_and_shredded_on_s3(tmp_path: Path, endpoint: str) -> None:
    room: SealRoom = open_seal_room(s3_settings(tmp_path, endpoint, "night"), seal_raw)
    made = seal_call(order_for(tmp_path, stereo(1)), room)
    assert not (tmp_path / "shelf").exists()
    master = made.objects[0]
    reader = open_object(room.shelf, room.keys, master.name)
    assert reader.read(0, 4) == b"fLaC"
    known = {made.id: as_filed(read_dossier(room.shelf, room.signing.verifier(), made.id))}
    report = verify(room.shelf, room.signing.verifier(), known=known, keys=room.keys, deep=True)
    assert (report.recordings_ok, report.failures) == (1, [])
    spoiled = bytearray(room.shelf.get(master.name))
    spoiled[-1] ^= 1
    room.shelf.put(master.name, bytes(spoiled))
    assert [one.kind for one in verify(room.shelf, room.signing.verifier()).failures] == ["object-changed"]
    room.keys.destroy(made.id, b"{}")
    with pytest.raises(KeyDestroyed):
        room.keys.open(made.id)


def test_a_server_that_is_gone_is_unhealthy_and_the_tape_stays(tmp_path: Path, endpoint: str) -> None:
    order = order_for(tmp_path, stereo(0.2))
    room = open_seal_room(s3_settings(tmp_path, endpoint, "gone"), seal_raw)
    room.shelf.put("keys/other.json", b"")
    wrong = s3_settings(tmp_path, endpoint, "x").model_copy(
        update={"vault": s3_settings(tmp_path, endpoint, "x").vault.model_copy(update={"bucket": "nobodys"})}
    )
    with pytest.raises((ShelfUnhealthy, ObjectMissing)):
        seal_call(order, open_seal_room(wrong, seal_raw))
    assert order.tape_path.exists()
    assert seal_call(order, room).seconds == 0.2
