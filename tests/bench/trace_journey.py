"""The journey of one HubSpot edit to a committed Stripe write, traced in a running ``wanesync up``.

``python -m tests.bench.trace_journey`` edits the phone number of a linked contact of the sandbox, five times, and
prints what each edit passes on its way: modules, functions, switches between modules, commits and API calls.
``--json FILE`` keeps the figures, ``--hops`` lists functions that only pass a call on, ``--tree FILE`` writes down
every call of one journey. To measure another checkout, whatever its layout: ``--package-root /other/checkout --python
/other/checkout/.venv/bin/python``. Nothing of wanesync is imported here. The database is SQLite.

What is counted
    Functions whose source stands in the package, by definition: a comprehension belongs to the function around it,
    code that ``dataclass`` generates and code of libraries does not count. The caller of a function is the nearest
    function of the package below it on the stack, so what runs between them in a library is skipped.
    modules, functions: distinct ones. calls: all of them; a generator or coroutine is called each time it is resumed.
    switches: calls from a function of one module to one of another, and returns back; the table counts them for the
    module that was called. commits: of writing transactions that SQLite flushes to disk. slot commits: those of the
    rate slots, which it does not. statements: everything else that SQLite runs but BEGIN. HubSpot and Stripe requests:
    what the sandbox counted.

What belongs to the journey
    Recording begins seconds before the edit, so that each thread shows what it does when there is nothing to do.
    A thread that committed then (heartbeat, sweep) is background and is dropped whole, and so are the threads that
    work at long intervals (``BACKGROUND``). Of a thread that polled then (the lanes, the committer, moving SQLite's
    log) only the rounds that commit are kept: those that found work. A round is what a thread's loop calls until it
    begins anew. All other threads did nothing then, and are kept whole: the web door, the calls of the vendors.
    The journey ends with the round of the last commit, which is that of Stripe's answer. Stripe's webhooks are not
    sent, so its echo is not in it. One edit before the first that counts loads what is loaded once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any

from tests.bench.journey_recorder import COMMIT, RETURN, SLOT_COMMIT, STATEMENT

ROOT = Path(__file__).parents[2]
RECORDER = Path(__file__).with_name("journey_recorder.py")
BACKGROUND = frozenset({"MainThread", "rounds", "upkeep"})
"""Threads that look for work every 30 s or less often: catch-up, retention; and the main thread, which only waits."""
IDLE_S = 3.0
"""How long is recorded before the edit: more than the 2 s between two heartbeats."""
AFTER_S = 1.0
"""How long is recorded after the new value stands at Stripe: its answer is committed some ms later."""
DEADLINE_S = 90.0
PEOPLE = 40
THIN_LINES = 3
"""A function of so few lines, without the one of its ``def``, that makes one call only passes it on."""
SECRET = "hubspot-client-secret"
COMMAND = ("-m", "wanesync.cli.main")
CONFIG = """\
database = "sqlite:{folder}/wanesync.db"
[hubspot]
access_token = "{hubspot_key}"
webhook_secret = "{secret}"
base_url = "{hubspot_url}"
[stripe]
api_key = "{stripe_key}"
webhook_secret = "whsec_unused"
base_url = "{stripe_url}"
[network]
allow_base_url = true
[server]
port = 0
[security]
keys = ["test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]
[log]
level = "warning"
"""

Events = Sequence[Sequence[int]]
"""(place in time, event); an event is the number of a function that is called, or one of the recorder's constants."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one turn of a thread's loop called. Times in ns of the monotonic clock."""

    began_ns: int
    ended_ns: int
    events: Events
    thread: str = ""

    def holds(self, *kinds: int) -> bool:
        """Whether one of these events is in it."""
        return any(event in kinds for _, event in self.events)

    @property
    def place(self) -> int:
        """Where it stands in the journey: at its first commit, as a poller waits before it; else at its start."""
        commits = [place for place, event in self.events if event in (COMMIT, SLOT_COMMIT)]
        return commits[0] if commits else self.events[0][0]


# -- which rounds belong to the journey


def choose_rounds(threads: dict[str, list[Round]], edited_ns: int) -> list[Round]:
    """The rounds of the journey of what was edited at ``edited_ns``, in their order (see the module)."""
    kept: list[Round] = []
    for name, rounds in threads.items():
        before = [turn for turn in rounds if turn.ended_ns <= edited_ns]
        if name in BACKGROUND or any(turn.holds(COMMIT) for turn in before):
            continue
        after = rounds[len(before) :]
        kept += [turn for turn in after if turn.holds(COMMIT, SLOT_COMMIT)] if before else after
    end_ns = max((turn.ended_ns for turn in kept if turn.holds(COMMIT)), default=0)
    return sorted((turn for turn in kept if turn.began_ns <= end_ns), key=lambda turn: turn.place)


# -- what they come to


class Tally:
    """Counts of a journey. ``functions``: (module, name, lines) by number. ``modules``: in order of first entry."""

    def __init__(self, functions: Sequence[tuple[str, str, int]], rounds: Sequence[Round]) -> None:
        self._functions, self._rounds = functions, rounds
        self.calls: Counter[int] = Counter()
        self.modules: dict[str, None] = {}
        self.edges: Counter[tuple[str, str]] = Counter()
        self.commits, self.slot_commits, self.statements = (
            sum(event == kind for turn in rounds for _, event in turn.events)
            for kind in (COMMIT, SLOT_COMMIT, STATEMENT)
        )
        self._called: dict[int, list[frozenset[int]]] = {}
        for turn in rounds:
            self._follow(turn.events)

    def _follow(self, events: Events) -> None:
        stack: list[tuple[int, list[int]]] = []
        for _, event in events:
            if event >= 0:
                self.calls[event] += 1
                self.modules.setdefault(self._module(event))
                if stack:
                    stack[-1][1].append(event)
                    self._switch(stack[-1][0], event)
                stack.append((event, []))
            elif event == RETURN:
                function, called = stack.pop()
                # One that calls two others, or one twice, does more than pass a call on.
                self._called.setdefault(function, []).append(frozenset(called if len(called) == 1 else ()))
                if stack:
                    self._switch(stack[-1][0], function)

    def _switch(self, outer: int, inner: int) -> None:
        """A call of ``inner`` by ``outer``, or the return from it."""
        if self._module(outer) != self._module(inner):
            self.edges[self._module(outer), self._module(inner)] += 1

    def _module(self, number: int) -> str:
        return self._functions[number][0]

    @property
    def switches(self) -> int:
        """Calls and returns between functions of two modules."""
        return sum(self.edges.values())

    def list_modules(self) -> list[dict[str, Any]]:
        """One row per module, in order of first entry."""
        rows = []
        for module in self.modules:
            calls = {self._functions[n][1]: count for n, count in self.calls.items() if self._module(n) == module}
            switches = sum(count for (_, inner), count in self.edges.items() if inner == module)
            rows.append({"module": module, "switches": switches, "functions": calls})
        return rows

    def list_hops(self) -> list[dict[str, Any]]:
        """Functions of few lines that, whenever they are called, call one function of another module and no other."""
        hops = []
        for number, called in self._called.items():
            module, name, lines = self._functions[number]
            targets = frozenset[int]().union(*called)
            if lines > THIN_LINES or not all(called) or any(self._module(target) == module for target in targets):
                continue
            to = sorted(f"{self._module(target)}:{self._functions[target][1]}" for target in targets)
            hops.append({"function": f"{module}:{name}", "calls": self.calls[number], "to": to})
        return sorted(hops, key=lambda hop: (-hop["calls"], hop["function"]))

    def draw_tree(self) -> str:
        """Every call of the journey, a line each, indented by its depth; threads and commits between them."""
        lines: list[str] = []
        for turn in self._rounds:
            lines.append(f"[{turn.thread}]")
            depth = 0
            for _, event in turn.events:
                if event >= 0:
                    lines.append(f"{'  ' * depth}{':'.join(self._functions[event][:2])}")
                elif event in (COMMIT, SLOT_COMMIT):
                    lines.append(f"{'  ' * depth}{'COMMIT' if event == COMMIT else 'slot commit'}")
                depth += (event >= 0) - (event == RETURN)
        return "\n".join(lines)

    def list_passages(self) -> list[str]:
        """Modules that are entered only to call another one: each of their functions is a hop."""
        hops = {hop["function"] for hop in self.list_hops()}
        return [
            row["module"]
            for row in self.list_modules()
            if all(f"{row['module']}:{name}" in hops for name in row["functions"])
        ]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one journey came to; ``ms``: from the edit to the end of the last commit, slowed down by the tracing."""

    modules: int
    functions: int
    switches: int
    calls: int
    commits: int
    slot_commits: int
    statements: int
    hubspot_requests: int
    stripe_requests: int
    ms: int


def measure(trace: dict[str, Any], edited_ns: int, requests: tuple[int, int]) -> tuple[Figures, Tally]:
    """The figures of one trace. ``requests``: to HubSpot and to Stripe. Raises ValueError: it is not whole."""
    threads: dict[str, list[Round]] = {}
    for thread in trace["threads"]:
        # Thread names of a pool are used again.
        name = thread["name"]
        turns = (Round(began_ns, ended_ns, events, name) for began_ns, ended_ns, events in thread["rounds"])
        threads.setdefault(name, []).extend(turns)
    for rounds in threads.values():
        rounds.sort(key=lambda turn: turn.ended_ns)
    rounds = choose_rounds(threads, edited_ns)
    tally = Tally(trace["functions"], rounds)
    # The web door's, that of what was read from HubSpot and that of Stripe's answer cannot be one.
    if tally.commits < 3 or 0 in requests:
        raise ValueError(f"only {tally.commits} commits were traced, of the threads {', '.join(sorted(threads))}")
    end_ns = max(turn.ended_ns for turn in rounds if turn.holds(COMMIT))
    figures = Figures(
        len(tally.modules), len(tally.calls), tally.switches, tally.calls.total(),
        tally.commits, tally.slot_commits, tally.statements, *requests, (end_ns - edited_ns) // 1_000_000,
    )  # fmt: skip
    return figures, tally


# -- the sandbox, and the program under test


class Sandbox:
    """A running ``wanesync sandbox``; ``addresses`` are the addresses it printed."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses

    def call(self, side: str, name: str, content: object = None) -> Any:
        """One request to a control door."""
        body = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"{self.addresses[f'{side}_url']}/_sandbox/{name}", body, timeout=30) as answer:
            return json.load(answer)

    def records(self, side: str) -> dict[str, dict[str, str]]:
        """Every record of a side that has an address of its own and a phone number, by address."""
        rows = [row for row in self.call(side, "records")["records"] if row.get("email") and row.get("phone")]
        seen = Counter(row["email"] for row in rows)
        return {row["email"]: row for row in rows if seen[row["email"]] == 1}

    def requests(self) -> tuple[int, int]:
        """Requests to HubSpot and to Stripe since the start."""
        stats = self.call("hubspot", "stats")
        return int(stats["hubspot"]["requests"]), int(stats["stripe"]["requests"])


class Installation:
    """The checkout under test: its commands, run with its interpreter in its folder."""

    def __init__(self, root: Path, python: Path, folder: Path) -> None:
        self._root, self._python, self._folder = root, python, folder
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("WANESYNC_")}

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self._folder / "wanesync.toml"

    def run(self, *arguments: str) -> str:
        """A command that ends: what it printed. Raises CalledProcessError."""
        command = [str(self._python), *COMMAND, *arguments, "--config", str(self.config)]
        return subprocess.check_output(command, cwd=self._root, env=self._env, text=True)

    @contextmanager
    def start(self, *command: str, pass_fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
        """A Python program that runs until it is stopped, with pipes to its input and output."""
        process = subprocess.Popen(
            [str(self._python), *command], cwd=self._root, env=self._env, text=True, pass_fds=pass_fds,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    @contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """A sandbox whose people are on both sides, and the configuration that leads to it."""
        people = [word for name in ("contacts", "customers", "overlap") for word in (f"--{name}", str(PEOPLE))]
        ports = ["--hubspot-port", "0", "--stripe-port", "0"]
        with self.start(*COMMAND, "sandbox", "--json", *ports, *people) as process:
            sandbox = Sandbox(json.loads(_first_line(process)))
            self.config.touch(mode=0o600)
            self.config.write_text(CONFIG.format(folder=self._folder, secret=SECRET, **sandbox.addresses))
            yield sandbox

    @contextmanager
    def up(self) -> Iterator[tuple[str, IO[str], IO[str]]]:
        """``wanesync up`` under the recorder: its address, and the two ends that lead to the recorder."""
        ours, theirs = os.pipe()
        command = [str(RECORDER), str(theirs), str(self._root), "up", "--config", str(self.config)]
        with os.fdopen(ours) as answers, self.start(*command, pass_fds=(theirs,)) as process:
            os.close(theirs)
            url = next(word for word in _first_line(process).split() if word.startswith("http"))
            if process.stdin is None:
                raise RuntimeError("the program was started without an input")
            yield url, process.stdin, answers

    def rests(self) -> bool:
        """Whether both sides were listed and nothing is queued, running or unanswered."""
        status = json.loads(self.run("status", "--json"))
        lanes = status["lanes"].values()
        busy = sum(lane["due"] + lane["running"] for lane in lanes) + status["open_writes"]
        return bool(status["first_listing"]) and not busy


def _first_line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError(f"{process.args!r} ended at once with {process.wait()}")
    return line


def _wait(holds: Callable[[], bool], what: str, pause_s: float = 0.02) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {DEADLINE_S:g} s: {what}")
        time.sleep(pause_s)


class Bench:
    """Edits of linked contacts, one after the other, each recorded."""

    def __init__(self, installation: Installation, sandbox: Sandbox, orders: IO[str], answers: IO[str]) -> None:
        self._installation, self._sandbox, self._orders, self._answers = installation, sandbox, orders, answers
        customers = sandbox.records("stripe")
        linked = [(row["id"], email) for email, row in sandbox.records("hubspot").items() if email in customers]
        self._people = iter(linked)
        self._phones = (f"+1202555{number:04d}" for number in range(1000, 9999))

    def trace_edit(self) -> tuple[Figures, Tally]:
        """One edit, from an idle program to an idle program."""
        self._rest()
        self._order("on")
        time.sleep(IDLE_S)
        before, edited_ns = self._sandbox.requests(), time.monotonic_ns()
        self.edit()
        time.sleep(AFTER_S)
        after = self._sandbox.requests()
        trace = self._order("off")
        self._rest()
        return measure(trace, edited_ns, (after[0] - before[0], after[1] - before[1]))

    def edit(self) -> None:
        """Change the phone number of the next contact; wait until it stands at Stripe."""
        (contact, email), phone = next(self._people), next(self._phones)
        content = {"side": "hubspot", "kind": "update", "id": contact, "values": {"phone": phone}}
        self._sandbox.call("hubspot", "edit", content)
        _wait(lambda: self._sandbox.records("stripe")[email]["phone"] == phone, "the phone number at Stripe")

    def _rest(self) -> None:
        _wait(self._installation.rests, "nothing is left to do", 0.5)

    def _order(self, word: str) -> Any:
        self._orders.write(f"{word}\n")
        self._orders.flush()
        return json.loads(self._answers.readline())


def run(root: Path, python: Path, runs: int) -> list[tuple[Figures, Tally]]:
    """So many edits in one installation of the checkout at ``root``."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="journey-")))
        installation = Installation(root.resolve(), python.absolute(), folder)
        sandbox = stack.enter_context(installation.sandbox())
        installation.run("init", "--hubspot")
        installation.run("writes", "on")
        url, orders, answers = stack.enter_context(installation.up())
        sandbox.call("hubspot", "webhooks", {"hubspot": {"url": f"{url}/webhooks/hubspot", "secret": SECRET}})
        bench = Bench(installation, sandbox, orders, answers)
        _wait(installation.rests, "the first listing is done", 0.5)
        bench.edit()
        return [bench.trace_edit() for _ in range(runs)]


# -- on paper


def show(results: Sequence[tuple[Figures, Tally]], *, hops: bool = False) -> str:
    """Median and spread of the figures, and the modules of the journey whose switches are the median."""
    lines = [f"one edit from HubSpot to Stripe, median of {len(results)} (least to most)"]
    rows = [asdict(figures) for figures, _ in results]
    for name in rows[0]:
        values = [row[name] for row in rows]
        lines.append(f"{name.replace('_', ' '):18}{median(values):>8g}  ({min(values)} to {max(values)})")
    tally = choose_typical(results)
    lines += ["", f"{'module, in order of first entry':44}{'functions':>9}{'calls':>7}{'switches':>9}"]
    for row in tally.list_modules():
        calls = row["functions"]
        lines.append(f"{row['module']:44}{len(calls):>9}{sum(calls.values()):>7}{row['switches']:>9}")
    if hops:
        lines += ["", "functions that only pass a call on"]
        lines += [f"{hop['calls']:>5}  {hop['function']} -> {', '.join(hop['to'])}" for hop in tally.list_hops()]
        lines += ["", "modules of nothing else", *tally.list_passages()]
    return "\n".join(lines)


def choose_typical(results: Sequence[tuple[Figures, Tally]]) -> Tally:
    """The journey whose switches are in the middle."""
    return sorted(results, key=lambda result: result[0].switches)[(len(results) - 1) // 2][1]


def as_json(results: Sequence[tuple[Figures, Tally]]) -> dict[str, Any]:
    """All figures of all runs; of a typical one its modules, the pairs of modules it switches between, and its hops."""
    tally = choose_typical(results)
    rows = [asdict(figures) for figures, _ in results]
    edges = [[outer, inner, count] for (outer, inner), count in tally.edges.most_common()]
    return {
        "median": {name: median(row[name] for row in rows) for name in rows[0]},
        "runs": rows,
        "modules": tally.list_modules(),
        "switches": edges,
        "hops": tally.list_hops(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Trace one checkout and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.trace_journey", description=__doc__.splitlines()[0])
    parser.add_argument("--package-root", type=Path, default=ROOT, help="checkout whose wanesync is traced")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter with its requirements")
    parser.add_argument("--runs", type=int, default=5, help="edits that are traced (5)")
    parser.add_argument("--hops", action="store_true", help="list functions that only pass a call on, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    parser.add_argument("--tree", type=Path, metavar="FILE", help="write every call of a typical journey there")
    options = parser.parse_args(arguments)
    results = run(options.package_root, options.python, options.runs)
    sys.stdout.write(show(results, hops=options.hops) + "\n")
    if options.tree:
        options.tree.write_text(choose_typical(results).draw_tree() + "\n")
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
