"""A thousand personal values pass through the whole program: none stands in a file, a log or on a terminal."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side

PEOPLE = 200
COMMANDS = [
    ("status",),
    ("status", "--json"),
    ("jobs",),
    ("jobs", "--json"),
    ("history",),
    ("history", "--json"),
    ("conflicts",),
    ("conflicts", "--json"),
    ("webhooks", "set-aside"),
    ("hold", "list", "--json"),
    ("limits", "--json"),
    ("diff", "--csv", "diff.csv", "--html", "diff.html"),
    ("diff", "--json"),
    ("reconcile", "--plan-out", "plan.jsonl"),
    ("doctor",),
]
LETTERS = "bcdfghjklmnpqrstvwxz"


def word(number: int) -> str:
    """A word that stands nowhere else: ten letters that hold the number."""
    found = ""
    for _ in range(8):
        number, at = divmod(number * 7 + 3, len(LETTERS))
        found += LETTERS[at] + "ae"[at % 2]
    return found


def plant(number: int) -> dict[str, str]:
    """The five values of one person."""
    return {
        "email": f"{word(number)}@{word(number + 5_000)}.example",
        "name": word(number + 10_000).title(),
        "city": word(number + 20_000).title(),
        "street": f"{word(number + 30_000).title()} {number}",
        "phone": f"+49309{1_000_003 + number * 4_999:07d}",
    }


def spell(value: str) -> Iterator[bytes]:
    """The bytes of a value as files may hold it."""
    for text in {value, value.lower(), value.upper()}:
        plain = text.encode()
        yield from (plain, text.encode("utf-16-le"), plain.hex().encode(), quote(text, safe="").encode())
        # In the middle of a longer text base64 has three forms of it, without what its ends share with others.
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + plain)
            yield coded[4 if shift else 0 : len(coded) // 4 * 4 - 4]


def test_no_planted_value_stands_anywhere(sqlite_url: str, tmp_path: Path) -> None:
    people = [plant(number) for number in range(PEOPLE)]
    values = [value for person in people for value in person.values()]
    assert len(set(values)) == 1_000
    printed: list[str] = []
    with Stage(sqlite_url, tmp_path, more='[log]\nlevel = "debug"\n') as stage:
        line = stage.start("up").first_line()
        url = next(part for part in line.split() if part.startswith("http"))
        stage.aim(url)
        for number, person in enumerate(people):
            if number % 2:
                stage.edit(Side.HUBSPOT, "create", email=person["email"], firstname=person["name"], city=person["city"],
                           address=person["street"], phone=person["phone"])  # fmt: skip
            else:
                stage.edit(Side.STRIPE, "create", email=person["email"], name=person["name"], phone=person["phone"],
                           address__city=person["city"], address__line1=person["street"])  # fmt: skip
        stage.until(
            lambda: all(stage.contact(one["email"]) and stage.customer(one["email"]) for one in people),
            "all are synced",
        )
        # A value that differs, one that is refused, a payment, and webhooks that cannot be read.
        other = stage.customer(people[1]["email"])
        stage.edit(Side.STRIPE, "update", other["id"], address__city=people[2]["city"], phone=people[3]["phone"])
        for path in ("hubspot", "stripe"):
            body = json.dumps([{"email": people[0]["email"]}]).encode()
            with pytest.raises(HTTPError, match="401"):
                urlopen(Request(f"{url}/webhooks/{path}", body), timeout=10)
        stage.rest()
        for arguments in COMMANDS:
            named = [str(tmp_path / one) if one.endswith((".csv", ".html", ".jsonl")) else one for one in arguments]
            done = stage.run(*named)
            printed += [done.stdout, done.stderr]
        shown = stage.run("history", people[1]["email"], "--show-values").stdout.encode()
    wanted = {spelling: value for value in values for spelling in spell(value) if len(spelling) > 6}
    assert any(spelling in shown for spelling in wanted), "the search finds what is shown on demand"
    found = [
        (where, value)
        for where, content in _contents(tmp_path, printed)
        for spelling, value in wanted.items()
        if spelling in content
    ]
    assert found == []


def _contents(folder: Path, printed: list[str]) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and what commands printed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert {"wanesync.db", "diff.csv", "diff.html", "plan.jsonl"} <= {path.name for path in files}
    assert any(path.suffix == ".log" for path in files)
    for path in files:
        yield path.name, path.read_bytes()
    yield "printed", "\n".join(printed).encode()
