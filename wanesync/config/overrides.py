"""The raw tables of a configuration, before they are typed: overrides, secret references, checks across tables.

Each function takes the tables as ``tomllib`` reads them and returns the problems it finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from wanesync.config.alerts import RECIPIENT_LISTS
from wanesync.config.locations import PREFIX, ConfigProblem, KeyLocations, KeyPath
from wanesync.config.references import expand_home, is_reference
from wanesync.config.value_types import HUBSPOT_URL, STRIPE_URL, as_tuple, is_loopback
from wanesync.core.errors import ConfigError
from wanesync.core.fields import FieldSpec
from wanesync.core.model import Side
from wanesync.core.setup.database_address import find_unproven_host, has_password, join_login

Table = dict[str, object]
OTHER_VARIABLES = ("WANESYNC_CONFIG", "WANESYNC_SHARED", "WANESYNC_TEST_")
"""Variables of ours that are no keys of the configuration."""
EMAIL_FORMS = ("email", "lower", "text")
"""Canonical forms that leave an e-mail address one."""
MAX_METADATA_FIELDS = 48
"""Stripe keeps 50 keys (docs.stripe.com/api/metadata), two of which are the ids that wanesync writes."""


def _is_address(text: str) -> bool:
    return "://" in text


LITERAL_FORMS: Mapping[str, Callable[[str], bool]] = {
    "database": has_password,
    **dict.fromkeys(RECIPIENT_LISTS, _is_address),
}
"""Key of a secret -> which of its texts hold one; those of any other key do."""
TRUE = frozenset("true 1 yes on t y".split())
"""How pydantic writes true in a variable of the environment."""
REAL_APIS = {"hubspot": HUBSPOT_URL, "stripe": STRIPE_URL}


def resolve_database_path(data: Table, default: str, folder: Path) -> None:
    """Make the path of a SQLite database (or of ``default``) relative to the ``folder`` of the configuration."""
    database = data.setdefault("database", default)
    name = _sqlite_path(database)
    if name not in ("", ":memory:") and not name.startswith(("//", "~")):
        data["database"] = f"sqlite:{folder / name}"


def check_database_path(data: Table) -> Iterator[ConfigProblem]:
    """Check the path of a SQLite database, wherever it comes from, and write it without the slashes of a URL."""
    database = data.get("database")
    name = _sqlite_path(database)
    if not name:
        return
    if name == ":memory:":
        yield ConfigProblem(("database",), "must be a file: what is in memory ends with the command")
        return
    try:
        path = expand_home(name, "sqlite:")
    except ConfigError as error:
        yield from (ConfigProblem(("database",), text) for text in error.problems)
        return
    if name != name.strip() or path.name != path.name.strip():
        yield ConfigProblem(("database",), "begins or ends with a blank: leave it out")
    elif name.startswith("//") or name.endswith("/") or "?" in name:
        text = "must be sqlite:FILE, relative to the folder of the configuration, or sqlite:/FOLDER/FILE, absolute"
        yield ConfigProblem(("database",), text)
    elif path.is_absolute() and len(path.parts) == 2:
        text = f"is a file at the root of the disk: sqlite:{path.name} is beside the configuration"
        yield ConfigProblem(("database",), text)
    else:
        data["database"] = f"sqlite:{path}"


def _sqlite_path(database: object) -> str:
    """Return the path of a SQLite database, "" for another one.

    Of the forms of a URL, ``sqlite:///state.db`` is relative and ``sqlite:////srv/state.db`` absolute, as other
    programs have it; one that could be either keeps its slashes, and is refused.
    """
    scheme, _, name = str(database).partition(":")
    if scheme != "sqlite":
        return ""
    if name.startswith("////"):
        return name[3:]
    if name.startswith("///") and "/" not in name[3:] and name[3:]:
        return name[3:]
    return name


def override(data: Table, env: Mapping[str, str], locations: KeyLocations) -> Iterator[ConfigProblem]:
    """Apply every ``WANESYNC_SECTION__KEY`` of ``env`` and note its name in ``locations``."""
    for name, value in sorted(env.items()):
        if not name.startswith(PREFIX) or name.startswith(OTHER_VARIABLES):
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        locations.variables[tuple(path)] = name
        table = data
        for part in path[:-1]:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                yield ConfigProblem(tuple(path), "is unknown: what stands before the last __ must be a table")
            table = inner if isinstance(inner, dict) else {}
        try:
            table[path[-1]] = json.loads(value) if value.startswith("[") else value
        except (ValueError, RecursionError):
            table[path[-1]] = None
            yield ConfigProblem(tuple(path), 'is not JSON: several values are written as ["one", "two"]')


def resolve_files(data: Table, keys: Iterable[str], folder: Path) -> None:
    """Make the paths of ``keys`` (``network.ca_bundle``) relative to the ``folder`` of the configuration."""
    for key in keys:
        section, _, name = key.partition(".")
        table = data.get(section)
        if isinstance(table, dict) and isinstance(value := table.get(name), str) and value:
            table[name] = str(folder / Path(value).expanduser()) if value.startswith("~/") else str(folder / value)


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


def drop_unused(data: Table, keys: Iterable[str]) -> None:
    """Remove the secrets of ``keys`` (``stripe.api_key``) that are references: a process resolves what it uses only."""
    for key in keys:
        table, name = _find_table(data, key)
        if any(map(is_reference, _texts(table.get(name)))):
            del table[name]


def find_secrets(data: Table, keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return secret -> its texts as they are written, references among them; those that are not set are left out."""
    found = {}
    for key in sorted(keys):
        table, name = _find_table(data, key)
        if texts := _texts(table.get(name)):
            found[key] = tuple(texts)
    return found


def resolve_secrets(data: Table, keys: Iterable[str], lookup: Callable[[str, str], list[str]]) -> list[ConfigProblem]:
    """Replace the secrets of ``keys`` by the values of ``lookup(key, text)``, by None where that raises ConfigError."""
    problems: list[ConfigProblem] = []
    for key in sorted(keys):
        table, name = _find_table(data, key)
        value = table.get(name)
        path: KeyPath = tuple(key.split("."))
        texts = value if isinstance(value, list) else [value]
        found: list[object] = []
        for index, text in enumerate(texts):
            try:
                found += lookup(key, text) if isinstance(text, str) else [text]
            except ConfigError as error:
                place = (*path, index) if isinstance(value, list) else path
                problems += [ConfigProblem(place, problem) for problem in error.problems]
                found.append(None)
        if name in table:
            table[name] = found if isinstance(value, list) or len(found) != 1 else found[0]
    return problems


def _find_table(data: Table, key: str) -> tuple[Table, str]:
    """Return the table that a key (``stripe.api_key``, ``database``) stands in, and its name there."""
    section, _, name = key.rpartition(".")
    table = data.get(section) if section else data
    return (table if isinstance(table, dict) else {}), name


def find_literal_secrets(data: Table, keys: Iterable[str]) -> Iterator[KeyPath]:
    """Find the keys (``stripe.api_key``) whose value is a secret itself, or an address with a password."""
    for key in sorted(keys):
        section, _, name = key.partition(".")
        table = data.get(section)
        value = (table.get(name) if isinstance(table, dict) else None) if name else table
        texts = [text for text in _texts(value) if not is_reference(text)]
        if any(map(LITERAL_FORMS.get(key, bool), texts)):
            yield tuple(key.split("."))


def _texts(value: object) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def join_password(data: Table) -> Iterator[ConfigProblem]:
    """Put ``database_password`` into the address of the database, where it has none itself."""
    password, address = data.get("database_password"), data.get("database")
    if not isinstance(password, str) or not isinstance(address, str) or not address.startswith("postgresql:"):
        return
    joined = join_login(address, password)
    if joined is None:
        text = "belongs to an address with a user and without a password: postgresql://user@host/name"
        yield ConfigProblem(("database_password",), text)
    else:
        data["database"] = joined


def check_transit(data: Table, env: Mapping[str, str]) -> Iterator[ConfigProblem]:
    """Check that a Postgres which a network leads to has to prove who it is."""
    private = as_tuple(_table(data, "network").get("private", ()))
    names = [one for one in private if isinstance(one, str)] if isinstance(private, list | tuple) else []
    host = find_unproven_host(str(data.get("database")), names, env)
    if host:
        text = (
            f"a network leads to {host}, so the server must prove who it is: add sslmode=verify-full (and "
            "sslrootcert=FILE) to the address, or name a private network in network.private"
        )
        yield ConfigProblem(("database",), text)


def check_across_tables(data: Table, *, stores: bool = True) -> Iterator[ConfigProblem]:
    """Check what depends on several tables: live keys and base URLs, creations, Postgres and its encryption keys.

    ``stores``: the process uses the database.
    """
    security = _table(data, "security")
    without_keys = security.get("keys", []) == [] and not security.get("key_file")
    if stores and str(data.get("database")).startswith("postgresql:") and without_keys:
        yield ConfigProblem(
            ("security", "keys"), "is needed with Postgres, which has no file for a key to stand beside (or key_file)"
        )
    pinned = str(_table(data, "network").get("allow_base_url", "")).lower() not in TRUE
    for section, key, missing in (("hubspot", "contacts", "customers"), ("stripe", "customers", "contacts")):
        table = _table(data, section)
        address = str(table.get("base_url", REAL_APIS[section]))
        loopback = is_loopback(address)
        if pinned and address.rstrip("/") != REAL_APIS[section]:
            text = (
                f"must be {REAL_APIS[section]}: another address gets the key only with [network] allow_base_url = true"
            )
            yield ConfigProblem((section, "base_url"), text)
        if loopback and str(_table(data, "stripe").get("api_key")).startswith(("sk_live_", "rk_live_")):
            text = f"is a live key, but {section}.base_url is a sandbox on this machine: use sk_test_…, or the real API"
            yield ConfigProblem(("stripe", "api_key"), text)
        create = _table(data, "create")
        if loopback:
            create.setdefault(key, "all")
        elif key not in create:
            text = f'must be set: "all" creates {key} for {missing} that have none, "none" does not'
            yield ConfigProblem(("create", key), text)


def check_email_field(data: Table, entries: Sequence[FieldSpec]) -> Iterator[ConfigProblem]:
    """Check that the field map carries the e-mail address wherever people are created."""
    if not entries:
        return
    index, spec = next(((i, s) for i, s in enumerate(entries) if _is_email(s)), (0, None))
    if spec is None:
        text = (
            "has no entry for the e-mail address, by which people are found: add one with "
            'hubspot = "email", stripe = "email", transform = "email"'
        )
        yield ConfigProblem(("field",), text)
        return
    if spec.name != "email":
        yield ConfigProblem(("field", index, "name"), f'must be "email" for the e-mail address, not "{spec.name}"')
    if spec.transform not in EMAIL_FORMS:
        text = f'must be "email" for the e-mail address, not "{spec.transform}"'
        yield ConfigProblem(("field", index, "transform"), text)
    create = _table(data, "create")
    for key, side in (("customers", Side.STRIPE), ("contacts", Side.HUBSPOT)):
        if create.get(key) == "all" and not spec.direction.reaches(side):
            text = f'must be "both": with create.{key} = "all" the e-mail address is written to {side}'
            yield ConfigProblem(("field", index, "direction"), text)


def _is_email(spec: FieldSpec) -> bool:
    return spec.hubspot == ("email",) and spec.stripe == ("email",)


def find_duplicates(data: Table) -> Iterator[ConfigProblem]:
    """Find names, properties and Stripe paths that two ``[[field]]`` entries use."""
    entries = data.get("field")
    owners: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        for key in ("name", "hubspot", "stripe"):
            values = as_tuple(entry.get(key, ())) if isinstance(entry, dict) else ()
            for value in map(str, values if isinstance(values, list | tuple) else ()):
                # HubSpot's internal names are lower case; a metadata key is taken as it is written.
                value = value.lower() if key == "hubspot" else value  # noqa: PLW2901 - one value in one form
                if (key, value) in owners:
                    text = f"{value} is taken by entry number {owners[key, value] + 1}: use it once"
                    yield ConfigProblem(("field", index, key), text)
                owners[key, value] = index


def check_metadata_room(data: Table) -> Iterator[ConfigProblem]:
    """Find the first ``[[field]]`` for whose metadata key Stripe has no room: two keys are ours."""
    entries = data.get("field")
    keys = [
        index
        for index, entry in enumerate(entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and str(entry.get("stripe")).startswith("metadata.")
    ]
    if len(keys) > MAX_METADATA_FIELDS:
        text = f"is one metadata key too many: Stripe keeps 50, of which {MAX_METADATA_FIELDS} can be mapped"
        yield ConfigProblem(("field", keys[MAX_METADATA_FIELDS], "stripe"), text)


def _table(data: Table, name: str) -> Table:
    table = data.setdefault(name, {})
    return table if isinstance(table, dict) else {}
