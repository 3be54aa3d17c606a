"""``onrecord verify``: is everything that was ever recorded still there, whole and in order?

Without a master key it proves that nothing on the shelf changed since it was sealed: signatures, the chain of
manifests, the hash of every encrypted object, and that the case store says of each recording what was sealed. With one
(``keys``) it also opens every wrapped data key, and when ``deep`` every object, and hashes the sound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from case_store.audit_chain import AuditHead, ChainFault
from config.errors import OnrecordError
from recording.attach import FiledRecording, as_filed
from recording.dossier import Dossier, amendment_name, checked_amendment, manifest_name
from recording.keys import DataKeys, read_wrapped
from recording.manifest import GENESIS, Manifest, ManifestChain, ManifestDamaged, read_amendment, read_manifest
from recording.recordings import ShelfObject
from recording.retention import DISPOSAL
from recording.seal_job import open_object
from recording.shelf import ObjectMissing, Shelf
from recording.signing import Verifier, read_document

UNKNOWN = "recording-unknown"
STRAY = "object-unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """``kind`` is stable kebab-case; ``id`` is a recording's, a chain's or an audit entry's number."""

    kind: str
    id: str
    detail: str


class _Link(NamedTuple):
    """A document's place in its chain: all that is kept of a million manifests."""

    seq: int
    prev: str
    sha256: str
    recording_id: str


_Chains = dict[str, list[_Link]]


@dataclass(kw_only=True)
class VerifyReport:
    """``disposed`` counts recordings that are rightly gone; they are among ``recordings_ok``."""

    recordings: int = 0
    recordings_ok: int = 0
    disposed: int = 0
    audit_entries: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures

    def excuse(self, failure: Failure) -> None:
        """It was sealed while ``verify`` ran: the case store knows it by now."""
        self.failures.remove(failure)
        if failure.kind == UNKNOWN and all(one.id != failure.id for one in self.failures):
            self.recordings_ok += 1

    def add_audit(self, entries: int, faults: Sequence[ChainFault]) -> None:
        """What ``AuditLog.check`` or ``AuditFile.check`` found."""
        self.audit_entries += entries
        self.failures += [Failure(kind=f"audit-{one.kind}", id=str(one.seq), detail=one.detail) for one in faults]

    def as_json(self) -> dict[str, Any]:
        return {
            "recordings": self.recordings,
            "recordings_ok": self.recordings_ok,
            "audit_entries": self.audit_entries,
            "failures": [asdict(failure) for failure in self.failures],
        }


def verify(
    shelf: Shelf,
    verifier: Verifier,
    *,
    known: Mapping[str, FiledRecording] | None = None,
    keys: DataKeys | None = None,
    deep: bool = False,
    heads: Sequence[AuditHead] = (),
    own: ManifestChain | None = None,
    tick: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Check every recording; the audit log is checked by its own ``check`` and added to the report.

    ``known``: what the case store says of each sealed recording: each must be on the shelf as it says, and the shelf
    must hold no other. ``deep`` needs ``keys``. ``heads``: anchored heads, of the audit log and of manifest chains (``manifests:<node>``).
    ``own``: this node's index of its manifest chain, which must agree with the shelf. ``tick`` is told how many recordings are done. A damaged object is a failure in the report, never an exception;
    a shelf that does not answer at all raises ``ShelfUnhealthy``.
    """
    report = VerifyReport()
    chains: _Chains = defaultdict(list)
    amended = _amendments(shelf, verifier, chains, report)
    found: set[str] = set()
    named: set[str] = set((known or {}).keys())
    for name in shelf.list("manifests/"):
        report.recordings += 1
        named.add(_subject(name))
        manifest = _read(name, shelf, verifier, report)
        if manifest is not None:
            found.add(manifest.recording_id)
            _in_chain(manifest, manifest.recording_id, chains)
            before = len(report.failures)
            dossier = _dossier(manifest, amended.pop(manifest.recording_id, []), verifier, report)
            _check_recording(dossier, shelf, verifier, keys if deep else None, report)
            if not shelf.exists(f"disposals/{manifest.recording_id}.json"):
                _check_key(dossier, shelf, keys, report)
            if known is not None:
                _check_filed(dossier, known.get(manifest.recording_id), report)
            report.recordings_ok += len(report.failures) == before
        if tick is not None:
            tick(report.recordings)
    for recording_id in amended:
        _fail(report, "amendment-damaged", recording_id, "it amends a recording whose manifest is not there")
    for chain, links in chains.items():
        _check_order(chain, links, report)
    _check_heads(chains, heads, verifier, report)
    if own is not None:
        _check_index(own, chains.get(own.name, []), report)
    _check_strays(shelf, named, report)
    for missing in sorted((known or {}).keys() - found):
        report.recordings += 1
        _fail(report, "recording-missing", missing, "the case store knows it, the shelf has no manifest that holds")
    return report


def manifest_head_chain(chain: str) -> str:
    """The name under which a manifest chain's heads are signed and anchored."""
    return f"manifests:{chain}"


def _read(name: str, shelf: Shelf, verifier: Verifier, report: VerifyReport) -> Manifest | None:
    recording_id = _subject(name)
    try:
        manifest = read_manifest(shelf.get(name), verifier)
    except OnrecordError as error:
        _fail(report, "manifest-damaged", recording_id, error.problem)
        return None
    if manifest_name(manifest.recording_id) != name:
        _fail(report, "manifest-misplaced", recording_id, f"it is the manifest of {manifest.recording_id}")
        return None
    return manifest


def _amendments(
    shelf: Shelf, verifier: Verifier, chains: _Chains, report: VerifyReport
) -> dict[str, list[tuple[str, Manifest]]]:
    """Recording id → its amendments as they lie there; a recording has few or, nearly always, none."""
    found: dict[str, list[tuple[str, Manifest]]] = defaultdict(list)
    for name in shelf.list("amendments/"):
        recording_id = name.split("/")[1]
        try:
            amendment = read_amendment(shelf.get(name), verifier)
        except OnrecordError as error:
            _fail(report, "amendment-damaged", recording_id, error.problem)
            continue
        _in_chain(amendment, recording_id, chains)
        found[recording_id].append((name, amendment))
    return found


def _dossier(
    manifest: Manifest, lying: list[tuple[str, Manifest]], verifier: Verifier, report: VerifyReport
) -> Dossier:
    """Those amendments that follow one another from the manifest on; the others are failures."""
    good: list[Manifest] = []
    for name, amendment in sorted(lying, key=lambda one: int(one[1].body["number"])):
        try:
            before = good[-1] if good else manifest
            good.append(checked_amendment(amendment.data, verifier, before, len(good) + 1))
            if name != amendment_name(manifest.recording_id, len(good)):
                raise ManifestDamaged("an amendment lies under another name", remedy="restore it from a backup")
        except OnrecordError as error:
            _fail(report, "amendment-damaged", manifest.recording_id, error.problem)
            break
    return Dossier(manifest=manifest, amendments=tuple(good))


def _in_chain(document: Manifest, subject: str, chains: _Chains) -> None:
    link = _Link(document.seq, str(document.body["prev"]), document.sha256, subject)
    chains[str(document.body["chain"])].append(link)


def _check_recording(
    dossier: Dossier,
    shelf: Shelf,
    verifier: Verifier,
    keys: DataKeys | None,
    report: VerifyReport,
) -> None:
    recording = dossier.recording
    if shelf.exists(f"disposals/{recording.id}.json"):
        _check_disposal(dossier, shelf, verifier, report)
        return
    for found in recording.objects:
        _check_object(recording.id, found, shelf, keys, report)
    if any(shelf.exists(name) for name in dossier.replaced):
        detail = "a copy without the last mask is still there: run onrecord mask with the same stretch again"
        _fail(report, "mask-unfinished", recording.id, detail)


def _check_filed(dossier: Dossier, filed: FiledRecording | None, report: VerifyReport) -> None:
    recording_id, sha256 = dossier.manifest.recording_id, dossier.manifest.body["sha256"]
    if filed is None:
        _fail(report, UNKNOWN, recording_id, "the case store does not know it as sealed")
    elif filed.sha256 != sha256:
        _fail(report, UNKNOWN, recording_id, "the case store has another hash")
    elif filed != as_filed(dossier, filed.amendments):
        detail = (
            "what the case store says of it (call, case, place, length, gaps, vitals, masks) is not what was sealed"
        )
        _fail(report, "recording-misfiled", recording_id, detail)


def _check_key(dossier: Dossier, shelf: Shelf, keys: DataKeys | None, report: VerifyReport) -> None:
    """A wrapped key is no part of the manifest, for it is closed anew at each rotation: opening it proves it."""
    recording_id, key_id = dossier.manifest.recording_id, str(dossier.manifest.body["data_key_id"])
    try:
        if keys is not None:
            keys.open(key_id)
        else:
            read_wrapped(shelf, key_id)
    except ObjectMissing:
        _fail(report, "key-missing", recording_id, "its wrapped data key is gone: it cannot be opened")
    except OnrecordError as error:
        _fail(report, error.error_id, recording_id, error.problem)


_OBJECT_FOLDERS = ("audio/", "listening/", "peaks/", "keys/", "disposals/")


def _check_strays(shelf: Shelf, named: Collection[str], report: VerifyReport) -> None:
    """What lies on the shelf for no recording that a manifest or the store names: a disposal of what never was, sound
    whose manifest is gone too."""
    strays: dict[str, str] = {}
    for folder in _OBJECT_FOLDERS:
        for name in shelf.list(folder):
            if _subject(name) not in named:
                strays.setdefault(_subject(name), name)
    for recording_id, name in strays.items():
        _fail(report, STRAY, recording_id, f"{name} lies there for no recording")


def _subject(name: str) -> str:
    """The recording an object is named after."""
    return name.rpartition("/")[2].partition(".")[0]


def _check_object(
    recording_id: str, found: ShelfObject, shelf: Shelf, keys: DataKeys | None, report: VerifyReport
) -> None:
    name = found.name
    try:
        if shelf.sha256(name) != found.vault_sha256:
            _fail(report, "object-changed", recording_id, f"{found.kind} on the shelf is not what was sealed")
        elif keys is not None:
            reader = open_object(shelf, keys, name)
            if reader.header.file_id != name or reader.check(shelf.size(name)) != found.plain_sha256:
                _fail(report, "sound-changed", recording_id, f"{found.kind} opens, but is not what was sealed")
    except OnrecordError as error:
        _fail(report, error.error_id, recording_id, f"{found.kind}: {error.problem}")


def _check_disposal(dossier: Dossier, shelf: Shelf, verifier: Verifier, report: VerifyReport) -> None:
    report.disposed += 1
    recording_id = dossier.manifest.recording_id
    try:
        body = read_document(shelf.get(f"disposals/{recording_id}.json"), verifier)
    except OnrecordError as error:
        _fail(report, "disposal-unproven", recording_id, error.problem)
        return
    said = (body.get("format"), body.get("recording_id"), body.get("manifest_sha256"), body.get("sha256"))
    if said != (DISPOSAL, recording_id, dossier.manifest.sha256, dossier.manifest.body["sha256"]):
        _fail(report, "disposal-unproven", recording_id, "what lies there is no disposal record of this recording")
    if shelf.exists(f"keys/{recording_id}.json"):
        _fail(report, "disposal-unfinished", recording_id, "its key is still there: run onrecord retain again")
    elif any(shelf.exists(name) for name in dossier.every_name()):
        detail = "encrypted copies are still there, without their key: run onrecord retain again"
        _fail(report, "disposal-unfinished", recording_id, detail)


def _check_order(chain: str, links: list[_Link], report: VerifyReport) -> None:
    expected, prev = 1, GENESIS
    for link in sorted(links):
        if link.seq != expected:
            _fail(report, "manifest-missing", chain, f"number {expected} is not there before {link.recording_id}")
        elif link.prev != prev:
            _fail(report, "manifest-chain", link.recording_id, "it does not name the manifest before it")
        expected, prev = link.seq + 1, link.sha256


def _check_heads(
    chains: Mapping[str, list[_Link]], heads: Iterable[AuditHead], verifier: Verifier, report: VerifyReport
) -> None:
    by_place = {(manifest_head_chain(chain), one.seq): one.sha256 for chain, links in chains.items() for one in links}
    for head in heads:
        if not verifier.verify(head.key_id, head.message(), head.signature):
            _fail(report, "head-forged", head.chain or "?", "an anchored head's signature does not fit")
        elif not head.chain.startswith("manifests:"):
            continue  # the audit log's own check holds it against the log
        elif head.seq and by_place.get((head.chain, head.seq)) != head.hash:
            _fail(report, "manifest-truncated", head.chain, f"number {head.seq} was there when its head was anchored")


def _check_index(own: ManifestChain, links: list[_Link], report: VerifyReport) -> None:
    """Were it shorter than the shelf, this node would give a number a second time. The last may be in the making."""
    lines = own.lines()
    for link in links:
        if link.seq <= len(lines) and lines[link.seq - 1] != link.sha256:
            _fail(report, "chain-index", own.name, f"line {link.seq} is not the hash of {link.recording_id}'s document")
    last = max((link.seq for link in links), default=0)
    if len(lines) < last - 1:
        _fail(report, "chain-index", own.name, f"it has {len(lines)} lines, the shelf's documents go to {last}")


def _fail(report: VerifyReport, kind: str, subject: str, detail: str) -> None:
    report.failures.append(Failure(kind=kind, id=subject, detail=detail))
