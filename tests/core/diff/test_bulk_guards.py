"""Guards of bulk runs: how many people may lose values, and when a listing is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import HUBSPOT, STEADY, STRIPE
from wanesync.core.diff.bulk_guards import (
    MAX_OVERWRITE_SHARE,
    MIN_COUNTED_LINKS,
    Volume,
    check_creations,
    check_listing,
    check_volume,
)
from wanesync.core.errors import GuardError
from wanesync.core.model import Change, Side, WriteKind
from wanesync.core.plan import Action, Plan


def plan_of(kind: WriteKind, *before: str, side: Side = STRIPE) -> Plan:
    """A plan that writes as many fields as values are named, each held before."""
    changes = {str(i): Change(value, "new", "new") for i, value in enumerate(before)}
    return Plan(actions={side: Action(side, kind, "1", "cus_1", changes)})


def volume_of(*plans: Plan) -> tuple[int, int]:
    volume = Volume()
    for one in plans:
        volume.add(one)
    return volume.overwritten, volume.created


def test_a_person_who_loses_several_values_counts_once() -> None:
    assert volume_of(plan_of(WriteKind.UPDATE, "a", "b", "c")) == (1, 0)


def test_filling_blanks_overwrites_nothing() -> None:
    assert volume_of(plan_of(WriteKind.UPDATE, "", "")) == (0, 0)


def test_one_lost_value_among_filled_blanks_counts() -> None:
    assert volume_of(plan_of(WriteKind.UPDATE, "", "b")) == (1, 0)


def test_a_creation_overwrites_nothing_and_is_counted_apart() -> None:
    assert volume_of(plan_of(WriteKind.CREATE, ""), plan_of(WriteKind.CREATE, "")) == (0, 2)


def test_a_quiet_plan_counts_nothing() -> None:
    assert volume_of(Plan()) == (0, 0)


@given(links=st.integers(0, 100_000))
@STEADY
def test_a_run_is_stopped_exactly_above_the_share_of_the_links_that_stood(links: int) -> None:
    allowed = int(max(links, MIN_COUNTED_LINKS) * MAX_OVERWRITE_SHARE)
    check_volume(Volume(links=links, overwritten=allowed))
    with pytest.raises(GuardError):
        check_volume(Volume(links=links, overwritten=allowed + 1))


def test_a_small_state_may_overwrite_a_few() -> None:
    check_volume(Volume(links=3, overwritten=3))


def test_creations_alone_stop_nothing_here() -> None:
    check_volume(Volume(links=50, created_customers=10_000))


def test_a_stopped_run_names_its_numbers_and_the_way_out() -> None:
    with pytest.raises(
        GuardError, match=r"400 linked people .* of 1000 linked; more than 300 .* --force 400"
    ) as stopped:
        check_volume(Volume(links=1000, overwritten=400))
    assert stopped.value.exit_code == 3


@given(linked=st.integers(0, 1000), listed=st.integers(0, 1000))
@STEADY
def test_fewer_than_half_of_the_linked_records_is_no_listing(linked: int, listed: int) -> None:
    if listed < linked / 2:
        with pytest.raises(GuardError, match=f"hubspot listed only {listed} of the {linked}"):
            check_listing(HUBSPOT, linked, listed)
    else:
        check_listing(HUBSPOT, linked, listed)


def test_people_are_counted_by_what_happens_to_them() -> None:
    volume = Volume()
    volume.add(Plan(linked=[("1", "cus_1")]))
    volume.add(plan_of(WriteKind.CREATE, side=HUBSPOT))
    volume.add(plan_of(WriteKind.UPDATE, "a", side=HUBSPOT))
    volume.add(plan_of(WriteKind.UPDATE, "", side=STRIPE))
    assert (volume.link_only, volume.created_contacts, volume.created_customers) == (1, 1, 0)
    assert (volume.writes_hubspot, volume.writes_stripe, volume.overwritten, volume.fills) == (1, 1, 1, 1)
    volume.add_creation(HUBSPOT, -1)
    assert volume.created == 0


def test_more_creations_than_confirmed_stop_a_run() -> None:
    volume = Volume(created_customers=2, created_contacts=1)
    check_creations(volume, None)
    check_creations(volume, 3)
    with pytest.raises(GuardError, match=r"3 people would be created .* --max-creates 3"):
        check_creations(volume, 2)
