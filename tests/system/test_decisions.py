"""Decisions and baseline against the sandbox: what each comes to once the workers have done their part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage
from tests.support.store_reads import all_links
from tests.system.test_proposals import look, settle
from wanesync.core.diff.decisions import Verdict
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import ConfigError
from wanesync.core.model import BY_DECISION, LinkState, Side, contact_key
from wanesync.reconcile.apply_decisions import AppliedDecisions, CheckedDecisions, DecisionApplier
from wanesync.reconcile.baseline import Baseline, BaselineResult
from wanesync.reconcile.page_store import PageStore

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ADA = "ada@example.org"


class Impatient:
    """A clock whose naps end at once, with something that happens meanwhile."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.naps = 0
        self.frees: str = ""

    def now_ms(self) -> int:
        return self._stage.store.now_ms()

    def monotonic_ms(self) -> int:
        return self.now_ms()

    def sleep_until(self, _at_ms: float) -> None:
        self.naps += 1
        if self.frees:
            with self._stage.store.transaction() as tx:
                tx.locks.drop(self.frees)


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    with Stage(database_url, tmp_path) as opened:
        yield opened


def listed(stage: Stage) -> None:
    PageStore(stage.runtime, look(stage).snapshot).store_changed()
    with stage.store.transaction() as tx:
        tx.settings.put("listed", str(tx.now_ms))


def file(*lines: str) -> bytes:
    return "\n".join(["hubspot_id,stripe_id,field,decision", *lines, ""]).encode()


def check(stage: Stage, *lines: str) -> CheckedDecisions:
    return DecisionApplier(stage.runtime, Impatient(stage)).check(file(*lines))


def decide(stage: Stage, *lines: str) -> AppliedDecisions:
    return DecisionApplier(stage.runtime, Impatient(stage)).apply(check(stage, *lines), "run-1", lambda _count: None)


def pair(stage: Stage, here: str, there: str) -> tuple[str, str]:
    """Two unlinked records with one address, and a company on each side that may be blank."""
    contact_id = stage.edit(HUBSPOT, "create", email=ADA, company=here)
    customer_id = stage.edit(STRIPE, "create", email=ADA, business_name=there)
    return contact_id, customer_id


def companies(stage: Stage) -> tuple[str, str]:
    return stage.contact(ADA).get("company", ""), stage.customer(ADA).get("business_name", "")


@pytest.mark.parametrize(
    ("winner", "field", "linked"),
    [("hubspot", "company", True), ("stripe", "company", False), ("hubspot", "", False), ("stripe", "", True)],
)
def test_the_value_of_a_side_wins(stage: Stage, winner: str, field: str, *, linked: bool) -> None:
    value, lost = ("Here Ltd", "There Inc") if winner == "hubspot" else ("There Inc", "Here Ltd")
    contact_id, customer_id = pair(stage, "Here Ltd", "There Inc")
    if linked:
        stage.reconcile()
        settle(stage)
        assert companies(stage) == ("Here Ltd", "There Inc")
    else:
        listed(stage)
    decided = decide(stage, f"{contact_id},{customer_id},{field},{winner}")
    assert (decided.left, decided.cleared, dict(decided.done)) == ({}, 0, {Verdict(winner): 1})
    stage.rest() if linked else settle(stage)
    assert companies(stage) == (value, value)
    with stage.store.reading() as tx:
        (row,) = tx.conflicts.list()
        assert (row.conflict.kind, row.conflict.value, row.conflict.side) == ("policy", lost, Side(winner).other)
        assert [entry.kind for entry in tx.journal.of([contact_id], 50)].count("decision") == 1
    assert look(stage).actionable == 0


def test_a_blank_winner_clears_and_says_so(stage: Stage) -> None:
    contact_id, customer_id = pair(stage, "", "There Inc")
    listed(stage)
    checked = check(stage, f"{contact_id},{customer_id},company,hubspot")
    assert checked.clears == 1
    decided = decide(stage, f"{contact_id},{customer_id},company,hubspot")
    assert decided.cleared == 1
    settle(stage)
    assert companies(stage) == ("", "")
    with stage.store.reading() as tx:
        assert [row.conflict.value for row in tx.conflicts.list()] == ["There Inc"]


def test_a_name_that_stripe_filled_in_is_cleared_only_by_name(stage: Stage) -> None:
    contact_id, customer_id = pair(stage, "There Inc", "There Inc")
    listed(stage)
    assert stage.customer(ADA)["name"] == "There Inc"
    assert check(stage, f"{contact_id},{customer_id},,hubspot").clears == 0
    assert check(stage, f"{contact_id},{customer_id},name,hubspot").clears == 1
    assert decide(stage, f"{contact_id},{customer_id},name,hubspot").cleared == 1
    settle(stage)
    assert not stage.customer(ADA).get("name")


def test_an_edit_that_would_flow_is_turned_round(stage: Stage) -> None:
    contact_id, customer_id = pair(stage, "Co", "Co")
    stage.reconcile()
    settle(stage)
    stage.edit(HUBSPOT, "update", contact_id, company="Newer Co")
    listed(stage)
    decide(stage, f"{contact_id},{customer_id},company,stripe")
    stage.rest()
    assert companies(stage) == ("Co", "Co")


def test_two_strangers_are_linked_and_meet_for_the_first_time(stage: Stage) -> None:
    contact_id = stage.edit(HUBSPOT, "create", email=ADA, phone="+1 202 555 0100")
    customer_id = stage.edit(STRIPE, "create", name="Ada Byron")
    listed(stage)
    assert decide(stage, f",{customer_id},,link {contact_id}").done == {Verdict.LINK: 1}
    settle(stage)
    customer = stage.row(STRIPE, customer_id)
    assert (customer["email"], stage.row(HUBSPOT, contact_id)["firstname"]) == (ADA, "Ada")
    assert len(stage.sandbox.records(STRIPE)) == 1
    with stage.store.reading() as tx:
        (link,) = all_links(tx)
        assert (link.primary, link.state) == (True, LinkState.ACTIVE)
    assert decide(stage, f"{contact_id},,,link {customer_id}").done == {Verdict.LINK: 1}
    with stage.store.reading() as tx:
        assert len(all_links(tx)) == 1


def test_an_excluded_person_is_left_alone_until_a_person_says_otherwise(stage: Stage) -> None:
    contact_id = stage.edit(HUBSPOT, "create", email=ADA)
    listed(stage)
    decide(stage, f"{contact_id},,,exclude")
    stage.reconcile()
    settle(stage)
    stage.edit(HUBSPOT, "update", contact_id, company="Newer Co")
    customer_id = stage.edit(STRIPE, "create", email=ADA)
    stage.reconcile()
    stage.rest()
    assert not stage.writes(STRIPE)
    assert not stage.writes(HUBSPOT, "contact")
    with stage.store.reading() as tx:
        seen = tx.records.get(HUBSPOT, contact_id)
        assert seen is not None
        assert seen.note == BY_DECISION
        assert tx.links.count_active() == 0
    assert look(stage).counts[DifferenceClass.EXCLUDED] == 2
    decide(stage, f"{contact_id},,,create")
    stage.rest()
    assert stage.row(STRIPE, customer_id)["business_name"] == "Newer Co"


def test_one_of_two_contacts_is_excluded_and_the_other_gets_the_customer(stage: Stage) -> None:
    customer_id = stage.edit(STRIPE, "create", email=ADA)
    mine = stage.edit(HUBSPOT, "create", email=ADA)
    other = stage.edit(HUBSPOT, "create", email="other@example.org", stripe_customer_id=customer_id)
    stage.reconcile()
    settle(stage)
    with stage.store.reading() as tx:
        assert tx.links.count_active() == 0
    decide(stage, f"{other},,,exclude")
    stage.rest()
    with stage.store.reading() as tx:
        (link,) = all_links(tx)
        assert (link.hubspot_id, link.stripe_id) == (mine, customer_id)


@pytest.mark.parametrize("linked", [False, True], ids=["first contact", "linked"])
def test_an_excluded_pair_stays_apart(stage: Stage, *, linked: bool) -> None:
    contact_id, customer_id = pair(stage, "Co", "Co")
    stage.reconcile() if linked else listed(stage)
    settle(stage)
    decide(stage, f"{contact_id},{customer_id},,exclude")
    stage.rest()
    stage.edit(HUBSPOT, "update", contact_id, company="Newer Co")
    stage.reconcile()
    stage.rest()
    assert companies(stage) == ("Newer Co", "Co")
    assert (len(stage.sandbox.records(STRIPE)), len(stage.sandbox.records(HUBSPOT))) == (1, 1)
    assert look(stage).counts[DifferenceClass.EXCLUDED] == 2
    decide(stage, f"{contact_id},,,link {customer_id}")
    stage.rest()
    with stage.store.reading() as tx:
        assert [link.state for link in all_links(tx)] == [LinkState.ACTIVE]


def test_who_is_skipped_is_not_queued(stage: Stage) -> None:
    contact_id = stage.edit(HUBSPOT, "create", email=ADA)
    listed(stage)
    checked = check(stage, f"{contact_id},,email,skip")
    assert checked.skipped == {contact_key(contact_id)}
    decided = decide(stage, f"{contact_id},,email,skip")
    assert (decided.jobs, decided.avoid) == (0, {contact_key(contact_id)})
    with stage.store.reading() as tx:
        assert not tx.jobs.depth()


def test_a_file_is_refused_whole_with_every_line(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        contact_id, customer_id = pair(stage, "Here Ltd", "There Inc")
        second = stage.edit(HUBSPOT, "create", email="second@example.org")
        gone = stage.edit(STRIPE, "create", email="gone@example.org")
        stage.reconcile()
        settle(stage)
        stage.edit(STRIPE, "delete", gone)
        listed(stage)
        stage.reconcile()
        stage.rest()
        lines = [
            (f"{contact_id},{customer_id},company,hubspot", ""),
            (f"{contact_id},,,create", "linked"),
            (f"{second},,,link {contact_id}", "another contact"),
            ("999,,,skip", "unknown"),
            (",cus_nobody,,exclude", "unknown"),
            (f"{second},,,link cus_nobody", "unknown"),
            (f",{gone},,skip", "deleted"),
            (f"{second},,,link {customer_id}", "linked with another contact"),
            (f"{second},{customer_id},phone,stripe", "no pair"),
            (f"{contact_id},,,exclude", "name both records"),
        ]
        for line, reason in lines:
            if reason:
                with pytest.raises(ConfigError, match=reason):
                    check(stage, line)
        with pytest.raises(ConfigError) as refused:
            check(stage, lines[0][0], lines[3][0], lines[4][0])
        assert [problem.partition(":")[0] for problem in refused.value.problems[:2]] == ["line 3", "line 4"]
        assert companies(stage) == ("Here Ltd", "There Inc")


def test_a_locked_record_is_waited_for_and_then_left(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        contact_id, customer_id = pair(stage, "Here Ltd", "There Inc")
        listed(stage)
        checked = check(stage, f"{contact_id},{customer_id},company,hubspot")
        with stage.store.transaction() as tx:
            tx.processes.beat("worker", "hubspot", tx.now_ms)
            assert tx.locks.take_all([contact_key(contact_id)], "token", "worker", tx.now_ms + 60_000)
        clock = Impatient(stage)
        decided = DecisionApplier(stage.runtime, clock).apply(checked, "run-1", lambda _count: None)
        assert decided.left.keys() == {contact_key(contact_id)}
        assert (clock.naps, dict(decided.done)) == (4, {})
        assert decided.avoid == {contact_key(contact_id), f"customer:{customer_id}"}
        with stage.store.reading() as tx:
            assert tx.links.count_active() == 0
        clock.frees = "token"
        decided = DecisionApplier(stage.runtime, clock).apply(checked, "run-1", lambda _count: None)
        assert decided.left == {}
        assert dict(decided.done) == {Verdict.HUBSPOT: 1}


# -- baseline


def baseline(stage: Stage) -> BaselineResult:
    return Baseline(stage.runtime, Impatient(stage)).run(look(stage), lambda _count: None)


def test_after_a_baseline_nothing_flows_but_what_changes_from_then_on(stage: Stage) -> None:
    contact_id, _ = pair(stage, "Here Ltd", "There Inc")
    stage.edit(HUBSPOT, "create", email="blank@example.org", phone="+1 202 555 0100")
    stage.edit(STRIPE, "create", email="blank@example.org")
    stage.edit(HUBSPOT, "create", email="same@example.org")
    stage.edit(STRIPE, "create", email="same@example.org")
    stage.edit(HUBSPOT, "create", email="alone@example.org")
    done = baseline(stage)
    assert done == BaselineResult(linked=3, based=3, kept=1)
    settle(stage)
    assert not stage.writes(HUBSPOT)
    assert not stage.writes(STRIPE)
    with stage.store.reading() as tx:
        assert {row.conflict.value for row in tx.conflicts.list(kind="differ")} == {"Here Ltd", "There Inc"}
        assert tx.settings.get("listed")
        assert [entry.kind for entry in tx.journal.latest(50)].count("baseline") == 1
    found = look(stage)
    assert {kind: n for kind, n in found.counts.items() if n} == {
        DifferenceClass.IN_SYNC: 1, DifferenceClass.CONFLICT: 2, DifferenceClass.CREATE_CUSTOMER: 1
    }  # fmt: skip
    assert baseline(stage) == BaselineResult()
    stage.edit(HUBSPOT, "update", contact_id, company="Newer Co")
    stage.reconcile()
    stage.rest()
    assert companies(stage) == ("Newer Co", "Newer Co")


def test_a_baseline_takes_what_links_hold_now(stage: Stage) -> None:
    contact_id, _ = pair(stage, "Co", "Co")
    stage.reconcile()
    settle(stage)
    stage.edit(HUBSPOT, "update", contact_id, company="Newer Co")
    before = stage.writes(STRIPE)
    assert baseline(stage) == BaselineResult(based=1, kept=1)
    stage.reconcile()
    stage.rest()
    assert stage.writes(STRIPE) == before
    assert companies(stage) == ("Newer Co", "Co")


def test_a_baseline_names_the_locked_records(sqlite_url: str, tmp_path: Path) -> None:
    with Stage(sqlite_url, tmp_path) as stage:
        contact_id, _ = pair(stage, "Co", "Co")
        with stage.store.transaction() as tx:
            tx.processes.beat("worker", "hubspot", tx.now_ms)
            assert tx.locks.take_all([contact_key(contact_id)], "token", "worker", tx.now_ms + 60_000)
        assert baseline(stage) == BaselineResult(left=[contact_key(contact_id)])
