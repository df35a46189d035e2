"""What ``diff`` and ``reconcile`` show: the screen, JSON, CSV and the page, masked, escaped and never all in memory."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from wanesync.cli.reports.csv_report import COLUMNS, write_csv
from wanesync.cli.reports.differences import show, write_json
from wanesync.cli.reports.html_report import Heading, write_html
from wanesync.core.bulk_guards import Volume
from wanesync.core.diff.difference import ACTIONABLE, KEPT, Difference, DifferenceClass, FieldDifference
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.core.errors import ConfigError

HEADING = Heading(1_790_000_000_000, "HubSpot portal 7 and Stripe account acct_<7>")
NASTY = "</script><img src=x onerror=alert(1)>\"'&\u2028<!--"
FORMULAS = ["=1+1", "+49 30 1", "-2", "@SUM(A1)", "\tx", "\rx", "＝1"]
CREATED = Difference(
    DifferenceClass.CREATE_CUSTOMER,
    "101",
    "",
    {
        "email": FieldDifference("ada@example.com", "", "stripe", "missing there", "ada@example.com", ValueKind.BLANK),
        "name": FieldDifference("Ada\x1fLovelace", "", "stripe", "missing there", "Ada Lovelace", ValueKind.BLANK),
        "language": FieldDifference("tlh", "", "stripe", "missing there", "", ValueKind.BLANK),
    },
)
UPDATED = Difference(
    DifferenceClass.UPDATE_CUSTOMER,
    "102",
    "cus_2",
    {"city": FieldDifference("Wien", "WIEN", "stripe", "changed since both agreed", "Wien", ValueKind.CASE)},
)
KEPT_APART = Difference(
    DifferenceClass.CONFLICT, "103", "cus_3", {"phone": FieldDifference("112", "110", "", KEPT, how=ValueKind.OTHER)}
)
PARKED = Difference(DifferenceClass.AMBIGUOUS, "104", "", note="ambiguous: 2 contacts carry its e-mail")
PEOPLE = [CREATED, UPDATED, KEPT_APART, PARKED]
VALUES = ["ada@example.com", "Lovelace", "tlh", "Wien", "WIEN", "112", "110"]


@dataclass
class Found:
    """A report that makes its differences as they are asked for."""

    made: Iterable[Difference] = ()
    counts: Counter[DifferenceClass] = field(default_factory=Counter)
    volume: Volume = field(default_factory=Volume)
    to_link: int = 0
    unlike: Counter[tuple[str, ValueKind]] = field(default_factory=Counter)
    lost: Mapping[str, object] | None = None
    requests: int = 2
    timing: Mapping[str, float] = field(default_factory=dict)

    @property
    def actionable(self) -> int:
        return sum(self.counts[kind] for kind in ACTIONABLE)

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        wanted = (found for found in self.made if kind in {None, found.kind})
        return islice(wanted, None if limit < 0 else limit)


def found_of(*people: Difference, in_sync: int = 5) -> Found:
    """A report on some people, of whom an update takes place on both ends of the plan."""
    counts = Counter(found.kind for found in people) + Counter({DifferenceClass.IN_SYNC: in_sync})
    unlike = Counter((name, value.how) for found in people for name, value in found.fields.items())
    volume = Volume(links=9, link_only=4, fills=3, overwritten=1, created_customers=1, writes_stripe=4)
    return Found(people, counts, volume, 4, unlike)


class Many(Found):
    """So many conflicts, each made when its turn comes."""

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        for at in range(self.counts[DifferenceClass.CONFLICT] if kind in {None, DifferenceClass.CONFLICT} else 0):
            if at == limit:
                return
            yield Difference(
                DifferenceClass.CONFLICT, str(at), f"cus_{at}", {"city": FieldDifference("A" * 99, "B", "", KEPT)}
            )


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, its scripts, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        kept = {"script": self.scripts, "style": self.styles}.get(self.tags[-1][0] if self.tags else "")
        if kept is not None and self.cdata_elem:
            kept.append(data)
        else:
            self.text += f"{data} "

    def rows(self) -> list[list[object]]:
        rows: list[list[object]] = json.loads(self.scripts[0])
        return rows


def json_of(report: Found, *, show_values: bool = False) -> dict[str, object]:
    out = io.StringIO()
    write_json(report, out, show_values=show_values)
    document: dict[str, object] = json.loads(out.getvalue())
    return document


def csv_of(report: Found, path: Path, *, show_values: bool = False) -> list[dict[str, str]]:
    write_csv(report, path, show_values=show_values)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page_of(report: Found, path: Path, *, show_values: bool = False, most: int = 100) -> Page:
    write_html(report, path, HEADING, show_values=show_values, max_rows=most)
    return Page(path.read_text(encoding="utf-8"))


def write(report: Found, path: Path) -> None:
    """The report that the name of the file asks for."""
    if path.suffix == ".csv":
        write_csv(report, path, show_values=True)
    else:
        write_html(report, path, HEADING, show_values=True)


def screen_of(report: Found, *, show_values: bool = False) -> str:
    out = io.StringIO()
    show(Console(file=out, width=160, highlight=False, soft_wrap=True), report, show_values=show_values)
    return out.getvalue()


def nasty_person(value: str) -> Difference:
    return Difference(
        DifferenceClass.CONFLICT, "1", "cus_1", {"city": FieldDifference(value, "B", "", KEPT)}, note=value
    )


# -- masking


@pytest.mark.parametrize("value", VALUES)
def test_no_value_is_shown_unless_asked_for(value: str, tmp_path: Path) -> None:
    report = found_of(*PEOPLE)
    write_csv(report, tmp_path / "a.csv", show_values=False)
    write_html(report, tmp_path / "a.html", HEADING, show_values=False)
    out = io.StringIO()
    write_json(report, out, show_values=False)
    page = Page((tmp_path / "a.html").read_text())
    for text in ((tmp_path / "a.csv").read_text(), page.scripts[0], page.text, out.getvalue(), screen_of(report)):
        assert value not in text


@pytest.mark.parametrize("value", VALUES)
def test_values_are_shown_when_asked_for(value: str, tmp_path: Path) -> None:
    report = found_of(*PEOPLE)
    write_csv(report, tmp_path / "a.csv", show_values=True)
    assert value in (tmp_path / "a.csv").read_text()
    assert value in page_of(report, tmp_path / "a.html", show_values=True).scripts[0]
    assert value in json.dumps(json_of(report, show_values=True))
    assert value in screen_of(report, show_values=True)


def test_a_name_is_shown_in_one_piece(tmp_path: Path) -> None:
    (row, *_) = [
        row for row in csv_of(found_of(*PEOPLE), tmp_path / "a.csv", show_values=True) if row["field"] == "name"
    ]
    assert (row["hubspot"], row["to"]) == ("Ada Lovelace", "Ada Lovelace")


# -- JSON


def test_json_keeps_its_door() -> None:
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


# -- memory


class Sink(io.StringIO):
    """Counts what is written and keeps none of it."""

    written = 0

    def write(self, text: str) -> int:
        self.written += len(text)
        return len(text)


def test_twenty_thousand_differences_are_never_all_in_memory(tmp_path: Path) -> None:
    report, sink = Many(counts=Counter({DifferenceClass.CONFLICT: 20_000})), Sink()
    tracemalloc.start()
    try:
        write_json(report, sink, show_values=True)
        write_csv(report, tmp_path / "a.csv", show_values=True)
        write_html(report, tmp_path / "a.html", HEADING, show_values=True)
        screen_of(report, show_values=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    least = 20_000 * 150
    assert sink.written > least
    assert (tmp_path / "a.html").stat().st_size > least
    assert peak < least / 1.5


# -- CSV


def test_csv_has_a_line_for_each_field_and_one_for_what_has_none(tmp_path: Path) -> None:
    rows = csv_of(found_of(*PEOPLE), tmp_path / "a.csv", show_values=True)
    assert [(row["hubspot_id"], row["field"]) for row in rows] == [
        ("101", "email"), ("101", "name"), ("101", "language"), ("102", "city"), ("103", "phone"), ("104", "")
    ]  # fmt: skip
    assert tuple(rows[0]) == COLUMNS
    assert rows[3] == {
        "class": "update_customer", "hubspot_id": "102", "stripe_id": "cus_2", "field": "city", "hubspot": "Wien",
        "stripe": "WIEN", "writes": "stripe", "to": "Wien", "why": "changed since both agreed", "kind": "case",
        "note": "", "decision": "",
    }  # fmt: skip
    assert rows[5]["note"] == "ambiguous: 2 contacts carry its e-mail"


@pytest.mark.parametrize("value", FORMULAS)
@pytest.mark.parametrize("show_values", [True, False])
def test_no_cell_is_a_formula(value: str, show_values: bool, tmp_path: Path) -> None:
    rows = csv_of(found_of(nasty_person(value)), tmp_path / "a.csv", show_values=show_values)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(tuple("=+-@\t\r＝＋－＠"))]
    if show_values and value.strip() == value:
        assert rows[0]["hubspot"] == f"'{value}"


@pytest.mark.parametrize("value", ['a"b', "a,b;c", "two\nlines", "two\r\nlines", NASTY, "plain"])
def test_csv_is_read_back_as_it_was(value: str, tmp_path: Path) -> None:
    (row,) = csv_of(found_of(nasty_person(value)), tmp_path / "a.csv", show_values=True)
    assert (row["hubspot_id"], row["hubspot"], row["decision"]) == ("1", value, "")


# -- files


@pytest.mark.parametrize("name", ["a.csv", "a.html"])
def test_a_report_is_its_owners_alone_and_leaves_nothing_beside_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("older")
    path.chmod(0o644)
    write(found_of(*PEOPLE), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert "older" not in path.read_text()


class Broken(Found):
    """Fails after the first difference."""

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        yield CREATED
        raise OSError("the snapshot is gone")


@pytest.mark.parametrize("name", ["a.csv", "a.html"])
def test_a_report_that_fails_leaves_the_older_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("older")
    report = Broken(counts=Counter({DifferenceClass.CREATE_CUSTOMER: 2}))
    with pytest.raises(OSError, match="gone"):
        write(report, path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "older")]


@pytest.mark.parametrize("name", ["nowhere/a.csv", ".", "x" * 300])
def test_a_place_that_cannot_be_written_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        write_csv(Found(), tmp_path / name, show_values=False)


# -- the page


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
    assert nasty.rows()[0][3] == value


def test_names_are_escaped_wherever_the_page_itself_says_them(tmp_path: Path) -> None:
    report = found_of(UPDATED)
    report.unlike[("<b>field</b>", ValueKind.OTHER)] = 2
    report.lost = {"<i>hubspot</i>": 3}
    page = page_of(report, tmp_path / "a.html")
    assert not [tag for tag, _ in page.tags if tag in {"b", "i"}]
    for text in ("<b>field</b>", "<i>hubspot</i>", "acct_<7>"):
        assert text in page.text


def test_a_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    page = page_of(found_of(*PEOPLE), tmp_path / "a.html")
    for tag, attributes in page.tags:
        assert not {"src", "href", "srcset", "action", "style", "data", "poster"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith(("on", "xlink"))], tag
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
    assert not re.search(r"url\(|@import|https?:", "".join(page.styles) + page.scripts[1])
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|fetch", page.scripts[1])


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


# -- the screen


def test_the_screen_tells_what_is_unlike_and_what_would_be_done() -> None:
    text = screen_of(found_of(*PEOPLE))
    for part in ("Fields that differ", "1 case", "What a reconcile would do", "where invoices go", "customer.updated"):
        assert part in text
    assert "What webhooks missed" not in text


def test_the_screen_tells_each_difference_with_its_reason() -> None:
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
    text = screen_of(Found(lost={"hubspot": {"phone": 1200}, "not_subscribed": ["city", "state"], "nobody": []}))
    assert re.search(r"hubspot phone\s+1,200", text)
    assert re.search(r"not subscribed\s+city, state", text)
    assert "nobody" not in text


def test_eight_of_a_class_are_shown_and_the_rest_counted() -> None:
    text = screen_of(found_of(*[UPDATED] * 20))
    assert text.count("cus_2") == 8
    assert "… and 12 more" in text


def test_a_value_cannot_steer_the_terminal_or_its_markup() -> None:
    text = screen_of(found_of(nasty_person("\x1b[2J[red]x[/red]\u202e")), show_values=True)
    assert not {"\x1b", "\u202e"} & set(text)
    assert "[red]x[/red]" in text
