"""Plan files: what a comparison found, saved to be reviewed, and applied later exactly as it was reviewed.

A plan file is one JSON document with a value a line, so that a million lines are written and read without being held in
memory. It ends in a keyed digest of all lines before: an altered file is refused before anything of it is used. Its
field values are encrypted. When it is applied, both sides are listed again; a person is skipped and reported when the
new comparison asks for anything else than was planned.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO

from wanesync.core.diff.difference import (
    ACTIONABLE,
    CREATIONS,
    MISSING_THERE,
    Difference,
    DifferenceClass,
    FieldDifference,
)
from wanesync.core.diff.plan_items import (
    Deviation,
    PlanHeader,
    PlanItem,
    check_header,
    find_deviation,
    propose,
    read_header,
    read_item,
    values_of,
)
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.reconcile.atomic_file import write_atomically
from wanesync.reconcile.compare import PLAIN, Report
from wanesync.store.database import Store
from wanesync.sync.runtime import Runtime

PINS = ("pin_portal", "pin_stripe_account", "pin_stripe_mode")
"""Settings: the HubSpot portal, the Stripe account and its mode the database belongs to."""
WITHOUT_WRITES = frozenset({"", PLAIN})
"""Classes of jobs that write nothing on either side: they link a pair, or store its base."""
LINKS, ITEMS, END, DIGEST = b'"links": [\n', b'"items": [\n', b"],\n", b'"digest": "'
"""The lines of a plan file that begin and end its parts."""
NOT_A_PLAN = "this is no plan of wanesync, or it was altered: make one with --plan-out"
ALTERED = "the plan was altered since it was saved, or belongs to another database: make it again with --plan-out"
Sign = Callable[[str], str]
"""The keyed hash of a text."""


@dataclass(frozen=True, slots=True)
class PlanScope:
    """How much of a report goes into a plan.

    ``only``: people with a difference of one of these classes; empty: all, with pairs that are only to be linked.
    ``limit``: at most so many people and pairs, pairs first.
    """

    only: frozenset[DifferenceClass] = frozenset()
    limit: int | None = None


@dataclass(slots=True)
class PlanSummary:
    """What a plan file holds. ``items``: differences to be repaired, by class; ``links``: keys without writes."""

    items: Counter[DifferenceClass] = field(default_factory=Counter)
    links: int = 0


@dataclass(slots=True)
class PlanSelection:
    """What of a plan is valid now. ``keys``: those still to be done as planned; ``skipped``: the others, and why."""

    keys: set[str] = field(default_factory=set)
    skipped: list[Deviation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a plan file says, with its values decrypted: its header, pairs to be linked, differences to be repaired.

    ``links``: first, the keys of the pairs; ``differences``: read after them, once, one by one.
    """

    header: PlanHeader
    links: Sequence[str]
    differences: Iterator[Difference]


@dataclass(frozen=True, slots=True)
class PlanReader:
    """Reads the plan files of one database and field map. ``fields_version``: of the map in use."""

    store: Store
    fields_version: str

    @contextmanager
    def open(self, path: Path) -> Iterator[SavedPlan]:
        """Yield what a plan file holds, for as long as the file is open. Raises ``ConfigError`` as ``check`` does."""
        with _open_plan(path, self.sign) as plan:
            self.check(plan)
            links = [str(json.loads(text)) for text in plan.links()]
            yield SavedPlan(read_header(plan.head), links, map(self._unseal, map(read_item, plan.items())))

    def read_line(self, text: str) -> Difference:
        """Return the difference of one line of a plan, with its values. Raises ``DecryptionFailed``."""
        return self._unseal(read_item(text.rstrip(",\n")))

    def check(self, plan: _FileReader) -> str:
        """Check accounts, field map and digest of an open file, and return the digest. Raises ``ConfigError``."""
        if problems := check_header(read_header(plan.head), self.head({})):
            raise ConfigError(problems)
        return plan.check()

    def head(self, counts: Mapping[DifferenceClass, int]) -> PlanHeader:
        """Return the header of a plan that is made now."""
        with self.store.reading() as tx:
            portal, account, mode = (tx.settings.get(name) or "" for name in PINS)
            made_ms = tx.now_ms
        named = {str(kind): number for kind, number in counts.items()}
        return PlanHeader(portal, account, mode, self.fields_version, made_ms, named)

    def sign(self, digest: str) -> str:
        """Return the keyed digest of a file."""
        return self.store.row_hash(f"plan file {digest}")

    def _unseal(self, item: PlanItem) -> Difference:
        sealed = base64.b64decode(item.sealed)
        values = json.loads(self.store.encryption.decrypt(sealed, "plan", f"{item.kind} {item.key}", "values"))
        writes = {name: str(step.writes) for name, step in item.steps.items()}
        why = MISSING_THERE if item.kind in CREATIONS else ""
        fields = {
            name: FieldDifference(hubspot, stripe, writes.get(name, ""), why, after)
            for name, (hubspot, stripe, after) in values.items()
        }
        return Difference(item.kind, item.hubspot_id, item.stripe_id, fields, key=item.key)


@dataclass(slots=True)
class PlanFiles:
    """Saves plan files, and finds what of them is still valid."""

    runtime: Runtime

    @property
    def reader(self) -> PlanReader:
        """Reads what was saved."""
        return PlanReader(self.runtime.store, self.runtime.rules.fields.version)

    def save(self, report: Report, path: Path, scope: PlanScope | None = None) -> PlanSummary:
        """Write what a reconcile would do into a file of mode 0600; nothing is queued.

        Raises ``ConfigError`` when the file cannot be written; an older one of that name then stays.
        """
        wanted = scope or PlanScope()
        saved, reader = PlanSummary(), self.reader
        with write_atomically(path) as file:
            out = _FileWriter(file, reader.sign)
            out.write_head(json.dumps(reader.head(report.counts).as_json()))
            saved.links = out.write_links(islice(_links(report, wanted), wanted.limit))
            left = None if wanted.limit is None else wanted.limit - saved.links
            out.write_items(
                self._make_line(d, saved)
                for differences in islice(_differences_by_key(report, wanted), left)
                for d in differences
            )
            out.write_digest()
        return saved

    def check(self, path: Path) -> None:
        """Raises ``ConfigError``: another version, other accounts, another field map, an altered file."""
        reader = self.reader
        with _open_plan(path, reader.sign) as plan:
            reader.check(plan)

    def choose(self, report: Report, path: Path, progress: Callable[[int], None]) -> PlanSelection:
        """Find the keys of which a new and complete comparison shows exactly what was planned.

        ``progress`` is called with the number of people and pairs checked. Raises ``ConfigError`` as ``check`` does.
        """
        chosen, reader = PlanSelection(), self.reader
        with _open_plan(path, reader.sign) as plan:
            digest = reader.check(plan)
            for key in (str(json.loads(text)) for text in plan.links()):
                classes = report.snapshot.job_classes_of(key)
                if classes and classes <= WITHOUT_WRITES:
                    chosen.keys.add(key)
                else:
                    chosen.skipped.append(Deviation(key, (), ()))
                progress(1)
            for key, items in groupby(map(read_item, plan.items()), key=lambda item: item.key):
                now = report.snapshot.differences_of(key)
                deviation = find_deviation(items, now, self.runtime.store.row_hash)
                if deviation is None:
                    chosen.keys.add(key)
                else:
                    chosen.skipped.append(deviation)
                progress(1)
        counts = {"digest": digest, "keys": len(chosen.keys), "skipped": len(chosen.skipped)}
        self.runtime.commit("proposal", lambda tx: tx.journal.add("plan", Side.HUBSPOT, "", "", counts))
        return chosen

    # -- saving

    def _make_line(self, difference: Difference, saved: PlanSummary) -> str:
        saved.items[difference.kind] += 1
        item = propose(difference, self.runtime.store.row_hash)
        values = json.dumps(values_of(difference))
        sealed = self.runtime.store.encryption.encrypt(values, "plan", f"{item.kind} {item.key}", "values")
        return json.dumps(item.as_json() | {"sealed": base64.b64encode(sealed).decode()})


def _links(report: Report, wanted: PlanScope) -> Iterator[str]:
    """Keys whose jobs write nothing, as JSON: pairs to be linked, and bases to be stored."""
    if not wanted.only:
        for key, _, classes in report.snapshot.jobs():
            if classes in WITHOUT_WRITES:
                yield json.dumps(key)


def _differences_by_key(report: Report, wanted: PlanScope) -> Iterator[list[Difference]]:
    """All differences of a key that would be repaired, or none: its jobs repair all of them."""
    found = (difference for difference in report.differences() if difference.kind in ACTIONABLE)
    for _, of_key in groupby(found, key=lambda difference: difference.key):
        differences = list(of_key)
        if not wanted.only or any(difference.kind in wanted.only for difference in differences):
            yield differences


# -- the file format


class _FileWriter:
    """Writes a plan file: head, links, items and digest, in this order, each value as JSON text in one line."""

    def __init__(self, file: BinaryIO, sign: Sign) -> None:
        self._file, self._sign, self._hash = file, sign, hashlib.sha256()

    def write_head(self, text: str) -> None:
        """Write the head, a JSON object."""
        self._write(text.removesuffix("}").encode() + b",\n")

    def write_links(self, texts: Iterable[str]) -> int:
        """Write the links; how many there were."""
        return self._write_array(LINKS, texts)

    def write_items(self, texts: Iterable[str]) -> int:
        """Write the items; how many there were."""
        return self._write_array(ITEMS, texts)

    def write_digest(self) -> None:
        """End the file."""
        self._file.write(_make_end(self._sign(self._hash.hexdigest())))

    def _write_array(self, opening: bytes, texts: Iterable[str]) -> int:
        self._write(opening)
        count, line = 0, b""
        for count, text in enumerate(texts, 1):  # noqa: B007 - counted for the caller
            if line:
                self._write(line + b",\n")
            line = text.encode()
        self._write((line + b"\n" if line else b"") + END)
        return count

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)


class _FileReader:
    """Reads a plan file from its beginning to its end: ``check`` first, then ``links``, then ``items``.

    Raises ``ConfigError`` for a file that is no plan.
    """

    def __init__(self, file: BinaryIO, sign: Sign) -> None:
        self._file, self._sign = file, sign
        line = file.readline()
        if not line.endswith(b",\n"):
            raise ConfigError([NOT_A_PLAN])
        self._first = line
        self.head = line.removesuffix(b",\n").decode("utf-8", "replace") + "}"

    def check(self) -> str:
        """Check the digest and return it. Raises ``ConfigError`` for an altered file."""
        found = hashlib.sha256(self._first)
        start = self._file.tell()
        for line in self._file:
            if line.startswith(DIGEST):
                break
            found.update(line)
        else:
            line = b""
        signed = self._sign(found.hexdigest())
        if line + self._file.read(len(ALTERED)) != _make_end(signed):
            raise ConfigError([ALTERED])
        self._file.seek(start)
        return signed

    def links(self) -> Iterator[str]:
        """JSON texts of the keys whose jobs write nothing."""
        return self._array(LINKS)

    def items(self) -> Iterator[str]:
        """JSON texts of the differences; the links must have been read before."""
        return self._array(ITEMS)

    def _array(self, opening: bytes) -> Iterator[str]:
        if self._file.readline() != opening:
            raise ConfigError([NOT_A_PLAN])
        while (line := self._file.readline()) != END:
            if not line:
                raise ConfigError([NOT_A_PLAN])
            yield line.rstrip(b",\n").decode()


@contextmanager
def _open_plan(path: Path, sign: Sign) -> Iterator[_FileReader]:
    """Open a plan file. Raises ``ConfigError`` when it cannot be read or is no plan."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError([f"cannot read the plan {path}: {error.strerror}"]) from error
    with file:
        yield _FileReader(file, sign)


def _make_end(signed: str) -> bytes:
    return DIGEST + f'{signed}"\n}}\n'.encode()
