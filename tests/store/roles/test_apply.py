"""Roles are made in a real Postgres, and made again."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, closing

import psycopg
import pytest

from tests.support.database_roles import as_user, made_roles
from wanesync.core.errors import ConfigError
from wanesync.store import make_key, open_store
from wanesync.store.roles.apply import apply_roles, find_target
from wanesync.store.roles.matrix import Role
from wanesync.store.session import PrivilegeDenied

KEYS = [make_key("k001")]
RIGHTS = (
    "SELECT relname, relacl::text, relrowsecurity, relowner FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname"
)
POLICIES = "SELECT * FROM pg_policies WHERE schemaname = 'public' ORDER BY tablename, policyname"


def read_rights(url: str) -> list[tuple[object, ...]]:
    """The rights on every table, in an order of their own."""
    with psycopg.connect(url) as owner:
        tables = owner.execute(RIGHTS).fetchall()
        return [
            *[(name, *sorted(str(rights).strip("{}").split(",")), *rest) for name, rights, *rest in tables],
            *owner.execute(POLICIES).fetchall(),
            *owner.execute("SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname = 'public'").fetchall(),
            *owner.execute(
                "SELECT rolname FROM pg_roles WHERE rolname <> 'pg_database_owner' AND NOT rolsuper"
                " AND has_database_privilege(oid, current_database(), 'TEMPORARY') ORDER BY 1"
            ).fetchall(),
        ]


def test_they_can_be_made_again_also_by_the_role_that_migrates(postgres_url: str) -> None:
    open_store(postgres_url, KEYS, migrate=True).close()
    with made_roles(postgres_url) as made:
        before = read_rights(postgres_url)
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            # What is not in the matrix goes.
            owner.execute(f"GRANT DELETE ON links TO {made.target.name(Role.INTAKE)}".encode())
            owner.execute(f"GRANT CREATE ON SCHEMA public TO {made.target.name(Role.INTAKE)}".encode())
            owner.execute(f"GRANT TEMPORARY ON DATABASE {owner.info.dbname} TO {made.target.name(Role.QUEUE)}".encode())
            owner.execute(f"GRANT SELECT (content) ON records TO {made.target.name(Role.INTAKE)}".encode())
        apply_roles(postgres_url, made.target)
        assert read_rights(postgres_url) == before
        migrate = made.address(Role.MIGRATE)
        apply_roles(migrate, made.target)
        assert read_rights(postgres_url) == before
        with closing(open_store(migrate, KEYS, migrate=True)) as store:
            assert store.migrate() == []


@pytest.mark.parametrize(
    "attribute",
    [
        "ALTER ROLE {intake} SUPERUSER",
        "ALTER ROLE {intake} BYPASSRLS",
        "ALTER ROLE {intake} CREATEROLE",
        "GRANT {migrate} TO {intake}",
        "GRANT {admin} TO {intake}",
        "GRANT pg_write_all_data TO {intake}",
    ],
)
def test_a_role_that_no_rule_would_bind_is_refused(postgres_url: str, attribute: str) -> None:
    open_store(postgres_url, KEYS, migrate=True).close()
    with made_roles(postgres_url) as made:
        names = {role.value: made.target.name(role) for role in Role}
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(attribute.format(**names).encode())
        with pytest.raises(ConfigError, match=f"{names['intake']}: may do more than its grants"):
            apply_roles(postgres_url, made.target)


def test_the_roles_of_a_test_are_removed_also_while_a_session_of_one_holds_a_table(postgres_url: str) -> None:
    open_store(postgres_url, KEYS, migrate=True).close()
    with ExitStack() as stack, made_roles(postgres_url) as made:
        for role in (Role.HUBSPOT_WORKER, Role.STRIPE_WORKER, Role.ADMIN):
            session = stack.enter_context(closing(psycopg.connect(made.address(role))))
            # Its transaction does not end before its role is removed, as that of a process which is stopped.
            session.execute("SELECT 1 FROM jobs")
    with psycopg.connect(postgres_url) as owner:
        left = "SELECT 1 FROM pg_roles WHERE starts_with(rolname::text, %s)"
        assert owner.execute(left, [made.target.prefix]).fetchone() is None


def test_the_owner_of_a_database_who_may_create_roles_needs_no_superuser(postgres_url: str) -> None:
    # As on a managed Postgres: functions of the server stay open there.
    boss = f"boss_{uuid.uuid4().hex[:8]}"
    own = postgres_url.replace("?", f"_{boss}?")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        database = f"{server.info.dbname}_{boss}"
        server.execute(f"CREATE ROLE {boss} LOGIN CREATEROLE".encode())
        server.execute(f"CREATE DATABASE {database} OWNER {boss}".encode())
        try:
            open_store(as_user(own, boss), KEYS, migrate=True).close()
            target = find_target(own, f"{boss}_")
            apply_roles(as_user(own, boss), target)
            apply_roles(as_user(own, boss), target)
            with closing(open_store(as_user(own, target.name(Role.STRIPE_WORKER)), KEYS)) as store:
                store.run(lambda tx: tx.settings.put("mark", "1"))
                with store.reading() as tx:
                    assert tx.settings.get("mark") == "1"
        finally:
            server.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
            for role in Role:
                server.execute(f"DROP ROLE IF EXISTS {boss}_{role}".encode())
            server.execute(f"DROP ROLE {boss}".encode())


def test_without_tables_or_without_the_right_to_make_them_it_says_what_to_do(postgres_url: str) -> None:
    target = find_target(postgres_url, "none_")
    with pytest.raises(ConfigError, match="run `wanesync db migrate` first"):
        apply_roles(postgres_url, target)
    open_store(postgres_url, KEYS, migrate=True).close()
    with made_roles(postgres_url) as made, pytest.raises(ConfigError, match="CREATEROLE"):
        apply_roles(made.address(Role.READ_ONLY), target)


def test_a_process_with_another_role_is_told_so_in_one_line(postgres_url: str) -> None:
    open_store(postgres_url, KEYS, migrate=True).close()
    with made_roles(postgres_url) as made, closing(open_store(made.address(Role.INTAKE), KEYS)) as store:
        with pytest.raises(PrivilegeDenied, match="the role that is meant for it") as caught:
            store.run(lambda tx: tx.jobs.claim("hubspot", ["read"], 1, "w1"))  # type: ignore[arg-type, list-item] # texts
        assert caught.value.lasts


def test_an_older_encryption_key_opens_the_database_for_a_role_that_may_not_seal_the_index_key_anew(
    postgres_url: str,
) -> None:
    open_store(postgres_url, KEYS, migrate=True).close()
    with made_roles(postgres_url) as made:
        with closing(open_store(made.address(Role.READ_ONLY), [make_key("k002"), *KEYS])) as store:
            known = store.hmac("ada@example.com")
        with closing(open_store(postgres_url, KEYS)) as store:
            assert store.hmac("ada@example.com") == known


def test_another_login_is_shown_nothing_of_the_address_but_its_name(postgres_url: str) -> None:
    with pytest.raises(ConfigError, match="names no database"):
        find_target("postgresql://h.example")
    assert find_target("postgresql://ann:secret@h.example").database == "ann"
    assert as_user("postgresql://ann@h/d", "bob") == "postgresql://bob@h/d"
