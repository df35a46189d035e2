"""A worker killed with SIGKILL at its named failpoints and restarted: nothing lost, nobody there twice.

Each costs ten seconds: these are the ones between which something differs. ``make chaos`` goes through all of them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.sandbox.server import Options

FAILPOINTS = (
    "hubspot.claim.after:2",
    "stripe.claim.before:2",
    "customers.create.before:2",
    "customers.create.after:2",
    "customers.update.after:1",
    "contacts.batch_create.after:1",
    "contacts.batch_update.after:1",
    "events.send.after:1",
    "outcomes.before:3",
    "sweep.after:2",
)
NOTE_FAILPOINTS = ("notes.create.after:1",)
# On Postgres those between which the store makes a difference.
ON_POSTGRES = ("contacts.batch_create.after:1", "outcomes.after:3")
CASES = [("sqlite_url", point) for point in FAILPOINTS] + [("postgres_url", point) for point in ON_POSTGRES]
NAMES = ("Ana", "Tom", "Zoë", "Omar")
PEOPLE = len(NAMES)


@pytest.mark.parametrize(("database", "failpoint"), CASES)
def test_nothing_is_lost_and_no_record_is_there_twice(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, failpoint: str
) -> None:
    with Stage(request.getfixturevalue(database), tmp_path) as stage:
        survive(stage, failpoint)
        sent = [(contact, changes["payment_id"]) for _, contact, changes in stage.writes(Side.HUBSPOT, "event.sent")]
        assert len(sent) == len(set(sent)) == PEOPLE


@pytest.mark.parametrize("failpoint", NOTE_FAILPOINTS)
def test_a_note_is_written_once(sqlite_url: str, tmp_path: Path, failpoint: str) -> None:
    options = Options(tier="professional", stripe_limit=1000, hubspot_limit=1000)
    with Stage(sqlite_url, tmp_path, options) as stage:
        survive(stage, failpoint)
        notes = [changes["hs_note_body"] for _, _, changes in stage.writes(Side.HUBSPOT, "note.created")]
        assert len(notes) == len(set(notes)) == PEOPLE


def survive(stage: Stage, failpoint: str) -> None:
    """People on both sides, edits and purchases; the worker dies at the failpoint, another one takes over."""
    pairs = _begin(stage)
    stage.serve()
    doomed = stage.start("worker", failpoint=failpoint)
    name = doomed.first_line().split()[2].rstrip(":")
    _continue(stage, pairs)
    assert doomed.wait() == -9, "the worker passed its failpoint and was killed there"
    # Its lease ends now rather than in six seconds.
    stage.store.run(lambda tx: tx.processes.remove(name))
    stage.work()
    stage.rest()
    _check(stage)


def _begin(stage: Stage) -> list[tuple[str, str]]:
    pairs = []
    for number in range(PEOPLE):
        stage.edit(
            Side.HUBSPOT, "create", email=f"contact{number}@example.com", firstname=NAMES[number], lastname="One"
        )
        stage.edit(Side.STRIPE, "create", email=f"customer{number}@example.com", name=f"{NAMES[number]} Two")
        pair = (
            stage.edit(Side.HUBSPOT, "create", email=f"both{number}@example.com", city="Lyon", company=""),
            stage.edit(Side.STRIPE, "create", email=f"Both{number}@example.com", business_name=f"Both {number}"),
        )
        pairs.append(pair)
    stage.reconcile()
    return pairs


def _continue(stage: Stage, pairs: list[tuple[str, str]]) -> None:
    for number, (contact_id, customer_id) in enumerate(pairs):
        stage.edit(Side.HUBSPOT, "update", contact_id, phone=f"+1202555010{number}")
        stage.edit(Side.STRIPE, "purchase", customer_id, amount="1999", currency="usd")


def _check(stage: Stage) -> None:
    for side in Side:
        rows = stage.sandbox.records(side)
        addresses = Counter(row["email"].lower() for row in rows)
        assert len(rows) == 3 * PEOPLE
        assert set(addresses.values()) == {1}
    for number in range(PEOPLE):
        assert stage.customer(f"both{number}@example.com")["phone"] == f"+1202555010{number}"
        assert stage.contact(f"both{number}@example.com")["company"] == f"Both {number}"
        assert stage.customer(f"contact{number}@example.com")["name"] == f"{NAMES[number]} One"
        assert stage.contact(f"customer{number}@example.com")["lastname"] == "Two"
    report = stage.compare()
    assert (report.actionable, report.to_link) == (0, 0), list(report.differences())
    with stage.store.reading() as tx:
        assert (tx.links.count_active(), tx.dead_letters.latest(), tx.pending_writes.count_open()) == (
            3 * PEOPLE,
            [],
            0,
        )
        assert tx.purchases.counts()["sent"] == PEOPLE
