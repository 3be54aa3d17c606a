"""Where a key document comes from: ``file:PATH``, ``env:NAME`` or ``command:ARGV``.

A key document is JSON ``{"current": "v1", "keys": {"v1": "<base64 of 32 bytes>"}}``. Only a file can be made
by us: on the first run, readable by its owner alone, never overwritten. A signing document may also hold ``"public"``,
``{key id: hex}`` as ``signing.pub.json`` has them: of keys that are lost, so that what they signed still verifies.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import BadSetting, Unhealthy

KEY_BYTES = 32


class KeyUnavailable(Unhealthy):
    """The key service does not answer: nothing can be sealed or played until it does."""

    error_id = "key-unavailable"


class BadKeyDocument(BadSetting):
    error_id = "bad-key-document"


@dataclass(frozen=True, kw_only=True)
class KeyDocument:
    """Named 32-byte keys, one of them current. Old ones stay to open what they closed."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)
    public: Mapping[str, bytes] = field(default_factory=dict)

    def as_json(self) -> str:
        said: dict[str, object] = {
            "current": self.current,
            "keys": {name: base64.b64encode(key).decode() for name, key in self.keys.items()},
        }
        if self.public:
            said["public"] = {name: key.hex() for name, key in self.public.items()}
        return json.dumps(said, indent=1, sort_keys=True) + "\n"


def load_keys(source: str, *, create: bool = False, setting: str = "vault.master_key") -> KeyDocument:
    """The document behind ``source``.

    ``create`` makes a missing *file* with one random key (mode 0600). Raises ``KeyUnavailable`` when the source
    does not answer and ``BadKeyDocument`` when what it says is no key document.
    """
    kind, _, place = source.partition(":")
    if kind == "file":
        path = Path(place)
        if create and not path.exists():
            _create(path)
        return parse_keys(_read_file(path, setting), setting=setting)
    if kind == "env":
        text = os.environ.get(place)
        if text is None:
            raise KeyUnavailable("the environment variable of the key is not set", field=setting, remedy=f"set {place}")
        return parse_keys(text, setting=setting)
    if kind == "command":
        return parse_keys(_run(place, setting), setting=setting)
    raise BadSetting("unknown key source", field=setting, remedy="use file:, env: or command:")


def parse_keys(text: str, *, setting: str) -> KeyDocument:
    """A document from its text. A bare base64 key of 32 bytes is taken as version ``v1``."""
    stripped = text.strip()
    if not stripped.startswith("{"):
        return KeyDocument(current="v1", keys={"v1": _key(stripped, setting)})
    try:
        raw = json.loads(stripped)
    except ValueError as error:
        raise BadKeyDocument("not JSON", field=setting, remedy="see docs/operations.md, Keys") from error
    named, current = raw.get("keys"), raw.get("current")
    if not isinstance(named, dict) or not isinstance(current, str) or current not in named:
        raise BadKeyDocument(
            "needs keys and which of them is current", field=setting, remedy="see docs/operations.md, Keys"
        )
    return KeyDocument(
        current=current,
        keys={str(name): _key(value, setting) for name, value in named.items()},
        public=_public(raw.get("public", {}), setting),
    )


def add_key_version(path: Path, version: str, *, setting: str = "vault.master_key") -> KeyDocument:
    """Rotation's first step: a new current key in the file; the old ones stay."""
    old = load_keys(f"file:{path}", setting=setting)
    if version in old.keys:
        raise BadKeyDocument("this version is there already", field="version", remedy="choose a new name")
    new = KeyDocument(current=version, keys={**old.keys, version: os.urandom(KEY_BYTES)}, public=old.public)
    replacement = path.with_name(path.name + ".new")
    _write_private(replacement, new.as_json())
    replacement.replace(path)
    return new


def run_key_command(argv: str, verb: str, request: str, setting: str) -> str:
    """One word with a KMS: ``argv verb`` with ``request`` on its input; returns its output."""
    return _run(f"{argv} {verb}", setting, request)


def _key(value: object, setting: str) -> bytes:
    try:
        key = base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKeyDocument(
            "a key is not base64 of 32 bytes", field=setting, remedy="make one: openssl rand -base64 32"
        )
    return key


def _public(said: object, setting: str) -> dict[str, bytes]:
    """By id. The id is the key's own hash: a slip of the pen is found."""
    try:
        found = {str(name): bytes.fromhex(value) for name, value in dict(said).items()}  # type: ignore[call-overload]  # a wrong shape raises
    except (TypeError, ValueError):
        found = {"": b""}
    for name, key in found.items():
        if len(key) != KEY_BYTES or hashlib.sha256(key).hexdigest()[:16] != name:
            raise BadKeyDocument(
                "a public key is not what its name says",
                field=setting,
                shape="public",
                remedy="copy it as it stands in signing.pub.json",
            )
    return found


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = KeyDocument(current="v1", keys={"v1": os.urandom(KEY_BYTES)})
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    _write_private(draft, document.as_json())
    try:
        os.link(draft, path)  # fails when another process was first: then its key is the key
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read_file(path: Path, setting: str) -> str:
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise BadKeyDocument("the key file can be read by others", field=setting, remedy="chmod 600 the file")
        return path.read_text()
    except OSError as error:
        raise KeyUnavailable(
            f"the key file cannot be read: {error.strerror}",
            field=setting,
            remedy="mount the disk that holds it, or restore it from its backup",
        ) from error


def _run(argv: str, setting: str, request: str | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # the operator's own command, from settings, without a shell
            shlex.split(argv), input=request, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise KeyUnavailable(
            f"the key command failed: {type(error).__name__}", field=setting, remedy="run it by hand as this user"
        ) from error
    return done.stdout
