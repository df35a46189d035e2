"""The report as one page that loads nothing and lets no value out of its place."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.reports import (
    CREATED,
    HEADING,
    NASTY,
    PARKED,
    PEOPLE,
    UPDATED,
    Found,
    Page,
    found_of,
    nasty_person,
    page_of,
)
from wanesync.cli.reports.html_report import write_html
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.ops.people.record_pages import find_record_pages
from wanesync.output import clean


def test_a_page_lists_its_rows_for_its_script(tmp_path: Path) -> None:
    rows = page_of(found_of(*PEOPLE), tmp_path / "a.html", show_values=True).rows()
    assert [row[:4] for row in rows] == [
        ["create_customer", "101", "", ""],
        ["update_customer", "102", "cus_2", ""],
        ["conflict", "103", "cus_3", ""],
        ["ambiguous", "104", "", "ambiguous: 2 contacts carry its e-mail"],
    ]
    assert rows[1][4] == [["city", "Wien", "WIEN", "stripe", "Wien", "changed since both agreed", "case"]]


@pytest.mark.parametrize("value", [NASTY, "<script>alert(1)</script>", "@@ROWS@@ @@TITLE@@", "]</SCRIPT >", "\\u003c"])
def test_no_value_gets_out_of_its_place(value: str, tmp_path: Path) -> None:
    harmless = page_of(found_of(nasty_person("Wien")), tmp_path / "a.html", show_values=True)
    nasty = page_of(found_of(nasty_person(value)), tmp_path / "b.html", show_values=True)
    assert nasty.tags == harmless.tags
    assert nasty.scripts[1:] == harmless.scripts[1:]
    assert nasty.rows()[0][3] == clean(value)


def test_names_are_escaped_wherever_the_page_shows_them(tmp_path: Path) -> None:
    report = found_of(UPDATED)
    report.unlike[("<b>field</b>", ValueKind.OTHER)] = 2
    report.lost = {"<i>hubspot</i>": 3}
    page = page_of(report, tmp_path / "a.html")
    assert not [tag for tag, _ in page.tags if tag in {"b", "i"}]
    for text in ("<b>field</b>", "<i>hubspot</i>", "acct_<7>"):
        assert text in page.text


def test_a_page_makes_no_request(tmp_path: Path) -> None:
    page = page_of(found_of(*PEOPLE), tmp_path / "a.html")
    for tag, attributes in page.tags:
        assert not {"src", "href", "srcset", "action", "style", "data", "poster"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith(("on", "xlink"))], tag
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
    assert not re.search(r"url\(|@import|https?:", "".join(page.styles) + page.scripts[1])
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|fetch", page.scripts[1])


def test_ids_lead_to_the_records_where_there_are_pages(tmp_path: Path) -> None:
    heading = replace(HEADING, pages=find_record_pages("4242", "acct_7", "test"))
    write_html(found_of(*PEOPLE), tmp_path / "a.html", heading, show_values=False)
    page = Page((tmp_path / "a.html").read_text())
    [table] = [attributes for tag, attributes in page.tags if attributes.get("id") == "list"]
    assert table["data-contact"] == "https://app.hubspot.com/contacts/4242/record/0-1/"
    assert table["data-customer"] == "https://dashboard.stripe.com/acct_7/test/customers/"
    [without] = [a for tag, a in page_of(found_of(), tmp_path / "b.html").tags if a.get("id") == "list"]
    assert (without["data-contact"], without["data-customer"]) == ("", "")


def test_the_policy_allows_the_pages_own_script_and_style_only(tmp_path: Path) -> None:
    page = page_of(found_of(*PEOPLE), tmp_path / "a.html")
    (policy,) = [a["content"] or "" for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    hashes = [f"'sha256-{b64encode(sha256(s.encode()).digest()).decode()}'" for s in (page.scripts[1], page.styles[0])]
    assert rules == {
        "default-src": "'none'",
        "script-src": hashes[0],
        "style-src": hashes[1],
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_page_says_when_and_what_was_compared_and_what_would_happen(tmp_path: Path) -> None:
    text = " ".join(page_of(found_of(*PEOPLE), tmp_path / "a.html").text.split())
    for part in (
        "Differences, 2026-09-21 14:13 UTC: HubSpot portal 7 and Stripe account acct_<7>",
        "HubSpot portal 7 and Stripe account acct_<7>, 2026-09-21 14:13 UTC. Values are masked",
        "A reconcile would repair 2 differences.",
        "customers written 4 each a customer.updated event",
        "e-mails changed 0 where invoices go",
        "city 1 1 case",
    ):
        assert part in text


def test_a_page_with_values_warns_of_personal_data(tmp_path: Path) -> None:
    page = page_of(found_of(*PEOPLE), tmp_path / "a.html", show_values=True)
    assert "Values are shown: personal data." in page.text


def test_the_longest_bar_is_that_of_the_largest_class(tmp_path: Path) -> None:
    page = page_of(found_of(CREATED, CREATED, CREATED, CREATED, PARKED), tmp_path / "a.html")
    widths = [attributes["width"] for tag, attributes in page.tags if tag == "rect"]
    assert widths == ["0", "100.0%", "25.0%"]


def test_every_input_has_a_label_and_every_class_a_button(tmp_path: Path) -> None:
    page = page_of(found_of(*PEOPLE), tmp_path / "a.html")
    labelled = {attributes["for"] for tag, attributes in page.tags if tag == "label"}
    assert {attributes["id"] for tag, attributes in page.tags if tag in {"input", "select"}} == labelled
    buttons = [attributes["data-class"] for tag, attributes in page.tags if "data-class" in attributes]
    assert buttons == ["create_customer", "update_customer", "conflict", "ambiguous"]


def test_a_page_that_cannot_list_all_says_so_and_keeps_the_small_classes(tmp_path: Path) -> None:
    report = found_of(*[CREATED] * 50, *[PARKED] * 3, *[UPDATED] * 40)
    page = page_of(report, tmp_path / "a.html", most=20)
    assert Counter(row[0] for row in page.rows()) == {"create_customer": 9, "update_customer": 8, "ambiguous": 3}
    assert "The page lists 20 of 93 differences; the CSV file (--csv) holds all of them." in page.text


def test_a_page_of_nothing_has_no_rows(tmp_path: Path) -> None:
    page = page_of(Found(), tmp_path / "a.html")
    assert page.rows() == []
    assert "Nothing to repair." in page.text
