"""docs/json.md names the keys of every JSON document, and every document says its version."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.core_builders import contact, link
from tests.support.installation import Installation
from tests.support.reports import PEOPLE, found_of, json_of
from wanesync.cli.reports.plan_report import write_plan_json
from wanesync.core.diff.plan_items import PlanHeader
from wanesync.core.model import Conflict, Side, StoredRecord
from wanesync.core.purchases import Purchase
from wanesync.reconcile.plan_files import SavedPlan
from wanesync.terminal import JSON_VERSION

DOCS = (Path(__file__).parents[3] / "docs" / "json.md").read_text(encoding="utf-8")
SECTIONS = dict(part.split("\n", 1) for part in DOCS.split("\n## ")[1:])
COMMANDS = [
    ("status", ["status"]),
    ("jobs", ["jobs"]),
    ("retry, discard", ["retry", "--all", "--dry-run"]),
    ("conflicts", ["conflicts"]),
    ("history", ["history"]),
    ("history", ["history", "7"]),
    ("logs", ["logs"]),
    ("alerts list, test, history, silence", ["alerts", "list"]),
    ("alerts list, test, history, silence", ["alerts", "history"]),
    ("alerts list, test, history, silence", ["alerts", "history", "--deliveries"]),
    ("alerts list, test, history, silence", ["alerts", "silence", "disk_full"]),
    ("hold list, hold release, hold discard", ["hold", "list"]),
    ("hold list, hold release, hold discard", ["hold", "release", "all", "--dry-run"]),
    ("hold list, hold release, hold discard", ["hold", "discard", "all", "--yes"]),
    ("limits, limits set, limits reset", ["limits"]),
    ("limits, limits set, limits reset", ["limits", "set", "hubspot", "12/s"]),
    ("webhooks set-aside", ["webhooks", "set-aside"]),
    ("writes, pause, resume", ["writes", "status"]),
    ("writes, pause, resume", ["pause", "hubspot"]),
    ("writes, pause, resume", ["resume"]),
    ("writes, pause, resume", ["pause", "--field", "phone"]),
    ("writes, pause, resume", ["resume", "--field", "phone"]),
    ("keys status, rotate, rewrap, remove", ["keys", "status"]),
    ("keys status, rotate, rewrap, remove", ["keys", "rotate"]),
    ("keys status, rotate, rewrap, remove", ["keys", "rewrap"]),
    ("secrets check", ["secrets", "check"]),
    ("db migrate, db prune", ["db", "migrate"]),
    ("db migrate, db prune", ["db", "prune", "--dry-run"]),
]


def name_keys(document: Mapping[str, object]) -> set[str]:
    """The keys of a document, and those of the entries of its lists."""
    keys = set(document)
    for part in document.values():
        if isinstance(part, list) and part and isinstance(part[0], dict):
            keys |= set(part[0])
    return keys


def check_section(section: str, document: Mapping[str, object]) -> None:
    text = SECTIONS[section] + ("" if "as in `diff`" not in SECTIONS[section] else SECTIONS["diff"])
    documented = set(re.findall(r"`(\w+)`", text))
    assert name_keys(document) - {"version"} <= documented


@pytest.mark.parametrize(("section", "command"), COMMANDS, ids=[" ".join(command) for _, command in COMMANDS])
def test_the_documents_of_commands_are_documented(section: str, command: list[str], installation: Installation) -> None:
    with installation.store.transaction() as tx:
        tx.records.put_many([StoredRecord(contact("7", city="Ulm"), 1, 1, 1)])
        tx.links.put(link("7", "cus_7"))
        tx.conflicts.put(Conflict(Side.HUBSPOT, "7", "city", "Bonn", "differs"), link("7", "cus_7").id)
        tx.purchases.put(Purchase("pi_1", "ch_1", "cus_7", "", "", 1999, "eur", 1_000, contact_id="7"))
        tx.journal.add("linked", Side.HUBSPOT, "7", link("7", "cus_7").id, {})
        tx.rejected.put(Side.STRIPE, "no JSON", b"{")
    check_section(section, installation.ask(*command))


def test_the_documents_of_comparisons_are_documented() -> None:
    document = json_of(found_of(*PEOPLE))
    assert document["version"] == JSON_VERSION
    check_section("diff", document)


def test_the_document_of_a_plan_is_documented() -> None:
    out = io.StringIO()
    header = PlanHeader("7", "acct_7", "test", "1", 1_000)
    write_plan_json(SavedPlan(header, ["contact:1"], iter(PEOPLE)), out, show_values=False)
    document = json.loads(out.getvalue())
    assert document["version"] == JSON_VERSION
    assert "ada@example.com" not in out.getvalue()
    check_section("reconcile --show", document)
