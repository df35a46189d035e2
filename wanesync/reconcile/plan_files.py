"""Plan files: what a comparison found, kept to be looked at, and carried out later exactly as it was seen.

The file (``store/plan_file``) holds no value anybody could read. What is applied is what it says, person by person, or
it is left alone and named: both sides are listed again, and what they come to now is held against the plan.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

from wanesync.core.diff.difference import ACTIONABLE, Difference, DifferenceClass
from wanesync.core.diff.plan_items import (
    Deviation,
    PlanHeader,
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
from wanesync.reconcile.compare import Report
from wanesync.reconcile.plan_file_format import PlanReader, PlanWriter, opened_plan
from wanesync.reconcile.snapshot.codec import unpack_difference
from wanesync.sync.runtime import Runtime

PINS = ("pin_portal", "pin_stripe_account", "pin_stripe_mode")
MERELY = frozenset({"", "plain"})
"""Passes that write nothing: pairs to be linked, and what is merely to be remembered."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a report goes into a plan.

    ``only``: people with a difference of one of these classes; empty: all, pairs that are merely to be linked among
    them. ``limit``: so many people or pairs, the latter first.
    """

    only: frozenset[DifferenceClass] = frozenset()
    limit: int | None = None


@dataclass(slots=True)
class Saved:
    """What a plan file holds: differences to be repaired, by class, and keys of which nothing is written."""

    items: Counter[DifferenceClass] = field(default_factory=Counter)
    links: int = 0


@dataclass(slots=True)
class Chosen:
    """``keys``: still to be done as planned. ``skipped``: what is no longer as planned, and is left alone."""

    keys: set[str] = field(default_factory=set)
    skipped: list[Deviation] = field(default_factory=list)


@dataclass(slots=True)
class PlanFiles:
    """Saving plan files, and finding what of them still stands."""

    runtime: Runtime

    def save(self, report: Report, path: Path, extent: Extent | None = None) -> Saved:
        """Write what a reconcile would do into a file of mode 0600; nothing else comes of it.

        Raises ``ConfigError`` when the file cannot be written; then an older one of that name stays as it was.
        """
        wanted = extent or Extent()
        saved = Saved()
        with write_atomically(path) as file:
            out = PlanWriter(file, self._sign)
            out.head(json.dumps(self._head(report.counts).as_json()))
            saved.links = out.links(islice(_links(report, wanted), wanted.limit))
            left = None if wanted.limit is None else wanted.limit - saved.links
            out.items(self._seal(d, saved) for each in islice(_people(report, wanted), left) for d in each)
            out.end()
        return saved

    def check(self, path: Path) -> None:
        """Raises ``ConfigError``: another version, other accounts, another field map, an altered file."""
        with opened_plan(path, self._sign) as plan:
            self._check(plan)

    def choose(self, report: Report, path: Path, progress: Callable[[int], None]) -> Chosen:
        """What of a plan is still to be done, by a new and complete comparison, exactly as it was planned.

        ``progress`` is told how many people or pairs were looked at. Raises ``ConfigError`` as ``check`` does.
        """
        chosen = Chosen()
        with opened_plan(path, self._sign) as plan:
            digest = self._check(plan)
            for key in (str(json.loads(text)) for text in plan.links()):
                kinds = report.snapshot.work_of(key)
                if kinds and kinds <= MERELY:
                    chosen.keys.add(key)
                else:
                    chosen.skipped.append(Deviation(key, (), ()))
                progress(1)
            for key, items in groupby(map(read_item, plan.items()), key=lambda item: item.key):
                now = [unpack_difference(packed) for packed in report.snapshot.found_of(key)]
                deviation = find_deviation(items, now, self.runtime.store.row_hash)
                if deviation is None:
                    chosen.keys.add(key)
                else:
                    chosen.skipped.append(deviation)
                progress(1)
        counts = {"digest": digest, "keys": len(chosen.keys), "skipped": len(chosen.skipped)}
        self.runtime.commit("proposal", lambda tx: tx.journal.add("plan", Side.HUBSPOT, "", "", counts))
        return chosen

    def _check(self, plan: PlanReader) -> str:
        if problems := check_header(read_header(plan.head), self._head({})):
            raise ConfigError(problems)
        return plan.check()

    # -- saving

    def _head(self, counts: Mapping[DifferenceClass, int]) -> PlanHeader:
        with self.runtime.store.reading() as tx:
            portal, account, mode = (tx.settings.get(name) or "" for name in PINS)
            made_ms = tx.now_ms
        named = {str(kind): number for kind, number in counts.items()}
        return PlanHeader(portal, account, mode, self.runtime.rules.fields.version, made_ms, named)

    def _seal(self, difference: Difference, saved: Saved) -> str:
        saved.items[difference.kind] += 1
        item = propose(difference, self.runtime.store.row_hash)
        values = json.dumps(values_of(difference))
        sealed = self.runtime.store.encryption.encrypt(values, "plan", f"{item.kind} {item.key}", "values")
        return json.dumps(item.as_json() | {"sealed": base64.b64encode(sealed).decode()})

    def _sign(self, digest: str) -> str:
        return self.runtime.store.row_hash(f"plan file {digest}")


def _links(report: Report, wanted: Extent) -> Iterator[str]:
    """Keys of which nothing is written, as JSON: pairs to be linked, and what is merely to be remembered."""
    if not wanted.only:
        for key, _, kinds in report.work():
            if kinds in MERELY:
                yield json.dumps(key)


def _people(report: Report, wanted: Extent) -> Iterator[list[Difference]]:
    """All that would be written of a key, or nothing of it: its pass does not know of a half."""
    found = (difference for difference in report.differences() if difference.kind in ACTIONABLE)
    for _, of_key in groupby(found, key=lambda difference: difference.key):
        differences = list(of_key)
        if not wanted.only or any(difference.kind in wanted.only for difference in differences):
            yield differences
