"""The raw tables of a configuration, before they are typed: overrides, secret references, checks across tables.

Each function takes the tables as ``tomllib`` reads them and returns the problems it finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from wanesync.config.locations import PREFIX, ConfigProblem, KeyLocations, KeyPath
from wanesync.config.value_types import HUBSPOT_URL, STRIPE_URL, as_tuple, is_loopback
from wanesync.core.errors import ConfigError

Table = dict[str, object]
OTHER_VARIABLES = ("WANESYNC_CONFIG", "WANESYNC_SHARED", "WANESYNC_TEST_", "WANESYNC_FAIL")
"""Variables of ours that are no keys of the configuration."""
REAL_APIS = {"hubspot": HUBSPOT_URL, "stripe": STRIPE_URL}


def resolve_database_path(data: Table, default: str, folder: Path) -> None:
    """Make the path of a SQLite database (or of ``default``) relative to the ``folder`` of the configuration."""
    database = data.setdefault("database", default)
    scheme, _, name = str(database).partition(":")
    if scheme == "sqlite" and name not in ("", ":memory:"):
        data["database"] = f"sqlite:{folder / name}"


def override(data: Table, env: Mapping[str, str], locations: KeyLocations) -> Iterator[ConfigProblem]:
    """Apply every ``WANESYNC_SECTION__KEY`` of ``env`` and note its name in ``locations``."""
    for name, value in sorted(env.items()):
        if not name.startswith(PREFIX) or name.startswith(OTHER_VARIABLES):
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        locations.variables[tuple(path)] = name
        table = data
        for part in path[:-1]:
            table = _table(table, part)
        try:
            table[path[-1]] = json.loads(value) if value.startswith("[") else value
        except ValueError:
            table[path[-1]] = None
            yield ConfigProblem(tuple(path), 'is not JSON: several values are written as ["one", "two"]')


def resolve(data: Table, lookup: Callable[[str, str], str]) -> list[ConfigProblem]:
    """Replace every text of ``data`` by ``lookup(key, text)``, by None where that raises ``ConfigError``."""
    problems: list[ConfigProblem] = []

    def replaced(value: object, path: KeyPath) -> object:
        if isinstance(value, dict):
            return {name: replaced(inner, (*path, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, (*path, index)) for index, inner in enumerate(value)]
        try:
            return lookup(".".join(str(part) for part in path[:2]), value) if isinstance(value, str) else value
        except ConfigError as error:
            problems.extend(ConfigProblem(path, text) for text in error.problems)
            return None

    data.update((name, replaced(value, (name,))) for name, value in list(data.items()))
    return problems


def check_across_tables(data: Table) -> Iterator[ConfigProblem]:
    """Check what depends on several tables: live keys and base URLs, creations, Postgres and its encryption keys."""
    if str(data.get("database")).startswith("postgresql:") and _table(data, "security").get("keys", []) == []:
        yield ConfigProblem(
            ("security", "keys"), "is needed with Postgres, which has no file for a key to stand beside"
        )
    for section, key, missing in (("hubspot", "contacts", "customers"), ("stripe", "customers", "contacts")):
        table = _table(data, section)
        loopback = is_loopback(str(table.get("base_url", REAL_APIS[section])))
        if loopback and str(table.get("api_key")).startswith(("sk_live_", "rk_live_")):
            text = "is a live key, but stripe.base_url is a sandbox on this machine: use sk_test_…, or the real API"
            yield ConfigProblem((section, "api_key"), text)
        create = _table(data, "create")
        if loopback:
            create.setdefault(key, "all")
        elif key not in create:
            text = f'must be set: "all" creates {key} for {missing} that have none, "none" does not'
            yield ConfigProblem(("create", key), text)


def find_duplicates(data: Table) -> Iterator[ConfigProblem]:
    """Find names, properties and Stripe paths that two ``[[field]]`` entries use."""
    entries = data.get("field")
    owners: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        for key in ("name", "hubspot", "stripe"):
            values = as_tuple(entry.get(key, ())) if isinstance(entry, dict) else ()
            for value in map(str, values if isinstance(values, list | tuple) else ()):
                if (key, value) in owners:
                    text = f"{value} is taken by entry number {owners[key, value] + 1}: use it once"
                    yield ConfigProblem(("field", index, key), text)
                owners[key, value] = index


def _table(data: Table, name: str) -> Table:
    table = data.setdefault(name, {})
    return table if isinstance(table, dict) else {}
