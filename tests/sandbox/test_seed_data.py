"""Generated people and traffic: the same for the same seed, and as varied as documented."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from wanesync.core.model import normalise_email
from wanesync.sandbox.hubspot.machine import HubSpotMachine
from wanesync.sandbox.seed_data import SeededIds, SeedOptions, make_person, seed_records
from wanesync.sandbox.stand_in import Side, StandIn
from wanesync.sandbox.stripe.machine import StripeMachine
from wanesync.sandbox.traffic import Activity, ActivityKind, Traffic, drive

NOW_MS = 1_795_000_000_000
PEOPLE = SeedOptions(contacts=200, customers=120, overlap=50, random_seed=3)


class Pair:
    """Both machines without any HTTP, at a clock that is handed in."""

    def __init__(self, options: SeedOptions) -> None:
        self.machines: Mapping[str, StandIn] = {
            Side.HUBSPOT: HubSpotMachine(random.Random(1)),
            Side.STRIPE: StripeMachine(random.Random(2)),
        }
        self.seeded: SeededIds = seed_records(self.machines, options, NOW_MS)
        self.now_ms = NOW_MS

    def edit(self, side: str, kind: str, record_id: str | None, values: Mapping[str, str]) -> str:
        return self.machines[side].edit(kind, record_id, values, self.now_ms)

    def records(self, side: str) -> list[dict[str, str]]:
        return self.machines[side].records()

    def by_id(self, side: str) -> dict[str, dict[str, str]]:
        return {row["id"]: row for row in self.records(side)}


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair(PEOPLE)


def test_as_many_records_are_seeded_as_asked_for(pair: Pair) -> None:
    assert len(pair.records(Side.HUBSPOT)) == 200
    assert len(pair.records(Side.STRIPE)) == 120
    assert len(pair.seeded.pairs) == 50
    assert len(pair.seeded.contacts) == 150
    assert len(pair.seeded.customers) == 70


def test_exactly_the_overlap_shares_addresses(pair: Pair) -> None:
    contacts = {normalise_email(row["email"]) for row in pair.records(Side.HUBSPOT) if row.get("email")}
    customers = {normalise_email(row["email"]) for row in pair.records(Side.STRIPE)}
    both = {normalise_email(pair.by_id(Side.STRIPE)[customer_id]["email"]) for _, customer_id in pair.seeded.pairs}

    assert contacts & customers == both
    assert len(both) == 50


def test_the_pairs_differ_in_writing_in_values_and_in_blanks(pair: Pair) -> None:
    contacts, customers = pair.by_id(Side.HUBSPOT), pair.by_id(Side.STRIPE)
    rows = [(contacts[one], customers[other]) for one, other in pair.seeded.pairs]

    assert sum(here["email"] != there["email"] for here, there in rows) > 10
    assert any(there["email"] != there["email"].lower() for _, there in rows)
    assert sum(here["city"] != there["address.city"] for here, there in rows) >= 5
    assert any(here.get("phone") and not there.get("phone") for here, there in rows)
    assert any(there.get("phone") and not here.get("phone") for here, there in rows)


def test_some_have_no_address_and_two_customers_share_one(pair: Pair) -> None:
    contacts, customers = pair.by_id(Side.HUBSPOT), pair.by_id(Side.STRIPE)
    shared = Counter(normalise_email(row["email"]) for row in customers.values())

    assert pair.seeded.without_email
    assert all(not contacts[record_id].get("email") for record_id in pair.seeded.without_email)
    assert [count for count in shared.values() if count > 1] == [2]
    assert len({normalise_email(customers[record_id]["email"]) for record_id in pair.seeded.same_email}) == 1


def test_names_and_phones_come_in_many_shapes(pair: Pair) -> None:
    contacts, customers = pair.by_id(Side.HUBSPOT).values(), pair.by_id(Side.STRIPE).values()
    phones = [row["phone"] for row in contacts if row.get("phone")]
    last_names = {row.get("lastname", "") for row in contacts}

    assert [len(phone) > 20 for phone in phones].count(True) == 1
    assert any(not phone.startswith("+") for phone in phones)
    assert any("'" in name for name in last_names)
    assert any(not name.isascii() and name.isalpha() for name in last_names)
    assert any(row["name"] == row.get("business_name") for row in customers)


def test_the_same_seed_makes_the_same_people_and_another_seed_others(pair: Pair) -> None:
    assert Pair(PEOPLE).records(Side.HUBSPOT) == pair.records(Side.HUBSPOT)
    assert Pair(PEOPLE).records(Side.STRIPE) == pair.records(Side.STRIPE)
    other = Pair(SeedOptions(200, 120, 50, random_seed=4))
    assert other.records(Side.HUBSPOT) != pair.records(Side.HUBSPOT)


def test_seeding_sends_no_webhooks_and_lies_in_the_past(pair: Pair) -> None:
    for machine in pair.machines.values():
        assert machine.next_delivery_ms() is None
        assert machine.take_deliveries(NOW_MS + 60_000) == []
        times = [entry.at_ms for entry in machine.journal.after(0)]
        assert times == sorted(times)
        assert times[-1] < NOW_MS


def test_no_two_people_have_one_address() -> None:
    rng = random.Random(0)
    assert len({make_person(number, rng).email for number in range(5_000)}) == 5_000


@pytest.mark.parametrize("numbers", [(5, 5, 6), (-1, 0, 0), (0, 3, 1)])
def test_impossible_numbers_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="overlap"):
        SeedOptions(*numbers)


def test_without_numbers_nothing_is_seeded() -> None:
    empty = Pair(SeedOptions())
    assert (empty.records(Side.HUBSPOT), empty.records(Side.STRIPE)) == ([], [])


def live(options: SeedOptions, seconds: int, rate_per_s: float = 5) -> tuple[Pair, list[Activity]]:
    pair = Pair(options)
    traffic = Traffic(pair, 1, rate_per_s, NOW_MS)
    for step in range(0, seconds * 1000, 10):
        pair.now_ms = NOW_MS + step
        traffic.advance(pair.now_ms)
    return pair, traffic.activities


def test_traffic_keeps_its_rate_on_each_side() -> None:
    _, activities = live(PEOPLE, 20)
    on_hubspot = [
        activity
        for activity in activities
        if activity.side is Side.HUBSPOT and activity.kind is not ActivityKind.EDIT_BOTH
    ]
    turns = len(on_hubspot) + sum(activity.kind is ActivityKind.EDIT_BOTH for activity in activities) // 2
    assert turns == 100
    assert (
        sum(activity.side is Side.STRIPE and activity.kind is not ActivityKind.EDIT_BOTH for activity in activities)
        == 100
    )


def test_traffic_does_everything_and_says_what() -> None:
    pair, activities = live(PEOPLE, 40)
    customers = pair.by_id(Side.STRIPE)

    assert {activity.kind for activity in activities} == set(ActivityKind)
    assert {activity.values["currency"] for activity in activities if activity.kind is ActivityKind.PURCHASE} >= {
        "usd",
        "jpy",
    }
    assert all(activity.customer_id in customers for activity in activities if activity.kind is ActivityKind.PURCHASE)
    assert all(
        activity.values["email"] and not activity.customer_id
        for activity in activities
        if activity.kind is ActivityKind.GUEST
    )
    both = [activity for activity in activities if activity.kind is ActivityKind.EDIT_BOTH]
    assert {(one.record_id, other.record_id) for one, other in zip(both[::2], both[1::2], strict=True)} <= set(
        pair.seeded.pairs
    )


def test_the_records_hold_what_traffic_says_it_set() -> None:
    pair, activities = live(PEOPLE, 20)
    rows = {side: pair.by_id(side) for side in Side}
    latest: dict[tuple[Side, str, str], str] = {}
    for activity in activities:
        if activity.kind in (ActivityKind.EDIT, ActivityKind.EDIT_BOTH, ActivityKind.CREATE):
            latest |= {(activity.side, activity.record_id, name): value for name, value in activity.values.items()}

    assert latest
    found = {key: rows[key[0]][key[1]].get(key[2], "") for key in latest}
    assert found == latest


def test_traffic_is_the_same_for_the_same_seed() -> None:
    assert live(PEOPLE, 5)[1] == live(PEOPLE, 5)[1]


def test_traffic_on_an_empty_sandbox_begins_with_new_people() -> None:
    pair, activities = live(SeedOptions(), 10)
    assert activities[0].kind is ActivityKind.CREATE
    assert pair.records(Side.HUBSPOT)
    assert pair.records(Side.STRIPE)


class Clock:
    """Time that passes only by waiting."""

    def __init__(self, pair: Pair, stop_after: int = 10**9) -> None:
        self.pair, self.waits, self._stop_after = pair, 0, stop_after

    def now_ms(self) -> int:
        return self.pair.now_ms

    def wait(self, seconds: float) -> bool:
        self.waits += 1
        self.pair.now_ms += math.ceil(seconds * 1000)
        return self.waits >= self._stop_after


def test_driven_traffic_acts_when_its_time_comes_and_ends_in_time() -> None:
    pair = Pair(SeedOptions(10, 10, 5))
    clock = Clock(pair)
    activities = drive(Traffic(pair, 1, 2, NOW_MS), NOW_MS + 5_000, clock.now_ms, clock.wait)

    assert {activity.at_ms for activity in activities} == {NOW_MS + 250 * step for step in range(20)}
    assert pair.now_ms == NOW_MS + 5_000
    assert clock.waits == 20


def test_driven_traffic_ends_early_when_told() -> None:
    pair = Pair(SeedOptions(10, 10, 5))
    clock = Clock(pair, stop_after=4)
    drive(Traffic(pair, 1, 2, NOW_MS), NOW_MS + 5_000, clock.now_ms, clock.wait)
    assert pair.now_ms == NOW_MS + 1_000


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Traffic(Pair(SeedOptions()), 1, 0, NOW_MS)
