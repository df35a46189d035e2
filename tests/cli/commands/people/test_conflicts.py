"""``conflicts``: what it lists, masks and refuses."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tests.support.core_builders import contact, customer
from tests.support.installation import Installation
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError
from wanesync.core.model import Conflict, Link, Side, StoredRecord


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


# -- list, show, resolve


@pytest.fixture(name="pair")
def store_pair(installation: Installation) -> Installation:
    """A linked pair with two cities, and a phone number that lost."""
    installation.claim_map()
    with installation.store.transaction() as tx:
        for record in (contact(city="Lyon", phone="112"), customer(city="Leeds", phone="112")):
            tx.records.put_many([StoredRecord(record, 1, 1, 1)])
        base = {"city": ("Lyon", "Leeds"), "phone": ("112", "112")}
        tx.links.put(Link("k1", "1", "cus_1", primary=True, base=base, version=1))
        tx.conflicts.put(Conflict(Side.HUBSPOT, "1", "city", "Lyon", "differ"), "k1")
        tx.conflicts.put(Conflict(Side.STRIPE, "cus_1", "city", "Leeds", "differ"), "k1")
        tx.conflicts.put(Conflict(Side.HUBSPOT, "1", "phone", "110", "policy"), "k1")
    return installation


def count_open(installation: Installation) -> int:
    with installation.store.reading() as tx:
        return tx.conflicts.count_open()


def test_the_list_has_more_filters(pair: Installation) -> None:
    def values(*arguments: str) -> list[str]:
        rows = pair.ask_rows("conflicts", "conflicts", "list", "--show-values", *arguments)
        return sorted(str(row["value"]) for row in rows)

    assert values() == ["110", "Leeds", "Lyon"]
    assert values("--only", "kept") == values("--kind", "policy") == ["110"]
    assert values("--only", "standing") == ["Leeds", "Lyon"]
    assert values("--person", "cus_1") == ["Leeds"]
    with pytest.raises(ConfigError, match="kind wrong: there is no such kind; there are policy"):
        pair.run("conflicts", "list", "--kind", "wrong")


def test_one_is_shown_with_what_may_be_chosen(pair: Installation) -> None:
    (row,) = pair.ask_rows("conflicts", "conflicts", "list", "--side", "stripe")
    (shown,) = pair.ask_rows("conflicts", "conflicts", "show", str(row["conflict_id"]), "--show-values")
    assert (shown["field"], shown["hubspot"], shown["stripe"], shown["agree"]) == ("city", "Lyon", "Leeds", False)
    assert [one["choose"] for one in shown["choices"]] == ["hubspot", "stripe", "both", "value"]  # type: ignore[attr-defined] # a list
    assert len(pair.ask_rows("conflicts", "conflicts", "show", "1")) == 2
    screen = pair.run("conflicts", "show", "1").stdout
    assert ("Holds now" in screen, "Lyon" in screen) == (True, False)


def test_all_that_match_are_settled(pair: Installation) -> None:
    asked = ("conflicts", "resolve", "--field", "city", "--choose", "hubspot")
    assert "2 conflicts of 1 person would be settled: HubSpot's value is right; nothing was changed." in (
        pair.run(*asked, "--dry-run").stdout
    )
    assert count_open(pair) == 3
    with pytest.raises(ConfigError, match="Settle 2 conflicts of 1 person: HubSpot's value is right"):
        pair.run(*asked)
    assert pair.ask(*asked, "--yes") == {
        "settled": 2, "fields": 1, "people": 1, "cleared": 0, "jobs": 1, "left": [],
    }  # fmt: skip
    assert count_open(pair) == 1
    assert "No open conflicts match." in pair.run(*asked).stdout


def test_a_kept_and_a_typed_value_are_chosen(pair: Installation) -> None:
    (row,) = pair.ask_rows("conflicts", "conflicts", "list", "--only", "kept")
    assert pair.ask("conflicts", "resolve", str(row["conflict_id"]), "--choose", "kept", "--yes")["settled"] == 1
    typed = ("conflicts", "resolve", "1", "--choose", "value", "--value", "Graz", "--yes")
    assert pair.ask(*typed)["settled"] == 2


def test_what_is_left_is_named_and_ends_with_1(pair: Installation) -> None:
    with pair.store.transaction() as tx:
        tx.conflicts.put(Conflict(Side.HUBSPOT, "7", "city", "Ulm", "overwritten"), "")
        tx.records.put_many([StoredRecord(contact("7"), 1, 1, 1)])
    done = CliRunner().invoke(
        app, ["conflicts", "resolve", "--all", "--choose", "stripe", "--yes", "--config", str(pair.file)]
    )
    assert done.exit_code == 1
    assert "3 conflicts of 1 person settled" in done.output
    assert "Left: 1 conflict." in done.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--choose", "both"), "name the conflicts"),
        (("x", "--all", "--choose", "both"), "name the conflicts"),
        (("1", "--choose", "value"), "a value is given with the choice value"),
        (("--field", "shoe_size", "--choose", "both"), "there is no such field"),
    ],
)
def test_what_names_nothing_is_refused(pair: Installation, arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        pair.run("conflicts", "resolve", *arguments)
