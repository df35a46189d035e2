"""Every command with poisoned values, in any encoding, at 80 columns, on a full disk, into a closed pipe, interrupted.

What a command prints never commands a terminal, and whatever becomes of its output it ends in a line and a documented
exit code.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest
from typer.core import TyperGroup

from tests.support.core_builders import contact, customer, link
from tests.support.run_main import TERMINAL_CODES, Ended, closed_pipe, full_disk, run_main
from tests.support.stage import Stage
from wanesync.cli.command_table import COMMANDS, load
from wanesync.core.change_guard import HeldValue, HoldKind
from wanesync.core.ids import make_id
from wanesync.core.jobs import DeadClass, JobKind, JobRequest
from wanesync.core.model import Conflict, Note, NoteCode, Side, StoredRecord
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import AlertState, Notice, NoticeKind
from wanesync.core.purchases import Purchase, PurchaseState
from wanesync.output import UNSAFE
from wanesync.sandbox.server import Options
from wanesync.store import Store, Tx

POISON = "Eve\x1b]8;;http://evil.example\x07\x1b[2J\x9b31m\x85\u202egnp\u2066\u200f\u2028\ufeff\x7f\b\r=1+1 – 東京"
"""Terminal commands of both lengths, marks of direction, line ends, and what few encodings have."""
SHORT = "Eve\x1b[2J\u202e"

LISTS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "status --json": ("status", "--json"),
    "status --check": ("status", "--check"),
    "jobs": ("jobs",),
    "jobs --json": ("jobs", "--json"),
    "jobs --dead": ("jobs", "--dead"),
    "history": ("history", "--show-values"),
    "history --json": ("history", "--json", "--show-values"),
    "history EMAIL": ("history", "eve@example.com", "--show-values"),
    "history masked": ("history", "eve@example.com"),
    "history payment": ("history", "pi_1"),
    "alerts list": ("alerts", "list", "--all"),
    "alerts list --json": ("alerts", "list", "--json"),
    "alerts history": ("alerts", "history"),
    "alerts history --deliveries": ("alerts", "history", "--deliveries"),
    "alerts test": ("alerts", "test"),
    "alerts silence": ("alerts", "silence", "--subject", SHORT, "--reason", SHORT),
    "logs": ("logs", "--show-values"),
    "logs --json": ("logs", "--json", "--show-values"),
    "logs --csv": ("logs", "--csv", "--show-values"),
    "conflicts": ("conflicts", "--show-values"),
    "conflicts --json": ("conflicts", "--json", "--show-values"),
    "conflicts list": ("conflicts", "list", "--show-values"),
    "conflicts show": ("conflicts", "show", "eve@example.com", "--show-values"),
    "conflicts resolve": ("conflicts", "resolve", "--all", "--choose", "hubspot", "--dry-run"),
    "trends": ("trends",),
    "trends --json": ("trends", "--json"),
    "explain": ("explain", "eve@example.com"),
    "explain --json": ("explain", "eve@example.com", "--json"),
    "link": ("link",),
    "link --json": ("link", "--json"),
    "unlink": ("unlink", SHORT, SHORT, "--dry-run"),
    "webhooks set-aside": ("webhooks", "set-aside"),
    "webhooks set-aside --json": ("webhooks", "set-aside", "--json"),
    "hold list": ("hold", "list", "--show-values"),
    "hold list --json": ("hold", "list", "--show-values", "--json"),
    "hold release": ("hold", "release", "all", "--dry-run"),
    "hold discard": ("hold", "discard", "all", "--dry-run"),
    "limits": ("limits",),
    "limits --json": ("limits", "--json"),
    "limits set": ("limits", "set", "stripe", "50/s"),
    "limits reset": ("limits", "reset", "stripe"),
    "retry": ("retry", "--all", "--dry-run"),
    "discard": ("discard", "--side", "stripe", "--dry-run"),
    "jobs --runs": ("jobs", "--runs"),
    "jobs --state": ("jobs", "--state", "due"),
    "pause": ("pause", "stripe"),
    "resume": ("resume", "stripe"),
    "writes": ("writes",),
    "keys status": ("keys", "status"),
    "keys rotate": ("keys", "rotate"),
    "keys rewrap": ("keys", "rewrap"),
    "keys remove": ("keys", "remove", f"none{SHORT}"),
    "keys bus": ("keys", "bus", "queue"),
    "secrets check": ("secrets", "check"),
    "db migrate": ("db", "migrate"),
    "db prune": ("db", "prune", "--dry-run"),
    "db roles": ("db", "roles"),
    "init": ("init",),
    "diff": ("diff", "--show-values"),
    "diff --json": ("diff", "--show-values", "--json"),
    "reconcile --dry-run": ("reconcile", "--dry-run", "--show-values"),
    "runs start": ("runs", "start"),
    "runs list": ("runs", "list"),
    "runs show": ("runs", "show", SHORT),
    "runs approve": ("runs", "approve", SHORT),
    "runs apply": ("runs", "apply", SHORT),
    "runs work": ("runs", "work", SHORT),
    "runs cancel": ("runs", "cancel", SHORT),
    "runs discard": ("runs", "discard", SHORT),
    "catch-up": ("catch-up",),
    "doctor": ("doctor",),
    "doctor --json": ("doctor", "--json"),
    "webhooks stripe list": ("webhooks", "stripe", "list"),
    "webhooks stripe create": ("webhooks", "stripe", "create"),
    "webhooks stripe remove": ("webhooks", "stripe", "remove", "--yes"),
    "webhooks hubspot write": ("webhooks", "hubspot", "write", "app"),
    "broker-config": ("broker-config", "/dev/null/broker", "--version", "2.0", "--plugins", "/usr/lib"),
    "broker status": ("broker", "status", "--dir", f"/nonexistent/{SHORT}"),
    "broker rotate": ("broker", "rotate", SHORT, "--dir", "/nonexistent"),
    "broker revoke": ("broker", "revoke", SHORT, "--yes", "--dir", "/nonexistent"),
}
REFUSED = {"webhooks stripe create", "webhooks stripe remove", "webhooks hubspot write", "webhooks stripe list",
           "keys rotate", "keys remove", "keys bus", "db roles", "unlink", "alerts test"}  # fmt: skip
OF_NO_RUN = {"runs show", "runs approve", "runs apply", "runs work", "runs cancel", "runs discard"}
"""Commands about a run that there is not."""
REFUSED |= OF_NO_RUN
OF_THE_BROKER = {"broker-config", "broker status", "broker rotate", "broker revoke"}
"""Commands that read no configuration of wanesync."""
REFUSED |= OF_THE_BROKER
"""Commands that need what is not here (public address, key file, Postgres, broker, recipients): one line, code 2."""
WITHOUT_CONFIGURATION = {
    "--version": ("--version",),
    "--help": ("--help",),
    "diff --help": ("diff", "--help"),
    "db roles --table": ("db", "roles", "--table"),
}
ENDS = {0, 1, 2, 3, 4}
KEEP_RUNNING = {"admin", "serve", "queue", "worker", "up", "demo", "sandbox", "bench"}
"""Commands that keep running, start programs or take minutes: tests/system has theirs."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A sandbox and a database whose every text is poisoned."""
    folder = tmp_path_factory.mktemp("poisoned")
    with Stage(
        f"sqlite:{folder / 'wanesync.db'}", folder, Options(tier="enterprise", hubspot_limit=1_000, stripe_limit=1_000)
    ) as made:
        eve = made.edit(Side.HUBSPOT, "create", email="eve@example.com", firstname=POISON, city=POISON)
        customer_id = made.edit(Side.STRIPE, "create", email="eve@example.com", name=SHORT, address__city=SHORT)
        made.edit(Side.STRIPE, "create", email="mallory@example.com", name=POISON)
        made.store.run(lambda tx: poison(tx, made.store, eve, customer_id))
        yield made


def poison(tx: Tx, store: Store, contact_id: str, customer_id: str) -> None:
    """Put poison into every text that a vendor, a user or another program can bring in."""
    eve, cus = (
        contact(contact_id, email="eve@example.com", city=POISON),
        customer(customer_id, email="eve@example.com", city=SHORT),
    )
    hmacs = frozenset({store.hmac("eve@example.com")})
    for record in (eve, cus):
        note = Note(NoteCode.AMBIGUOUS, f"several records: {POISON}")
        tx.records.put_many([StoredRecord(record, 1, 1, 1, hmacs=hmacs, note=note)])
    made = link(contact_id, customer_id)
    tx.links.put(made)
    hold_id, _ = tx.holds.open(f"hubspot:CRM_UI/{POISON}", HoldKind.BRAKE)
    tx.holds.put(made.id, "city", HeldValue(Side.STRIPE, POISON, SHORT, hold_id))
    tx.conflicts.put(Conflict(Side.HUBSPOT, contact_id, "city", POISON, "policy"), made.id)
    tx.journal.add(
        "updated", Side.HUBSPOT, contact_id, made.id, {"fields": {"city": [SHORT, POISON]}, "reason": POISON}
    )
    tx.journal.add(f"odd {SHORT}", None, "", "", {"source": POISON})
    tx.rejected.put(Side.HUBSPOT, f"no usable occurredAt {POISON}", POISON.encode())
    tx.pauses.set("stripe:charges", f"refused: {POISON}", away=False, probe_at_ms=0)
    tx.processes.beat(make_id(tx.now_ms, random.Random(1)), f"stripe {SHORT}", tx.now_ms)
    tx.failed_batches.note("answers", "p1", POISON)
    purchase = Purchase("pi_1", f"ch_{SHORT}", customer_id, POISON, "", 100, "eur", 1, POISON)
    tx.purchases.put(purchase)
    tx.purchases.set_state("pi_1", PurchaseState.UNMATCHED, reason=POISON)
    for number in range(2):
        tx.jobs.put(JobRequest(Side.STRIPE, JobKind.READ, f"cus_{number}{SHORT}"))
    (job,) = tx.jobs.claim(Side.STRIPE, [JobKind.READ], 1, "owner")
    tx.jobs.mark_dead(job, DeadClass.REFUSED, POISON)
    raised = AlertState("batch_failing", SHORT, Level.WARN, 1, Level.WARN, what=POISON, way_out=POISON)
    tx.alerts.put_state(raised)
    tx.alerts.add_history(raised, Level.OK)
    tx.alert_deliveries.add(Notice(NoticeKind.RAISED, Level.WARN, "", SHORT, POISON, POISON), "warn 1", SHORT)


def check_harmless(printed: str) -> None:
    found = UNSAFE.search(TERMINAL_CODES.sub("", printed))
    assert found is None, printed[max(0, found.start() - 60) : found.end() + 60]


def check_end(ended: Ended) -> None:
    assert "Traceback" not in ended.err
    assert ended.code in ENDS, ended
    check_harmless(ended.out)
    check_harmless(ended.err)


def call(stage: Stage, name: str, **streams: object) -> Ended:
    return run_main(arguments_of(stage, name), **streams)  # type: ignore[arg-type] # those of run_main


def arguments_of(stage: Stage, name: str) -> list[str]:
    return [*LISTS[name], *([] if name in OF_THE_BROKER else ["--config", str(stage.file)])]


def leaves() -> Iterator[str]:
    def descend(name: str, command: object) -> Iterator[str]:
        if isinstance(command, TyperGroup) and command.commands:
            for inner, one in command.commands.items():
                yield from descend(f"{name} {inner}", one)
        else:
            yield name

    for name in COMMANDS:
        yield from descend(name, load(name))


def test_no_command_is_left_out() -> None:
    swept = {" ".join(words) for arguments in LISTS.values() for words in (arguments[:1], arguments[:2], arguments[:3])}
    assert {name for name in leaves() if name.split()[0] not in KEEP_RUNNING} <= swept


@pytest.mark.parametrize("name", LISTS)
def test_poison_reaches_no_terminal_in_any_encoding_nor_of_80_columns(stage: Stage, name: str) -> None:
    for encoding in ("utf-8", "ascii", "latin-1", "cp1252"):
        ended = call(stage, name, encoding=encoding)
        check_end(ended)
        assert ended.code in ((2,) if name in REFUSED else (0, 1)), (encoding, ended)
        if "--json" in LISTS[name]:
            json.loads(ended.out)
    check_end(call(stage, name, columns=80))


@pytest.mark.parametrize("kind", ["--csv", "--html", "--plan-out"])
def test_poison_reaches_no_file(stage: Stage, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report"
    values = [] if kind == "--plan-out" else ["--show-values"]
    run_main(["reconcile", *(["--dry-run"] if values else []), *values, kind, str(path), "--config", str(stage.file)])
    text = path.read_text(encoding="utf-8-sig")
    assert "Eve" in text or kind == "--plan-out"
    check_harmless(text)


@pytest.mark.parametrize("name", [*LISTS, *WITHOUT_CONFIGURATION])
def test_a_full_disk_is_one_line_and_exit_code_4(stage: Stage, name: str) -> None:
    arguments = WITHOUT_CONFIGURATION.get(name) or arguments_of(stage, name)
    with suppress(OSError), full_disk() as out:
        ended = run_main(arguments, out=out)
        assert "Traceback" not in ended.err
        lines = ended.err.splitlines()
        if name in REFUSED:
            assert (ended.code, len(lines)) == (2, 1)
        elif ended.code != 0:
            assert (ended.code, lines[-1:]) == (4, ["wanesync: cannot write the output: No space left on device"])
        else:
            assert name == "status --check", "it prints nothing"


@pytest.mark.parametrize("name", [*LISTS, *WITHOUT_CONFIGURATION])
def test_a_closed_pipe_ends_in_silence(stage: Stage, name: str) -> None:
    arguments = WITHOUT_CONFIGURATION.get(name) or arguments_of(stage, name)
    out = closed_pipe()
    ended = run_main(arguments, out=out)
    with suppress(OSError):
        out.close()
    if name in REFUSED:
        assert ended.code == 2
        return
    assert ended.code == 0 or (name, ended.code) == ("status --check", 1), ended
    assert not {"Traceback", "Broken"} & set(ended.err.replace(":", " ").split())


@pytest.mark.parametrize("name", [name for name in LISTS if name not in OF_THE_BROKER])
def test_ctrl_c_is_exit_code_130_without_a_traceback(stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    for read in ("load", "read_secrets"):
        monkeypatch.setattr(f"wanesync.cli.context.{read}", interrupt)
    ended = call(stage, name)
    assert (ended.code, "Traceback" in ended.err) == (130, False), ended


class Keyboard(io.StringIO):
    """A terminal on which Ctrl-C is pressed at the first question."""

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:  # type: ignore[override] # typeshed mixes up text and bytes
        os.kill(os.getpid(), signal.SIGINT)
        return "n\n"


@pytest.mark.parametrize("arguments", [("hold", "discard", "all"), ("retry", "--all")])
def test_ctrl_c_at_a_question_is_exit_code_130(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard())
    ended = run_main([*arguments, "--config", str(stage.file)], columns=80)
    assert (ended.code, "Traceback" in ended.err) == (130, False), ended
