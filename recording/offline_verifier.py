#!/usr/bin/env python3
"""Checks onrecord's evidence on any machine. Needs Python 3.9 or later and nothing else: no network, no product.

    python3 verify.py [PACK.zip or its folder] --public-key FILE_OR_HEX [--json]
    python3 verify.py --shelf FOLDER --store onrecord.db [--heads FILE]... --public-key FILE_OR_HEX [--json]

The second line checks a whole house, or copies of its parts: every recording on the shelf (signatures, the chain of
manifests and amendments, the hash of every encrypted object, disposals), the audit log in the case store (SQLite), and
both against heads that were anchored elsewhere. What only a master key can show (``onrecord verify --deep``) it cannot.

The public key should reach you by another way than the pack: from the house's compliance officer, or from an anchored
head. Without --public-key the pack's own copy is used and said so: then the pack is only shown to agree with itself.

What is checked: the signatures of the manifest and of every amendment to it; every file of the pack against its signed
contents list; that the audit entries are in a log whose head was signed; and the sound. A whole recording must have
the hash the manifest names. In a masked one every 50 ms that can be heard must be those of the master, by the hash tree
whose root the manifest names; only what a signed mask covers may be silent, and who masked it, when in the call, and
why is printed.
Ed25519 follows RFC 8032, section 5.1.7, in plain integers: slow (about 10 ms a signature) and enough.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import pathlib
import sqlite3
import sys
import urllib.parse
import wave
import zipfile
from typing import Any

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)


class DoesNotHold(Exception):
    """Something in the pack is not what it claims to be."""


def _recover_x(y: int, sign: int) -> int | None:
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P:
        return None
    return _P - x if (x & 1) != sign else x


def _point(data: bytes) -> tuple[int, int, int, int] | None:
    number = int.from_bytes(data, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    x = _recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


def _add(p: tuple[int, int, int, int], q: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE_X = _recover_x(_BASE_Y, 0) or 0
_BASE = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


def ed25519_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) of ``message`` fits ``public_key`` (32 bytes)."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, commitment = _point(public_key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % _L
    left, right = _times(scalar, _BASE), _add(commitment, _times(challenge, key))
    same_x = (left[0] * right[2] - right[0] * left[2]) % _P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def canonical(value: Any) -> bytes:
    """The spelling that signatures cover: keys sorted, no spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def read_signed(data: bytes, keys: dict[str, bytes], what: str) -> dict[str, Any]:
    """The body of ``{"body", "key_id", "signature"}``."""
    try:
        raw = json.loads(data)
        body, key_id, signature = raw["body"], raw["key_id"], base64.b64decode(raw["signature"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise DoesNotHold(f"{what} cannot be read") from error
    if canonical(raw) + b"\n" != data or base64.b64encode(signature).decode() != raw["signature"]:
        raise DoesNotHold(f"{what} is not in canonical form")
    if key_id not in keys:
        raise DoesNotHold(f"{what} is signed by a key that was not given ({key_id})")
    if not ed25519_holds(keys[key_id], canonical(body), signature):
        raise DoesNotHold(f"the signature of {what} does not fit")
    return dict(body)


def check_audit_proof(proof: dict[str, Any], keys: dict[str, bytes]) -> int:
    """One entry's way to a signed head."""

    def link(prev: str, body_sha256: str) -> str:
        return hashlib.sha256((prev + body_sha256).encode()).hexdigest()

    head, entry = proof["head"], proof["entry"].encode()
    found = link(proof["prev"], hashlib.sha256(entry).hexdigest())
    for body_sha256 in proof["following"]:
        found = link(found, body_sha256)
    seq = int(json.loads(entry)["seq"])
    if found != head["hash"] or seq + len(proof["following"]) != head["seq"]:
        raise DoesNotHold(f"audit entry {seq} does not lead to its signed head")
    message = canonical({name: head[name] for name in ("chain", "seq", "hash", "at")})
    signature = base64.b64decode(head["signature"], validate=True)
    if base64.b64encode(signature).decode() != head["signature"]:
        raise DoesNotHold(f"the head above audit entry {seq} is not in canonical form")
    if head["key_id"] not in keys or not ed25519_holds(keys[head["key_id"]], message, signature):
        raise DoesNotHold(f"the head above audit entry {seq} is not signed by a key that was given")
    return seq


def read_masks(files: dict[str, bytes], manifest: dict[str, Any], keys: dict[str, bytes]) -> list[dict[str, Any]]:
    """Every masked stretch: those of the manifest, and those of the amendments that follow it one by one."""
    masks, before, number = list(manifest["masks"]), hashlib.sha256(files["manifest.json"]).hexdigest(), 1
    while f"amendment-{number}.json" in files:
        name = f"amendment-{number}.json"
        body = read_signed(files[name], keys, name)
        said = (body["format"], body["recording_id"], body["number"], body["amends"])
        if said != ("onrecord-amendment-1", manifest["recording_id"], number, before):
            raise DoesNotHold(f"{name} does not follow the document before it")
        masks += body["masks"]
        before, number = hashlib.sha256(files[name]).hexdigest(), number + 1
    return masks


def _child(seed: bytes, side: int) -> bytes:
    return hashlib.sha256(bytes((side,)) + seed).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x03" + left + right).digest()


def masked_blocks(masks: list[dict[str, Any]], samples: int, rate: int, block: int) -> set[int]:
    """Numbers of the blocks that a masked stretch touches."""
    found: set[int] = set()
    for mask in masks:
        start = mask["start_ms"] * rate // 1000
        end = samples if mask["end_ms"] is None else min(samples, -(-mask["end_ms"] * rate // 1000))
        if start < end:
            found.update(range(start // block, -(-end // block)))
    return found


def check_masked_sound(
    sound: bytes, nodes: list[dict[str, Any]], manifest: dict[str, Any], masks: list[dict[str, Any]]
) -> None:
    """That a masked WAV is the master wherever it is not masked, by the hash tree whose root the manifest names."""
    with wave.open(io.BytesIO(sound)) as file:
        shape = (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes())
        data = file.readframes(file.getnframes())
    samples, block = int(manifest["samples"]), int(manifest["sound_tree"]["block_samples"])
    if shape != (2, 2, 8000, samples) or len(data) != samples * 4:
        raise DoesNotHold("the sound has another length or form than what was sealed")
    blocks = max(1, -(-samples // block))
    depth = (blocks - 1).bit_length()
    known: dict[tuple[int, int], bytes] = {}
    hidden: set[int] = set()

    def grown(level: int, index: int, seed: bytes) -> bytes:
        """The hash of a part whose salts are given and whose sound is heard."""
        width = 1 << (depth - level)
        if index * width >= blocks:
            return b""
        if level == depth:
            return hashlib.sha256(b"\x02" + seed + data[index * block * 4 : (index + 1) * block * 4]).digest()
        left = grown(level + 1, 2 * index, _child(seed, 0))
        return _node(left, grown(level + 1, 2 * index + 1, _child(seed, 1)))

    at = 0
    for one in nodes:
        level, index = int(one["level"]), int(one["index"])
        if not 0 <= level <= depth or index << (depth - level) != at or at >= blocks:
            raise DoesNotHold("the proof of the masked sound has a hole")
        at = min(blocks, (index + 1) << (depth - level))
        if "seed" in one:
            known[level, index] = grown(level, index, bytes.fromhex(one["seed"]))
        else:
            known[level, index] = bytes.fromhex(one["hash"])
            hidden.update(range(index << (depth - level), at))
    if at != blocks:
        raise DoesNotHold("the proof of the masked sound does not reach its end")

    def joined(level: int, index: int) -> bytes:
        if (level, index) in known:
            return known[level, index]
        if level == depth or index << (depth - level) >= blocks:
            return b""
        return _node(joined(level + 1, 2 * index), joined(level + 1, 2 * index + 1))

    if joined(0, 0).hex() != manifest["sound_tree"]["root"]:
        raise DoesNotHold("what can be heard is not what was sealed")
    if hidden != masked_blocks(masks, samples, 8000, block):
        raise DoesNotHold("other stretches are silent than those that were masked")
    if any(any(data[number * block * 4 : (number + 1) * block * 4]) for number in hidden):
        raise DoesNotHold("there is sound where a mask is, and nothing proves it")


def read_pack(path: str) -> dict[str, bytes]:
    """Name → bytes of every file in a zip or a folder."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as pack:
            names = pack.namelist()
            if len(set(names)) != len(names):
                raise DoesNotHold("two files of the pack have one name")
            return {name: pack.read(name) for name in names}
    folder = pathlib.Path(path)
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def read_keys(given: str) -> dict[str, bytes]:
    """Public keys by their id, from hex or from a file ``{"id": "hex"}`` or of hex."""
    text = pathlib.Path(given).read_text() if pathlib.Path(given).exists() else given
    named = json.loads(text) if text.lstrip().startswith("{") else {"": text.strip()}
    raw = [bytes.fromhex(one) for one in named.values()]
    return {hashlib.sha256(one).hexdigest()[:16]: one for one in raw}


def check_pack(files: dict[str, bytes], keys: dict[str, bytes]) -> dict[str, Any]:
    """Raises DoesNotHold; returns what was checked."""
    for needed in ("contents.json", "manifest.json", "audit.json"):
        if needed not in files:
            raise DoesNotHold(f"{needed} is not in the pack")
    contents = read_signed(files["contents.json"], keys, "contents.json")
    listed = contents["files"]
    # verify.py is this script: it is listed too, but a stranger runs his own copy of it
    for name in sorted(set(files) - {"contents.json"} | set(listed)):
        if name not in listed:
            raise DoesNotHold(f"{name} was added to the pack")
        if name not in files:
            raise DoesNotHold(f"{name} is missing from the pack")
        if hashlib.sha256(files[name]).hexdigest() != listed[name]:
            raise DoesNotHold(f"{name} was changed")
    manifest = read_signed(files["manifest.json"], keys, "manifest.json")
    if (contents["format"], manifest["format"]) != ("onrecord-pack-1", "onrecord-manifest-1"):
        raise DoesNotHold("contents or manifest is another kind of document")
    masks = read_masks(files, manifest, keys)
    sound = files[contents["sound"]]
    masked = "masked-sound.json" in files
    if masked:
        check_masked_sound(sound, json.loads(files["masked-sound.json"]), manifest, masks)
    elif hashlib.sha256(sound).hexdigest() != manifest["sha256"]:
        raise DoesNotHold("the sound is not the one that was sealed")
    if manifest["recording_id"] != contents["recording_id"]:
        raise DoesNotHold("the manifest is another recording's")
    proofs = json.loads(files["audit.json"])
    entries = [check_audit_proof(proof, keys) for proof in proofs]
    if not any(json.loads(p["entry"])["subject"] == contents["recording_id"] for p in proofs):
        raise DoesNotHold("no audit entry speaks of this recording")
    return {
        "recording_id": manifest["recording_id"],
        "call_id": manifest["call_id"],
        "sha256": manifest["sha256"],
        "milliseconds": manifest["vitals"]["milliseconds"],
        "files": len(listed),
        "audit_entries": entries,
        "gaps": len(manifest["gaps"]),
        "sound": "masked" if masked else "whole",
        "masks": masks,
    }


class House:
    """What was found on a shelf and in a log. ``failures``: kind, id, detail, in the words of ``onrecord verify``."""

    def __init__(self, keys: dict[str, bytes], heads: list[dict[str, Any]]) -> None:
        self.keys, self.heads = keys, heads
        self.recordings = self.recordings_ok = self.audit_entries = 0
        self.failures: list[dict[str, str]] = []
        for head in heads:
            if not self.signed(head):
                self.fail("head-forged", str(head.get("chain")), "an anchored head's signature does not fit")

    def fail(self, kind: str, subject: object, detail: str) -> None:
        self.failures.append({"kind": kind, "id": str(subject), "detail": detail})

    def signed(self, head: dict[str, Any]) -> bool:
        """Whether a head is exactly what one of the keys signed."""
        try:
            signature = base64.b64decode(head["signature"], validate=True)
            message = canonical({name: head[name] for name in ("chain", "seq", "hash", "at")})
            exact = base64.b64encode(signature).decode() == head["signature"] and len(head) == 6
        except (ValueError, KeyError, TypeError):
            return False
        return exact and head["key_id"] in self.keys and ed25519_holds(self.keys[head["key_id"]], message, signature)

    # The shelf

    def check_shelf(self, shelf: pathlib.Path) -> None:
        """Every recording, then the order of all documents in their chains."""
        chains: dict[str, list[tuple[int, str, str, str]]] = {}
        named = set()
        for place in sorted((shelf / "manifests").glob("*.json")):
            self.recordings += 1
            named.add(place.stem)
            before = len(self.failures)
            try:
                self._check_recording(shelf, place, chains)
            except DoesNotHold as error:
                self.fail("manifest-damaged", place.stem, str(error))
            except (ValueError, KeyError, TypeError, OSError) as error:
                self.fail("manifest-damaged", place.stem, f"it cannot be read: {error!r}")
            self.recordings_ok += len(self.failures) == before
        for folder in ("audio", "listening", "peaks", "keys", "disposals", "amendments"):
            strays = {place.name.partition(".")[0] for place in (shelf / folder).glob("*")} - named
            for one in sorted(strays):
                self.fail("object-unknown", one, f"something under {folder}/ lies there for no recording")
        for chain, links in chains.items():
            expected, prev = 1, "0" * 64
            for seq, named_before, sha256, recording_id in sorted(links):
                if seq != expected:
                    self.fail("manifest-missing", chain, f"number {expected} is not there before {recording_id}")
                elif named_before != prev:
                    self.fail("manifest-chain", recording_id, "it does not name the document before it")
                expected, prev = seq + 1, sha256
        places: dict[Any, str] = {
            (f"manifests:{chain}", link[0]): link[2] for chain, links in chains.items() for link in links
        }
        for head in self.heads:
            place_in_chain = (head.get("chain"), head.get("seq"))
            if not str(place_in_chain[0]).startswith("manifests:") or not place_in_chain[1] or not self.signed(head):
                continue
            if places.get(place_in_chain) != head["hash"]:
                self.fail("manifest-truncated", head["chain"], f"number {head['seq']} was there when anchored")

    def _check_recording(
        self, shelf: pathlib.Path, place: pathlib.Path, chains: dict[str, list[tuple[int, str, str, str]]]
    ) -> None:
        data = place.read_bytes()
        manifest = read_signed(data, self.keys, "its manifest")
        if (manifest["format"], manifest["recording_id"]) != ("onrecord-manifest-1", place.stem):
            raise DoesNotHold("what lies there is not its manifest")

        def chained(body: dict[str, Any], document: bytes) -> None:
            link = (body["seq"], body["prev"], hashlib.sha256(document).hexdigest(), place.stem)
            chains.setdefault(body["chain"], []).append(link)

        chained(manifest, data)
        objects = {one["kind"]: one for one in manifest["objects"]}
        gone: set[str] = set()
        last, number = data, 1
        amendments = sorted(
            (shelf / "amendments" / place.stem).glob("*.json"), key=lambda one: (len(one.stem), one.stem)
        )
        for found in amendments:
            body = read_signed(found.read_bytes(), self.keys, f"amendment {found.stem}")
            said = (body["format"], body["recording_id"], body["number"], body["amends"], found.stem)
            wanted = (place.stem, number, hashlib.sha256(last).hexdigest(), str(number))
            if said != ("onrecord-amendment-1", *wanted):
                raise DoesNotHold(f"amendment {found.stem} does not follow the document before it")
            last, number = found.read_bytes(), number + 1
            chained(body, last)
            gone.update(body["replaces"])
            objects = {kind: one for kind, one in objects.items() if one["name"] not in body["replaces"]}
            objects.update({one["kind"]: one for one in body["objects"]})
        key, disposal = shelf / "keys" / f"{manifest['data_key_id']}.json", shelf / "disposals" / place.name
        if disposal.exists():
            record = read_signed(disposal.read_bytes(), self.keys, "its disposal record")
            names = (record.get("format"), record.get("recording_id"), record.get("manifest_sha256"))
            if names != ("onrecord-disposal-1", place.stem, hashlib.sha256(data).hexdigest()):
                self.fail("disposal-unproven", place.stem, "what lies there is no disposal record of this recording")
            if key.exists() or any((shelf / one["name"]).exists() for one in objects.values()):
                self.fail("disposal-unfinished", place.stem, "its key or its sound is still there")
            return
        for one in objects.values():
            if not (shelf / one["name"]).exists():
                self.fail("object-missing", place.stem, f"{one['kind']} is not there")
            elif _sha256_of(shelf / one["name"]) != one["vault_sha256"]:
                self.fail("object-changed", place.stem, f"{one['kind']} is not what was sealed")
        if not key.exists():
            self.fail("key-missing", place.stem, "its wrapped data key is gone: it cannot be opened")
        if any((shelf / name).exists() for name in gone):
            self.fail("mask-unfinished", place.stem, "a copy without the last mask is still there")

    # The audit log

    def check_log(self, store: pathlib.Path) -> None:
        """Every entry in its order, against itself and every signed head."""
        if not store.is_file():
            raise DoesNotHold(f"there is no case store at {store}")
        log = sqlite3.connect(f"file:{urllib.parse.quote(str(store.resolve()))}?mode=ro", uri=True)
        own = []
        for (line,) in log.execute("SELECT line FROM audit_heads ORDER BY seq"):
            try:
                own.append(dict(json.loads(line)))
            except (ValueError, TypeError):
                own.append({"seq": 0})
        wanted = {}
        for head in own:
            if not self.signed(head):
                self.fail("audit-forged", head.get("seq"), "a head's signature does not fit")
        for head in [*own, *self.heads]:
            if head.get("chain") == "store" and self.signed(head):
                wanted[head["seq"]] = head["hash"]
        expected, prev = 1, "0" * 64
        for seq, said, body, action, subject in log.execute(
            "SELECT seq, hash, body, action, subject FROM audit_log ORDER BY seq"
        ):
            self.audit_entries += 1
            raw = body.encode()
            if seq != expected:
                self.fail("audit-missing", seq, f"number {expected} was due here")
            elif hashlib.sha256((prev + hashlib.sha256(raw).hexdigest()).encode()).hexdigest() != said:
                self.fail("audit-edited", seq, "its hash does not fit its contents")
            if wanted.get(seq, said) != said:
                self.fail("audit-edited", seq, "a signed head says another hash")
            if not _names(raw, seq, action, subject):
                self.fail("audit-edited", seq, "its number, action or subject is not the one it says")
            expected, prev = seq + 1, said
        if wanted and max(wanted) >= expected:
            detail = f"a signed head says there were {max(wanted)} entries, {expected - 1} are left"
            self.fail("audit-truncated", expected - 1, detail)
        if self.audit_entries and not own:
            self.fail("audit-truncated", self.audit_entries, "its signed heads are gone")
        log.close()


def _names(raw: bytes, seq: int, action: str, subject: str) -> bool:
    try:
        entry = json.loads(raw)
        return (entry["seq"], entry["action"], entry["subject"]) == (seq, action, subject)
    except (ValueError, KeyError, TypeError):
        return False


def _sha256_of(place: pathlib.Path) -> str:
    found = hashlib.sha256()
    with place.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            found.update(piece)
    return found.hexdigest()


def read_heads(places: list[str]) -> list[dict[str, Any]]:
    """Anchored heads, a line each; a line that is none is kept as a head that nobody signed."""
    found = []
    for place in places:
        for line in pathlib.Path(place).read_bytes().splitlines():
            try:
                head = json.loads(line)
                found.append(head if isinstance(head, dict) and canonical(head) == line else {"chain": "?"})
            except ValueError:
                found.append({"chain": "?"})
    return found


def check_house(chosen: argparse.Namespace) -> int:
    """Prints what holds, as ``onrecord verify`` does; 0 only when all does."""
    if chosen.public_key is None:
        print("a house is checked against a public key got by another way: --public-key FILE_OR_HEX", file=sys.stderr)
        return 2
    house = House(read_keys(chosen.public_key), read_heads(chosen.heads))
    try:
        if chosen.shelf:
            if not (pathlib.Path(chosen.shelf) / "manifests").is_dir():
                raise DoesNotHold(f"there are no manifests in {chosen.shelf}")
            house.check_shelf(pathlib.Path(chosen.shelf))
        if chosen.store:
            house.check_log(pathlib.Path(chosen.store))
    except (DoesNotHold, OSError, sqlite3.Error) as error:
        house.fail("unreadable", chosen.shelf or chosen.store, str(error))
    names = ("recordings", "recordings_ok", "audit_entries", "failures")
    said = {name: getattr(house, name) for name in names}
    if chosen.json:
        print(json.dumps(said, ensure_ascii=False))
    else:
        print(f"{house.recordings_ok} of {house.recordings} recordings hold, {house.audit_entries} audit entries")
        for one in house.failures:
            print(f"DOES NOT HOLD: {one['kind']} {one['id']}: {one['detail']}")
    return 1 if house.failures else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks an onrecord evidence pack, or a whole house.")
    parser.add_argument("pack", nargs="?", default=str(pathlib.Path(__file__).resolve().parent))
    parser.add_argument("--shelf", help="a house's shelf: the folder with manifests/ and audio/ in it")
    parser.add_argument("--store", help="a house's case store: its SQLite file")
    parser.add_argument("--heads", action="append", default=[], help="a file of anchored heads; as often as there are")
    parser.add_argument("--public-key", help="hex, or a file with it, got by another way than the pack")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    if chosen.shelf or chosen.store:
        return check_house(chosen)
    said: dict[str, Any] = {"ok": False, "own_key": chosen.public_key is None}
    try:
        files = read_pack(chosen.pack)
        if chosen.public_key is None and "public-keys.json" not in files:
            raise DoesNotHold("no public key was given and the pack has none")
        named = json.loads(files["public-keys.json"]) if chosen.public_key is None else None
        keys = (
            {hashlib.sha256(bytes.fromhex(one)).hexdigest()[:16]: bytes.fromhex(one) for one in named.values()}
            if named is not None
            else read_keys(chosen.public_key)
        )
        said = {**said, **check_pack(files, keys), "ok": True, "keys": sorted(keys)}
    except Exception as error:  # whatever a damaged file makes the zip, JSON or sound reader say: it does not hold
        said["problem"] = str(error) if isinstance(error, DoesNotHold) else f"the pack cannot be read: {error!r}"
    if chosen.json:
        print(json.dumps(said, ensure_ascii=False))
    elif said["ok"]:
        print(f"HOLDS: recording {said['recording_id']}, {said['milliseconds'] / 1000:.1f} s, {said['sha256']}")
        for mask in said["masks"]:
            until = "the end" if mask["end_ms"] is None else f"{mask['end_ms'] / 1000:.2f} s"
            state = "silent" if said["sound"] == "masked" else "masked elsewhere, heard here"
            print(f"  {state} from {mask['start_ms'] / 1000:.2f} s to {until}: by {mask['actor']}, {mask['reason']}")
        if said["own_key"]:
            print(f"Checked with the pack's own key. Compare its id with one got by another way: {said['keys']}")
    else:
        print(f"DOES NOT HOLD: {said['problem']}")
    return 0 if said["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
