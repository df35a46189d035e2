"""The raw tables of a configuration, before they are typed: overrides, references, and what hangs together.

Each function takes what ``tomllib`` reads, changes it in place where it says so, and hands back problems.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from wanesync.config.locations import PREFIX, KeyPath, Origins, Problem
from wanesync.config.value_types import HUBSPOT_URL, STRIPE_URL, is_loopback, listed
from wanesync.core.errors import ConfigError

Table = dict[str, object]
OTHER_VARIABLES = ("WANESYNC_CONFIG", "WANESYNC_SHARED", "WANESYNC_TEST_", "WANESYNC_FAIL")
"""Ours too, but no keys of the configuration."""
REAL = {"hubspot": HUBSPOT_URL, "stripe": STRIPE_URL}


def place(data: Table, default: str, folder: Path) -> None:
    """A SQLite file that the configuration names (or ``default``) begins at its ``folder``, wherever we are called."""
    database = data.setdefault("database", default)
    scheme, _, name = str(database).partition(":")
    if scheme == "sqlite" and name not in ("", ":memory:"):
        data["database"] = f"sqlite:{folder / name}"


def override(data: Table, env: Mapping[str, str], origins: Origins) -> Iterator[Problem]:
    """Put every ``WANESYNC_SECTION__KEY`` of ``env`` in its place and note its name in ``origins``."""
    for name, value in sorted(env.items()):
        if not name.startswith(PREFIX) or name.startswith(OTHER_VARIABLES):
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        origins.variables[tuple(path)] = name
        table = data
        for part in path[:-1]:
            table = _table(table, part)
        try:
            table[path[-1]] = json.loads(value) if value.startswith("[") else value
        except ValueError:
            table[path[-1]] = None
            yield Problem(tuple(path), 'is not JSON: several values are written as ["one", "two"]')


def resolve(data: Table, lookup: Callable[[str, str], str]) -> list[Problem]:
    """Replace every text of ``data`` by ``lookup(key, text)``, by None where that raises ConfigError."""
    problems: list[Problem] = []

    def replaced(value: object, path: KeyPath) -> object:
        if isinstance(value, dict):
            return {name: replaced(inner, (*path, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, (*path, index)) for index, inner in enumerate(value)]
        try:
            return lookup(".".join(str(part) for part in path[:2]), value) if isinstance(value, str) else value
        except ConfigError as error:
            problems.extend(Problem(path, text) for text in error.problems)
            return None

    data.update((name, replaced(value, (name,))) for name, value in list(data.items()))
    return problems


def complete(data: Table) -> Iterator[Problem]:
    """What hangs together across tables: live keys and addresses, who may be created, Postgres and its sealing keys."""
    if str(data.get("database")).startswith("postgresql:") and _table(data, "security").get("keys", []) == []:
        yield Problem(("security", "keys"), "is needed with Postgres, which has no file for a key to stand beside")
    for section, key, missing in (("hubspot", "contacts", "customers"), ("stripe", "customers", "contacts")):
        table = _table(data, section)
        loopback = is_loopback(str(table.get("base_url", REAL[section])))
        if loopback and str(table.get("api_key")).startswith(("sk_live_", "rk_live_")):
            text = "is a live key, but stripe.base_url is a sandbox on this machine: use sk_test_…, or the real API"
            yield Problem((section, "api_key"), text)
        create = _table(data, "create")
        if loopback:
            create.setdefault(key, "all")
        elif key not in create:
            text = f'must be said: "all" creates {key} for {missing} that have none, "none" does not'
            yield Problem(("create", key), text)


def duplicates(data: Table) -> Iterator[Problem]:
    """A name, a property or a Stripe path that two ``[[field]]`` entries claim."""
    entries = data.get("field")
    owners: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        for key in ("name", "hubspot", "stripe"):
            values = listed(entry.get(key, ())) if isinstance(entry, dict) else ()
            for value in map(str, values if isinstance(values, list | tuple) else ()):
                if (key, value) in owners:
                    text = f"{value} is taken by entry number {owners[key, value] + 1}: use it once"
                    yield Problem(("field", index, key), text)
                owners[key, value] = index


def _table(data: Table, name: str) -> Table:
    table = data.setdefault(name, {})
    return table if isinstance(table, dict) else {}
