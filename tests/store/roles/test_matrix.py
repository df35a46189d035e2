"""Every role tries every verb on every column of every table, and every function, on a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product

import psycopg
import pytest
from psycopg import errors

from tests.support.database_roles import RoleLogins, as_user, made_roles
from wanesync.store import make_key, open_store
from wanesync.store.roles.apply import apply_roles
from wanesync.store.roles.matrix import FUNCTIONS, MATRIX, Role, Verb, find_access, has_row_rules
from wanesync.store.roles.statements import TIMEOUTS_MS, choose_columns
from wanesync.store.roles.tables import read_tables

SETTINGS = [
    *("index_key", "pin_portal", "pin_stripe_account", "pin_stripe_mode", "writes", "field_map", "listed", "restored"),
    *("portal_check_failure", "hubspot_cursor_ms", "stripe_cursor_ms", "door_test_seen_hubspot", "serverless_door"),
    "secret_trouble:database",
]
LANES = ("hubspot", "stripe")
EVENT = "key, side, kind, record_id, occurred_ms, received_ms, request_key, source, data, is_read, is_judged"
JOB = (
    "id, lane, kind, key, state, priority, due_ms, due_is_fixed, arrived_ms, attempts, rescues, token, owner, "
    "waits_for, reason, dead_class, run_id, turns, superseded, ended_ms"
)
WRITE = (
    "id, side, kind, link_key, source_id, target_id, idempotency_key, data, link_id, generation, created_ms, sent_ms, "
    "result, result_ms"
)
RATE = "scope, configured, effective, filed, ceiling, reason, lowered_ms, raised_ms, tat_us, updated_ms"


def make_job(lane: str, state: str, superseded: int = 0, key: str = "") -> str:
    """The values of a job."""
    key = key or f"{state}{superseded}"
    rest = f"1, 0, 0, 0, 0, 0, '', '', '', '', '', '', 0, {superseded}, 0"
    return f"'{lane}{key}', '{lane}', 'read', '{key}', '{state}', {rest}"


def make_write(side: str, kind: str, result: str) -> str:
    """The values of a pending write."""
    return f"'{side}{kind}{result}', '{side}', '{kind}', '', '', '', '', '', '', 0, 0, 0, '{result}', 0"


ROWS: dict[str, tuple[str, list[str]]] = {
    "settings": ("name, value", [f"'{name}', ''" for name in SETTINGS]),
    "events": (EVENT, [f"'{n}', 'hubspot', 'k', '1', 0, 0, '', '', '', {n & 1}, {n >> 1}" for n in range(4)]),
    "jobs": (
        JOB,
        [make_job(lane, state, n) for lane in LANES for state in ("ready", "running", "done", "dead") for n in (0, 1)],
    ),
    "processes": (
        "name, lanes, started_ms, heartbeat_ms",
        [f"'{lanes}', '{lanes}', 0, 0" for lanes in ("web", "queue", *LANES, "hubspot,stripe")],
    ),
    "pending_writes": (
        WRITE,
        [make_write(side, kind, end) for side in LANES for kind in ("create", "update") for end in ("", "lost", "ok")],
    ),
    "pauses": (
        "name, reason, away, since_ms, probe_ms",
        [f"'{name}', '', 0, 0, 0" for name in (*LANES, "hubspot:contacts.search", "operator:hubspot")],
    ),
    "rates": (
        RATE,
        [f"'{scope}', 1, 1, 1, 0, '', 0, 0, 0, 0" for scope in (*LANES, "hubspot:search", "stripe:bulk")],
    ),
    "reconcile_runs": (
        "id, state, active, beat_ms, process, cancel_asked, facts",
        ["'r1', 'comparing', 1, 0, '', 0, '{}'", "'r2', 'planned', 0, 0, '', 0, '{}'"],
    ),
    "quota_uses": (
        "scope, span, began_ms, used, bulk",
        [f"'{scope}', 'day', 0, 1, 1" for scope in (*LANES, "hubspot:daily")],
    ),
}
"""Table with rules of rows -> its columns, and rows of every kind that a rule tells apart."""


@pytest.fixture(scope="module")
def logins(postgres_databases: object) -> Iterator[RoleLogins]:
    with postgres_databases.lend() as url:  # type: ignore[attr-defined] # tests.support.postgres.Databases
        open_store(url, [make_key("k001")], migrate=True).close()
        with psycopg.connect(url, autocommit=True) as owner:
            run(owner, "DELETE FROM settings")
            for table, (columns, rows) in ROWS.items():
                for values in rows:
                    run(owner, f"INSERT INTO {table} ({columns}) VALUES ({values})")
        with made_roles(url) as made:
            yield made


def run(connection: psycopg.Connection, statement: str) -> psycopg.Cursor:
    """Run a statement that a test has put together."""
    return connection.execute(statement.encode())


@contextmanager
def acting(logins: RoleLogins, role: Role) -> Iterator[psycopg.Connection]:
    """A transaction of a role, rolled back at the end."""
    with closing(psycopg.connect(logins.address(role))) as connection:
        yield connection


def is_allowed(connection: psycopg.Connection, statement: str) -> bool:
    """Whether the statement is not denied; what it does is undone."""
    try:
        with connection.transaction(force_rollback=True):
            run(connection, statement)
    except errors.InsufficientPrivilege:
        return False
    return True


def attempt(verb: Verb, table: str, columns: list[str]) -> str:
    """A statement that touches columns and no row: rights are checked all the same."""
    names = ", ".join(columns)
    return {
        Verb.SELECT: f"SELECT {names} FROM {table} LIMIT 0",
        Verb.INSERT: f"INSERT INTO {table} ({names}) SELECT {', '.join(['NULL'] * len(columns))} WHERE false",
        Verb.UPDATE: f"UPDATE {table} SET {', '.join(f'{name} = DEFAULT' for name in columns)} WHERE false",
        Verb.DELETE: f"DELETE FROM {table} WHERE false",
    }[verb]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.MIGRATE])
def test_a_role_locks_no_table_but_those_it_may_delete_from(logins: RoleLogins, role: Role) -> None:
    """Such a lock stops every other process; Postgres grants it with DELETE, which knows no columns."""
    with acting(logins, role) as connection:
        lockable = {
            table for table in MATRIX if is_allowed(connection, f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        }
    assert lockable == {table for table in MATRIX if Verb.DELETE in find_access(role, table)}


def test_sessions_that_set_no_time_outs_themselves_have_some(logins: RoleLogins) -> None:
    with acting(logins, Role.STRIPE_WORKER) as connection:
        wanted = {
            name: ms
            for name, ms in TIMEOUTS_MS.items()
            if connection.info.server_version >= 170000 or "transaction_" not in name
        }
        shown = {
            name: connection.execute("SELECT setting::int FROM pg_settings WHERE name = %s", [name]).fetchone()
            for name in wanted
        }
    assert shown == {name: (ms,) for name, ms in wanted.items()}
    with acting(logins, Role.MIGRATE) as connection:
        assert connection.execute("SELECT current_setting('statement_timeout')").fetchone() == ("0",)


def test_what_an_operator_has_set_for_a_role_stays(logins: RoleLogins) -> None:
    name = logins.target.name(Role.INTAKE)
    with psycopg.connect(logins.url, autocommit=True) as owner:
        run(owner, f"ALTER ROLE {name} SET lock_timeout = 77")
    apply_roles(logins.url, logins.target)
    with acting(logins, Role.INTAKE) as connection:
        assert connection.execute("SELECT current_setting('lock_timeout')").fetchone() == ("77ms",)


def test_the_matrix_names_every_table() -> None:
    # A new table needs an entry: what each process may do to it.
    assert MATRIX.keys() == read_tables().keys()


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_the_matrix_says_and_nothing_else(logins: RoleLogins, role: Role) -> None:
    wrong: list[str] = []

    def expect(connection: psycopg.Connection, statement: str, *, allowed: bool) -> None:
        if is_allowed(connection, statement) is not allowed:
            wrong.append(statement)

    with acting(logins, role) as connection:
        for table, columns in read_tables().items():
            expect(connection, f"TRUNCATE {table}", allowed=role is Role.MIGRATE)
            for verb in Verb:
                rule = find_access(role, table).get(verb)
                granted = choose_columns(table, rule) if rule else []
                if granted:
                    expect(connection, attempt(verb, table, granted), allowed=True)
                for column in [column.name for column in columns if column.name not in granted]:
                    expect(connection, attempt(verb, table, [column]), allowed=False)
    assert not wrong


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.MIGRATE])
def test_rows_outside_a_rule_are_neither_changed_nor_removed(logins: RoleLogins, role: Role) -> None:
    with psycopg.connect(logins.url) as owner, acting(logins, role) as connection:
        for table, verb in product(ROWS, (Verb.UPDATE, Verb.DELETE)):
            rule = find_access(role, table).get(verb)
            if rule is None:
                continue
            key = "scope" if table in {"rates", "quota_uses"} else read_tables()[table][0].name
            column = choose_columns(table, rule)[0]
            within = matching(owner, table, key, rule.rows)
            fit = matching(owner, table, key, rule.becomes or rule.rows)
            for row in matching(owner, table, key, ""):
                change = f"UPDATE {table} SET {column} = {column}" if verb is Verb.UPDATE else f"DELETE FROM {table}"
                changed = count_changed(connection, f"{change} WHERE {key} = '{row}'")
                refused = verb is Verb.UPDATE and row in within and row not in fit
                assert changed == (None if refused else int(row in within)), f"{change} of {row}"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.MIGRATE])
def test_rows_outside_a_rule_are_not_inserted(logins: RoleLogins, role: Role) -> None:
    with psycopg.connect(logins.url) as owner:
        inserts = [
            (table, f"INSERT INTO {table} ({names}) VALUES ({one})")
            for table, (names, rows) in ROWS.items()
            for one in rows
        ]
        for table, insert in inserts:
            rule = find_access(role, table).get(Verb.INSERT)
            with owner.transaction(force_rollback=True):
                run(owner, f"DELETE FROM {table}")
                returning = f"{insert} RETURNING {rule.rows or 'true'}" if rule else ""
                expected = bool(returning) and run(owner, returning).fetchone() == (True,)
                run(owner, f"DELETE FROM {table}")
                run(owner, f"SET LOCAL ROLE {logins.target.name(role)}")
                assert is_allowed(owner, insert) is expected, insert


def matching(owner: psycopg.Connection, table: str, key: str, condition: str) -> set[str]:
    """The keys of the rows for which a condition of the matrix holds."""
    return {row[0] for row in run(owner, f"SELECT {key} FROM {table} WHERE {condition or 'true'}").fetchall()}


def count_changed(connection: psycopg.Connection, statement: str) -> int | None:
    """How many rows a statement changed before it was undone; None if it was denied."""
    try:
        with connection.transaction(force_rollback=True):
            return run(connection, statement).rowcount
    except errors.InsufficientPrivilege:
        return None


def test_every_table_with_a_rule_of_rows_is_tried_with_rows_of_each_kind() -> None:
    assert {table for table in MATRIX if has_row_rules(table)} == ROWS.keys()


@pytest.mark.parametrize("role", Role)
def test_a_role_may_call_the_functions_that_the_matrix_says(logins: RoleLogins, role: Role) -> None:
    with acting(logins, role) as connection:
        asked = (
            "SELECT name FROM unnest(%s::text[]) AS name WHERE has_function_privilege('pg_catalog.' || name, 'EXECUTE')"
        )
        allowed = {row[0] for row in connection.execute(asked, [list(FUNCTIONS)]).fetchall()}
        assert allowed == {name for name, roles in FUNCTIONS.items() if role is Role.MIGRATE or role in roles}
        assert is_allowed(connection, "SELECT pg_advisory_lock(1)") is (role is Role.MIGRATE)
        assert is_allowed(connection, "SELECT lo_create(0)") is (role is Role.MIGRATE)
        assert is_allowed(connection, "SELECT pg_notify('wanesync', '')") is (role is not Role.READ_ONLY)


OF_OWNERS = (
    "CREATE TABLE tried (id INTEGER)",
    "CREATE FUNCTION tried() RETURNS INTEGER LANGUAGE SQL AS 'SELECT 1'",
    "ALTER TABLE jobs DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE jobs ADD COLUMN tried INTEGER",
    "DROP TABLE conflicts",
)
OF_NO_ROLE = (
    "CREATE TEMP TABLE tried (id INTEGER)",
    "CREATE SCHEMA tried",
    "CREATE ROLE tried",
    "COPY settings TO PROGRAM 'cat'",
    "SELECT pg_read_file('postgresql.conf')",
)


@pytest.mark.parametrize("role", Role)
def test_only_migrate_changes_the_schema_and_no_role_the_server(logins: RoleLogins, role: Role) -> None:
    with acting(logins, role) as connection:
        made = [statement for statement in (*OF_OWNERS, *OF_NO_ROLE) if is_allowed(connection, statement)]
    assert made == (list(OF_OWNERS) if role is Role.MIGRATE else [])


def test_a_login_without_a_role_reaches_nothing(logins: RoleLogins) -> None:
    stranger = f"{logins.target.prefix}stranger"
    with psycopg.connect(logins.url, autocommit=True) as owner:
        run(owner, f"CREATE ROLE {stranger} LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(as_user(logins.url, stranger))


def test_a_worker_queues_on_the_other_lane_and_claims_and_ends_nothing_there(logins: RoleLogins) -> None:
    with acting(logins, Role.HUBSPOT_WORKER) as connection:
        queued = f"INSERT INTO jobs ({JOB}) VALUES ({{}})"
        assert is_allowed(connection, queued.format(make_job("stripe", "ready", key="new")))
        assert not is_allowed(connection, queued.format(make_job("stripe", "running", key="new")))
        assert count_changed(connection, "UPDATE jobs SET state = 'running' WHERE id = 'stripeready0'") is None
        assert count_changed(connection, "UPDATE jobs SET state = 'done' WHERE id = 'stripeready0'") is None
        assert count_changed(connection, "UPDATE jobs SET state = 'ready' WHERE id = 'striperunning0'") == 0
        assert count_changed(connection, "DELETE FROM jobs WHERE id = 'stripeready0'") == 0
        assert not is_allowed(connection, "UPDATE jobs SET lane = 'hubspot' WHERE id = 'stripeready0'")


def test_a_door_reads_no_payload_and_changes_no_switch(logins: RoleLogins) -> None:
    with acting(logins, Role.INTAKE) as connection:
        sealed = [(table, column.name) for table, known in read_tables().items() for column in known if column.sealed]
        assert len(sealed) > 8
        assert not any(is_allowed(connection, f"SELECT {column} FROM {table}") for table, column in sealed)
        assert count_changed(connection, "UPDATE settings SET value = 'on' WHERE name = 'writes'") is None
        assert count_changed(connection, "UPDATE settings SET value = '2' WHERE name = 'pin_portal'") is None
