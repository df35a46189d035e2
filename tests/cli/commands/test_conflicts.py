"""``conflicts``: what it lists, masks and refuses."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from wanesync.core.errors import ConfigError
from wanesync.core.model import Conflict, Side


@pytest.fixture(name="parted")
def keep_conflicts(installation: Installation) -> Installation:
    """Two conflicts of one link."""
    with installation.store.transaction() as tx:
        tx.conflicts.put(Conflict(Side.STRIPE, "cus_1", "city", "Bonn", "differs"), "l1")
        tx.conflicts.put(Conflict(Side.HUBSPOT, "1", "name", "Ada\x1fLovelace", "differs"), "l1")
    return installation


def test_without_a_conflict_it_says_so(installation: Installation) -> None:
    assert installation.run("conflicts").stdout == "No open conflicts.\n"
    assert installation.ask("conflicts") == {"open": 0, "people": 0, "kept": 0, "conflicts": []}


def test_values_are_masked_unless_they_are_asked_for(parted: Installation) -> None:
    shown = parted.run("conflicts").stdout
    assert "2 open conflicts." in shown
    assert "stripe cus_1" in shown
    for text, masked in (("Bonn", "B***"), ("Ada Lovelace", "A***")):
        assert (text in shown, masked in shown) == (False, True)
        assert text in parted.run("conflicts", "--show-values").stdout


def test_they_are_filtered_and_limited(parted: Installation) -> None:
    def fields(*arguments: str) -> list[str]:
        return sorted(str(row["field"]) for row in parted.ask_rows("conflicts", "conflicts", *arguments))

    assert fields() == ["city", "name"]
    assert fields("--side", "stripe") == fields("--field", "city") == ["city"]
    assert fields("--side", "stripe", "--field", "name") == []
    assert "1 of 2 open conflicts." in parted.run("conflicts", "--limit", "1").stdout


def test_the_document_has_the_keys_of_history_and_the_ids(parted: Installation) -> None:
    (row,) = parted.ask_rows("conflicts", "conflicts", "--side", "stripe", "--show-values")
    assert tuple(row) == ("at", "side", "id", "field", "kind", "value", "conflict_id", "link_id")
    assert (row["side"], row["id"], row["value"], row["link_id"]) == ("stripe", "cus_1", "Bonn", "l1")


def test_an_unknown_field_is_refused(parted: Installation) -> None:
    with pytest.raises(ConfigError, match="field shoe_size: there is no such field; there are"):
        parted.run("conflicts", "--field", "shoe_size")


def test_nothing_is_changed(parted: Installation) -> None:
    for _ in range(2):
        parted.run("conflicts", "--show-values")
    with parted.store.reading() as tx:
        assert (tx.conflicts.count_open(), tx.journal.latest(10)) == (2, [])
