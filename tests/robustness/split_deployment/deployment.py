"""The deployment itself: each part as a process and a user of its own, with its own files and nothing else."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.robustness.split_deployment.servers import SYSTEM_USER, ConfiguredBroker, TlsPostgres
from tests.robustness.split_deployment.users import User, find_free_users
from tests.support.ports import free_port
from wanesync.bench.environment import HUBSPOT_SECRET, STRIPE_SECRET
from wanesync.bench.resource_usage import NICE
from wanesync.child_process import ChildProcess
from wanesync.core.model import Side
from wanesync.core.roles import HANDLERS, Role
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.server import HUBSPOT_KEY, STRIPE_KEY, Sandbox
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.store.roles.matrix import Role as Login

HOOK_SECRETS = {Side.HUBSPOT: HUBSPOT_SECRET, Side.STRIPE: STRIPE_SECRET}
API_KEYS = {Side.HUBSPOT: HUBSPOT_KEY, Side.STRIPE: STRIPE_KEY}
CREATE = {"WANESYNC_CREATE__CONTACTS": "all", "WANESYNC_CREATE__CUSTOMERS": "all"}
NICE_WORKERS = NICE - 3
"""Workers go before the other parts as much as with the ``CPUWeight`` and ``cpu_shares`` that deploy/ gives them."""
BROKER, DATABASE = "mosquitto", "postgres"
RUN_S = 300
CONFIG = """\
{database}
[hubspot]
portal_id = {portal}
base_url = "{hubspot_url}"
rate = {hubspot_rate}
{hubspot}
[stripe]
base_url = "{stripe_url}"
rate = {stripe_rate}
operation_rate = {stripe_rate}
{stripe}
[network]
allow_base_url = true
[server]
port = {port}
[create]
customers = "all"
contacts = "all"
[purchases]
guest = "create"
[log]
level = "warning"
[security]
{security}
"""
TIMED_HANDLER = """\
import atexit, json, runpy, sys, time
from wanesync.bus.questions import Questions
began, took, add, settle = {}, [], Questions.add, Questions._settle
def begin(self, question):
    began[question.number] = time.perf_counter()
    add(self, question)
def end(self, questions):
    now_s = time.perf_counter()
    took.extend((now_s - began.pop(question.number)) * 1000 for question in questions)
    settle(self, questions)
Questions.add, Questions._settle = begin, end
atexit.register(lambda: open("answers.json", "w").write(json.dumps(took)))
sys.argv[0] = "wanesync"
runpy.run_module("wanesync", run_name="__main__")
"""
"""A handler that writes down how long each webhook took from its publication to the answer that it is committed."""
READER = """\
import json, queue, sys
from pathlib import Path
from wanesync.bus import topics
from wanesync.bus.client import BusClient
from wanesync.bus.envelope import Seal
from wanesync.bus_wiring import build_bus_options
from wanesync.config.model import load
from wanesync.core.roles import Role
config = load(Path(sys.argv[1]), {}, ("bus.password", "bus.seal_key"), stores=False)
seal, messages, counts = Seal(config.bus.entries), queue.SimpleQueue(), {}
client = BusClient(build_bus_options(config, Role.ADMIN, "reader"), topics.done_topics(), messages.put)
client.start()
assert client.wait_ready(60), client.trouble
print("reads", flush=True)
while True:
    message = messages.get()
    seal.open(message.topic, message.payload)
    counts[message.topic] = counts.get(message.topic, 0) + 1
    Path("counts.json").write_text(json.dumps(counts))
"""
"""The admin's half of the bus: opens the reports of both workers and counts them by topic."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests per second that are configured."""

    hubspot: int = 90
    stripe: int = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What a part is. ``login``: its role of the database; ``side``: whose secrets it holds; ``script``: for python."""

    role: Role
    arguments: tuple[str, ...]
    login: Login | None = None
    api_key: Side | None = None
    hook_secret: Side | None = None
    script: str = ""


PLANS: Mapping[str, Plan] = {
    "hubspot-worker": Plan(
        Role.HUBSPOT_WORKER, ("worker", "--side", "hubspot"), Login.HUBSPOT_WORKER, api_key=Side.HUBSPOT
    ),
    "stripe-worker": Plan(Role.STRIPE_WORKER, ("worker", "--side", "stripe"), Login.STRIPE_WORKER, api_key=Side.STRIPE),
    "hubspot-handler": Plan(Role.HUBSPOT_HANDLER, ("serve", "--bus", "--side", "hubspot"), hook_secret=Side.HUBSPOT),
    "stripe-handler": Plan(Role.STRIPE_HANDLER, ("serve", "--bus", "--side", "stripe"), hook_secret=Side.STRIPE),
    "queue-one": Plan(Role.QUEUE, ("queue",), Login.QUEUE),
    "queue-two": Plan(Role.QUEUE, ("queue",), Login.QUEUE),
    "admin-reader": Plan(Role.ADMIN, (), Login.ADMIN, script=READER),
}
"""Name -> part. Both queue processes are users of their own, each with a credential of its own at the broker.

Workers start first: they carry out what a new configuration changes, which no other part has the right to.
"""


@dataclass
class Part:
    """One part: its user with its files, and its process."""

    name: str
    plan: Plan
    user: User
    program: ChildProcess | None = None
    port: int = 0

    @property
    def config(self) -> Path:
        return self.user.folder / "wanesync.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Deployment:
    """Everything below one folder. ``python``: an interpreter with wanesync that every user can run."""

    root: Path
    python: str
    sandbox: Sandbox
    rates: Rates
    is_timed: bool = False
    nice: int = NICE
    nice_workers: int = NICE_WORKERS
    parts: dict[str, Part] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    """Parts that ended by themselves, and were started again as systemd does."""

    def __post_init__(self) -> None:
        self.postgres = TlsPostgres(self.root / "postgres")
        self.broker = ConfiguredBroker(self.root / "broker", free_port())
        self.logs = self.root / "logs"
        self.keys = "bnch:" + base64.b64encode(secrets.token_bytes(32)).decode()

    # -- set-up, step by step as in docs/deploy.md

    def set_up(self) -> None:
        """Broker, database, roles, files of each part; the parts do not run yet."""
        self.root.chmod(0o711)
        self.logs.mkdir(mode=0o700)
        names = (*PLANS, "operator")
        for name, uid in zip(names, find_free_users(len(names)), strict=True):
            user = User(uid, self.root / "parts" / name)
            user.prepare()
            if name in PLANS:
                self.parts[name] = Part(name, PLANS[name], user, port=free_port())
            else:
                self.operator = user
        assert all(part.user.find_readable(self.python, []) == set() for part in self.parts.values())
        self.postgres.create()
        folder = str(self.broker.folder)
        self.as_root("broker-config", folder, "--host", "localhost", "--port", str(self.broker.port))
        self.broker.start()
        owner = {
            "WANESYNC_DATABASE": self.postgres.address(SYSTEM_USER),
            "WANESYNC_SECURITY__KEYS": self.keys,
            **CREATE,
        }
        self.as_root("db", "migrate", **owner)
        self.as_root("db", "roles", "--apply", **owner)
        self.postgres.set_passwords()
        self._give_files()

    def as_root(self, *arguments: str, **env: str) -> str:
        """Run a command of the one who sets everything up, and return what it printed."""
        return self._run(None, arguments, env)

    def as_operator(self, *arguments: str, login: Login = Login.ADMIN) -> str:
        """Run a command of the operator, who holds both API keys and no broker credential."""
        authority = self.operator.folder / "postgres-ca.pem"
        env = {"WANESYNC_CONFIG": str(self.operator.folder / "wanesync.toml")}
        return self._run(self.operator, arguments, env | {"WANESYNC_DATABASE": self.postgres.login(login, authority)})

    def as_part(self, name: str, *arguments: str) -> str:
        """Run a command as a part, with what it has."""
        part = self.parts[name]
        return self._run(part.user, arguments, {"WANESYNC_CONFIG": str(part.config)})

    def _run(self, user: User | None, arguments: Sequence[str], env: Mapping[str, str]) -> str:
        actor = user or User(0, self.root)
        log = self.logs / f"{arguments[0]}-{time.monotonic_ns()}.log"
        with log.open("w") as errors:
            command = [self.python, "-m", "wanesync", *arguments]
            base = actor.environment()
            if user is None:
                process = subprocess.Popen(
                    command, env={**base, "PATH": "/usr/sbin:/usr/bin:/bin", **env}, cwd=self.root,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
                )  # fmt: skip
            else:
                process = user.spawn(command, {**base, **env}, errors)
            with process:
                output, _ = process.communicate(timeout=RUN_S)
        assert process.returncode == 0, f"wanesync {' '.join(arguments)}: {log.read_text()}{output}"
        return output

    def _give_files(self) -> None:
        given = self.operator.give("bus-key", self.as_root("keys", "bus", "--new"))
        bus_key = given.read_text()
        for part in self.parts.values():
            if part.name == "queue-two":
                # A second credential beside the first: both stay good until one is revoked.
                self.as_root("broker", "rotate", "queue", "--dir", str(self.broker.folder))
            self._give_part(part, bus_key)
        self.operator.give("postgres-ca.pem", self.postgres.authority.read_text())
        api_keys = {side: self._secret_line("access_token" if side is Side.HUBSPOT else "api_key", self.operator, key)
                    for side, key in API_KEYS.items()}  # fmt: skip
        security = self._secret_line("keys", self.operator, self.keys)
        hooks = {side: self._secret_line("webhook_secret", self.operator, secret, side)
                 for side, secret in HOOK_SECRETS.items()}  # fmt: skip
        lines = {side: f"{api_keys[side]}\n{hooks[side]}" for side in Side}
        self.operator.give("wanesync.toml", self._config("", lines, security, 0))

    def _give_part(self, part: Part, bus_key: str) -> None:
        plan, user = part.plan, part.user
        lines: dict[Side, str] = dict.fromkeys(Side, "")
        if plan.hook_secret:
            lines[plan.hook_secret] = self._secret_line("webhook_secret", user, HOOK_SECRETS[plan.hook_secret])
        if plan.api_key:
            name = "access_token" if plan.api_key is Side.HUBSPOT else "api_key"
            lines[plan.api_key] = self._secret_line(name, user, API_KEYS[plan.api_key])
        database = security = ""
        if plan.login:
            authority = user.give("postgres-ca.pem", self.postgres.authority.read_text())
            database = self._secret_line("database", user, self.postgres.login(plan.login, authority))
            security = self._secret_line("keys", user, self.keys)
        seal_key = bus_key
        if plan.role is not Role.QUEUE:
            env = {"WANESYNC_BUS__SEAL_KEY": bus_key.strip(), **CREATE}
            seal_key = self.as_root("keys", "bus", plan.role, **env)
        made = self.broker.folder / "parts" / plan.role
        for name in ("ca.pem", "login"):
            user.give(name, (made / name).read_text())
        bus = (made / "bus.toml").read_text().replace(str(made), str(user.folder))
        if part.name == "queue-two":
            bus = "".join(f'name = "2-{secrets.token_hex(8)}"\n' if line.startswith("name =") else line
                          for line in bus.splitlines(keepends=True))  # fmt: skip
        bus += self._secret_line("seal_key", user, seal_key.strip()) + "\n"
        user.give("wanesync.toml", self._config(database, lines, security, part.port) + bus)

    def _secret_line(self, key: str, user: User, value: str, side: Side | None = None) -> str:
        path = user.give(f"{side}-{key}" if side else key, value)
        return f'{key} = "file:{path}"'

    def _config(self, database: str, lines: Mapping[Side, str], security: str, port: int) -> str:
        return CONFIG.format(
            database=database, portal=HubSpotSettings().portal_id, hubspot_url=self.sandbox.hubspot_url,
            stripe_url=self.sandbox.stripe_url, hubspot=lines[Side.HUBSPOT], stripe=lines[Side.STRIPE],
            hubspot_rate=self.rates.hubspot, stripe_rate=self.rates.stripe, port=port, security=security,
        )  # fmt: skip

    # -- running

    def begin(self) -> None:
        """Start every part, make the set-up of both accounts and the first comparison."""
        self.as_operator("init", "--hubspot", login=Login.MIGRATE)
        for name in self.parts:
            self.start(name)
        for side, role in HANDLERS.items():
            url = f"{self.parts[role].url}/webhooks/{side}"
            self.sandbox.set_target(side, WebhookTarget(url, HOOK_SECRETS[side]))
        self.as_operator("reconcile", "--wait")

    def start(self, name: str) -> None:
        """Start a part and wait until it is ready."""
        if name == BROKER:
            self.broker.start()
        elif name == DATABASE:
            self.postgres.start()
        else:
            part = self.parts[name]
            part.program = ChildProcess(
                part.plan.arguments or (name,), part.user.environment(), self.logs / f"{name}.log", self._starter(part)
            )
            # As in the benchmarks: the stand-ins share the machine and must get their turn first.
            os.setpriority(os.PRIO_PROCESS, part.program.pid, self.nice_workers if part.plan.api_key else self.nice)
            part.program.first_line()

    def _starter(self, part: Part) -> _Start:
        prefix = ["-m", "wanesync"]
        if part.plan.script:
            prefix = ["-c", part.plan.script, str(part.config)]
        elif self.is_timed and part.plan.hook_secret:
            prefix = ["-c", TIMED_HANDLER]
        return _Start(part, [self.python, *prefix])

    def kill(self, name: str) -> None:
        """SIGKILL."""
        if name == BROKER:
            self.broker.kill()
        elif name == DATABASE:
            self.postgres.kill()
        else:
            self.program(name).kill()

    def program(self, name: str) -> ChildProcess:
        """The process of a part."""
        program = self.parts[name].program
        assert program is not None
        return program

    def restart_ended(self) -> None:
        """Start what has ended by itself, as systemd does (``Restart=always``)."""
        for name in self.parts:
            if self.program(name).exit_code is not None:
                self.ended.append(f"{name} ({self.program(name).exit_code})")
                self.start(name)

    def read_counts(self) -> dict[str, int]:
        """How many reports of each topic the admin reader has opened."""
        found = json.loads((self.parts["admin-reader"].user.folder / "counts.json").read_text())
        return {str(topic): int(count) for topic, count in found.items()}

    def stop(self) -> None:
        """Stop everything, the servers last."""
        running = [part.program for part in self.parts.values() if part.program is not None]
        for program in running:
            program.signal(signal.SIGTERM)
        for program in running:
            program.stop()
        self.broker.stop()
        self.postgres.stop()

    # -- who can read what

    def find_intrusions(self) -> list[str]:
        """What a part can open although it belongs to another one, and what it cannot open of its own."""
        own = {name: set(part.user.folder.iterdir()) for name, part in self.parts.items()}
        processes = {name: {Path(f"/proc/{self.program(name).pid}/{file}") for file in ("environ", "mem", "maps")}
                     for name in self.parts}  # fmt: skip
        shared = {
            *self.operator.folder.iterdir(), *self.broker.folder.glob("parts/*/*"),
            *(self.broker.folder / name for name in ("authority", "state", "server", "register.json")),
            self.broker.folder / "server" / "key.pem",
            *(self.broker.folder / "state").iterdir(), self.postgres.data, self.postgres.folder / "server.key",
            self.logs, *self.logs.iterdir(), self.operator.folder,
        }  # fmt: skip
        problems = []
        for name, part in self.parts.items():
            others = set().union(*(paths | processes[other] for other, paths in own.items() if other != name))
            folders = {other.user.folder for other in self.parts.values() if other is not part}
            opened = part.user.find_readable(self.python, [*others, *folders, *shared, *own[name]])
            problems += [f"{name} can open {path}" for path in sorted(opened - own[name])]
            problems += [f"{name} cannot open its own {path}" for path in sorted(own[name] - opened)]
        self.tried = len(shared) + sum(map(len, own.values())) + sum(map(len, processes.values()))
        return problems


@dataclass(frozen=True, slots=True)
class _Start:
    """Starts a part as its user."""

    part: Part
    command: Sequence[str]

    def __call__(self, arguments: Sequence[str], env: Mapping[str, str], log: IO[str]) -> subprocess.Popen[str]:
        own = self.part.plan.arguments and [*arguments, "--config", str(self.part.config)]
        return self.part.user.spawn([*self.command, *own], env, log)


@contextmanager
def deployed(
    python: str, sandbox: Sandbox, rates: Rates, *, is_timed: bool = False, nice_workers: int = NICE_WORKERS
) -> Iterator[Deployment]:
    """A deployment that runs while the block lasts. ``sandbox`` is started already."""
    root = Path(tempfile.mkdtemp(prefix="wanesync-split-"))
    made = Deployment(root, python, sandbox, rates, is_timed, nice_workers=nice_workers)
    try:
        made.set_up()
        made.begin()
        yield made
    finally:
        made.stop()
        shutil.rmtree(root)
