"""The set-up of the acceptance tests: a sandbox, a configuration, and real processes between its two sides."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.support.forked import run_forked
from tests.support.forker import FAILPOINT_VARIABLE
from tests.support.program import DEADLINE_S, Program
from wanesync.child_process import clean_environment
from wanesync.config.model import Config, load
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.model import Side, normalise_email
from wanesync.ops.status import read_status
from wanesync.reconcile.compare import Report
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY, Options, Sandbox
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.store.key_source import create_key_file
from wanesync.wiring import build_catch_up, build_reconcile, build_runtime, open_database

KEY = f"test:{base64.b64encode(bytes(range(32))).decode()}"
HUBSPOT_SECRET, STRIPE_SECRET = "hubspot-client-secret", "whsec_acceptance"
LATER_MS = 60_000
"""A job due later than this waits for something that has not happened."""

CONFIG = """\
database = "{database}"
[hubspot]
access_token = "{hubspot_key}"
webhook_secret = "{hubspot_secret}"
base_url = "{hubspot_url}"
rate = 90
[stripe]
api_key = "{stripe_key}"
webhook_secret = "{stripe_secret}"
base_url = "{stripe_url}"
rate = 100
operation_rate = 100
[network]
allow_base_url = true
[server]
port = 0
[security]
{keys}
[purchases]
guest = "create"
{more}
"""

Row = dict[str, str]


class Stage:
    """Everything a test of the whole program needs. ``more``: further lines of the configuration.

    ``key_file``: the encryption keys stand in a file ``test.keys`` instead of the configuration.
    """

    def __init__(
        self, database: str, folder: Path, options: Options | None = None, more: str = "", *, key_file: bool = False
    ) -> None:
        self.sandbox = Sandbox(options or Options(tier="enterprise", stripe_limit=1000, hubspot_limit=1000))
        self.sandbox.start()
        self.file = folder / "wanesync.toml"
        self.file.touch(mode=0o600)
        self.file.write_text(
            CONFIG.format(
                database=database,
                hubspot_key=HUBSPOT_KEY,
                hubspot_secret=HUBSPOT_SECRET,
                hubspot_url=self.sandbox.hubspot_url,
                stripe_key=STRIPE_KEY,
                stripe_secret=STRIPE_SECRET,
                stripe_url=self.sandbox.stripe_url,
                keys='key_file = "test.keys"' if key_file else f'keys = ["{KEY}"]',
                more=more,
            )
        )
        if key_file:
            create_key_file(folder / "test.keys", KEY)
        self.config: Config = load(self.file, {})
        self.store = open_database(self.config, migrate=True)
        self.runtime = build_runtime(self.config, self.store, tuple(Side))
        self.runtime.hubspot.prepare(with_events=self.runtime.hubspot.can_define_events())
        self._programs: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end_programs()
        finally:
            self.store.close()
            self.sandbox.stop()

    # -- the program

    def end_programs(self) -> None:
        """End all commands that run, as before what they use is taken away."""
        programs, self._programs = self._programs, []
        # All are asked before any is waited for.
        for program in programs:
            program.signal(signal.SIGTERM)
        for program in programs:
            program.end()

    def start(self, *arguments: str, failpoint: str = "", **more: str) -> Program:
        """A command that keeps running; ``more`` goes into its environment."""
        env = clean_environment() | more | ({FAILPOINT_VARIABLE: failpoint} if failpoint else {})
        program = Program(self.file, arguments, env)
        self._programs.append(program)
        return program

    def serve(self, program: Program | None = None) -> None:
        """The web doors, and the sandbox's webhooks sent to them."""
        line = (program or self.start("serve")).first_line()
        self.aim(next(word for word in line.split() if word.startswith("http")))

    def aim(self, url: str) -> None:
        """The sandbox sends its webhooks there."""
        self.sandbox.set_target(Side.HUBSPOT, WebhookTarget(f"{url}/webhooks/hubspot", HUBSPOT_SECRET))
        self.sandbox.set_target(Side.STRIPE, WebhookTarget(f"{url}/webhooks/stripe", STRIPE_SECRET))

    def work(self, failpoint: str = "") -> Program:
        """A worker for both lanes, known to be up."""
        program = self.start("worker", failpoint=failpoint)
        program.first_line()
        return program

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command that ends."""
        arguments = (*arguments, "--config", str(self.file))
        return run_forked(arguments, clean_environment() | env, 90)

    def ask(self, *arguments: str, code: int = 0) -> dict[str, object]:
        """The JSON document of a command that is to end with ``code``."""
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stderr + done.stdout
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def reconcile(self) -> Report:
        """What ``wanesync reconcile`` does, in this process (its libraries are loaded already)."""
        build_catch_up(self.runtime).mark_start()
        rounds = build_reconcile(self.runtime)
        report = rounds.compare(_ignore, _ignore_count)
        rounds.queue(report)
        return report

    def compare(self) -> Report:
        """What ``wanesync diff`` does, in this process."""
        return build_reconcile(self.runtime).compare(_ignore, _ignore_count)

    def live(self) -> None:
        """First listing done, everything in order, doors and worker running."""
        serving, working = self.start("serve"), self.start("worker")
        self.reconcile()
        self.serve(serving)
        working.first_line()
        self.rest()

    # -- the outside world

    def edit(self, side: Side, kind: str, record_id: str | None = None, **values: str) -> str:
        """An edit by a person; ``__`` in a name stands for a dot."""
        return self.sandbox.edit(side, kind, record_id, {name.replace("__", "."): v for name, v in values.items()})

    def contact(self, email: str) -> Row:
        """The one contact with an address; an empty row if there is none."""
        return self._one(Side.HUBSPOT, email)

    def customer(self, email: str) -> Row:
        """The one customer with an address; an empty row if there is none."""
        return self._one(Side.STRIPE, email)

    def _one(self, side: Side, email: str) -> Row:
        rows = [r for r in self.sandbox.records(side) if normalise_email(r.get("email", "")) == normalise_email(email)]
        assert len(rows) <= 1, f"{len(rows)} records on {side} have the address"
        return rows[0] if rows else {}

    def row(self, side: Side, record_id: str) -> Row:
        """One record by id."""
        return next((row for row in self.sandbox.records(side) if row["id"] == record_id), {})

    def writes(self, side: Side, kind: str = "") -> list[tuple[str, str, Mapping[str, str]]]:
        """(kind, record id, changes) of what we committed on a side, of kinds that begin with ``kind``."""
        with self.sandbox.lock:
            entries = self.sandbox.machines[side].journal.after(0)
        return [
            (entry.kind, entry.record_id, entry.changes)
            for entry in entries
            if entry.source.startswith("api:") and entry.kind.startswith(kind)
        ]

    # -- waiting

    def until(self, holds: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Poll the outside world until something holds."""
        end = time.monotonic() + deadline_s
        while not holds():
            assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}; {self._state()}"
            time.sleep(0.05)

    def rest(self, deadline_s: float = DEADLINE_S) -> None:
        """Until no webhook is under way and no job is due or running, and that stays so for a moment."""
        quiet: list[tuple[int, int]] = []

        def rests() -> bool:
            mark = (len(self.sandbox.hubspot.journal), len(self.sandbox.stripe.journal))
            if self._busy() or (quiet and quiet[-1] != mark):
                quiet.clear()
                return False
            quiet.append(mark)
            return len(quiet) > 10

        self.until(rests, "everything is at rest", deadline_s)

    def at_rest(self) -> bool:
        """Whether nothing is under way at this moment."""
        return not self._busy()

    def _busy(self) -> bool:
        if any(counts["webhooks_waiting"] for counts in self.sandbox.stats().values()):
            return True
        try:
            with self.store.reading() as tx:
                if any(row["running"] for row in tx.jobs.depth()):
                    return True
                due = [tx.jobs.next_due_ms(side) for side in Side]
                return any(at_ms is not None and at_ms < tx.now_ms + LATER_MS for at_ms in due)
        except DatabaseUnavailable:
            # After a crash of the database each connection that was open fails once.
            return True

    def _state(self) -> str:
        logs = [program.log_tail() for program in self._programs[-6:]]
        return f"{read_status(self.store)}\n{self.sandbox.stats()}\n" + "\n".join(logs)


def _ignore(_side: Side, _count: int) -> None:
    """No progress is shown."""


def _ignore_count(_count: int) -> None:
    """No progress is shown."""
