"""Database roles for one test: roles belong to the whole server, so each test has names of its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from wanesync.store.roles.apply import apply_roles, find_target
from wanesync.store.roles.matrix import Role
from wanesync.store.roles.statements import Target

WAIT_S = 20


class RoleLogins:
    """The roles of a database, and the address by which each logs in."""

    def __init__(self, url: str, target: Target) -> None:
        self.url, self.target = url, target

    def address(self, role: Role) -> str:
        """The address of the database for a role."""
        return as_user(self.url, self.target.name(role))


def as_user(url: str, user: str) -> str:
    """The same address for another user."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}").geturl()


@contextmanager
def made_roles(url: str) -> Iterator[RoleLogins]:
    """Roles with their rights on a migrated database, removed at the end."""
    target = find_target(url, f"t{uuid.uuid4().hex[:10]}_")
    try:
        apply_roles(url, target)
        yield RoleLogins(url, target)
    finally:
        with psycopg.connect(url, autocommit=True) as owner:
            _remove_roles(owner, target.prefix)


def _remove_roles(owner: psycopg.Connection, prefix: str) -> None:
    """Remove all roles of a test, after the last of their sessions: REASSIGN OWNED locks every table, one by one."""
    found = owner.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname::text, %s)", [prefix]).fetchall()
    names = [name for (name,) in found]

    def each(command: LiteralString) -> None:
        for name in names:
            owner.execute(sql.SQL(command).format(sql.Identifier(name)))

    # So that a process which still runs, of whichever role, does not connect again.
    each("ALTER ROLE {} NOLOGIN")
    _end_sessions(owner, names)
    each("REASSIGN OWNED BY {} TO CURRENT_USER")
    each("DROP OWNED BY {}")
    each("DROP ROLE {}")


def _end_sessions(owner: psycopg.Connection, names: list[str]) -> None:
    """End the sessions of roles, and return when none is left: one that is ending still holds its locks."""
    deadline = time.monotonic() + WAIT_S
    ends = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = ANY(%s)"
    while owner.execute(ends, [names]).fetchone() is not None:
        assert time.monotonic() < deadline, f"the sessions of {', '.join(names)} do not end"
