"""One long run under steady traffic in which processes, and a Postgres, are killed again and again."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.robustness.chaos import books
from tests.robustness.chaos.post import Toll
from tests.robustness.chaos.posts import BY_HAND, OF_DOORS, Commands, Harried, Hunted
from tests.robustness.chaos.provoke import USUAL, set_faults
from tests.robustness.chaos.recovery import Recoveries
from tests.support.stage import Stage
from wanesync.bench.figures import percentile
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, Cluster
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.sandbox.server import Options, clock_ms
from wanesync.sandbox.traffic import Traffic
from wanesync.sync.failpoints import FAILPOINTS

PEOPLE = 12
RATE_PER_S = 3.0
LOOK_S = 0.04
REST_S = 120.0
START_S = 60.0
RECOVERED_S = 10.0
OPTIONS = Options(tier="enterprise", stripe_limit=1000, hubspot_limit=1000, latency_ms=(20, 120), fault_profile="none")


@dataclass(frozen=True, slots=True)
class Wish:
    """``kills`` with a check after every ``check_every`` of them; the same seed, the same choices."""

    kills: int
    seed: int = 0
    database: str = "sqlite"
    check_every: int = 20


@dataclass(slots=True)
class Result:
    """What a campaign came to. ``recovery_s``: until a killed worker's jobs ran again.

    ``missed``: how often nobody came by a failpoint in time; ``not_reached``: those that killed nobody.
    """

    wish: Wish
    kills: int = 0
    seconds: float = 0.0
    checks: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    starts_failed: int = 0
    missed: dict[str, int] = field(default_factory=dict)
    not_reached: list[str] = field(default_factory=list)
    slowest: list[str] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)
    recovery_s: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """As one JSON document."""
        return asdict(self)


class Campaign:
    """Runs in ``folder`` and leaves there the database, the logs of all processes, and both journals."""

    def __init__(self, wish: Wish, folder: Path, tell: Callable[[str], None]) -> None:
        self.wish, self.folder, self.tell = wish, folder, tell
        self.rng = random.Random(f"chaos {wish.seed}")
        self.result = Result(wish)
        self.cluster = Cluster(folder / "pg", UNSAFE_SETTINGS) if wish.database == "postgres" else None
        self._crash_s = 0.0

    def run(self) -> Result:
        """Until so many were killed or something is wrong."""
        began_s = time.monotonic()
        url = f"sqlite:{self.folder / 'wanesync.db'}"
        try:
            if self.cluster is not None:
                self.cluster.folder.mkdir()
                self.cluster.create()
                self.cluster.start()
                url = self.cluster.url
            with Stage(url, self.folder, OPTIONS) as stage:
                self._fight(stage)
        finally:
            if self.cluster is not None and self.cluster.runs:
                self.cluster.crash()
            self.result.seconds = round(time.monotonic() - began_s, 1)
        return self.result

    # -- the run

    def _fight(self, stage: Stage) -> None:
        for side in Side:
            set_faults(stage, side, USUAL)
        plant(stage)
        stage.reconcile()
        self.toll = toll = Toll(Recoveries(stage.store))
        hunted = Hunted(stage, self.rng, toll)
        # Somebody must be there for the jobs of the dead, or recovery would measure how long a start takes.
        harried = Harried(stage, self.rng, toll, spared=lambda: not hunted.stands)
        doors = Harried(
            stage, self.rng, toll, arguments=("serve",), every_s=(7, 14),
            acts={"SIGKILL": 3, "SIGSTOP": 2, "SIGTERM": 1}, failpoints=OF_DOORS, aim=stage.aim,
        )  # fmt: skip
        self.posts, self.workers = [doors, hunted, harried, Commands(stage, self.rng, toll)], [hunted, harried]
        self._crash_s = time.monotonic() + 9
        try:
            self._rounds(stage)
        finally:
            self._write_down(stage)
            # Some may be stopped, or have a failpoint in the way of a good end.
            for post in self.posts:
                if post.program is not None and post.program.exit_code is None:
                    post.program.kill()

    def _rounds(self, stage: Stage) -> None:
        self._keep_peace(True)
        # Webhooks are only sent once there is a door to send them to.
        end_s = time.monotonic() + START_S
        while not self.posts[0].rests and not self.toll.faults:
            self._tick(stage, None)
            if time.monotonic() > end_s:
                self.toll.faults.append("the doors do not open")
        # Who is not linked yet would keep both values of a field that is edited now: that is no loss.
        stage.until(lambda: self._rests_after_a_tick(stage), "the first listing is done", REST_S)
        self._keep_peace(False)
        number = 0
        while not self.result.violations and self.toll.number < self.wish.kills:
            number += 1
            goal = min(self.wish.kills, number * self.wish.check_every)
            traffic = Traffic(stage.sandbox, self.wish.seed * 1000 + number, RATE_PER_S, clock_ms())
            while self.toll.number < goal and not self.toll.faults:
                self._tick(stage, traffic)
            self._come_to_rest(stage)

    def _rests_after_a_tick(self, stage: Stage) -> bool:
        self._tick(stage, None)
        return stage.at_rest()

    def _tick(self, stage: Stage, traffic: Traffic | None) -> None:
        if traffic is not None:
            traffic.advance(clock_ms())
        for post in self.posts:
            try:
                post.tick()
            except DatabaseUnavailable:
                continue
        if self.cluster is not None and traffic is not None and time.monotonic() >= self._crash_s:
            self._crash_database(self.cluster)
        self._look()
        time.sleep(LOOK_S)

    def _crash_database(self, cluster: Cluster) -> None:
        self.toll.database_down_s = time.monotonic()
        self.toll.take("database crash")
        cluster.crash()
        time.sleep(self.rng.uniform(0, 2))
        cluster.start()
        self.toll.recoveries.look(possible=False)
        self._crash_s = time.monotonic() + self.rng.uniform(15, 30)

    def _come_to_rest(self, stage: Stage) -> None:
        began_s = time.monotonic()
        self._keep_peace(True)
        while not all(post.rests for post in self.posts) and time.monotonic() < began_s + REST_S:
            self._tick(stage, None)
        faults = list(self.toll.faults)
        try:
            stage.until(self._all_run_again, "the jobs of those who were killed run again", REST_S)
            stage.rest(REST_S)
        except AssertionError as error:
            faults.append(f"it does not come to rest: {error}")
        faults += self._read_books(stage)
        self.result.checks += 1
        self.result.violations += faults
        spans = self.toll.recoveries.spans_s
        self.tell(
            f"{self.toll.number:4} kills  {len(stage.sandbox.records(Side.HUBSPOT)):4} people  "
            f"rest after {time.monotonic() - began_s:4.1f} s  recovery p50 {percentile(spans, 0.5):.1f} s "
            f"p99 {percentile(spans, 0.99):.1f} s  {f'{len(faults)} FAULTS' if faults else 'all in order'}"
        )
        self._keep_peace(False)

    def _keep_peace(self, calm: bool) -> None:
        for post in self.posts:
            post.calm = calm

    def _read_books(self, stage: Stage) -> list[str]:
        """After a crash of the database each connection of ours that was open fails once."""
        end_s = time.monotonic() + REST_S
        while True:
            try:
                return books.find_faults(stage)
            except DatabaseUnavailable:
                if time.monotonic() > end_s:
                    raise

    def _look(self) -> None:
        possible = any(worker.stands for worker in self.workers) and not self._is_locked_by_stopped()
        self.toll.recoveries.look(possible=possible)

    def _is_locked_by_stopped(self) -> bool:
        """Whether a process that is stopped inside a transaction holds SQLite's one lock, which none can take from it.

        Postgres ends such a transaction after seconds, so there this time counts.
        """
        if self.cluster is not None or not any(post.is_stopped for post in self.posts):
            return False
        connection = sqlite3.connect(self.folder / "wanesync.db", timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
        return False

    def _all_run_again(self) -> bool:
        self._look()
        return not self.toll.recoveries.left

    def _write_down(self, stage: Stage) -> None:
        result, spans = self.result, self.toll.recoveries.spans_s
        result.kills, result.by_kind = self.toll.number, dict(sorted(self.toll.kills.items()))
        reached = {kind.removesuffix(" stopped") for kind in self.toll.kills}
        (self.folder / "story.txt").write_text("\n".join(self.toll.story))
        result.slowest = [f"{span_s:.1f} s {what}" for span_s, what in self.toll.recoveries.slowest]
        result.starts_failed = self.toll.starts_failed
        result.missed = dict(self.toll.missed)
        result.not_reached = [name for name in FAILPOINTS if name not in reached and not name.startswith(BY_HAND)]
        result.happened = books.count(stage)
        if spans:
            shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
            result.recovery_s = {name: round(percentile(spans, share), 2) for name, share in shares.items()}
            result.recovery_s["jobs"] = len(spans)
            if percentile(spans, 0.99) > RECOVERED_S:
                result.violations.append(f"recovery took {result.recovery_s['p99']} s at p99")
        for side in Side:
            with stage.sandbox.lock:
                entries = [asdict(entry) for entry in stage.sandbox.machines[side].journal.after(0)]
            (self.folder / f"{side}.json").write_text(json.dumps(entries, default=dict))


def plant(stage: Stage) -> None:
    """People who stand on both sides when it begins."""
    for number in range(PEOPLE):
        email, name = f"both{number}@example.com", ("Ana", "Tom", "Zoë", "Omar")[number % 4]
        stage.edit(Side.HUBSPOT, "create", email=email, firstname=name, lastname="One", city="Lyon")
        stage.edit(Side.STRIPE, "create", email=email, name=f"{name} One", address__city="Lyon")
