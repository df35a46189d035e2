"""Database roles for one test: roles belong to the whole server, so each test has names of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from wanesync.store.roles.apply import apply_roles, find_target
from wanesync.store.roles.matrix import Role
from wanesync.store.roles.statements import Target


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
            ours = "SELECT rolname FROM pg_roles WHERE starts_with(rolname::text, %s)"
            for (name,) in owner.execute(ours, [target.prefix]).fetchall():
                ends = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
                owner.execute(ends, [name])
                owner.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(name)))
                owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
                owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
