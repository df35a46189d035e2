"""Makes the roles in a Postgres database. Imports psycopg, which is an extra."""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.store.postgres import bound_waits, describe, translate
from wanesync.store.roles.matrix import MATRIX, Role
from wanesync.store.roles.statements import DEFAULT_PREFIX, Target, build_statements

_STRONG = (
    *("pg_read_all_data", "pg_write_all_data", "pg_read_server_files", "pg_write_server_files"),
    "pg_execute_server_program",
)  # roles of Postgres (docs: predefined roles) whose members need no grant
_LOCK_S = 5  # running processes go on meanwhile, and wait at most as long for a table


def find_target(url: str, prefix: str = DEFAULT_PREFIX, schema: str = "public") -> Target:
    """Return where the roles of an address get their rights, without a connection. Raises ConfigError."""
    label = describe(url)
    parts = conninfo_to_dict(url)
    database = parts.get("dbname") or parts.get("user")
    if not database:
        raise ConfigError([f"database: {label} names no database: postgresql://USER@HOST/NAME"])
    return Target(str(database), schema, prefix)


def apply_roles(url: str, target: Target) -> int:
    """Make the roles and give each its rights, in one transaction; return the number of statements.

    Needs a login that may create roles and owns the database, at the first time; later ``migrate`` itself may do it.
    Raises ConfigError (the tables are missing, the login may not do it) and DatabaseUnavailable.
    """
    label = describe(url)
    statements = build_statements(target)
    try:
        with closing(psycopg.connect(bound_waits(url), connect_timeout=5)) as connection, connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_S}s'; SET LOCAL client_min_messages = error")
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", [target.schema]
            ).fetchall()
            if missing := MATRIX.keys() - {row[0] for row in found}:
                some = ", ".join(sorted(missing)[:3])
                raise ConfigError(
                    [f"the database {label} has no table {some} in {target.schema}: run `wanesync db migrate` first"]
                )
            for statement in statements:
                connection.execute(statement.encode())
            _check_attributes(connection, target)
    except errors.InsufficientPrivilege as error:
        advice = "run it once as the owner of the database with CREATEROLE, or as a superuser"
        reason = (error.diag.message_primary or "").strip()
        raise ConfigError([f"the login of {label} may not make the roles ({reason}): {advice}"]) from error
    except errors.LockNotAvailable as error:
        raise DatabaseUnavailable(f"a table of {label} is in use for longer than {_LOCK_S} s: try again") from error
    except psycopg.Error as error:
        raise translate(error, label) from error
    return len(statements)


def _check_attributes(connection: psycopg.Connection[tuple[object, ...]], target: Target) -> None:
    """Raise ConfigError if a role was there already with what no grant takes away: it would be bound by no rule."""
    names = [target.name(role) for role in Role]
    parts = [name for name in names if name != target.name(Role.MIGRATE)]
    strong = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND (rolsuper OR rolbypassrls OR rolcreaterole)"
        " UNION SELECT member::regrole::text FROM pg_auth_members"
        " WHERE member::regrole::text = ANY (%s) AND roleid::regrole::text = ANY (%s) ORDER BY 1",
        [parts, parts, [*names, *_STRONG]],
    ).fetchall()
    if strong:
        shown, more = ", ".join(str(name) for (name,) in strong), "superuser, BYPASSRLS, CREATEROLE or a membership"
        advice = "take that away, or give another --prefix"
        raise ConfigError([f"{shown}: may do more than its grants ({more}): {advice}"])
