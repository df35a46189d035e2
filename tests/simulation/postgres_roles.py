"""``python -m tests.simulation.postgres_roles --seeds N``: seeds on a Postgres, each part under its own database role.

One worker for each lane, the door as intake, reconcile and catch-up by hand as admin. A rule of rows hides rows
without an error, so every change is tried as the owner first: a role that changes fewer rows than the owner would is a
violation, but for the statements that are meant for a worker's own lane.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from psycopg import errors

from tests.simulation import hazards, listings, play, postgres_store, steps, world
from tests.simulation.postgres_store import SETTINGS, Interleaving, SimPostgres, SimPostgresSession, interleaved
from wanesync.bench.postgres_cluster import temporary_cluster
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.store import postgres
from wanesync.store.postgres import Connection, PostgresSession, translate
from wanesync.store.queries import Dialect, Parameters, Query, load_queries
from wanesync.store.roles.apply import apply_roles, find_target
from wanesync.store.roles.matrix import Role
from wanesync.store.session import Row, SessionContext
from wanesync.worker.lease import Lease

if TYPE_CHECKING:
    from tests.simulation.parts import Process
    from tests.simulation.world import World

LANES = frozenset({"lanes"})
CHANGES = re.compile(r"(?:UPDATE|DELETE)\b|.*\bFOR (?:UPDATE|SHARE)(?! SKIP)", re.DOTALL)
OF_OWN_LANE = {
    "repair_job_times", "repair_arrival_times", "repair_limit_times", "repair_probe_times", "drop_future_uses",
    "drop_quota_uses",
}  # fmt: skip
"""Every worker runs them, for the rows of its own lane."""
NAMES = {query.text: name for name, query in load_queries(Dialect.POSTGRES).items()}
WORKERS: dict[tuple[Side, ...], Role] = {(Side.HUBSPOT,): Role.HUBSPOT_WORKER, (Side.STRIPE,): Role.STRIPE_WORKER}


class Parts:
    """Which role each store's transactions have, told by the source of randomness that only this store has."""

    def __init__(self) -> None:
        self.roles: dict[int, Role] = {}
        self.opened: list[object] = []
        self.opening: Role | None = None
        self.listing = False
        self.statements = 0
        self.interleaving = Interleaving()

    def translate(self, error: BaseException, label: str) -> BaseException:
        """As the store's; a denied privilege is a violation, which the program might take for an absence."""
        if isinstance(error, errors.InsufficientPrivilege):
            self.interleaving.report(f"denied: {error}")
        return translate(error, label)

    def find(self, context: SessionContext) -> Role | None:
        """The role of a session; None for the test itself."""
        role = self.roles.get(id(context.rng))
        return Role.ADMIN if self.listing and role in WORKERS.values() else role

    @contextmanager
    def open_as(self, role: Role) -> Iterator[None]:
        """Stores that are opened inside belong to a role."""
        outer, self.opening = self.opening, role
        try:
            yield
        finally:
            self.opening = outer

    @contextmanager
    def list(self, on: bool) -> Iterator[None]:
        """Inside, the store of a worker is that of a command, or is not."""
        outer, self.listing = self.listing, on
        try:
            yield
        finally:
            self.listing = outer


class RoleSession(SimPostgresSession):
    """A transaction of one role; ``parts`` gets the changes in which the owner would have changed more rows."""

    def __init__(  # noqa: PLR0917 - as the class above, and what is played
        self, connection: Connection, label: str, context: SessionContext, interleaving: Interleaving, writing: bool,
        parts: Parts,
    ) -> None:  # fmt: skip
        super().__init__(connection, label, context, interleaving, writing)
        self._parts, self._role = parts, parts.find(context)
        if self._role is None:
            return
        connection.execute(f"SET LOCAL ROLE wanesync_{self._role}")
        run = self.execute

        def execute(text: str, values: Parameters | None = None) -> object:
            if CHANGES.match(text) is None:
                return run(text, values)
            done: list[object] = []

            def as_role() -> int:
                done.append(run(text, values))
                return self._cursor.rowcount

            name = NAMES.get(text, text[:60])
            self._compare(name, lambda: self._cursor.execute(text.encode(), values).rowcount, as_role)
            return done[0]

        self.execute = execute  # type: ignore[assignment] # as the driver's, compared with the owner's

    def execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        """As every session's."""
        run = super().execute_each
        if self._role is None or CHANGES.match(query.text) is None or query.lists:
            return run(query, batch)
        found: list[list[Row]] = []

        def as_owner() -> int:
            # Not by the method of the class above, which others interrupt.
            rows = PostgresSession.execute_each(self, query, batch)
            return len(rows) if query.returns else self._cursor.rowcount

        def as_role() -> int:
            found.append(run(query, batch))
            return len(found[0]) if query.returns else self._cursor.rowcount

        self._compare(query.name, as_owner, as_role)
        return found[0]

    def _compare(self, name: str, as_owner: Callable[[], int], as_role: Callable[[], int]) -> None:
        self._parts.statements += 1
        self._cursor.execute("SAVEPOINT compared; SET LOCAL ROLE NONE")
        wanted = as_owner()
        self._cursor.execute("ROLLBACK TO SAVEPOINT compared; RELEASE SAVEPOINT compared")
        # What comes in between runs before both, or they could see different rows.
        interleaving, inside = self._interleaving, self._interleaving.inside
        interleaving.inside = True
        try:
            changed = as_role()
        finally:
            interleaving.inside = inside
        if changed != wanted and name not in OF_OWN_LANE:
            interleaving.report(f"{name} changed {changed} of {wanted} rows as {self._role}")


class RolePostgres(SimPostgres):
    """A Postgres in which each part has its role."""

    def __init__(self, url: str, interleaving: Interleaving, parts: Parts) -> None:
        super().__init__(url, interleaving)
        self._parts = parts
        apply_roles(url, find_target(url))

    def begin(self, connection: Connection, context: SessionContext, writing: bool) -> SimPostgresSession:
        """The session of a transaction that has begun."""
        return RoleSession(connection, self.label, context, self.interleaving, writing, self._parts)


@contextmanager
def under_roles(url: str) -> Iterator[Parts]:
    """While it lasts, every seed is played on this Postgres by parts with their roles."""
    parts = Parts()
    patches = (
        (world.World, "_open_store", _opening(parts, world.World._open_store)),
        (world.World, "start", _starting(parts, world.World.start)),
        (world.World, "open_door", _opening_door(parts, world.World.open_door)),
        (world.World, "_claim_map", _claiming(parts, world.World._claim_map)),
        (world.World, "list_all", _within(parts, world.World.list_all, on=True)),
        (world.World, "sweep", sweep_all),
        # A worker catches up with its own side; the seeds take any.
        (hazards, "catch_up", _within(parts, listings.catch_up, on=True)),
        (postgres_store, "translate", parts.translate),
        (postgres, "translate", parts.translate),
    )
    made = interleaved(url, lambda at, interleaving: RolePostgres(at, interleaving, parts))
    with made as interleaving, ExitStack() as stack:
        parts.interleaving = interleaving
        for target, name, new in patches:
            stack.enter_context(patch.object(target, name, new))
        for owner, name in ((steps, "fill"), (steps, "settle"), (world.World, "beat"), (Lease, "end")):
            stack.enter_context(patch.object(owner, name, _within(parts, getattr(owner, name), on=False)))
        yield parts


def _opening(parts: Parts, opened: Callable[..., object]) -> Callable[..., object]:
    def open_store(*arguments: object, **more: object) -> object:
        store = opened(*arguments, **more)
        if parts.opening is not None:
            rng = store._rng  # type: ignore[attr-defined] # it names the store in each of its sessions
            parts.roles[id(rng)] = parts.opening
            parts.opened.append(rng)
        return store

    return open_store


def _starting(parts: Parts, start: Callable[..., Process]) -> Callable[..., Process]:
    def started(scene: World, sides: tuple[Side, ...] = tuple(Side)) -> Process:
        with parts.open_as(WORKERS[sides]):
            return start(scene, sides)

    return started


def _opening_door(parts: Parts, open_door: Callable[[World], None]) -> Callable[[World], None]:
    def opened(scene: World) -> None:
        with parts.open_as(Role.INTAKE):
            open_door(scene)

    return opened


def _claiming(parts: Parts, claim: Callable[..., None]) -> Callable[..., None]:
    def claimed(scene: World, store: object, fields: object) -> None:
        rng = store._rng  # type: ignore[attr-defined] # it names the store in each of its sessions
        role = parts.roles.get(id(rng))
        if role is Role.INTAKE:
            # A door may not change the map: a worker with the new one has started before.
            parts.roles[id(rng)] = Role.HUBSPOT_WORKER
        try:
            claim(scene, store, fields)
        finally:
            if role is not None:
                parts.roles[id(rng)] = role

    return claimed


def _within(parts: Parts, act: Callable[..., object], *, on: bool) -> Callable[..., object]:
    def acted(*arguments: object) -> object:
        with parts.list(on):
            return act(*arguments)

    return acted


def sweep_all(scene: World) -> None:
    """Every worker requeues abandoned jobs, each those of its own lane."""
    for process in [one for one in scene.processes if one.paused_until <= scene.now]:
        try:
            process.worker.lease.sweep()
        except DatabaseUnavailable as error:
            scene.say("not swept", error)


def main(arguments: list[str]) -> int:
    """Exit code 0: no violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--start", type=int, default=0)
    given = parser.parse_args(arguments)
    failed = 0
    with temporary_cluster(SETTINGS) as cluster, under_roles(cluster.url) as parts:
        for seed in range(given.start, given.start + given.seeds):
            result = play.play_seed(seed, None, also=LANES)
            failed += bool(result.violations)
            for violation in result.violations:
                sys.stdout.write(f"{seed}: {violation}\n")
    sys.stdout.write(f"{given.seeds} seeds, {parts.statements:,} changes compared with the owner's, {failed} failed\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
