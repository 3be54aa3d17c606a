"""The keys of a fresh house: made once, and never again where something was closed or signed with keys that are missing now.

A new master key in place of a lost one would let calls go on while every older recording can be opened by nobody, and no
one would hear of it. So whoever starts asks here first.
"""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from recording.key_source import KeyUnavailable, load_keys
from recording.manifest import ManifestChain
from recording.shelf import Shelf, open_shelf


def first_keys(settings: Settings, *, sealed_known: bool = False) -> None:
    """Make the key files that are missing, if nothing stands on them yet; ``file:`` sources only.

    ``sealed_known``: the case store knows of sealed recordings, whatever the shelf shows. Costs nothing while the files are
    there. Raises ``KeyUnavailable`` that names the setting, what depends on it, and the remedy.
    """
    vault = settings.vault
    for setting, source in (("vault.master_key", vault.master_key), ("vault.signing_key", vault.signing_key)):
        kind, _, place = source.partition(":")
        if kind != "file" or Path(place).exists():
            continue
        if stands := ("the case store knows of recordings" if sealed_known else _stands_on_it(settings, setting)):
            raise KeyUnavailable(
                f"the key file is missing, and {stands}: a new key would open or prove none of it",
                field=setting,
                shape="a file that is not there",
                remedy="mount the disk that holds the file, or restore it from its backup; if it is lost for good, see "
                "docs/operations.md, Key lost",
            )
        load_keys(source, create=True, setting=setting)


def _stands_on_it(settings: Settings, setting: str) -> str | None:
    """What was closed or signed with the missing key, in words; None in a fresh house."""
    vault = settings.vault
    sealed, _ = ManifestChain(vault.state, vault.node).head()
    if sealed:
        return f"{sealed} recordings were sealed by this node"
    shelf = open_shelf(settings)
    if setting == "vault.master_key":
        return "the shelf holds wrapped keys of recordings" if _any(shelf, "keys/") else None
    if _any(shelf, "manifests/"):
        return "the shelf holds signed manifests"
    heads = vault.state / "heads"
    return "heads of the audit log were signed" if heads.exists() and heads.stat().st_size else None


def _any(shelf: Shelf, prefix: str) -> bool:
    return next(iter(shelf.list(prefix)), None) is not None
