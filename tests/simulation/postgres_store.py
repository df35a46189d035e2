"""``python -m tests.simulation.postgres_store --seeds N``: seeds on a Postgres whose transactions interleave.

A statement that stores something may be preceded by a whole step of another process, or by a webhook: it commits
between what the outer transaction read and what it stores, as it can under read committed. Where the inner transaction
needs a row that the outer one has locked, it fails at once, and its step is tried again later.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.simulation import play, steps, stores, world
from tests.simulation.play import Play
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, temporary_cluster
from wanesync.core.model import Side
from wanesync.store.database import Tx
from wanesync.store.encryption import load_keyring
from wanesync.store.postgres import Connection, PostgresDatabase, PostgresSession, translate
from wanesync.store.queries import Dialect, Parameters, Query, load_migrations
from wanesync.store.session import ConstraintViolated, Row, Session, SessionContext

if TYPE_CHECKING:
    from tests.simulation.parts import Flight, Process
    from tests.simulation.world import World

STORES = re.compile(r"INSERT INTO (?:records|links|pending_writes|purchases|conflicts|jobs)\b|UPDATE ")
"""Statements before which another transaction may run to its end."""
COPIES = re.compile(r"INSERT INTO records\b")
CHANCE = 0.3
COPY_CHANCE = 0.9
"""Rarely has another process something to store of the same record, so nearly every occasion is taken."""
SETTINGS = (*UNSAFE_SETTINGS, "synchronous_commit=off")


class Interleaving:
    """Runs a step of another process inside a transaction, never inside the inner one."""

    def __init__(self) -> None:
        self.rng = random.Random()
        self.steps: Callable[[], Sequence[Callable[[], object]]] = list
        self.process: object = None
        self.inside = False
        self.count = 0
        self.late = 0
        self.report: Callable[[str], None] = lambda _: None

    def __call__(self, text: str) -> None:
        chance = COPY_CHANCE if COPIES.search(text) else CHANCE
        if self.inside or not STORES.search(text) or self.rng.random() >= chance:
            return
        self.inside, outer = True, self.process
        try:
            choices = self.steps()
            if choices:
                self.count += 1
                self.rng.choice(choices)()
        finally:
            self.inside, self.process = False, outer


class SimPostgresSession(PostgresSession):
    """A transaction that others interrupt."""

    def __init__(
        self, connection: Connection, label: str, context: SessionContext, interleaving: Interleaving, writing: bool
    ) -> None:
        super().__init__(connection, label, context, writing=writing)
        run = self.execute

        def execute(text: str, values: object = None) -> object:
            interleaving(text)
            return run(text, values)

        if writing:
            self.execute = execute  # type: ignore[assignment] # as the driver's, after what came in between
        self._interleaving = interleaving

    def execute_each(self, query: Query, batch: Sequence[Parameters]) -> list[Row]:
        """As every session's, after what came in between."""
        self._interleaving(query.text)
        stands = self._late_copies(batch) if query.name == "put_record" else set()
        rows = super().execute_each(query, batch)
        if stands.intersection(rows):
            self._interleaving.report("a copy replaced one that came after it was decided")
        return rows

    def _late_copies(self, batch: Sequence[Parameters]) -> set[Row]:
        """Those of copies about to be stored whose records another transaction has stored since they were read.

        A reconcile would mend what they undo before the seed's end, so the end does not show them.
        """
        decided = {(row["side"], row["id"]): row["read_revision"] for row in batch if row["read_revision"] != -1}
        ids = [record_id for _, record_id in decided]
        found = self._cursor.execute("SELECT side, id, revision FROM records WHERE id = ANY(%s)", (ids,)).fetchall()
        stands = {(side, record_id): revision for side, record_id, revision in found}
        late = {ref for ref, read in decided.items() if stands.get(ref, 0) != read}
        self._interleaving.late += len(late)
        return late


class SimPostgres(PostgresDatabase):
    """A Postgres whose own time is the simulation's."""

    def __init__(self, url: str, interleaving: Interleaving) -> None:
        super().__init__(url)
        self.interleaving = interleaving
        self.seal = load_keyring([], "sqlite::memory:")
        self.true_ms: Callable[[], int] = lambda: 0
        migrations = load_migrations(Dialect.POSTGRES)
        self.migrate(migrations, 0)
        statements = [statement for migration in migrations for statement in migration.statements]
        self._tables = [found[1] for statement in statements if (found := stores.TABLE.match(statement))]
        self._inserts = [statement for statement in statements if stores.INSERT.match(statement)]
        self._reader = self.connect()

    def _configure(self, connection: Connection) -> None:
        super()._configure(connection)
        # An inner transaction waits in vain for the outer one.
        connection.execute("SET lock_timeout = 20; SET idle_in_transaction_session_timeout = 0")

    def measure_offset_ms(self, clock: Callable[[], int]) -> int:
        """Database time minus ``clock``."""
        return self.true_ms() - clock()

    @contextmanager
    def session(self, context: SessionContext, *, writing: bool) -> Iterator[Session]:
        """As every Postgres's, but others come in between."""
        connection = self._take()
        try:
            connection.execute("BEGIN", prepare=False)
            session = self.begin(connection, context, writing)
            yield session
            connection.execute("COMMIT")
        except BaseException as error:
            connection.rollback()
            translated = translate(error, self.label)
            if translated is error:
                raise
            raise translated from error
        finally:
            self._pool.putconn(connection)

    def begin(self, connection: Connection, context: SessionContext, writing: bool) -> SimPostgresSession:
        """The session of a transaction that has begun."""
        return SimPostgresSession(connection, self.label, context, self.interleaving, writing)

    def open_reader(self) -> Tx:
        """Sees the queue as it is now; its own time is none."""
        context = SessionContext(self.seal, random.Random(), int)
        return Tx(PostgresSession(self._reader, self.label, context, writing=False))

    def close(self) -> None:
        """Close every connection."""
        self._reader.close()
        super().close()

    def wipe(self) -> None:
        """As new."""
        self._reader.execute(f"TRUNCATE {', '.join(self._tables)}")
        for statement in self._inserts:
            self._reader.execute(statement)


def other_steps(game: Play, interleaving: Interleaving) -> list[Callable[[], object]]:
    """Steps of processes other than the one whose transaction is open, and webhooks."""
    scene = game.world
    found: list[Callable[[], object]] = []
    for process in scene.processes:
        if process is interleaving.process or process.paused_until > scene.now:
            continue
        found += [partial(steps.fill, scene, process, side) for side in process.worker.sides]
        answered = [one for one in scene.flights if one.process is process and one.state == "answered"]
        found += [partial(steps.settle, scene, flight) for flight in answered] * 3
    for side in Side:
        due_ms = scene.machine(side).next_delivery_ms()
        if due_ms is not None and due_ms <= scene.now:
            found += [partial(steps.deliver, scene, side)] * 3
    return found


@contextmanager
def interleaved(url: str, make: Callable[[str, Interleaving], SimPostgres] = SimPostgres) -> Iterator[Interleaving]:
    """While it lasts, every seed is played on this Postgres."""
    interleaving = Interleaving()
    database = make(url, interleaving)
    fill, settle, begin, beat = steps.fill, steps.settle, Play.__init__, world.World.beat

    def filled(scene: World, process: Process, side: Side) -> None:
        interleaving.process = process
        try:
            fill(scene, process, side)
        except ConstraintViolated:
            # Another process claimed a job of the key in between: as a lane does, a little later again.
            process.worker.lease.claim_lost = True

    def settled(scene: World, flight: Flight) -> None:
        interleaving.process = flight.process
        settle(scene, flight)

    def beaten(self: World, process: Process) -> None:
        # It holds the guard of its calls in flight, which a step of its own would wait for.
        interleaving.process = process
        beat(self, process)

    def begun(self: Play, *arguments: object, **more: object) -> None:
        begin(self, *arguments, **more)  # type: ignore[arg-type] # handed on
        interleaving.rng = random.Random(f"interleaved {self.world.seed}")
        interleaving.report = self.world.report
        interleaving.steps = partial(other_steps, self, interleaving)

    def lend(true_ms: Callable[[], int]) -> SimPostgres:
        database.true_ms = true_ms
        return database

    with ExitStack() as stack:
        stack.callback(database.close)
        for target, name, new in (
            (steps, "fill", filled),
            (steps, "settle", settled),
            (world.World, "beat", beaten),
            (Play, "__init__", begun),
            (world, "lend_database", lend),
            (world, "take_back", SimPostgres.wipe),
        ):
            stack.enter_context(patch.object(target, name, new))
        yield interleaving


def main(arguments: list[str]) -> int:
    """Exit code 0: no violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--also", default="")
    given = parser.parse_args(arguments)
    failed = 0
    with temporary_cluster(SETTINGS) as cluster, interleaved(cluster.url) as interleaving:
        for seed in range(given.start, given.start + given.seeds):
            also = frozenset(given.also.split(",")) - {""}
            result = play.play_seed(seed, None, also=also)
            failed += bool(result.violations)
            for violation in result.violations:
                sys.stdout.write(f"{seed}: {violation}\n")
    sys.stdout.write(f"{given.seeds} seeds, {interleaving.count:,} interleaved steps, ")
    sys.stdout.write(f"{interleaving.late:,} copies that came too late, {failed} failed\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
