"""The ways of ``reconcile`` an operator can go, from the command line to what stands on both sides."""

from __future__ import annotations

import csv
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forker import FAILPOINT_VARIABLE
from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.reconcile.lock import RUN_LOCK

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ADA, BEN, NEW = "ada@example.com", "ben@example.com", "new@example.com"


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Two systems that never met: Ada differs, Ben lacks a phone, one contact is new; nobody works yet."""
    with Stage(database_url, tmp_path) as opened:
        opened.sandbox.hubspot.portal.search_index.lag_ms = 0
        opened.edit(HUBSPOT, "create", email=ADA, city="Lyon")
        opened.edit(STRIPE, "create", email=ADA, address__city="Oslo")
        opened.edit(HUBSPOT, "create", email=BEN, phone="+12025550101")
        opened.edit(STRIPE, "create", email=BEN)
        opened.edit(HUBSPOT, "create", email=NEW, firstname="Nia", lastname="New")
        yield opened


def done(stage: Stage, *command: str, code: int = 0) -> str:
    ended = stage.run(*command)
    assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


def written(stage: Stage) -> int:
    return sum(len(stage.writes(side)) for side in Side)


def test_a_plan_is_saved_looked_at_and_applied(stage: Stage, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    said = done(stage, "reconcile", "--plan-out", str(plan))
    assert f"Wrote {plan}: 1 create customer, 1 update customer; 1 pair to be linked." in said
    shown = done(stage, "reconcile", "--show", str(plan))
    assert "phone blank → +***" in shown
    assert BEN not in shown
    assert "phone blank → +12025550101" in done(stage, "reconcile", "--show", str(plan), "--show-values")
    assert len(stage.ask("reconcile", "--show", str(plan))["differences"]) == 2  # type: ignore[arg-type] # a list
    stage.rest()
    assert written(stage) == 0
    with stage.store.reading() as tx:
        assert (tx.records.count(HUBSPOT), tx.jobs.depth(), tx.settings.get("listed")) == (0, [], None)
    # A colleague is quicker: the plan knows nothing of it, and neither does any webhook.
    stage.edit(STRIPE, "create", email=NEW)
    applied = stage.ask("reconcile", "--apply", str(plan), code=1)
    assert [skipped["classes"] for skipped in applied["skipped"]] == [["create_customer"]]  # type: ignore[attr-defined] # a list
    stage.work()
    stage.rest()
    assert stage.customer(BEN)["phone"] == "+12025550101"
    assert stage.writes(STRIPE, "create") == [], "the colleague's customer is the one"


def test_an_altered_plan_is_refused(stage: Stage, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    done(stage, "reconcile", "--plan-out", str(plan))
    plan.write_text(plan.read_text().replace("create_customer", "update_customer"))
    assert "altered" in done(stage, "reconcile", "--apply", str(plan), code=2)
    assert written(stage) == 0


def test_a_table_is_decided_and_given_back(stage: Stage, tmp_path: Path) -> None:
    table = decided(stage, tmp_path / "all.csv")
    stage.work()
    done(stage, "reconcile", "--decisions", str(table), "--wait")
    stage.rest()
    assert (stage.contact(ADA)["city"], stage.customer(BEN)["phone"]) == ("Oslo", "+12025550101")
    assert stage.customer(NEW) == {}
    assert stage.ask("diff")["counts"]["excluded"] == 1  # type: ignore[index] # a mapping


def decided(stage: Stage, table: Path) -> Path:
    """What Stripe says of Ada's city is right, and the new contact is left alone."""
    done(stage, "diff", "--csv", str(table), code=1)
    assert ADA not in table.read_text(), "masked"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["decision"] = "stripe" if (row["class"], row["field"]) == ("conflict", "city") else ""
        if row["class"] == "create_customer":
            row["decision"] = "exclude"
    with table.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0].keys())
        out.writeheader()
        out.writerows(rows)
    return table


def test_decisions_that_cannot_be_understood_do_nothing(stage: Stage, tmp_path: Path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("hubspot_id,stripe_id,field,decision\n1,,,perhaps\n")
    assert "line 2" in done(stage, "reconcile", "--decisions", str(table), code=2)
    assert written(stage) == 0


def test_a_baseline_links_and_writes_nothing_and_later_edits_flow(stage: Stage) -> None:
    assert stage.ask("reconcile", "--baseline")["linked"] == 2
    stage.rest()
    assert written(stage) == 0
    assert stage.ask("diff", code=1)["counts"]["update_customer"] == 0  # type: ignore[index] # a mapping
    stage.edit(HUBSPOT, "update", stage.contact(BEN)["id"], city="Rome")
    stage.work()
    done(stage, "reconcile", "--only", "update_customer", "--wait")
    stage.rest()
    assert stage.customer(BEN)["address.city"] == "Rome"


def killed(stage: Stage, failpoint: str, *command: str) -> None:
    """Killed there, and the minute is over for which the killed run keeps others out."""
    assert stage.run(*command, **{FAILPOINT_VARIABLE: f"{failpoint}:1"}).returncode == -signal.SIGKILL
    stage.store.run(lambda tx: tx.settings.put(RUN_LOCK, ""))


@pytest.mark.parametrize("failpoint", ["reconcile.adopt.after", "decisions.before", "decisions.after"])
def test_decisions_killed_and_given_again_end_the_same(stage: Stage, tmp_path: Path, failpoint: str) -> None:
    table = decided(stage, tmp_path / "all.csv")
    killed(stage, failpoint, "reconcile", "--decisions", str(table))
    stage.work()
    done(stage, "reconcile", "--decisions", str(table), "--wait")
    stage.rest()
    assert (stage.contact(ADA)["city"], stage.customer(BEN)["phone"]) == ("Oslo", "+12025550101")
    assert stage.customer(NEW) == {}


@pytest.mark.parametrize("failpoint", ["baseline.chunk.before", "baseline.chunk.after", "baseline.end.before"])
def test_a_baseline_killed_and_run_again_ends_the_same(stage: Stage, failpoint: str) -> None:
    killed(stage, failpoint, "reconcile", "--baseline")
    stage.ask("reconcile", "--baseline")
    counts = stage.ask("diff", code=1)["counts"]
    assert (counts["update_customer"], counts["create_customer"]) == (0, 1)  # type: ignore[index] # a mapping
    stage.work()
    stage.rest()
    assert (stage.customer(ADA)["address.city"], stage.contact(ADA)["city"]) == ("Oslo", "Lyon"), "both stay"
    assert "phone" not in {name for _, _, changes in stage.writes(STRIPE) for name in changes}


def test_contacts_it_creates_are_marked_and_no_others(stage: Stage) -> None:
    stage.edit(STRIPE, "create", email="cleo@example.com", name="Cleo Stone")
    stage.work()
    done(stage, "reconcile", "--quiet-property", "jobtitle=imported", "--wait")
    stage.rest()
    with stage.sandbox.lock:
        live = stage.sandbox.hubspot.portal.contacts.live.values()
        held = {contact.properties.get("email"): contact.properties.get("jobtitle") for contact in live}
    assert held["cleo@example.com"] == "imported"
    assert {held[ADA], held[BEN], held[NEW]} <= {None, ""}


def test_a_page_to_look_at(stage: Stage, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    said = done(stage, "diff", "--html", str(page), code=1)
    assert f"Wrote {page}." in said
    assert "Next: wanesync reconcile queues these repairs" in said
    text = page.read_text()
    assert "4242" in text
    assert "acct_sandbox" in text
    assert ADA not in text
    assert page.stat().st_mode & 0o777 == 0o600


def test_what_changed_since_the_last_run_and_what_webhooks_missed(stage: Stage) -> None:
    assert "Both sides are listed in full" in done(stage, "diff", "--since", "1d", code=1)
    assert "there was no run yet" in done(stage, "diff", "--since", "last", code=2)
    worker = stage.work()
    done(stage, "reconcile", "--wait")
    stage.rest()
    worker.stop()
    stage.edit(HUBSPOT, "update", stage.contact(ADA)["id"], phone="+12025550177")
    found = stage.ask("diff", "--since", "last", code=1)
    assert found["counts"]["update_customer"] == 1  # type: ignore[index] # a mapping
    assert found["lost"] == {str(side): {"records": 0, "missed": {}} for side in Side}, "too young to be a loss"
    assert "in the future" in done(stage, "diff", "--since", "2999-01-01", code=2)


def test_cron_gets_nothing_to_mail(stage: Stage) -> None:
    ended = stage.run("diff")
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dry-run", "--baseline"], "exclude one another"),
        (["--apply", "none.json", "--only", "conflict"], "--only would do nothing with --apply"),
        (["--show", "none.json", "--apply", "none.json"], "exclude one another"),
        (["--show", "none.json", "--wait"], "--wait would do nothing with --show"),
        (["--show", "none.json"], "cannot read the plan none.json"),
        (["--baseline", "--max-creates", "0"], "--max-creates would do nothing"),
        (["--decisions", "none.csv"], "cannot be read"),
        (["--snapshot", "/nowhere/at/all"], "cannot be made"),
        (["--plan-out", "/nowhere/plan.json"], "cannot write /nowhere/plan.json"),
        (["--csv", "/nowhere/all.csv"], "cannot write /nowhere/all.csv"),
        (["--html", "/"], "cannot write /: it is there and is no file"),
        (["--apply", "none.json"], "cannot read the plan none.json"),
        (["--apply", __file__], "this is no plan"),
        (["--decisions", __file__], "decision"),
    ],
    ids=[
        *("two ways", "idle", "shown and applied", "idle show", "no plan to show"),
        *("idle zero", "no file", "no place", "no place for a plan", "no place for a table"),
        *("no place for a page", "no plan there", "no plan", "no table"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(
    sqlite_url: str, tmp_path: Path, options: list[str], said: str
) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        before = stage.sandbox.stats()["stripe"]["requests"]
        assert said in " ".join(done(stage, "reconcile", *options, code=2).split())
        # Whose the keys are is asked before the place of the snapshot is looked at.
        assert int(str(stage.sandbox.stats()["stripe"]["requests"])) - int(str(before)) <= 1
