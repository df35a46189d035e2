"""Reports made by hand, and each form of them read back: for the tests of ``wanesync.cli.reports``."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

from rich.console import Console

from wanesync.cli.reports.csv_report import write_csv
from wanesync.cli.reports.differences import show, write_json
from wanesync.cli.reports.html_report import Heading, write_html
from wanesync.core.diff.bulk_guards import Volume
from wanesync.core.diff.difference import ACTIONABLE, KEPT, Difference, DifferenceClass, FieldDifference
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.core.model import Side

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
    set_aside: Sequence[tuple[Side, str, str]] = ()

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


def screen_of(report: Found, *, show_values: bool = False) -> str:
    out = io.StringIO()
    show(Console(file=out, width=160, highlight=False, soft_wrap=True), report, show_values=show_values)
    return out.getvalue()


def nasty_person(value: str) -> Difference:
    return Difference(
        DifferenceClass.CONFLICT, "1", "cus_1", {"city": FieldDifference(value, "B", "", KEPT)}, note=value
    )
