"""The matrix as SQL. Every statement may run again, and what is not in the matrix is revoked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wanesync.core.errors import ConfigError
from wanesync.store.roles.matrix import FUNCTIONS, MATRIX, PLAIN, Role, Rule, Verb, find_access, has_row_rules
from wanesync.store.roles.tables import Column, read_tables

DEFAULT_PREFIX = "wanesync_"
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,39}")  # with the longest role, below the 63 bytes of a name in Postgres


@dataclass(frozen=True, slots=True)
class Target:
    """Where the roles get their rights: database, schema, and the prefix of their names. Raises ConfigError."""

    database: str
    schema: str = "public"
    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigError(
                ["--prefix: must be a lower-case letter, then up to 39 lower-case letters, digits and underscores"]
            )

    def name(self, role: Role) -> str:
        """The name of a role as SQL; the prefix makes it one that needs no quotes."""
        return f"{self.prefix}{role}"

    def table(self, table: str) -> str:
        """A table as SQL."""
        return f"{quote(self.schema)}.{table}"


AUDIT_FUNCTION = "refuse_audit_change"
"""The function of our own, which the trigger on the audit log calls; a trigger needs no right to execute it."""


def quote(name: str) -> str:
    """Return a name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def build_statements(target: Target) -> list[str]:
    """Return the statements that make the roles and give each exactly its rights, to run in one transaction.

    Passwords are none of them: a role without one can only log in by a certificate, IAM or peer authentication.
    """
    return [
        *_make_roles(target),
        *_bound_times(target),
        *_close_database(target),
        *_close_functions(target),
        *_take_over_tables(target),
        *_drop_policies(target),
        *(statement for table in MATRIX for statement in _open_table(target, table)),
    ]


def _make_roles(target: Target) -> Iterator[str]:
    for role in Role:
        name = target.name(role)
        # Not altered afterwards: its operator may have given it a password, limits or settings.
        yield (
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {_literal(name)}) THEN "
            f"CREATE ROLE {name} LOGIN; END IF; END $$"  # nosec B608 - every name is checked or quoted
        )
    # To hand tables over to a role takes membership in it; who has made it may grant that (Postgres 16), or has it.
    migrate = target.name(Role.MIGRATE)
    yield (
        f"DO $$ BEGIN IF NOT pg_has_role({_literal(migrate)}, 'USAGE') THEN "
        f"EXECUTE format('GRANT {migrate} TO %I', current_user); END IF; END $$"
    )


TIMEOUTS_MS: Mapping[str, int] = {
    "lock_timeout": 3_000,
    "statement_timeout": 30_000,
    "idle_in_transaction_session_timeout": 10_000,
    "transaction_timeout": 600_000,
}
"""What bounds a session of a role that sets nothing itself, such as one by hand (our choices).

``transaction_timeout`` is of Postgres 17 and newer. A session may set each of them itself, as ours do: a hostile one is
not bound by them.
"""
_LONG = {"statement_timeout": 600_000, "idle_in_transaction_session_timeout": 600_000, "transaction_timeout": 0}
"""Of the roles that list, compare and report: their long reads stop no other session (our choices)."""


def _bound_times(target: Target) -> Iterator[str]:
    for role in Role:
        if role is Role.MIGRATE:
            continue
        name = target.name(role)
        for setting, usual_ms in TIMEOUTS_MS.items():
            value = _LONG.get(setting, usual_ms) if role in {Role.ADMIN, Role.READ_ONLY} else usual_ms
            # What its operator has set stays. Who only repeats the grants (migrate) may not alter a role, and need not.
            found = (
                "SELECT FROM pg_db_role_setting, unnest(setconfig) AS entry "  # nosec B608 - checked or quoted names
                f"WHERE setrole = {_literal(name)}::regrole AND starts_with(entry, '{setting}=')"
            )
            yield (
                "DO $$ BEGIN IF EXISTS "  # nosec B608 - checked or quoted names
                f"(SELECT FROM pg_settings WHERE name = '{setting}') AND NOT EXISTS ({found}) "
                f"THEN ALTER ROLE {name} SET {setting} = {value}; END IF; "
                "EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
            )


def _close_database(target: Target) -> Iterator[str]:
    database, schema, all_roles = quote(target.database), quote(target.schema), _all_roles(target)
    migrate = target.name(Role.MIGRATE)
    others = _all_roles(target, but=Role.MIGRATE)
    yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC, {others}"
    yield f"GRANT CONNECT ON DATABASE {database} TO {all_roles}"
    yield f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {others}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {all_roles}"
    yield f"GRANT CREATE ON SCHEMA {schema} TO {migrate}"
    for what in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        yield f"REVOKE ALL ON ALL {what} IN SCHEMA {schema} FROM PUBLIC, {others}"
    # Functions, unlike tables, are open to PUBLIC when they are made.
    yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {migrate} REVOKE ALL ON FUNCTIONS FROM PUBLIC"


def _close_functions(target: Target) -> Iterator[str]:
    """Take functions of the server from every other login; without a right to do so Postgres warns and leaves them."""
    for function, roles in FUNCTIONS.items():
        yield f"REVOKE ALL ON FUNCTION pg_catalog.{function} FROM PUBLIC, {_all_roles(target)}"
        names = ", ".join(target.name(role) for role in Role if role in {*roles, Role.MIGRATE})
        yield f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {names}"


def _take_over_tables(target: Target) -> Iterator[str]:
    migrate = target.name(Role.MIGRATE)
    schema, tables = _literal(target.schema), _literal("{" + ",".join(MATRIX) + "}")
    found = f"SELECT tablename FROM pg_tables WHERE schemaname = {schema} AND tablename = ANY ({tables}::name[])"  # noqa: S608 - every name is checked or quoted
    yield (
        f"DO $$ DECLARE found name; BEGIN FOR found IN {found} AND tableowner <> {_literal(migrate)} LOOP "
        f"EXECUTE format('ALTER TABLE %I.%I OWNER TO {migrate}', {schema}, found); END LOOP; END $$"
    )
    yield f"ALTER FUNCTION {quote(target.schema)}.{AUDIT_FUNCTION}() OWNER TO {migrate}"


def _drop_policies(target: Target) -> Iterator[str]:
    schema, prefix = _literal(target.schema), _literal(target.prefix)
    found = f"SELECT tablename, policyname FROM pg_policies WHERE schemaname = {schema}"  # noqa: S608 - every name is quoted
    yield (
        f"DO $$ DECLARE found record; BEGIN FOR found IN {found} AND starts_with(policyname::text, {prefix}) LOOP "
        f"EXECUTE format('DROP POLICY %I ON %I.%I', found.policyname, {schema}, found.tablename); END LOOP; END $$"
    )


def _open_table(target: Target, table: str) -> Iterator[str]:
    ruled = has_row_rules(table)
    if ruled:
        # Its owner is not bound by it: one role that owns everything works as without any of this.
        yield f"ALTER TABLE {target.table(table)} ENABLE ROW LEVEL SECURITY"
    for role in Role:
        if role is Role.MIGRATE:
            continue
        for verb, rule in find_access(role, table).items():
            yield f"GRANT {verb}{_list_columns(table, verb, rule)} ON {target.table(table)} TO {target.name(role)}"
            if ruled:
                yield _make_policy(target, table, role, verb, rule)


def _make_policy(target: Target, table: str, role: Role, verb: Verb, rule: Rule) -> str:
    rows, becomes = rule.rows or "true", rule.becomes or rule.rows or "true"
    head = (
        f"CREATE POLICY {target.name(role)}_{verb.lower()} ON {target.table(table)} FOR {verb} TO {target.name(role)}"
    )
    using = "" if verb is Verb.INSERT else f" USING ({rows})"
    check = f" WITH CHECK ({becomes})" if verb in {Verb.INSERT, Verb.UPDATE} else ""
    return head + using + check


def _list_columns(table: str, verb: Verb, rule: Rule) -> str:
    """Return the columns of a grant; of UPDATE always: granted on the table it would allow every LOCK TABLE."""
    named = rule.columns or verb is Verb.UPDATE
    return f" ({', '.join(choose_columns(table, rule))})" if named else ""


def choose_columns(table: str, rule: Rule) -> list[str]:
    """Return the columns of a table that a rule names, in their order. Raises ValueError: there is no such column."""
    known: tuple[Column, ...] = read_tables()[table]
    if not rule.columns:
        return [column.name for column in known]
    if rule.columns == PLAIN:
        return [column.name for column in known if not column.sealed]
    named = {name.removeprefix("-") for name in rule.columns}
    if unknown := named - {column.name for column in known}:
        raise ValueError(f"{table} has no column {', '.join(sorted(unknown))}")
    without = rule.columns[0].startswith("-")
    return [column.name for column in known if (column.name in named) is not without]


def _all_roles(target: Target, *, but: Role | None = None) -> str:
    return ", ".join(target.name(role) for role in Role if role is not but)
