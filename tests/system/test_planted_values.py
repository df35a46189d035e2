"""A thousand personal values pass through the whole program: none stands in a file, a log or on a terminal.

Files are those of the database too: on Postgres its data directory with its write-ahead log and its own log. Neither
does any key stand there. The keys that encrypt are rotated meanwhile, and a worker crashes.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.support.planted import DIGITS, WORD, find_planted, plant, spell, spell_exactly, spell_markers
from tests.support.stage import HUBSPOT_SECRET, KEY, STRIPE_SECRET, Stage
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, temporary_cluster
from wanesync.core.model import Side
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY

PEOPLE = {"sqlite": 200, "postgres": 40}
"""Of five values each; fewer on Postgres, whose files are many and large."""
KEYS = (HUBSPOT_SECRET, STRIPE_SECRET, HUBSPOT_KEY, STRIPE_KEY, KEY.partition(":")[2])
HOLD_KEYS = {"wanesync.toml", "test.keys"}
"""The files in which keys stand."""
LOGS = '[log]\nlevel = "debug"\nstore = true\nstore_rate = 1000\n'
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
    ("runs", "start"),
    ("logs", "--json"),
    ("logs", "--csv", "--source", "log"),
    ("doctor",),
    ("keys", "rotate"),
    ("keys", "rewrap", "--json"),
    ("keys", "status"),
]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_planted_value_stands_anywhere(database: str, tmp_path: Path) -> None:
    people = [plant(number) for number in range(PEOPLE[database])]
    values = [value for person in people for value in person.values()]
    assert len(set(values)) == PEOPLE[database] * 5
    folders = [tmp_path]
    with ExitStack() as stack:
        url = f"sqlite:{tmp_path / 'wanesync.db'}"
        if database == "postgres":
            cluster = stack.enter_context(temporary_cluster(UNSAFE_SETTINGS))
            folders.append(cluster.folder / "data")
            url = cluster.url
        stage = stack.enter_context(Stage(url, tmp_path, more=LOGS, key_file=True))
        printed, shown = _play(stage, people)
        wanted = spell_markers()
        assert all(value in shown for value in people[1].values()), "the search finds what is shown on demand"
        assert all(any(spelling.decode() in shown for spelling in spell(value)) for value in (WORD, DIGITS))
        keys = {spelling: key for key in KEYS for spelling in spell_exactly(key)}
        contents = list(_contents(folders, printed))
        found = find_planted([one for one in contents if one[0] in HOLD_KEYS], wanted)
        found += find_planted([one for one in contents if one[0] not in HOLD_KEYS], wanted | keys)
    assert found == []


def _play(stage: Stage, people: list[dict[str, str]]) -> tuple[list[str], str]:
    """Let the people pass through the program: what it printed, and what it shows on demand."""
    folder = stage.file.parent
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
    # A worker that crashes in the midst of it, with the traces that Python then writes.
    crashing = stage.start("worker", PYTHONFAULTHANDLER="1")
    crashing.first_line()
    crashing.signal(signal.SIGABRT)
    crashing.wait()
    assert "Fatal Python error: Aborted" in crashing.log.read_text()
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
    printed = [urlopen(f"{url}/metrics", timeout=10).read().decode()]
    for arguments in COMMANDS:
        named = [str(folder / one) if one.endswith((".csv", ".html", ".jsonl")) else one for one in arguments]
        done = stage.run(*named)
        printed += [done.stdout, done.stderr]
    return printed, stage.run("history", people[1]["email"], "--show-values").stdout


def _contents(folders: list[Path], printed: list[str]) -> Iterator[tuple[str, bytes]]:
    """Every file below folders, and what commands printed."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    assert {"diff.csv", "diff.html", "plan.jsonl"} <= {path.name for path in files}
    assert any(path.name == "wanesync.db" or path.parent.name == "pg_wal" for path in files)
    assert any(path.suffix == ".log" for path in files)
    for path in files:
        # Postgres removes files while it runs.
        with suppress(FileNotFoundError):
            yield path.name, path.read_bytes()
    yield "printed", "\n".join(printed).encode()
