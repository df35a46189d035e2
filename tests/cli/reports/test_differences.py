"""The report on the screen and as JSON."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.support.reports import NASTY, PEOPLE, UPDATED, Found, Many, found_of, json_of, nasty_person, screen_of
from wanesync.core.diff.difference import KEPT, DifferenceClass


def test_json_keeps_its_keys() -> None:
    document = json_of(found_of(*PEOPLE), show_values=True)
    assert document["counts"] == dict.fromkeys(map(str, DifferenceClass), 0) | {
        "in_sync": 5, "create_customer": 1, "update_customer": 1, "conflict": 1, "ambiguous": 1
    }  # fmt: skip
    differences = document["differences"]
    assert isinstance(differences, list)
    assert differences[1] == {
        "class": "update_customer",
        "hubspot_id": "102",
        "stripe_id": "cus_2",
        "fields": {
            "city": {
                "hubspot": "Wien",
                "stripe": "WIEN",
                "writes": "stripe",
                "to": "Wien",
                "why": "changed since both agreed",
                "kind": "case",
            }
        },
        "note": "",
    }
    assert differences[3]["note"] == "ambiguous: 2 contacts carry its e-mail"


def test_json_holds_the_plan_and_what_is_unlike() -> None:
    document = json_of(found_of(*PEOPLE))
    assert document["unlike"] == {
        "city": {"case": 1},
        "email": {"blank": 1},
        "language": {"blank": 1},
        "name": {"blank": 1},
        "phone": {"other": 1},
    }
    assert document["plan"] == {
        "links": 9, "link_only": 4, "fills": 3, "overwritten": 1, "cleared": 0, "created_customers": 1,
        "created_contacts": 0, "created": 1, "addresses": 0, "writes_hubspot": 0, "writes_stripe": 4, "to_link": 4,
    }  # fmt: skip
    assert "lost" not in document


def test_json_of_nothing_is_a_document_too() -> None:
    assert json_of(Found())["differences"] == []


@pytest.mark.parametrize("value", [NASTY, "\x1b[2J\n\t\x00", "ä→\U0001f600"])
def test_json_carries_whatever_a_value_holds(value: str) -> None:
    differences = json_of(found_of(nasty_person(value)), show_values=True)["differences"]
    assert isinstance(differences, list)
    assert differences[0]["fields"]["city"]["hubspot"] == value


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 20_000])
def test_json_in_pieces_is_one_document(count: int) -> None:
    differences = json_of(Many(counts=Counter({DifferenceClass.CONFLICT: count})))["differences"]
    assert isinstance(differences, list)
    assert [found["hubspot_id"] for found in differences] == [str(at) for at in range(count)]


# -- the screen


def test_the_screen_shows_which_fields_differ_and_what_would_be_done() -> None:
    text = screen_of(found_of(*PEOPLE))
    for part in ("Fields that differ", "1 case", "What a reconcile would do", "where invoices go", "customer.updated"):
        assert part in text
    assert "What webhooks missed" not in text


def test_the_screen_shows_each_difference_with_its_reason() -> None:
    text = screen_of(found_of(*PEOPLE), show_values=True)
    for part in (
        "email ada@example.com, name Ada Lovelace, language tlh (not written)",
        "city WIEN → Wien (case)",
        "phone 112 | 110",
        "changed since both agreed",
        KEPT,
        "ambiguous: 2 contacts carry its e-mail",
    ):
        assert part in text


def test_nothing_to_do_is_said_in_a_line() -> None:
    text = screen_of(Found(counts=Counter({DifferenceClass.IN_SYNC: 3})))
    assert "Nothing to repair." in text
    assert "What a reconcile would do" not in text


def test_what_webhooks_missed_is_shown_where_there_is_any() -> None:
    text = screen_of(Found(lost={"hubspot": {"phone": 1200}, "not_subscribed": ["city", "state"], "nothing": []}))
    assert re.search(r"hubspot phone\s+1,200", text)
    assert re.search(r"not subscribed\s+city, state", text)
    assert "nothing" not in text


def test_eight_of_a_class_are_shown_and_the_rest_counted() -> None:
    text = screen_of(found_of(*[UPDATED] * 20))
    assert text.count("cus_2") == 8
    assert "… and 12 more" in text


def test_a_value_cannot_control_the_terminal_or_its_markup() -> None:
    text = screen_of(found_of(nasty_person("\x1b[2J[red]x[/red]\u202e")), show_values=True)
    assert not {"\x1b", "\u202e"} & set(text)
    assert "[red]x[/red]" in text
