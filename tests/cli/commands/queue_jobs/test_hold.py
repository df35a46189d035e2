"""``hold``: what is listed and masked, and what happens without a terminal to confirm on."""

from __future__ import annotations

import pytest

from tests.support.core_builders import link
from tests.support.installation import Installation
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.store import Tx


def hold_city(tx: Tx) -> str:
    hold_id, _ = tx.holds.open("stripe:city", HoldKind.BRAKE)
    tx.links.put(link("1", "cus_1"))
    tx.holds.put(link("1", "cus_1").id, "city", HeldValue(Side.STRIPE, "Bonn", "Ulm", hold_id))
    return hold_id


def test_without_a_hold_it_says_so(installation: Installation) -> None:
    assert installation.run("hold", "list").stdout == "Nothing is held.\n"
    assert installation.run("hold", "release", "all").stdout == "0 holds released: no values were held.\n"


def test_both_values_stand_under_their_sides_and_are_masked(installation: Installation) -> None:
    hold_id = installation.store.run(hold_city)
    (hold,) = installation.ask_rows("holds", "hold", "list")
    assert tuple(hold) == ("id", "source", "kind", "state", "for_s", "people", "fields", "first")
    assert (hold["id"], hold["people"], hold["fields"]) == (hold_id, 1, 1)
    assert hold["first"] == [
        {
            "hubspot_id": "1",
            "stripe_id": "cus_1",
            "field": "city",
            "hubspot": "U***",
            "stripe": "B***",
            "held": "stripe's",
        }
    ]
    shown = installation.run("hold", "list", "--show-values").stdout
    assert "Ulm" in shown
    assert "Bonn" in shown


def test_without_a_terminal_a_hold_is_closed_only_with_yes(installation: Installation) -> None:
    hold_id = installation.store.run(hold_city)
    with pytest.raises(ConfigError, match=r"Write 1 held value of 1 person, from 1 hold\? .* confirm it with --yes"):
        installation.run("hold", "release", hold_id)
    assert installation.run("hold", "release", hold_id, "--yes").stdout == (
        "1 hold released: 1 value of 1 person will be written.\n"
    )
