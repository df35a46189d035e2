"""What the checker may not report: edits whose user did not wait, and what could not have been known."""

from __future__ import annotations

import pytest

from tests.simulation.play import HOUR_MS, play_seed
from tests.simulation.test_regressions import pair_of, stage
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side


@pytest.mark.parametrize("waits", [False, True])
def test_an_edit_made_while_a_job_has_to_wait_is_hasty(*, waits: bool) -> None:
    with stage("quiet") as play:
        world, facts = play.world, play.world.facts
        contact_id, _ = pair_of(play)
        facts.drain()
        known = len(facts.writes)
        if waits:
            later = JobRequest(Side.HUBSPOT, JobKind.READ, contact_id, due_ms=world.now + 2 * HOUR_MS)
            world.store.run(lambda tx: tx.jobs.put(later))
        play.deeds = 1
        while play.deeds:
            play.step()
        edits = {write.seq for write in facts.writes[known:]}
        assert edits
        assert facts.hasty == (edits if waits else set())


def test_an_edit_made_while_a_refused_call_waits_is_none_that_waited_for_us() -> None:
    assert play_seed(4015194).violations == []


def test_an_edit_made_while_a_refused_webhook_waits_is_none_that_waited_for_us() -> None:
    assert play_seed(10013138).violations == []


def test_a_guest_paid_with_an_address_a_merged_contact_carried_for_a_moment() -> None:
    assert play_seed(11009782).violations == []


def test_of_a_name_only_the_part_we_wrote_over_has_to_have_been_told() -> None:
    assert play_seed(11004598).violations == []


def test_an_edit_on_top_of_a_late_write_of_ours_replaces_what_both_had_agreed_on() -> None:
    assert play_seed(40004221).violations == []


def test_a_heartbeat_that_was_not_stored_after_a_leap_of_the_clock_ends_the_lease() -> None:
    assert play_seed(50000233).violations == []


def test_a_text_put_right_while_a_listing_was_under_way_is_none_that_waited_for_us() -> None:
    assert play_seed(251003231).violations == []


def test_the_word_of_a_stage_is_no_trace_of_an_erased_person() -> None:
    assert play_seed(251002279).violations == []


def test_a_process_with_the_older_map_may_write_over_an_edit_that_nothing_judges_any_more() -> None:
    assert play_seed(262004789).violations == []
