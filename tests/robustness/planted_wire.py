"""A thousand personal values and every key pass over the bus: none may be read on the wire or in the broker's files.

    python -m tests.robustness.planted_wire [--people N] [--plain]

Every part runs as a process with a credential of its own: two handlers, a queue process, two workers; a Mosquitto as
``wanesync broker-config`` sets it up, which logs all it can, and a Postgres behind TLS with a role and a password for
each part, which logs every statement with its parameters. Before both stands a forwarder that records every byte in
both directions. The queue process crashes, so that webhooks lie in the broker's file, which is copied then. At the end
recordings, broker's files, database's files, logs of level debug and metrics are searched for all values and keys, in
UTF-8, UTF-16, escaped for JSON and URLs, hexadecimal and base64. That the search finds what is there is shown by a
recording of the plain HTTP between the vendors' stand-in and the handlers. Exits 1 if anything is found elsewhere.

``--plain``: by a broker without TLS, as is allowed on one machine. Then the broker's passwords can be read on the wire,
and are searched for as another proof of the search; everything else must be sealed all the same.
"""

from __future__ import annotations

import argparse
import base64
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psycopg
from psycopg import sql

from tests.support.bus_parts import BUS_KEY
from tests.support.certificates import Authority
from tests.support.database_roles import RoleLogins, made_roles
from tests.support.hardened_broker import HardenedBroker, Listener
from tests.support.mosquitto import Mosquitto
from tests.support.planted import find_planted, plant, spell_bytes, spell_exactly, spell_markers
from tests.support.postgres_tls import serve_tls
from tests.support.program import Program
from tests.support.recording_forwarder import RecordingForwarder
from tests.support.stage import HUBSPOT_SECRET, KEY, STRIPE_SECRET, Stage
from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, Cluster, temporary_cluster
from wanesync.bus.client import BusOptions
from wanesync.bus.seal_keys import derive_part_key
from wanesync.bus.topics import done_topics
from wanesync.core.model import Side
from wanesync.core.roles import BUS_ROLES, HANDLERS, WORKERS, Role
from wanesync.output import print_line
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.store.roles.matrix import Role as Login

HOOK_SECRETS = {Side.HUBSPOT: HUBSPOT_SECRET, Side.STRIPE: STRIPE_SECRET}
LOGINS = {
    Role.QUEUE: Login.QUEUE,
    Role.HUBSPOT_WORKER: Login.HUBSPOT_WORKER,
    Role.STRIPE_WORKER: Login.STRIPE_WORKER,
}
SEALED = b"\x01" + BUS_KEY.encode()[:4]
"""What every sealed message begins with: version and key id."""
TLS_HANDSHAKE = b"\x16\x03"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
LONG_S = 300
HOLD_KEYS = "wanesync.toml"
"""The file in which keys stand."""


@dataclass
class Figures:
    """What was searched, and what was found. ``wrong``: what must not be."""

    values: int = 0
    keys: int = 0
    kept: int = 0
    reports: int = 0
    connections: Counter[str] = field(default_factory=Counter)
    searched: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0


class Wires:
    """The broker and Postgres, each behind a forwarder. ``passwords``: role -> that of the broker."""

    def __init__(self, folder: Path, stack: ExitStack, *, plain: bool) -> None:
        self.folder, self.plain = folder, plain
        self.broker_folder = Path(tempfile.mkdtemp(prefix="wanesync-broker-"))
        stack.callback(shutil.rmtree, self.broker_folder)
        self.broker = Mosquitto(self.broker_folder) if plain else HardenedBroker(self.broker_folder)
        with (self.broker_folder / "mosquitto.conf").open("a") as configuration:
            configuration.write("log_type all\n")
        self.broker.start()
        stack.callback(self.broker.stop)
        self.to_broker = stack.enter_context(RecordingForwarder(folder / "wire-broker", self.broker.port))
        self.cluster: Cluster = stack.enter_context(temporary_cluster((*UNSAFE_SETTINGS, "log_statement=all")))
        self.authority = Authority(folder)
        socket_path = self.cluster.folder / "data" / ".s.PGSQL.5432"
        secure = stack.enter_context(serve_tls(self.authority.issue("localhost"), socket_path))
        self.to_postgres = stack.enter_context(RecordingForwarder(folder / "wire-postgres", secure))
        self.database_passwords = {login: secrets.token_urlsafe(24) for login in Login}
        self.logins: RoleLogins | None = None

    @property
    def broker_url(self) -> str:
        """The broker's address for the parts."""
        return f"{'mqtt' if self.plain else 'mqtts'}://localhost:{self.to_broker.port}"

    def credential(self, role: Role) -> str:
        """``ROLE.NUMBER:PASSWORD`` at the broker."""
        if isinstance(self.broker, HardenedBroker):
            return (self.broker.files.part(role) / "login").read_text().strip()
        return f"{role}.1:only-on-this-machine-{role}"

    def watch(self) -> Listener:
        """A client of the role admin, which reads the workers' reports."""
        options = BusOptions(self.broker_url, "admin-test", password=self.credential(Role.ADMIN))
        if isinstance(self.broker, HardenedBroker):
            options = replace(self.broker.options(Role.ADMIN), url=self.broker_url)
        return Listener(options, done_topics())

    def lock(self, logins: RoleLogins) -> None:
        """Give every role of the database a password, and let none in without."""
        self.logins = logins
        with psycopg.connect(self.cluster.url, autocommit=True) as owner:
            for login, password in self.database_passwords.items():
                name = logins.target.name(login)
                verifier = owner.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
                change = sql.SQL("ALTER ROLE {} PASSWORD {}")
                owner.execute(change.format(sql.Identifier(name), sql.Literal(verifier.decode())))
            rules = self.cluster.folder / "data" / "pg_hba.conf"
            rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
            owner.execute("SELECT pg_reload_conf()")

    def address(self, login: Login) -> str:
        """The database's address for a role."""
        assert self.logins is not None
        user = f"{self.logins.target.name(login)}:{self.database_passwords[login]}"
        path = urlsplit(self.cluster.url).path
        proof = f"sslmode=verify-full&sslrootcert={self.authority.file}"
        return f"postgresql://{user}@localhost:{self.to_postgres.port}{path}?{proof}"

    def environment(self, role: Role) -> dict[str, str]:
        """What a part is given."""
        given = {
            "WANESYNC_BUS__SEAL_KEY": BUS_KEY if role is Role.QUEUE else derive_part_key(BUS_KEY, role),
            "WANESYNC_BUS__PASSWORD": self.credential(role),
            "WANESYNC_DATABASE": self.address(LOGINS[role]) if role in LOGINS else "env:NOT_GIVEN",
            "PYTHONFAULTHANDLER": "1",
        }
        if isinstance(self.broker, HardenedBroker):
            given["WANESYNC_BUS__CA"] = str(self.broker.files.part(role) / "ca.pem")
        return given

    def keys(self) -> Iterator[str]:
        """Every key, secret and password that a running part has and nothing may show."""
        yield from (HUBSPOT_SECRET, STRIPE_SECRET, HUBSPOT_KEY, STRIPE_KEY)
        yield from (entry.rpartition(":")[2] for entry in (KEY, BUS_KEY))
        yield from (
            derive_part_key(BUS_KEY, role).rpartition(":")[2] for role in (*HANDLERS.values(), *WORKERS.values())
        )
        yield from (self.database_passwords[login] for login in LOGINS.values())
        if not self.plain:
            yield from self.broker_passwords()

    def broker_passwords(self) -> Iterator[str]:
        """Those of all parts."""
        yield from (self.credential(role).partition(":")[2] for role in BUS_ROLES)

    def kept_state(self) -> bytes:
        """The broker's file as it is at this moment, in which messages lie for a queue process that is away."""
        kept = []
        # Of 2.0, and of 2.1 with its log; 2.0 saves into another file and renames it.
        for path in (path for name in ("mosquitto.db", "*.sqlite3*") for path in self.broker_folder.rglob(name)):
            with suppress(FileNotFoundError):
                kept.append(path.read_bytes())
        return b"".join(kept)

    def broker_contents(self) -> Iterator[tuple[str, bytes]]:
        """(name, content) of what the broker has written: its state and its log."""
        for path in sorted(self.broker_folder.rglob("*")):
            # The other folders hold what each part is given. A file that is being saved has another name for a moment.
            is_its_own = path.parent.name == "state" or path.name.startswith(("mosquitto.db", "mosquitto.log"))
            with suppress(FileNotFoundError):
                if is_its_own and path.is_file():
                    yield f"broker/{path.name}", path.read_bytes()

    def database_contents(self) -> Iterator[tuple[str, bytes]]:
        """(name, content) of Postgres's data directory, with its write-ahead log and its log of statements."""
        for path in sorted((self.cluster.folder / "data").rglob("*")):
            # Postgres removes files while it runs.
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield f"database/{path.name}", path.read_bytes()


def play(folder: Path, count: int, *, plain: bool = False) -> Figures:
    """Let the values of so many people pass, and search for them."""
    began, found = time.monotonic(), Figures()
    people = [plant(number) for number in range(count)]
    with ExitStack() as stack:
        wires = Wires(folder, stack, plain=plain)
        more = f'[bus]\nurl = "{wires.broker_url}"\n[log]\nlevel = "debug"\n'
        (folder / "stage").mkdir()
        stage = stack.enter_context(Stage(wires.cluster.url, folder / "stage", more=more))
        logins = stack.enter_context(made_roles(wires.cluster.url))
        wires.lock(logins)
        hooks, printed = _let_pass(stage, wires, people, found, stack)
        _judge(wires, people, hooks, printed, found)
    found.seconds = time.monotonic() - began
    return found


def _let_pass(
    stage: Stage, wires: Wires, people: list[dict[str, str]], found: Figures, stack: ExitStack
) -> tuple[list[RecordingForwarder], bytes]:
    """Everything that runs: the recordings of the webhooks' plain HTTP, and the metrics."""
    programs = stack.enter_context(_ending())

    def start(role: Role, *arguments: str) -> Program:
        programs.append(stage.start(*arguments, **wires.environment(role)))
        return programs[-1]

    def start_queue() -> Program:
        begun = start(Role.QUEUE, "queue")
        begun.first_line()
        return begun

    handlers = {side: start(role, "serve", "--bus", "--side", side) for side, role in HANDLERS.items()}
    workers = [start(role, "worker", "--side", side) for side, role in WORKERS.items()]
    queue = start_queue()
    stage.reconcile()
    hooks, urls = [], []
    for side, handler in handlers.items():
        urls.append(next(part for part in handler.first_line().split() if part.startswith("http")))
        hook = RecordingForwarder(wires.folder / f"wire-webhooks-{side}", urlsplit(urls[-1]).port or 0)
        hooks.append(stack.enter_context(hook))
        target = WebhookTarget(f"http://127.0.0.1:{hook.port}/webhooks/{side}", HOOK_SECRETS[side])
        stage.sandbox.set_target(side, target)
    for worker in workers:
        worker.first_line()
    with wires.watch() as reports:
        half = len(people) // 2
        _edit(stage, people[:half])
        stage.until(lambda: _synced(stage, people[:half]), "the first half is synced", LONG_S)
        queue.signal(signal.SIGABRT)
        queue.wait()
        _edit(stage, people[half:])
        stage.until(lambda: wires.kept_state().count(SEALED) >= min(half, 8), "webhooks lie in the broker's file")
        kept = wires.kept_state()
        found.kept = kept.count(SEALED)
        (wires.folder / "broker-then").mkdir()
        (wires.folder / "broker-then" / "mosquitto.db").write_bytes(kept)
        start_queue()
        stage.until(lambda: _synced(stage, people), "all are synced", LONG_S)
        stage.until(lambda: _purchases(stage) >= len(people), "all purchases arrived", LONG_S)
        stage.rest(LONG_S)
        found.reports = reports.received.qsize()
    return hooks, b"\n".join(urlopen(f"{url}/metrics", timeout=10).read() for url in urls)


@contextmanager
def _ending() -> Iterator[list[Program]]:
    """Programs that are ended before the roles of their logins are removed."""
    programs: list[Program] = []
    try:
        yield programs
    finally:
        for program in programs:
            program.signal(signal.SIGTERM)
        for program in programs:
            program.end()


def _edit(stage: Stage, people: list[dict[str, str]]) -> None:
    for number, person in enumerate(people):
        if number % 2:
            stage.edit(Side.HUBSPOT, "create", email=person["email"], firstname=person["name"], city=person["city"],
                       address=person["street"], phone=person["phone"])  # fmt: skip
        else:
            stage.edit(Side.STRIPE, "create", email=person["email"], name=person["name"], phone=person["phone"],
                       address__city=person["city"], address__line1=person["street"])  # fmt: skip
        stage.edit(Side.STRIPE, "purchase", amount="500", currency="eur", email=person["email"])


def _purchases(stage: Stage) -> int:
    return len(stage.writes(Side.HUBSPOT, "event.sent"))


def _synced(stage: Stage, people: list[dict[str, str]]) -> bool:
    wanted = {person["email"] for person in people}
    return all(wanted <= {row.get("email", "") for row in stage.sandbox.records(side)} for side in Side)


def _judge(
    wires: Wires, people: list[dict[str, str]], hooks: list[RecordingForwarder], metrics: bytes, found: Figures
) -> None:
    markers = spell_markers()
    keys = {spelling: f"key {number}" for number, key in enumerate(wires.keys()) for spelling in _spell_key(key)}
    found.values, found.keys = sum(map(len, people)), len(list(wires.keys()))
    _prove_search(wires, people, hooks, found)
    for name, contents in _contents(wires, metrics).items():
        found.searched[name] = sum(len(content) for _, content in contents)
        plain = [(where, content) for where, content in contents if where.endswith(HOLD_KEYS)]
        rest = [(where, content) for where, content in contents if not where.endswith(HOLD_KEYS)]
        hits = find_planted(plain, markers) + find_planted(rest, markers | keys)
        found.wrong += [f"{value} stands in {where}" for where, value in hits]


def _spell_key(key: str) -> Iterator[bytes]:
    yield from spell_exactly(key)
    # A key of encryption may also stand as the bytes that it is.
    with suppress(ValueError):
        if len(content := base64.b64decode(key, validate=True)) >= 32:
            yield from spell_bytes(content)


def _contents(wires: Wires, metrics: bytes) -> dict[str, list[tuple[str, bytes]]]:
    """Everything to be searched, by kind."""
    files = [path for path in sorted((wires.folder / "stage").rglob("*")) if path.is_file()]
    then = [("broker-then/mosquitto.db", (wires.folder / "broker-then" / "mosquitto.db").read_bytes())]
    return {
        "recorded before the broker": list(wires.to_broker.recordings()),
        "recorded before Postgres": list(wires.to_postgres.recordings()),
        "broker's files": [*wires.broker_contents(), *then],
        "database's files": list(wires.database_contents()),
        "logs": [(path.name, path.read_bytes()) for path in files],
        "metrics": [("metrics", metrics)],
    }


def _prove_search(wires: Wires, people: list[dict[str, str]], hooks: list[RecordingForwarder], found: Figures) -> None:
    """What must be found where it stands, and that everything went through the forwarders."""
    posted = b"".join(content for hook in hooks for content in hook.sent_by("client"))
    unseen = [value for person in people for value in person.values() if value.encode() not in posted]
    if unseen:
        found.wrong.append(f"{len(unseen)} values are not in the recorded webhooks, so they never came: {unseen[:3]}")
    asked, answered = wires.to_postgres.sent_by("client"), wires.to_postgres.sent_by("server")
    if not all(sent.startswith(SSL_REQUEST + TLS_HANDSHAKE) for sent in asked if sent):
        found.wrong.append("a connection to Postgres began without TLS")
    if not all(sent.startswith(b"S" + TLS_HANDSHAKE) for sent in answered if sent):
        found.wrong.append("Postgres answered without TLS")
    spoken = wires.to_broker.sent_by("client") + wires.to_broker.sent_by("server")
    found.connections.update(broker=len(wires.to_broker.sent_by("client")), postgres=len(asked))
    if wires.plain:
        readable = dict.fromkeys(map(str.encode, wires.broker_passwords()), "a password")
        seen = find_planted([("broker", b"".join(spoken))], readable)
        if len(seen) != len(readable) or SEALED not in b"".join(spoken):
            found.wrong.append(f"the recording without TLS shows {len(seen)} of {len(readable)} passwords")
    elif not all(sent.startswith(TLS_HANDSHAKE) for sent in spoken if sent):
        found.wrong.append("a connection to the broker began without TLS")
    logs = [path.read_text() for path in (wires.folder / "stage").glob("*.log")]
    if not any("Fatal Python error: Aborted" in log for log in logs):
        found.wrong.append("no log holds the crash")
    if not (found.kept and found.reports):
        found.wrong.append("no webhook lay in the broker's file, or no worker reported")


def describe(found: Figures) -> str:
    """The figures as text."""
    amounts = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in found.searched.items())
    return (
        f"{found.values:,} values and {found.keys} keys, {found.connections['broker']} connections to the broker and "
        f"{found.connections['postgres']} to Postgres, {found.kept} webhooks in the broker's file, {found.reports} "
        f"reports; searched: {amounts}; {len(found.wrong)} found; {found.seconds:.0f} s"
    )


def main() -> int:
    """Run it once and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200, help="each has five values")
    parser.add_argument("--plain", action="store_true", help="by a broker without TLS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wanesync-wire-") as name:
        found = play(Path(name), options.people, plain=options.plain)
    print_line(describe(found))
    for line in found.wrong:
        print_line(line, error=True)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
